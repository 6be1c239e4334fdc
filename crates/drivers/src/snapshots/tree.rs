//! One pass over a volume: list it, hash it and, if asked, copy it with all that it is.
//!
//! Kept: regular files with their holes, directories, symlinks, hard links (also between
//! directories), fifos, device nodes (as root), owner, mode, mtime to the nanosecond, extended
//! attributes with ACLs and capabilities, inode flags. Space that was allocated and never written
//! need not stay allocated. Sockets are left out with a remark. Refused by name, before anything
//! of it is read: a mount or a subvolume below the volume, our own `.groundcrew` below it, a tree
//! that is too deep or too large.
//!
//! Nothing is reached through a symlink: the walk goes from directory handle to directory handle,
//! and every file is looked at and read through one handle ([`super::inode`]). A file or directory
//! that changes while it is read is an error: the app is supposed to be stopped.
//!
//! Order of the copy of a file: flags that must come first, content, owner, mode, extended
//! attributes (each of them may undo the ones after it), mtime. A directory's own attributes come
//! after what is in it; immutable and append-only come after the whole tree, since they forbid
//! further links.
//!
//! The copy is not durable when it returns; the caller syncs the file system once.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Statx};

use super::content::{Failure, copy_content};
use super::inode::{self, Inode, Xattrs};
use super::manifest::{Difference, ENTRIES_MAX, Entry, EntryKind, EntryPath, Manifest, Remark};
use super::target::Target;
use super::{AREA_NAME, Error};
use crate::durable::{DEPTH_MAX, names, os_str};

/// Told how a copy or a check advances; may end it.
pub trait Progress {
    /// So many more entries and bytes are done. `Break` ends the work with [`Error::Stopped`].
    fn advance(&mut self, entries: u64, bytes: u64) -> ControlFlow<()>;
}

/// Nobody looks.
impl Progress for () {
    fn advance(&mut self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Copies the tree `from` to `to`, where nothing is yet, and says what it consists of.
///
/// Not durable on return. After an error it is the caller who removes what is at `to`.
///
/// # Errors
/// See [`Error::kind`]: `Refused`, `Changed`, `Full`, `Stopped` and those of the system.
pub fn copy_tree(from: &Path, to: &Path, progress: &mut dyn Progress) -> Result<Manifest, Error> {
    let mut walk = Walk::new(from, Some(Target::new(to)), progress);
    walk.run(Some(to))?;
    walk.finish()
}

/// Says what a tree consists of, reading every byte of it.
///
/// # Errors
/// As [`copy_tree`].
pub fn scan_tree(tree: &Path, progress: &mut dyn Progress) -> Result<Manifest, Error> {
    let mut walk = Walk::new(tree, None, progress);
    walk.run(None)?;
    walk.finish()
}

/// Every way in which `tree` is not what `manifest` says, reading every byte of it.
///
/// # Errors
/// As [`copy_tree`], if the tree cannot be read.
pub fn verify(
    tree: &Path,
    manifest: &Manifest,
    progress: &mut dyn Progress,
) -> Result<Vec<Difference>, Error> {
    Ok(manifest.differences(&scan_tree(tree, progress)?))
}

/// An inode with several names: where it was met first.
struct Linked {
    first: Entry,
    met: u32,
    names: u32,
}

/// A directory that was entered and not yet left.
struct Level {
    before: Statx,
    dir: OwnedFd,
    left: std::vec::IntoIter<CString>,
    entry: Entry,
    xattrs: Xattrs,
    /// Its copy.
    made: Option<OwnedFd>,
}

struct Walk<'a> {
    root: &'a Path,
    dev: Option<(u32, u32)>,
    target: Option<Target>,
    linked: HashMap<u64, Linked>,
    manifest: Manifest,
    progress: &'a mut dyn Progress,
}

/// Where the copy of an entry goes.
type To<'a> = Option<(BorrowedFd<'a>, &'a OsStr)>;

impl<'a> Walk<'a> {
    fn new(root: &'a Path, target: Option<Target>, progress: &'a mut dyn Progress) -> Walk<'a> {
        let (linked, manifest) = (HashMap::new(), Manifest::default());
        Walk { root, dev: None, target, linked, manifest, progress }
    }

    /// Walks the whole tree. The stack of open directories is ours and not the thread's, which may
    /// be small.
    fn run(&mut self, to: Option<&Path>) -> Result<(), Error> {
        let to = to.map(|to| (CWD, to.as_os_str()));
        let root = EntryPath(b".".to_vec());
        let mut levels: Vec<Level> = Vec::new();
        levels.extend(self.node(CWD, self.root.as_os_str(), to, root, 0)?);
        loop {
            let depth = levels.len();
            let Some(level) = levels.last_mut() else { return Ok(()) };
            let Some(name) = level.left.next() else {
                levels.pop().map_or(Ok(()), |level| self.leave(&level))?;
                continue;
            };
            let name = os_str(&name);
            let path = level.entry.path.child(name.as_bytes());
            let to = level.made.as_ref().map(|made| (made.as_fd(), name));
            let entered = self.node(level.dir.as_fd(), name, to, path, depth)?;
            levels.extend(entered);
        }
    }

