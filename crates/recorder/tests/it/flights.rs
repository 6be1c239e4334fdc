//! One recorder, flight after flight: nothing is lost between them, and rings come and go.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::TypeSchema;
use groundcrew_recorder::recorder::{NoRing, NotChanged, Options, Recorder};
use groundcrew_recorder::ring::shared::attach;
use groundcrew_recorder::ring::{Producer, Words};
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, Writer, described_last};

use crate::recorder::{PATIENCE, Place, Read, SMALL};
use crate::ring::body::{KIND, body};

/// How many flights follow one another.
const FLIGHTS: usize = 20;

#[test]
fn rec_16_between_two_flights_nothing_is_lost_and_nothing_is_in_both() {
    let mut place = Place::new();
    let recorder = place.start();
    let rare = recorder.producer("rare", Options { bytes: 1 << 20, critical: true }).unwrap();
    let bulk = recorder.producer("bulk", Options { bytes: 1 << 16, critical: false }).unwrap();
    let shared = recorder.shared("shared", SMALL).unwrap();
    let shared = attach(&shared).unwrap();
    let end = AtomicBool::new(false);
    let ended = &end;
    let flights = thread::scope(|scope| {
        let one = scope.spawn(move || flood(rare, ended));
        let two = scope.spawn(move || flood(bulk, ended));
        let three = scope.spawn(move || flood(shared, ended));
        let mut flights = vec![place.flight()];
        for _ in 0..FLIGHTS {
            thread::sleep(Duration::from_millis(10));
            let next = place.writer();
            flights.push(place.flight());
            let stopped = recorder.change_flights(next, "another flight").unwrap();
            assert!(stopped.durable && stopped.footer.clean_shutdown);
        }
        ended.store(true, Ordering::Relaxed);
        let made = [one, two, three].map(|thread| thread.join().unwrap());
        recorder.stop("over").unwrap();
        let flights: Vec<Read> = flights.iter().map(|flight| Read::new(flight)).collect();
        for (name, made) in ["rare", "bulk", "shared"].into_iter().zip(made) {
            let mut all = BTreeSet::new();
            for flight in &flights {
                let met = flight.met(name);
                assert!(met.is_disjoint(&all), "{name}: in two flights");
                assert!(met.last() >= all.last() || met.is_empty(), "{name}: out of order");
                all.extend(met);
            }
            assert_eq!(all, (0..made).collect(), "{name}: read and lost are what was made");
        }
        flights
    });
    for flight in &flights {
        assert_eq!(flight.footers.len(), 1);
        assert!(!flight.report.damaged(), "{:?}", flight.report);
    }
    assert!(flights.iter().filter(|flight| flight.sources.len() == 3).count() >= 2);
}

/// Produces until told to end, with pauses; how many it made.
fn flood<W: Words>(mut producer: Producer<W>, end: &AtomicBool) -> u64 {
    while !end.load(Ordering::Relaxed) {
        for _ in 0..200 {
            let number = producer.made();
            producer.push(KIND, number, &body(number));
        }
        thread::yield_now();
    }
    producer.made()
}

#[test]
fn rec_16_what_went_to_another_flight_is_not_missing_where_the_recording_goes_on() {
    let mut place = Place::new();
    let recorder = place.start();
    let standing = Disk::new(place.flight());
    let mut producer = recorder.producer("app", SMALL).unwrap();
    let mut push = |count: u64| {
        for _ in 0..count {
            let number = producer.made();
            assert!(producer.push(KIND, number, &body(number)));
        }
    };
    push(3);
    recorder.change_flights(place.writer(), "a flight").unwrap();
    push(5);
    let again = Writer::resume(standing.clone(), [0; 16], Policy::default()).unwrap();
    recorder.change_flights(again, "it is over").unwrap();
    push(2);
    recorder.stop("over").unwrap();
    let read = Read::new(standing.path());
    assert_eq!(read.sources["app"].numbers, BTreeSet::from([0, 1, 2, 8, 9]));
    assert!(!read.report.damaged() && !read.report.lost(), "{:?}", read.report);
    assert_eq!((read.report.resumed, read.report.footers.len()), (1, 2));
    assert!(!place.read().report.damaged());
}

