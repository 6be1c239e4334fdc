//! The recorder at work: producers in this process and in others, and what a reader gets of them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::{
    ComponentLifecycleEvent, Ending, FlightFooter, Overrun, SourceAttached, SourceEnded,
};
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::reader::verify::{Report, verify};
use groundcrew_recorder::recorder::{NoRing, Options, Recorder, now};
use groundcrew_recorder::ring::shared::attach;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, RECORDER, Writer};
use tempfile::TempDir;

use crate::model::Chance;
use crate::ring::body::{KIND, body};
use crate::ring::{Pusher, start};
use crate::world::flight_id;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often the recorder is killed.
const KILLS: u64 = 30;
/// Far more than fit into a small ring.
const FLOOD: u64 = 20_000;
pub(crate) const SMALL: Options = Options { bytes: 0, critical: false };

pub(crate) struct Place {
    dir: TempDir,
    flights: u32,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("rings")).unwrap();
        Self { dir, flights: 0 }
    }

    pub(crate) fn rings(&self) -> PathBuf {
        self.dir.path().join("rings")
    }

    /// A recorder of the next flight.
    pub(crate) fn start(&mut self) -> Recorder {
        let writer = self.writer();
        Recorder::start(writer, Some(&self.rings())).unwrap()
    }

    /// A writer of the next flight.
    pub(crate) fn writer(&mut self) -> Writer<Disk> {
        self.flights += 1;
        std::fs::create_dir(self.flight()).unwrap();
        Writer::new(Disk::new(self.flight()), flight_id(), [0; 16], Policy::default())
    }

    pub(crate) fn flight(&self) -> PathBuf {
        self.dir.path().join(self.flights.to_string())
    }

    pub(crate) fn read(&self) -> Read {
        Read::new(&self.flight())
    }
}

/// What a reader gets of a source.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    attached: Vec<SourceAttached>,
    ended: Vec<SourceEnded>,
    pub(crate) numbers: BTreeSet<u64>,
    pub(crate) lost: BTreeSet<u64>,
}

pub(crate) struct Read {
    /// By the source's name.
    pub(crate) sources: BTreeMap<String, Heard>,
    events: Vec<ComponentLifecycleEvent>,
    pub(crate) footers: Vec<FlightFooter>,
    pub(crate) report: Report,
}

impl Read {
    pub(crate) fn new(dir: &Path) -> Self {
        let flight = Flight::open(Disk::new(dir)).unwrap();
        let mut sources: BTreeMap<u16, Heard> = BTreeMap::new();
        let (mut events, mut footers) = (Vec::new(), Vec::new());
        flight.read(&Wanted::default(), |record| {
            let head = record.head;
            if head.source != RECORDER {
                assert_eq!((head.kind, head.time_ns), (KIND, head.source_seq));
                assert_eq!(record.body, body(head.source_seq), "record {}", head.source_seq);
                let heard = sources.get_mut(&head.source).expect("attached before its records");
                assert!(heard.numbers.insert(head.source_seq), "{} twice", head.source_seq);
            } else if head.kind == SourceAttached::SCHEMA.kind {
                let attached = SourceAttached::decode(record.body);
                sources.entry(attached.attached).or_default().attached.push(attached);
            } else if head.kind == SourceEnded::SCHEMA.kind {
                let ended = SourceEnded::decode(record.body);
                sources.entry(ended.ended).or_default().ended.push(ended);
            } else if head.kind == Overrun::SCHEMA.kind {
                let overrun = Overrun::decode(record.body);
                let lost = overrun.first_source_seq..=overrun.last_source_seq;
                assert_eq!(overrun.count, overrun.last_source_seq - overrun.first_source_seq + 1);
                let heard = sources.get_mut(&overrun.lost_source).unwrap();
                for number in lost {
                    assert!(heard.lost.insert(number), "{number} is lost twice");
                }
            } else if head.kind == ComponentLifecycleEvent::SCHEMA.kind {
                events.push(ComponentLifecycleEvent::decode(record.body));
            } else if head.kind == FlightFooter::SCHEMA.kind {
                footers.push(FlightFooter::decode(record.body));
            }
            ControlFlow::Continue(())
        });
        let name = |heard: Heard| (heard.attached[0].name.clone(), heard);
        let sources = sources.into_values().map(name).collect();
        Self { sources, events, footers, report: verify(&flight, |_| {}) }
    }

