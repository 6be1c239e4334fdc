//! Asking an app's source, and remembering what came of it.

use std::time::Instant;

use groundcrew_engine::agent::{Agent, Look, Turn};

use super::board::Looked;
use super::course::Course;
use super::hand::{Hand, Next};

/// Looks that say the same are remembered once in this time.
const LOOK_KEPT_MS: i64 = 60_000;

impl Hand {
    /// Asks the source; an answer that it cannot give is shown, and asked for again later.
    pub(super) fn look(&self, agent: &mut Agent<'_, '_>, course: &mut Course) -> Option<Next> {
        let looked = agent.look(course.apply_config);
        let failed = looked.is_err();
        course.looks.note(failed, Instant::now());
        course.due = true;
        let error = looked.as_ref().err().map(|error| error.text.clone());
        let at_ms = jiff::Timestamp::now().as_millisecond();
        let before = course.looked.as_ref().and_then(|looked| looked.answered_ms);
        let answered_ms = if failed { before } else { Some(at_ms) };
        self.note_look(course, Looked { at_ms, error, answered_ms });
        match looked {
            // A new agent would know nothing of what this one could not record; its turn says so.
            Ok(Look::Turn(Turn::Frozen(_))) if agent.has_unrecorded() => None,
            Ok(Look::Turn(Turn::Frozen(why))) => Some(Next::Frozen(why)),
            Ok(Look::Turn(Turn::Shutdown)) => Some(Next::End),
            Ok(_) | Err(_) => None,
        }
    }

    /// The board follows what the store takes; this it did not take.
    pub(super) fn show_unrecorded(&self, agent: &Agent<'_, '_>) {
        let config = self.app.policy.config.to_string();
        self.board.change(self.name(), |view| view.follow(agent.app(), &config));
    }

    /// Shows a look, and remembers it when it is news or a while ago.
    fn note_look(&self, course: &mut Course, looked: Looked) {
        let same = course.noted.as_ref().is_some_and(|before| {
            let passed_ms = looked.at_ms.saturating_sub(before.at_ms);
            before.error == looked.error && (0..LOOK_KEPT_MS).contains(&passed_ms)
        });
        if !same {
            // It is for people; what cannot be recorded is still shown.
            drop(self.store.looked(&self.app.policy.app, &looked));
            course.noted = Some(looked.clone());
        }
        course.looked = Some(looked.clone());
        self.board.change(self.name(), |view| view.last_check = Some(looked));
    }
}
