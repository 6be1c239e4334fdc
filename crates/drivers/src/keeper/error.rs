//! What can go wrong around a keeper.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::durable;

/// What can go wrong around a keeper. That the app itself could not be started is no error here: it
/// is recorded as [`crate::keeper::Outcome::NotStarted`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file of the run failed.
    #[error("cannot {doing} {path}")]
    File {
        /// The verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A call that concerns no file failed.
    #[error("cannot {doing}")]
    System {
        /// What was to be done.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something could not be made durable.
    #[error("cannot record {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: durable::Error,
    },
    /// A file of the run does not parse.
    #[error("cannot read {path} as a record of a run")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file of the run has a version that this build does not know.
    #[error("{path} has schema {found}, this build knows {known}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// Found in the file.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// A file of the run is larger than any we write.
    #[error("{path} has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The spec asks for something that cannot be.
    #[error("the run's {field} is {value:?}: {why}")]
    Spec {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The user or group to run as is not known here, or we may not become it.
    #[error("cannot run the app as {name:?}: {why}")]
    User {
        /// The name as configured.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// Somebody else holds a lock.
    #[error("{path} is locked by another process, waited {waited_ms} ms")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited_ms: u128,
    },
    /// The directory already had a run.
    #[error("{path} exists: this attempt was run before, and is never run twice")]
    Used {
        /// The record that was found.
        path: PathBuf,
    },
    /// The directory belongs to another run.
    #[error("{path} is of the run {found}, not of {wanted}")]
    OtherRun {
        /// The record that was found.
        path: PathBuf,
        /// The run it names.
        found: String,
        /// The run that was asked for.
        wanted: String,
    },
    /// The keeper ended before the start was done.
    #[error("the keeper of {dir} ended before the start was done; it said {said:?}")]
    KeeperEnded {
        /// The run's directory.
        dir: PathBuf,
        /// The end of what it said.
        said: String,
    },
    /// The start took too long; everything of it was killed.
    #[error("the run in {dir} was not ready after {waited_ms} ms")]
    NotReady {
        /// The run's directory.
        dir: PathBuf,
        /// How long was waited.
        waited_ms: u128,
    },
    /// Something of the run is still there although all of it was killed.
    #[error("the run in {dir} is still there after {waited_ms} ms, processes {pids:?}")]
    NotStopped {
        /// The run's directory.
        dir: PathBuf,
        /// How long was waited.
        waited_ms: u128,
        /// What was seen last; empty if only the lock is still held.
        pids: Vec<i32>,
    },
    /// More runs than we ever keep.
    #[error("{dir} has more than {limit} runs")]
    TooManyRuns {
        /// The app's directory.
        dir: PathBuf,
        /// Runs allowed.
        limit: usize,
    },
}

impl Error {
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { doing, path: path.into(), source }
    }

    pub(super) fn system(doing: &'static str, source: impl Into<io::Error>) -> Self {
        Self::System { doing, source: source.into() }
    }
}

/// The error and its sources on one line, for a process that has no other printer.
pub(super) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Writing to a string cannot fail.
        write!(text, ": {source}").ok();
        next = source.source();
    }
    text
}
