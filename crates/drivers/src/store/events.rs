//! Events and checkpoints: written in one transaction, folded into what is known of an app.

use groundcrew_engine::machine::{App, Entry};
use groundcrew_engine::noun::AppName;
use groundcrew_engine::ports::Append;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};

use super::{Error, Store, journal, queue, write};
use crate::causes::causes;

/// The shape of a checkpoint's body. A reader of another shape refuses the app by name.
pub const CHECKPOINT_SCHEMA: i64 = 1;

/// Checkpoints kept per app: should the newest be damaged, the one before and the events after it
/// say the same.
const CHECKPOINTS_KEPT: i64 = 2;

/// What is known of an app.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// The store has nothing about it.
    Fresh,
    /// This.
    App(Box<App>),
    /// There is something that this version cannot read, or that is damaged. The app is left alone.
    Refused {
        /// Which.
        app: AppName,
        /// What, and the way out.
        why: String,
    },
}

/// An append that failed: it did not happen, unless the disk says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    app: String,
    body: String,
    /// It can only be newer than this event.
    after: i64,
}

#[cfg(test)]
impl Suspect {
    pub(super) fn of(app: &str, body: &str, after: i64) -> Suspect {
        Suspect { app: app.to_owned(), body: body.to_owned(), after }
    }
}

/// An append in the form of its rows.
struct Rows<'a> {
    append: &'a Append<'a>,
    app: &'a str,
    txn: Option<&'a str>,
    kind: String,
    body: String,
    sum: String,
    uptime_ms: i64,
    checkpoint: Option<(String, String)>,
    summary: Option<String>,
}

/// Notices a flipped bit; nobody is kept out by it.
fn sum(fields: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&field.len().to_le_bytes()).update(field.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

impl<'a> Rows<'a> {
    fn of(append: &'a Append<'a>) -> Result<Rows<'a>, Error> {
        let json = Error::json("write an event");
        let (app, txn) = (append.app.as_str(), append.txn.map(|txn| txn.as_str()));
        let kind = append.entry.event.name();
        let body = serde_json::to_string(append.entry).map_err(json)?;
        let sum = event_sum(app, txn, &kind, &body);
        let checkpoint = match append.after.state.update() {
            Some(_) => None,
            None => {
                let body = serde_json::to_string(append.after)
                    .map_err(Error::json("write a checkpoint"))?;
                Some((checkpoint_sum(app, CHECKPOINT_SCHEMA, &body), body))
            }
        };
        let summary = append.closed.map(serde_json::to_string).transpose();
        let summary = summary.map_err(Error::json("write a summary"))?;
        let uptime_ms = i64::try_from(append.entry.at.uptime_ms).unwrap_or(i64::MAX);
        Ok(Rows { append, app, txn, kind, body, sum, uptime_ms, checkpoint, summary })
    }

    /// Writes all rows; returns the event's number.
    fn insert(&self, tx: &Transaction<'_>) -> rusqlite::Result<i64> {
        let at = &self.append.entry.at;
        tx.prepare_cached(
            "INSERT INTO events (app, txn, wall_ms, boot, uptime_ms, kind, body, sum) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            self.app,
            self.txn,
            at.wall_ms,
            at.boot.as_str(),
            self.uptime_ms,
            &self.kind,
            &self.body,
            &self.sum,
        ))?;
        let seq = tx.last_insert_rowid();
        for notice in self.append.notices {
            queue::insert(tx, self.app, seq, at.wall_ms, notice)?;
        }
        if let Some((sum, body)) = &self.checkpoint {
            tx.prepare_cached(
                "INSERT INTO checkpoints (app, seq, schema, body, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((self.app, seq, CHECKPOINT_SCHEMA, body, sum))?;
            tx.prepare_cached(
                "DELETE FROM checkpoints WHERE app = ?1 AND seq NOT IN \
                 (SELECT seq FROM checkpoints WHERE app = ?1 ORDER BY seq DESC LIMIT ?2)",
            )?
            .execute((self.app, CHECKPOINTS_KEPT))?;
        }
        if let (Some(closed), Some(body)) = (self.append.closed, &self.summary) {
            tx.execute(
                "INSERT OR REPLACE INTO summaries (txn, app, seq, closed_ms, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                (closed.txn.as_str(), self.app, seq, closed.closed_ms, body),
            )?;
        }
        Ok(seq)
    }
}

