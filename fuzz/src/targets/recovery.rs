//! Recovery of a directory: what was intact stays, and a second recovery changes nothing. Then the
//! recording is gone on with.
//!
//! Input: files one after the other, each with one byte of flags (bits 0 and 1: sealed, open, torn
//! or none of ours; bit 2: put checksums right; bit 3: make the trailer fit; bit 4: the number in
//! the name is the header's), one of number, two of length, and that many bytes.

use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::segment::scan;
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recover::{Recovered, recover};
use groundcrew_recorder::storage::Source as _;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use crate::input::Input;
use crate::memory::{Files, Memory};
use crate::{mend, sample};

/// More files than a mistake needs.
const FILES_MAX: usize = 6;

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut files = Files::new();
    while !input.is_empty() && files.len() < FILES_MAX {
        let (name, bytes) = file(&mut input);
        files.insert(name, bytes);
    }
    let mut memory = Memory::of(files.clone());
    let before = intact(&memory);
    let now = Moment { time_ns: 5_000_000_000, utc_ns: 1_700_000_005_000_000_000 };
    let outcome = recover(&mut memory, now);
    let after = intact(&memory);
    let lost: Vec<_> = before.iter().filter(|record| !after.contains(record)).collect();
    assert!(lost.is_empty(), "{outcome:?} took {} of {} records", lost.len(), before.len());
    if let Ok(flight) = Flight::open(memory.clone()) {
        verify(&flight, |_| {});
    }
    let Ok(_) = outcome else { return };
    let once = memory.files();
    let again = recover(&mut memory, Moment::default()).expect("what was recovered can be");
    assert_eq!(again, Recovered::default());
    assert!(memory.files() == once, "a second recovery changes something");
    go_on(&memory);
    let after = intact(&memory);
    assert!(before.iter().all(|record| after.contains(record)), "who goes on takes records");
}

/// Goes on with the recording, where that can be done, and ends it again.
fn go_on(memory: &Memory) {
    let policy = Policy { flight_bytes: u64::MAX, ..Policy::default() };
    let Ok(mut writer) = Writer::resume(memory.clone(), [2; 16], policy) else { return };
    let now = Moment { time_ns: 6_000_000_000, utc_ns: 0 };
    let entry = Entry { kind: 0x8001, source: 9, time_ns: 1, source_seq: 0, body: b"later" };
    writer.append(entry, now);
    let (_, durable) = writer.finish("fuzz", now);
    assert!(durable, "memory takes everything");
}

fn file(input: &mut Input<'_>) -> (String, Vec<u8>) {
    let (flags, number, len) = (input.u8(), input.u8(), input.u16());
    let mut bytes = input.take(usize::from(len)).to_vec();
    if flags & 4 != 0 {
        mend::segment(&mut bytes);
    }
    if flags & 8 != 0 {
        mend::trailer(&mut bytes);
    }
    let said = Header::decode(&bytes).ok().map(|(header, _)| header.number);
    let number = said.filter(|_| flags & 16 != 0).unwrap_or(number.into());
    let name = match flags & 3 {
        0 => Name::Sealed(number).to_string(),
        1 => Name::Open(number).to_string(),
        2 => Name::Torn(number).to_string(),
        _ => format!("seg_{number:06}.bin"),
    };
    (name, bytes)
}

/// Every record of every segment that can be read, with its body's checksum.
fn intact(memory: &Memory) -> Vec<(u32, u64, u64, u16, u32)> {
    let mut records = Vec::new();
    for entry in memory.list().expect("memory can be listed") {
        let segment = Name::parse(&entry.name).filter(|name| !matches!(name, Name::Torn(_)));
        let bytes = memory.files().remove(&entry.name).unwrap_or_default();
        let (Some(_), Ok((header, _))) = (segment, Header::decode(&bytes)) else { continue };
        let scanned = scan(memory, &entry, |record| {
            let (head, sum) = (record.head, crc32fast::hash(record.body));
            records.push((header.number, head.seq, head.source_seq, head.kind, sum));
        });
        scanned.expect("its header can be read");
    }
    records
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let container = |files: Files, flags: u8| {
        let mut seed = Vec::new();
        for (name, bytes) in files {
            let (flag, number) = match Name::parse(&name) {
                Some(Name::Open(number)) => (1, number),
                Some(Name::Torn(number)) => (2, number),
                Some(Name::Sealed(number)) => (0, number),
                None => (3, 0),
            };
            let number = u8::try_from(number).unwrap_or(0);
            seed.extend([flag | flags, number]);
            seed.extend(u16::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
            seed.extend(bytes);
        }
        seed
    };
    let mut cut = sample::flight(false);
    if let Some(last) = cut.values_mut().next_back() {
        last.truncate(last.len().saturating_sub(5));
    }
    vec![
        container(sample::flight(true), 28),
        container(sample::flight(false), 28),
        container(cut, 16),
    ]
}
