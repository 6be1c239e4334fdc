//! The engine's port over several volumes in several places (SNAP-2, SNAP-4), cut anywhere, and who
//! may hold a volume while it is copied (the last sentence of SNAP-8).

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use groundcrew_engine::machine::TreePair;
use groundcrew_engine::noun::{Fault, SnapshotId, TxnId, VolumeName};
use groundcrew_engine::plan::Volume;
use groundcrew_engine::ports::snapshots::{Trial, contract};
use groundcrew_engine::ports::{self, KeepSet, RestoreOrder, Silent, Snapshots, TakeOrder};

use super::*;
use crate::durable::crash_after;
use crate::snapshots::holders;
use crate::snapshots::port::VolumeSnapshots;

/// Two volumes side by side and one elsewhere.
const VOLUMES: [(&str, &str); 3] = [("data", "a/data"), ("index", "a/index"), ("more", "b/data")];

struct Rig {
    dir: Dir,
    volumes: BTreeMap<VolumeName, Volume>,
    port: VolumeSnapshots,
}

impl Rig {
    fn new() -> Rig {
        let dir = Dir::new();
        let volume = |path: &str| Volume { path: dir.path(path).to_str().unwrap().to_owned() };
        let volumes: BTreeMap<_, _> =
            VOLUMES.iter().map(|(name, path)| (VolumeName::from(*name), volume(path))).collect();
        let port = port_of(&dir, &volumes);
        let rig = Rig { dir, volumes, port };
        rig.write(Some("one"));
        rig
    }

    fn write(&self, text: Option<&str>) {
        for volume in self.volumes.values() {
            let path = Path::new(&volume.path);
            match text {
                Some(text) => {
                    fs::create_dir_all(path).unwrap();
                    put(&path.join("text"), text.as_bytes());
                }
                None => fs::remove_dir_all(path).unwrap(),
            }
        }
    }

    fn read(&self) -> Vec<Option<String>> {
        let text = |volume: &Volume| fs::read_to_string(Path::new(&volume.path).join("text")).ok();
        self.volumes.values().map(text).collect()
    }

    fn is(&self, text: &str) -> bool {
        self.read().iter().all(|found| found.as_deref() == Some(text))
    }

    fn take(&mut self) -> Result<u64, Fault> {
        let (id, txn) = (SnapshotId::from("s1"), TxnId::from("t1"));
        let order = TakeOrder { id: &id, txn: &txn, owner: None, volumes: &self.volumes };
        self.port.take(&order, &mut Silent).map(|taken| taken.bytes)
    }

    fn build(&mut self, round: u32) -> Result<Vec<TreePair>, Fault> {
        let (id, txn) = (SnapshotId::from("s1"), TxnId::from("t1"));
        let order = RestoreOrder { id: &id, txn: &txn, round, volumes: &self.volumes };
        self.port.build(&order, &mut Silent)
    }

    fn exchange(&mut self, round: u32, pairs: &[TreePair]) -> Result<Option<String>, Fault> {
        let (id, txn) = (SnapshotId::from("s1"), TxnId::from("t1"));
        let order = RestoreOrder { id: &id, txn: &txn, round, volumes: &self.volumes };
        self.port.exchange(&order, pairs)
    }

    fn was_exchanged(&mut self) -> Result<bool, Fault> {
        self.port.was_exchanged(&TxnId::from("t1"))
    }

    /// Texts of all trees that were set aside.
    fn aside(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for area in ["a", "b"] {
            let failed = self.dir.path(area).join(".groundcrew/tiles/failed");
            let Ok(rounds) = fs::read_dir(failed) else { continue };
            for round in rounds {
                for tree in fs::read_dir(round.unwrap().path()).unwrap() {
                    texts.push(fs::read_to_string(tree.unwrap().path().join("text")).unwrap());
                }
            }
        }
        texts.sort();
        texts
    }
}

fn move_dir(from: &Path, to: &Path) {
    durable::rename_new(from, to, Site::Prune).unwrap();
}

fn port_of(dir: &Dir, volumes: &BTreeMap<VolumeName, Volume>) -> VolumeSnapshots {
    let now = || "2026-11-21T10:00:00Z".parse().unwrap();
    VolumeSnapshots::new(&dir.path("state"), "tiles", volumes, now).unwrap()
}

