//! The examples in `docs/internals/recorder-format.md`, decoded.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use std::ops::ControlFlow;

use groundcrew_recorder::body::types::{LogLevel, LogLine, Sync};
use groundcrew_recorder::body::{Body as _, types};
use groundcrew_recorder::format::frame::{self, Record, Step};
use groundcrew_recorder::format::index::{self, Index};
use groundcrew_recorder::format::segment::{HEADER_LEN, Header, Trailer};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::verify::verify;

use crate::model::Model;

const DOCUMENT: &str = include_str!("../../../../docs/internals/recorder-format.md");

/// The bytes of the block with this name.
fn block(name: &str) -> Vec<u8> {
    let (_, rest) = DOCUMENT.split_once(&format!("```hex {name}\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let lines = block.lines().map(|line| line.split('|').next().unwrap());
    let bytes = lines.flat_map(str::split_whitespace);
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn record<'a>(bytes: &'a [u8], seed: u32) -> Record<'a> {
    match frame::decode(bytes, seed) {
        Step::Record { record, len } if len == bytes.len() => record,
        other => panic!("{other:?}"),
    }
}

/// What this crate writes for a record.
fn encoded(record: &Record<'_>, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode(record, seed, &mut bytes);
    bytes
}

#[test]
fn the_documents_bytes_are_what_this_crate_reads_and_writes() {
    let header_bytes = block("header");
    let (header, frames_at) = Header::decode(&header_bytes).unwrap();
    assert_eq!((header.number, header.first_seq, frames_at), (3, 1000, HEADER_LEN));
    assert_eq!((header.time_ns, header.utc_ns), (77_000_000_000, 1_700_000_077_000_000_000));
    assert_eq!(header.flight.to_string(), "018bcfe5-6800-7909-8909-090909090909");
    assert_eq!(header.encode().as_slice(), header_bytes);
    let seed = header.seed();
    assert!(DOCUMENT.contains(&format!("The seed of the example is 0x{seed:08X}.")));

    let bytes = block("record");
    let line = record(&bytes, seed);
    assert_eq!((line.head.source, line.head.source_seq, line.head.seq), (7, 41, 1000));
    let (target, message) = ("nav".to_owned(), "hot".to_owned());
    let expected = LogLine { level: LogLevel::Warn, target, message };
    assert_eq!(LogLine::decode(line.body), expected);
    assert_eq!(expected.to_bytes(), line.body);
    assert_eq!(encoded(&line, seed), bytes);

    let bytes = block("sync");
    let sync = record(&bytes, seed);
    let durable_bytes = u64::try_from(HEADER_LEN + block("record").len()).unwrap();
    assert_eq!(Sync::decode(sync.body), Sync { durable_bytes, durable_seq: 1001 });

    let bytes = block("index");
    let frame = record(&bytes, seed);
    let mut expected = Index::default();
    expected.add(&line.head, 96);
    expected.add(&sync.head, durable_bytes);
    assert_eq!((frame.head.kind, frame.head.seq), (index::KIND, 1002));
    assert_eq!(Index::decode(frame.body), Some(expected.clone()));
    assert_eq!(expected.encode(), frame.body);

    let bytes = block("trailer");
    let trailer = Trailer::decode(&bytes, seed).unwrap();
    let index_at = durable_bytes + u64::try_from(block("sync").len()).unwrap();
    assert_eq!(trailer.index_at, index_at);
    assert_eq!(trailer.encode(seed).as_slice(), bytes);
}

#[test]
fn the_documents_examples_are_a_whole_segment() {
    let blocks = ["header", "record", "sync", "index", "trailer"].map(block);
    let disk = Model::default();
    disk.put("seg_00003.bin", &blocks.concat());
    let flight = Flight::open(disk).unwrap();
    let mut kinds = Vec::new();
    let met = flight.read(&Default::default(), |record| {
        kinds.push(record.head.kind);
        ControlFlow::Continue(())
    });
    assert_eq!((kinds, met.holes_in_all), (vec![0x13, 0x14], 0));
    let report = verify(&flight, |_| {});
    assert!(report.corrupt.is_empty() && report.torn.is_empty(), "{report:?}");
    assert_eq!(flight.indexes().unwrap()[0].records(), 2);
}

#[test]
fn the_document_names_every_kind_of_a_field() {
    for schema in types::all() {
        for field in schema.fields.iter() {
            let kind = format!("`{}`", field.kind.name());
            assert!(DOCUMENT.contains(&kind), "{kind} is not explained");
        }
    }
}
