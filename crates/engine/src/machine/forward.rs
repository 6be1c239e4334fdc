//! The way forward: what follows from each event until the update is proven or goes back.

use super::state::{
    Draining, Precopy, Secured, State, StopReport, Unproven, Update, WatchSeen, Watching, WayBack,
};
use super::verdict::{self, Verdict};
use super::way_back::{Back, Cause, DataChoice};
use super::{Event, Step, Unexpected, WatchTick, unexpected, waiting};
use crate::gate::{Answer, Round};
use crate::noun::{Fault, FaultKind, Now, SnapshotId};
use crate::plan::{DataWork, OnDegraded, Plan};

/// Folds the intent of an effect: some states have a name of their own while it runs.
pub(super) fn begin(state: State, step: Step) -> Result<State, Unexpected> {
    Ok(match (state, step) {
        (State::Stopped(update), Step::Snapshot) => State::Snapshotting(update),
        (State::Snapshotted(secured), Step::Switch) => State::Applying(secured),
        (state, _) => state,
    })
}

/// Folds an event of the way forward.
pub(super) fn apply(state: State, event: &Event, at: &Now) -> Result<State, Unexpected> {
    match (state, event) {
        (state, Event::Failed { step, fault }) => failed(state, *step, fault, event),
        (state, Event::BusyAgain { reason }) => busy_again(state, reason, event),
        (state, Event::JournalLost { reason }) => journal_lost(state, reason, event),
        (state, Event::GoBack { by, data }) => go_back(state, by, *data, event),
        (state @ (State::Watching(_) | State::Probing(_)), _) => judge(state, event, at),
        (state, _) => advance(state, event, at),
    }
}

fn advance(state: State, event: &Event, at: &Now) -> Result<State, Unexpected> {
    Ok(match (state, event) {
        (State::Detected(offer), Event::Judged { round: Round::Candidate, answers }) => {
            if answers.iter().all(Answer::passes) {
                State::Fetching(offer)
            } else {
                waiting(offer, false, answers.clone(), at.wall_ms)
            }
        }
        (State::Held(wait) | State::Deferred(wait), Event::Judged { round, answers }) => {
            let passed = answers.iter().all(Answer::passes);
            match (round, passed) {
                (Round::Candidate, true) => State::Fetching(wait.offer),
                _ => waiting(wait.offer, wait.staged, answers.clone(), wait.since_ms),
            }
        }
        (State::Fetching(mut offer), Event::Fetched { release }) => {
            offer.release = release.clone();
            State::Staged(offer)
        }
        (State::Staged(offer), Event::Judged { round: Round::Arm, answers }) => {
            waiting(offer, true, answers.clone(), at.wall_ms)
        }
        (State::Staged(_) | State::Held(_) | State::Deferred(_), Event::Armed { plan }) => {
            State::Armed(open(plan))
        }
        (State::Armed(update), Event::Prepared) => {
            State::Precopying(Precopy { update, copied: false })
        }
        (State::Precopying(precopy), Event::Precopied { .. }) => {
            State::Precopying(Precopy { copied: true, ..precopy })
        }
        (State::Precopying(precopy), Event::Judged { round: Round::Volatile, answers }) => {
            waiting(precopy.update.plan.offer, true, answers.clone(), at.wall_ms)
        }
        (State::Precopying(Precopy { update, copied: true }), Event::Cleared) => {
            State::Draining(Draining { update, copy: None, switched: false })
        }
        (State::Draining(draining), Event::Stopped { report }) => stopped(draining, report, at),
        (
            State::Stopped(update) | State::Snapshotting(update),
            Event::Snapshotted { snapshot, .. },
        ) => State::Snapshotted(Secured { way_back: way_back(snapshot.as_ref()), update }),
        (State::Stopped(update) | State::Snapshotting(update), Event::RanAgain) => {
            State::Draining(Draining { update, copy: None, switched: false })
        }
        (State::Snapshotted(secured), Event::RanAgain) => drain_again(secured, false),
        (State::Migrating(secured), Event::RanAgain) => drain_again(secured, true),
        (State::Applying(secured), Event::Switched) => {
            if secured.update.plan.work() == DataWork::Nothing {
                State::Starting(secured)
            } else {
                State::Migrating(secured)
            }
        }
        (State::Migrating(mut secured), Event::Migrated { set_aside }) => {
            secured.update.set_aside.clone_from(set_aside);
            State::Starting(secured)
        }
        (State::Starting(secured), Event::Started) => State::Probing(secured),
        (State::Accepted(secured), Event::Opened) => {
            State::Watching(Watching { secured, seen: WatchSeen::default() })
        }
        (state, event) => return Err(unexpected(&state, event)),
    })
}

fn open(plan: &Plan) -> Update {
    Update {
        plan: plan.clone(),
        stop: None,
        down_ms: None,
        up_ms: None,
        resumed: 0,
        set_aside: None,
    }
}

