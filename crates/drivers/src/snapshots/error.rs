//! How a snapshot or a restore fails.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable;

/// What the caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No room left; the partial copy was removed.
    Full,
    /// The file system is read-only.
    ReadOnly,
    /// We may not read or write something; a person has to look.
    Denied,
    /// Something that has to be there is not.
    Missing,
    /// The disk failed, or something nobody foresaw.
    Io,
    /// The volume holds or is something that we do not copy; nothing was changed.
    Refused,
    /// Somebody wrote to the volume while it was copied: the app is not stopped.
    Changed,
    /// Somebody has files of the volume open for writing or mapped shared: nothing was copied.
    Held,
    /// What is on the disk is not what its manifest says.
    Corrupt,
    /// The trees in place are neither the ones before nor the ones after an exchange; nothing was
    /// touched.
    Neither,
    /// Another agent holds the lock.
    Locked,
    /// The caller asked to stop.
    Stopped,
}

/// A snapshot or a restore, or a part of one, that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("cannot {doing} {}", path.display())]
    System {
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
    /// Something is there that we do not copy, or a name that we do not take.
    #[error("{} is refused: {why}", path.display())]
    Refused {
        /// The file, directory or name.
        path: PathBuf,
        /// What is wrong with it and what a person can do.
        why: String,
    },
    /// Somebody wrote while we read.
    #[error("{} changed while it was copied: somebody still writes to the volume", path.display())]
    Changed {
        /// The file or directory.
        path: PathBuf,
    },
    /// Somebody could write at any time.
    #[error("process {pid} ({command}) has {} {how}{}", path.display(), and_others(*others))]
    Held {
        /// The file.
        path: PathBuf,
        /// Who.
        pid: u32,
        /// Its command, as the kernel shortens it.
        command: String,
        /// `open for writing` or `mapped shared`.
        how: &'static str,
        /// So many more such files were found.
        others: usize,
    },
    /// A manifest cannot be read.
    #[error("cannot read the manifest {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest contradicts itself or what was asked for.
    #[error("manifest {} says {field} {found}, expected {expected}", path.display())]
    Mismatch {
        /// The manifest.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it has to say.
        expected: String,
    },
    /// A tree is not what its manifest says.
    #[error("{} differs from its manifest in {count} entries, the first: {first}", tree.display())]
    Differs {
        /// The tree.
        tree: PathBuf,
        /// How many entries differ.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Neither before nor after the exchange.
    #[error("{} holds inode {live}, the tree built for it at {} is inode {built}: neither the state \
        before the exchange ({expected}) nor after it", path.display(), built_path.display())]
    Neither {
        /// Where the app looks.
        path: PathBuf,
        /// Where the restored tree was built.
        built_path: PathBuf,
        /// The inode at `path`, or `none`.
        live: String,
        /// The inode at `built_path`, or `none`.
        built: String,
        /// What the intent recorded.
        expected: String,
    },
    /// Another agent has the lock.
    #[error(
        "{} is held by {holder}: another groundcrew looks after this volume; end it, or use its state \
         directory", path.display()
    )]
    Locked {
        /// The lock.
        path: PathBuf,
        /// What the holder wrote into it.
        holder: String,
    },
    /// The caller's [`super::Progress`] asked to stop.
    #[error("the copy of {} was stopped on request", path.display())]
    Stopped {
        /// Where the copy was.
        path: PathBuf,
    },
}

impl Error {
    /// What the caller decides by.
    pub fn kind(&self) -> Kind {
        match self {
            Error::System { source, .. } => durable::Kind::of(source).into(),
            Error::Durable { source, .. } => source.kind().into(),
            Error::Refused { .. } => Kind::Refused,
            Error::Changed { .. } => Kind::Changed,
            Error::Held { .. } => Kind::Held,
            Error::Manifest { .. } | Error::Mismatch { .. } | Error::Differs { .. } => {
                Kind::Corrupt
            }
            Error::Neither { .. } => Kind::Neither,
            Error::Locked { .. } => Kind::Locked,
            Error::Stopped { .. } => Kind::Stopped,
        }
    }

    pub(super) fn system(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::System { doing, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn refused(path: &Path, why: impl Into<String>) -> Error {
        Error::Refused { path: path.to_owned(), why: why.into() }
    }

    /// For `map_err` on a durable write.
    pub(super) fn durable(doing: &'static str) -> impl Fn(durable::Error) -> Error {
        move |source| Error::Durable { doing, source }
    }
}

fn and_others(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", and {others} more are held") }
}

impl From<durable::Kind> for Kind {
    fn from(kind: durable::Kind) -> Kind {
        match kind {
            durable::Kind::Full => Kind::Full,
            durable::Kind::ReadOnly => Kind::ReadOnly,
            durable::Kind::Io => Kind::Io,
            durable::Kind::Denied => Kind::Denied,
            durable::Kind::Missing => Kind::Missing,
        }
    }
}