pub(super) fn event_sum(app: &str, txn: Option<&str>, kind: &str, body: &str) -> String {
    sum(&[app, txn.unwrap_or_default(), kind, body])
}

pub(super) fn checkpoint_sum(app: &str, schema: i64, body: &str) -> String {
    sum(&[app, &schema.to_string(), body])
}

pub(super) fn last_seq(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT ifnull(max(seq), 0) FROM events", [], |row| row.get(0))
}

/// The number of a suspect's event, if it arrived.
fn arrived(tx: &Transaction<'_>, suspect: &Suspect) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT seq FROM events WHERE app = ?1 AND seq > ?2 AND body = ?3";
    let Suspect { app, body, after } = suspect;
    tx.query_row(sql, (app, after, body), |row| row.get(0)).optional()
}

/// Takes everything out that one append wrote.
fn undo(tx: &Transaction<'_>, seq: i64) -> rusqlite::Result<()> {
    for table in ["notices", "summaries", "checkpoints", "events"] {
        tx.execute(&format!("DELETE FROM {table} WHERE seq = ?1"), [seq])?;
    }
    Ok(())
}

impl Store {
    pub(super) fn append(&self, append: &Append<'_>) -> Result<(), Error> {
        let rows = Rows::of(append)?;
        let mut inner = self.inner();
        let suspects: Vec<Suspect> =
            inner.suspects.iter().filter(|suspect| suspect.app == rows.app).cloned().collect();
        let written = write(&mut inner, &journal(self.dir()), "append to", |tx| {
            for suspect in &suspects {
                // Asked for again or not: it is as if it had never been written.
                if let Some(seq) = arrived(tx, suspect)? {
                    undo(tx, seq)?;
                }
            }
            rows.insert(tx)
        });
        match written {
            Ok(seq) => {
                inner.last_seq = inner.last_seq.max(seq);
                inner.suspects.retain(|suspect| suspect.app != rows.app);
                Ok(())
            }
            Err(error) => {
                // One that was refused because of an earlier failure did not get as far as the disk.
                let (app, body) = (rows.app.to_owned(), rows.body);
                let suspect = Suspect { app, body, after: inner.last_seq };
                if !matches!(error, Error::Poisoned { .. }) && !inner.suspects.contains(&suspect) {
                    inner.suspects.push(suspect);
                }
                Err(error)
            }
        }
    }

    /// Everything that has a row, sorted.
    ///
    /// # Errors
    /// They could not be read.
    pub fn apps(&self) -> Result<Vec<AppName>, Error> {
        self.read("list the apps of", |db| {
            let sql = "SELECT app FROM events UNION SELECT app FROM checkpoints ORDER BY app";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0).map(AppName))?;
            rows.collect()
        })
    }

    /// What is known of an app: its newest checkpoint and the events after it.
    ///
    /// # Errors
    /// The store could not be read. What it says and cannot be understood is [`Load::Refused`].
    pub fn load(&self, app: &AppName) -> Result<Load, Error> {
        let read = self.read("read an app of", |db| {
            let checkpoints = read_checkpoints(db, app)?;
            // The oldest kept one decides how far back events are needed.
            let sound = checkpoints.iter().find(|checkpoint| checkpoint.is_sound);
            let after = sound.map_or(0, |checkpoint| checkpoint.seq);
            let events = read_events(db, app, after)?;
            Ok((checkpoints, events))
        });
        let (checkpoints, events) = match read {
            Err(error) if error.is_damage() => {
                let why = format!("its rows are damaged: {}", causes(&error));
                return Ok(Load::Refused { app: app.clone(), why });
            }
            read => read?,
        };
        if checkpoints.is_empty() && events.is_empty() {
            return Ok(Load::Fresh);
        }
        Ok(match fold(&checkpoints, events) {
            Ok(known) => Load::App(Box::new(known)),
            Err(why) => Load::Refused { app: app.clone(), why },
        })
    }

    /// The entries of the update that the app's latest event belongs to; none if it belongs to none.
    ///
    /// # Errors
    /// They could not be read.
    pub fn timeline(&self, app: &AppName) -> Result<Vec<Entry>, Error> {
        let bodies: Vec<String> = self.read("read the timeline of an update from", |db| {
            let sql = "SELECT body FROM events WHERE app = ?1 AND txn = (SELECT txn FROM events \
                       WHERE app = ?1 ORDER BY seq DESC LIMIT 1) ORDER BY seq";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([app.as_str()], |row| row.get(0))?;
            rows.collect()
        })?;
        let parse = |body: &String| serde_json::from_str(body);
        bodies.iter().map(parse).collect::<Result<_, _>>().map_err(Error::json("read an event"))
    }
}