    /// Takes one name; a directory is entered.
    fn node(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        to: To<'_>,
        path: EntryPath,
        depth: usize,
    ) -> Result<Option<Level>, Error> {
        let full = self.full(&path);
        let inode = Inode::open(dir, name).map_err(|error| Error::system("open", &full, error))?;
        self.refuse_foreign(&inode, &path, depth)?;
        let Some(kind) = inode.kind() else {
            self.remark(path, "is a socket and was left out");
            return Ok(None);
        };
        let xattrs = inode
            .xattrs()
            .map_err(|error| Error::system("read the extended attributes of", &full, error))?;
        let mut entry = describe(inode.stat(), kind, path, &xattrs);
        if kind == EntryKind::Directory {
            return self.enter(&inode, entry, xattrs, to).map(Some);
        }
        if self.link(&inode, &mut entry, to)? {
            return self.push(entry).map(|()| None);
        }
        match kind {
            EntryKind::File => self.file(&inode, &mut entry, &xattrs, to)?,
            EntryKind::Symlink => {
                let target = inode
                    .link_target()
                    .map_err(|error| Error::system("read the symlink", &full, error))?;
                entry.target = Some(EntryPath(target));
                self.special(&entry, &xattrs, to)?;
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                entry.device = Some((inode.stat().stx_rdev_major, inode.stat().stx_rdev_minor));
                self.special(&entry, &xattrs, to)?;
            }
            EntryKind::Fifo | EntryKind::Directory => self.special(&entry, &xattrs, to)?,
        }
        self.remember(&inode, &entry);
        self.push(entry).map(|()| None)
    }

    fn enter(
        &mut self,
        inode: &Inode,
        mut entry: Entry,
        xattrs: Xattrs,
        to: To<'_>,
    ) -> Result<Level, Error> {
        let full = self.full(&entry.path);
        let dir = inode.read().map_err(|error| Error::system("open", &full, error))?;
        entry.flags = inode::flags(&dir).map_err(|error| flags_error(&full, error))?;
        self.push(entry.clone())?;
        let made = match (to, &self.target) {
            (Some((above, name)), Some(target)) => Some(target.directory(above, name, &entry)?),
            _ => None,
        };
        let dir = OwnedFd::from(dir);
        let names = names(&dir).map_err(|error| Error::system("list", &full, error))?;
        Ok(Level { before: *inode.stat(), dir, left: names.into_iter(), entry, xattrs, made })
    }

