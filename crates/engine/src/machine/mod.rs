//! The update machine of one app: where it stands, the one thing to do now, and what follows.
//!
//! [`App::action`] names the one thing to do, a world does it, [`App::apply`] folds what happened.
//! The journal holds the events; after a crash the app is the fold of its journal and the agent
//! records [`Event::Resumed`], which sends each state to the place from where it is safe to go
//! on. There is no other recovery: **starting is recovering**.
//!
//! ```text
//!            Found        pass          Fetched       pass         Prepared      Precopied
//!   Idle ──────▶ Detected ────▶ Fetching ─────▶ Staged ────▶ Armed ───────▶ Precopying ─┐
//!    ▲             │ ▲             │              │ ▲                                   │
//!    │             ▼ │             ▼              ▼ │       a volatile gate is red      │ Cleared
//!    │          Held / Deferred ◀─────────────────┴─┴───────────────────────────────────┤
//!    │                                                                                  ▼
//!    │       Snapshotted           Stopped                                           Draining
//!    │   ┌──────────────── Snapshotting ◀── Stopped ◀───────────────────────────────────┘
//!    │   ▼
//!    │ Snapshotted ──▶ Applying ──▶ Migrating ──▶ Starting ──▶ Probing ──▶ Accepted ──▶ Watching
//!    │                                                                                  │ │
//!    │   Closed                                                          WatchPassed    │ │
//!    ├────────── Proven ◀───────────────────────────────────────────────────────────────┘ │
//!    ├────────── Unproven ◀───────────────────────────────────────────────────────────────┘
//!    │
//!    │ before Snapshotted: start the old one again      from Applying: the way back
//!    ├── Aborted ◀── RbProbing ◀── RbStarting ◀── RbSwitch ◀── RbData ◀── RbStopping ◀── RollbackDecided
//!    └── RolledBack ◀───┘ │
//!                         └──▶ Stuck (a person is needed; no loop)
//! ```
//!
//! A first installation goes the same way: its plan has no `from`, its snapshot holds whatever lay
//! in the volumes, and its way back is "stopped, with the volumes as they were".
//!
//! Invariants, each with the test that holds it:
//!
//! - a crash at any point changes nothing but the time taken: `crash_everywhere` in `sim`;
//! - every pair of state and event is decided on purpose: `transition_table`;
//! - nothing is applied before its way back exists: by type, [`state::Secured`];
//! - known-bad is durable before the first step back: it is folded from the same event.

mod again;
mod app;
mod back;
mod decide;
mod event;
mod forward;
mod kept;
mod resume;
mod state;
#[cfg(test)]
mod tests;
pub mod verdict;
mod way_back;

pub use app::App;
pub use decide::{Action, Facts};
pub use event::{Entry, Event, Step, Takeover, WatchTick};
pub use kept::{Failed, KnownBad, LastGood, Merit, Retained, Retries, Unserved, Uptime};
pub use state::{
    Draining, Latest, Precopy, Secured, State, StopReport, Unproven, Update, Waiting, WatchSeen,
    Watching, WayBack,
};
pub use way_back::{Back, Cause, DataChoice, Ending, TreeId, TreePair};

use crate::gate::Answer;
use crate::noun::Offer;

/// Attempts of one step back before the update is stuck.
pub const BACK_ATTEMPTS: u32 = 3;
/// Times the old release may turn out not to be well before the update is stuck.
pub const BACK_PROVES: u32 = 2;
/// Agents that may die during one touched update before it goes back.
pub const RESUMES_MAX: u32 = 12;
/// Times a candidate is tried again after a fault of the host, before a person is asked.
pub const RETRIES_MAX: u32 = 3;
/// Restarts of the app within one watch that make it degraded.
pub const WATCH_RESTARTS_MAX: u32 = 2;
/// After a reboot at least so much of the window is watched again (WCH-16).
pub const CLEAN_AFTER_BOOT_MS: u64 = 120_000;

/// An event that its state has no use for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {event} does not belong to state {state}")]
pub struct Unexpected {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: String,
}

fn unexpected(state: &State, event: &Event) -> Unexpected {
    Unexpected { state: state.name(), event: event.name() }
}

/// The state of a candidate whose gates were answered with at least one "no". What a person
/// ordered does not wait: the person is there, and is told.
fn waiting(offer: Offer, staged: bool, answers: Vec<Answer>, since_ms: i64) -> State {
    if offer.ordered.is_some() {
        return State::Idle;
    }
    let held = answers.iter().any(Answer::holds);
    let waiting = Waiting { offer, staged, answers, since_ms, not_before_ms: None };
    if held { State::Held(waiting) } else { State::Deferred(waiting) }
}
