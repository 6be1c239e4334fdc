//! Scans of bytes that are whole, cut, flipped, zeroed and strange.

use super::*;
use crate::format::frame::Head;

const SEED: u32 = 99;

/// What a scan gives, with bodies as text.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Seen {
    Record(u64),
    Hole(u64, u64, Damage),
    Trailer,
}

fn record(seq: u64, body: &[u8], to: &mut Vec<u8>) {
    let head = Head { kind: 0x8000, source: 1, time_ns: seq, source_seq: seq, seq };
    frame::encode(&Record { head, body }, SEED, to);
}

/// Five records of different length and a trailer.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for seq in 0..5 {
        record(seq, &vec![b'G'; usize::try_from(seq).unwrap() * 3], &mut bytes);
        ends.push(bytes.len());
    }
    let file_len = u64::try_from(bytes.len() + TRAILER_LEN).unwrap();
    bytes.extend_from_slice(&Trailer { index_at: 0, file_len }.encode(SEED));
    (bytes, ends)
}

/// Scans bytes that arrive in chunks of `chunk`.
fn scan(mut bytes: &[u8], chunk: usize) -> Vec<Seen> {
    let mut scanner = Scanner::new(SEED, 0);
    let mut seen = Vec::new();
    loop {
        match scanner.find() {
            Found::Record { record, .. } => seen.push(Seen::Record(record.head.seq)),
            Found::Damage(Hole { at, len, why }) => seen.push(Seen::Hole(at, len, why)),
            Found::Trailer(_) => seen.push(Seen::Trailer),
            Found::End => return seen,
            Found::More if bytes.is_empty() => scanner.end(),
            Found::More => {
                let space = scanner.space();
                let arrived = chunk.min(bytes.len()).min(space.len());
                space[..arrived].copy_from_slice(&bytes[..arrived]);
                bytes = &bytes[arrived..];
                scanner.filled(arrived);
            }
        }
    }
}

#[test]
fn records_and_the_trailer_are_found_however_the_bytes_arrive() {
    let (bytes, _) = sample();
    let mut expected: Vec<Seen> = (0..5).map(Seen::Record).collect();
    expected.push(Seen::Trailer);
    for chunk in [1, 2, 3, 7, 44, 1000] {
        assert_eq!(scan(&bytes, chunk), expected, "in chunks of {chunk}");
    }
}

#[test]
fn a_file_cut_anywhere_gives_all_that_is_whole_before_the_cut() {
    let (bytes, ends) = sample();
    for cut in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let mut expected: Vec<Seen> =
            (0..u64::try_from(whole).unwrap()).map(Seen::Record).collect();
        let start = whole.checked_sub(1).map_or(0, |last| ends[last]);
        if cut > start {
            let torn = u64::try_from(cut - start).unwrap();
            expected.push(Seen::Hole(u64::try_from(start).unwrap(), torn, Damage::CutShort));
        }
        assert_eq!(scan(&bytes[..cut], 11), expected, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_costs_the_record_that_it_is_in_and_no_other() {
    let (bytes, ends) = sample();
    for bit in 0..ends[4] * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().position(|end| bit / 8 < *end).unwrap();
        let seen = scan(&damaged, 4096);
        let records: Vec<Seen> =
            seen.iter().filter(|seen| matches!(seen, Seen::Record(_))).cloned().collect();
        let hit = Seen::Record(u64::try_from(hit).unwrap());
        let expected: Vec<Seen> = (0..5).map(Seen::Record).filter(|other| *other != hit).collect();
        assert_eq!(records, expected, "bit {bit}");
        assert!(seen.iter().any(|seen| matches!(seen, Seen::Hole(..))), "bit {bit}");
        assert_eq!(seen.last(), Some(&Seen::Trailer), "bit {bit}");
    }
}

#[test]
fn zeros_are_called_so_and_what_is_behind_them_is_found() {
    let mut bytes = Vec::new();
    record(0, b"before", &mut bytes);
    let hole = u64::try_from(bytes.len()).unwrap();
    bytes.resize(bytes.len() + 100_000, 0);
    record(1, b"behind", &mut bytes);
    let expected = [Seen::Record(0), Seen::Hole(hole, 100_000, Damage::Zeros), Seen::Record(1)];
    assert_eq!(scan(&bytes, 4096), expected);
    assert_eq!(scan(&[0; 9999], 4096), [Seen::Hole(0, 9999, Damage::Zeros)]);
}

#[test]
fn a_trailer_in_the_middle_is_damage_and_not_the_end() {
    let (mut bytes, _) = sample();
    record(7, b"written on", &mut bytes);
    let seen = scan(&bytes, 4096);
    assert!(!seen.contains(&Seen::Trailer), "{seen:?}");
    assert_eq!(seen.last(), Some(&Seen::Record(7)));
}

#[test]
fn a_length_that_lies_hides_no_record_behind_it() {
    let mut bytes = Vec::new();
    record(0, b"lies", &mut bytes);
    bytes[12..16].copy_from_slice(&u32::try_from(BODY_MAX).unwrap().to_le_bytes());
    record(1, b"is whole", &mut bytes);
    let seen = scan(&bytes, 4096);
    assert_eq!(seen.last(), Some(&Seen::Record(1)), "{seen:?}");
    assert_eq!(seen.len(), 2);
}
