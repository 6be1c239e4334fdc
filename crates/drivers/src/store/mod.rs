//! What the agent remembers: `journal.db`, an append-only list of events in SQLite.
//!
//! ```text
//! <state>/journal.db               events, checkpoints, summaries, notices, checks: see [`schema`]
//! <state>/plans/                   the plan of an open update and room that can be freed
//! <state>/postmortems/             what went wrong, for people
//! ```
//!
//! - **One transaction per append**, durable on return: log mode, `synchronous = FULL`. The event, what
//!   people are told, the checkpoint and the summary are all there or none is.
//! - **Starting is recovering.** [`Store::load`] folds the newest checkpoint and the events after it.
//!   An app whose events or checkpoint this version does not know, or whose rows are damaged, is
//!   refused by name; the others load.
//! - **A store that failed is not written again** until [`Store::relieve`] gave room free and reopened
//!   it, or [`Store::reopen`] did without giving any free. A transaction that failed and arrived after all is taken out by the app's next append.
//! - **A damaged store is set aside** ([`set_aside`]) and a fresh one begins with a flag that only a
//!   person clears: [`Store::observe_only`]. So does a store that is gone while snapshots, releases or
//!   plans are there.
//! - **Every row that a fold depends on carries a sum**, because SQLite does not notice a flipped bit
//!   in a text.
//!
//! There is one writer, the agent, which holds its own lock and opens the store once; opening is serialized by
//! `journal.db.opening`, so that two starts at once do not set aside each other's store.

mod ballast;
mod error;
mod events;
mod history;
mod look;
mod port;
mod queue;
pub mod schema;
mod set_aside;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, Mode, OFlags};

pub use ballast::BALLAST_BYTES;
pub use error::Error;
pub use events::{CHECKPOINT_SCHEMA, Load};
pub use history::{Check, EVENTS_KEPT_MS, Recorded, UPDATES_KEPT_MIN};
pub use port::StoreJournal;
pub use queue::{DELIVERED_KEPT_MS, DROPPED_MAX, Dropped, NOTICES_MAX, Queued};

use crate::causes::causes;
use crate::durable::{self, Site};

/// The oldest SQLite without known defects in what we rely on: its log could lose a commit when two
/// connections checkpointed at once.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");

/// How long another process may be busy opening the store.
const OPENING_MAX: Duration = Duration::from_secs(30);

/// How often we look whether it is done.
const OPENING_POLL: Duration = Duration::from_millis(20);

/// What only an update leaves in the state directory: a journal was there.
const TRACES: [&str; 3] = ["plans", "snapshots", "releases"];

/// The journal and what lies beside it. Cheap to clone; all clones share one connection.
#[derive(Debug, Clone)]
pub struct Store {
    dir: Arc<Path>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// `None` only while it is being reopened, or if that failed.
    db: Option<Connection>,
    /// Why nothing is written any more.
    poisoned: Option<String>,
    /// Appends that failed and may have arrived.
    suspects: Vec<events::Suspect>,
    /// The number of the last event that is known to be durable.
    last_seq: i64,
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub store: Store,
    /// Where the damaged one was put, if this open, or one before it that was killed, had to.
    pub set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the store in the state directory, makes it if there is none, and sets a damaged one
    /// aside.
    ///
    /// # Errors
    /// `Newer` if a newer groundcrew has to read it, `Library` for an old SQLite, and whatever the
    /// host fails with: no rights, no room. The store is untouched then.
    pub fn open(dir: &Path) -> Result<Opened, Error> {
        Store::open_at(dir, jiff::Timestamp::now())
    }

    /// As [`Store::open`], with the time that names a damaged store.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_at(dir: &Path, now: jiff::Timestamp) -> Result<Opened, Error> {
        check_library()?;
        durable::create_dir_all(dir, 0o755, Site::Journal)
            .map_err(Error::durable("make the state directory"))?;
        let _opening = Opening::begin(&journal(dir))?;
        let (db, set_aside) = open_or_replace(dir, now)?;
        let last_seq = events::last_seq(&db)
            .map_err(Error::sqlite("read the last event of", &journal(dir)))?;
        let inner = Inner { db: Some(db), poisoned: None, suspects: Vec::new(), last_seq };
        let store = Store { dir: dir.into(), inner: Arc::new(Mutex::new(inner)) };
        Ok(Opened { store, set_aside })
    }

    /// The state directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Why nothing is updated and nothing cleaned up until a person says so; `None`: all is well.
    ///
    /// # Errors
    /// It could not be read; the caller changes nothing then either.
    pub fn observe_only(&self) -> Result<Option<String>, Error> {
        self.read("read", |db| db.query_row("SELECT observe_only FROM meta", [], |row| row.get(0)))
    }

    /// A person says that updates may go on.
    ///
    /// # Errors
    /// It could not be recorded.
    pub fn clear_observe_only(&self) -> Result<(), Error> {
        self.write("clear the flag in", |tx| {
            tx.execute("UPDATE meta SET observe_only = NULL", []).map(drop)
        })
    }

    /// Gives the room free that was reserved for this app, reopens the store and writes to it.
    pub(super) fn relieve(&self, app: &str) -> Result<(), Error> {
        let freed = self.free_ballast(app);
        // Even if the room could not be freed, the disk may have room again.
        self.reopen().and(freed)
    }

    /// Opens the store anew and writes to it, so that a transaction that failed is not the last.
    ///
    /// # Errors
    /// It still cannot be written.
    pub fn reopen(&self) -> Result<(), Error> {
        let path = journal(&self.dir);
        let mut inner = self.inner();
        drop(inner.db.take());
        let mut db = schema::connect(&path)?;
        schema::check(&db, &path)?;
        let fail = |error| Error::sqlite("write to", &path)(error);
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        let probe = tx.execute("UPDATE meta SET reopened = reopened + 1", []).map(drop);
        let written = probe.and_then(|()| tx.commit()).map_err(fail);
        inner.db = Some(db);
        written?;
        inner.poisoned = None;
        Ok(())
    }

    /// Finds out whether the store can be written, by writing to it.
    ///
    /// # Errors
    /// It cannot.
    pub fn try_write(&self) -> Result<(), Error> {
        // A row that stays as it is would not be written.
        self.write("write to", |tx| {
            tx.execute("UPDATE meta SET reopened = reopened + 1", []).map(drop)
        })
    }

    /// A panic of another thread left a transaction that was rolled back, and nothing worse.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        doing: &'static str,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let path = journal(&self.dir);
        match &self.inner().db {
            Some(db) => run(db).map_err(Error::sqlite(doing, &path)),
            None => Err(Error::Poisoned { path, why: "it could not be reopened".to_owned() }),
        }
    }

    /// One transaction. The first that fails is the last until the store is reopened.
    fn write<T>(
        &self,
        doing: &'static str,
        run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        write(&mut self.inner(), &journal(&self.dir), doing, run)
    }
}

