//! A disk that is full or read-only, and the room that is kept for that day.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use super::*;
use crate::bundle::tests::names;
use crate::durable::{Fault, Site, drop_site, inject};
use crate::store::BALLAST_BYTES;

/// A small disk; gone again even if the test fails.
struct Disk(tempfile::TempDir, bool);

impl Disk {
    fn new(size: &str) -> Disk {
        Disk::of("tmpfs", &format!("size={size}"))
    }

    fn of(kind: &str, options: &str) -> Disk {
        let disk = Disk(tempfile::tempdir().unwrap(), true);
        run("mount", &["-t", kind, "-o", options, "none", disk.text()]);
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn text(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Leaves no room but `left` bytes.
    fn fill(&self, left: u64) {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - left).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.1 {
            run("umount", &[self.text()]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: these tests mount, run them as root");
}

fn ballast(dir: &Path) -> PathBuf {
    dir.join("plans/tiles.ballast")
}

/// Tells until the disk is full; what failed last.
fn tell_until_full(teller: &mut Teller) -> (Event, String) {
    for number in 0..100_000 {
        let event = Event::Pinned { to: format!("{number} {}", "x".repeat(2000)) };
        if let Err(error) = teller.try_tell(event.clone()) {
            return (event, error.text);
        }
    }
    panic!("the disk is never full");
}

#[test]
fn a_full_disk_fails_cleanly_and_the_reserved_room_lets_the_append_through() {
    let disk = Disk::new("16m");
    let mut tiles = Teller::new(&open(disk.path()), "tiles");
    let plan = tiles.plan("1.0.0");
    let mut journal = tiles.store.journal(&"tiles".into());
    journal.reserve(&"tiles".into(), Some(&plan)).unwrap();
    assert_eq!(tiles.store.plan("tiles").unwrap(), Some(plan));
    tiles.update(0);
    disk.fill(100_000);
    for _ in 0..3 {
        let (event, error) = tell_until_full(&mut tiles);
        assert!(error.contains("database or disk is full"), "{error}");
        let again = tiles.try_tell(event.clone()).unwrap_err();
        assert!(again.text.contains("is not written to any more since this failed"), "{again}");
        tiles.check();
        let had_ballast = ballast(disk.path()).exists();
        match journal.relieve() {
            Ok(()) => {
                assert!(!ballast(disk.path()).exists(), "the room was given");
                tiles.tell(event);
                tiles.check();
            }
            Err(error) => {
                assert!(!had_ballast, "the ballast has to help: {error}");
                tiles.try_tell(event).unwrap_err();
            }
        }
    }
    fs::remove_file(disk.path().join("filler")).unwrap();
    journal.relieve().unwrap();
    tiles.tell(Event::Unpinned);
    tiles.check();
    let events = count(&tiles.store, "events");
    assert_eq!(u64::try_from(events).unwrap(), tiles.count, "nothing is there twice");
    drop((journal, tiles.store));
    let store = open(disk.path());
    assert_eq!(load(&store, "tiles"), Some(tiles.app));
}

#[test]
fn room_that_is_not_there_cannot_be_reserved_and_nothing_is_left() {
    let disk = Disk::new("9m");
    let store = open(disk.path());
    let tiles = Teller::new(&store, "tiles");
    disk.fill(1_000_000);
    let mut journal = store.journal(&"tiles".into());
    let error = journal.reserve(&"tiles".into(), Some(&tiles.plan("1.0.0"))).unwrap_err();
    assert!(error.text.contains("No space left on device"), "{error}");
    assert_eq!(names(&disk.path().join("plans")), ["tiles.json"]);
    journal.reserve(&"tiles".into(), None).unwrap();
    assert_eq!(names(&disk.path().join("plans")), [""; 0]);
}

#[test]
fn the_ballast_is_really_allocated_on_any_file_system() {
    // The last one does not know how to reserve room.
    for kind in ["", "tmpfs", "ramfs"] {
        let dir = match kind {
            "" => Disk(tempfile::tempdir().unwrap(), false),
            kind => Disk::of(kind, "size=64m"),
        };
        let store = open(dir.path());
        let tiles = Teller::new(&store, "tiles");
        let mut journal = store.journal(&"tiles".into());
        let plan = tiles.plan("1.0.0");
        journal.reserve(&"tiles".into(), Some(&plan)).unwrap();
        let made = fs::metadata(ballast(dir.path())).unwrap();
        assert_eq!(made.len(), BALLAST_BYTES);
        assert!(made.blocks() * 512 >= BALLAST_BYTES);
        journal.reserve(&"tiles".into(), Some(&plan)).unwrap();
        assert_eq!(fs::metadata(ballast(dir.path())).unwrap().ino(), made.ino(), "done is done");
        // One that only looks like it is made again.
        let hollow = fs::File::create(ballast(dir.path())).unwrap();
        hollow.set_len(BALLAST_BYTES).unwrap();
        journal.reserve(&"tiles".into(), Some(&plan)).unwrap();
        assert!(fs::metadata(ballast(dir.path())).unwrap().blocks() * 512 >= BALLAST_BYTES);
    }
}

#[test]
fn a_plan_or_ballast_that_cannot_be_synced_is_not_reserved() {
    for site in [Site::Plan, Site::Ballast] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let tiles = Teller::new(&store, "tiles");
        let plan = tiles.plan("1.0.0");
        let mut journal = store.journal(&"tiles".into());
        inject(site, Fault::Fail);
        let reserved = journal.reserve(&"tiles".into(), Some(&plan));
        drop_site(None);
        assert!(reserved.is_err(), "{}", site.name());
        journal.reserve(&"tiles".into(), Some(&plan)).unwrap();
    }
}

#[test]
fn a_read_only_disk_is_an_error_and_no_damage() {
    let disk = Disk::new("16m");
    let mut tiles = Teller::new(&open(disk.path()), "tiles");
    tiles.update(0);
    let app = tiles.app.clone();
    drop(tiles);
    let before = names(disk.path());
    run("mount", &["-o", "remount,ro", disk.text()]);
    let error = Store::open(disk.path()).unwrap_err();
    assert!(!error.is_damage(), "{error:?}");
    let text = JournalError::from(error).text;
    assert!(text.contains("Read-only file system"), "{text}");
    run("mount", &["-o", "remount,rw", disk.text()]);
    assert_eq!(names(disk.path()), before);
    assert_eq!(load(&open(disk.path()), "tiles"), Some(app));
}

#[test]
fn a_store_that_could_not_be_reopened_says_so_and_can_be_relieved_later() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    tiles.update(0);
    tiles.check();
    let (path, away) = (dir.path().join("journal.db"), dir.path().join("away"));
    let move_file = |from: &Path, to: &Path| {
        crate::durable::rename_new(from, to, Site::Journal).unwrap();
    };
    move_file(&path, &away);
    let mut journal = store.journal(&"tiles".into());
    journal.relieve().unwrap_err();
    let error = tiles.try_tell(Event::Paused).unwrap_err();
    assert!(error.text.contains("it could not be reopened"), "{error}");
    assert!(store.load(&"tiles".into()).is_err());
    move_file(&away, &path);
    journal.relieve().unwrap();
    tiles.tell(Event::Paused);
    tiles.check();
}
