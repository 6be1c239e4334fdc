//! The recorder itself beside a ring that holds anything.
//!
//! Input: one byte (bit 0: put the ring's header right; bits 1 and 2: its capacity), then what is
//! written over a new ring, from its beginning. Whatever that is, the recording is whole, and
//! everything that two well-meant producers pushed is in it or counted.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::{Overrun, SourceAttached};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::frame::Record;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::verify::verify_and;
use groundcrew_recorder::recorder::{Options, Recorder};
use groundcrew_recorder::ring::shared;
use groundcrew_recorder::writer::{Policy, Writer};

use crate::input::Input;
use crate::memory::Memory;
use crate::mend;

/// Records that each of the well-meant pushes.
const RECORDS: u64 = 60;
/// What the two are called.
const NAMES: [&str; 2] = ["inside", "outside"];

pub(super) fn run(data: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = super::ring::directory();
    }
    DIR.with(|dir| beside(dir.path(), data));
}

fn beside(dir: &Path, data: &[u8]) {
    for entry in std::fs::read_dir(dir).expect("the directory is ours") {
        std::fs::remove_file(entry.expect("it is ours").path()).expect("it is ours");
    }
    leave_ring(&dir.join("hostile.ring"), data);
    let (memory, flight) = (Memory::default(), FlightId::new(1, [1; 10]));
    let writer = Writer::new(memory.clone(), flight, [1; 16], Policy::default());
    let recorder = Recorder::start(writer, Some(dir)).expect("the directory can be read");
    let small = Options { bytes: 4096, critical: false };
    let [here, there] = NAMES;
    let mut inside = recorder.producer(here, small).expect("it is the second ring");
    let path = recorder.shared(there, small).expect("it is the third ring");
    let mut outside = shared::attach(&path).expect("it is new");
    let mut taken = [0_u64; 2];
    for number in 0..RECORDS {
        let body = number.to_le_bytes().repeat(4);
        let [in_here, out_there] = &mut taken;
        *in_here += u64::from(inside.push(0x8001, number, &body));
        *out_there += u64::from(outside.push(0x8001, number, &body));
    }
    drop((inside, outside));
    let stopped = recorder.stop("fuzz").expect("its thread does not panic");
    assert!(stopped.durable && stopped.drained, "{stopped:?}");
    let flight = Flight::open(memory).expect("there is a flight");
    let mut told = Told::default();
    let report = verify_and(&flight, |_| {}, |record| told.take(record));
    assert!(!report.damaged() && report.clean(), "{report:?}");
    for (name, taken) in NAMES.iter().zip(taken) {
        let number = told.numbers.get(*name).copied().expect("who attaches is announced");
        let given = told.records.get(&number).copied().unwrap_or(0);
        let lost = told.lost.get(&number).copied().unwrap_or(0);
        assert_eq!((given, given + lost), (taken, RECORDS), "of {name}");
    }
}

/// What a recording tells of its sources.
#[derive(Default)]
struct Told {
    numbers: BTreeMap<String, u16>,
    records: BTreeMap<u16, u64>,
    lost: BTreeMap<u16, u64>,
}

impl Told {
    fn take(&mut self, record: &Record<'_>) {
        *self.records.entry(record.head.source).or_default() += 1;
        if record.head.kind == SourceAttached::SCHEMA.kind {
            let source = SourceAttached::decode(record.body);
            self.numbers.insert(source.name, source.attached);
        } else if record.head.kind == Overrun::SCHEMA.kind {
            let overrun = Overrun::decode(record.body);
            *self.lost.entry(overrun.lost_source).or_default() += overrun.count;
        }
    }
}

/// A ring as an earlier recorder and somebody else may have left it.
fn leave_ring(path: &Path, data: &[u8]) {
    let mut input = Input(data);
    let flags = input.u8();
    let bytes = 4096 << ((flags >> 1) & 3);
    let options = shared::Options { bytes, critical: flags & 8 != 0, generation: 9 };
    drop(shared::create(path, options).expect("a ring can be made"));
    let mut start = input.0.to_vec();
    if flags & 1 != 0 {
        mend::ring(&mut start);
    }
    let file = OpenOptions::new().write(true).open(path).expect("it was just made");
    file.write_all_at(&start, 0).expect("the file is ours");
    if flags & 16 != 0 {
        file.set_len(u64::try_from(start.len()).unwrap_or(0)).expect("the file is ours");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let dir = super::ring::directory();
    let path = dir.path().join("seed.ring");
    let options = shared::Options { bytes: 4096, critical: false, generation: 9 };
    let mut consumer = shared::create(&path, options).expect("a ring can be made");
    let mut producer = shared::attach(&path).expect("it is new");
    let read = || std::fs::read(&path).unwrap_or_default();
    let mut rings = vec![read()];
    for number in 0..20 {
        producer.push(0x8001, number, b"hello");
    }
    rings.push(read());
    consumer.drain(500, &mut |_| {});
    consumer.release().expect("the file is there");
    while producer.push(0x0013, 30, &[7; 100]) {}
    drop(producer);
    rings.push(read());
    rings.into_iter().map(|ring| [&[1], ring.as_slice()].concat()).collect()
}
