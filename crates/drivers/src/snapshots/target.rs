//! Where a tree is copied to: makes entries and gives them their attributes.
//!
//! Constraint: nobody else can reach the directory that the copy is made in (it is ours, 0700), so
//! a name made a moment ago is still the same file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Error;
use super::inode::{self, FlagBits, Inode, Xattrs};
use super::manifest::{Entry, EntryKind, EntryPath};
use super::tree::join;
use crate::durable::{open_dir, step};

/// A copy in the making.
pub(super) struct Target {
    root: PathBuf,
    /// Entries that become immutable or append-only once all links are made.
    late: Vec<(EntryPath, FlagBits)>,
}

impl Target {
    pub(super) fn new(root: &Path) -> Target {
        Target { root: root.to_owned(), late: Vec::new() }
    }

    pub(super) fn full(&self, path: &EntryPath) -> PathBuf {
        join(&self.root, path)
    }

    /// Makes an empty directory that only we can enter, and opens it.
    pub(super) fn directory(
        &self,
        above: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
    ) -> Result<OwnedFd, Error> {
        let make = || -> io::Result<OwnedFd> {
            step()?;
            rustix::fs::mkdirat(above, name, Mode::RWXU)?;
            let made = open_dir(above, name)?;
            let file = File::from(made.try_clone()?);
            inode::set_early_flags(&file, entry.flags)?;
            Ok(made)
        };
        make().map_err(|error| Error::system("create directory", &self.full(&entry.path), error))
    }

    /// Makes an empty file that only we can read, and opens it.
    pub(super) fn file(
        &self,
        above: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
    ) -> Result<File, Error> {
        let make = || -> io::Result<File> {
            step()?;
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::openat(above, name, flags, Mode::RUSR | Mode::WUSR)?);
            inode::set_early_flags(&file, entry.flags)?;
            Ok(file)
        };
        make().map_err(|error| Error::system("create", &self.full(&entry.path), error))
    }

    /// Makes a symlink, a fifo or a device node.
    pub(super) fn special(
        &self,
        above: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
    ) -> Result<(), Error> {
        let mode = Mode::RUSR | Mode::WUSR;
        let device = entry.device.map_or(0, |(major, minor)| rustix::fs::makedev(major, minor));
        let full = self.full(&entry.path);
        let kind = match entry.kind {
            EntryKind::Symlink => FileType::Symlink,
            EntryKind::Fifo => FileType::Fifo,
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            EntryKind::File | EntryKind::Directory => {
                return Err(Error::refused(&full, "it is not a special file"));
            }
        };
        step().map_err(|error| Error::system("create", &full, error))?;
        let made = match &entry.target {
            Some(target) => rustix::fs::symlinkat(target.0.as_slice(), above, name),
            None => rustix::fs::mknodat(above, name, kind, mode, device),
        };
        match made {
            Err(Errno::PERM) if entry.device.is_some() => {
                Err(Error::refused(&full, "only root can copy a device node"))
            }
            made => made.map_err(|error| Error::system("create", &full, error)),
        }
    }

    /// Makes a further name of the file first met at `first`.
    pub(super) fn link(
        &self,
        above: BorrowedFd<'_>,
        name: &OsStr,
        first: &EntryPath,
        path: &EntryPath,
    ) -> Result<(), Error> {
        let make = || -> io::Result<()> {
            let (dir, first) = self.walk_to(first)?;
            step()?;
            Ok(rustix::fs::linkat(&dir, first, above, name, AtFlags::empty())?)
        };
        make().map_err(|error| Error::system("link", &self.full(path), error))
    }

    /// Gives an entry its attributes; see the order in [`super::tree`].
    pub(super) fn finish_entry(
        &mut self,
        above: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        xattrs: &Xattrs,
    ) -> Result<(), Error> {
        let set = || -> io::Result<()> {
            step()?;
            let inode = Inode::open(above, name)?;
            if matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
                inode::set_middle_flags(&inode.read()?, entry.flags)?;
            }
            inode.set_owner(entry.uid, entry.gid)?;
            inode.set_mode(entry.mode)?;
            inode.set_xattrs(xattrs)?;
            Ok(inode.set_mtime(entry.mtime, entry.mtime_ns)?)
        };
        set().map_err(|error| {
            Error::system("set the attributes of", &self.full(&entry.path), error)
        })?;
        if inode::has_late_flags(entry.flags) {
            self.late.push((entry.path.clone(), entry.flags));
        }
        Ok(())
    }

    /// What had to wait for all links.
    pub(super) fn finish(self) -> Result<(), Error> {
        for (path, flags) in &self.late {
            let set = || -> io::Result<()> {
                let file = if path.0 == b"." {
                    Inode::open(CWD, self.root.as_os_str())?.read()?
                } else {
                    let (dir, name) = self.walk_to(path)?;
                    Inode::open(&dir, name)?.read()?
                };
                step()?;
                inode::set_late_flags(&file, *flags)
            };
            set().map_err(|error| Error::system("set the flags of", &self.full(path), error))?;
        }
        Ok(())
    }

    /// The directory that holds an entry, reached step by step (its path may be longer than the
    /// kernel takes at once), and the entry's name in it.
    fn walk_to<'p>(&self, path: &'p EntryPath) -> io::Result<(OwnedFd, &'p OsStr)> {
        let mut dir = open_dir(CWD, self.root.as_os_str())?;
        let mut names = path.0.split(|byte| *byte == b'/').map(OsStr::from_bytes).peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Ok((dir, name));
            }
            dir = open_dir(dir.as_fd(), name)?;
        }
        Err(io::Error::other("an empty path"))
    }
}
