//! Temporary files that a killed predecessor left: removed once, when nobody else can be writing.
//!
//! Only directories that a crew alone writes to are swept; below a run its keeper writes.

use groundcrew_drivers::durable;

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
    }
    for dir in dirs {
        if let Err(error) = durable::sweep(&dir) {
            let why = crate::chain(&error);
            talk(&format!("groundcrew: what was left in {} stays: {why}", dir.display()));
        }
    }
}
