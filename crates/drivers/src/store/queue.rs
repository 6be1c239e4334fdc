//! What people are still to be told: a durable queue that is bounded and drops nothing in silence.
//!
//! A notice is queued in the transaction of the event that caused it. Its key is told once, so a
//! delivered one stays for [`DELIVERED_KEPT_MS`]. When more than [`NOTICES_MAX`] wait, the oldest of
//! the least urgent goes, and a line says which.

use groundcrew_engine::ports::{Notice, Severity};
use rusqlite::{Connection, Transaction};

use super::{Error, Store};

/// So many notices may wait: a channel that is dead for weeks must not fill the disk.
pub const NOTICES_MAX: i64 = 1000;

/// So many dropped notices are remembered.
pub const DROPPED_MAX: i64 = 1000;

/// How long a delivered notice is remembered, so that its key is not told again.
pub const DELIVERED_KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// The notice that a store begins with, and why it only observes.
pub(super) struct FirstNotice {
    pub(super) reason: String,
    pub(super) notice: Notice,
    pub(super) queued_ms: i64,
}

/// A notice that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The app that it is about; `groundcrew` if it is about groundcrew itself.
    pub app: String,
    /// It.
    pub notice: Notice,
    /// Wall clock when it was queued, milliseconds since 1970.
    pub queued_ms: i64,
    /// Deliveries that failed.
    pub attempts: u32,
}

/// A notice that was dropped because too many waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its key.
    pub key: String,
    /// The app that it was about.
    pub app: String,
    /// How urgent it was.
    pub severity: Severity,
    /// Its title.
    pub title: String,
    /// Wall clock of the entry that it had to make room for, milliseconds since 1970.
    pub dropped_ms: i64,
}

const SEVERITIES: [(Severity, &str); 4] = [
    (Severity::Info, "info"),
    (Severity::Warning, "warning"),
    (Severity::Alert, "alert"),
    (Severity::Page, "page"),
];

/// Orders by urgency; an unknown word of a newer groundcrew is the most urgent.
const URGENCY: &str =
    "CASE severity WHEN 'info' THEN 0 WHEN 'warning' THEN 1 WHEN 'alert' THEN 2 ELSE 3 END";

fn word(severity: Severity) -> &'static str {
    SEVERITIES.iter().find(|(of, _)| *of == severity).map_or("page", |(_, word)| word)
}

fn severity(word: &str) -> Severity {
    SEVERITIES.iter().find(|(_, of)| *of == word).map_or(Severity::Page, |(severity, _)| *severity)
}

/// Queues a notice unless its key was queued before.
pub(super) fn insert(
    tx: &Transaction<'_>,
    app: &str,
    seq: i64,
    queued_ms: i64,
    notice: &Notice,
) -> rusqlite::Result<()> {
    let Notice { key, severity, title, body } = notice;
    tx.execute(
        "INSERT OR IGNORE INTO notices (key, seq, app, severity, title, body, queued_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (key, seq, app, word(*severity), title, body, queued_ms),
    )?;
    bound(tx, queued_ms)
}

fn bound(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    let waiting = "SELECT count(*) FROM notices WHERE delivered_ms IS NULL";
    let waiting: i64 = tx.query_row(waiting, [], |row| row.get(0))?;
    for _ in NOTICES_MAX..waiting {
        let least = format!(
            "SELECT key FROM notices WHERE delivered_ms IS NULL \
             ORDER BY {URGENCY}, queued_ms, rowid LIMIT 1"
        );
        let key: String = tx.query_row(&least, [], |row| row.get(0))?;
        tx.execute(
            "INSERT INTO dropped_notices (key, app, severity, title, dropped_ms) \
             SELECT key, app, severity, title, ?2 FROM notices WHERE key = ?1",
            (&key, now_ms),
        )?;
        tx.execute("DELETE FROM notices WHERE key = ?1", [&key])?;
        tx.execute(
            "DELETE FROM dropped_notices WHERE seq <= \
             (SELECT max(seq) FROM dropped_notices) - ?1",
            [DROPPED_MAX],
        )?;
    }
    Ok(())
}

/// Forgets what was delivered long ago.
pub(super) fn prune(tx: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<usize> {
    let before = now_ms.saturating_sub(DELIVERED_KEPT_MS);
    tx.execute("DELETE FROM notices WHERE delivered_ms < ?1", [before])
}

fn read_due(db: &Connection, now_ms: i64, limit: u32) -> rusqlite::Result<Vec<Queued>> {
    let sql = format!(
        "SELECT app, key, severity, title, body, queued_ms, attempts FROM notices \
         WHERE delivered_ms IS NULL AND next_ms <= ?1 \
         ORDER BY {URGENCY} DESC, queued_ms, rowid LIMIT ?2"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map((now_ms, limit), |row| {
        let word: String = row.get(2)?;
        Ok(Queued {
            app: row.get(0)?,
            notice: Notice {
                key: row.get(1)?,
                severity: severity(&word),
                title: row.get(3)?,
                body: row.get(4)?,
            },
            queued_ms: row.get(5)?,
            attempts: row.get(6)?,
        })
    })?;
    rows.collect()
}

impl Store {
    /// Notices that are to be delivered now, the most urgent first and the oldest of those.
    ///
    /// # Errors
    /// They could not be read.
    pub fn due(&self, now_ms: i64, limit: u32) -> Result<Vec<Queued>, Error> {
        self.read("read the queue of", |db| read_due(db, now_ms, limit))
    }

    /// Queues a notice that follows from no event, unless its key was queued before.
    ///
    /// # Errors
    /// It could not be queued; ask again.
    pub fn queue(&self, app: &str, notice: &Notice, queued_ms: i64) -> Result<(), Error> {
        self.write("queue a notice in", |tx| insert(tx, app, 0, queued_ms, notice))
    }

    /// A notice was delivered; it is not due again.
    ///
    /// # Errors
    /// It could not be recorded: it may be told twice.
    pub fn delivered(&self, key: &str, at_ms: i64) -> Result<(), Error> {
        self.write("record a delivery in", |tx| {
            let sql =
                "UPDATE notices SET delivered_ms = ?2 WHERE key = ?1 AND delivered_ms IS NULL";
            tx.execute(sql, (key, at_ms)).map(drop)
        })
    }

    /// A delivery failed; it is due again at `next_ms`.
    ///
    /// # Errors
    /// It could not be recorded: it is due at once.
    pub fn failed(&self, key: &str, next_ms: i64) -> Result<(), Error> {
        self.write("record a failed delivery in", |tx| {
            let sql = "UPDATE notices SET attempts = attempts + 1, next_ms = ?2 WHERE key = ?1";
            tx.execute(sql, (key, next_ms)).map(drop)
        })
    }

    /// Notices that were dropped because too many waited, the latest first.
    ///
    /// # Errors
    /// They could not be read.
    pub fn dropped(&self, limit: u32) -> Result<Vec<Dropped>, Error> {
        self.read("read what was dropped from", |db| {
            let sql = "SELECT key, app, severity, title, dropped_ms FROM dropped_notices \
                       ORDER BY seq DESC LIMIT ?1";
            let mut statement = db.prepare(sql)?;
            let rows = statement.query_map([limit], |row| {
                let word: String = row.get(2)?;
                Ok(Dropped {
                    key: row.get(0)?,
                    app: row.get(1)?,
                    severity: severity(&word),
                    title: row.get(3)?,
                    dropped_ms: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }
}
