//! The only place where an entry of a bundle becomes a file: names are checked here, limits kept.
//!
//! Every directory on the way to an entry is opened from the one above, never through a symlink, so
//! an entry cannot lead outside of the copy even if an earlier entry was a symlink. A symlink may
//! only climb at its very beginning and only inside `files/`, so that following it at run time does
//! not lead outside either. A hard link has to name a file that this bundle made before.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::digest::check_limit;
use super::{Error, Limits};
use crate::durable::{DEPTH_MAX, open_dir, step};

/// The longest name that a file system takes, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest target of a symlink, in bytes; the kernel's own limit.
const TARGET_BYTES_MAX: usize = 4095;

/// A copy of a bundle in the making.
pub(super) struct Sink<'a> {
    root: OwnedFd,
    /// Where the bundle comes from, for errors.
    from: &'a Path,
    to: &'a Path,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
    files: HashSet<Vec<u8>>,
    written: u64,
    /// Told how many bytes of content are written.
    count_bytes: &'a mut dyn FnMut(u64),
}

impl<'a> Sink<'a> {
    /// A sink into the empty directory `to`, for the bundle `from`.
    pub(super) fn new(
        from: &'a Path,
        to: &'a Path,
        limits: &'a Limits,
        count_bytes: &'a mut dyn FnMut(u64),
    ) -> Result<Sink<'a>, Error> {
        let root = open_dir(CWD, to).map_err(|error| Error::write("open", to, error))?;
        let (entries, bytes, files, written) = (0, 0, HashSet::new(), 0);
        Ok(Sink { root, from, to, limits, entries, bytes, files, written, count_bytes })
    }

    /// Makes a directory; one that is there is as good.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<(), Error> {
        let names = self.names(path)?;
        self.enter(&names).map(drop)
    }

    /// Makes a file of exactly `size` bytes from `content`.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let names = self.names(path)?;
        let (name, above) = split(&names);
        if path == b"files" || path == b"notes" {
            return Err(self.refused(path, "it has to be a directory"));
        }
        self.bytes = self.bytes.saturating_add(size);
        check_limit(self.from, "bytes of content", self.bytes, self.limits.bytes)?;
        self.count()?;
        let dir = self.enter(above)?;
        let to = self.full(path);
        let mode = Mode::from_raw_mode(if executable { 0o555 } else { 0o444 });
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        step().map_err(|error| Error::write("create", &to, error))?;
        let file = match rustix::fs::openat(&dir, name, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => return Err(self.refused(path, "it is there twice")),
            file => File::from(file.map_err(|error| Error::write("create", &to, error))?),
        };
        self.fill(&file, path, size, content)?;
        rustix::fs::fchmod(&file, mode)
            .map_err(|error| Error::write("set the mode of", &to, error))?;
        self.files.insert(path.to_vec());
        Ok(())
    }

    fn fill(
        &mut self,
        mut file: &File,
        path: &[u8],
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let to = self.full(path);
        let mut buffer = vec![0; 128 * 1024];
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let chunk = buffer.get_mut(..want).expect("a chunk is at most the buffer");
            let count = match content.read(chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count.map_err(|error| Error::read(&self.source(path), error))?,
            };
            if count == 0 {
                let error = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it ends {left} bytes before its {size} bytes"),
                );
                return Err(Error::read(&self.source(path), error));
            }
            let chunk = chunk.get(..count).expect("a read fills at most the chunk");
            step()
                .and_then(|()| io::Write::write_all(&mut file, chunk))
                .map_err(|error| Error::write("write", &to, error))?;
            let count = u64::try_from(count).expect("a chunk length fits");
            left -= count;
            self.written += count;
            (self.count_bytes)(self.written);
        }
        Ok(())
    }

    /// Makes a symlink.
    pub(super) fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let names = self.names(path)?;
        let (name, above) = split(&names);
        self.check_target(path, above.len(), target)?;
        self.count()?;
        let dir = self.enter(above)?;
        let to = self.full(path);
        step().map_err(|error| Error::write("create", &to, error))?;
        match rustix::fs::symlinkat(target, &dir, name) {
            Err(Errno::EXIST) => Err(self.refused(path, "it is there twice")),
            made => made.map_err(|error| Error::write("create", &to, error)),
        }
    }

    /// Makes a further name of a file that was made before.
    pub(super) fn hard_link(&mut self, path: &[u8], first: &[u8]) -> Result<(), Error> {
        let names = self.names(path)?;
        let (name, above) = split(&names);
        let first = first.strip_prefix(b"./").unwrap_or(first);
        if !self.files.contains(first) {
            return Err(self.refused(path, "it is a hard link to nothing in this bundle"));
        }
        self.count()?;
        let dir = self.enter(above)?;
        let first_names = self.names(first)?;
        let (first_name, first_above) = split(&first_names);
        let first_dir = self.enter(first_above)?;
        let to = self.full(path);
        step().map_err(|error| Error::write("link", &to, error))?;
        match rustix::fs::linkat(&first_dir, first_name, &dir, name, AtFlags::empty()) {
            Err(Errno::EXIST) => return Err(self.refused(path, "it is there twice")),
            made => made.map_err(|error| Error::write("link", &to, error))?,
        }
        self.files.insert(path.to_vec());
        Ok(())
    }

    /// An error about an entry of the bundle.
    pub(super) fn refused(&self, path: &[u8], why: impl Into<String>) -> Error {
        Error::refused(&self.source(path), why)
    }

    fn source(&self, path: &[u8]) -> PathBuf {
        self.from.join(OsStr::from_bytes(path))
    }

    fn full(&self, path: &[u8]) -> PathBuf {
        self.to.join(OsStr::from_bytes(path))
    }

    fn count(&mut self) -> Result<(), Error> {
        self.entries += 1;
        check_limit(self.from, "entries", self.entries, self.limits.entries)
    }

    /// The plain names of a path, if it has a place in a bundle.
    fn names<'p>(&self, path: &'p [u8]) -> Result<Vec<&'p OsStr>, Error> {
        if path.len() > self.limits.path_bytes {
            let limit = u64::try_from(self.limits.path_bytes).unwrap_or(u64::MAX);
            let short = path.get(..80).unwrap_or(path);
            return Err(Error::Limit { path: self.source(short), what: "bytes of path", limit });
        }
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        for name in &names {
            if name.is_empty() || *name == b"." || *name == b".." || name.contains(&0) {
                return Err(self.refused(path, "a path is plain names joined by `/`"));
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(self.refused(path, "a name has more than 255 bytes"));
            }
        }
        if names.len() > DEPTH_MAX {
            return Err(self.refused(path, format!("it lies deeper than {DEPTH_MAX}")));
        }
        let placed = matches!(
            names.as_slice(),
            [b"files" | b"notes", ..] | [b"release.toml" | b"release.toml.minisig"]
        );
        if !placed {
            return Err(self.refused(
                path,
                "a bundle holds release.toml, release.toml.minisig, files/ and notes/ only",
            ));
        }
        Ok(names.into_iter().map(OsStr::from_bytes).collect())
    }

    /// A target may climb with `..` at its beginning, no higher than `files/`, and then go down.
    fn check_target(&self, path: &[u8], depth: usize, target: &[u8]) -> Result<(), Error> {
        let mut names = target.split(|byte| *byte == b'/').filter(|name| *name != b".").peekable();
        let mut climbed = 0;
        while names.next_if(|name| *name == b"..").is_some() {
            climbed += 1;
        }
        let down = names.all(|name| !name.is_empty() && name != b"..");
        let inside = path.starts_with(b"files/") && climbed < depth;
        if !down || !inside || target.is_empty() || target.len() > TARGET_BYTES_MAX {
            return Err(self.refused(
                path,
                "a symlink lies in files/ and its target is relative, climbs only at its \
                 beginning and stays in files/",
            ));
        }
        Ok(())
    }

    /// Opens a directory of the copy, making what is missing on the way.
    fn enter(&mut self, names: &[&OsStr]) -> Result<OwnedFd, Error> {
        let mut dir =
            self.root.try_clone().map_err(|error| Error::write("open", self.to, error))?;
        let mut path = PathBuf::new();
        for name in names {
            path.push(name);
            let full = self.to.join(&path);
            let below = match open_dir(dir.as_fd(), *name) {
                Err(Errno::NOENT) => {
                    self.count()?;
                    step()
                        .and_then(|()| Ok(rustix::fs::mkdirat(&dir, *name, Mode::RWXU)?))
                        .map_err(|error| Error::write("create directory", &full, error))?;
                    open_dir(dir.as_fd(), *name)
                }
                below => below,
            };
            dir = match below {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let path = path.as_os_str().as_bytes();
                    return Err(self.refused(path, "it is a directory and something else"));
                }
                below => below.map_err(|error| Error::write("open", &full, error))?,
            };
        }
        Ok(dir)
    }
}

fn split<'n, 'p>(names: &'n [&'p OsStr]) -> (&'p OsStr, &'n [&'p OsStr]) {
    match names.split_last() {
        Some((name, above)) => (name, above),
        None => (OsStr::new("."), &[]),
    }
}
