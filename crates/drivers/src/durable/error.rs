//! How a durable write fails.

use std::io;
use std::path::{Path, PathBuf};

/// What the caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No room or no quota left: free the ballast, or wait for a person.
    Full,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The disk failed, or something nobody foresaw.
    Io,
    /// We may not.
    Denied,
    /// A file or directory that has to be there is not.
    Missing,
}

impl Kind {
    /// The kind of a bare I/O error.
    pub fn of(error: &io::Error) -> Kind {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
            io::ErrorKind::ReadOnlyFilesystem => Kind::ReadOnly,
            io::ErrorKind::PermissionDenied => Kind::Denied,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Missing,
            _ => Kind::Io,
        }
    }
}

/// A durable write, or a part of one, that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The new content never took the place of the old one; the temporary file was given up.
    #[error("cannot {doing} {} for {}, which is unchanged ({})", temp.display(), path.display(),
        if *removed { "the temporary file was removed" } else { "the temporary file was left" })]
    Temp {
        /// What failed: `create`, `write`, `sync`, …
        doing: &'static str,
        /// The temporary file.
        temp: PathBuf,
        /// The file that was to be written.
        path: PathBuf,
        /// Whether the temporary file is gone; if not, [`super::sweep`] removes it.
        removed: bool,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The value has no JSON form.
    #[error("cannot turn the content of {} into JSON", path.display())]
    Json {
        /// The file that was to be written.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A step with one path.
    #[error("cannot {doing} {}", path.display())]
    Path {
        /// What failed: `sync directory`, `remove`, …
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step with two paths.
    #[error("cannot {doing} {} and {}", from.display(), to.display())]
    Pair {
        /// What failed: `rename`, `exchange`, …
        doing: &'static str,
        /// The first path, where a rename starts.
        from: PathBuf,
        /// The second path, where a rename ends.
        to: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A tree is deeper than [`super::DEPTH_MAX`].
    #[error("{} lies {depth} directories deep, the limit is {limit}", path.display())]
    Depth {
        /// The directory that was not entered.
        path: PathBuf,
        /// Its depth.
        depth: usize,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// What the caller decides by.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Temp { source, .. }
            | Error::Path { source, .. }
            | Error::Pair { source, .. } => Kind::of(source),
            Error::Json { .. } | Error::Depth { .. } => Kind::Io,
        }
    }

    pub(crate) fn path(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::Path { doing, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn pair(
        doing: &'static str,
        from: &Path,
        to: &Path,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::Pair { doing, from: from.to_owned(), to: to.to_owned(), source: source.into() }
    }
}
