//! What the runs of an app say when they are looked at.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use groundcrew_engine::machine::Latest;
use groundcrew_engine::noun::{Digest, TxnId};
use groundcrew_engine::ports::{Ended, Observed};
use rustix::process::Signal;

use super::error::{Blame, Error};
use super::place::Place;
use crate::keeper::client::{self, RunEntry, RunState};
use crate::keeper::spec::Kind;
use crate::keeper::{self, ExitRecord, Outcome};

/// Lines of output that are shown, and bytes of it that are read for them.
const OUTPUT_LINES: usize = 50;
const OUTPUT_BYTES: u64 = 8 * 1024;

/// One run as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) entry: RunEntry,
    pub(super) state: RunState,
}

/// All runs, oldest first.
pub(super) fn look(dir: &Path) -> Result<Vec<Seen>, keeper::Error> {
    let seen = |entry: RunEntry| {
        let state = client::observe_or_begun(&entry.dir)?;
        Ok(Seen { entry, state })
    };
    client::runs(dir)?.into_iter().map(seen).collect()
}

impl Seen {
    /// Something of it lives, or is about to.
    pub(super) fn is_alive(&self) -> bool {
        match &self.state {
            RunState::Starting | RunState::Running(_) => true,
            RunState::Vanished(vanished) => !vanished.orphans.is_empty(),
            RunState::Absent | RunState::Exited(_) => false,
        }
    }

    /// It ended, and nothing can be left of it.
    pub(super) fn is_over(&self) -> bool {
        !self.is_alive() && self.state != RunState::Absent
    }

    pub(super) fn is(&self, txn: &TxnId, run: &str) -> bool {
        self.entry.txn == txn.as_str() && self.entry.attempt == run
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        format!("{} of update {}", self.entry.attempt, self.entry.txn)
    }

    /// A start is named by its update and its own name, neither of which is ever used again.
    pub(super) fn as_latest(&self) -> Latest {
        let run = format!("{}/{}", self.entry.txn, self.entry.attempt);
        Latest { run, digest: Digest(self.entry.release.clone()) }
    }

    /// A run that was begun is not begun again.
    pub(super) fn refuse_to_repeat(&self) -> Result<(), Error> {
        if self.state == RunState::Absent {
            return Ok(());
        }
        let blame = if self.by_itself()? { Blame::Release } else { Blame::Host };
        Err(Error::Ended { name: self.name(), how: self.how(), blame })
    }

    fn how(&self) -> String {
        match &self.state {
            RunState::Exited(exit) => how(exit),
            RunState::Absent => "it was never begun".to_owned(),
            RunState::Starting | RunState::Running(_) => "it runs".to_owned(),
            RunState::Vanished(_) => "it went with its keeper or with the power".to_owned(),
        }
    }

    /// Neither we nor a loss of power, nor the host as it went down, ended it.
    fn by_itself(&self) -> Result<bool, keeper::Error> {
        let RunState::Exited(exit) = &self.state else { return Ok(false) };
        let asked = exit.stop_requested
            || matches!(exit.outcome, Outcome::NotStarted { by_program: false, .. });
        if asked || !looks_like_shutdown(&exit.outcome) {
            return Ok(!asked);
        }
        let boot = client::boot_of(&self.entry.dir)?;
        Ok(boot == Some(keeper::this_boot()?))
    }

    fn as_ended(&self) -> Result<Option<Ended>, keeper::Error> {
        if self.is_alive() || self.state == RunState::Absent {
            return Ok(None);
        }
        let RunEntry { txn, attempt, release, .. } = &self.entry;
        Ok(Some(Ended {
            digest: Digest(release.clone()),
            run: Some((TxnId(txn.clone()), attempt.clone())),
            how: self.how(),
            by_itself: self.by_itself()?,
        }))
    }
}

