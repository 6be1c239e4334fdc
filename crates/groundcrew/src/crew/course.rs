//! What an app's thread keeps between two agents.

use std::time::Instant;

use groundcrew_drivers::snapshots::Lock;
use groundcrew_engine::machine::App;

use super::board::Looked;
use super::caring::Caring;
use super::rhythm::{Looks, Revival, Tidying};
use crate::config::AppSettings;

/// What the thread keeps between two agents.
pub(super) struct Course {
    /// The fold.
    pub(super) state: App,
    /// An open update was taken over.
    pub(super) resumed: bool,
    /// Something is to be done besides taking orders.
    pub(super) working: bool,
    /// The source is to be asked.
    pub(super) looking: bool,
    /// A waiting candidate is to be judged again.
    pub(super) due: bool,
    /// A person asked for this look.
    pub(super) by_person: bool,
    pub(super) apply_config: bool,
    pub(super) asked: u64,
    pub(super) looks: Looks,
    pub(super) revival: Revival,
    /// A person wants it up, whatever `restart` says.
    pub(super) wanted_now: bool,
    /// It was stopped by hand and is to run again; launchers wait until it does.
    pub(super) announced: bool,
    pub(super) tidying: Tidying,
    /// The look that was remembered last.
    pub(super) noted: Option<Looked>,
    /// The latest look.
    pub(super) looked: Option<Looked>,
    /// Wall clock when the thread began.
    pub(super) begun_ms: i64,
    /// How the app is at rest.
    pub(super) caring: Caring,
    pub(super) open_before: bool,
    /// A person was told why the end takes a while.
    pub(super) said_it_goes_on: bool,
    /// The areas beside the volumes are ours alone.
    pub(super) locks: Option<Vec<Lock>>,
}

impl Course {
    /// Of a thread that begins; `serve`: it looks by itself.
    pub(super) fn new(app: &AppSettings, serve: bool, state: App) -> Self {
        let now = Instant::now();
        Self {
            resumed: false,
            working: serve,
            looking: serve,
            due: serve,
            by_person: false,
            apply_config: false,
            asked: 0,
            looks: Looks::new(app.poll_ms, now),
            revival: Revival::new(state.revivals),
            wanted_now: false,
            announced: false,
            tidying: Tidying::new(now),
            noted: None,
            looked: None,
            begun_ms: jiff::Timestamp::now().as_millisecond(),
            caring: Caring::new(now, state.revivals),
            open_before: state.state.update().is_some(),
            said_it_goes_on: false,
            locks: None,
            state,
        }
    }
}
