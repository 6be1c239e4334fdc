//! A directory of a real file system.
//!
//! Symbolic links are never followed: what lies in a recording is evidence, and a link would make
//! it somebody else's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Entry, SegmentFile, Source, Storage};

/// A directory.
#[derive(Debug, Clone)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// The directory at `dir`, which may not be there yet.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed());
    options
}

/// Reads from a file that is no link.
pub(super) fn read_at(path: &Path, at: u64, to: &mut [u8]) -> io::Result<usize> {
    read_on(&mut None, path, at, to)
}

/// The same from a file that is opened when there is none yet.
pub(super) fn read_on(
    kept: &mut Option<File>,
    path: &Path,
    at: u64,
    to: &mut [u8],
) -> io::Result<usize> {
    let file = match kept {
        Some(file) => file,
        None => kept.insert(options().read(true).open(path)?),
    };
    if to.len() >= LARGE
        && let Some(zeros) = zeros_at(file, at)?
    {
        let len = usize::try_from(zeros).unwrap_or(usize::MAX).min(to.len());
        to.get_mut(..len).unwrap_or_default().fill(0);
        return Ok(len);
    }
    file.read_at(to, at)
}

/// Reads of at least so many bytes ask first whether there is anything to read.
const LARGE: usize = 256 << 10;

/// How many zeros stand at an offset where nothing was ever written. The kernel would make a page
/// of memory for every 4 KiB of them, which takes longer than all the rest.
fn zeros_at(file: &File, at: u64) -> io::Result<Option<u64>> {
    let end = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => file.metadata()?.len(),
        // Not every file system can tell.
        Err(_) => return Ok(None),
    };
    Ok(end.checked_sub(at).filter(|zeros| *zeros > 0))
}

impl Source for Disk {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let name = entry.file_name().into_string().ok();
            let data = match entry.metadata() {
                Ok(data) => data,
                // It went while we looked, as the oldest segment does.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(name.map(|name| Entry { name, len: data.len(), regular: data.is_file() }))
        };
        fs::read_dir(&self.dir)?.map(entry).filter_map(Result::transpose).collect()
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        read_at(&self.dir.join(name), at, to)
    }

    fn read_on(
        &self,
        kept: &mut Option<File>,
        name: &str,
        at: u64,
        to: &mut [u8],
    ) -> io::Result<usize> {
        read_on(kept, &self.dir.join(name), at, to)
    }
}

impl Storage for Disk {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        options().append(true).create_new(true).mode(0o640).open(self.dir.join(name))
    }

    fn reopen(&mut self, name: &str, len: u64) -> io::Result<File> {
        let file = options().append(true).open(self.dir.join(name))?;
        if file.metadata()?.len() > len {
            file.set_len(len)?;
        }
        Ok(file)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::rename(self.dir.join(from), self.dir.join(to))?;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

impl SegmentFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_holes_reads_as_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        for (at, byte) in [(0, 1), (3 << 20, 2), ((7 << 20) + 5, 3)] {
            file.write_all_at(&[byte; 100], at).unwrap();
        }
        file.set_len(9 << 20).unwrap();
        let (whole, mut read) = (fs::read(&path).unwrap(), Vec::new());
        let mut piece = vec![0xff; LARGE + 1];
        let disk = Disk::new(dir.path());
        loop {
            piece.fill(0xff);
            let at = u64::try_from(read.len()).unwrap();
            match disk.read_at("sparse", at, &mut piece).unwrap() {
                0 => break,
                arrived => read.extend_from_slice(&piece[..arrived]),
            }
        }
        assert!(read == whole);
        assert_eq!(disk.read_at("sparse", 100 << 20, &mut piece).unwrap(), 0);
    }
}