fn way_back(snapshot: Option<&SnapshotId>) -> WayBack {
    snapshot.map_or(WayBack::Stateless, |id| WayBack::Snapshot(id.clone()))
}

/// A copy from before an interruption counts only if nobody ran since. If the old release did,
/// its data is copied anew; if the candidate did, the data is no longer the old release's.
fn stopped(draining: Draining, report: &StopReport, at: &Now) -> State {
    let Draining { mut update, copy, switched } = draining;
    let before = update.stop.replace(report.clone());
    update.down_ms.get_or_insert(at.wall_ms);
    let Some(way_back) = copy else { return State::Stopped(update) };
    if before.is_some_and(|before| before.latest == report.latest) && !report.ran {
        return State::Snapshotted(Secured { update, way_back });
    }
    let digest = report.latest.as_ref().map(|latest| &latest.digest);
    let plan = &update.plan;
    let by_old = plan.from.as_ref().is_some_and(|from| Some(&from.release.digest) == digest);
    if switched && !by_old {
        let why = "the candidate was started by somebody else before it was due".to_owned();
        return give_up(Secured { update, way_back }, Cause::Host, why);
    }
    State::Stopped(update)
}

/// Probing and watching: the two states that judge the candidate.
fn judge(state: State, event: &Event, at: &Now) -> Result<State, Unexpected> {
    Ok(match (state, event) {
        (State::Probing(mut secured), Event::Proved) => {
            secured.update.up_ms = Some(at.wall_ms);
            State::Accepted(secured)
        }
        (State::Probing(secured), Event::Disproved { finding }) => {
            give_up(secured, Cause::Candidate, finding.clone())
        }
        (State::Watching(watching), Event::Watched { tick }) => watched(watching, tick, at),
        (State::Watching(mut watching), Event::Started) => {
            watching.seen.down = false;
            State::Watching(watching)
        }
        (state, event) => return Err(unexpected(&state, event)),
    })
}

/// One more round: the verdict follows from the counters and the plan alone.
fn watched(mut watching: Watching, tick: &WatchTick, at: &Now) -> State {
    let spec = watching.secured.update.plan.to.procedure.watch.clone();
    let seen = &mut watching.seen;
    count(seen, tick, at);
    let Some(end) = verdict::judge(seen, &spec) else { return State::Watching(watching) };
    match end.verdict {
        Verdict::Healthy => State::Proven(watching.secured),
        Verdict::Degraded => {
            degraded(watching.secured, spec.on_degraded, Cause::Candidate, end.why)
        }
        Verdict::Inconclusive => {
            State::Unproven(Unproven { secured: watching.secured, why: end.why })
        }
    }
}

/// Time counts only between two ticks of one boot; a release that ended by itself must serve a
/// whole window from then on.
pub(super) fn count(seen: &mut WatchSeen, tick: &WatchTick, at: &Now) {
    match &seen.last {
        Some((boot, before_ms)) if *boot == at.boot => {
            let passed = at.uptime_ms.saturating_sub(*before_ms);
            seen.elapsed_ms = seen.elapsed_ms.saturating_add(passed);
            seen.since_boot_ms = seen.since_boot_ms.saturating_add(passed);
        }
        Some(_) | None if seen.boot.as_ref() != Some(&at.boot) => seen.since_boot_ms = 0,
        Some(_) | None => {}
    }
    seen.boot = Some(at.boot.clone());
    seen.last = Some((at.boot.clone(), at.uptime_ms));
    seen.ticks = seen.ticks.saturating_add(1);
    seen.down = tick.down;
    if tick.by_itself {
        seen.restarts = seen.restarts.saturating_add(1);
        seen.elapsed_ms = 0;
    }
    match &tick.finding {
        Some(finding) => {
            seen.failed = seen.failed.saturating_add(1);
            seen.failed_in_row = seen.failed_in_row.saturating_add(1);
            seen.finding = Some(finding.clone());
        }
        None => seen.failed_in_row = 0,
    }
}

/// A release that a person ordered is not taken from them by a rule. A version that goes back alone
/// must be able to run on the data as it is, or as the candidate's own command makes it.
fn degraded(secured: Secured, on_degraded: OnDegraded, cause: Cause, why: String) -> State {
    let plan = &secured.update.plan;
    match on_degraded {
        OnDegraded::Version | OnDegraded::VersionAndData if plan.offer.ordered.is_some() => {
            State::Unproven(Unproven { secured, why })
        }
        OnDegraded::Alert => State::Unproven(Unproven { secured, why }),
        OnDegraded::Version => match plan.one_way.clone() {
            Some(one_way) if !plan.can_undo() => {
                let why = format!("{why}; not taken back without its data: {one_way}");
                State::Unproven(Unproven { secured, why })
            }
            _ => back_without_data(secured, cause, why),
        },
        OnDegraded::VersionAndData => give_up(secured, cause, why),
    }
}

fn back_without_data(secured: Secured, cause: Cause, why: String) -> State {
    let mut back = step_back(secured, cause, why);
    back.data = DataChoice::Keep;
    State::RollbackDecided(back)
}

