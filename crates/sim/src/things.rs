//! What lies on the simulated machine, and the book that is kept of what really happened.

use std::collections::BTreeMap;

use groundcrew_engine::noun::Digest;

/// The data of one volume, line by line.
pub type Lines = Vec<String>;

/// A directory: its identity and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its inode.
    pub ino: u64,
    /// What is in it.
    pub lines: Lines,
}

/// A copy of the volumes.
#[derive(Clone, Debug)]
pub struct Copy {
    /// It was renamed from its partial name.
    pub complete: bool,
    /// Volumes; `None`: absent when it was taken.
    pub volumes: BTreeMap<String, Option<Lines>>,
}

/// A start that was recorded durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The release.
    pub digest: Digest,
    /// How it ended, if it did.
    pub ended: Option<String>,
    /// Ticks it has lived.
    pub age: u32,
}

/// What really happened.
#[derive(Debug, Default)]
pub struct Truth {
    /// Broken promises, in words.
    pub violations: Vec<String>,
    /// What belongs into the live data.
    pub book: Book,
    /// What belonged into it when each copy was taken.
    pub at_copy: BTreeMap<String, Book>,
    /// Rows that were taken back, and by which update.
    pub taken_back: (String, Vec<String>),
}

/// What belongs into an app's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Rows by the version that wrote them.
    pub rows: BTreeMap<String, Vec<String>>,
    /// Versions whose migration ran to its end and was not undone.
    pub migrated: Vec<String>,
}
