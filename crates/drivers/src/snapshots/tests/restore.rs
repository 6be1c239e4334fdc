//! Building, exchanging and putting aside (SNAP-4).

use super::layout::{APP, small_volume, take_of};
use super::*;
use crate::durable::{Fault, crash_after, drop_site, inject, trace_syncs};
use crate::snapshots::{Area, Kind, Pair, Snapshot, build_restore, exchange, prune_failed, sweep};

/// What a story does to the volume between the snapshot and the way back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Story {
    /// The candidate changes the data.
    Changed,
    /// The candidate makes a volume that was not there.
    Created,
    /// The candidate removes the volume.
    Deleted,
    /// The volume is there neither before nor after.
    Never,
}

const STORIES: [Story; 4] = [Story::Changed, Story::Created, Story::Deleted, Story::Never];

type Tree = Option<BTreeMap<PathBuf, Seen>>;

fn see_if_there(path: &Path) -> Tree {
    path.exists().then(|| see(path))
}

/// A volume, its snapshot, and what the candidate made of it.
struct Stage {
    dir: Dir,
    volume: PathBuf,
    snapshot: Snapshot,
    good: Tree,
    bad: Tree,
}

impl Stage {
    fn set(story: Story) -> Stage {
        let dir = Dir::new();
        let volume = dir.path("data");
        if matches!(story, Story::Changed | Story::Deleted) {
            small_volume(&volume);
        }
        let good = see_if_there(&volume);
        let snapshot = take_of(std::slice::from_ref(&volume), "s1").unwrap().remove(0);
        match story {
            Story::Changed => {
                put(&volume.join("rows"), b"poisoned");
                put(&volume.join("new"), b"poisoned");
                set_mode(&volume, 0o777);
            }
            Story::Created => small_volume(&volume),
            Story::Deleted => durable::remove_tree(&volume, Site::Prune).unwrap(),
            Story::Never => {}
        }
        let bad = see_if_there(&volume);
        Stage { dir, volume, snapshot, good, bad }
    }

    fn build(&self) -> Result<Pair, crate::snapshots::Error> {
        build_restore(&self.snapshot, &self.volume, "t1", &mut ())
    }

    fn aside(&self) -> PathBuf {
        self.dir.path(".groundcrew/tiles/failed/t1/data")
    }

    fn area(&self) -> Area {
        Area::of(&self.volume, APP).unwrap()
    }

    fn check_restored(&self, context: &str) {
        assert_eq!(see_if_there(&self.volume), self.good, "{context}: the snapshot is live");
        assert_eq!(see_if_there(&self.aside()), self.bad, "{context}: the failed tree is aside");
        assert_eq!(see_if_there(&self.snapshot.dir.join("data")), self.good, "{context}");
    }
}

#[test]
fn restore_puts_the_snapshot_in_place_and_the_failed_tree_aside() {
    for story in STORIES {
        let stage = Stage::set(story);
        let pair = stage.build().unwrap();
        assert_eq!(see_if_there(&stage.volume), stage.bad, "building leaves the live tree alone");
        assert_eq!(stage.build().unwrap(), pair, "twice is once");
        let first = exchange(&pair).unwrap();
        assert_eq!(first.failed.is_some(), stage.bad.is_some());
        stage.check_restored(&format!("{story:?}"));
        let again = exchange(&pair).unwrap();
        assert!(again.already && again.failed == first.failed);
        stage.check_restored(&format!("{story:?} twice"));
    }
}

#[test]
fn the_pair_survives_the_way_through_the_journal() {
    let stage = Stage::set(Story::Changed);
    let pair = stage.build().unwrap();
    let text = serde_json::to_string(&pair).unwrap();
    assert_eq!(serde_json::from_str::<Pair>(&text).unwrap(), pair);
}

#[test]
fn restore_cut_between_any_two_changes_ends_with_the_snapshot_live_and_the_failed_tree_aside() {
    for story in STORIES {
        let mut cuts = 0;
        for steps in 0.. {
            assert!(steps < 1000, "a restore has fewer changes than that");
            let stage = Stage::set(story);
            let mut recorded = None;
            crash_after(Some(steps));
            let cut = stage.build().and_then(|pair| {
                recorded = Some(pair.clone());
                exchange(&pair)
            });
            crash_after(None);
            let context = format!("{story:?} cut after {steps}");
            let live = see_if_there(&stage.volume);
            assert!(live == stage.good || live == stage.bad, "{context}: never a mix");
            if recorded.is_none() {
                assert_eq!(live, stage.bad, "{context}: no exchange before the record");
                sweep(&stage.area()).unwrap();
            }
            let pair = recorded.unwrap_or_else(|| stage.build().unwrap());
            exchange(&pair).unwrap_or_else(|error| panic!("{context}: {error}"));
            stage.check_restored(&context);
            if cut.is_ok() {
                break;
            }
            cuts += 1;
        }
        let expected = match story {
            Story::Changed | Story::Deleted => 15,
            Story::Created => 3,
            Story::Never => 0,
        };
        assert!(cuts >= expected, "{story:?}: {cuts} cuts");
    }
}

#[test]
fn restore_cut_twice_still_arrives() {
    let stage = Stage::set(Story::Changed);
    let pair = stage.build().unwrap();
    for steps in [1, 1, 0, 2, 1] {
        crash_after(Some(steps));
        exchange(&pair).ok();
        crash_after(None);
    }
    exchange(&pair).unwrap();
    stage.check_restored("cut five times");
}