#[test]
fn volumes_in_several_places_keep_the_contract_of_snapshots() {
    let mut rig = Rig::new();
    let mut port = port_of(&rig.dir, &rig.volumes);
    rig.write(None);
    let rig = &mut rig;
    let mut trial = Trial {
        volumes: rig.volumes.clone(),
        write: &mut |text| {
            if text.is_some() || rig.read().iter().all(Option::is_some) {
                rig.write(text);
            }
        },
        read: &mut || rig.read(),
    };
    contract(&mut port, &mut trial);
}

#[test]
fn a_take_cut_anywhere_leaves_no_copy_or_a_whole_one_and_can_be_repeated() {
    let mut cut = 0;
    loop {
        let mut rig = Rig::new();
        rig.take().unwrap();
        rig.write(Some("two"));
        crash_after(Some(cut));
        let taken = rig.take();
        crash_after(None);
        rig.write(Some("three"));
        if let Ok(pairs) = rig.build(1) {
            rig.exchange(1, &pairs).unwrap();
            assert!(rig.is("one") || rig.is("two"), "cut {cut}: parts of two copies met");
        }
        rig.write(Some("two"));
        rig.take().unwrap();
        rig.write(Some("three"));
        let pairs = rig.build(2).unwrap();
        rig.exchange(2, &pairs).unwrap();
        assert!(rig.is("two"), "cut {cut}");
        if taken.is_ok() {
            break;
        }
        cut += 1;
    }
    assert!(cut > 50, "only {cut} places were cut");
}

#[test]
fn a_copy_without_one_of_its_parts_is_no_copy() {
    let mut rig = Rig::new();
    rig.take().unwrap();
    durable::remove_tree(&rig.dir.path("b/.groundcrew/tiles/snapshots/s1"), Site::Prune).unwrap();
    assert!(rig.build(1).unwrap_err().text.contains("b/.groundcrew/tiles/snapshots/s1"));
    // A part of another copy under the same id.
    rig.take().unwrap();
    let part = rig.dir.path("b/.groundcrew/tiles/snapshots/s1");
    let other = rig.dir.path("other");
    durable::rename(&part, &other, Site::Prune).unwrap();
    rig.write(Some("two"));
    rig.take().unwrap();
    durable::remove_tree(&part, Site::Prune).unwrap();
    durable::rename(&other, &part, Site::Prune).unwrap();
    let error = rig.build(1).unwrap_err();
    assert!(error.text.contains("root_hash"), "{error}");
}

/// The way back that the journal knows: the same pairs are asked for again.
#[test]
fn an_exchange_cut_anywhere_is_repeated_and_known_from_its_first_change() {
    let mut cut = 0;
    loop {
        let mut rig = Rig::new();
        rig.take().unwrap();
        rig.write(Some("two"));
        let pairs = rig.build(1).unwrap();
        crash_after(Some(cut));
        let exchanged = rig.exchange(1, &pairs);
        crash_after(None);
        if !rig.is("two") {
            assert_eq!(rig.was_exchanged(), Ok(true), "cut {cut}");
        }
        let aside = rig.exchange(1, &pairs).unwrap().unwrap();
        assert!(aside.contains("/a/.groundcrew") && aside.contains("/b/.groundcrew"), "{aside}");
        assert!(rig.is("one"), "cut {cut}");
        assert_eq!(rig.aside(), ["two"; 3], "cut {cut}");
        if exchanged.is_ok() {
            break;
        }
        cut += 1;
    }
    assert!(cut > 8, "only {cut} places were cut");
}

/// The way back that could not be recorded: a new agent builds under the same names, whatever lies
/// there, and nothing that was written is lost.
#[test]
fn a_round_that_nobody_recorded_is_walked_again_without_losing_or_reusing_a_tree() {
    let mut cut = 0;
    loop {
        let mut rig = Rig::new();
        rig.take().unwrap();
        rig.write(Some("two"));
        let pairs = rig.build(1).unwrap();
        crash_after(Some(cut));
        let exchanged = rig.exchange(1, &pairs);
        crash_after(None);
        rig.write(Some("three"));
        let pairs = rig.build(1).unwrap();
        rig.exchange(1, &pairs).unwrap();
        assert!(rig.is("one"), "cut {cut}: {:?}", rig.read());
        let aside = rig.aside();
        assert_eq!(aside.iter().filter(|text| *text == "three").count(), 3, "cut {cut}: {aside:?}");
        let two = aside.iter().filter(|text| *text == "two").count();
        assert_eq!(aside.len(), two + 3, "cut {cut}: {aside:?}");
        if exchanged.is_ok() {
            assert_eq!(two, 3, "the data of the first round is kept");
            break;
        }
        cut += 1;
    }
}

