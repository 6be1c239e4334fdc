//! What is recorded and what the next agent finds: folds, refusals by name, histories, documents.

use groundcrew_engine::ports::PostMortem;
use groundcrew_engine::ports::journal::{Trial, contract};

use super::*;
use crate::store::history::{EVENTS_KEPT_MS, UPDATES_KEPT_MIN};

#[test]
fn store_keeps_the_contract_of_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let find = || {
        let mut files = fs::read_dir(store.post_mortems()).unwrap();
        let path = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none(), "one document per update");
        path
    };
    let mut trial = Trial {
        app: "tiles".into(),
        known: &mut || load(&open(dir.path()), "tiles").unwrap_or_default(),
        told: &mut || {
            let mut due = store.due(i64::MAX, 100).unwrap();
            due.sort_by_key(|queued| queued.queued_ms);
            due.into_iter().map(|queued| queued.notice.key).collect()
        },
        document: &mut |text| {
            let path = find();
            if let Some(text) = text {
                crate::bundle::tests::put(&path, text.as_bytes());
            }
            Some(fs::read_to_string(path).unwrap())
        },
    };
    contract(&mut store.journal(&"tiles".into()), &mut trial);
    let name = find().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name, "2027-01-15_tiles_2.0.0_1a3185c5000-boot-1388.md");
}

#[test]
fn every_entry_of_every_update_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut teller = Teller::new(&open(dir.path()), "tiles");
    for number in 0..6 {
        let version = format!("1.{number}.0");
        let events =
            if number % 3 == 2 { failing(&version, &teller) } else { proving(&version, &teller) };
        for event in events {
            teller.tell(event);
            teller.check();
        }
        teller.store = open(dir.path());
        teller.check();
    }
    assert_eq!(teller.app.known_bad.len(), 2);
    assert_eq!(teller.app.last_good.as_ref().unwrap().installed.release.version, "1.4.0");
    assert_eq!(count(&teller.store, "checkpoints"), 2, "older ones go");
    let endings: Vec<Ending> = teller
        .store
        .summaries(&"tiles".into(), 10)
        .unwrap()
        .into_iter()
        .map(|summary| summary.ending)
        .collect();
    use Ending::{Proven, RolledBack};
    assert_eq!(endings, [RolledBack, Proven, Proven, RolledBack, Proven, Proven]);
    assert_eq!(teller.store.summaries(&"tiles".into(), 1).unwrap()[0].to, "1.5.0");
}

#[test]
fn apps_do_not_see_each_other_and_an_unknown_one_is_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    let mut forge = Teller::new(&store, "forge");
    tiles.update(0);
    forge.update(0);
    forge.tell(Event::Paused);
    tiles.check();
    forge.check();
    for name in ["tiles", "forge"] {
        // Both updates were planned in the same millisecond and have the same name.
        assert_eq!(store.summaries(&name.into(), 9).unwrap().len(), 1, "{name}");
    }
    assert_eq!(store.load(&"nobody".into()).unwrap(), Load::Fresh);
    assert_eq!(store.apps().unwrap(), [AppName::from("forge"), AppName::from("tiles")]);
}

#[test]
fn timeline_is_exactly_the_open_update() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut teller = Teller::new(&store, "tiles");
    teller.update(0);
    let events = |teller: &Teller| {
        let entries = teller.store.journal(&teller.name).timeline(&teller.name).unwrap();
        entries.into_iter().map(|entry| entry.event).collect::<Vec<_>>()
    };
    let steps = starting(&teller.plan("2.0.0"));
    let before = arming(&teller.plan("2.0.0")).len() - 1;
    teller.tell_all(steps[..before].to_vec());
    assert_eq!(events(&teller), []);
    teller.tell_all(steps[before..].to_vec());
    assert_eq!(events(&teller), steps[before..]);
}