    /// What came of a source, after a look at whether every number of it came or was told lost.
    pub(crate) fn exactly(&self, name: &str) -> &Heard {
        let heard = &self.sources[name];
        let made = heard.ended.last().expect("it ended").made;
        assert_eq!(self.met(name), (0..made).collect(), "{name}: read and lost are what was made");
        heard
    }

    /// The numbers of a source that came or were told lost.
    pub(crate) fn met(&self, name: &str) -> BTreeSet<u64> {
        let Some(heard) = self.sources.get(name) else { return BTreeSet::new() };
        assert!(heard.numbers.is_disjoint(&heard.lost), "{name}: lost and came");
        heard.numbers.union(&heard.lost).copied().collect()
    }
}

#[test]
fn rec_4_what_is_read_and_what_is_told_lost_is_what_was_made() {
    let mut place = Place::new();
    let recorder = place.start();
    let processes: Vec<Pusher> =
        ["p", "q"].map(|name| start(&recorder.shared(name, SMALL).unwrap(), Some(FLOOD))).into();
    let threads = ["a", "b", "c"].map(|name| {
        let mut producer = recorder.producer(name, SMALL).unwrap();
        let push = move || {
            let mut pushed = BTreeSet::new();
            for number in 0..FLOOD {
                if producer.push(KIND, number, &body(number)) {
                    pushed.insert(number);
                }
            }
            pushed
        };
        (name, thread::spawn(push))
    });
    let pushed = threads.map(|(name, thread)| (name, thread.join().unwrap()));
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let stopped = recorder.stop("test").unwrap();
    assert!(stopped.drained && stopped.durable, "{stopped:?}");
    let read = place.read();
    for (name, pushed) in pushed {
        let heard = read.exactly(name);
        assert_eq!(heard.numbers, pushed, "{name}: what was accepted came");
        assert_eq!(heard.ended[0].made, FLOOD);
    }
    for name in ["p", "q"] {
        let heard = read.exactly(name);
        assert_eq!((heard.ended[0].made, heard.ended[0].how), (FLOOD, Ending::Detached));
    }
    let lost: usize = read.sources.values().map(|heard| heard.lost.len()).sum();
    assert!(lost > 1000, "the rings were too large: {lost} lost");
    assert_eq!(stopped.footer.records_dropped_overrun, u64::try_from(lost).unwrap());
    assert!(read.report.silent.is_empty() && !read.report.damaged(), "{:?}", read.report);
    assert_eq!(read.footers, [stopped.footer]);
}