#[test]
fn an_exchange_looks_at_all_volumes_before_it_touches_one() {
    let mut rig = Rig::new();
    rig.take().unwrap();
    rig.write(Some("two"));
    let pairs = rig.build(1).unwrap();
    move_dir(&rig.dir.path("b/data"), &rig.dir.path("b/old"));
    fs::create_dir(rig.dir.path("b/data")).unwrap();
    let error = rig.exchange(1, &pairs).unwrap_err();
    assert!(error.text.contains("neither the state"), "{error}");
    assert_eq!(rig.read()[0].as_deref(), Some("two"), "the first volume is untouched");
    assert_eq!(rig.was_exchanged(), Ok(false));
    fs::remove_dir(rig.dir.path("b/data")).unwrap();
    move_dir(&rig.dir.path("b/old"), &rig.dir.path("b/data"));
    rig.exchange(1, &pairs).unwrap();
    assert!(rig.is("one"));
}

#[test]
fn an_exchange_cannot_be_denied_while_its_disk_is_away() {
    let mut rig = Rig::new();
    let (id, txn) = (SnapshotId::from("t1"), TxnId::from("t1"));
    let order = TakeOrder { id: &id, txn: &txn, owner: None, volumes: &rig.volumes };
    rig.port.take(&order, &mut Silent).unwrap();
    move_dir(&rig.dir.path("b"), &rig.dir.path("unplugged"));
    assert!(rig.was_exchanged().is_err());
    move_dir(&rig.dir.path("unplugged"), &rig.dir.path("b"));
    assert_eq!(rig.was_exchanged(), Ok(false));
}

#[test]
fn a_row_says_what_makes_up_a_snapshot_and_verify_finds_damage() {
    let mut rig = Rig::new();
    assert_eq!(rig.take(), Ok(9));
    let rows = rig.port.rows();
    assert_eq!(rows.ids().unwrap(), ["s1"]);
    let row = rows.read("s1").unwrap().unwrap();
    assert_eq!((row.volumes.len(), row.parts.len(), row.bytes), (3, 2, 9));
    assert_eq!(row.version, None);
    assert_eq!(rig.port.verify("s1", &mut ()).unwrap(), [""; 0]);
    put(&rig.dir.path("b/.groundcrew/tiles/snapshots/s1/data/text"), b"eno");
    let found = rig.port.verify("s1", &mut ()).unwrap();
    assert!(found.iter().any(|text| text.starts_with("data: text: content is")), "{found:?}");
    assert!(rig.port.verify("s2", &mut ()).is_err());
    let error = rig.build(1).unwrap_err();
    assert!(error.text.contains("differs") || error.text.contains("differ"), "{error}");
}

#[test]
fn clean_up_finds_what_a_volume_left_that_is_configured_no_more() {
    let mut rig = Rig::new();
    rig.take().unwrap();
    let parents = |rig: &Rig| rig.port.rows().areas().unwrap().len();
    assert_eq!(parents(&rig), 2, "known as soon as there is something to be found");
    rig.write(Some("two"));
    let pairs = rig.build(1).unwrap();
    rig.exchange(1, &pairs).unwrap();
    rig.build(2).unwrap();
    for name in ["a/.groundcrew/tiles/snapshots/x.partial", "b/.groundcrew/tiles/restore/y.partial"]
    {
        fs::create_dir(rig.dir.path(name)).unwrap();
    }
    let mut port = port_of(&rig.dir, &BTreeMap::new());
    let mut set = KeepSet::default();
    set.txns.insert(TxnId::from("t1"));
    set.snapshots.insert(SnapshotId::from("s1"));
    let removed = port.keep(&set).unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(removed.iter().all(|what| what.starts_with("unfinished ")));
    set.txns = [TxnId::from("t")].into();
    let removed = port.keep(&set).unwrap();
    let count = |what: &str| removed.iter().filter(|text| text.starts_with(what)).count();
    assert_eq!((count("restored tree "), count("failed data ")), (2, 2), "{removed:?}");
    assert_eq!(rig.aside(), [""; 0]);
    assert_eq!(port.rows().ids().unwrap(), ["s1"]);
    // One area that cannot be looked after stops neither the other nor forgets the row.
    set_mode(&rig.dir.path("a/.groundcrew"), 0o755);
    port.keep(&KeepSet::default()).unwrap_err();
    assert!(!rig.dir.path("b/.groundcrew/tiles/snapshots/s1").exists());
    assert!(rig.dir.path("a/.groundcrew/tiles/snapshots/s1").exists());
    assert_eq!(port.rows().ids().unwrap(), ["s1"]);
    set_mode(&rig.dir.path("a/.groundcrew"), 0o700);
    assert_eq!(port.keep(&KeepSet::default()).unwrap().len(), 1);
    assert_eq!(port.rows().ids().unwrap(), [""; 0]);
    assert_eq!(port.keep(&KeepSet::default()).unwrap(), [""; 0]);
    assert!(rig.is("one"), "the live data is nobody's to remove");
}