struct Checkpoint {
    seq: i64,
    schema: i64,
    body: String,
    is_sound: bool,
}

struct EventRow {
    seq: i64,
    kind: String,
    body: String,
    is_sound: bool,
}

/// A text, whatever its bytes became: its sum tells.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(at)?.as_bytes()?).into_owned())
}

/// The newest first.
fn read_checkpoints(db: &Connection, app: &AppName) -> rusqlite::Result<Vec<Checkpoint>> {
    let sql = "SELECT seq, schema, body, sum FROM checkpoints WHERE app = ?1 ORDER BY seq DESC";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([app.as_str()], |row| {
        let (schema, body) = (row.get(1)?, text(row, 2)?);
        let is_sound = text(row, 3)? == checkpoint_sum(app.as_str(), schema, &body);
        Ok(Checkpoint { seq: row.get(0)?, schema, body, is_sound })
    })?;
    rows.collect()
}

fn read_events(db: &Connection, app: &AppName, after: i64) -> rusqlite::Result<Vec<EventRow>> {
    let sql =
        "SELECT seq, txn, kind, body, sum FROM events WHERE app = ?1 AND seq > ?2 ORDER BY seq";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map((app.as_str(), after), |row| {
        let (txn, kind, body) = (row.get::<_, Option<String>>(1)?, text(row, 2)?, text(row, 3)?);
        let expected = event_sum(app.as_str(), txn.as_deref(), &kind, &body);
        let is_sound = text(row, 4)? == expected;
        Ok(EventRow { seq: row.get(0)?, kind, body, is_sound })
    })?;
    rows.collect()
}

/// Why an app is refused ends with the way out.
const WAY_OUT: &str = "run the groundcrew that wrote it";

fn fold(checkpoints: &[Checkpoint], events: Vec<EventRow>) -> Result<App, String> {
    let mut app = match checkpoints.iter().find(|checkpoint| checkpoint.is_sound) {
        None if checkpoints.is_empty() => App::default(),
        None => return Err("its checkpoint is damaged; restore journal.db from a copy".to_owned()),
        Some(Checkpoint { seq, schema, .. }) if *schema != CHECKPOINT_SCHEMA => {
            return Err(format!(
                "its checkpoint {seq} has schema {schema}, this groundcrew reads \
                 {CHECKPOINT_SCHEMA}; {WAY_OUT}"
            ));
        }
        Some(Checkpoint { seq, body, .. }) => serde_json::from_str(body).map_err(|error| {
            format!("its checkpoint {seq} cannot be understood: {error}; {WAY_OUT}")
        })?,
    };
    for EventRow { seq, kind, body, is_sound } in events {
        if !is_sound {
            return Err(format!("its event {seq} is damaged; restore journal.db from a copy"));
        }
        let entry: Entry = serde_json::from_str(&body).map_err(|error| {
            format!("its event {seq} of kind {kind:?} cannot be understood: {error}; {WAY_OUT}")
        })?;
        app = app.apply(&entry).map_err(|error| {
            format!("its event {seq} does not follow from those before: {error}; {WAY_OUT}")
        })?;
    }
    Ok(app)
}
