//! Taking, reading and removing snapshots (SNAP-2).

use super::*;
use crate::durable::{Fault, crash_after, drop_site, inject, trace_syncs};
use crate::snapshots::{
    Area, Error, Kind, Request, Snapshot, VolumeRecord, check_volume, discard, list, load, lock,
    sweep, take, verify_snapshot,
};

pub(super) const APP: &str = "tiles";

pub(super) fn take_of(volumes: &[PathBuf], id: &str) -> Result<Vec<Snapshot>, Error> {
    let taken_at = "2026-11-21T10:00:00Z".parse().unwrap();
    let (digest, version) = ("sha256:aa", "1.0.0");
    take(&Request { app: APP, id, digest, version, volumes, taken_at }, &mut ())
}

pub(super) fn small_volume(path: &Path) {
    fs::create_dir_all(path.join("sub")).unwrap();
    put(&path.join("rows"), b"one\ntwo\n");
    fs::hard_link(path.join("rows"), path.join("sub/rows")).unwrap();
    put(&path.join("fixed"), b"x");
    set_flag(&path.join("fixed"), IFlags::IMMUTABLE);
    set_mode(path, 0o750);
    set_mtime(path, 1_000_000_000, 5);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A volume that is not there yet may get an owner who has to reach it.
#[test]
fn the_directory_of_volumes_that_we_make_is_open_to_their_owners() {
    let dir = Dir::new();
    take_of(&[dir.path("srv/tiles/data")], "s1").unwrap();
    let mode = |name: &str| fs::metadata(dir.path(name)).unwrap().mode() & 0o777;
    assert_eq!(
        (mode("srv"), mode("srv/tiles"), mode("srv/tiles/.groundcrew")),
        (0o755, 0o755, 0o700)
    );
}

#[test]
fn take_writes_copies_and_a_manifest_that_only_we_can_read() {
    let dir = Dir::new();
    let volume = dir.path("data");
    small_volume(&volume);
    let volumes = [volume.clone(), dir.path("absent")];
    let snapshot = take_of(&volumes, "s1").unwrap().remove(0);
    let at = dir.path(".groundcrew/tiles/snapshots");
    assert_eq!(names(&at), ["s1"]);
    assert_eq!(names(&at.join("s1")), [".entries-0.jsonl", "data", "manifest.json"]);
    assert_eq!(see(&at.join("s1/data")), see(&volume));
    assert_eq!(fs::metadata(dir.path(".groundcrew")).unwrap().mode() & 0o7777, 0o700);
    let manifest = &snapshot.manifest;
    assert!(manifest.complete && manifest.engine == "stopped-copy" && manifest.app == APP);
    assert_eq!((manifest.count, manifest.bytes), (5, 9));
    assert_eq!(manifest.volumes[1], VolumeRecord::Absent { name: "absent".to_owned() });
    let area = Area::of(&volume, APP).unwrap();
    assert_eq!(load(&area, "s1").unwrap(), snapshot);
    assert_eq!(verify_snapshot(&snapshot, &mut ()).unwrap(), []);
    put(&at.join("s1/data/rows"), b"one\nTWO\n");
    let found = verify_snapshot(&snapshot, &mut ()).unwrap();
    assert!(found.iter().any(|(name, found)| name == "data" && found.what == "content"));
}

#[test]
fn take_of_a_complete_snapshot_changes_nothing_and_refuses_another_release() {
    let dir = Dir::new();
    let volumes = [dir.path("data")];
    small_volume(&volumes[0]);
    let first = take_of(&volumes, "s1").unwrap();
    put(&volumes[0].join("rows"), b"later");
    assert_eq!(take_of(&volumes, "s1").unwrap(), first);
    assert_eq!(fs::read(first[0].dir.join("data/rows")).unwrap(), b"one\ntwo\n");
    let taken_at = first[0].manifest.taken_at;
    let (digest, version) = ("sha256:bb", "1.0.0");
    let other = Request { app: APP, id: "s1", digest, version, volumes: &volumes, taken_at };
    assert_eq!(take(&other, &mut ()).unwrap_err().kind(), Kind::Corrupt);
    let more = [volumes[0].clone(), dir.path("more")];
    assert_eq!(take_of(&more, "s1").unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn volumes_with_several_parents_are_parts_under_one_id() {
    let dir = Dir::new();
    let volumes = [dir.path("x/data"), dir.path("y/data")];
    for volume in &volumes {
        small_volume(volume);
    }
    let parts = take_of(&volumes, "s1").unwrap();
    assert_eq!(parts.len(), 2);
    for (part, parent) in parts.iter().zip(["x", "y"]) {
        assert_eq!(part.dir, dir.path(parent).join(".groundcrew/tiles/snapshots/s1"));
        assert_eq!(see(&part.dir.join("data")), see(&dir.path(parent).join("data")));
    }
}

#[test]
fn take_cut_between_any_two_changes_is_repeated_to_the_same_snapshot() {
    let dir = Dir::new();
    let volumes = [dir.path("data"), dir.path("absent")];
    small_volume(&volumes[0]);
    let area = Area::of(&volumes[0], APP).unwrap();
    let mut cuts = 0;
    for steps in 0.. {
        assert!(steps < 1000, "a take has fewer changes than that");
        crash_after(Some(steps));
        let cut = take_of(&volumes, "s1");
        crash_after(None);
        let listed = list(&area).unwrap();
        if let [_] = listed.as_slice() {
            let found = load(&area, "s1").unwrap();
            assert_eq!(verify_snapshot(&found, &mut ()).unwrap(), [], "complete means whole");
        } else {
            assert!(cut.is_err() && listed.is_empty());
            cuts += 1;
        }
        let parts = take_of(&volumes, "s1").unwrap();
        assert_eq!(see(&parts[0].dir.join("data")), see(&volumes[0]));
        assert_eq!(names(&dir.path(".groundcrew/tiles/snapshots")), ["s1"], "cut at {steps}");
        durable::remove_tree(&dir.path(".groundcrew"), Site::Prune).unwrap();
        if cut.is_ok() {
            break;
        }
    }
    assert!(cuts > 15, "{cuts} cuts were made before the snapshot was complete");
}

#[test]
fn discard_cut_between_any_two_changes_leaves_a_whole_snapshot_or_none() {
    let dir = Dir::new();
    let volumes = [dir.path("data")];
    small_volume(&volumes[0]);
    let area = Area::of(&volumes[0], APP).unwrap();
    for steps in 0..40 {
        take_of(&volumes, "s1").unwrap();
        crash_after(Some(steps));
        let cut = discard(&area, "s1");
        crash_after(None);
        for id in list(&area).unwrap() {
            let found = load(&area, &id).unwrap();
            assert_eq!(verify_snapshot(&found, &mut ()).unwrap(), []);
        }
        sweep(&area).unwrap();
        assert!(cut.is_err() || list(&area).unwrap().is_empty());
        discard(&area, "s1").unwrap();
        assert_eq!(names(&dir.path(".groundcrew/tiles/snapshots")), [""; 0]);
    }
}

#[test]
fn a_sync_that_fails_at_any_site_of_a_take_fails_it_and_leaves_nothing() {
    let sites = [Site::SnapshotTree, Site::SnapshotManifest, Site::SnapshotComplete];
    for site in sites {
        let dir = Dir::new();
        let volumes = [dir.path("data")];
        small_volume(&volumes[0]);
        trace_syncs();
        take_of(&volumes, "whole").unwrap();
        assert!(trace_syncs().contains(&site), "{} is synced", site.name());
        inject(site, Fault::Fail);
        let error = take_of(&volumes, "s1").unwrap_err();
        drop_site(None);
        assert_eq!(error.kind(), Kind::Io, "{}", site.name());
        let left = names(&dir.path(".groundcrew/tiles/snapshots"));
        // Only the very last sync comes after the snapshot has its name.
        let named = site == Site::SnapshotComplete;
        assert_eq!(left.contains(&"s1".to_owned()), named, "{}: {left:?}", site.name());
        assert!(!left.iter().any(|name| name.ends_with(".partial")));
        trace_syncs();
        take_of(&volumes, "s1").unwrap();
        assert!(trace_syncs().contains(&site), "{} is synced in the end", site.name());
    }
}

#[test]
fn the_tree_is_synced_before_the_manifest_and_the_manifest_before_the_rename() {
    let dir = Dir::new();
    let volumes = [dir.path("data")];
    small_volume(&volumes[0]);
    take_of(&volumes, "first").unwrap();
    trace_syncs();
    take_of(&volumes, "s1").unwrap();
    let mut order = trace_syncs();
    order.dedup();
    let last = &order[order.len() - 3..];
    assert_eq!(last, [Site::SnapshotTree, Site::SnapshotManifest, Site::SnapshotComplete]);
}

#[test]
fn a_full_disk_fails_the_take_as_full_and_leaves_the_room_it_found() {
    let dir = Dir::new();
    fs::create_dir(dir.path("disk")).unwrap();
    let _mount = Mount::tmpfs(&dir.path("disk"), "size=1m");
    let volume = dir.path("disk/data");
    fs::create_dir(&volume).unwrap();
    put(&volume.join("big"), &[7; 700 * 1024]);
    let error = take_of(std::slice::from_ref(&volume), "s1").unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    assert_eq!(names(&dir.path("disk/.groundcrew/tiles/snapshots")), [""; 0]);
    assert!(error.to_string().contains("s1.partial/data/big"), "{error}");
}

#[test]
fn sweep_removes_what_is_unfinished_and_nothing_else() {
    let dir = Dir::new();
    let volumes = [dir.path("data")];
    small_volume(&volumes[0]);
    let area = Area::of(&volumes[0], APP).unwrap();
    take_of(&volumes, "s1").unwrap();
    let at = dir.path(".groundcrew/tiles");
    for name in ["snapshots/s2.partial/data", "restore/t1.partial/data", "restore/t0/data"] {
        fs::create_dir_all(at.join(name)).unwrap();
    }
    assert_eq!(sweep(&area).unwrap(), 2);
    assert_eq!(names(&at.join("snapshots")), ["s1"]);
    assert_eq!(names(&at.join("restore")), ["t0"]);
    assert_eq!(sweep(&area).unwrap(), 0);
}

#[test]
fn a_manifest_that_lies_is_refused() {
    type Lie = fn(&str) -> String;
    let lies: [(&str, Lie); 5] = [
        ("manifest.json", |text| text.replace("\"format\": 1", "\"format\": 2")),
        ("manifest.json", |text| text.replace("\"id\": \"s1\"", "\"id\": \"s2\"")),
        ("manifest.json", |text| text.replace("\"app\": \"tiles\"", "\"app\": \"maps\"")),
        ("manifest.json", |text| text.replace("blake3:", "blake3:0")),
        (".entries-0.jsonl", |text| text.replace("\"size\":8", "\"size\":9")),
    ];
    for (file, lie) in lies {
        let dir = Dir::new();
        let volumes = [dir.path("data")];
        small_volume(&volumes[0]);
        let snapshot = take_of(&volumes, "s1").unwrap().remove(0);
        let text = fs::read_to_string(snapshot.dir.join(file)).unwrap();
        assert_ne!(lie(&text), text, "the lie is one");
        put(&snapshot.dir.join(file), lie(&text).as_bytes());
        let area = Area::of(&volumes[0], APP).unwrap();
        let read = load(&area, "s1").and_then(|snapshot| snapshot.entries("data"));
        assert_eq!(read.unwrap_err().kind(), Kind::Corrupt, "{file}");
    }
}

#[test]
fn volumes_and_names_that_we_do_not_take_are_refused() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("real/inner")).unwrap();
    fs::create_dir(dir.path("mounted")).unwrap();
    fs::create_dir(dir.path("fixed")).unwrap();
    put(&dir.path("file"), b"");
    std::os::unix::fs::symlink("real", dir.path("link")).unwrap();
    set_flag(&dir.path("fixed"), IFlags::IMMUTABLE);
    assert!(check_volume(&dir.path("real")).unwrap().is_some());
    assert!(check_volume(&dir.path("none")).unwrap().is_none());
    let tmpfs = Mount::tmpfs(&dir.path("mounted"), "size=64k");
    let check = |name: &str, why: &str| {
        let error = take_of(&[dir.path(name)], "s1").unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{name}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!dir.path(".groundcrew/tiles").exists(), "nothing was made");
    };
    check("link", "symlink");
    check("file", "has to be a directory");
    check("fixed", "immutable");
    check("mounted", "mount point");
    check(".groundcrew", "taken");
    check("manifest.json", "taken");
    check("real/../real", "absolute path without");
    drop(tmpfs);
    let bound = Mount::bind(&dir.path("real"), &dir.path("mounted"));
    check("mounted", "mount point");
    drop(bound);
    let nested = [dir.path("real"), dir.path("real/inner")];
    assert_eq!(take_of(&nested, "s1").unwrap_err().kind(), Kind::Refused);
    for id in ["", ".", "..", "a/b", "x.partial", "-x", "a b", &"x".repeat(129)] {
        let error = take_of(&[dir.path("real")], id).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{id:?}");
    }
    assert!(Area::of(Path::new("relative/data"), APP).is_err());
    assert!(Area::of(&dir.path("real"), "../x").is_err());
}