/// GATE-6: what the gate has seen stays there for the way back, whatever the candidate writes.
#[test]
fn room_for_the_way_back_is_kept_until_it_is_needed_or_the_update_is_closed() {
    let mut rig = Rig::new();
    put(&rig.dir.path("a/data/large"), &[1; 300_000]);
    let kept = |rig: &Rig| {
        ["a", "b"].map(|area| {
            let path = rig.dir.path(area).join(".groundcrew/tiles/restore/room.s1");
            fs::metadata(path).map_or(0, |data| data.blocks() * 512)
        })
    };
    rig.take().unwrap();
    assert!(kept(&rig)[0] >= 300_000 && kept(&rig)[1] > 0, "{:?}", kept(&rig));
    let mut set = KeepSet { open: Some("t1".into()), ..KeepSet::default() };
    set.snapshots.insert("s1".into());
    rig.port.keep(&set).unwrap();
    assert!(kept(&rig)[0] > 0, "the update is open");
    rig.build(1).unwrap();
    assert_eq!(kept(&rig), [0, 0], "the old data needs it");

    rig.take().unwrap();
    set.open = None;
    rig.port.keep(&set).unwrap();
    assert_eq!(kept(&rig), [0, 0], "the update is closed");
}

#[test]
fn progress_grows_to_its_total() {
    #[derive(Default)]
    struct Steps(Vec<(u64, u64)>);
    impl ports::Progress for Steps {
        fn at(&mut self, done: u64, total: u64) {
            self.0.push((done, total));
        }
    }
    let mut rig = Rig::new();
    let (id, txn) = (SnapshotId::from("s1"), TxnId::from("t1"));
    let mut steps = Steps::default();
    let order = TakeOrder { id: &id, txn: &txn, owner: None, volumes: &rig.volumes };
    rig.port.take(&order, &mut steps).unwrap();
    assert_eq!(steps.0, [(3, 9), (6, 9), (9, 9)]);
    steps.0.clear();
    let order = RestoreOrder { id: &id, txn: &txn, round: 1, volumes: &rig.volumes };
    rig.port.build(&order, &mut steps).unwrap();
    assert!(steps.0.is_sorted() && steps.0.last() == Some(&(18, 18)), "{:?}", steps.0);
}

#[test]
fn a_volume_that_somebody_can_write_to_is_not_copied() {
    let mut rig = Rig::new();
    let file = rig.dir.path("b/data/text");
    let mut sh = Command::new("sh");
    let script = "exec 3>>\"$1\"; echo ready; read end";
    let mut holder = sh
        .args(["-c", script, "sh"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let error = rig.take().unwrap_err();
    let expected = format!("process {} (sh) has {} open for writing", holder.id(), file.display());
    assert_eq!(error.text, expected);
    assert!(!rig.dir.path("a/.groundcrew").exists(), "nothing was copied");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let reader = fs::File::open(&file).unwrap();
    rig.take().expect("who only reads does not matter");
    drop(reader);
}

#[test]
fn a_shared_mapping_is_found() {
    let rig = Rig::new();
    let path = rig.dir.path("a/data/db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        .unwrap();
    let survey = holders::survey(&rig.dir.path("a/data")).unwrap();
    let mapped = holders::mapped(std::process::id(), &[survey]);
    assert_eq!(mapped, [rig.dir.path("a/data/db-shm")]);
    drop(db);
}
