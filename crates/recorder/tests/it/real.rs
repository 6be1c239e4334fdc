//! Logs of real and simulated flights, as they lie in published packages, through the recorder: what
//! comes out is what went in, byte for byte.
//!
//! The packages are fetched by the package client when the tests run, pinned by version and checksum.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use groundcrew_recorder::body::types::{Direction, FrameVerdict, ReceivedMavlinkRaw, TypeSchema};
use groundcrew_recorder::body::{Body as _, Field, Kind, Part as _, Schema, USER_TYPES};
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recorder::{Options, Recorder, now};
use groundcrew_recorder::ring::shared::attach;
use groundcrew_recorder::ring::{Producer, Words};
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, Writer};
use tempfile::TempDir;

use crate::world::flight_id;

/// The packages that bring logs. Nothing of them is compiled.
const MANIFEST: &str = "\
[package]
name = \"logs\"
version = \"0.0.0\"
edition = \"2021\"
[lib]
path = \"lib.rs\"
[workspace]
[dependencies]
mavlink = { version = \"=0.21.0\", default-features = false }
ulog-rs = \"=0.0.4\"
";
/// Frames of MAVLink, each with its time.
const TLOG: Log = Log {
    path: "mavlink-0.21.0/tests/log.tlog",
    sha256: "986faae1874e24617bfd8d84c8a87658dfdb696452fa98d36c04fdec61ba7468",
};
/// Logs of PX4.
const ULOGS: [Log; 2] = [
    Log {
        path: "ulog-rs-0.0.4/test_data/sample-small.ulg",
        sha256: "0d94ea67eed1c8f3145d8b2d88e5430ab95c9be33898cbc98749c491f35a1118",
    },
    Log {
        path: "ulog-rs-0.0.4/test_data/sample.ulg",
        sha256: "81952e6059bc095717e7911c010e07f85749d6b04d332a5ffc51575a3fd0a558",
    },
];
/// The type of a message of PX4's log.
const ULOG: u16 = USER_TYPES + 0x10;
/// The kind of message under which the head of the log is recorded.
const ULOG_HEAD: u8 = 0;
/// Longer than the longest log, so that no speed is too much.
const RING: Options = Options { bytes: 16 << 20, critical: false };
/// How much of a log is replayed at the speed at which it was recorded.
const SLICE_NS: u64 = 1_000_000_000;

struct Log {
    path: &'static str,
    sha256: &'static str,
}

/// One record to be made.
struct Entry {
    kind: u16,
    time_ns: u64,
    body: Vec<u8>,
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The logs' packages, from the client's own cache where they are there already.
fn fetch() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        File::create(dir.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    };
    put("Cargo.toml", MANIFEST);
    put("lib.rs", "");
    let vendor = |more: &[&str]| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["vendor", "--quiet", "--versioned-dirs"]).args(more).arg("packages");
        cargo.current_dir(dir.path()).output().unwrap()
    };
    let mut fetched = vendor(&["--offline"]);
    if !fetched.status.success() {
        fetched = vendor(&[]);
    }
    assert!(
        fetched.status.success(),
        "cannot fetch the logs; with a network, run: cargo vendor --versioned-dirs packages, in a \
         package with\n{MANIFEST}\n{}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    dir
}

impl Log {
    fn read(&self, packages: &TempDir) -> Vec<u8> {
        let path = packages.path().join("packages").join(self.path);
        let sum = said(&Command::new("sha256sum").arg(&path).output().unwrap());
        assert!(sum.starts_with(self.sha256), "{} is another one: {sum}", self.path);
        fs::read(path).unwrap()
    }
}