/// A person takes back what was accepted or is about to be.
fn go_back(state: State, by: &str, data: DataChoice, event: &Event) -> Result<State, Unexpected> {
    let (State::Accepted(secured)
    | State::Watching(Watching { secured, .. })
    | State::Unproven(Unproven { secured, .. })) = state
    else {
        return Err(unexpected(&state, event));
    };
    let why = format!("taken back by {by}");
    Ok(match data {
        DataChoice::Restore => give_up(secured, Cause::Operator, why),
        DataChoice::Keep | DataChoice::Untouched => {
            back_without_data(secured, Cause::Operator, why)
        }
    })
}

/// Back from where the candidate may have touched the data.
pub(super) fn give_up(secured: Secured, cause: Cause, why: String) -> State {
    State::RollbackDecided(step_back(secured, cause, why))
}

pub(super) fn step_back(secured: Secured, cause: Cause, why: String) -> Back {
    let data = match secured.way_back {
        WayBack::Snapshot(_) => DataChoice::Restore,
        WayBack::Stateless => DataChoice::Keep,
    };
    Back::begin(secured.update, Some(secured.way_back), data, cause, why)
}

/// Back from where nothing was switched: the old release is started, or found running.
fn abort(update: Update, cause: Cause, why: String) -> State {
    State::RbStarting(Back::begin(update, None, DataChoice::Untouched, cause, why))
}

/// Prove once more that nobody runs; the copy counts only if nobody did.
fn drain_again(secured: Secured, switched: bool) -> State {
    let Secured { update, way_back } = secured;
    State::Draining(Draining { update, copy: Some(way_back), switched })
}

/// Back from a stop. With a copy the switch may have happened before an interruption; the way
/// back undoes it or finds it undone.
pub(super) fn undrain(draining: Draining, cause: Cause, why: String) -> State {
    let Draining { update, copy, .. } = draining;
    match copy {
        Some(way_back) => switch_back(Secured { update, way_back }, cause, why),
        None => abort(update, cause, why),
    }
}

/// Back from a switch whose migration never began: the data is as it was.
fn switch_back(secured: Secured, cause: Cause, why: String) -> State {
    let mut back = step_back(secured, cause, why);
    back.data = DataChoice::Untouched;
    State::RollbackDecided(back)
}

fn failed(state: State, step: Step, fault: &Fault, event: &Event) -> Result<State, Unexpected> {
    let why = fault.text.clone();
    let cause = match fault.kind {
        FaultKind::Candidate | FaultKind::Refused => Cause::Candidate,
        FaultKind::Host | FaultKind::Elsewhere => Cause::Host,
    };
    Ok(match (state, step) {
        (State::Draining(draining), Step::Stop) => undrain(draining, Cause::Host, why),
        (State::Stopped(update) | State::Snapshotting(update), Step::Snapshot) => {
            abort(update, Cause::Host, why)
        }
        (State::Applying(secured), Step::Switch) => switch_back(secured, cause, why),
        (State::Migrating(secured), Step::Migrate)
        | (State::Starting(secured), Step::Start)
        | (State::Probing(secured), Step::Prove)
        | (State::Accepted(secured), Step::Open) => give_up(secured, cause, why),
        (State::Watching(watching), Step::WatchStart) => {
            let on_degraded = watching.secured.update.plan.to.procedure.watch.on_degraded;
            degraded(watching.secured, on_degraded, cause, verdict::no_start(&why).why)
        }
        (state @ (State::Proven(_) | State::Unproven(_)), Step::Close) => state,
        (state, _) => return Err(unexpected(&state, event)),
    })
}

fn busy_again(state: State, reason: &str, event: &Event) -> Result<State, Unexpected> {
    let why = reason.to_owned();
    Ok(match state {
        State::Draining(draining) => undrain(draining, Cause::Busy, why),
        State::Stopped(update) | State::Snapshotting(update) => abort(update, Cause::Busy, why),
        // The switch may have happened before an interruption; undoing it finds it undone.
        State::Snapshotted(secured) | State::Migrating(secured) => {
            switch_back(secured, Cause::Busy, why)
        }
        state => return Err(unexpected(&state, event)),
    })
}

fn journal_lost(state: State, reason: &str, event: &Event) -> Result<State, Unexpected> {
    let why = format!("the journal cannot be written: {reason}");
    Ok(match state {
        State::Draining(draining) => undrain(draining, Cause::Host, why),
        State::Stopped(update) | State::Snapshotting(update) => abort(update, Cause::Host, why),
        State::Snapshotted(secured) | State::Applying(secured) => {
            switch_back(secured, Cause::Host, why)
        }
        State::Migrating(secured)
        | State::Starting(secured)
        | State::Probing(secured)
        | State::Accepted(secured) => give_up(secured, Cause::Host, why),
        state => return Err(unexpected(&state, event)),
    })
}
