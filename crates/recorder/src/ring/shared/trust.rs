//! Which ring a producer gives its records, and its memory, to.
//!
//! Whoever may truncate the file can kill its producer, so a producer with more rights than others
//! asks whose it is first.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Map, RingError, attach_file, open};
use crate::ring::Producer;

/// Permission for the group to write.
const GROUP_WRITES: u32 = 0o020;
/// Permission for everybody to write.
const ANYBODY_WRITES: u32 = 0o002;

/// Who may do to a ring what its producer could not survive.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// Users that may own it.
    pub users: &'a [u32],
    /// Groups that may write to it.
    pub groups: &'a [u32],
}

/// As [`attach`](super::attach), but refuses a ring of whose owner or writers one is not trusted.
///
/// # Errors
///
/// As `attach`, or it is not to be trusted.
pub fn attach_trusted(path: &Path, trusted: Trusted<'_>) -> Result<Producer<Map>, RingError> {
    let file = open(path).map_err(RingError::io("open", path))?;
    // Of the file that is open, so that nobody can put another one in its place meanwhile.
    let meta = file.metadata().map_err(RingError::io("look at", path))?;
    let (owner, group, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
    let group_is_fine = mode & GROUP_WRITES == 0 || trusted.groups.contains(&group);
    if !trusted.users.contains(&owner) || !group_is_fine || mode & ANYBODY_WRITES != 0 {
        return Err(RingError::NotTrusted { path: path.to_owned(), owner, group, mode });
    }
    attach_file(file, path)
}

impl Producer<Map> {
    /// Whether what lies at `path` is this ring; a recorder may have made another one since.
    ///
    /// # Errors
    ///
    /// That cannot be found out.
    pub fn lies_at(&self, path: &Path) -> io::Result<bool> {
        let there = match std::fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let own = self.words().file().metadata()?;
        Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
    }
}
