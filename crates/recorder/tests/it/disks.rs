//! Real disks that fill up, turn read-only and come back under a recorder at work.
//!
//! The tests mount file systems, so each runs in a mount namespace of its own, which is this program
//! again: nothing stays mounted, however a test ends.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::{ComponentLifecycleEvent, FlightFooter, Overrun};
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::reader::verify::{Report, verify};
use groundcrew_recorder::recorder::{Options, Recorder, now};
use groundcrew_recorder::recover::recover;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, RECORDER, Writer};

use crate::ring::body::{KIND, body};
use crate::world::flight_id;

/// Says to the program that it runs inside.
const INSIDE: &str = "GROUNDCREW_TEST_INSIDE";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The disk that is filled.
const DISK_BYTES: u64 = 64 << 20;
/// Small segments, so that room is made in small steps; the disk is the bound.
const POLICY: Policy = Policy {
    sync_after_ns: 100_000_000,
    sync_bytes: 8 << 20,
    segment_bytes: 2 << 20,
    flight_bytes: 64_000_000_000,
};

/// Runs a test in a mount namespace of its own.
fn inside(name: &str, test: fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    if std::env::var_os(INSIDE).is_some() {
        return test(dir.path());
    }
    let mut again = Command::new("unshare");
    again.args(["--mount", "--"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env("TMPDIR", dir.path());
    let ended = again.status().expect("unshare is there: apt-get install util-linux");
    assert!(ended.success(), "{name}: {ended}; mounting needs root");
}

#[track_caller]
fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// A producer that goes on until it is told to end.
struct Producing {
    end: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<BTreeSet<u64>>,
}

impl Producing {
    /// In a thread of its own, at some megabytes per second.
    fn start(recorder: &Recorder, name: &str, critical: bool, at_once: u64) -> Self {
        let mut producer = recorder.producer(name, Options { bytes: 1 << 20, critical }).unwrap();
        let (end, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (Arc::clone(&end), Arc::clone(&made));
        let thread = thread::spawn(move || {
            let mut pushed = BTreeSet::new();
            while !told.load(Ordering::Relaxed) {
                for _ in 0..at_once {
                    let number = producer.made();
                    if producer.push(KIND, number, &long(number)) {
                        pushed.insert(number);
                    }
                }
                count.store(producer.made(), Ordering::Relaxed);
                thread::park_timeout(Duration::from_millis(1));
            }
            pushed
        });
        Self { end, made, thread }
    }

    /// Waits until so many more were made.
    fn wait_for_more(&self, count: u64) {
        let until = self.made.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PATIENCE;
        while self.made.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "it produces");
            thread::yield_now();
        }
    }

    /// The numbers that its ring took, and how many it made.
    fn end(self) -> (BTreeSet<u64>, u64) {
        self.end.store(true, Ordering::Relaxed);
        let pushed = self.thread.join().unwrap();
        (pushed, self.made.load(Ordering::Relaxed))
    }
}

/// A body of some hundred bytes.
fn long(number: u64) -> Vec<u8> {
    body(number).repeat(4)
}

/// What a reader gets.
#[derive(Debug)]
struct Read {
    /// By source, numbers that came and numbers that were told lost.
    came: BTreeMap<u16, BTreeSet<u64>>,
    lost: BTreeMap<u16, BTreeSet<u64>>,
    /// What went wrong, as the recorder tells it.
    events: BTreeSet<String>,
    report: Report,
}

fn read(dir: &Path) -> Read {
    let flight = Flight::open(Disk::new(dir)).unwrap();
    let (mut came, mut lost) = (BTreeMap::new(), BTreeMap::new());
    let mut events = BTreeSet::new();
    let numbers = |of: &mut BTreeMap<u16, BTreeSet<u64>>, source, number| {
        assert!(of.entry(source).or_default().insert(number), "{source}: {number} twice");
    };
    flight.read(&Wanted::default(), |record| {
        let head = record.head;
        if head.source != RECORDER {
            assert_eq!((head.kind, head.time_ns), (KIND, head.source_seq));
            assert_eq!(record.body, long(head.source_seq), "record {}", head.source_seq);
            numbers(&mut came, head.source, head.source_seq);
        } else if head.kind == Overrun::SCHEMA.kind {
            let overrun = Overrun::decode(record.body);
            for number in overrun.first_source_seq..=overrun.last_source_seq {
                numbers(&mut lost, overrun.lost_source, number);
            }
        } else if head.kind == ComponentLifecycleEvent::SCHEMA.kind {
            events.insert(ComponentLifecycleEvent::decode(record.body).event);
        }
        ControlFlow::Continue(())
    });
    Read { came, lost, events, report: verify(&flight, |_| {}) }
}

fn recorder(dir: &Path, policy: Policy) -> Recorder {
    let writer = Writer::new(Disk::new(dir), flight_id(), [0; 16], policy);
    Recorder::start(writer, None).unwrap()
}

/// Takes all room of a disk until it is told to give it back.
fn fill(path: PathBuf, end: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut file = File::create(&path).unwrap();
        let piece = vec![0x55; 4 << 10];
        while !end.load(Ordering::Relaxed) {
            if let Err(error) = file.write_all(&piece) {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
                thread::yield_now();
            }
        }
        fs::remove_file(&path).unwrap();
    })
}