fn write<T>(
    inner: &mut Inner,
    path: &Path,
    doing: &'static str,
    run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, Error> {
    let why = inner.poisoned.clone().or_else(|| match inner.db {
        None => Some("it could not be reopened".to_owned()),
        Some(_) => None,
    });
    let (Some(db), None) = (inner.db.as_mut(), why.as_ref()) else {
        let why = why.unwrap_or_default();
        return Err(Error::Poisoned { path: path.to_owned(), why });
    };
    let written = db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
        let done = run(&tx)?;
        tx.commit()?;
        Ok(done)
    });
    written.map_err(|error| {
        inner.poisoned = Some(error.to_string());
        Error::sqlite(doing, path)(error)
    })
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("journal.db")
}

/// A name that is one plain file name, whatever an app or a version is called.
fn file_name(name: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._+-".contains(char);
    let mut plain: String = name.chars().map(|char| if plain(char) { char } else { '_' }).collect();
    if plain.starts_with('.') {
        plain.insert(0, '_');
    }
    plain
}

fn open_or_replace(
    dir: &Path,
    now: jiff::Timestamp,
) -> Result<(Connection, Option<PathBuf>), Error> {
    let path = journal(dir);
    let (aside, why) = match set_aside::finish(&path)? {
        Some(aside) => (aside, "it was found damaged before".to_owned()),
        None => match open_sound(dir, &path, now) {
            Err(error) if error.is_damage() => (set_aside::begin(&path, now)?, causes(&error)),
            opened => return Ok((opened?, None)),
        },
    };
    let reason = format!("The journal was set aside as {}: {why}.", aside.display());
    if path.symlink_metadata().is_err() {
        schema::create(&path, Some(&set_aside::notice(reason, now)))?;
    }
    let db = open_checked(&path)?;
    set_aside::end(&path)?;
    Ok((db, Some(aside)))
}

/// Opens what is there. If nothing is, but an update was made here before, the journal is lost.
fn open_sound(dir: &Path, path: &Path, now: jiff::Timestamp) -> Result<Connection, Error> {
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let log = set_aside::with(path, "-wal");
    if is_there(path) {
        return open_checked(path);
    }
    if is_there(&log) {
        let why = "its log is there without it".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    let lost = trace(dir, path).map(|reason| set_aside::notice(reason, now));
    schema::create(path, lost.as_ref())?;
    open_checked(path)
}

fn check_library() -> Result<(), Error> {
    if rusqlite::version_number() < SQLITE_MIN.0 {
        let found = rusqlite::version().to_owned();
        return Err(Error::Library { found, needed: SQLITE_MIN.1 });
    }
    Ok(())
}

/// Why a journal that is not there is lost; `None`: there never was one.
fn trace(dir: &Path, path: &Path) -> Option<String> {
    let trace = TRACES.iter().map(|name| dir.join(name)).find(|trace| has_entries(trace))?;
    Some(format!("{} is gone, but {} is there.", path.display(), trace.display()))
}

/// Why there is no journal at all, for one who only looks; `None`: there never was one.
fn lost(dir: &Path, path: &Path) -> Result<Option<String>, Error> {
    if set_aside::with(path, "-wal").symlink_metadata().is_ok() {
        let why = "its log is there without it".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    Ok(trace(dir, path))
}

fn open_checked(path: &Path) -> Result<Connection, Error> {
    schema::check_header(path)?;
    let db = schema::connect(path)?;
    schema::check(&db, path)?;
    Ok(db)
}

fn has_entries(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

/// Held while a store is opened, and no longer.
struct Opening {
    _lock: std::os::fd::OwnedFd,
}

impl Opening {
    fn begin(journal: &Path) -> Result<Opening, Error> {
        let path = journal.with_extension("db.opening");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| Error::system("open the lock", &path, error))?;
        let begun = Instant::now();
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Opening { _lock: lock }),
                Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < OPENING_MAX => {
                    std::thread::sleep(OPENING_POLL);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Err(Error::Busy { path, waited_ms });
                }
                Err(error) => return Err(Error::system("lock", &path, error)),
            }
        }
    }
}
