//! Directories as nobody leaves them but people: recovery keeps every intact record, and ends.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use groundcrew_recorder::format::frame::{Head, Record, encode};
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recover::{CannotRecover, Recovered, recover};
use groundcrew_recorder::storage::Source as _;
use groundcrew_recorder::writer::Moment;

use crate::model::Model;
use crate::world::flight_id;

/// A segment that says it has this number, with one record.
fn segment(number: u32, head: Head) -> Vec<u8> {
    let (flight, boot) = (flight_id(), [9; 16]);
    let header = Header { flight, boot, number, first_seq: 0, time_ns: 0, utc_ns: 0 };
    let mut bytes = header.encode().to_vec();
    encode(&Record { head, body: b"body" }, header.seed(), &mut bytes);
    bytes
}

fn head(seq: u64) -> Head {
    Head { kind: 0x8001, source: 7, time_ns: seq, source_seq: seq, seq }
}

fn records(disk: &Model) -> u64 {
    verify(&Flight::open(disk.clone()).unwrap(), |_| {}).records
}

/// Recovers twice; the second time changes nothing.
fn recovered(disk: &mut Model) -> Recovered {
    let recovered = recover(disk, Moment::default()).unwrap();
    assert_eq!(recover(disk, Moment::default()).unwrap(), Recovered::default());
    recovered
}

#[test]
fn a_segment_that_was_given_another_name_is_ended_under_it() {
    let mut disk = Model::default();
    disk.put("seg_00004.bin.tmp", &segment(3, head(0)));
    assert_eq!(recovered(&mut disk).ended, [4]);
    assert_eq!((disk.list().unwrap().len(), records(&disk)), (1, 2), "the record and the footer");
}

#[test]
fn a_segment_is_never_given_the_name_of_another() {
    let mut disk = Model::default();
    disk.put("seg_00003.bin", &segment(3, head(0)));
    disk.put("seg_00003.bin.tmp", &segment(3, head(1)));
    let recovered = recovered(&mut disk);
    assert!(recovered.footer && recovered.ended.is_empty(), "{recovered:?}");
    assert_eq!((disk.list().unwrap().len(), records(&disk)), (3, 3));
}

#[test]
fn numbers_at_their_end_are_no_end_of_the_program() {
    let mut disk = Model::default();
    let last = Head { kind: u16::MAX, source: u16::MAX, source_seq: u64::MAX, ..head(u64::MAX) };
    disk.put("seg_00000.bin.tmp", &segment(0, last));
    recovered(&mut disk);
    assert_eq!(records(&disk), 2);
    let mut disk = Model::default();
    let name = format!("seg_{}.bin", u32::MAX);
    disk.put(&name, &segment(u32::MAX, head(0)));
    let refused = recover(&mut disk, Moment::default());
    assert!(matches!(refused, Err(CannotRecover::Full(u32::MAX))), "{refused:?}");
    assert_eq!(records(&disk), 1);
}

#[test]
fn an_open_segment_of_a_later_version_is_left_to_it() {
    let mut disk = Model::default();
    let mut bytes = segment(0, head(0));
    bytes[8] = 2;
    disk.put("seg_00000.bin.tmp", &bytes);
    let refused = recover(&mut disk, Moment::default()).unwrap_err();
    assert!(groundcrew_recorder::chain(&refused).contains("format 2.0"), "{refused:?}");
    assert_eq!(disk.content("seg_00000.bin.tmp"), Some(bytes));
}

#[test]
fn a_header_that_is_longer_than_its_file_holds_no_record_and_is_set_aside() {
    let mut disk = Model::default();
    let mut bytes = segment(0, head(0));
    bytes[12..16].copy_from_slice(&4096_u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..92]).to_le_bytes();
    bytes[92..96].copy_from_slice(&crc);
    disk.put("seg_00000.bin.tmp", &bytes);
    let set_aside = u64::try_from(bytes.len()).unwrap();
    assert_eq!(recovered(&mut disk).bytes_torn, set_aside);
    assert_eq!(disk.content("seg_00000.torn"), Some(bytes));
}
