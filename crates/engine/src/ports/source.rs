//! Where releases come from: a directory, a registry, a git recipe.

use super::{KeepSet, Progress, Silent};
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

/// Tries the promises above on a source whose channel points at a release that is not here yet.
///
/// # Panics
///
/// At the first promise that is broken.
pub fn contract(source: &mut dyn Source) {
    let found = source.find(&Follow::Channel).expect("a look succeeds");
    let found = found.expect("the channel points at a release");
    let release = found.release.clone();
    let digest = &release.digest;
    let again = source.find(&Follow::Channel).expect("a second look succeeds");
    assert_eq!(again.as_ref(), Some(&found), "a look changes nothing");
    for pin in [&release.version, &digest.0] {
        let pinned = source.find(&Follow::Pin(pin.clone())).expect("a pin is looked up");
        let pinned = pinned.map(|pinned| pinned.release);
        assert_eq!(pinned.as_ref(), Some(&release), "the pin {pin} names the release");
    }
    let nothing = source.find(&Follow::Pin("0.0.0-nobody-made-this".to_owned()));
    assert_eq!(nothing, Ok(None), "a pin that names nothing finds nothing");
    assert_refused(source.verify(digest), "a look fetches nothing");

    let mut unknown = release.clone();
    unknown.digest = Digest(format!("sha256:{}", "0".repeat(64)));
    assert!(source.fetch(&unknown, &mut Silent).is_err(), "nobody has that digest");
    assert_refused(source.verify(&unknown.digest), "nothing that looks whole is left");

    let mut steps = Steps::default();
    let fetched = source.fetch(&release, &mut steps).expect("the fetch succeeds");
    assert_eq!(&fetched.digest, digest, "what was asked for is what came");
    assert_eq!(source.verify(digest), Ok(()), "it is here, whole");
    let repeated = source.fetch(&release, &mut Silent).expect("it is here already");
    assert_eq!(repeated, fetched, "fetching twice is fetching once");
    let notes = source.notes(digest).expect("the notes of a fetched release can be read");
    assert_eq!(source.notes(digest).as_ref(), Ok(&notes), "reading changes nothing");
    if let Some(early) = found.notes {
        assert_eq!(early, notes, "the notes are the same before and after the fetch");
    }

    let mut set = KeepSet::default();
    set.releases.insert(digest.clone());
    assert_eq!(source.keep(&set), Ok(Vec::new()), "what is in the set stays");
    assert_eq!(source.verify(digest), Ok(()), "and is whole");
    let none = KeepSet::default();
    assert_eq!(source.keep(&none), Ok(vec![digest.clone()]), "what is not, goes");
    assert_refused(source.verify(digest), "it went");
    assert_eq!(source.keep(&none), Ok(Vec::new()), "removing twice is harmless");
    source.fetch(&release, &mut Silent).expect("what went can be fetched again");
    assert_eq!(source.verify(digest), Ok(()), "it is here again");
}

fn assert_refused(answer: Result<(), SourceError>, why: &str) {
    let kind = answer.err().map(|error| error.kind);
    assert_eq!(kind, Some(SourceErrorKind::Refuse), "{why}");
}

/// Progress that only grows.
#[derive(Default)]
struct Steps {
    done: u64,
}

impl Progress for Steps {
    fn at(&mut self, done: u64, total: u64) {
        assert!(done >= self.done, "progress went from {} back to {done}", self.done);
        assert!(total == 0 || done <= total, "{done} of {total} is done");
        self.done = done;
    }
}
