//! When a blow falls: some time after the update was asked for, or when the journal shows a phase.

use std::time::{Duration, Instant};

use crate::Result;
use crate::host::Host;
use crate::journal::Journal;
use crate::random::Random;

/// Phases that an update which goes well passes.
const FORWARD: [&str; 25] = [
    "found",
    "judged",
    "intent fetch",
    "fetched",
    "armed",
    "intent prepare",
    "prepared",
    "precopied",
    "cleared",
    "intent stop",
    "stopped",
    "intent snapshot",
    "snapshotted",
    "intent switch",
    "switched",
    "intent migrate",
    "migrated",
    "intent start",
    "started",
    "proved",
    "intent open",
    "opened",
    "watched",
    "intent close",
    "closed",
];

/// Phases of the way back.
const BACK: [&str; 15] = [
    "disproved",
    "evidence-kept",
    "intent rb-stop",
    "rb-stopped",
    "intent rb-build",
    "rb-built",
    "intent rb-exchange",
    "rb-restored",
    "intent rb-switch",
    "rb-switched",
    "intent rb-start",
    "rb-started",
    "rb-proved",
    "intent close",
    "closed",
];

/// Between the question and the latest blow by time.
const EARLIEST: Duration = Duration::from_millis(30);
const LATEST: Duration = Duration::from_secs(5);

/// Between a phase and the blow.
const LINGER_MIN: Duration = Duration::from_micros(100);
const LINGER_MAX: Duration = Duration::from_millis(40);

/// The last phase of an update.
const CLOSED: &str = "closed";

/// A phase that does not come within this time never comes.
const PHASE_WITHIN: Duration = Duration::from_secs(8);

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// An instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// So long after the question.
    After(Duration),
    /// So long after a phase is seen.
    Phase(&'static str, Duration),
}

impl Aim {
    /// Half of them by time, half by phase; a bad candidate's phases are mostly those of its way back.
    pub(super) fn draw(random: &mut Random, good: bool) -> Self {
        if random.chance(40) {
            return Self::After(random.span(EARLIEST, LATEST));
        }
        let phases = if good || random.chance(25) { &FORWARD[..] } else { &BACK[..] };
        let phase = *random.one_of::<&str>(phases);
        Self::Phase(phase, random.span(LINGER_MIN, LINGER_MAX))
    }

    /// One for a recovery that has just begun.
    pub(super) fn soon(random: &mut Random) -> Self {
        Self::After(random.span(EARLIEST, Duration::from_secs(1)))
    }
}

/// What came of waiting for an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It is now, and the journal's last phase is this.
    Now(String),
    /// The phase never came: the update was over without it.
    Missed,
    /// Whoever was to be struck has ended before.
    Ended,
}

/// Waits for the instant.
pub(super) fn wait(host: &mut Host, aim: &Aim, since: i64) -> Result<Came> {
    let begun = Instant::now();
    let mut journal = None;
    loop {
        if host.agent_ended()?.is_some() {
            return Ok(Came::Ended);
        }
        match aim {
            Aim::After(span) if begun.elapsed() < *span => {}
            Aim::After(_) => {
                return Ok(Came::Now(last(phases(host, &mut journal, since))));
            }
            Aim::Phase(phase, linger) => match look(&phases(host, &mut journal, since), phase) {
                Look::There => {
                    std::thread::sleep(*linger);
                    return Ok(Came::Now(last(phases(host, &mut journal, since))));
                }
                Look::Over => return Ok(Came::Missed),
                Look::NotYet if begun.elapsed() >= PHASE_WITHIN => return Ok(Came::Missed),
                Look::NotYet => {}
            },
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What the phases seen so far say about the one that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    There,
    NotYet,
    Over,
}

/// What comes after an update was closed belongs to another one.
fn look(seen: &[String], phase: &str) -> Look {
    if seen.iter().any(|one| one == phase) {
        return Look::There;
    }
    if seen.iter().any(|one| one == CLOSED) { Look::Over } else { Look::NotYet }
}

fn last(mut seen: Vec<String>) -> String {
    seen.pop().unwrap_or_else(|| "before anything".into())
}

/// A journal that cannot be read just now shows nothing.
fn phases(host: &Host, journal: &mut Option<Journal>, since: i64) -> Vec<String> {
    if journal.is_none() {
        *journal = Journal::open(&host.places().state).ok().flatten();
    }
    let lines = journal.as_ref().and_then(|journal| journal.after(since).ok()).unwrap_or_default();
    lines.into_iter().map(|line| line.phase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_has_not_come_when_the_update_is_closed_never_comes() {
        let cases: [(&[&str], &str, Look); 6] = [
            (&[], "migrated", Look::NotYet),
            (&["found", "intent migrate"], "migrated", Look::NotYet),
            (&["found", "migrated", "opened"], "migrated", Look::There),
            (&["found", "disproved", "intent close", CLOSED], "opened", Look::Over),
            (&["opened", "intent close", CLOSED], "opened", Look::There),
            (&["opened", "intent close", CLOSED], CLOSED, Look::There),
        ];
        for (seen, phase, expected) in cases {
            let phases: Vec<String> = seen.iter().map(|&one| one.to_owned()).collect();
            assert_eq!(look(&phases, phase), expected, "{seen:?}, {phase}");
        }
    }
}
