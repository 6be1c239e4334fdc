//! The Python package: what it pushes is read here, what is written here it reads.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use std::fmt::Write as _;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use groundcrew_recorder::format::index;
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::ring::shared::{Options, RingFile, attach, create, open_existing};
use groundcrew_recorder::ring::{Consumer, Item};
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::Policy;

use crate::model::Chance;
use crate::world::{POLICY, World};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/python");
/// How often a producer is killed.
const KILLS: u64 = 10;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const OPTIONS: Options = Options { bytes: 1 << 14, critical: false, generation: 5 };

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(format!("{PACKAGE}/tests/{script}"));
    command.env("PYTHONPATH", PACKAGE).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Takes what is there; how many records came, each of them as it was made.
fn take(consumer: &mut Consumer<RingFile>) -> u64 {
    let drained = consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => {
            let number = record.number;
            let repeat = usize::try_from(number % 7).unwrap();
            let body = format!("record {number} of Python ").repeat(repeat);
            assert_eq!((record.kind, record.time_ns), (0x8007, number));
            assert_eq!(record.body, body.as_bytes());
        }
        Item::Damage(damage) => panic!("{damage}"),
    });
    consumer.release().unwrap();
    drained.records
}

#[test]
fn rec_10_what_python_pushes_is_read_though_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("python.ring");
    let mut consumer = create(&path, OPTIONS).unwrap();
    let ring = File::open(&path).unwrap();
    let field = |at: u64| {
        let mut bytes = [0; 8];
        ring.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    let deadline = Instant::now() + PATIENCE;
    let mut came = 0;
    for kill in 0..KILLS {
        let mut child = python("push.py").arg(&path).spawn().unwrap();
        let until = field(64) + 20_000 + kill * 777;
        while field(64) < until {
            assert!(Instant::now() < deadline, "it pushes");
            came += take(&mut consumer);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        came += take(&mut consumer);
        assert_eq!(field(64), field(128), "what was published came out");
        assert!(consumer.producer_died().unwrap());
    }
    let count = field(72) + 3000;
    let output = python("push.py").arg(&path).arg(count.to_string()).output().unwrap();
    let text = said(&output);
    let (made, refused) = text.trim().split_once(' ').unwrap();
    let last = take(&mut consumer);
    assert_eq!(made, count.to_string());
    assert_eq!(last + refused.parse::<u64>().unwrap(), 3000, "{last} came, {refused} refused");
    assert!(came > 1000 && last > 50 && consumer.source().detached);
}

#[test]
fn python_and_rust_refuse_the_same_rings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("python.ring");
    let refused = |why: &str| {
        let output = python("push.py").arg(&path).arg("1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(why) && !output.status.success(), "{why}: {said}");
        assert!(attach(&path).is_err());
    };
    refused("FileNotFoundError");
    drop(create(&path, OPTIONS).unwrap());
    let producer = attach(&path).unwrap();
    refused("Busy");
    drop(producer);
    File::options().write(true).open(&path).unwrap().write_all_at(&[9], 17).unwrap();
    refused("NotUsable");
    File::create(&path).unwrap();
    refused("NotUsable");
    assert!(open_existing(&path).is_err());
}

#[test]
fn rec_10_python_reads_what_a_reader_here_reads() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy { flight_bytes: 1 << 30, ..POLICY };
    let mut world = World::new(Disk::new(dir.path()), policy);
    world.live(&mut Chance::new(8), 500);
    world.writer.finish("test", world.now);
    let read = || {
        let output = python("read.py").arg(dir.path()).stderr(Stdio::inherit()).output().unwrap();
        said(&output)
    };
    assert_eq!(read(), expected(dir.path()));
    // A flipped bit costs one record, and is told.
    let path = dir.path().join("seg_00002.bin");
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 3000).unwrap();
    let text = read();
    let (records, troubles) = text.split_once("trouble ").unwrap();
    assert_eq!(records, expected(dir.path()));
    assert!(troubles.starts_with("seg_00002.bin: no records from byte "), "{troubles}");
}

/// What Python is to print of a flight.
fn expected(dir: &Path) -> String {
    let mut text = String::new();
    let flight = Flight::open(Disk::new(dir)).unwrap();
    flight.read(&Wanted::default(), |record| {
        let head = record.head;
        assert_ne!(head.kind, index::KIND);
        let (len, crc) = (record.body.len(), crc32fast::hash(record.body));
        let numbers = (head.source_seq, head.seq);
        let start = format!("{} {} {}", head.kind, head.source, head.time_ns);
        writeln!(text, "{start} {} {} {len} {crc}", numbers.0, numbers.1).unwrap();
        ControlFlow::Continue(())
    });
    text
}
