//! The marker for launchers: before anything that runs is stopped it is set, and only then is the
//! busy flag read (GATE-1).
//!
//! A launcher sets its flag and then looks at the marker, so whoever comes second sees the first. A
//! launcher may wait with its flag set until the marker is gone; so the marker never stays set while
//! we wait for the flag, or for a person.

use super::{Agent, Revive, Turn, gather};
use crate::machine::{Action, Event, State, Step};
use crate::noun::Fault;
use crate::ports::{Busy, Ports};

/// Announces that what runs is about to be stopped, and asks whether it may be; `Some`: why not. The
/// marker stays set only where it may, and is for the caller to [withdraw].
///
/// # Errors
///
/// The marker cannot be set, or it cannot be seen whether something runs.
pub fn ask_to_stop(ports: &mut Ports<'_>) -> Result<Option<String>, Fault> {
    ports.host.announce(true)?;
    let busy = match ports.host.busy() {
        Busy::Clear => None,
        Busy::Busy(reason) => Some(reason),
    };
    let runs = ports.runtime.observe().map(|seen| seen.running.is_some());
    // Busy forbids stopping what runs; what is down is not stopped.
    let against = busy.filter(|_| !matches!(runs, Ok(false)));
    if against.is_some() || runs.is_err() {
        withdraw(ports);
    }
    runs.map(|_| against)
}

/// Nothing is about to be stopped any more. A marker that cannot be removed is removed by whoever
/// looks after the app next.
pub fn withdraw(ports: &mut Ports<'_>) {
    drop(ports.host.announce(false));
}

impl Agent<'_, '_> {
    /// Announces a step that stops what runs, and decides once more; `None`: it is to be done.
    pub(super) fn announced(&mut self, step: Step) -> Option<Turn> {
        if let Err(fault) = self.stage.ports.host.announce(true) {
            if step == Step::Restart {
                return Some(Turn::Rest("the marker for launchers cannot be set"));
            }
            let facts = self.facts(false, Revive::No);
            if step == Step::RbStop && facts.observed && facts.running.is_none() {
                // Nothing runs that a launcher could rely on, and what is down may be started.
                return None;
            }
            self.failed_in_row = self.failed_in_row.saturating_add(1);
            return Some(self.record(Event::Failed { step, fault }));
        }
        let facts = self.facts(false, Revive::No);
        if self.app.action(&facts) == Action::Do(step) {
            return None;
        }
        if step != Step::Stop {
            withdraw(self.stage.ports);
        }
        Some(Turn::Progress)
    }

    /// Takes the marker away from a way back that waits for the flag, or for a person.
    pub(super) fn stand_by(&mut self) {
        if matches!(self.app.state, State::RbStopping(_) | State::Stuck(_)) {
            withdraw(self.stage.ports);
        }
    }

    pub(super) fn facts(&mut self, due: bool, revive: Revive) -> crate::machine::Facts {
        let mut facts = gather::facts(self.stage.ports, due, revive);
        facts.unwell = self.unwell.is_some();
        facts
    }
}