/// A host that goes down ends everybody this way, perhaps before the keeper hears of it.
fn looks_like_shutdown(outcome: &Outcome) -> bool {
    const SIGNALS: [Signal; 4] = [Signal::TERM, Signal::KILL, Signal::INT, Signal::HUP];
    match outcome {
        Outcome::Signaled { signal } => SIGNALS.iter().any(|known| known.as_raw() == *signal),
        // By itself, or as shells and runtimes report SIGINT and SIGTERM.
        Outcome::Exited { code } => [0, 130, 143].contains(code),
        Outcome::NotStarted { .. } => false,
    }
}

/// How a run ended, for people.
pub(super) fn how(exit: &ExitRecord) -> String {
    let how = match &exit.outcome {
        Outcome::Exited { code } => format!("exit code {code}"),
        Outcome::Signaled { signal } => format!("killed by signal {signal}"),
        Outcome::NotStarted { why, .. } => format!("it could not be started: {why}"),
    };
    let memory = if exit.oom == Some(true) { ", out of memory" } else { "" };
    let asked = if exit.stop_requested { ", as it was stopped" } else { "" };
    format!("{how}{memory}{asked}")
}

/// The latest start of the app itself. A start that never got anywhere is none.
pub(super) fn latest(seen: &[Seen]) -> Option<&Seen> {
    let begun = |run: &&Seen| run.entry.kind == Kind::App && run.state != RunState::Absent;
    seen.iter().rev().find(begun)
}

/// The number of the run that is begun next.
pub(super) fn next_seq(seen: &[Seen]) -> u64 {
    seen.iter().map(|run| run.entry.seq).max().unwrap_or(0).saturating_add(1)
}

/// What a migration or hook of an update is called: so many of the kind were run before.
pub(super) fn next_attempt(seen: &[Seen], kind: Kind, txn: &TxnId) -> String {
    let prefix = if kind == Kind::Migration { "migrate" } else { "hook" };
    let number = |run: &Seen| {
        let number = run.entry.attempt.strip_prefix(prefix)?.strip_prefix('-')?;
        (run.entry.txn == txn.as_str()).then(|| number.parse::<u64>().ok())?
    };
    let last = seen.iter().filter_map(number).max().unwrap_or(0);
    format!("{prefix}-{}", last.saturating_add(1))
}

/// All of it as the engine wants to see it.
pub(super) fn observed(seen: &[Seen], place: Place) -> Result<Observed, Error> {
    let alive = |kind| seen.iter().filter(move |run| run.is_alive() && run.entry.kind == kind);
    let names: Vec<String> = alive(Kind::App).map(Seen::name).collect();
    if names.len() > 1 {
        return Err(Error::Several { count: names.len(), names: names.join(", ") });
    }
    // A migration that lives on its own works on the data as the app would.
    let running = alive(Kind::App).chain(alive(Kind::Migration)).next();
    let latest = latest(seen);
    Ok(Observed {
        placed_by: place.placed_by(),
        in_place: place.digest,
        running: running.map(|run| Digest(run.entry.release.clone())),
        ended: latest.map(Seen::as_ended).transpose()?.flatten(),
        latest: latest.map(Seen::as_latest),
        output: Vec::new(),
    })
}

/// The last lines of a run's output, oldest first. What cannot be read is missing, no more.
pub(super) fn output(dir: &Path) -> Vec<String> {
    let mut bytes = tail(&dir.join("log"), OUTPUT_BYTES);
    let missing = OUTPUT_BYTES.saturating_sub(bytes.len() as u64);
    if missing > 0 {
        let mut older = tail(&dir.join("log.1"), missing);
        older.append(&mut bytes);
        bytes = older;
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(OUTPUT_LINES);
    lines.into_iter().skip(skip).map(str::to_owned).collect()
}

fn tail(path: &Path, bytes: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let begin = file.metadata()?.len().saturating_sub(bytes);
        file.seek(SeekFrom::Start(begin))?;
        let mut tail = Vec::new();
        file.take(bytes).read_to_end(&mut tail)?;
        Ok(tail)
    };
    read().unwrap_or_default()
}
