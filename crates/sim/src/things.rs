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
    /// Rows written by a release since its data was last brought back, by version.
    pub rows: BTreeMap<String, Vec<String>>,
    /// Rows that were taken back, and by which update.
    pub taken_back: (String, Vec<String>),
    /// Migrations that ran to their end on the live data, since the last restore.
    pub migrations: u32,
}