#[test]
fn what_an_older_groundcrew_does_not_know_refuses_that_app_by_name_and_no_other() {
    let cases = [
        (
            "UPDATE events SET kind = 'teleported', \
             body = replace(body, '\"kind\":\"paused\"', '\"kind\":\"teleported\"'), \
             sum = 'SUM' WHERE app = 'tiles' AND kind = 'paused'",
            "of kind \"teleported\" cannot be understood",
        ),
        (
            "UPDATE checkpoints SET schema = 2, sum = 'SUM' WHERE app = 'tiles'",
            "has schema 2, this groundcrew reads 1",
        ),
        (
            "UPDATE checkpoints SET body = replace(body, '\"state\"', '\"condition\"'), \
             sum = 'SUM' WHERE app = 'tiles'",
            "cannot be understood",
        ),
    ];
    for (statement, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (mut tiles, mut forge) = (Teller::new(&store, "tiles"), Teller::new(&store, "forge"));
        tiles.tell_all(arming(&tiles.plan("1.0.0")));
        tiles.tell(Event::Paused);
        forge.update(0);
        drop(store);
        sql(dir.path(), &statement.replace("'SUM'", "sum"));
        rewrite_sums(dir.path());
        let store = open(dir.path());
        let why = refused(&store, "tiles");
        assert!(
            why.contains(expected) && why.contains("run the groundcrew that wrote it"),
            "{why}"
        );
        forge.store = store.clone();
        forge.check();
        let recorded = store.events(&"tiles".into(), 1).unwrap();
        assert_eq!(recorded[0].entry.is_none(), statement.contains("teleported"));
    }
}

/// As a groundcrew would that writes such rows.
fn rewrite_sums(dir: &Path) {
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let text = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, String>(at).unwrap();
    let mut rows = Vec::new();
    let mut statement = db.prepare("SELECT seq, app, txn, kind, body FROM events").unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let txn: Option<String> = row.get(2).unwrap();
        let sum = crate::store::events::event_sum(
            &text(row, 1),
            txn.as_deref(),
            &text(row, 3),
            &text(row, 4),
        );
        rows.push((row.get::<_, i64>(0).unwrap(), sum));
    }
    for (seq, sum) in rows {
        db.execute("UPDATE events SET sum = ?2 WHERE seq = ?1", (seq, sum)).unwrap();
    }
    let mut rows = Vec::new();
    let mut statement = db.prepare("SELECT seq, app, schema, body FROM checkpoints").unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let schema: i64 = row.get(2).unwrap();
        let sum = crate::store::events::checkpoint_sum(&text(row, 1), schema, &text(row, 3));
        rows.push((row.get::<_, i64>(0).unwrap(), sum));
    }
    for (seq, sum) in rows {
        db.execute("UPDATE checkpoints SET sum = ?2 WHERE seq = ?1", (seq, sum)).unwrap();
    }
}

#[test]
fn an_event_that_does_not_follow_refuses_the_app() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    tiles.tell_all(starting(&tiles.plan("1.0.0")));
    sql(dir.path(), "DELETE FROM events WHERE kind = 'snapshotted'");
    let why = refused(&store, "tiles");
    assert!(why.contains("does not follow from those before"), "{why}");
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_and_damaged_events_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    tiles.update(0);
    tiles.tell(Event::Paused);
    tiles.tell_all(starting(&tiles.plan("2.0.0")));
    let newest = "(SELECT max(seq) FROM checkpoints)";
    let flip = "SET body = replace(body, '1.0.0', '1.0.1')";
    sql(dir.path(), &format!("UPDATE checkpoints {flip} WHERE seq = {newest}"));
    tiles.check();
    sql(dir.path(), &format!("UPDATE checkpoints {flip}"));
    assert!(refused(&store, "tiles").contains("its checkpoint is damaged"));
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    tiles.tell_all(starting(&tiles.plan("1.0.0")));
    sql(
        dir.path(),
        "UPDATE events SET body = replace(body, '1.0.0', '1.0.1') WHERE kind = 'armed'",
    );
    assert!(refused(&store, "tiles").contains("is damaged"));
}

#[test]
fn a_newer_store_is_refused_by_both_versions_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    sql(dir.path(), "UPDATE meta SET schema_version = 3, min_reader = 2");
    let before = fs::read(dir.path().join("journal.db")).unwrap();
    let error = Store::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("has schema 3 and needs a groundcrew that reads schema 2"), "{error}");
    assert!(error.contains("reads schema 1: run the newer groundcrew again"), "{error}");
    assert_eq!(fs::read(dir.path().join("journal.db")).unwrap(), before);
    // One that only added things is for everybody.
    sql(
        dir.path(),
        "UPDATE meta SET min_reader = 1; ALTER TABLE events ADD COLUMN mood TEXT; \
         CREATE TABLE series (x) STRICT_OR_NOT"
            .replace(" STRICT_OR_NOT", "")
            .as_str(),
    );
    let mut teller = Teller::new(&open(dir.path()), "tiles");
    teller.update(0);
    teller.check();
}

