//! The journal as anybody with `sqlite3` reads it: kinds of events, to aim by and to show.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::Result;

/// How long a writer may keep us.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place.
    pub seq: i64,
    /// Its kind, with the step where it has one: `intent migrate`.
    pub phase: String,
    /// When, in milliseconds since 1970.
    pub wall_ms: i64,
    /// Whose.
    pub app: String,
    /// The update, where one is open.
    pub txn: Option<String>,
    /// All of it.
    pub body: String,
}

/// A journal that is read while its agent writes.
#[derive(Debug)]
pub struct Journal(Connection);

impl Journal {
    /// Opens it; `None` while there is none.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn open(state: &Path) -> Result<Option<Self>> {
        let path = state.join("journal.db");
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags);
        let db = db.with_context(|| format!("cannot open {}", path.display()))?;
        db.busy_timeout(BUSY_TIMEOUT).context("cannot set a timeout")?;
        Ok(Some(Self(db)))
    }

    /// The events of all apps after a place, in their order.
    ///
    /// # Errors
    /// They cannot be read just now.
    pub fn after(&self, seq: i64) -> Result<Vec<Line>> {
        let sql = "SELECT seq, wall_ms, body, app, txn FROM events WHERE seq > ?1 ORDER BY seq";
        let mut statement = self.0.prepare_cached(sql).context("cannot read events")?;
        let rows = statement.query_map([seq], |row| {
            Ok(Line {
                seq: row.get(0)?,
                wall_ms: row.get(1)?,
                body: row.get(2)?,
                app: row.get(3)?,
                txn: row.get(4)?,
                phase: String::new(),
            })
        });
        let lines: std::result::Result<Vec<Line>, _> =
            rows.and_then(Iterator::collect).map(|lines: Vec<Line>| lines);
        let mut lines = lines.context("cannot read events")?;
        for line in &mut lines {
            line.phase = phase(&line.body);
        }
        Ok(lines)
    }

    /// The place of the last event; 0 when there is none.
    ///
    /// # Errors
    /// It cannot be read just now.
    pub fn last(&self) -> Result<i64> {
        let sql = "SELECT coalesce(max(seq), 0) FROM events";
        self.0.query_row(sql, [], |row| row.get(0)).context("cannot read the last event")
    }
}

fn phase(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let word = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let kind = word("/kind").or_else(|| word("/event/kind")).unwrap_or("unknown");
    match word("/step").or_else(|| word("/event/step")) {
        Some(step) => format!("{kind} {step}"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_the_kind_with_its_step() {
        assert_eq!(phase(r#"{"kind":"intent","step":"migrate"}"#), "intent migrate");
        assert_eq!(phase(r#"{"kind":"withdrawn"}"#), "withdrawn");
        assert_eq!(phase("torn"), "unknown");
    }
}
