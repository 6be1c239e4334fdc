//! Where releases come from: a directory, a registry, a git recipe.

use super::{KeepSet, Progress};
use crate::notes::NoteFile;
use crate::noun::{Digest, Fault, FaultKind, Release};

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The release that the configured channel points at.
    Channel,
    /// One version or digest that a person pinned (SRC-5).
    Pin(String),
}

/// What a source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The release, as far as metadata tells before it is fetched.
    pub release: Release,
    /// The channel's serial number.
    pub serial: Option<u64>,
    /// Release notes that can be read without fetching; `None`: only after fetching.
    pub notes: Option<Vec<NoteFile>>,
}

/// A source could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SourceError {
    /// What the engine does about it.
    pub kind: SourceErrorKind,
    /// The whole chain of causes, for people.
    pub text: String,
}

/// What the engine does about a source's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceErrorKind {
    /// Tries again later, with a growing pause: unreachable, busy, incomplete.
    Retry,
    /// Holds the candidate until it changes: wrong digest, bad signature, unreadable description.
    Refuse,
    /// The host failed: full disk, I/O error. Tries again later.
    Host,
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        let kind = match error.kind {
            SourceErrorKind::Retry => FaultKind::Elsewhere,
            SourceErrorKind::Refuse => FaultKind::Refused,
            SourceErrorKind::Host => FaultKind::Host,
        };
        Self { kind, text: error.text }
    }
}

/// A source of releases for one app.
pub trait Source {
    /// Looks without fetching. Changes nothing; may be asked at any time. `None`: the channel or
    /// the pin points at nothing.
    ///
    /// # Errors
    ///
    /// See [`SourceErrorKind`].
    fn find(&mut self, follow: &Follow) -> Result<Option<Found>, SourceError>;

    /// Brings the release here and verifies it: digest always, signature where the app asks for
    /// one, before anything is unpacked. Already here and whole: done. On return it is durable and
    /// can be started offline. What an interrupted fetch left is removed or resumed.
    ///
    /// # Errors
    ///
    /// See [`SourceErrorKind`]. Nothing that looks whole is left.
    fn fetch(
        &mut self,
        release: &Release,
        progress: &mut dyn Progress,
    ) -> Result<Release, SourceError>;

    /// Verifies that a fetched release is here, whole and unchanged (GATE-7).
    ///
    /// # Errors
    ///
    /// `Refuse`: it is missing or changed. `Host`: it could not be read.
    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError>;

    /// The notes that a fetched release carries.
    ///
    /// # Errors
    ///
    /// They could not be read; the gate waits.
    fn notes(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError>;

    /// Removes fetched releases that are not in the set and returns their digests. Doing it twice
    /// is harmless.
    ///
    /// # Errors
    ///
    /// Something could not be removed; the rest was.
    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError>;
}
