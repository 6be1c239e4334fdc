//! Recordings for the tests of `flight`, with known contents.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use groundcrew_recorder::body::types::{
    LogLevel, LogLine, MetricKind, MetricSample, SourceAttached, TypeSchema,
};
use groundcrew_recorder::body::{Body, Field, Kind, Schema};
use groundcrew_recorder::flight_dir::FlightDir;
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::Manifest;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};
use serde_json::Value;

use crate::bench::BINARY;

/// 2026-01-31T12:00:00Z.
pub(crate) const BEGUN_MS: u64 = 1_769_860_800_000;
/// Where the flight's clock stood then.
pub(crate) const BEGUN_NS: u64 = 5_000_000_000;
/// A type of a user's, which is described.
pub(crate) const POSE: u16 = 0x8001;
/// One that is not.
pub(crate) const STRANGE: u16 = 0x8002;

/// A directory of recordings.
pub(crate) struct Recordings {
    dir: tempfile::TempDir,
}

/// A flight that is being recorded.
pub(crate) struct Recording {
    pub(crate) writer: Writer<Disk>,
    pub(crate) dir: FlightDir,
    pub(crate) now: Moment,
    next: [u64; 2],
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "{word:?}: {self:?}");
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Segments small enough that a few hundred records have several.
pub(crate) const SMALL: Policy = Policy {
    sync_after_ns: 50_000_000,
    sync_bytes: 3000,
    segment_bytes: 8000,
    flight_bytes: u64::MAX,
};

impl Recordings {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A flight of so many records whose recorder did not live to end it.
    pub(crate) fn left_open(&self, records: u64) -> FlightDir {
        let mut open = self.begin(0, SMALL);
        open.fly(records);
        open.writer.sync(open.now);
        open.dir.clone()
    }

    /// Begins a flight so many seconds after [`BEGUN_MS`].
    pub(crate) fn begin(&self, after_s: u64, policy: Policy) -> Recording {
        let utc_ms = BEGUN_MS + after_s * 1000;
        let flight = FlightId::new(utc_ms, [u8::try_from(after_s % 251).unwrap(); 10]);
        let now = Moment { time_ns: BEGUN_NS, utc_ns: i64::try_from(utc_ms * 1_000_000).unwrap() };
        let header = Header {
            flight,
            boot: [9; 16],
            number: 0,
            first_seq: 0,
            time_ns: now.time_ns,
            utc_ns: now.utc_ns,
        };
        let manifest = Manifest { host: "bench".to_owned(), ..Manifest::of(&header) };
        let dir = FlightDir::create(self.path(), &manifest).unwrap();
        let mut writer = Writer::new(dir.segments(), flight, [9; 16], policy);
        for (attached, name) in [(7, "nav"), (8, "camera")] {
            let name = name.to_owned();
            let source = SourceAttached { attached, name, pid: 1, critical: false };
            writer.attach(source, 0, now);
        }
        writer.describe(pose_schema(), now);
        Recording { writer, dir, now, next: [0; 2] }
    }

    /// A flight of `records` records, ended as it should be.
    pub(crate) fn whole(&self, after_s: u64, records: u64) -> FlightDir {
        let mut recording = self.begin(after_s, SMALL);
        recording.fly(records);
        recording.writer.finish("landed", recording.now);
        recording.dir
    }

    /// Runs `groundcrew flight` on these recordings.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("flight").args(args).env("GROUNDCREW_RECORDINGS", self.path());
        command.env("GROUNDCREW_CONFIG", self.path().join("none.toml"));
        command
    }
}

impl Recording {
    pub(crate) fn give<B: Body>(&mut self, source: u16, body: &B) {
        self.give_bytes(source, B::SCHEMA.kind, &body.to_bytes());
    }

    pub(crate) fn give_bytes(&mut self, source: u16, kind: u16, body: &[u8]) {
        let next = &mut self.next[usize::from(source - 7)];
        let entry = Entry { kind, source, time_ns: self.now.time_ns, source_seq: *next, body };
        *next += 1;
        self.writer.append(entry, self.now);
    }

    /// 10 ms pass.
    pub(crate) fn pass(&mut self) {
        self.now.time_ns += 10_000_000;
        self.now.utc_ns += 10_000_000;
        self.writer.tick(self.now);
    }

    /// A metric every 10 ms; of ten a pose, of 50 a line of a log and a strange record.
    pub(crate) fn fly(&mut self, records: u64) {
        for number in 0..records {
            let value = f64::from(u32::try_from(number).unwrap());
            let name = "frames".to_owned();
            let kind = MetricKind::Counter;
            self.give(7, &MetricSample { name, kind, value, ..Default::default() });
            if number % 10 == 0 {
                self.give_bytes(8, POSE, &pose(value));
            }
            if number % 50 == 0 {
                let message = format!("say \"{number}\", please\nnow");
                let target = "camera".to_owned();
                self.give(8, &LogLine { level: LogLevel::Warn, target, message });
                self.give_bytes(8, STRANGE, &[1, 2, 3]);
            }
            self.pass();
        }
    }
}

/// How a user's type is described.
fn pose_schema() -> TypeSchema {
    let field = |name: &'static str, kind| Field { name: name.into(), kind, doc: "".into() };
    let fields = vec![field("x_m", Kind::F64), field("tag", Kind::Text)];
    let schema = Schema { kind: POSE, name: "Pose".into(), doc: "".into(), fields: fields.into() };
    TypeSchema { described: POSE, name: "Pose".to_owned(), fields: schema.fields_text() }
}

fn pose(x_m: f64) -> Vec<u8> {
    let mut body = x_m.to_le_bytes().to_vec();
    body.extend_from_slice(&2_u16.to_le_bytes());
    body.extend_from_slice(b"ok");
    body
}

/// The segment files of a flight, by number.
pub(crate) fn segments(flight: &FlightDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(flight.segments().path()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
