//! The journal of one app with a view and a recording that follow it: what was recorded is shown at
//! once.

use std::time::{Duration, Instant};

use groundcrew_engine::machine::{Entry, Event};
use groundcrew_engine::noun::AppName;
use groundcrew_engine::plan::Plan;
use groundcrew_engine::ports::{Append, Journal, JournalError, PostMortem, Progress};

use super::bell::Bell;
use super::black_box::BlackBox;
use super::board::{Board, Meter};

/// Shortest time between two changes of a shown progress.
const METER_PAUSE: Duration = Duration::from_millis(100);

/// A journal that shows what it recorded.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct Shown {
    /// The store.
    pub(crate) journal: Box<dyn Journal>,
    /// Where it is shown.
    pub(crate) board: Board,
    /// The configuration's hash.
    pub(crate) config: String,
    /// Wakes whoever delivers notices.
    pub(crate) told: Bell,
    /// What is told of it.
    pub(crate) black_box: BlackBox,
}

impl Journal for Shown {
    fn append(&mut self, append: &Append<'_>) -> Result<(), JournalError> {
        self.journal.append(append)?;
        self.black_box.journaled(append);
        self.board.change(append.app.as_str(), |view| {
            view.follow(append.after, &self.config);
            if let Event::Revived { failure, .. } = &append.entry.event {
                view.start_failed.clone_from(failure);
            }
            if let Some(closed) = append.closed {
                view.last_update = Some(closed.clone());
            }
        });
        if !append.notices.is_empty() {
            self.told.nudge();
        }
        Ok(())
    }

    fn reserve(&mut self, app: &AppName, plan: Option<&Plan>) -> Result<(), JournalError> {
        self.journal.reserve(app, plan)
    }

    fn relieve(&mut self) -> Result<(), JournalError> {
        self.journal.relieve()
    }

    fn file(&mut self, post_mortem: &PostMortem<'_>) -> Result<(), JournalError> {
        self.journal.file(post_mortem)
    }

    fn timeline(&mut self, app: &AppName) -> Result<Vec<Entry>, JournalError> {
        self.journal.timeline(app)
    }
}

/// Shows how far a long effect is.
#[derive(Debug)]
pub(crate) struct ShownProgress {
    app: String,
    board: Board,
    last: Option<Instant>,
}

impl ShownProgress {
    /// Of this app.
    pub(crate) fn new(app: &str, board: Board) -> Self {
        Self { app: app.to_owned(), board, last: None }
    }
}

impl Progress for ShownProgress {
    fn at(&mut self, done: u64, total: u64) {
        let early = self.last.is_some_and(|last| last.elapsed() < METER_PAUSE);
        if early && done != total {
            return;
        }
        self.last = Some(Instant::now());
        self.board.change(&self.app, |view| view.progress = Some(Meter { done, total }));
    }
}
