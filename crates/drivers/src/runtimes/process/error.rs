//! What can go wrong with an app's processes, and whose fault it is.

use std::io;
use std::path::PathBuf;

use groundcrew_engine::noun::{Digest, Fault, FaultKind};

use crate::causes::causes;
use crate::runtimes::{launch, secrets, shelf};
use crate::{durable, keeper};

/// Who is to blame for how a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The release.
    Release,
    /// This host, or whoever stopped it.
    Host,
}

/// What can go wrong with an app's processes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot look after the app's processes")]
    Keeper(#[from] keeper::Error),
    #[error("the release cannot be used")]
    Shelf(#[from] shelf::Error),
    #[error("the app cannot be run as configured")]
    Launch(#[from] launch::Error),
    #[error("the app's secrets cannot be used")]
    Secrets(#[from] secrets::Error),
    #[error("cannot read {}", path.display())]
    ReadPlace {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not understood", path.display())]
    ParsePlace {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} has schema {found}, this build knows {known}", path.display())]
    PlaceSchema { path: PathBuf, found: u32, known: u32 },
    #[error("cannot put the release in place")]
    WritePlace(#[source] durable::Error),
    #[error("{wanted} was to be started, but {} is in place", shown(found.as_ref()))]
    Place { wanted: Digest, found: Option<Digest> },
    #[error("something else of the app runs: {name} of {release}")]
    Other { name: String, release: String },
    #[error("the processes of {} runs live at once: {names}", count)]
    Several { count: usize, names: String },
    #[error("{name} was started and ended: {how}")]
    Ended { name: String, how: String, blame: Blame },
    #[error("the start in {} is not done after {waited_ms} ms", dir.display())]
    StillStarting { dir: PathBuf, waited_ms: u128 },
    #[error("the run in {} is not over {waited_ms} ms after its end", dir.display())]
    StillEnding { dir: PathBuf, waited_ms: u128 },
    #[error(
        "the keeper of the run in {} was killed, or could not write down how it ended",
        dir.display()
    )]
    Vanished { dir: PathBuf },
    #[error("it ended at once: {how}{}{}", foreground(how), quoted(said))]
    EndedAtOnce { how: String, blame: Blame, said: String },
    #[error("{name} failed: {how}{}", quoted(said))]
    Failed { name: String, how: String, blame: Blame, said: String },
    #[error("{name} was not done after {timeout_ms} ms and was killed{}", quoted(said))]
    TimedOut { name: String, timeout_ms: u64, said: String },
    #[error("release {version} has no command for its migration")]
    NoMigration { version: String },
    #[error("cannot use the data directory {}", path.display())]
    Volume {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make the data directory {}", path.display())]
    MakeVolume {
        path: PathBuf,
        #[source]
        source: durable::Error,
    },
    #[error(
        "the data directory {path} is gone; mount it or bring it back, or begin without data by \
         `mkdir -p {path}` and give it to the app's user", path = path.display()
    )]
    VolumeGone { path: PathBuf },
    #[error("{name:?} is not a signal that stops an app")]
    Signal { name: String },
}

fn shown(digest: Option<&Digest>) -> &str {
    digest.map_or("nothing", Digest::as_str)
}

/// A program that ends well at once has most likely put itself into the background.
fn foreground(how: &str) -> &'static str {
    if how == "exit code 0" { "; an app has to stay in the foreground" } else { "" }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; its output ends with:\n{said}") }
}

impl Error {
    /// Decides what happens next, see [`FaultKind`].
    fn kind(&self) -> FaultKind {
        match self {
            Self::TimedOut { .. }
            | Self::NoMigration { .. }
            | Self::Launch(launch::Error::Placeholder { .. })
            | Self::Ended { blame: Blame::Release, .. }
            | Self::EndedAtOnce { blame: Blame::Release, .. }
            | Self::Failed { blame: Blame::Release, .. } => FaultKind::Candidate,
            _ => FaultKind::Host,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { kind: error.kind(), text: causes(&error) }
    }
}
