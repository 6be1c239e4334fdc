//! The tables of `journal.db`, and who may read them.
//!
//! `meta` has one row. `schema_version` is what the writer knew; `min_reader` is the oldest schema
//! whose readers still understand all of it. A newer groundcrew that only adds columns with defaults,
//! or tables, raises the first; one that changes a meaning raises both, and an older groundcrew
//! refuses the store by name. New kinds of events need neither: an app that has one is refused by
//! itself.

use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};

use super::set_aside::with;
use super::{Error, queue};
use crate::durable::{self, Site};

/// The schema that this version reads and writes.
pub const SCHEMA: i64 = 1;

/// The oldest schema whose readers understand what this version writes.
const MIN_READER: i64 = 1;

/// `GCjr`: names the file's format to `file(1)` and to us.
const APPLICATION_ID: i64 = 0x4743_6a72;

/// A database that others hold for longer than this is an error.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The log is cut back to this size after a checkpoint, so that one burst does not stay on the disk.
const WAL_KEPT_BYTES: i64 = 4 << 20;

/// Memory for pages, in KiB: what is asked for while all is calm lies in a few of them, and the
/// kernel has the others at hand.
const CACHE_KIB: u32 = 256;

/// How long the header of a database is.
const HEADER_BYTES: u64 = 100;

const TABLES: &str = "
CREATE TABLE meta (
  only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
  schema_version INTEGER NOT NULL,
  min_reader     INTEGER NOT NULL,
  observe_only   TEXT,
  reopened       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE events (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  app       TEXT NOT NULL,
  txn       TEXT,
  wall_ms   INTEGER NOT NULL,
  boot      TEXT NOT NULL,
  uptime_ms INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  body      TEXT NOT NULL,
  sum       TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_app ON events (app, seq);
CREATE TABLE checkpoints (
  app    TEXT NOT NULL,
  seq    INTEGER NOT NULL,
  schema INTEGER NOT NULL,
  body   TEXT NOT NULL,
  sum    TEXT NOT NULL,
  PRIMARY KEY (app, seq)
) STRICT;
CREATE TABLE summaries (
  app       TEXT NOT NULL,
  txn       TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  closed_ms INTEGER NOT NULL,
  body      TEXT NOT NULL,
  PRIMARY KEY (app, txn)
) STRICT;
CREATE INDEX summaries_by_app ON summaries (app, seq);
CREATE TABLE notices (
  key          TEXT PRIMARY KEY,
  seq          INTEGER NOT NULL,
  app          TEXT NOT NULL,
  severity     TEXT NOT NULL,
  title        TEXT NOT NULL,
  body         TEXT NOT NULL,
  queued_ms    INTEGER NOT NULL,
  attempts     INTEGER NOT NULL DEFAULT 0,
  next_ms      INTEGER NOT NULL DEFAULT 0,
  delivered_ms INTEGER
) STRICT;
CREATE INDEX notices_due ON notices (next_ms) WHERE delivered_ms IS NULL;
CREATE TABLE dropped_notices (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  key        TEXT NOT NULL,
  app        TEXT NOT NULL,
  severity   TEXT NOT NULL,
  title      TEXT NOT NULL,
  dropped_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE checks (
  app          TEXT PRIMARY KEY,
  at_ms        INTEGER NOT NULL,
  failure      TEXT,
  succeeded_ms INTEGER
) STRICT;
";

/// Looks at the header before SQLite does, which would make an empty file a database and throw the
/// log of a file away that is none.
///
/// Closing a file drops this process's locks on it, so a process opens a store once and clones it.
pub(super) fn check_header(path: &Path) -> Result<(), Error> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let read = |error| Error::system("read", path, error);
    let mut header = Vec::new();
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(HEADER_BYTES).read_to_end(&mut header).map_err(read)?;
    let is_known = |version: Option<&u8>| matches!(version, Some(1 | 2));
    if header.starts_with(MAGIC) && is_known(header.get(18)) && is_known(header.get(19)) {
        return Ok(());
    }
    let why = "it does not begin as a database does".to_owned();
    Err(Error::Damaged { path: path.to_owned(), why })
}

/// Opens the database that is there and sets it up as every connection of ours is. Until the caller
/// says that it is sound, closing it leaves its log where it is.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let fail = |doing| Error::sqlite(doing, path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail("open"))?;
    be_patient(&db, path)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail("set up"))?;
    // First of all a read: what is no database says so here.
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(fail("open"))?;
    let mode: String = db
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(fail("turn on the log of"))?;
    if mode != "wal" {
        let why = format!("its journal mode is {mode} and cannot be changed to wal");
        return Err(Error::Damaged { path: path.to_owned(), why });
    }
    let settings = format!(
        "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; \
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES}; PRAGMA cache_size = -{CACHE_KIB};"
    );
    db.execute_batch(&settings).map_err(fail("set up"))?;
    Ok(db)
}