#[test]
fn an_exchange_that_fits_neither_state_touches_nothing() {
    type Meddle = fn(&Stage, &Path);
    let meddlings: [(Story, Meddle); 6] = [
        (Story::Changed, |stage, _| {
            durable::remove_tree(&stage.volume, Site::Prune).unwrap();
            fs::create_dir(&stage.volume).unwrap();
        }),
        (Story::Changed, |stage, _| {
            durable::remove_tree(&stage.volume, Site::Prune).unwrap();
        }),
        (Story::Changed, |_, built| {
            durable::remove_tree(built, Site::Prune).unwrap();
        }),
        (Story::Created, |stage, _| {
            durable::remove_tree(&stage.volume, Site::Prune).unwrap();
        }),
        (Story::Deleted, |stage, _| fs::create_dir(&stage.volume).unwrap()),
        (Story::Never, |stage, _| fs::create_dir(&stage.volume).unwrap()),
    ];
    for (index, (story, meddle)) in meddlings.into_iter().enumerate() {
        let stage = Stage::set(story);
        let pair = stage.build().unwrap();
        let built = stage.dir.path(".groundcrew/tiles/restore/t1/data");
        meddle(&stage, &built);
        let before = (see_if_there(&stage.volume), see_if_there(&built));
        let error = exchange(&pair).unwrap_err();
        assert_eq!(error.kind(), Kind::Neither, "{index}: {error}");
        assert_eq!((see_if_there(&stage.volume), see_if_there(&built)), before, "{index}");
        assert!(!stage.aside().exists());
    }
}

#[test]
fn an_inode_is_the_same_after_a_reboot_gave_the_disk_another_number() {
    let stage = Stage::set(Story::Changed);
    let mut pair = stage.build().unwrap();
    for identity in [&mut pair.live, &mut pair.built] {
        identity.as_mut().unwrap().dev = (250, 99);
    }
    exchange(&pair).unwrap();
    stage.check_restored("another device number");
}

#[test]
fn an_inode_number_that_was_given_out_again_is_not_the_same_tree() {
    let stage = Stage::set(Story::Changed);
    let mut pair = stage.build().unwrap();
    let live = pair.live.as_mut().unwrap();
    live.born = live.born.map(|(seconds, nanoseconds)| (seconds - 1, nanoseconds));
    assert_eq!(exchange(&pair).unwrap_err().kind(), Kind::Neither);
}

#[test]
fn a_snapshot_that_rotted_is_never_put_in_place() {
    let stage = Stage::set(Story::Changed);
    let rotten = stage.snapshot.dir.join("data/sub/rows");
    put(&rotten, b"one\ntwx\n");
    let error = stage.build().unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("rows"), "{error}");
    assert_eq!(see_if_there(&stage.volume), stage.bad);
    assert!(!stage.dir.path(".groundcrew/tiles/restore/t1/data").exists());
    assert!(!stage.dir.path(".groundcrew/tiles/restore/t1.partial/data").exists());
}

#[test]
fn a_sync_that_fails_at_any_site_of_a_restore_fails_it_and_the_next_try_arrives() {
    let sites =
        [Site::RestoreTree, Site::RestoreComplete, Site::RestoreExchange, Site::FailedAside];
    for site in sites {
        let stage = Stage::set(Story::Changed);
        trace_syncs();
        inject(site, Fault::Fail);
        let mut recorded = None;
        let failed = stage.build().and_then(|pair| {
            recorded = Some(pair.clone());
            exchange(&pair)
        });
        drop_site(None);
        assert_eq!(failed.unwrap_err().kind(), Kind::Io, "{}", site.name());
        let pair = recorded.unwrap_or_else(|| stage.build().unwrap());
        exchange(&pair).unwrap();
        assert!(trace_syncs().contains(&site), "{} is synced in the end", site.name());
        stage.check_restored(site.name());
    }
}

#[test]
fn a_restore_of_two_volumes_is_two_pairs_of_one_transaction() {
    let dir = Dir::new();
    let volumes = [dir.path("data"), dir.path("index")];
    for volume in &volumes {
        small_volume(volume);
    }
    let good = volumes.each_ref().map(|volume| see(volume));
    let snapshot = take_of(&volumes, "s1").unwrap().remove(0);
    for volume in &volumes {
        put(&volume.join("rows"), b"poisoned");
    }
    let pairs: Vec<_> = volumes
        .iter()
        .map(|volume| build_restore(&snapshot, volume, "t1", &mut ()).unwrap())
        .collect();
    for pair in pairs.iter().chain(&pairs) {
        exchange(pair).unwrap();
    }
    assert_eq!(volumes.each_ref().map(|volume| see(volume)), good);
    assert_eq!(fs::read_dir(dir.path(".groundcrew/tiles/failed/t1")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(dir.path(".groundcrew/tiles/restore")).unwrap().count(), 0);
}

#[test]
fn only_the_last_failed_trees_are_kept() {
    let dir = Dir::new();
    let area = Area::of(&dir.path("data"), APP).unwrap();
    for (txn, age) in [("c", 30), ("a", 20), ("b", 10)] {
        let path = dir.path(".groundcrew/tiles/failed").join(txn);
        small_volume(&path.join("data"));
        set_mtime(&path, 1_700_000_000 - age, 0);
    }
    assert_eq!(prune_failed(&area, 2, None).unwrap(), ["c"]);
    assert_eq!(prune_failed(&area, 1, Some("a")).unwrap(), [""; 0], "the current one stays");
    assert_eq!(prune_failed(&area, 1, None).unwrap(), ["a"]);
    assert_eq!(prune_failed(&area, 1, None).unwrap(), [""; 0]);
    assert!(dir.path(".groundcrew/tiles/failed/b/data/rows").exists());
    assert_eq!(prune_failed(&Area::of(&dir.path("x"), "none").unwrap(), 0, None).unwrap(), [""; 0]);
}
