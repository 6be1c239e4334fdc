//! The one thing to do now, as a pure function of where the app stands and what is the case.

use super::state::{Latest, Precopy, State, Update};
use super::way_back::{Back, DataChoice};
use super::{App, Event, Step};
use crate::gate::{Answer, Round};
use crate::noun::{Digest, Now};

/// What is the case right now; gathered before every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time.
    pub now: Now,
    /// The host is busy, and what the flag says.
    pub busy: Option<String>,
    /// The release of which a process runs.
    pub running: Option<Digest>,
    /// The latest start of the app, by whomever.
    pub latest: Option<Latest>,
    /// Whether these could be observed at all.
    pub observed: bool,
    /// A waiting candidate should be judged again: a poll is due, or a person said something.
    pub due: bool,
    /// An app that ended may be started again (its pause between restarts is over).
    pub may_revive: bool,
    /// An app that no update has its hands on is not well and is to be restarted.
    pub unwell: bool,
}

/// The one thing to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something changes.
    Wait(&'static str),
    /// Gather facts and ask the gates.
    Judge(Round),
    /// An effect.
    Do(Step),
    /// Record what was just seen; it has no effect of its own.
    Record(Event),
}

impl App {
    /// Names the one thing to do now.
    #[must_use]
    pub fn action(&self, facts: &Facts) -> Action {
        match &self.state {
            State::Idle | State::Held(_) | State::Deferred(_) => self.at_rest(facts),
            State::Detected(_) => Action::Judge(Round::Candidate),
            State::Fetching(_) => Action::Do(Step::Fetch),
            State::Staged(_) => Action::Judge(Round::Arm),
            State::Armed(_) => Action::Do(Step::Prepare),
            State::Precopying(Precopy { copied: false, .. }) => Action::Do(Step::Precopy),
            State::Precopying(_) => Action::Judge(Round::Volatile),
            State::Draining(_) => unless_busy(facts, Step::Stop),
            state if facts.somebody_ran(state) => Action::Record(Event::RanAgain),
            State::Stopped(_) | State::Snapshotting(_) => unless_busy(facts, Step::Snapshot),
            State::Snapshotted(_) => unless_busy(facts, Step::Switch),
            State::Applying(_) => Action::Do(Step::Switch),
            State::Migrating(_) => unless_busy(facts, Step::Migrate),
            State::Starting(_) => Action::Do(Step::Start),
            State::Probing(_) => Action::Do(Step::Prove),
            State::Accepted(_) => Action::Do(Step::Open),
            State::Watching(_) if !self.wanted_up => {
                Action::Wait("stopped by hand; its watch goes on when it is started")
            }
            State::Watching(watching) if watching.seen.down => Action::Do(Step::WatchStart),
            State::Watching(_) => Action::Do(Step::Watch),
            State::RollbackDecided(_) => Action::Do(Step::KeepEvidence),
            // Busy forbids stopping what runs, never starting what is down.
            State::RbStopping(_) if facts.busy.is_some() && facts.maybe_runs() => {
                Action::Wait("busy: a running candidate is not stopped; it goes back when clear")
            }
            State::RbStopping(_) => Action::Do(Step::RbStop),
            State::RbData(back) if back.data == DataChoice::Keep => Action::Do(Step::RbMigrate),
            State::RbData(back) if back.built.is_empty() => Action::Do(Step::RbBuild),
            State::RbData(_) => Action::Do(Step::RbExchange),
            State::RbSwitch(_) => Action::Do(Step::RbSwitch),
            State::RbStarting(_) => Action::Do(Step::RbStart),
            State::RbProbing(_) => Action::Do(Step::RbProve),
            State::RolledBack(back) | State::Aborted(back)
                if self.wanted_up && facts.fell(back) =>
            {
                let finding = "it ended before its users were let in again".to_owned();
                Action::Record(Event::RbDisproved { finding })
            }
            State::Proven(_) | State::Unproven(_) | State::RolledBack(_) | State::Aborted(_) => {
                Action::Do(Step::Close)
            }
            State::Stuck(back) if back.may_pass && facts.due && !facts.maybe_runs() => {
                Action::Record(Event::BackAgain)
            }
            State::Stuck(_) => Action::Wait("stuck: a person is needed"),
        }
    }

    fn at_rest(&self, facts: &Facts) -> Action {
        if self.wanted_up && self.running.is_some() && !facts.maybe_runs() && facts.may_revive {
            return Action::Do(Step::Revive);
        }
        // Busy forbids stopping what runs, however unwell.
        let may_stop = facts.observed && facts.running.is_some() && facts.busy.is_none();
        if self.wanted_up && facts.unwell && may_stop {
            return Action::Do(Step::Restart);
        }
        let (State::Held(wait) | State::Deferred(wait)) = &self.state else {
            return Action::Wait("nothing is offered");
        };
        if wait.answers.iter().any(Answer::stands) {
            return Action::Wait("held until a person acts or the candidate changes");
        }
        let paused = wait.not_before_ms.is_some_and(|ms| self.uptime.at(&facts.now) < ms);
        match (facts.due && !paused, wait.staged) {
            (true, true) => Action::Judge(Round::Arm),
            (true, false) => Action::Judge(Round::Candidate),
            (false, _) => Action::Wait("a gate says not now"),
        }
    }
}

impl Facts {
    /// A process of the app runs, or may run for all that is known.
    fn maybe_runs(&self) -> bool {
        self.running.is_some() || !self.observed
    }

    /// The old release was proven, cannot be opened to its users, and nothing runs any more. A command
    /// that lets users in may need the app, so it is started again before that is tried further.
    fn fell(&self, back: &Back) -> bool {
        back.attempts > 0 && back.update.plan.from.is_some() && !self.maybe_runs()
    }

    /// Somebody started the app after it was proven to be down: what was done since rests on a
    /// false ground.
    fn somebody_ran(&self, state: &State) -> bool {
        let before = match state {
            State::Stopped(update) | State::Snapshotting(update) => latest_at_stop(update),
            State::Snapshotted(secured) | State::Migrating(secured) => {
                latest_at_stop(&secured.update)
            }
            State::RbData(back) | State::RbSwitch(back) => back.latest.as_ref(),
            State::RbStarting(back) => {
                let from = back.update.plan.from.as_ref().map(|from| &from.release.digest);
                return self.running.is_some() && self.running.as_ref() != from;
            }
            // Elsewhere the app may run, or nothing was built on its being down.
            _ => return false,
        };
        self.observed && (self.running.is_some() || self.latest.as_ref() != before)
    }
}

fn latest_at_stop(update: &Update) -> Option<&Latest> {
    update.stop.as_ref().and_then(|stop| stop.latest.as_ref())
}

fn unless_busy(facts: &Facts, step: Step) -> Action {
    match &facts.busy {
        Some(reason) => Action::Record(Event::BusyAgain { reason: reason.clone() }),
        None => Action::Do(step),
    }
}