/// Frames with their times: 8 bytes of microseconds since 1970, then the frame.
fn tlog_entries(mut log: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((time, rest)) = log.split_first_chunk::<8>() {
        let time_us = u64::from_be_bytes(*time);
        let len = match rest[0] {
            0xfe => 8 + usize::from(rest[1]),
            0xfd => 12 + usize::from(rest[1]) + if rest[2] & 1 == 0 { 0 } else { 13 },
            other => panic!("no frame begins with {other:#x}"),
        };
        let (frame, behind) = rest.split_at(len);
        let body = ReceivedMavlinkRaw {
            link: 1,
            direction: Direction::default(),
            verdict: FrameVerdict::default(),
            redacted: false,
            frame: frame.to_vec(),
        };
        let (kind, time_ns) = (ReceivedMavlinkRaw::SCHEMA.kind, time_us * 1000);
        entries.push(Entry { kind, time_ns, body: body.to_bytes() });
        log = behind;
    }
    entries
}

/// The log that these records are of.
fn tlog_of(entries: &[Entry]) -> Vec<u8> {
    let mut log = Vec::new();
    for entry in entries {
        log.extend((entry.time_ns / 1000).to_be_bytes());
        log.extend(ReceivedMavlinkRaw::decode(&entry.body).frame);
    }
    log
}

fn ulog_body(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![kind];
    payload.to_vec().put(&mut body);
    body
}

/// Messages: 2 bytes of length, the kind, the payload; behind a head of 16 bytes with its time.
fn ulog_entries(log: &[u8]) -> Vec<Entry> {
    let (head, mut rest) = log.split_at(16);
    assert_eq!(&head[..7], b"ULog\x01\x12\x35");
    let time = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap()) * 1000;
    let mut time_ns = time(&head[8..]);
    let mut entries = vec![Entry { kind: ULOG, time_ns, body: ulog_body(ULOG_HEAD, head) }];
    while let [low, high, kind, behind @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (payload, behind) = behind.split_at(len);
        if *kind == b'D' {
            time_ns = time_ns.max(time(&payload[2..]));
        }
        entries.push(Entry { kind: ULOG, time_ns, body: ulog_body(*kind, payload) });
        rest = behind;
    }
    assert!(rest.is_empty());
    entries
}

fn ulog_of(entries: &[Entry]) -> Vec<u8> {
    let mut log = Vec::new();
    for Entry { body, .. } in entries {
        let (kind, mut rest) = (body[0], &body[1..]);
        let payload = Vec::<u8>::take(&mut rest).unwrap();
        if kind != ULOG_HEAD {
            log.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
            log.push(kind);
        }
        log.extend(payload);
    }
    log
}

fn ulog_schema() -> TypeSchema {
    let field = |name: &'static str, kind| Field { name: name.into(), kind, doc: "".into() };
    let fields = vec![field("message", Kind::U8), field("payload", Kind::Bytes)];
    let schema = Schema { kind: ULOG, name: "".into(), doc: "".into(), fields: fields.into() };
    TypeSchema { described: ULOG, name: "UlogMessage".to_owned(), fields: schema.fields_text() }
}

/// Pushes them all, those of the first part at the speed at which they were recorded.
fn push<W: Words>(mut producer: Producer<W>, entries: &[Entry], slice_ns: u64) {
    let (begun, first_ns) = (Instant::now(), entries[0].time_ns);
    for Entry { kind, time_ns, body } in entries {
        let due = Duration::from_nanos(time_ns.saturating_sub(first_ns));
        while due.as_nanos() < u128::from(slice_ns) && begun.elapsed() < due {
            thread::park_timeout(due - begun.elapsed().min(due));
        }
        assert!(producer.push(*kind, *time_ns, body), "the ring is large enough");
    }
}

/// A flight of these records: through a ring of this process, or a shared one.
fn record(dir: &Path, entries: &[Entry], shared: bool, slice_ns: u64) -> PathBuf {
    let (flight, rings) = (dir.join("flight"), dir.join("rings"));
    for dir in [&flight, &rings] {
        fs::create_dir(dir).unwrap();
    }
    let policy = Policy { segment_bytes: 1 << 20, ..Policy::default() };
    let mut writer = Writer::new(Disk::new(&flight), flight_id(), [0; 16], policy);
    writer.describe(ulog_schema(), now());
    let recorder = Recorder::start(writer, Some(&rings)).unwrap();
    if shared {
        let ring = recorder.shared("log", RING).unwrap();
        push(attach(&ring).unwrap(), entries, slice_ns);
    } else {
        push(recorder.producer("log", RING).unwrap(), entries, slice_ns);
    }
    let ring = rings.join("log.ring");
    while shared && !drained(&ring) {
        thread::yield_now();
    }
    let stopped = recorder.stop("the log is over").unwrap();
    assert!(stopped.durable && stopped.drained, "{stopped:?}");
    flight
}

