//! What nobody needs any more: temporary files that a killed predecessor left, removed once when
//! nobody else can be writing, and copies and releases that no way back leads to, whenever an
//! update was closed.
//!
//! Of the former, only directories that a crew alone writes to are swept; below a run its keeper writes.

use std::time::Instant;

use groundcrew_drivers::durable;
use groundcrew_drivers::runtimes::docker;
use groundcrew_engine::agent::Agent;

use super::course::Course;
use super::hand::Hand;
use super::world;
use crate::cli::print::talk;
use crate::config::Settings;

/// Removes them; the caller holds the state directory's lock and has started no thread yet.
///
/// What cannot be removed costs room and nothing else, and is tried again at the next start.
pub(super) fn sweep(settings: &Settings) {
    let state = &settings.state;
    let mut dirs = vec![state.clone(), state.join("plans"), state.join("postmortems")];
    for app in settings.apps.keys() {
        dirs.extend(
            ["releases", "runs", "secrets", "snapshots"].map(|dir| state.join(dir).join(app)),
        );
        dirs.push(docker::kept(state, app));
    }
    for dir in dirs {
        if let Err(error) = durable::sweep(&dir) {
            let why = crate::chain(&error);
            talk(&format!("groundcrew: what was left in {} stays: {why}", dir.display()));
        }
    }
}
impl Hand {
    /// Removes what no way back needs any more, if an update was closed or a day has passed.
    pub(super) fn tidy(&self, agent: &mut Agent<'_, '_>, course: &mut Course) {
        if !course.tidying.take(Instant::now()) {
            return;
        }
        // What could not be removed is tried again tomorrow; it costs room, nothing else.
        let trouble = agent
            .tidy()
            .and_then(|_| world::now(&self.settings))
            .and_then(|now| self.store.prune(&now))
            .err();
        self.trouble(trouble.map(|why| format!("cannot tidy: {why}")));
    }
}
