//! The way back: stop the candidate, put data and release back, prove the old one.
//!
//! Every step is tried [`BACK_ATTEMPTS`] times; then the update is stuck, the better release keeps
//! running and a person is asked. There is no loop. Where nothing runs and the host is to blame, the
//! way back is walked again now and then all the same: a full disk must not stop an app for good.

use super::state::{State, StopReport, WayBack};
use super::way_back::{Back, DataChoice};
use super::{BACK_ATTEMPTS, BACK_PROVES, Event, Step, Unexpected, unexpected};
use crate::noun::{Fault, FaultKind, Now};

/// Whether the state belongs to the way back.
pub(super) fn is_back(state: &State) -> bool {
    matches!(
        state,
        State::RollbackDecided(_)
            | State::RbStopping(_)
            | State::RbData(_)
            | State::RbSwitch(_)
            | State::RbStarting(_)
            | State::RbProbing(_)
            | State::RolledBack(_)
            | State::Aborted(_)
            | State::Stuck(_)
    )
}

/// Folds the intent of an effect: an exchange that was begun may be half done.
pub(super) fn begin(state: State, step: Step) -> State {
    match (state, step) {
        (State::RbData(back), Step::RbExchange) => {
            State::RbData(Back { exchange_begun: true, ..back })
        }
        (state, _) => state,
    }
}

/// Folds an event of the way back.
pub(super) fn apply(state: State, event: &Event, at: &Now) -> Result<State, Unexpected> {
    Ok(match (state, event) {
        (State::RollbackDecided(back), Event::EvidenceKept { .. }) => {
            State::RbStopping(fresh(back))
        }
        (State::RbStopping(back), Event::RbStopped { report }) => stopped(fresh(back), report, at),
        (State::RbData(back), Event::RbBuilt { pairs }) => {
            State::RbData(Back { built: pairs.clone(), ..fresh(back) })
        }
        (State::RbData(back), Event::RbRestored { set_aside }) => {
            let set_aside = set_aside.clone().or_else(|| back.set_aside.clone());
            State::RbSwitch(Back { set_aside, restored: true, ..fresh(back) })
        }
        (State::RbData(back), Event::RbMigrated) if back.data == DataChoice::Keep => {
            State::RbSwitch(Back { undone: true, ..fresh(back) })
        }
        (State::RbSwitch(back), Event::RbSwitched) => {
            State::RbStarting(Back { switched: true, ..fresh(back) })
        }
        (State::RbStarting(back), Event::RbStarted) => State::RbProbing(fresh(back)),
        (State::RbProbing(back), Event::RbProved) => {
            let mut back = fresh(back);
            back.update.up_ms = Some(at.wall_ms);
            match back.data {
                DataChoice::Untouched => State::Aborted(back),
                DataChoice::Restore | DataChoice::Keep => State::RolledBack(back),
            }
        }
        (State::RbProbing(back), Event::RbDisproved { finding }) => disproved(back, finding),
        // Nothing runs, so that nothing is lost by trying now and then for ever.
        (State::RolledBack(back) | State::Aborted(back), Event::RbDisproved { finding }) => {
            disproved(Back { may_pass: true, ..back }, finding)
        }
        (
            State::RbData(back) | State::RbSwitch(back) | State::RbStarting(back),
            Event::RanAgain,
        ) => State::RbStopping(fresh(back)),
        (state, Event::Failed { step, fault }) => failed(state, *step, fault, event)?,
        // Undoing a migration does: nobody else would know that it was begun.
        (State::RbData(back), Event::JournalLost { reason }) if back.data == DataChoice::Keep => {
            let why = format!("the journal cannot be written: {reason}");
            State::RbStopping(restore_instead(fresh(back), &why))
        }
        (State::Stuck(back), Event::BackAgain) if back.may_pass => {
            let again = back.again.saturating_add(1);
            walk_again(Back { again, ..back })
        }
        // A step back needs no durable record; it goes on as it is.
        (state, Event::JournalLost { .. }) => state,
        (state, event) => return Err(unexpected(&state, event)),
    })
}

fn disproved(mut back: Back, finding: &str) -> State {
    back.disproved = back.disproved.saturating_add(1);
    back.stuck_at = Some(format!("the old release is not well either: {finding}"));
    if back.disproved < BACK_PROVES { State::RbStopping(back) } else { State::Stuck(back) }
}

fn fresh(back: Back) -> Back {
    Back { attempts: 0, stuck_at: None, may_pass: false, ..back }
}

