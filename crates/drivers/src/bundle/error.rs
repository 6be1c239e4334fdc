//! How reading, checking or unpacking a bundle fails.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable;

/// What the caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The source is not there, cannot be read or is not whole; it may be tomorrow.
    Unreachable,
    /// The bundle must not be taken; it will not get better until it changes.
    Refused,
    /// This host failed: no room, a read-only or broken disk.
    Host,
}

/// A bundle that cannot be read, must not be taken, or could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the source cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The copy cannot be written, or read back.
    #[error("cannot {doing} {}", path.display())]
    Write {
        /// What failed.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A durable write failed.
    #[error("cannot {doing}")]
    Durable {
        /// What it was for.
        doing: &'static str,
        /// Why.
        #[source]
        source: durable::Error,
    },
    /// A TOML file says something that we do not understand.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A file was written for another version of groundcrew.
    #[error("{} has schema {found}, this groundcrew reads schema {expected}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: i64,
        /// What we read.
        expected: u32,
    },
    /// Something is not what somebody said that it is.
    #[error("{}: {what} is {found}, expected {expected}", path.display())]
    Mismatch {
        /// The file or directory.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Something in a bundle that we do not take.
    #[error("{} is refused: {why}", path.display())]
    Refused {
        /// The file, or the bundle and the name in it.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A limit was passed.
    #[error("{} has more than {limit} {what}", path.display())]
    Limit {
        /// The bundle or the file.
        path: PathBuf,
        /// What is limited, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A signature is missing, malformed or wrong.
    #[error("the signature of {} does not hold for the key {}: {why}", path.display(), key.display())]
    Signature {
        /// What was signed.
        path: PathBuf,
        /// The public key's file.
        key: PathBuf,
        /// Why not.
        why: String,
    },
}

impl Error {
    /// What the caller decides by.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Read { .. } => Kind::Unreachable,
            Error::Write { .. } | Error::Durable { .. } => Kind::Host,
            Error::Toml { .. }
            | Error::Schema { .. }
            | Error::Mismatch { .. }
            | Error::Refused { .. }
            | Error::Limit { .. }
            | Error::Signature { .. } => Kind::Refused,
        }
    }

    /// The same of the original, where what is wrong with a copy was already wrong there.
    pub(super) fn of_original(mut self, copy: &Path, original: &Path) -> Error {
        match &mut self {
            // What cannot be read or written is the copy itself.
            Error::Read { .. } | Error::Write { .. } | Error::Durable { .. } => {}
            Error::Toml { path, .. }
            | Error::Schema { path, .. }
            | Error::Mismatch { path, .. }
            | Error::Refused { path, .. }
            | Error::Limit { path, .. }
            | Error::Signature { path, .. } => {
                if let Ok(below) = path.strip_prefix(copy) {
                    *path = original.join(below);
                }
            }
        }
        self
    }

    pub(super) fn read(path: &Path, source: impl Into<io::Error>) -> Error {
        Error::Read { path: path.to_owned(), source: source.into() }
    }

    pub(super) fn write(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::Write { doing, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn refused(path: &Path, why: impl Into<String>) -> Error {
        Error::Refused { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn durable(doing: &'static str) -> impl Fn(durable::Error) -> Error {
        move |source| Error::Durable { doing, source }
    }
}

/// Fails if `found` is not `expected`.
pub(super) fn same(
    path: &Path,
    what: &'static str,
    found: &str,
    expected: &str,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_owned(), expected.to_owned());
    Err(Error::Mismatch { path: path.to_owned(), what, found, expected })
}
