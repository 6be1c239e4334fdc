//! Damage: every byte of the files may be wrong, files may be missing or cut short, and whatever
//! happens is said aloud and loses nothing in silence.

use groundcrew_engine::ports::Severity;

use super::*;
use crate::bundle::tests::{names, put};
use crate::durable::crash_after;
use crate::store::Opened;

/// A directory in memory: these tests open a store a thousand times.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// A closed store with two apps, one of them in an update.
fn example(dir: &Path) -> [Teller; 2] {
    let store = open(dir);
    let (mut tiles, mut forge) = (Teller::new(&store, "tiles"), Teller::new(&store, "forge"));
    (0..3).for_each(|number| tiles.update(number));
    forge.update(0);
    forge.tell_all(starting(&forge.plan("2.0.0")));
    [tiles, forge]
}

/// Opens a store whose files were damaged; fails if anything was lost without a word.
fn check_opens(context: &str, dir: &Path, tellers: &[Teller; 2], events: i64) -> &'static str {
    match Store::open(dir) {
        Err(error) => {
            assert!(matches!(error, crate::store::Error::Newer { .. }), "{context}: {error:?}");
            "newer"
        }
        Ok(Opened { store, set_aside: Some(aside) }) => {
            assert!(aside.exists(), "{context}");
            check_observes(&store);
            "set aside"
        }
        Ok(Opened { store, set_aside: None }) => {
            assert_eq!(count(&store, "events"), events, "{context}: events are gone");
            let mut all = "sound";
            for teller in tellers {
                match store.load(&teller.name).unwrap() {
                    Load::App(app) => assert_eq!(*app, teller.app, "{context}"),
                    Load::Fresh => panic!("{context}: {} is forgotten", teller.name),
                    Load::Refused { .. } => all = "refused",
                }
            }
            all
        }
    }
}

fn check_observes(store: &Store) {
    let reason = store.observe_only().unwrap().unwrap();
    let due = store.due(i64::MAX, 10).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].notice.severity, Severity::Page);
    assert!(due[0].notice.body.starts_with(&reason), "{:?}", due[0]);
    assert!(due[0].notice.body.contains("`groundcrew unblock`"));
}

#[test]
fn a_wrong_byte_anywhere_is_found_or_does_not_matter() {
    let dir = memory();
    let tellers = example(dir.path());
    let events = count(&tellers[0].store, "events");
    let tellers = tellers.map(|teller| Teller { store: open(memory().path()), ..teller });
    let sound = fs::read(dir.path().join("journal.db")).unwrap();
    assert_eq!(names(dir.path()), ["journal.db", "journal.db.opening"], "closed, without a log");
    let mut reasons = std::collections::BTreeSet::new();
    let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
    // The header byte by byte, then a number that shares no factor with anything in a page.
    let offsets = (0..100).chain((100..sound.len()).step_by(331));
    for offset in offsets {
        for mask in [0xff, 0x01] {
            let dir = memory();
            let mut bytes = sound.clone();
            bytes[offset] ^= mask;
            put(&dir.path().join("journal.db"), &bytes);
            let context = format!("byte {offset} of {} with {mask:#x}", bytes.len());
            let outcome = check_opens(&context, dir.path(), &tellers, events);
            *outcomes.entry(outcome).or_default() += 1;
            if outcome == "set aside" {
                reasons.insert(open(dir.path()).observe_only().unwrap().unwrap());
            }
        }
    }
    println!("{outcomes:?}");
    let only_found_by_looking = |reason: &String| reason.contains("missing from index");
    assert!(reasons.iter().any(only_found_by_looking), "{reasons:#?}");
    for outcome in ["set aside", "refused", "sound"] {
        assert!(outcomes.contains_key(outcome), "{outcome} never happened: {outcomes:?}");
    }
}

#[test]
fn a_database_that_was_cut_short_is_set_aside_and_kept() {
    let dir = memory();
    let tellers = example(dir.path());
    let events = count(&tellers[0].store, "events");
    let tellers = tellers.map(|teller| Teller { store: open(memory().path()), ..teller });
    let sound = fs::read(dir.path().join("journal.db")).unwrap();
    for length in (0..sound.len()).step_by(sound.len() / 40) {
        let dir = memory();
        let bytes = &sound[..length];
        put(&dir.path().join("journal.db"), bytes);
        let outcome = check_opens(&format!("{length} bytes"), dir.path(), &tellers, events);
        if length > sound.len() - 4096 {
            continue; // SQLite takes the missing end of a page for zeros; nothing is lost unseen.
        }
        assert_eq!(outcome, "set aside", "{length} bytes");
        let names = names(dir.path());
        let aside = names.iter().find(|name| name.starts_with("journal.db.corrupt-")).unwrap();
        assert!(fs::read(dir.path().join(aside)).unwrap() == bytes, "{length} bytes");
    }
}

