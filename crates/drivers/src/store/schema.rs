//! The tables of `journal.db`, and who may read them.
//!
//! `meta` has one row. `schema_version` is what the writer knew; `min_reader` is the oldest schema
//! whose readers still understand all of it. A newer groundcrew that only adds columns with defaults,
//! or tables, raises the first; one that changes a meaning raises both, and an older groundcrew
//! refuses the store by name. New kinds of events need neither: an app that has one is refused by
//! itself.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::{Error, queue};

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
  txn       TEXT PRIMARY KEY,
  app       TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  closed_ms INTEGER NOT NULL,
  body      TEXT NOT NULL
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

/// Opens the database and sets it up as every connection of ours is.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let fail = |doing| Error::sqlite(doing, path);
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail("open"))?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(fail("set up"))?;
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
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES};"
    );
    db.execute_batch(&settings).map_err(fail("set up"))?;
    Ok(db)
}

/// SQLite would make the file with the umask's mode.
fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::system("create", path, error))
        }
        _ => Ok(()),
    }
}

/// Makes the tables if there are none. With `observe_only` the store begins with that flag and a
/// page to people, in the same transaction.
pub(super) fn create(
    db: &mut Connection,
    path: &Path,
    observe_only: Option<&queue::FirstNotice>,
) -> Result<(), Error> {
    let fail = |error| Error::sqlite("create the tables of", path)(error);
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    let tables: i64 =
        tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if tables == 0 {
        tx.execute_batch(TABLES).map_err(fail)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
        let reason = observe_only.map(|first| first.reason.as_str());
        tx.execute(
            "INSERT INTO meta (only_row, schema_version, min_reader, observe_only) \
             VALUES (1, ?1, ?2, ?3)",
            (SCHEMA, MIN_READER, reason),
        )
        .map_err(fail)?;
        if let Some(first) = observe_only {
            queue::insert(&tx, "groundcrew", 0, first.queued_ms, &first.notice).map_err(fail)?;
        }
    }
    tx.commit().map_err(fail)
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
    Ok(())
}
