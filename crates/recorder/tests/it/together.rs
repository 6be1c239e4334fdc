//! The recorder and its producers killed in the same instant, as by whoever kills a whole group.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use groundcrew_recorder::recorder::Options;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::model::Chance;
use crate::recorder::{PATIENCE, Place, Read};
use crate::ring::body::body;

/// How often all are killed.
const KILLS: u64 = 15;
/// The rings; the first is the critical one.
const RINGS: [&str; 3] = ["critical", "one", "two"];

/// A number of the header of a ring.
fn field(ring: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    ring.read_exact_at(&mut bytes, at).unwrap();
    u64::from_le_bytes(bytes)
}

/// A recorder into a new flight, and a producer for each ring, in a process group.
fn start_all(flight: &Path, rings: &Path) -> Vec<Child> {
    std::fs::create_dir(flight).unwrap();
    let mut recorder = Command::new(env!("CARGO_BIN_EXE_record-for-tests"));
    let recorder = recorder.arg(flight).arg(rings).process_group(0).spawn().unwrap();
    let group = i32::try_from(recorder.id()).unwrap();
    let mut all = vec![recorder];
    for name in RINGS {
        let mut producer = Command::new(env!("CARGO_BIN_EXE_push-for-tests"));
        producer.arg(rings.join(format!("{name}.ring"))).process_group(group);
        all.push(producer.spawn().unwrap());
    }
    all
}

fn kill_all(mut all: Vec<Child>) {
    let group = Pid::from_child(all.first().unwrap());
    kill_process_group(group, Signal::KILL).unwrap();
    for child in &mut all {
        child.wait().unwrap();
    }
}

#[test]
fn rec_3_nothing_published_is_lost_when_recorder_and_producers_are_killed_together() {
    let mut place = Place::new();
    let recorder = place.start();
    for name in RINGS {
        let critical = name == "critical";
        recorder.shared(name, Options { bytes: 1 << 16, critical }).unwrap();
    }
    recorder.stop("test").unwrap();
    let open = |name| File::open(place.rings().join(format!("{name}.ring"))).unwrap();
    let rings = RINGS.map(open);
    let mut chance = Chance::new(9);
    let mut flights: Vec<PathBuf> = Vec::new();
    for kill in 0..KILLS {
        let flight = place.rings().with_file_name(format!("killed-{kill}"));
        let all = start_all(&flight, &place.rings());
        flights.push(flight);
        // The instant is a number of bytes that were taken of one ring, and more that came.
        let ring = &rings[usize::try_from(kill % 3).unwrap()];
        let (taken, more) = (field(ring, 128), chance.below(1 << 17));
        let published = field(ring, 64);
        let deadline = Instant::now() + PATIENCE;
        while field(ring, 128) <= taken || field(ring, 64) <= published + more {
            assert!(Instant::now() < deadline, "they work");
        }
        kill_all(all);
    }
    let recorder = place.start();
    let deadline = Instant::now() + PATIENCE;
    while rings.iter().any(|ring| field(ring, 64) > field(ring, 128)) {
        assert!(Instant::now() < deadline, "the next recorder takes it over");
    }
    recorder.stop("test").unwrap();
    flights.push(place.flight());
    let mut came: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for dir in &flights {
        // Each is the one that was made; none comes twice in a flight.
        for (name, heard) in Read::new(dir).sources {
            came.entry(name).or_default().extend(heard.numbers);
        }
    }
    for (name, ring) in RINGS.iter().zip(&rings) {
        let came = &came[*name];
        let bytes =
            |number: &u64| 32 + u64::try_from(body(*number).len().next_multiple_of(8)).unwrap();
        let entries: u64 = came.iter().map(bytes).sum();
        assert_eq!(entries, field(ring, 64), "{name}: what was published came, and nothing else");
        assert!(came.len() > 1000 && came.last() < Some(&field(ring, 72)), "{name}");
    }
}
