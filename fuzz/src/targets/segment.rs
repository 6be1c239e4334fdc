//! A segment: it reads the same however its bytes arrive, and every byte of it is accounted for.
//!
//! Input: one byte (bit 0: put checksums right; bit 1: make the trailer fit), then the file.

use std::ops::ControlFlow;

use groundcrew_recorder::format::index::{self, Index};
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::reader::flight::{Event, Flight, Wanted};
use groundcrew_recorder::reader::follow::Follower;
use groundcrew_recorder::reader::glance::glance;
use groundcrew_recorder::reader::scan::{Found, Hole, Pause, Scanner};
use groundcrew_recorder::reader::segment::{SegmentReader, scan};
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::storage::Source as _;

use crate::input::Input;
use crate::memory::Memory;
use crate::mutate::Chance;
use crate::{mend, sample};

const NAME: &str = "seg_00003.bin";

/// What stands somewhere, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Record { at: u64, len: u64, kind: u16, seq: u64 },
    Hole(Hole),
    Trailer,
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.u8();
    let mut file = input.0.to_vec();
    if flags & 1 != 0 {
        mend::segment(&mut file);
    }
    if flags & 2 != 0 {
        mend::trailer(&mut file);
    }
    let header = Header::decode(&file);
    if let Ok((header, at)) = &header {
        assert_eq!(Header::decode(&header.encode()), Ok((*header, 96)));
        let frames = file.get(*at..).unwrap_or_default();
        every_way(frames, header, u64::try_from(*at).unwrap_or(u64::MAX), data);
    }
    in_a_flight(file, header.is_ok());
}

/// In one piece, and in pieces of any size, one by one and in a row.
fn every_way(frames: &[u8], header: &Header, at: u64, data: &[u8]) {
    let whole = pieces(frames, header, at, false, || usize::MAX);
    let mut chance = Chance::new(u64::from(crc32fast::hash(data)));
    let widest = [1, 7, 64, 1000].get(chance.below(4)).copied().unwrap_or(1);
    for in_a_row in [false, true] {
        let found = pieces(frames, header, at, in_a_row, || 1 + chance.below(widest));
        assert_eq!(found, whole, "in pieces of up to {widest} bytes, in a row: {in_a_row}");
    }
    let mut next = at;
    for piece in &whole {
        let (begin, len) = match piece {
            Piece::Record { at, len, .. } => (*at, *len),
            Piece::Hole(hole) => (hole.at, hole.len),
            Piece::Trailer => (next, 32),
        };
        assert_eq!(begin, next, "bytes are left out, or given twice");
        next = begin + len;
    }
    let len = u64::try_from(frames.len()).unwrap_or(u64::MAX);
    assert_eq!(next, at + len, "the end is left out");
}

fn pieces(
    mut frames: &[u8],
    header: &Header,
    at: u64,
    in_a_row: bool,
    mut size: impl FnMut() -> usize,
) -> Vec<Piece> {
    let mut scanner = Scanner::new(header.seed(), at);
    let mut found = Vec::new();
    loop {
        let pause = if in_a_row {
            scanner.each(|one| {
                found.extend(piece(&one));
                ControlFlow::Continue(())
            })
        } else {
            match scanner.find() {
                Found::More => Pause::More,
                Found::End => Pause::End,
                one => {
                    found.extend(piece(&one));
                    continue;
                }
            }
        };
        match pause {
            Pause::End => return found,
            Pause::Stopped => unreachable!("nobody stops it"),
            Pause::More if frames.is_empty() => scanner.end(),
            Pause::More => {
                let space = scanner.space();
                assert!(!space.is_empty(), "it asks for more and has no room");
                let len = size().min(space.len()).min(frames.len());
                let (now, later) = frames.split_at(len);
                space.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                scanner.filled(len);
                frames = later;
            }
        }
    }
}

fn piece(found: &Found<'_>) -> Option<Piece> {
    match found {
        Found::Record { at, record } => {
            let (kind, seq) = (record.head.kind, record.head.seq);
            Some(Piece::Record { at: *at, len: record.frame_len(), kind, seq })
        }
        Found::Damage(hole) => Some(Piece::Hole(*hole)),
        Found::Trailer(_) => Some(Piece::Trailer),
        Found::More | Found::End => None,
    }
}

/// Through everything that reads a flight.
fn in_a_flight(file: Vec<u8>, readable: bool) {
    let memory = Memory::of([(NAME.to_owned(), file)].into());
    let mut short = memory.clone();
    short.short = 100;
    let entry = memory.list().ok().and_then(|mut list| list.pop()).expect("there is a file");
    let mut records: u64 = 0;
    let outline = scan(&memory, &entry, |_| records += 1);
    assert_eq!(outline.is_ok(), readable);
    let flight = Flight::open(short).expect("there is a segment");
    let report = verify(&flight, |_| {});
    let glance = glance(&flight);
    let indexes = flight.indexes();
    assert_eq!((glance.is_ok(), indexes.is_ok()), (readable, readable));
    let Ok(outline) = outline else { return };
    assert_eq!(outline.index.records(), records);
    let mut walked = 0;
    let met = flight.walk(|event| {
        walked += u64::from(matches!(event, Event::Record(..)));
        ControlFlow::Continue(())
    });
    assert_eq!((walked + met.twice, met.holes_in_all), (records, outline.holes_in_all));
    assert_eq!(report.records, walked);
    let mut followed = 0;
    let polled = Follower::new(0).poll(&memory, |_, _| {
        followed += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((polled.is_ok(), followed), (true, walked), "whoever follows reads the same");
    let wanted = Wanted { types: [0x13].into(), from_ns: Some(1), ..Wanted::default() };
    flight.read(&wanted, |record| {
        assert!(record.head.kind == 0x13 && record.head.time_ns > 0);
        ControlFlow::Continue(())
    });
    let reader = SegmentReader::open(&memory, &entry).expect("it was opened before");
    if let Ok(Some(found)) = reader.sealed_index(entry.len) {
        let body = found.encode();
        assert_eq!(Index::decode(&body), Some(found), "type {:#06x}", index::KIND);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    sample::segments().into_iter().map(|file| [&[3], file.as_slice()].concat()).collect()
}
