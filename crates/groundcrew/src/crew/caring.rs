//! What an agent does for an app at rest: asks whether it is well (RUN-7) and whether it is fresh
//! (UPD-19).

use std::time::{Duration, Instant};

use groundcrew_engine::agent::care::{Call, Care};
use groundcrew_engine::agent::{Agent, Turn};
use groundcrew_engine::freshness::{self, Known};
use groundcrew_engine::machine::Event;

use super::course::Course;
use super::hand::{Hand, Next};
use crate::cli::print::talk;
use crate::config::Restart;

/// How often freshness is looked at.
const FRESH_EVERY: Duration = Duration::from_secs(60);

/// What is counted between two rounds.
#[derive(Debug)]
pub(super) struct Caring {
    care: Care,
    begun: Instant,
    next_round: Instant,
    next_fresh: Instant,
    /// Starts outside updates that were seen.
    revivals: u32,
    /// The next one is ours.
    restarting: bool,
}

impl Caring {
    /// Of a thread that begins.
    pub(super) fn new(now: Instant, revivals: u32) -> Self {
        let care = Care::default();
        let (begun, next_round, next_fresh) = (now, now, now);
        Self { care, begun, next_round, next_fresh, revivals, restarting: false }
    }

    /// An update has its hands on the app: what was seen before says nothing of what runs then.
    pub(super) fn forget(&mut self, now: Instant) {
        self.care.forget(self.ms(now));
        self.restarting = false;
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Hand {
    /// One look at an app at rest, as often as its settings say.
    pub(super) fn care(&self, agent: &mut Agent<'_, '_>, course: &mut Course) -> Option<Next> {
        let now = Instant::now();
        self.freshen(agent, course, now);
        let caring = &mut course.caring;
        let at_ms = caring.ms(now);
        let revivals = agent.app().revivals;
        if revivals != caring.revivals {
            caring.revivals = revivals;
            if std::mem::take(&mut caring.restarting) {
                caring.care.restarted(at_ms);
            } else {
                // A person, or a crash: what was counted says nothing of this run.
                caring.care.forget(at_ms);
            }
        }
        let app = agent.app();
        let cares = self.app.restart != Restart::Never && app.wanted_up && app.running.is_some();
        if !cares || app.state.update().is_some() {
            caring.care.forget(at_ms);
            agent.restart_because(None);
            return None;
        }
        if now < caring.next_round {
            return None;
        }
        let prove = app.running.as_ref().map(|running| running.procedure.prove.clone())?;
        caring.next_round = now + Duration::from_millis(prove.interval_ms);
        let finding = agent.ask_health();
        self.board.change(self.name(), |view| view.unwell.clone_from(&finding));
        match caring.care.round(&prove, at_ms, finding) {
            Call::Leave => {
                caring.restarting = false;
                agent.restart_because(None);
            }
            Call::Restart(why) => {
                caring.restarting = true;
                agent.restart_because(Some(why));
            }
            Call::GiveUp(finding) => {
                agent.restart_because(None);
                if let Turn::Frozen(why) = agent.tell(Event::LeftUnwell { finding }) {
                    return Some(Next::Frozen(why));
                }
            }
        }
        None
    }

    /// Tells people of an app that is not updated.
    fn freshen(&self, agent: &Agent<'_, '_>, course: &mut Course, now: Instant) {
        if now < course.caring.next_fresh {
            return;
        }
        course.caring.next_fresh = now + FRESH_EVERY;
        let looked = course.looked.as_ref();
        let known = Known {
            state: &agent.app().state,
            behind_since_ms: agent.app().behind_since_ms,
            answered_ms: looked.and_then(|looked| looked.answered_ms).unwrap_or(course.begun_ms),
            failure: looked.and_then(|looked| looked.error.as_deref()),
        };
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let app = &self.app.policy.app;
        for notice in freshness::notices(app, &known, &self.app.stale, now_ms) {
            match self.store.queue(app.as_str(), &notice) {
                Ok(()) => self.told.nudge(),
                Err(why) => talk(&format!("groundcrew: {app}: cannot alert: {why}")),
            }
        }
    }
}