#[test]
fn rec_8_a_disk_that_others_fill_and_free_costs_what_is_told_and_nothing_else() {
    inside(
        "disks::rec_8_a_disk_that_others_fill_and_free_costs_what_is_told_and_nothing_else",
        |dir| {
            let disk = dir.join("disk");
            fs::create_dir(&disk).unwrap();
            let size = format!("size={DISK_BYTES}");
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", disk.to_str().unwrap()]);
            let flight = disk.join("flight");
            fs::create_dir(&flight).unwrap();
            let recorder = recorder(&flight, POLICY);
            let bulk = Producing::start(&recorder, "bulk", false, 50);
            let critical = Producing::start(&recorder, "critical", true, 1);
            bulk.wait_for_more(20_000);
            let end = Arc::new(AtomicBool::new(false));
            let filler = fill(disk.join("fill"), Arc::clone(&end));
            // Far more than memory holds while there is no room.
            bulk.wait_for_more(60_000);
            end.store(true, Ordering::Relaxed);
            filler.join().unwrap();
            bulk.wait_for_more(20_000);
            let produced = [bulk.end(), critical.end()];
            let stopped = recorder.stop("test").unwrap();
            assert!(stopped.durable && stopped.drained, "{stopped:?}");
            let read = read(&flight);
            all_is_accounted_for(&read, &stopped.footer, &produced);
            let footer = &stopped.footer;
            assert!(footer.records_evicted > 0, "{footer:?}");
            assert!(footer.records_dropped_overrun > 0, "{footer:?}");
            assert!(read.events.contains("fdr_segment_dropped"), "{:?}", read.events);
            assert!(read.events.iter().any(failed), "{:?}", read.events);
        },
    );
}

/// A file system that turns read-only at its first error, as those of hosts do.
struct Ext4 {
    image: PathBuf,
    at: PathBuf,
}

impl Ext4 {
    fn make(dir: &Path) -> Self {
        let made = Self { image: dir.join("image"), at: dir.join("disk") };
        File::create(&made.image).unwrap().set_len(DISK_BYTES).unwrap();
        fs::create_dir(&made.at).unwrap();
        run("mkfs.ext4", &["-q", "-F", made.image.to_str().unwrap()]);
        made.mount();
        made
    }

    fn mount(&self) {
        let (image, at) = (self.image.to_str().unwrap(), self.at.to_str().unwrap());
        run("mount", &["-t", "ext4", "-o", "loop,errors=remount-ro", image, at]);
    }

    /// What the kernel does where it meets an error on the disk.
    fn turn_read_only(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let at = self.at.to_str().unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(at)).unwrap();
        let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        let mut trigger = File::options().write(true).open(trigger).unwrap();
        trigger.write_all(b"a test").unwrap();
    }

    /// Mounts it anew, which nobody can who has a file open there.
    fn come_back(&self) {
        let deadline = Instant::now() + PATIENCE;
        let gone = || Command::new("umount").arg(&self.at).output().unwrap().status.success();
        while !gone() {
            assert!(Instant::now() < deadline, "the recorder keeps a file open that failed");
            thread::yield_now();
        }
        self.mount();
    }
}

#[test]
fn rec_8_a_disk_that_turns_read_only_in_mid_flight_and_comes_back_costs_what_is_told() {
    inside(
        "disks::rec_8_a_disk_that_turns_read_only_in_mid_flight_and_comes_back_costs_what_is_told",
        |dir| {
            let disk = Ext4::make(dir);
            let flight = disk.at.join("flight");
            fs::create_dir(&flight).unwrap();
            File::open(&disk.at).unwrap().sync_all().unwrap();
            // One segment, unless it fails: of the last sync before that the kernel may say yes
            // though nothing is kept, which a sealed one would not outlive.
            let policy = Policy { segment_bytes: DISK_BYTES, ..POLICY };
            let recorder = recorder(&flight, policy);
            let bulk = Producing::start(&recorder, "bulk", false, 10);
            let critical = Producing::start(&recorder, "critical", true, 1);
            for _ in 0..2 {
                bulk.wait_for_more(6_000);
                disk.turn_read_only();
                bulk.wait_for_more(1_000);
                disk.come_back();
            }
            bulk.wait_for_more(3_000);
            let produced = [bulk.end(), critical.end()];
            let stopped = recorder.stop("test").unwrap();
            assert!(stopped.durable && stopped.drained, "{stopped:?}");
            // A file whose first bytes never reached the disk is all that is left to put right.
            recover(&mut Disk::new(&flight), now()).unwrap();
            let read = read(&flight);
            all_is_accounted_for(&read, &stopped.footer, &produced);
            assert_eq!(stopped.footer.records_evicted, 0);
            assert!(read.events.iter().any(failed), "{:?}", read.events);
        },
    );
}

/// Whether the recorder told that it failed to write, in one way or another.
fn failed(event: &String) -> bool {
    event == "fdr_no_segment" || event.ends_with("_failed")
}

/// Records made are records read, told lost, and evicted, to the last one.
#[track_caller]
fn all_is_accounted_for(read: &Read, footer: &FlightFooter, produced: &[(BTreeSet<u64>, u64)]) {
    assert!(!read.report.damaged(), "{:?}", read.report);
    assert_eq!(read.report.footers.last(), Some(footer));
    let none = BTreeSet::new();
    for (source, (pushed, made)) in (1..).zip(produced) {
        let came = &read.came[&source];
        let lost = read.lost.get(&source).unwrap_or(&none);
        assert!(came.is_disjoint(lost), "{source}: lost and came");
        assert!(came.is_subset(pushed), "{source}: nothing came that was refused");
        // From the first that is there, everything was read or told lost.
        let first = came.iter().chain(lost).min().copied().unwrap();
        let all: BTreeSet<u64> = came.union(lost).copied().collect();
        assert_eq!(all, (first..*made).collect(), "{source}");
    }
    // By the writer's count: what it took in is there or was evicted.
    let (written, evicted) = (footer.records_written, footer.records_evicted);
    assert_eq!(read.report.records + evicted, written, "{footer:?}");
}