    fn leave(&mut self, level: &Level) -> Result<(), Error> {
        self.refuse_change(&level.before, &level.dir, &self.full(&level.entry.path))?;
        if let (Some(made), Some(target)) = (&level.made, &mut self.target) {
            target.finish_entry(made.as_fd(), OsStr::new("."), &level.entry, &level.xattrs)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        inode: &Inode,
        entry: &mut Entry,
        xattrs: &Xattrs,
        to: To<'_>,
    ) -> Result<(), Error> {
        let full = self.full(&entry.path);
        let from = inode.read().map_err(|error| Error::system("open", &full, error))?;
        entry.flags = inode::flags(&from).map_err(|error| flags_error(&full, error))?;
        let made = match (to, &self.target) {
            (Some((above, name)), Some(target)) => Some(target.file(above, name, entry)?),
            _ => None,
        };
        let progress = &mut *self.progress;
        let advance = &mut |bytes| progress.advance(0, bytes);
        let hash = copy_content(&from, made.as_ref(), entry.size, advance);
        let hash = hash.map_err(|failure| self.content_error(failure, full.clone(), entry))?;
        entry.content = Some(hash.to_hex().to_string());
        self.refuse_change(inode.stat(), &from, &full)?;
        if let (Some((above, name)), Some(target)) = (to, &mut self.target) {
            target.finish_entry(above, name, entry, xattrs)?;
        }
        Ok(())
    }

    fn special(&mut self, entry: &Entry, xattrs: &Xattrs, to: To<'_>) -> Result<(), Error> {
        if let (Some((above, name)), Some(target)) = (to, &mut self.target) {
            target.special(above, name, entry)?;
            target.finish_entry(above, name, entry, xattrs)?;
        }
        Ok(())
    }

    /// Makes a later name of an inode that was met before. False if it was not.
    fn link(&mut self, inode: &Inode, entry: &mut Entry, to: To<'_>) -> Result<bool, Error> {
        let Some(linked) = self.linked.get_mut(&inode.stat().stx_ino) else { return Ok(false) };
        linked.met += 1;
        let path = std::mem::replace(&mut entry.path, EntryPath(Vec::new()));
        *entry = Entry { path, link: Some(linked.first.path.clone()), ..linked.first.clone() };
        if let (Some((above, name)), Some(target)) = (to, &self.target) {
            target.link(above, name, &linked.first.path, &entry.path)?;
        }
        Ok(true)
    }

    fn remember(&mut self, inode: &Inode, entry: &Entry) {
        let names = inode.stat().stx_nlink;
        if names > 1 {
            let linked = Linked { first: entry.clone(), met: 1, names };
            self.linked.insert(inode.stat().stx_ino, linked);
        }
    }

    fn refuse_foreign(
        &mut self,
        inode: &Inode,
        path: &EntryPath,
        depth: usize,
    ) -> Result<(), Error> {
        let stat = inode.stat();
        let dev = (stat.stx_dev_major, stat.stx_dev_minor);
        let expected = *self.dev.get_or_insert(dev);
        let refuse = |why: &str| Err(Error::refused(&self.full(path), why));
        if expected != dev || (depth > 0 && inode.is_mount_root()) {
            return refuse(
                "a mount or a subvolume below a volume cannot be copied with it; \
                 make it a volume of its own or move it elsewhere",
            );
        }
        if path.0.rsplit(|byte| *byte == b'/').next() == Some(AREA_NAME.as_bytes()) {
            return refuse("the snapshots of another volume lie below this one");
        }
        if depth > DEPTH_MAX {
            return refuse(&format!("it lies {depth} deep, the limit is {DEPTH_MAX}"));
        }
        Ok(())
    }

    fn refuse_change(
        &self,
        before: &Statx,
        file: impl std::os::fd::AsFd,
        full: &Path,
    ) -> Result<(), Error> {
        let now = inode::stat(file).map_err(|error| Error::system("look at", full, error))?;
        if inode::is_unchanged(before, &now) {
            return Ok(());
        }
        Err(Error::Changed { path: full.to_owned() })
    }

    fn push(&mut self, entry: Entry) -> Result<(), Error> {
        if self.manifest.entries.len() >= ENTRIES_MAX {
            let why = format!("it has more than {ENTRIES_MAX} entries");
            return Err(Error::refused(self.root, why));
        }
        let path = self.full(&entry.path);
        self.manifest.entries.push(entry);
        match self.progress.advance(1, 0) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped { path }),
        }
    }

    fn remark(&mut self, path: EntryPath, what: impl Into<String>) {
        self.manifest.remarks.push(Remark { path, what: what.into() });
    }

    fn finish(mut self) -> Result<Manifest, Error> {
        let mut torn: Vec<_> = std::mem::take(&mut self.linked)
            .into_values()
            .filter(|linked| linked.met < linked.names)
            .map(|linked| (linked.first.path, linked.names - linked.met))
            .collect();
        torn.sort();
        for (path, count) in torn {
            let what = format!("has {count} more names outside the volume; a restore parts them");
            self.remark(path, what);
        }
        if let Some(target) = self.target {
            target.finish()?;
        }
        Ok(self.manifest)
    }

    fn content_error(&self, failure: Failure, full: PathBuf, entry: &Entry) -> Error {
        match failure {
            Failure::Read(error) => Error::system("read", &full, error),
            Failure::Write(error) => {
                let to = self.target.as_ref().map_or(full, |target| target.full(&entry.path));
                Error::system("write", &to, error)
            }
            Failure::Short => Error::Changed { path: full },
            Failure::Stopped => Error::Stopped { path: full },
        }
    }

    /// The path of an entry as a person knows it.
    fn full(&self, path: &EntryPath) -> PathBuf {
        join(self.root, path)
    }
}

/// The path of an entry below `root`.
pub(super) fn join(root: &Path, path: &EntryPath) -> PathBuf {
    if path.0 == b"." { root.to_owned() } else { root.join(OsStr::from_bytes(&path.0)) }
}

fn describe(stat: &Statx, kind: EntryKind, path: EntryPath, xattrs: &Xattrs) -> Entry {
    Entry {
        path,
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: if kind == EntryKind::File { stat.stx_size } else { 0 },
        mtime: stat.stx_mtime.tv_sec,
        mtime_ns: stat.stx_mtime.tv_nsec,
        flags: 0,
        xattrs: hash_xattrs(xattrs),
        content: None,
        target: None,
        device: None,
        link: None,
    }
}

/// Over name, NUL, length (64 bits, little endian) and value of each, sorted by name.
fn hash_xattrs(xattrs: &Xattrs) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    for (name, value) in xattrs {
        let length = u64::try_from(value.len()).expect("a value's length fits");
        hasher.update(name).update(b"\0").update(&length.to_le_bytes()).update(value);
    }
    (!xattrs.is_empty()).then(|| hasher.finalize().to_hex().to_string())
}

fn flags_error(path: &Path, error: io::Error) -> Error {
    Error::system("read the inode flags of", path, error)
}

/// Opens a directory for the one sync after the copy, before the first byte is written: the kernel
/// then reports every write error from here on.
pub(super) fn watch_errors(dir: &Path) -> Result<File, Error> {
    File::open(dir).map_err(|error| Error::system("open", dir, error))
}