/// The log carries sums of its own: what comes after the damage is as if it had never been written,
/// and what comes before is whole.
#[test]
fn a_damaged_log_loses_whole_appends_from_its_end_and_a_damaged_index_none() {
    let dir = memory();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    let mut states = vec![tiles.app.clone()];
    for event in starting(&tiles.plan("1.0.0")) {
        tiles.tell(event);
        states.push(tiles.app.clone());
    }
    let copy = |change: &dyn Fn(&mut Vec<u8>, &mut Vec<u8>)| {
        let to = memory();
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let (mut log, mut index) = (read("journal.db-wal"), read("journal.db-shm"));
        change(&mut log, &mut index);
        put(&to.path().join("journal.db"), &read("journal.db"));
        put(&to.path().join("journal.db-wal"), &log);
        put(&to.path().join("journal.db-shm"), &index);
        let opened = Store::open(to.path()).unwrap();
        assert_eq!(opened.set_aside, None);
        load(&opened.store, "tiles").unwrap_or_default()
    };
    assert_eq!(copy(&|_, _| {}), tiles.app);
    assert_eq!(copy(&|_, index| index.fill(0xa5)), tiles.app);
    assert_eq!(copy(&|log, _| log.extend([0xa5; 5000])), tiles.app);
    let length = fs::read(dir.path().join("journal.db-wal")).unwrap().len();
    let mut found = std::collections::BTreeSet::new();
    for offset in (0..length).step_by(length / 97) {
        for change in [0, 1] {
            let app = copy(&|log, _| match change {
                0 => log[offset] ^= 0xff,
                _ => log.truncate(offset),
            });
            let at = states.iter().position(|state| *state == app);
            found.insert(at.unwrap_or_else(|| panic!("byte {offset}: half an append")));
        }
    }
    assert!(found.len() > 10, "{found:?}");
}

#[test]
fn what_is_no_journal_is_set_aside() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 4] = [
        ("text", |dir| put(&dir.join("journal.db"), b"this is no database, it is a text")),
        ("nothing", |dir| put(&dir.join("journal.db"), b"")),
        ("another", |dir| sql(dir, "CREATE TABLE t (x)")),
        ("no meta", |dir| {
            open(dir);
            sql(dir, "DELETE FROM meta");
        }),
    ];
    for (what, make) in cases {
        let dir = memory();
        make(dir.path());
        let opened = Store::open(dir.path()).unwrap();
        assert!(opened.set_aside.is_some(), "{what}");
        check_observes(&opened.store);
        let mut teller = Teller::new(&opened.store, "tiles");
        teller.tell(Event::Paused);
        drop((teller, opened));
        let store = open(dir.path());
        check_observes(&store);
        store.clear_observe_only().unwrap();
        assert_eq!(open(dir.path()).observe_only().unwrap(), None);
    }
}

#[test]
fn two_damages_in_one_second_are_two_files() {
    let dir = memory();
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        put(&dir.path().join("journal.db"), b"x");
        found.extend(Store::open_at(dir.path(), now).unwrap().set_aside);
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let names: Vec<String> = found.iter().map(name).collect();
    let first = "journal.db.corrupt-20261121T100000Z";
    assert_eq!(names, [first.to_owned(), format!("{first}-2")]);
}