/// Whether the recorder took everything that was published.
fn drained(ring: &Path) -> bool {
    let bytes = fs::read(ring).unwrap();
    bytes[64..72] == bytes[128..136]
}

/// The records of this type, by a reader.
fn read(flight: &Path, kind: u16) -> Vec<Entry> {
    let flight = Flight::open(Disk::new(flight)).unwrap();
    let mut entries = Vec::new();
    flight.read(&Wanted { types: [kind].into(), ..Wanted::default() }, |record| {
        assert_eq!(record.head.source_seq, u64::try_from(entries.len()).unwrap());
        let (time_ns, body) = (record.head.time_ns, record.body.to_vec());
        entries.push(Entry { kind, time_ns, body });
        ControlFlow::Continue(())
    });
    let report = verify(&flight, |_| {});
    assert!(report.clean() && !report.lost() && report.unknown.is_empty(), "{report:?}");
    entries
}

fn same_times(entries: &[Entry], read: &[Entry]) {
    let times = |all: &[Entry]| all.iter().map(|one| one.time_ns).collect::<Vec<_>>();
    assert_eq!(times(entries), times(read));
}

#[test]
fn frames_of_mavlink_come_out_as_they_went_in_at_their_own_speed_and_at_any() {
    let log = TLOG.read(&fetch());
    let entries = tlog_entries(&log);
    assert_eq!((entries.len(), tlog_of(&entries) == log), (1426, true));
    for (shared, slice_ns) in [(true, SLICE_NS), (true, 0), (false, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let flight = record(dir.path(), &entries, shared, slice_ns);
        let read = read(&flight, ReceivedMavlinkRaw::SCHEMA.kind);
        assert!(tlog_of(&read) == log, "shared {shared}, {slice_ns} ns");
        same_times(&entries, &read);
    }
}

#[test]
fn messages_of_px4_come_out_as_they_went_in_at_their_own_speed_and_at_any() {
    let packages = fetch();
    for (log, slice_ns) in ULOGS.iter().zip([SLICE_NS, 0]) {
        let bytes = log.read(&packages);
        let entries = ulog_entries(&bytes);
        assert!(entries.len() > 5000 && ulog_of(&entries) == bytes, "{}", entries.len());
        let dir = tempfile::tempdir().unwrap();
        let flight = record(dir.path(), &entries, slice_ns == 0, slice_ns);
        let read = read(&flight, ULOG);
        assert!(ulog_of(&read) == bytes, "{}", log.path);
        same_times(&entries, &read);
        assert_eq!(in_python(&flight), expected(&entries), "{}", log.path);
    }
}

/// What the package for Python reads of the messages.
fn in_python(flight: &Path) -> String {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/python");
    let mut python = Command::new("python3");
    python.arg(format!("{package}/tests/read.py")).arg(flight);
    python.env("PYTHONPATH", package).env("PYTHONDONTWRITEBYTECODE", "1");
    let all = said(&python.output().expect("python3 is there: apt-get install python3"));
    let kind = format!("{ULOG} ");
    let mut text = String::new();
    for line in all.lines().filter(|line| line.starts_with(&kind)) {
        let words: Vec<&str> = line.split(' ').collect();
        writeln!(text, "{} {} {}", words[2], words[5], words[6]).unwrap();
    }
    assert!(!all.contains("trouble"), "{all}");
    text
}

/// Time, length and checksum of each, from the log itself.
fn expected(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, Entry { time_ns, body, .. }| {
        writeln!(text, "{time_ns} {} {}", body.len(), crc32fast::hash(body)).unwrap();
        text
    })
}
