//! The ground truth of one round, from the outside: which release runs, with whose data.
//!
//! Either the old release with exactly the old data, or the new one with its data. Rows that were
//! acknowledged stay, but for those that a documented rollback sets aside: they were acknowledged by
//! the candidate that was taken back, and lie in the failed tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::client::Book;
use crate::subject::Subject;

/// How many rows a problem names.
const NAMED_ROWS_MAX: usize = 8;

/// What is found when a round is over.
#[derive(Debug)]
pub struct Found {
    /// The version that serves.
    pub version: Option<String>,
    /// The rows that are served.
    pub rows: Option<Vec<u64>>,
    /// What `status --json` shows of the app.
    pub view: Value,
    /// Rows of every failed tree.
    pub failed: BTreeSet<u64>,
}

/// What is known of the rounds before.
#[derive(Debug, Default)]
pub struct Past {
    /// The version that ran before this round.
    pub from: String,
    /// Rows that earlier rollbacks have set aside.
    pub set_aside: BTreeSet<u64>,
}

/// Everything that is wrong, and what this round's rollback has set aside.
#[must_use]
pub fn judge(past: &Past, to: &str, book: &Book, found: &Found) -> (Vec<String>, BTreeSet<u64>) {
    let mut problems = Vec::new();
    let (Some(version), Some(rows)) = (&found.version, &found.rows) else {
        return (vec!["the app does not serve, or is not well".into()], BTreeSet::new());
    };
    if version != to && *version != past.from {
        problems.push(format!("{version} serves, neither {} nor {to}", past.from));
    }
    let shown = found.view.pointer("/running/version").and_then(Value::as_str);
    if shown != Some(version) {
        problems.push(format!("{version} serves, and status shows {shown:?}"));
    }
    if !rows.is_sorted_by(|one, next| one < next) || rows.last() > Some(&book.tried) {
        problems.push(format!("the rows are not those that were tried: {}", some(rows)));
    }
    let served: BTreeSet<u64> = rows.iter().copied().collect();
    let back = served.intersection(&past.set_aside).copied().collect::<Vec<_>>();
    if !back.is_empty() {
        problems.push(format!("rows that were set aside are back: {}", some(&back)));
    }
    let missing: BTreeMap<u64, &str> = book
        .acknowledged
        .iter()
        .filter(|(row, _)| !served.contains(row) && !past.set_aside.contains(row))
        .map(|(row, by)| (*row, by.as_str()))
        .collect();
    let went_back = *version == past.from && version != to;
    let lost = missing.iter().filter(|(row, by)| {
        let set_aside = went_back && **by == to && found.failed.contains(row);
        !set_aside
    });
    let lost: Vec<String> = lost.map(|(row, by)| format!("{row} (by {by})")).collect();
    if !lost.is_empty() {
        let first = lost.iter().take(NAMED_ROWS_MAX).cloned().collect::<Vec<_>>().join(", ");
        problems.push(format!("{} acknowledged rows are lost: {first}", lost.len()));
    }
    if went_back {
        let by_candidate = |row: &&u64| book.acknowledged.get(row).is_some_and(|by| by == to);
        let mixed: Vec<u64> = rows.iter().filter(by_candidate).copied().collect();
        if !mixed.is_empty() {
            problems.push(format!("{version} serves rows that only {to} took: {}", some(&mixed)));
        }
    }
    (problems, missing.into_keys().collect())
}

fn some(rows: &[u64]) -> String {
    let tail = rows.len().saturating_sub(NAMED_ROWS_MAX);
    format!("{} rows, the last {:?}", rows.len(), rows.get(tail..).unwrap_or_default())
}

/// The copies below an app's failed trees, each a directory with one entry per volume.
#[must_use]
pub fn failed_trees(subject: &dyn Subject) -> Vec<PathBuf> {
    let volumes = subject.volumes();
    let parent = volumes.first().and_then(|(_, path)| path.parent().map(Path::to_owned));
    let failed = parent.map(|dir| dir.join(".groundcrew").join(subject.name()).join("failed"));
    let entries = failed.and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(rows: &[(u64, &str)]) -> Book {
        let acknowledged: BTreeMap<u64, String> =
            rows.iter().map(|(row, by)| (*row, (*by).to_owned())).collect();
        Book { tried: 9, acknowledged }
    }

    fn check(version: &str, rows: &[u64], failed: &[u64]) -> Vec<String> {
        let past = Past { from: "1".into(), set_aside: [2].into() };
        // Row 4 was tried and its answer was lost.
        let book = book(&[(1, "1"), (2, "0"), (3, "1"), (5, "2"), (6, "2")]);
        let found = Found {
            version: Some(version.into()),
            rows: Some(rows.to_vec()),
            view: serde_json::json!({"running": {"version": version}}),
            failed: failed.iter().copied().collect(),
        };
        judge(&past, "2", &book, &found).0
    }

    #[test]
    fn old_with_old_and_new_with_its_own_are_right() {
        for (version, rows) in [("2", vec![1, 3, 5, 6]), ("2", vec![1, 3, 4, 5, 6, 7])] {
            assert_eq!(check(version, &rows, &[]), Vec::<String>::new());
        }
        assert_eq!(check("1", &[1, 3, 7], &[1, 3, 5, 6]), Vec::<String>::new());
    }

    #[test]
    fn every_mix_is_named() {
        let table: [(&str, &[u64], &[u64], &str); 8] = [
            ("2", &[1, 3, 5], &[6], "1 acknowledged rows are lost: 6 (by 2)"),
            ("1", &[1], &[3, 5, 6], "lost: 3 (by 1)"),
            ("1", &[1, 3], &[5], "lost: 6 (by 2)"),
            ("1", &[1, 3, 5], &[5, 6], "rows that only 2 took"),
            ("2", &[1, 2, 3, 5, 6], &[], "set aside are back"),
            ("2", &[1, 3, 5, 6, 6], &[], "not those that were tried"),
            ("2", &[1, 3, 5, 6, 10], &[], "not those that were tried"),
            ("3", &[1, 3, 5, 6], &[], "3 serves, neither 1 nor 2"),
        ];
        for (version, rows, failed, wanted) in table {
            let found = check(version, rows, failed);
            assert!(found.iter().any(|one| one.contains(wanted)), "{wanted}: {found:?}");
        }
    }
}
