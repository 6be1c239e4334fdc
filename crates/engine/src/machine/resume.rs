//! Where an update goes on after its agent died.
//!
//! Each effect is complete, absent or compensated; nothing is guessed. Between the stop and the
//! start the first thing is always to prove again that nobody runs, because an engine, a boot or a
//! person may have started the app meanwhile.

// A new state must be decided on here, not fall into a wildcard.
#![warn(clippy::wildcard_enum_match_arm)]

use super::state::{Draining, Secured, State, Watching};
use super::way_back::{Back, Cause};
use super::{RESUMES_MAX, Step, Takeover, back, forward};
use crate::noun::Now;

/// The state from which a new agent goes on.
pub(super) fn resume(state: State, open: Option<Step>, found: &Takeover) -> State {
    if let Some(back) = unrecorded(&state, found) {
        return back;
    }
    match state {
        // Nothing was touched: the gates are asked anew.
        State::Armed(update) => State::Staged(update.plan.offer),
        State::Precopying(precopy) => State::Staged(precopy.update.plan.offer),
        State::Draining(draining) => prove_stopped(draining),
        State::Stopped(update) | State::Snapshotting(update) => {
            prove_stopped(Draining { update, copy: None, switched: false })
        }
        State::Snapshotted(secured) => prove_stopped(with_copy(secured, false)),
        State::Applying(secured) => prove_stopped(with_copy(secured, true)),
        // How far the command came cannot be observed: it is never run again on touched data.
        State::Migrating(secured) if open == Some(Step::Migrate) => forward::give_up(
            secured,
            Cause::Interrupted,
            "the agent died while the migration ran".to_owned(),
        ),
        State::Migrating(secured) => prove_stopped(with_copy(secured, true)),
        // Alive: adopted. Gone with the power: started again. Ended by itself: disproved.
        State::Starting(secured) | State::Probing(secured) => start_again(secured),
        // Users are let in to what runs: a command that does so may need it.
        State::Accepted(secured) if found.down => start_again(secured),
        State::Watching(mut watching) => {
            watching.seen.last = None;
            State::Watching(watching)
        }
        State::RbData(back) if open == Some(Step::RbMigrate) => State::RbStopping(
            back::restore_instead(back, "the agent died while its migration was undone"),
        ),
        State::RbData(back) | State::RbSwitch(back) => State::RbStopping(back),
        State::RbStarting(back) | State::RbProbing(back) => start_back_again(back),
        State::RolledBack(back) | State::Aborted(back)
            if found.down && back.update.plan.from.is_some() =>
        {
            start_back_again(back)
        }
        state @ (State::Idle
        | State::Detected(_)
        | State::Held(_)
        | State::Deferred(_)
        | State::Fetching(_)
        | State::Staged(_)
        | State::Accepted(_)
        | State::Proven(_)
        | State::Unproven(_)
        | State::RollbackDecided(_)
        | State::RbStopping(_)
        | State::RolledBack(_)
        | State::Aborted(_)
        | State::Stuck(_)) => state,
    }
}

/// A watched app was stopped, and no person wants it down: an agent whose journal could not be written
/// had begun to take it back, or a restart was interrupted. What the watch found so far stands, and what
/// it did not find it must find again, over a whole window.
///
/// After a reboot nobody can tell that from a loss of power, which begins no watch anew (WCH-16).
pub(super) fn watch_anew(mut state: State, at: &Now) -> State {
    if let State::Watching(watching) = &mut state
        && watching.seen.boot.as_ref() == Some(&at.boot)
    {
        watching.seen.elapsed_ms = 0;
    }
    state
}

/// An agent whose journal could not be written may have gone back further than the journal says.
/// What lies on the machine tells.
fn unrecorded(state: &State, found: &Takeover) -> Option<State> {
    if !found.switched_back && !found.exchanged {
        return None;
    }
    let back = went_back(state)?;
    // The data goes back before the release does, so a release that is back has its data.
    if found.switched_back {
        return Some(State::RbStarting(Back {
            restored: true,
            exchange_begun: true,
            switched: true,
            ..back
        }));
    }
    // The old data lies there, in part or in whole, and nobody may run on it but the old release.
    Some(State::RbStopping(Back { exchange_begun: true, ..back }))
}

fn went_back(state: &State) -> Option<Back> {
    if let State::Watching(Watching { secured, .. })
    | State::Applying(secured)
    | State::Migrating(secured)
    | State::Starting(secured)
    | State::Probing(secured)
    | State::Accepted(secured) = state
    {
        let why = "went back while the journal could not be written".to_owned();
        return Some(forward::step_back(secured.clone(), Cause::Host, why));
    }
    let (State::RollbackDecided(back)
    | State::RbStopping(back)
    | State::RbData(back)
    | State::RbSwitch(back)) = state
    else {
        return None;
    };
    Some(back.clone())
}

fn with_copy(secured: Secured, switched: bool) -> Draining {
    Draining { update: secured.update, copy: Some(secured.way_back), switched }
}

fn prove_stopped(mut draining: Draining) -> State {
    let resumed = draining.update.resumed.saturating_add(1);
    draining.update.resumed = resumed;
    if resumed < RESUMES_MAX {
        return State::Draining(draining);
    }
    forward::undrain(
        draining,
        Cause::Interrupted,
        format!("{resumed} agents died during this update"),
    )
}

fn start_back_again(mut back: Back) -> State {
    back.update.resumed = back.update.resumed.saturating_add(1);
    State::RbStarting(back)
}

fn start_again(mut secured: Secured) -> State {
    secured.update.resumed = secured.update.resumed.saturating_add(1);
    if secured.update.resumed >= RESUMES_MAX {
        let why = format!("{} agents died during this update", secured.update.resumed);
        return forward::give_up(secured, Cause::Interrupted, why);
    }
    State::Starting(secured)
}