/// Waits for others that are at work on it.
pub(super) fn be_patient(db: &Connection, path: &Path) -> Result<(), Error> {
    db.busy_timeout(BUSY_TIMEOUT).map_err(Error::sqlite("set up", path))
}

/// A database that holds nothing, in memory, for one who only looks; `reason`: it only observes.
pub(super) fn in_memory(path: &Path, reason: Option<&str>) -> Result<Connection, Error> {
    let fail = |error| Error::sqlite("do without", path)(error);
    let db = Connection::open_in_memory().map_err(fail)?;
    db.execute_batch(TABLES).map_err(fail)?;
    let sql = "INSERT INTO meta (only_row, schema_version, min_reader, observe_only) \
               VALUES (1, ?1, ?2, ?3)";
    db.execute(sql, (SCHEMA, MIN_READER, reason)).map_err(fail)?;
    Ok(db)
}

/// Makes the database whole under another name and renames it, so that an empty one is always a
/// damaged one. With `first` it begins with the flag that it only observes and a page to people.
pub(super) fn create(path: &Path, first: Option<&queue::FirstNotice>) -> Result<(), Error> {
    let new = with(path, ".new");
    for part in ["", "-wal", "-shm", "-journal"] {
        durable::remove_file(&with(&new, part), Site::Journal)
            .map_err(Error::durable("remove a journal that was not finished"))?;
    }
    create_private(&new)?;
    let fail = |error| Error::sqlite("create the tables of", &new)(error);
    let mut db = connect(&new)?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    fill(&tx, first).map_err(fail)?;
    tx.commit().map_err(fail)?;
    check(&db, &new)?;
    // All of it into the one file that is renamed.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(fail)?;
    db.close().map_err(|(_, error)| fail(error))?;
    durable::rename_new(&new, path, Site::Journal).map_err(Error::durable("complete the journal"))
}

fn fill(tx: &Transaction<'_>, first: Option<&queue::FirstNotice>) -> rusqlite::Result<()> {
    tx.execute_batch(TABLES)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    let reason = first.map(|first| first.reason.as_str());
    let sql = "INSERT INTO meta (only_row, schema_version, min_reader, observe_only) \
               VALUES (1, ?1, ?2, ?3)";
    tx.execute(sql, (SCHEMA, MIN_READER, reason))?;
    match first {
        Some(first) => queue::insert(tx, "groundcrew", 0, first.queued_ms, &first.notice),
        None => Ok(()),
    }
}

/// SQLite would make the file with the umask's mode.
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    durable::step()
        .and_then(|()| {
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        })
        .map(drop)
        .map_err(|error| Error::system("create", path, error))
}

/// Refuses what is not ours, what is damaged and what is too new.
pub(super) fn check(db: &Connection, path: &Path) -> Result<(), Error> {
    let fail = |error| Error::sqlite("check", path)(error);
    let damaged = |why: String| Err(Error::Damaged { path: path.to_owned(), why });
    let found: String =
        db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(fail)?;
    if found != "ok" {
        return damaged(found);
    }
    let id: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fail)?;
    if id != APPLICATION_ID {
        return damaged(format!("its application id is {id:#x}, expected {APPLICATION_ID:#x}"));
    }
    let meta = "SELECT schema_version, min_reader FROM meta WHERE only_row = 1";
    let versions = db.query_row(meta, [], |row| Ok((row.get(0)?, row.get(1)?))).optional();
    let Some((schema, min_reader)) = versions.map_err(fail)? else {
        return damaged("it does not say which schema it has".to_owned());
    };
    if min_reader > SCHEMA {
        return Err(Error::Newer { path: path.to_owned(), schema, min_reader, ours: SCHEMA });
    }
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(fail)?;
    Ok(())
}
