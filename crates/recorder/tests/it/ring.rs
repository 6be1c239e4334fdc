//! Rings in files: producers that are killed, consumers that come and go, bytes that are scribbled.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use groundcrew_recorder::ring::shared::{
    Options, RingError, RingFile, Trusted, attach, attach_trusted, create, open_existing,
};
use groundcrew_recorder::ring::{Consumer, Damage, Item};
use tempfile::TempDir;

use crate::model::Chance;

#[path = "../ring/body.rs"]
pub(crate) mod body;

use body::{KIND, body};

/// How often a producer is killed.
const KILLS: u64 = 1000;
/// Rings that are scribbled over.
const SCRIBBLES: u64 = 400;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const OPTIONS: Options = Options { bytes: 1 << 15, critical: false, generation: 77 };

fn ring_in(dir: &TempDir) -> PathBuf {
    dir.path().join("test.ring")
}

/// A process that pushes, and does not outlive a test that fails.
pub(crate) struct Pusher(Child);

impl std::ops::Deref for Pusher {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Pusher {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        // One that ended says so.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts one on the ring at `path`; without a count it pushes for ever.
pub(crate) fn start(path: &Path, count: Option<u64>) -> Pusher {
    let mut command = Command::new(env!("CARGO_BIN_EXE_push-for-tests"));
    command.arg(path).args(count.map(|count| count.to_string()));
    Pusher(command.spawn().unwrap())
}

/// A number of the header, read past everything that is tested.
fn field(ring: &File, at: u64) -> u64 {
    let mut bytes = [0; 8];
    ring.read_exact_at(&mut bytes, at).unwrap();
    u64::from_le_bytes(bytes)
}

#[derive(Default)]
struct Taken {
    numbers: BTreeSet<u64>,
    /// Bytes of the ring that they took.
    bytes: u64,
    damages: Vec<Damage>,
}

impl Taken {
    /// Takes what is there; every record must be the one that was made.
    fn take(&mut self, consumer: &mut Consumer<RingFile>) {
        let drained = consumer.drain(u64::MAX, &mut |item| match item {
            Item::Record(record) => {
                assert_eq!(record.kind, KIND);
                assert_eq!(record.time_ns, record.number);
                assert_eq!(record.body, body(record.number), "record {}", record.number);
                assert!(self.numbers.insert(record.number), "record {} twice", record.number);
                self.bytes += 32 + u64::try_from(record.body.len().next_multiple_of(8)).unwrap();
            }
            Item::Damage(damage) => self.damages.push(damage),
        });
        assert!(drained.settled <= 1 << 56, "above any number that is believed");
        consumer.release().unwrap();
    }
}

#[test]
fn rec_3_no_published_record_is_lost_or_torn_when_its_producer_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    let mut consumer = create(&path, OPTIONS).unwrap();
    let ring = File::open(&path).unwrap();
    let (mut taken, mut chance) = (Taken::default(), Chance::new(1));
    for kill in 0..KILLS {
        let deadline = Instant::now() + PATIENCE;
        let mut child = start(&path, None);
        // The instant of its death is a number of bytes, up to a lap.
        let until = field(&ring, 64) + chance.below(1 << 15) + 1;
        while field(&ring, 64) < until {
            assert!(Instant::now() < deadline, "it pushes");
            if chance.below(4) != 0 {
                taken.take(&mut consumer);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(consumer.producer_died().unwrap() || !consumer.source().attached);
        let published = field(&ring, 64);
        if kill % 10 == 0 {
            // The recorder is gone, too, and another one takes over.
            consumer = open_existing(&path).unwrap();
        }
        taken.take(&mut consumer);
        assert_eq!(taken.damages, []);
        assert_eq!(taken.bytes, published, "what was published came out, and nothing else");
        assert_eq!(field(&ring, 128), published, "all of its room was given back");
    }
    let made = field(&ring, 72);
    assert!(taken.numbers.last().is_some_and(|last| *last < made));
    println!("{KILLS} kills, {} records of {made} made", taken.numbers.len());
}

#[test]
fn rec_3_a_ring_outlives_its_producer_and_its_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    drop(create(&path, OPTIONS).unwrap());
    assert!(start(&path, Some(100)).wait().unwrap().success());
    let mut consumer = open_existing(&path).unwrap();
    let source = consumer.source();
    assert!(source.detached && !source.attached && source.made == 100, "{source:?}");
    assert!(!consumer.producer_died().unwrap(), "it ended, it did not die");
    let mut taken = Taken::default();
    taken.take(&mut consumer);
    assert_eq!(taken.numbers, (0..100).collect());
}

#[test]
fn a_ring_has_one_producer_and_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    let mut consumer = create(&path, OPTIONS).unwrap();
    assert!(matches!(create(&path, OPTIONS), Err(RingError::Io { doing: "make", .. })));
    let mut producer = attach(&path).unwrap();
    assert!(matches!(attach(&path), Err(RingError::Busy { .. })));
    assert!(producer.push(KIND, 0, &body(0)));
    Taken::default().take(&mut consumer);
    let source = consumer.source();
    assert_eq!(source.pid, u64::from(std::process::id()));
    assert!(source.attached && !consumer.producer_died().unwrap(), "{source:?}");
    drop(producer);
    assert!(attach(&path).unwrap().push(KIND, 1, &body(1)));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing lies beside it: {names:?}");
}

#[test]
fn what_is_no_ring_is_refused_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    let refused = |what: &str| {
        let attached = attach(&path).map(|_| ()).unwrap_err();
        let consumed = open_existing(&path).map(|_| ()).unwrap_err();
        assert!(matches!(attached, RingError::NotUsable { .. }), "{what}: {attached}");
        assert!(matches!(consumed, RingError::Damaged { .. }), "{what}: {consumed}");
    };
    for len in [0, 100, 256, 4096, 256 + (1 << 15), 1 << 40] {
        File::create(&path).unwrap().set_len(len).unwrap();
        refused(&format!("{len} zeros"));
    }
    fs::remove_file(&path).unwrap();
    drop(create(&path, OPTIONS).unwrap());
    OpenOptions::new().write(true).open(&path).unwrap().set_len(30_000).unwrap();
    refused("a ring that was cut");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(attach(&path).is_err() && open_existing(&path).is_err());
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(attach(&path).is_err() && open_existing(&path).is_err());
}