#[test]
fn rec_8_a_flight_whose_disk_takes_nothing_is_not_left_before_it_does() {
    let mut place = Place::new();
    let writer = place.writer();
    let first = place.flight();
    // No segment can be made, from the beginning on, so that everything waits in memory.
    std::fs::remove_dir(&first).unwrap();
    let recorder = Recorder::start(writer, None).unwrap();
    let mut producer = recorder.producer("app", SMALL).unwrap();
    for number in 0..10 {
        assert!(producer.push(KIND, number, &body(number)));
    }
    let next = place.writer();
    let refused = recorder.change_flights(next, "another flight").unwrap_err();
    assert!(matches!(refused, NotChanged::NotDurable), "{refused}");
    assert_eq!(std::fs::read_dir(place.flight()).unwrap().count(), 0);
    std::fs::create_dir(&first).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while recorder.change_flights(place.writer(), "another flight").is_err() {
        assert!(Instant::now() < deadline, "the disk is back");
        thread::sleep(Duration::from_millis(50));
    }
    recorder.stop("over").unwrap();
    let read = Read::new(&first);
    assert_eq!(read.sources["app"].numbers, (0..10).collect());
    assert!(!read.report.damaged() && !read.report.lost(), "{:?}", read.report);
}

#[test]
fn what_a_users_type_is_is_said_in_each_flight_whoever_said_it() {
    let mut place = Place::new();
    let recorder = place.start();
    let mut producer = recorder.producer("app", SMALL).unwrap();
    let schema = TypeSchema { described: 0x8001, name: "Wind".to_owned(), fields: "[]".to_owned() };
    assert!(producer.push(TypeSchema::SCHEMA.kind, 1, &schema.to_bytes()));
    let own = TypeSchema { described: 0x0005, name: "NotMine".to_owned(), fields: "[]".to_owned() };
    assert!(producer.push(TypeSchema::SCHEMA.kind, 2, &own.to_bytes()));
    let first = place.flight();
    recorder.change_flights(place.writer(), "the next").unwrap();
    recorder.stop("over").unwrap();
    assert_eq!(described_last(&Disk::new(first)).unwrap(), [schema.clone(), own]);
    assert_eq!(described_last(&Disk::new(place.flight())).unwrap(), std::slice::from_ref(&schema));
    // One that goes on says it in its next segment, though nobody says it to this writer.
    let storage = Disk::new(place.flight());
    let writer = Writer::resume(storage.clone(), [0; 16], Policy::default()).unwrap();
    Recorder::start(writer, None).unwrap().stop("over again").unwrap();
    assert_eq!(described_last(&storage).unwrap(), [schema]);
}

#[test]
fn rings_may_come_and_go_for_ever() {
    let mut place = Place::new();
    let recorder = place.start();
    let deadline = Instant::now() + PATIENCE;
    for number in 0..3000_u64 {
        let mut producer = loop {
            match recorder.producer("visitor", SMALL) {
                Ok(producer) => break producer,
                Err(NoRing::TooMany) if Instant::now() < deadline => thread::yield_now(),
                Err(error) => panic!("ring {number}: {error}"),
            }
        };
        assert!(producer.push(KIND, 0, &body(0)));
    }
    let stopped = recorder.stop("over").unwrap();
    assert_eq!(stopped.footer.records_dropped_overrun, 0);
    let read = place.read();
    assert!(!read.report.damaged() && !read.report.lost());
}

#[test]
fn rec_4_what_a_producer_says_it_left_out_is_told_as_lost() {
    let mut place = Place::new();
    let recorder = place.start();
    let mut producer = recorder.producer("app", SMALL).unwrap();
    assert!(producer.fits(32) && !producer.fits(1 << 20));
    producer.skip(3);
    assert!(producer.push(KIND, 3, &body(3)));
    producer.skip(2);
    assert_eq!(producer.made(), 6);
    drop(producer);
    recorder.stop("over").unwrap();
    let read = place.read();
    let heard = read.exactly("app");
    assert_eq!(heard.lost, BTreeSet::from([0, 1, 2, 4, 5]));
    assert_eq!(heard.numbers, BTreeSet::from([3]));
}
