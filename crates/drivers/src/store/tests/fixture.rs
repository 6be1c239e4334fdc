//! Stores of every released schema stay readable: `fixtures/v<schema>/` is only ever added to.
//!
//! A fixture is a dump, since binary files do not belong into a repository, and what it folds to.
//! A new schema's are written once, before its release, with
//!
//! ```text
//! GROUNDCREW_WRITE_FIXTURE=1 cargo nextest run -p groundcrew-drivers fixture
//! ```

use std::collections::BTreeMap;

use groundcrew_engine::machine::State;

use super::*;
use crate::bundle::tests::put;
use crate::store::schema::SCHEMA;

fn fixtures(schema: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/v{schema}"))
}

/// A closed update, a rolled back one, a person's wishes; and an app with an update half-way.
fn tell_a_story(store: &Store) -> BTreeMap<AppName, App> {
    let (mut tiles, mut forge) = (Teller::new(store, "tiles"), Teller::new(store, "forge"));
    tiles.update(0);
    tiles.update(2);
    tiles.tell(Event::Pinned { to: "1.0.0".to_owned() });
    forge.update(0);
    forge.tell_all(starting(&forge.plan("2.0.0")));
    [tiles, forge].map(|teller| (teller.name, teller.app)).into()
}

/// The whole database as SQL, as `.dump` would write it.
fn dump(dir: &Path) -> String {
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let list = |sql: &str| {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let id: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap();
    let mut text = format!("PRAGMA application_id = {id};\nBEGIN;\n");
    for sql in
        list("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'")
    {
        text.push_str(&format!("{sql};\n"));
    }
    for table in
        list("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence'")
    {
        let names =
            list(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let values = names.join(" || ', ' || ");
        for row in list(&format!("SELECT {values} FROM {table}")) {
            text.push_str(&format!("INSERT INTO {table} VALUES ({row});\n"));
        }
    }
    text.push_str("COMMIT;\n");
    text
}

#[test]
fn stores_of_every_schema_fold_to_what_they_meant() {
    if std::env::var_os("GROUNDCREW_WRITE_FIXTURE").is_some() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let apps = tell_a_story(&store);
        drop(store);
        put(&fixtures(SCHEMA).join("journal.sql"), dump(dir.path()).as_bytes());
        let apps = serde_json::to_string_pretty(&apps).unwrap();
        put(&fixtures(SCHEMA).join("apps.json"), apps.as_bytes());
    }
    for schema in 1..=SCHEMA {
        let dir = tempfile::tempdir().unwrap();
        sql(dir.path(), &fs::read_to_string(fixtures(schema).join("journal.sql")).unwrap());
        let store = open(dir.path());
        let expected = fs::read_to_string(fixtures(schema).join("apps.json")).unwrap();
        let expected: BTreeMap<AppName, App> = serde_json::from_str(&expected).unwrap();
        assert_eq!(store.apps().unwrap(), expected.keys().cloned().collect::<Vec<_>>());
        for (name, app) in &expected {
            assert_eq!(load(&store, name.as_str()).as_ref(), Some(app), "v{schema}: {name}");
        }
        // By hand, so that a wrong fold of both sides is seen.
        let tiles = &expected[&AppName::from("tiles")];
        assert_eq!(tiles.last_good.as_ref().unwrap().installed.release.version, "1.0.0");
        assert_eq!(
            (tiles.known_bad[0].version.as_str(), tiles.pin.as_deref()),
            ("1.2.0", Some("1.0.0"))
        );
        assert!(matches!(expected[&AppName::from("forge")].state, State::Probing(_)));
        assert_eq!(store.summaries(&"tiles".into(), 9).unwrap().len(), 2);
        assert_eq!(store.due(i64::MAX, 9).unwrap()[0].notice.title, "tiles: 1.2.0 was rolled back");
        let mut forge = Teller::new(&store, "forge");
        (forge.app, forge.count) = (expected[&AppName::from("forge")].clone(), 1000);
        forge.tell(Event::Proved);
        forge.check();
    }
}