/// Writes chance over parts of a ring's file, or cuts it; whether it was cut.
fn scribble(file: &File, chance: &mut Chance) -> bool {
    let len = file.metadata().unwrap().len();
    for _ in 0..=chance.below(4) {
        let (at, count) = match chance.below(16) {
            0 => (0, len),
            1..6 => (64 + chance.below(24) * 8, 8),
            6 => (chance.below(256), chance.below(64) + 1),
            _ => (256 + chance.below(len - 256), chance.below(3000) + 1),
        };
        let bytes: Vec<u8> = match chance.below(3) {
            0 => vec![0; usize::try_from(count).unwrap()],
            1 => vec![0xff; usize::try_from(count).unwrap()],
            _ => (0..count).map(|_| u8::try_from(chance.below(256)).unwrap()).collect(),
        };
        let bytes = &bytes[..usize::try_from(count.min(len - at)).unwrap()];
        file.write_all_at(bytes, at).unwrap();
    }
    let cut = chance.below(5) == 0;
    if cut {
        file.set_len(chance.below(len)).unwrap();
    }
    cut
}

#[test]
fn rec_3_no_bytes_in_a_ring_hurt_its_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let (mut told, mut given_up, mut came) = (0, 0, 0);
    let deadline = Instant::now() + PATIENCE;
    for seed in 0..SCRIBBLES {
        let path = dir.path().join(format!("{seed}.ring"));
        let mut chance = Chance::new(seed + 1);
        let options = Options { bytes: 1 << (12 + chance.below(6)), ..OPTIONS };
        let mut consumer = create(&path, options).unwrap();
        let mut producer = attach(&path).unwrap();
        let mut push = |count| {
            for _ in 0..count {
                let number = producer.made();
                producer.push(KIND, number, &body(number));
            }
        };
        push(chance.below(100));
        let mut taken = Taken::default();
        taken.take(&mut consumer);
        push(chance.below(100));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let cut = scribble(&file, &mut chance);
        taken.take(&mut consumer);
        told += u64::from(!taken.damages.is_empty());
        given_up += u64::from(consumer.given_up());
        // A later one has nothing to go by but what lies there.
        if let Ok(mut later) = open_existing(&path) {
            Taken::default().take(&mut later);
        }
        // A mapping of a file that was cut kills who touches it; that is its producer's risk.
        if !cut && !consumer.given_up() {
            push(chance.below(100));
            let before = taken.numbers.len();
            taken.take(&mut consumer);
            came += taken.numbers.len() - before;
        } else {
            std::mem::forget(producer);
        }
        assert!(Instant::now() < deadline, "seed {seed} takes too long");
    }
    println!("{told} told, {given_up} given up, {came} records came behind damage");
    assert!(told > SCRIBBLES / 2 && given_up > 20 && came > 100);
}

#[test]
fn a_ring_whose_owner_or_writers_are_not_trusted_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    let _consumer = create(&path, OPTIONS).unwrap();
    let meta = fs::metadata(&path).unwrap();
    let (own, group) = (meta.uid(), meta.gid());
    for (mode, users, groups, trusted) in [
        (0o600, own, group, true),
        (0o660, own, group, true),
        (0o640, own, group + 1, true),
        (0o600, own + 1, group, false),
        (0o660, own, group + 1, false),
        (0o662, own, group, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let whom = Trusted { users: &[users], groups: &[groups] };
        let pushed = attach_trusted(&path, whom).map(|mut producer| producer.push(KIND, 0, &[]));
        match pushed {
            Ok(pushed) => assert!(pushed && trusted, "{mode:o}"),
            Err(RingError::NotTrusted { .. }) => assert!(!trusted, "{mode:o}"),
            Err(error) => panic!("{mode:o}: {error}"),
        }
    }
}

#[test]
fn a_producer_notices_that_another_ring_lies_where_its_own_did() {
    let dir = tempfile::tempdir().unwrap();
    let path = ring_in(&dir);
    let first = create(&path, OPTIONS).unwrap();
    let producer = attach(&path).unwrap();
    assert!(producer.lies_at(&path).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(!producer.lies_at(&path).unwrap(), "none is there");
    let _second = create(&path, Options { generation: 78, ..OPTIONS }).unwrap();
    assert!(!producer.lies_at(&path).unwrap(), "another one is there");
    assert!(attach(&path).unwrap().lies_at(&path).unwrap());
    drop(first);
}
