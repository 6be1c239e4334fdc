//! What the recorder asks of a file system, so that one which loses, tears and refuses runs the
//! same code as a real one.
//!
//! What is written is durable after [`SegmentFile::sync`] said yes, and what a file is called
//! after [`Storage::sync_dir`] did. Whoever implements this may lose anything else in a crash.

mod disk;
mod files;

use std::fs::File;
use std::io;

pub use disk::Disk;
pub use files::{BadFiles, Files};

/// A file as it lies in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length, bytes.
    pub len: u64,
    /// Whether it is a regular file; nothing else is ever opened.
    pub regular: bool,
}

/// A directory with a flight's segments, for reading.
pub trait Source {
    /// What is in it, in any order; a directory that is not there is an error.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<Entry>>;

    /// Reads from `at` on; 0 bytes are the end.
    ///
    /// # Errors
    ///
    /// The file is not there, or cannot be read.
    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize>;

    /// The same for whoever reads a file from one end to the other: where it is a file of the
    /// system's, it is opened once and `kept`. One that is removed meanwhile is read to its end.
    ///
    /// # Errors
    ///
    /// The file is not there, or cannot be read.
    fn read_on(
        &self,
        _kept: &mut Option<File>,
        name: &str,
        at: u64,
        to: &mut [u8],
    ) -> io::Result<usize> {
        self.read_at(name, at, to)
    }
}

/// A directory with a flight's segments, for writing.
pub trait Storage: Source {
    /// A file that is being written.
    type File: SegmentFile;

    /// A new, empty file; one that is there already is an error.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// A file that is there, to be written on behind its first `len` bytes, which stay.
    ///
    /// # Errors
    ///
    /// It cannot be opened or cut.
    fn reopen(&mut self, name: &str, len: u64) -> io::Result<Self::File>;

    /// Gives a file another name, in place of what has that name.
    ///
    /// # Errors
    ///
    /// It cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes durable what files are called and which there are.
    ///
    /// # Errors
    ///
    /// That is not known to be durable.
    fn sync_dir(&mut self) -> io::Result<()>;
}

/// A file that is being written.
pub trait SegmentFile {
    /// Writes at the end, maybe less than all.
    ///
    /// # Errors
    ///
    /// Nothing is known about what was written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes durable what was written.
    ///
    /// # Errors
    ///
    /// None of what was written since the last success may be on the disk, and trying again would
    /// say yes without writing it.
    fn sync(&mut self) -> io::Result<()>;
}

/// Writes all of `bytes`.
///
/// # Errors
///
/// Those of [`SegmentFile::write`], and a file that takes nothing any more.
pub(crate) fn write_all(file: &mut impl SegmentFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
