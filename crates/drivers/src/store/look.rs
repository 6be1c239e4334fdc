//! Opens the store to look at it: nothing is written, no lock is taken, nothing is set aside.
//!
//! Whoever only asks how things are may have no rights to write, may do it on a disk that became
//! read-only, and must not be in the way of an agent. A journal that is lost or damaged is shown as
//! what the next agent will make of it: nothing known, and the reason.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OpenFlags};

use super::{Error, Inner, Store, check_library, journal, lost, schema, set_aside};

/// What the next agent does about a journal that cannot be read.
const NEXT: &str = "The next agent sets it aside.";

impl Store {
    /// Opens the store in the state directory to read it; writing is refused. A directory that is
    /// not there has an empty one.
    ///
    /// # Errors
    /// `Newer` if a newer groundcrew has to read it, `Library` for an old SQLite, and whatever the
    /// host fails with: no rights to read.
    pub fn open_to_read(dir: &Path) -> Result<Store, Error> {
        check_library()?;
        let path = journal(dir);
        let db = match read(dir, &path) {
            Ok(db) => db,
            Err(error) if error.is_damage() => {
                let why = crate::causes::causes(&error);
                schema::in_memory(&path, Some(&format!("{why}. {NEXT}")))?
            }
            Err(error) => return Err(error),
        };
        let poisoned = Some("it was opened to read only".to_owned());
        let inner = Inner { db: Some(db), poisoned, suspects: Vec::new(), last_seq: 0 };
        Ok(Store { dir: dir.into(), inner: Arc::new(Mutex::new(inner)) })
    }
}

fn read(dir: &Path, path: &Path) -> Result<Connection, Error> {
    match path.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return schema::in_memory(path, lost(dir, path)?.as_deref());
        }
        Err(error) => return Err(Error::system("look at", path, error)),
    }
    schema::check_header(path)?;
    let plain = connect(path, false).and_then(|db| schema::check(&db, path).map(|()| db));
    match plain {
        // Without rights to write and without a log there is nobody to agree with, and all of the
        // journal is in the one file.
        Err(error) if !error.is_damage() && is_without_log(path) => {
            let db = connect(path, true).map_err(|_| error)?;
            schema::check(&db, path)?;
            Ok(db)
        }
        opened => opened,
    }
}

fn is_without_log(path: &Path) -> bool {
    match set_aside::with(path, "-wal").metadata() {
        Ok(log) => log.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

fn connect(path: &Path, alone: bool) -> Result<Connection, Error> {
    let fail = |doing| Error::sqlite(doing, path);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = if alone {
        let name = format!("file:{}?immutable=1", escaped(path));
        Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_URI)
    } else {
        Connection::open_with_flags(path, flags)
    };
    let db = db.map_err(fail("open"))?;
    schema::be_patient(&db, path)?;
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(fail("open"))?;
    db.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")
        .map_err(fail("set up"))?;
    Ok(db)
}

/// A path in a URI: every byte that may mean something there is spelled out.
fn escaped(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let bytes = path.as_os_str().as_bytes().iter();
    bytes
        .map(
            |byte| {
                if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use groundcrew_engine::noun::AppName;

    use super::super::Load;
    use super::*;

    fn put(path: &Path, bytes: &[u8]) {
        fs::File::create(path).unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn a_look_reads_what_an_agent_wrote_and_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let app: AppName = "tiles".into();
        let writer = Store::open(dir.path()).unwrap().store;
        writer.checked(&app, 7, None).unwrap();
        for agent_runs in [true, false] {
            let reader = Store::open_to_read(dir.path()).unwrap();
            assert_eq!(reader.last_check(&app).unwrap().unwrap().at_ms, 7, "{agent_runs}");
            assert!(reader.checked(&app, 8, None).is_err());
            assert!(reader.observe_only().unwrap().is_none());
            if agent_runs {
                writer.checked(&app, 7, None).unwrap();
            }
        }
    }

    #[test]
    fn a_state_directory_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("not here");
        let reader = Store::open_to_read(&state).unwrap();
        assert_eq!(reader.load(&"tiles".into()).unwrap(), Load::Fresh);
        assert!(reader.observe_only().unwrap().is_none() && !state.exists());
    }

    #[test]
    fn a_journal_that_is_lost_or_damaged_is_said_to_be_and_left_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("releases/tiles")).unwrap();
        let why = |dir: &Path| Store::open_to_read(dir).unwrap().observe_only().unwrap().unwrap();
        assert!(why(dir.path()).contains("is gone"), "{}", why(dir.path()));
        let path = journal(dir.path());
        put(&path, b"no database at all");
        assert!(why(dir.path()).contains("The next agent sets it aside"), "{}", why(dir.path()));
        assert_eq!(fs::read(&path).unwrap(), b"no database at all");
        let count = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(count, 2, "nothing is made");
    }

    #[test]
    fn a_journal_without_a_log_is_read_as_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a %?#b");
        drop(Store::open(&odd).unwrap());
        let path = journal(&odd);
        assert!(is_without_log(&path));
        let db = connect(&path, true).unwrap();
        schema::check(&db, &path).unwrap();
    }
}
