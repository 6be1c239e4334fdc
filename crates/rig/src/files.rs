//! What may lie in a host's directories when nothing is under way, and everything else by name.
//!
//! ```text
//! <state>/journal.db, -wal, -shm, .opening; agent.lock, busy.json, run/
//! <state>/plans/                      empty: plan and ballast end with their update
//! <state>/releases/<app>/<digest>/    what runs, last-good, one way back, the candidate at hand
//! <state>/runs/<app>/place.json       and the newest runs
//! <state>/snapshots/<app>/<id>.json   one for each snapshot beside the volumes, and .areas.json
//! <state>/postmortems/                one file for each rollback
//! <volume's parent>/.groundcrew/<app>/lock
//!                        …/snapshots/<id>/    one way back, and the one that the failed data left
//!                        …/restore/           nothing unfinished
//!                        …/failed/<txn>/      the last failed data, and that of the way back
//! ```
//!
//! Evidence is bounded: each kind has a highest number here, and more than that is an orphan.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::host::Places;
use crate::subject::Subject;

/// What stands in the state directory itself.
const IN_STATE: [&str; 12] = [
    "journal.db",
    "journal.db-wal",
    "journal.db-shm",
    "journal.db.opening",
    "agent.lock",
    "busy.json",
    "run",
    "plans",
    "releases",
    "runs",
    "snapshots",
    "postmortems",
];

/// What runs, last-good, the release of the one way back, the candidate at hand.
const RELEASES_MAX: usize = 4;

/// As many runs as the process runtime keeps, `place.json`, and one that began since.
const RUNS_MAX: usize = 66;

/// The one way back, and the snapshot of the update whose failed data is kept.
const SNAPSHOTS_MAX: usize = 2;

/// The last failed data, that of the way back, and what a person's restore set aside.
const FAILED_MAX: usize = 3;

/// How deep and long a listing is.
const LISTING_DEPTH_MAX: usize = 6;
const LISTING_LINES_MAX: usize = 400;

/// What a name in the making ends with.
const PARTIAL: &str = ".partial";

/// Everything that should not be there.
#[must_use]
pub fn problems(places: &Places, subject: &dyn Subject) -> Vec<String> {
    let (state, app) = (&places.state, subject.name());
    let mut problems = Vec::new();
    only(state, &IN_STATE, &mut problems);
    only(&state.join("plans"), &[], &mut problems);
    for (dir, max) in [("releases", RELEASES_MAX), ("runs", RUNS_MAX)] {
        only(&state.join(dir), &[app], &mut problems);
        at_most(&state.join(dir).join(app), max, &mut problems);
    }
    only(&state.join("snapshots"), &[app], &mut problems);
    let rows: BTreeSet<String> = names(&state.join("snapshots").join(app))
        .into_iter()
        .filter(|name| name != ".areas.json")
        .map(|name| name.strip_suffix(".json").map_or(name.clone(), str::to_owned))
        .collect();
    let mut areas: Vec<_> = subject
        .volumes()
        .into_iter()
        .filter_map(|(_, path)| Some(path.parent()?.join(".groundcrew")))
        .collect();
    areas.dedup();
    for area in areas {
        only(&area, &[app], &mut problems);
        let area = area.join(app);
        only(&area, &["lock", "snapshots", "restore", "failed"], &mut problems);
        at_most(&area.join("snapshots"), SNAPSHOTS_MAX, &mut problems);
        at_most(&area.join("failed"), FAILED_MAX, &mut problems);
        at_most(&area.join("restore"), FAILED_MAX, &mut problems);
        let rooms =
            names(&area.join("restore")).into_iter().filter(|name| name.starts_with("room."));
        problems.extend(rooms.map(|name| format!("{name} is kept although nothing is open")));
        let copies: BTreeSet<String> = names(&area.join("snapshots")).into_iter().collect();
        if copies != rows {
            problems.push(format!("snapshots {copies:?} have rows {rows:?}"));
        }
    }
    problems
}

fn only(dir: &Path, known: &[&str], problems: &mut Vec<String>) {
    let unknown = names(dir).into_iter().filter(|name| !known.contains(&name.as_str()));
    problems
        .extend(unknown.map(|name| format!("{} should not be there", dir.join(name).display())));
}

fn at_most(dir: &Path, max: usize, problems: &mut Vec<String>) {
    let names = names(dir);
    for partial in names.iter().filter(|name| name.ends_with(PARTIAL)) {
        problems.push(format!("{} is unfinished", dir.join(partial).display()));
    }
    if names.len() > max {
        let (dir, count) = (dir.display(), names.len());
        problems.push(format!("{dir} has {count} entries, at most {max}: {names:?}"));
    }
}

/// A directory that is not there has no entries.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The tree below a directory, for people.
#[must_use]
pub fn listing(dir: &Path) -> String {
    let mut text = String::new();
    list(dir, 0, &mut text);
    text
}

fn list(dir: &Path, depth: usize, text: &mut String) {
    for name in names(dir) {
        if text.lines().count() >= LISTING_LINES_MAX || depth >= LISTING_DEPTH_MAX {
            text.push_str("…\n");
            return;
        }
        let path = dir.join(&name);
        let kind = fs::symlink_metadata(&path);
        let size = kind.as_ref().map_or(0, fs::Metadata::len);
        let is_dir = kind.is_ok_and(|kind| kind.is_dir());
        let (indent, mark) = ("  ".repeat(depth), if is_dir { "/" } else { "" });
        // Writing to a text does not fail.
        writeln!(text, "{indent}{name}{mark} {size}").ok();
        // What a release holds is its own affair.
        if is_dir && !name.starts_with("sha256") {
            list(&path, depth + 1, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn what_belongs_there_is_right_and_everything_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let ledger = Ledger::new("/gc".as_ref(), places.data.join("data")).unwrap();
        let make = |path: &str| fs::create_dir_all(dir.path().join(path)).unwrap();
        for path in [
            "state/plans",
            "state/releases/ledger/aa",
            "state/snapshots/ledger/s1.json",
            "srv/data",
            "srv/.groundcrew/ledger/snapshots/s1",
            "srv/.groundcrew/ledger/failed/t1",
        ] {
            make(path);
        }
        assert_eq!(problems(&places, &ledger), Vec::<String>::new());
        let table = [
            "state/odd",
            "state/plans/ledger.ballast",
            "state/releases/ledger/bb.partial",
            "state/snapshots/ledger/s2.json",
            "srv/.groundcrew/ledger/restore/t1.partial",
            "srv/.groundcrew/other",
        ];
        for path in table {
            make(path);
            let found = problems(&places, &ledger);
            assert_eq!(found.len(), 1, "{path}: {found:?}");
            fs::remove_dir(dir.path().join(path)).unwrap();
        }
        for number in 0..9 {
            make(&format!("srv/.groundcrew/ledger/failed/x{number}"));
        }
        assert!(problems(&places, &ledger)[0].contains("10 entries, at most 3"));
        assert!(listing(dir.path()).contains("  releases/"));
    }
}
