//! When a plain watch ends, and by which rule: the counters and the plan alone decide. Pure.

use serde::Serialize;

use super::forward::count;
use super::state::{State, WatchSeen};
use super::{CLEAN_AFTER_BOOT_MS, Entry, Event, Step, WATCH_RESTARTS_MAX};
use crate::plan::WatchSpec;

/// What a watch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The release is well.
    Healthy,
    /// It is not.
    Degraded,
    /// It cannot be told.
    Inconclusive,
}

/// The rule that gave a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It was well at the end of its window.
    Window,
    /// It ended by itself too often.
    Restarts,
    /// Too many rounds failed in a row.
    FailuresInRow,
    /// It ended, and could not be started again.
    NoStart,
    /// No clear answer within twice the window.
    TwiceTheWindow,
}

/// The end of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEnd {
    /// What it found.
    pub verdict: Verdict,
    /// By which rule.
    pub rule: Rule,
    /// What it stands on, for people.
    pub why: String,
}

/// What follows from the counters; `None`: the watch goes on.
pub(super) fn judge(seen: &WatchSeen, spec: &WatchSpec) -> Option<WatchEnd> {
    let finding = seen.finding.as_deref().unwrap_or_default();
    let end = |verdict, rule, why| Some(WatchEnd { verdict, rule, why });
    if seen.restarts >= WATCH_RESTARTS_MAX {
        let why = format!("ended {} times within its watch; {finding}", seen.restarts);
        return end(Verdict::Degraded, Rule::Restarts, why);
    }
    if seen.failed_in_row >= spec.failures {
        let why = format!("{} probe rounds failed in a row: {finding}", seen.failed_in_row);
        return end(Verdict::Degraded, Rule::FailuresInRow, why);
    }
    let clean_ms = spec.window_ms.min(CLEAN_AFTER_BOOT_MS);
    let long_enough = seen.elapsed_ms >= spec.window_ms && seen.since_boot_ms >= clean_ms;
    if long_enough && seen.failed_in_row == 0 {
        let (failed, rounds, ms) = (seen.failed, seen.ticks, seen.elapsed_ms);
        let why = format!("{failed} of {rounds} probe rounds failed within {ms} ms");
        return end(Verdict::Healthy, Rule::Window, why);
    }
    if seen.elapsed_ms >= spec.window_ms.saturating_mul(2) {
        let why = format!("no clear answer within twice the window: {finding}");
        return end(Verdict::Inconclusive, Rule::TwiceTheWindow, why);
    }
    None
}

/// It ended, and could not be started again.
pub(super) fn no_start(fault: &str) -> WatchEnd {
    let why = format!("it ended and does not start: {fault}");
    WatchEnd { verdict: Verdict::Degraded, rule: Rule::NoStart, why }
}

/// How this entry ends the watch of an app that was in this state; `None`: it does not, or a person
/// or the host ended it without a verdict.
#[must_use]
pub fn watch_end(before: &State, entry: &Entry) -> Option<WatchEnd> {
    let State::Watching(watching) = before else { return None };
    match &entry.event {
        Event::Watched { tick } => {
            let mut seen = watching.seen.clone();
            count(&mut seen, tick, &entry.at);
            judge(&seen, &watching.secured.update.plan.to.procedure.watch)
        }
        Event::Failed { step: Step::WatchStart, fault } => Some(no_start(&fault.text)),
        _ => None,
    }
}