#[test]
fn checks_remember_the_last_success() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let app = "tiles".into();
    assert_eq!(store.last_check(&app).unwrap(), None);
    store.checked(&app, 1, None).unwrap();
    store.checked(&app, 2, Some("no route")).unwrap();
    let check = store.last_check(&app).unwrap().unwrap();
    assert_eq!((check.at_ms, check.succeeded_ms), (2, Some(1)));
    assert_eq!(check.failure.as_deref(), Some("no route"));
    store.checked(&app, 3, None).unwrap();
    let check = store.last_check(&app).unwrap().unwrap();
    assert_eq!((check.failure, check.succeeded_ms), (None, Some(3)));
}

#[test]
fn old_events_go_and_the_latest_updates_and_all_that_a_fold_needs_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    let updates = u64::from(UPDATES_KEPT_MIN) + 5;
    for number in 0..updates {
        tiles.update(number);
    }
    tiles.tell_all(starting(&tiles.plan("9.0.0")));
    let all = count(&store, "events");
    let mut now = at(tiles.count);
    assert_eq!(store.prune(&now).unwrap(), 0, "nothing is old");
    now.wall_ms += EVENTS_KEPT_MS + 1;
    now.synchronized = false;
    assert_eq!(store.prune(&now).unwrap(), 0, "the clock may be wrong");
    now.synchronized = true;
    assert!(store.prune(&now).unwrap() > 0);
    assert!(count(&store, "events") < all);
    tiles.check();
    let recorded = store.events(&"tiles".into(), u32::MAX).unwrap();
    let mut kept: Vec<_> = recorded.iter().filter_map(|event| event.txn.clone()).collect();
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), UPDATES_KEPT_MIN as usize + 1, "the latest, and the open one");
    assert_eq!(store.summaries(&"tiles".into(), u32::MAX).unwrap().len() as u64, updates);
    assert_eq!(store.prune(&now).unwrap(), 0);
}

#[test]
fn a_failed_append_that_arrived_after_all_is_taken_out_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut tiles = Teller::new(&store, "tiles");
    tiles.tell(Event::Paused);
    let believed = (tiles.app.clone(), tiles.count);
    tiles.tell(Event::Pinned { to: "1.0.0".to_owned() });
    let suspect = |tiles: &mut Teller| {
        // As if the sync of the last commit had failed after its bytes were written.
        let mut inner = store.inner();
        let last: String = inner
            .db
            .as_ref()
            .unwrap()
            .query_row("SELECT body FROM events ORDER BY seq DESC LIMIT 1", [], |row| row.get(0))
            .unwrap();
        inner.suspects.push(crate::store::events::Suspect::of("tiles", &last, 1));
        (tiles.app, tiles.count) = believed.clone();
    };
    suspect(&mut tiles);
    tiles.tell(Event::Pinned { to: "1.0.0".to_owned() });
    assert_eq!(count(&store, "events"), 2, "asked for again, it is there once");
    tiles.check();
    suspect(&mut tiles);
    tiles.tell(Event::Unpaused);
    assert_eq!(count(&store, "events"), 2, "what did not happen is taken out");
    assert_eq!(count(&store, "checkpoints"), 2);
    tiles.check();
    tiles.tell(Event::Paused);
    assert_eq!(count(&store, "events"), 3);
}

#[test]
fn documents_have_plain_names_whatever_a_version_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (app, txn) = ("tiles".into(), TxnId::from("by-hand"));
    let version = "../../etc/passwd v1";
    let post_mortem = PostMortem { app: &app, txn: &txn, version, text: "x" };
    store.journal(&app).file(&post_mortem).unwrap();
    let names = crate::bundle::tests::names(&store.post_mortems());
    assert_eq!(names, ["undated_tiles__.._.._etc_passwd_v1_by-hand.md"]);
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    };
    let dir = store.post_mortems();
    assert_eq!((mode(&dir), mode(&dir.join(&names[0]))), (0o750, 0o640));
}

/// No kill shows a missing sync, so the settings themselves are looked at.
#[test]
fn a_commit_is_synced_before_it_returns() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let check = || {
        let pragma = |name: &str| {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            store.read("ask", |db| db.query_row(&sql, [], |row| row.get::<_, String>(0))).unwrap()
        };
        assert_eq!((pragma("synchronous"), pragma("journal_mode")), ("2".into(), "wal".into()));
    };
    check();
    store.journal(&"tiles".into()).relieve().unwrap();
    check();
}

#[test]
fn only_our_user_can_read_the_journal() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut tiles = Teller::new(&open(dir.path()), "tiles");
    tiles.tell(Event::Paused);
    for name in ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.opening"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