#[test]
fn an_area_that_somebody_else_made_is_refused() {
    type Make = fn(&Path, &Path);
    let makes: [Make; 4] = [
        |area, elsewhere| std::os::unix::fs::symlink(elsewhere, area).unwrap(),
        |area, _| {
            fs::create_dir(area).unwrap();
            set_mode(area, 0o750);
        },
        |area, _| {
            fs::create_dir(area).unwrap();
            set_mode(area, 0o700);
            std::os::unix::fs::chown(area, Some(1234), None).unwrap();
        },
        |area, _| put(area, b"in the way"),
    ];
    for make in makes {
        let dir = Dir::new();
        let volumes = [dir.path("data")];
        small_volume(&volumes[0]);
        fs::create_dir(dir.path("elsewhere")).unwrap();
        set_mode(&dir.path("elsewhere"), 0o700);
        make(&dir.path(".groundcrew"), &dir.path("elsewhere"));
        take_of(&volumes, "s1").unwrap_err();
        assert!(!dir.path("elsewhere/tiles/snapshots/s1").exists());
        assert!(!dir.path(".groundcrew/tiles/snapshots/s1").exists());
    }
}

#[test]
fn the_lock_refuses_a_second_holder_and_dies_with_the_first() {
    let dir = Dir::new();
    let volume = dir.path("data");
    let held = lock(&volume, APP).unwrap();
    let error = lock(&volume, APP).unwrap_err();
    assert_eq!(error.kind(), Kind::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    lock(&volume, "maps").unwrap();
    drop(held);
    lock(&volume, APP).unwrap();
}
