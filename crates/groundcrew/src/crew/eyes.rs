//! What an app's thread looks at beside the engine, to know when to wake it.

use groundcrew_engine::agent::Turn;
use groundcrew_engine::gate::{GateId, Verdict};
use groundcrew_engine::machine::State;
use groundcrew_engine::ports::{Host, Runtime};

use super::course::Course;

/// How a runtime says that a run ended well.
const ENDED_WELL: &str = "exit code 0";

/// A look at the machine beside the engine's.
pub(super) struct Eyes {
    pub(super) host: Box<dyn Host>,
    pub(super) runtime: Box<dyn Runtime>,
}

impl Eyes {
    /// The latest run ended by itself, and well.
    pub(super) fn ended_well(&mut self) -> bool {
        let ended = self.runtime.observe().ok().and_then(|seen| seen.ended);
        ended.is_some_and(|ended| ended.by_itself && ended.how == ENDED_WELL)
    }

    /// Launchers wait for an app that was stopped by hand to run again, or until nothing starts it.
    pub(super) fn let_launchers_go(&mut self, course: &mut Course, turn: &Turn) {
        if !course.announced {
            return;
        }
        let runs = self.runtime.observe().is_ok_and(|seen| seen.running.is_some());
        if runs || *turn != Turn::Progress {
            course.announced = false;
            // A marker that cannot be removed now is removed by the next agent.
            drop(self.host.announce(false));
        }
    }
}

/// A gate named a moment, and it has come.
pub(super) fn is_ripe(state: &State) -> bool {
    let State::Deferred(wait) = state else { return false };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    wait.answers.iter().any(|answer| match &answer.verdict {
        Verdict::Defer { until_ms: Some(until_ms), .. } => {
            *until_ms <= now_ms && answer.gate != GateId::Retry
        }
        Verdict::Pass { .. } | Verdict::Defer { .. } | Verdict::Hold { .. } => false,
    })
}
