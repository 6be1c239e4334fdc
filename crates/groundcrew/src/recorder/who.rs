//! What a recording says of its host: the configuration, the apps, and who may record.

use std::path::{Path, PathBuf};
use std::time::Duration;

use groundcrew_recorder::manifest::AppRelease;
use sha2::{Digest as _, Sha256};

use crate::crew::board::View;
use crate::crew::request::{Reply, Request};
use crate::crew::socket::Line;
use crate::exit::Refusal;

/// The agent says within so long what runs; it may be in the middle of anything.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The digest of all files of the configuration, in the order in which they were read.
pub(super) fn config_digest(files: &[PathBuf]) -> String {
    use std::fmt::Write as _;
    let mut digest = Sha256::new();
    for file in files {
        // One that went since it was read counts as empty.
        let bytes = std::fs::read(file).unwrap_or_default();
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(&bytes);
    }
    digest.finalize().iter().fold("sha256:".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written to");
        text
    })
}

/// What runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Aboard {
    /// The apps' releases.
    pub(super) apps: Vec<AppRelease>,
    /// Their revisions, each once.
    pub(super) revision: String,
}

/// What runs, as the agent says; `None`: there is no agent that answers.
pub(super) fn aboard(run: &Path) -> Option<Aboard> {
    let mut line = Line::open_within(run, ANSWER_WITHIN).ok()??;
    match line.ask(Request::Status).ok()? {
        Reply::Status { apps } => Some(listed(&apps)),
        _ => None,
    }
}

fn listed(views: &[View]) -> Aboard {
    let running = || views.iter().filter_map(|view| Some((view, view.running.as_ref()?)));
    let release = |(view, named): (&View, &crate::crew::board::Named)| AppRelease {
        app: view.app.clone(),
        version: named.version.clone(),
        digest: named.digest.clone(),
    };
    let mut revisions: Vec<&str> =
        running().filter_map(|(_, named)| named.revision.as_deref()).collect();
    revisions.dedup();
    Aboard { apps: running().map(release).collect(), revision: revisions.join(" ") }
}

/// The number of a group.
///
/// # Errors
///
/// There is none of this name.
pub(super) fn group(name: &str) -> Result<u32, Refusal> {
    let known = groundcrew_drivers::keeper::group_id(name);
    known.ok_or_else(|| {
        let text = format!("recorder.group: there is no group {name:?} in /etc/group");
        Refusal::usage(format!("{text}\n  → groupadd --system {name}"))
    })
}
