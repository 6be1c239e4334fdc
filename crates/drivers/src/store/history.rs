//! What was: summaries of closed updates, events for people, when a source was asked last, and what
//! is forgotten after a while.

use groundcrew_engine::machine::Entry;
use groundcrew_engine::noun::{AppName, Now, TxnId};
use groundcrew_engine::ports::Summary;
use rusqlite::OptionalExtension as _;

use super::{Error, Store, queue};

/// Events of closed updates are kept for at least this long.
pub const EVENTS_KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// Events of so many updates per app are kept, however old.
pub const UPDATES_KEPT_MIN: u32 = 50;

/// One event for people; it need not be one that this version knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its number.
    pub seq: i64,
    /// The update that it belongs to.
    pub txn: Option<TxnId>,
    /// Wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    /// Its kind.
    pub kind: String,
    /// It; `None` if this version does not know such an event.
    pub entry: Option<Entry>,
}

/// When an app's source was asked last (UPD-19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Wall clock of the last time, milliseconds since 1970.
    pub at_ms: i64,
    /// Why it could not answer then.
    pub failure: Option<String>,
    /// Wall clock of the last time that it answered.
    pub succeeded_ms: Option<i64>,
}

impl Store {
    /// The app's closed updates, the latest first.
    ///
    /// # Errors
    /// They could not be read.
    pub fn summaries(&self, app: &AppName, limit: u32) -> Result<Vec<Summary>, Error> {
        let bodies: Vec<String> = self.read("read the history of", |db| {
            let sql = "SELECT body FROM summaries WHERE app = ?1 ORDER BY seq DESC LIMIT ?2";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map((app.as_str(), limit), |row| row.get(0))?;
            rows.collect()
        })?;
        let parse = |body: &String| serde_json::from_str(body);
        bodies.iter().map(parse).collect::<Result<_, _>>().map_err(Error::json("read a summary"))
    }

    /// The app's events, the latest first.
    ///
    /// # Errors
    /// They could not be read.
    pub fn events(&self, app: &AppName, limit: u32) -> Result<Vec<Recorded>, Error> {
        self.read("read the events of", |db| {
            let sql = "SELECT seq, txn, wall_ms, kind, body FROM events WHERE app = ?1 \
                       ORDER BY seq DESC LIMIT ?2";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map((app.as_str(), limit), |row| {
                Ok(Recorded {
                    seq: row.get(0)?,
                    txn: row.get::<_, Option<String>>(1)?.map(TxnId),
                    wall_ms: row.get(2)?,
                    kind: row.get(3)?,
                    entry: serde_json::from_str(&row.get::<_, String>(4)?).ok(),
                })
            })?;
            rows.collect()
        })
    }

    /// A source was asked; `failure` says why it could not answer.
    ///
    /// # Errors
    /// It could not be recorded.
    pub fn checked(&self, app: &AppName, at_ms: i64, failure: Option<&str>) -> Result<(), Error> {
        self.write("record a check in", |tx| {
            let succeeded_ms = failure.is_none().then_some(at_ms);
            tx.execute(
                "INSERT INTO checks (app, at_ms, failure, succeeded_ms) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (app) DO UPDATE SET at_ms = ?2, failure = ?3, \
                 succeeded_ms = ifnull(?4, succeeded_ms)",
                (app.as_str(), at_ms, failure, succeeded_ms),
            )
            .map(drop)
        })
    }

    /// When the source was asked last; `None`: never.
    ///
    /// # Errors
    /// It could not be read.
    pub fn last_check(&self, app: &AppName) -> Result<Option<Check>, Error> {
        self.read("read the last check from", |db| {
            let sql = "SELECT at_ms, failure, succeeded_ms FROM checks WHERE app = ?1";
            db.query_row(sql, [app.as_str()], |row| {
                Ok(Check { at_ms: row.get(0)?, failure: row.get(1)?, succeeded_ms: row.get(2)? })
            })
            .optional()
        })
    }

    /// Forgets events of updates that closed more than [`EVENTS_KEPT_MS`] ago, but for the latest
    /// [`UPDATES_KEPT_MIN`] of each app and for what a fold needs, and notices that were delivered long
    /// ago. Does nothing while the clock is not known to be right. Returns how many rows went.
    ///
    /// # Errors
    /// It could not be done; nothing went.
    pub fn prune(&self, now: &Now) -> Result<usize, Error> {
        if !now.synchronized {
            return Ok(0);
        }
        let apps = self.apps()?;
        let before = now.wall_ms.saturating_sub(EVENTS_KEPT_MS);
        self.write("forget old events in", |tx| {
            let mut gone = queue::prune(tx, now.wall_ms)?;
            for app in &apps {
                gone += tx.execute(
                    "DELETE FROM events WHERE app = ?1 AND wall_ms < ?2 \
                     AND seq <= (SELECT min(seq) FROM checkpoints WHERE app = ?1) \
                     AND (txn IS NULL OR txn NOT IN (SELECT txn FROM summaries \
                          WHERE app = ?1 ORDER BY seq DESC LIMIT ?3))",
                    (app.as_str(), before, UPDATES_KEPT_MIN),
                )?;
            }
            Ok(gone)
        })
    }
}
