//! A ring in a file of a tmpfs, which outlives its producer and its consumer.
//!
//! The recorder makes the file and only ever reads and writes it, so that no producer can hurt it;
//! the producer maps it. Whoever truncates the file kills the producer with SIGBUS: the directory
//! belongs to the recorder, and its files to those who are trusted not to.

#[expect(unsafe_code, reason = "mapped memory can only be reached through a pointer")]
mod map;
mod trust;

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};

use super::consumer::Consumer;
use super::item::{Damage, Look};
use super::layout::{CRITICAL, Fixed, HEADER_LEN, at, capacity_for};
use super::process::started;
use super::producer::{NotUsable, Producer};

pub use map::Map;
pub use trust::{Trusted, attach_trusted};

/// A ring's file, as its consumer uses it.
#[derive(Debug)]
pub struct RingFile(File);

/// How a ring is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes for entries at least; taken up to a power of two within the bounds.
    pub bytes: usize,
    /// Whether it is drained before all others.
    pub critical: bool,
    /// Unlike that of any ring which had this name; 0 is taken for 1.
    pub generation: u32,
}

/// Why a ring cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The file system refuses.
    #[error("cannot {doing} the ring {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// It has a producer.
    #[error("the ring {path} has a producer")]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// It belongs to somebody, or may be written to by somebody, who is not trusted.
    #[error(
        "the ring {path} of user {owner} and group {group} with mode {mode:04o} is not trusted"
    )]
    NotTrusted {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its group.
        group: u32,
        /// Who may do what with it.
        mode: u32,
    },
    /// It is no ring, or one that was damaged.
    #[error("{path} takes no producer")]
    NotUsable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: NotUsable,
    },
    /// Nothing can be taken out of it.
    #[error("nothing can be taken out of the ring {path}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Damage,
    },
}

impl RingError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// Opens a regular file, without waiting for what a pipe would wait for.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let regular = file.metadata()?.is_file();
    regular.then_some(file).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Makes a ring at `path`, where nothing may be, and consumes it.
///
/// # Errors
///
/// The file cannot be made; nothing is left of it then.
pub fn create(path: &Path, options: Options) -> Result<Consumer<RingFile>, RingError> {
    let flags = if options.critical { CRITICAL } else { 0 };
    let capacity = capacity_for(options.bytes);
    let fixed = Fixed { flags, generation: options.generation.max(1), capacity };
    // Under its own name it is whole from the first moment on.
    let aside = path.with_extension("new");
    let make = || {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(true).mode(0o600);
        open.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = open.open(&aside)?;
        // Whoever may use it is said here and not by the process's mask.
        file.set_permissions(Permissions::from_mode(0o660))?;
        // With all its memory: a full tmpfs would kill the producer at a write.
        fallocate(&file, FallocateFlags::empty(), 0, HEADER_LEN + capacity)?;
        file.write_all_at(&fixed.encode(), 0)?;
        file.write_all_at(&u64::MAX.to_le_bytes(), at::TAIL_CHECK)?;
        std::fs::hard_link(&aside, path)?;
        Ok(file)
    };
    let made = make();
    // It is not there where it could not be made.
    std::fs::remove_file(&aside).ok();
    let file = made.map_err(RingError::io("make", path))?;
    consume(file, path)
}

/// Consumes the ring at `path`, which an earlier consumer may have left.
///
/// # Errors
///
/// The file cannot be opened, or nothing can be taken out of it.
pub fn open_existing(path: &Path) -> Result<Consumer<RingFile>, RingError> {
    consume(open(path).map_err(RingError::io("open", path))?, path)
}

fn consume(file: File, path: &Path) -> Result<Consumer<RingFile>, RingError> {
    let damaged = |source| RingError::Damaged { path: path.to_owned(), source };
    Consumer::new(RingFile(file)).map_err(damaged)
}

/// Produces into the ring at `path`, where the last producer ended. Only one at a time may: a lock
/// on the file says so, and goes with the process.
///
/// # Errors
///
/// The file cannot be opened, is no ring, or has a producer.
pub fn attach(path: &Path) -> Result<Producer<Map>, RingError> {
    attach_file(open(path).map_err(RingError::io("open", path))?, path)
}

fn attach_file(file: File, path: &Path) -> Result<Producer<Map>, RingError> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(RingError::Busy { path: path.to_owned() });
        }
        Err(error) => return Err(RingError::io("lock", path)(error.into())),
    }
    let pid = u64::from(std::process::id());
    let start = started(pid).map_err(RingError::io("attach to", path))?.unwrap_or(0);
    let not_usable = |source| RingError::NotUsable { path: path.to_owned(), source };
    let map = Map::new(file).map_err(RingError::io("map", path))?;
    let map = map.ok_or_else(|| not_usable(NotUsable::Header))?;
    Producer::new(map, pid, start).map_err(not_usable)
}

impl Consumer<RingFile> {
    /// Whether the process that attached last is gone without having said so.
    ///
    /// # Errors
    ///
    /// That cannot be found out.
    pub fn producer_died(&self) -> io::Result<bool> {
        let source = self.source();
        if !source.attached || started(source.pid)? == Some(source.start) {
            return Ok(false);
        }
        // In a container a process has other numbers; its lock is the same.
        self.look().has_no_producer()
    }
}

impl RingFile {
    fn has_no_producer(&self) -> io::Result<bool> {
        // Shared, so that two who look do not hide a producer from each other.
        match flock(&self.0, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                flock(&self.0, FlockOperation::Unlock)?;
                Ok(true)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Look for RingFile {
    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(to, at)
    }

    fn write(&self, at: u64, words: &[u64]) -> io::Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.0.write_all_at(&bytes, at)
    }
}
