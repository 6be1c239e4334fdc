//! Kernel locks on files, which die with the process that holds them.
//!
//! Asking whether a lock is held means taking it for a moment, shared. Whoever wants it for good
//! therefore tries more than once.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;

/// Time between two tries for a lock, or two looks at a state.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// A lock that is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock for this process alone, trying for `patience`.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| Error::file("open", path, source))?;
        let started = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::WOULDBLOCK) if started.elapsed() < patience => {
                    std::thread::sleep(TICK);
                }
                Err(Errno::WOULDBLOCK) => {
                    let waited_ms = started.elapsed().as_millis();
                    return Err(Error::Locked { path: path.into(), waited_ms });
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::file("lock", path, errno.into())),
            }
        }
    }
}

impl Lock {
    /// The same lock for a process that is about to be started: it is free only when both have let
    /// go of it, or one of them said [`release`].
    pub(super) fn share(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }
}

/// Releases a lock that was shared with this process, for all who hold it.
pub(super) fn release(file: impl AsFd) {
    // Not a lock at all if a person started the keeper by hand.
    flock(file, FlockOperation::Unlock).ok();
}

/// Whether anybody holds the lock; a missing file is held by nobody.
pub(super) fn is_held(path: &Path) -> Result<bool, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::file("open", path, error)),
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(false),
            Err(Errno::WOULDBLOCK) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::file("lock", path, errno.into())),
        }
    }
}