/// The candidate is down. If somebody ran after the data was (perhaps partly) exchanged, what
/// lies there is no longer what the snapshot held: it is restored once more.
fn stopped(mut back: Back, report: &StopReport, at: &Now) -> State {
    // It was up while it was watched: that is no downtime, what was before it is.
    if let (Some(down_ms), Some(up_ms)) = (back.update.down_ms, back.update.up_ms.take()) {
        let before_ms = up_ms.saturating_sub(down_ms).max(0);
        back.update.down_ms = Some(at.wall_ms.saturating_sub(before_ms));
    }
    // The first proof has nothing to compare with; an exchange before it was not recorded.
    let ran_since = !back.proven_down || back.latest != report.latest;
    back.latest.clone_from(&report.latest);
    back.proven_down = true;
    if back.exchange_begun && !back.switched && (report.ran || ran_since) {
        back.restored = false;
        back.exchange_begun = false;
        back.built = Vec::new();
        back.round = back.round.saturating_add(1);
    }
    if back.undone && !back.switched && (report.ran || ran_since) {
        back = restore_instead(back, "the candidate ran on data that it had changed back");
    }
    match back.data {
        DataChoice::Restore if !back.restored => State::RbData(back),
        DataChoice::Keep if !back.undone && back.update.plan.can_undo() => State::RbData(back),
        DataChoice::Restore | DataChoice::Keep | DataChoice::Untouched => State::RbSwitch(back),
    }
}

/// How far the candidate came with undoing its migration cannot be known. The data of before comes
/// back and what is there is set aside, so that nothing runs on a mixture and nothing is lost.
pub(super) fn restore_instead(mut back: Back, why: &str) -> Back {
    if matches!(back.way_back, Some(WayBack::Snapshot(_))) {
        back.data = DataChoice::Restore;
        back.why = format!("{}; its data was set aside: {why}", back.why);
    } else {
        back.undone = true;
    }
    back
}

fn failed(state: State, step: Step, fault: &Fault, event: &Event) -> Result<State, Unexpected> {
    if let (State::RbData(back), Step::RbMigrate) = (&state, step)
        && back.data == DataChoice::Keep
    {
        // It is not run again on data that it may have touched.
        let why = format!("its migration could not be undone: {fault}");
        return Ok(State::RbStopping(restore_instead(fresh(back.clone()), &why)));
    }
    let wrap: fn(Back) -> State = match (&state, step) {
        (State::RollbackDecided(_), Step::KeepEvidence) => State::RollbackDecided,
        (State::RbStopping(_), Step::RbStop) => State::RbStopping,
        (State::RbData(_), Step::RbBuild | Step::RbExchange) => State::RbData,
        (State::RbSwitch(_), Step::RbSwitch) => State::RbSwitch,
        (State::RbStarting(_), Step::RbStart) => State::RbStarting,
        (State::RbProbing(_), Step::RbProve) => State::RbProbing,
        (State::RolledBack(_), Step::Close) => State::RolledBack,
        (State::Aborted(_), Step::Close) => State::Aborted,
        _ => return Err(unexpected(&state, event)),
    };
    let (State::RollbackDecided(mut back)
    | State::RbStopping(mut back)
    | State::RbData(mut back)
    | State::RbSwitch(mut back)
    | State::RbStarting(mut back)
    | State::RbProbing(mut back)
    | State::RolledBack(mut back)
    | State::Aborted(mut back)) = state
    else {
        return Err(unexpected(&state, event));
    };
    back.attempts = back.attempts.saturating_add(1);
    // Telling people is tried for ever; it changes nothing that runs.
    if back.attempts >= BACK_ATTEMPTS && step != Step::Close {
        back.stuck_at = Some(fault.text.clone());
        back.may_pass = fault.kind == FaultKind::Host;
        return Ok(State::Stuck(back));
    }
    Ok(wrap(back))
}

/// A new round, because the names of the old one's runs and trees are used up.
fn walk_again(back: Back) -> State {
    let round = back.round.saturating_add(1);
    State::RbStopping(Back { round, built: Vec::new(), disproved: 0, ..fresh(back) })
}

/// A person took the cause away: a held candidate is looked for anew, a way back that was stuck is
/// walked again from the stop.
pub(super) fn unblock(state: State) -> State {
    match state {
        State::Stuck(back) => walk_again(back),
        // The source is asked again: what was held may not be offered any more.
        State::Held(_) => State::Idle,
        state => state,
    }
}
