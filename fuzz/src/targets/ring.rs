//! Two shared rings: one that somebody writes into, and one beside it.
//!
//! Input: a program of steps, one byte each with what they need. Of the ring that is written into
//! nothing comes out that its producer did not push, unless the program forges entries with a
//! checksum that fits; of the other everything comes out that was pushed, and what was refused is
//! counted. Nothing that is written ends in a panic, a wait, or memory without bound.

mod sides;

use std::path::Path;

use crate::input::Input;
use sides::{Hostile, Neighbor};

/// Steps of a program at most; more only take longer.
const STEPS_MAX: usize = 200;

pub(super) fn run(data: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = directory();
    }
    DIR.with(|dir| steps(dir.path(), data));
}

/// Where rings belong, in memory, if that is there.
pub(super) fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let mut named = tempfile::Builder::new();
    // libFuzzer ends without cleaning up, so it has to be seen whose it was.
    named.prefix("groundcrew-fuzz-");
    let made = named.tempdir_in(memory).or_else(|_| named.tempdir());
    made.expect("a directory can be made")
}

fn steps(dir: &Path, data: &[u8]) {
    let mut input = Input(data);
    let mut hostile = Hostile::new(&dir.join("hostile.ring"));
    let mut neighbor = Neighbor::new(&dir.join("neighbor.ring"));
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.u8() % 16 {
            0 | 1 => hostile.push(input.u16(), usize::from(input.u8()) * 8),
            2 => neighbor.push(input.u16(), usize::from(input.u16()) % 5000),
            3 | 4 => hostile.drain(u64::from(input.u8()) * 64),
            5 => {
                neighbor.drain(u64::from(input.u8()) * 64);
            }
            6 => hostile.release(),
            7 => neighbor.release(),
            8 => {
                let at = input.u16();
                let len = 1 + usize::from(input.u8() % 32);
                hostile.scribble(at.into(), input.take(len));
            }
            9 => {
                let field = input.u8();
                let value = match field >> 6 {
                    0 => input.u64(),
                    1 => u64::from(input.u8()) * 8,
                    2 => !u64::from(input.u8()),
                    _ => u64::from(input.u16()) << 8,
                };
                hostile.set_field(field & 15, value);
            }
            10 => {
                let (position, number) =
                    (u64::from(input.u16()) * 8, input.u64() >> (input.u8() % 64));
                hostile.forge(position, number, input.u16(), usize::from(input.u8()));
            }
            11 => hostile.consume_anew(),
            12 => neighbor.consume_anew(),
            13 => hostile.produce_anew(),
            14 => neighbor.produce_anew(),
            _ => match input.u8() % 4 {
                0 => hostile.truncate(input.u16().into()),
                1 => hostile.forge_header(input.u16(), input.u32(), input.u64()),
                2 => hostile.close(),
                _ => hostile.drain(u64::MAX),
            },
        }
    }
    hostile.end();
    neighbor.end();
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // Pushes, drains and releases on both sides; then a step of each other kind in between.
    let calm = [0, 1, 0x80, 3, 2, 1, 0x80, 9, 0, 3, 255, 5, 255, 6, 7];
    let others: [&[u8]; 9] = [
        &[8, 0, 1, 7, 1, 2, 3, 4, 5, 6, 7, 8],
        &[9, 0x40, 3],
        &[9, 0x86, 1],
        &[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 5],
        &[11, 13, 12, 14],
        &[15, 0, 0, 2, 11, 13],
        &[15, 1, 1, 0, 9, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 11],
        &[15, 2, 13, 11],
        &[2, 1, 0x80, 0x80, 0x13, 2, 1, 0x80, 0x80, 0x13],
    ];
    let mut seeds = vec![calm.repeat(8)];
    seeds.extend(others.iter().map(|other| [&calm, *other, &calm, *other, &calm].concat()));
    seeds
}