/// A log that was left alone would be played into the fresh database.
#[test]
fn setting_aside_can_be_cut_anywhere_and_keeps_every_file() {
    let mut cut = 0;
    loop {
        let dir = memory();
        let files = [
            ("journal.db", &b"no database"[..]),
            ("journal.db-wal", b"w"),
            ("journal.db-shm", b"s"),
        ];
        for (name, bytes) in files {
            put(&dir.path().join(name), bytes);
        }
        crash_after(Some(cut));
        let opened = Store::open(dir.path());
        crash_after(None);
        let is_done = opened.is_ok();
        drop(opened);
        let store = Store::open(dir.path()).unwrap().store;
        check_observes(&store);
        assert_eq!(count(&store, "events"), 0);
        drop(store);
        let names = names(dir.path());
        let aside: Vec<&String> = names.iter().filter(|name| name.contains(".corrupt-")).collect();
        assert_eq!(aside.len(), 3, "cut {cut}: {names:?}");
        for (name, (_, bytes)) in aside.iter().zip([files[0], files[2], files[1]]) {
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), bytes, "cut {cut}: {name}");
        }
        assert!(!names.iter().any(|name| name.ends_with("setting-aside")), "{names:?}");
        if is_done {
            break;
        }
        cut += 1;
    }
    assert!(cut >= 5, "only {cut} places were cut");
}

#[test]
fn a_log_without_its_database_is_set_aside_and_not_played_into_a_fresh_one() {
    let dir = memory();
    let other = memory();
    let mut tiles = Teller::new(&open(dir.path()), "tiles");
    tiles.tell_all(starting(&tiles.plan("1.0.0")));
    let log = fs::read(dir.path().join("journal.db-wal")).unwrap();
    put(&other.path().join("journal.db-wal"), &log);
    let opened = Store::open(other.path()).unwrap();
    let aside = opened.set_aside.unwrap();
    check_observes(&opened.store);
    assert_eq!(opened.store.apps().unwrap(), []);
    assert_eq!(fs::read(format!("{}-wal", aside.display())).unwrap(), log);
}

/// The log is evidence too: nothing of it is played into the damaged database on the way out.
#[test]
fn a_damaged_database_is_kept_with_its_log_as_they_were() {
    let dir = memory();
    let mut tiles = Teller::new(&open(dir.path()), "tiles");
    tiles.tell_all(starting(&tiles.plan("1.0.0")));
    let sound = fs::read(dir.path().join("journal.db")).unwrap();
    let log = fs::read(dir.path().join("journal.db-wal")).unwrap();
    let mut kept = 0;
    for page in 1..sound.len() / 4096 {
        let dir = memory();
        let mut bytes = sound.clone();
        bytes[page * 4096..][..4096].fill(0xa5);
        put(&dir.path().join("journal.db"), &bytes);
        put(&dir.path().join("journal.db-wal"), &log);
        // A page that is in the log as well is not missed.
        let Some(aside) = Store::open(dir.path()).unwrap().set_aside else { continue };
        assert!(fs::read(&aside).unwrap() == bytes, "page {page}");
        assert!(fs::read(format!("{}-wal", aside.display())).unwrap() == log, "page {page}");
        kept += 1;
    }
    assert!(kept > 0, "no page was missed");
}

#[test]
fn a_journal_that_is_gone_is_missed_where_updates_were_made() {
    for (trace, missed) in
        [("snapshots", true), ("plans", true), ("releases", true), ("run", false)]
    {
        let dir = memory();
        put(&dir.path().join(trace).join("tiles/x"), b"");
        let opened = Store::open(dir.path()).unwrap();
        assert_eq!(opened.set_aside, None);
        assert_eq!(opened.store.observe_only().unwrap().is_some(), missed, "{trace}");
        if missed {
            check_observes(&opened.store);
        }
        assert_eq!(open(dir.path()).observe_only().unwrap().is_some(), missed, "{trace}");
    }
}

#[test]
fn a_first_start_can_be_cut_anywhere() {
    let mut cut = 0;
    loop {
        let dir = memory();
        crash_after(Some(cut));
        let is_done = Store::open(dir.path()).is_ok();
        crash_after(None);
        let store = open(dir.path());
        assert_eq!(store.observe_only().unwrap(), None, "cut {cut}");
        if is_done {
            return;
        }
        cut += 1;
    }
}

#[test]
fn many_that_open_at_once_set_a_damaged_store_aside_once() {
    let dir = memory();
    put(&dir.path().join("journal.db"), b"no database");
    let opened: Vec<Opened> = std::thread::scope(|scope| {
        let open = || scope.spawn(|| Store::open(dir.path()).unwrap());
        let threads: Vec<_> = (0..8).map(|_| open()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened.iter().filter(|opened| opened.set_aside.is_some()).count(), 1);
    for opened in &opened {
        check_observes(&opened.store);
    }
}
