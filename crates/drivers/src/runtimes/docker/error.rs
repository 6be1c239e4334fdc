//! What can go wrong with an app's containers.

use std::io;
use std::path::PathBuf;

use groundcrew_engine::noun::{Digest, Fault, FaultKind};

use super::api;
use crate::causes::causes;
use crate::durable;

/// Who is to blame for the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    Release,
    Host,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error("cannot read {}", path.display())]
    ReadRecord {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} says nothing that is understood; remove it, and the app is taken as it runs", path.display())]
    ParseRecord {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} has version {found}, known is {known}; use the groundcrew that wrote it", path.display())]
    RecordSchema { path: PathBuf, found: u32, known: u32 },
    #[error("cannot write down what is done to the app's containers")]
    WriteRecord(#[source] durable::Error),
    #[error("there is no container {name:?}; make it once by hand as the app is to run")]
    NoContainer { name: String },
    #[error(
        "container {name:?} is removed by the engine as soon as it ends (--rm), so that there would be no \
         way back; make it without"
    )]
    AutoRemove { name: String },
    #[error("the image of release {digest} is not here; it was removed since it was fetched")]
    NoImage { digest: Digest },
    #[error("container {name:?} is of release {found}, expected {wanted}")]
    Place { name: String, found: String, wanted: Digest },
    #[error("{name} runs already; nothing else of the app may run beside it")]
    Other { name: String },
    #[error("{count} containers of the app run: {names}; only one may")]
    Several { count: usize, names: String },
    #[error("{run} was started before and ended: {how}")]
    Ended { run: String, how: String, blame: Blame },
    #[error("the engine cannot start it: {said}")]
    NotStarted { said: String, blame: Blame },
    #[error("it ended as soon as it was started: {how}{}", quoted(said))]
    EndedAtOnce { how: String, blame: Blame, said: String },
    #[error("container {name:?} still runs {waited_ms} ms after it was killed")]
    StillRuns { name: String, waited_ms: u128 },
    #[error("{what} failed: exit code {code}{}", quoted(said))]
    Failed { what: String, code: i64, said: String },
    #[error("{what} was not done after {timeout_ms} ms{}", quoted(said))]
    TimedOut { what: String, timeout_ms: u64, said: String },
    #[error("the image has no label {label}, which names the command of its migration")]
    NoMigration { label: &'static str },
    #[error("the image's label {label} is {value:?}, expected a JSON list of words")]
    Command { label: &'static str, value: String },
    #[error("the engine's answer has no {member}")]
    Incomplete { member: &'static str },
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; its output ends with:\n{said}") }
}

impl Error {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Ended { blame: Blame::Release, .. }
            | Self::NotStarted { blame: Blame::Release, .. }
            | Self::EndedAtOnce { blame: Blame::Release, .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::NoMigration { .. }
            | Self::Command { .. } => FaultKind::Candidate,
            _ => FaultKind::Host,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { kind: error.kind(), text: causes(&error) }
    }
}