#[test]
fn rec_7_what_was_accepted_before_the_stop_is_in_the_flight() {
    let mut place = Place::new();
    for _ in 0..20 {
        let recorder = place.start();
        let threads: Vec<_> = (0..3)
            .map(|number: u32| {
                let options = Options { critical: number == 0, ..SMALL };
                let mut producer = recorder.producer(&number.to_string(), options).unwrap();
                thread::spawn(move || {
                    let (mut pushed, mut number) = (BTreeSet::new(), 0);
                    // Until it is closed: then it refuses for good.
                    let mut refused_since = Instant::now();
                    while refused_since.elapsed() < Duration::from_millis(300) {
                        if producer.push(KIND, number, &body(number)) {
                            pushed.insert(number);
                            refused_since = Instant::now();
                        }
                        number += 1;
                    }
                    pushed
                })
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while !place.flight().join("seg_00000.bin.tmp").exists() {
            assert!(Instant::now() < deadline);
        }
        let stopped = recorder.stop("test").unwrap();
        assert!(stopped.drained && stopped.durable, "{stopped:?}");
        let read = place.read();
        for (number, thread) in threads.into_iter().enumerate() {
            let heard = read.exactly(&number.to_string());
            assert_eq!(heard.numbers, thread.join().unwrap(), "{number}");
            assert_eq!(heard.attached[0].critical, number == 0);
        }
    }
}

#[test]
fn rec_13_bulk_in_flood_takes_no_room_from_critical_records() {
    let mut place = Place::new();
    let recorder = place.start();
    let mut bulk = recorder.producer("bulk", SMALL).unwrap();
    let critical = Options { bytes: 1 << 18, critical: true };
    let mut critical = recorder.producer("critical", critical).unwrap();
    for number in 0..FLOOD {
        bulk.push(KIND, number, &body(number));
        if number % 40 == 0 {
            let number = number / 40;
            assert!(critical.push(KIND, number, &body(number)));
        }
    }
    recorder.stop("test").unwrap();
    let read = place.read();
    assert!(!read.exactly("bulk").lost.is_empty());
    assert_eq!(read.exactly("critical").numbers, (0..FLOOD / 40).collect());
}

/// Waits until the flight says of a source that it ended so often.
fn wait_for_end(place: &Place, name: &str, times: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{name} did not end");
        let there = std::fs::read_dir(place.flight()).unwrap().next().is_some();
        if there
            && Read::new(&place.flight())
                .sources
                .get(name)
                .is_some_and(|heard| heard.ended.len() >= times)
        {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn rec_3_a_producer_that_is_killed_has_died_and_the_next_one_numbers_on() {
    let mut place = Place::new();
    let recorder = place.start();
    let path = recorder.shared("app", Options::default()).unwrap();
    for times in 1..=2 {
        let mut process = start(&path, None);
        let head = || {
            let bytes = std::fs::read(&path).unwrap();
            u64::from_le_bytes(bytes[64..72].try_into().unwrap())
        };
        let (before, deadline) = (head(), Instant::now() + PATIENCE);
        while head() < before + 10_000 {
            assert!(Instant::now() < deadline);
        }
        process.kill().unwrap();
        process.wait().unwrap();
        wait_for_end(&place, "app", times);
    }
    assert!(start(&path, Some(3)).wait().unwrap().success());
    wait_for_end(&place, "app", 3);
    recorder.stop("test").unwrap();
    let read = place.read();
    let heard = read.exactly("app");
    let hows: Vec<Ending> = heard.ended.iter().map(|ended| ended.how).collect();
    assert_eq!(hows, [Ending::Died, Ending::Died, Ending::Detached]);
    let pids: BTreeSet<u32> = heard.attached.iter().map(|attached| attached.pid).collect();
    assert_eq!((heard.attached.len(), pids.len()), (3, 3), "{:?}", heard.attached);
    assert!(read.report.silent.is_empty(), "{:?}", read.report);
}

#[test]
fn rec_3_a_later_recorder_takes_over_what_lies_in_the_rings() {
    let mut place = Place::new();
    let recorder = place.start();
    let path = recorder.shared("app", SMALL).unwrap();
    assert_eq!(recorder.shared("app", SMALL).unwrap(), path, "it is there already");
    recorder.stop("test").unwrap();
    let mut producer = attach(&path).unwrap();
    let mut pushed = BTreeSet::new();
    while producer.push(KIND, producer.made(), &body(producer.made())) {
        pushed.insert(producer.made() - 1);
    }
    std::fs::File::create(place.rings().join("broken.ring")).unwrap();
    let recorder = place.start();
    drop(producer);
    wait_for_end(&place, "app", 1);
    recorder.stop("test").unwrap();
    let read = place.read();
    let heard = read.exactly("app");
    assert_eq!(heard.numbers, pushed);
    assert_eq!(heard.lost.len(), 1);
    let refused: Vec<_> =
        read.events.iter().map(|event| (&*event.component, &*event.event)).collect();
    assert_eq!(refused, [("broken", "fdr_ring_refused")]);
    // What was taken is not taken twice.
    let recorder = place.start();
    recorder.stop("test").unwrap();
    assert!(place.read().sources["app"].numbers.is_empty());
}

#[test]
fn a_producer_cannot_speak_for_the_recorder() {
    let mut place = Place::new();
    let recorder = place.start();
    let mut producer = recorder.producer("liar", SMALL).unwrap();
    let footer = FlightFooter { clean_shutdown: true, ..FlightFooter::default() };
    assert!(producer.push(FlightFooter::SCHEMA.kind, 0, &footer.to_bytes()));
    assert!(producer.push(KIND, 1, &body(1)));
    let stopped = recorder.stop("test").unwrap();
    let read = place.read();
    assert_eq!(read.footers, [stopped.footer]);
    let heard = read.exactly("liar");
    assert_eq!((heard.numbers.len(), heard.lost.len()), (1, 1));
    assert!(read.events[0].detail.contains("type 0x0011 from a producer"), "{:?}", read.events);
}

#[test]
fn a_ring_that_is_cut_is_given_up_and_told_and_the_others_go_on() {
    let mut place = Place::new();
    let recorder = place.start();
    let cut = recorder.shared("cut", SMALL).unwrap();
    let mut good = recorder.producer("good", SMALL).unwrap();
    std::fs::File::options().write(true).open(&cut).unwrap().set_len(100).unwrap();
    assert!(good.push(KIND, 0, &body(0)));
    recorder.stop("test").unwrap();
    let read = place.read();
    assert_eq!(read.exactly("good").numbers.len(), 1);
    let event = &read.events[0];
    assert_eq!((&*event.component, &*event.event), ("cut", "fdr_ring_given_up"));
    assert_eq!(event.detail, "the file ends before the ring does");
}

#[test]
fn names_of_rings_are_plain() {
    let mut place = Place::new();
    let recorder = place.start();
    for name in ["", ".", "..", "a/b", "ü", "a b", &"x".repeat(65)] {
        assert!(matches!(recorder.producer(name, SMALL), Err(NoRing::Name(_))), "{name}");
        assert!(matches!(recorder.shared(name, SMALL), Err(NoRing::Name(_))), "{name}");
    }
    recorder.stop("test").unwrap();
    assert!(now().time_ns > 0);
}

#[test]
fn rec_4_a_loss_is_told_while_its_producer_is_there_and_silent() {
    let mut place = Place::new();
    let recorder = place.start();
    let mut producer = recorder.producer("quiet", SMALL).unwrap();
    assert!(producer.push(KIND, 0, &body(0)));
    assert!(!producer.push(KIND, 1, &[0; 5000]));
    let deadline = Instant::now() + PATIENCE;
    let lost = |place: &Place| {
        std::fs::read_dir(place.flight()).unwrap().next().is_some()
            && place.read().sources.get("quiet").is_some_and(|heard| heard.lost.contains(&1))
    };
    while !lost(&place) {
        assert!(Instant::now() < deadline, "the loss is not told");
        thread::yield_now();
    }
    assert!(recorder.stop("test").unwrap().drained);
}

#[test]
fn rec_3_no_published_record_is_lost_when_the_recorder_is_killed() {
    let mut place = Place::new();
    let recorder = place.start();
    let path = recorder.shared("app", Options { bytes: 1 << 16, critical: false }).unwrap();
    recorder.stop("test").unwrap();
    let ring = std::fs::File::open(&path).unwrap();
    let field = |at: u64| {
        let mut bytes = [0; 8];
        ring.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    let (mut chance, deadline) = (Chance::new(5), Instant::now() + PATIENCE);
    let mut producer = start(&path, None);
    let mut flights = Vec::new();
    for kill in 0..KILLS {
        let dir = place.dir.path().join(format!("killed-{kill}"));
        std::fs::create_dir(&dir).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_record-for-tests"));
        let mut process = command.arg(&dir).arg(place.rings()).spawn().unwrap();
        flights.push(dir);
        // The instant of its death is a number of bytes that it took.
        let until = field(128) + chance.below(1 << 18) + 1;
        while field(128) < until {
            assert!(Instant::now() < deadline, "it records");
        }
        process.kill().unwrap();
        process.wait().unwrap();
        if kill % 10 == 5 {
            producer.kill().unwrap();
            producer.wait().unwrap();
            producer = start(&path, None);
        }
    }
    producer.kill().unwrap();
    producer.wait().unwrap();
    let recorder = place.start();
    wait_for_end(&place, "app", 1);
    recorder.stop("test").unwrap();
    flights.push(place.flight());
    let made = field(72);
    let (mut came, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for dir in flights {
        let mut read = Read::new(&dir);
        let heard = read.sources.remove("app").unwrap_or_default();
        came.extend(heard.numbers);
        lost.extend(heard.lost);
    }
    // A loss may be told again by the next one, as a record may come again; both cannot be.
    assert!(came.is_disjoint(&lost));
    came.extend(&lost);
    assert_eq!(came, (0..made).collect(), "read and lost are what was made");
    assert!(lost.len() < came.len());
}
