//! One file of a volume: all that has to come back the same, read and written without following
//! a symlink.
//!
//! A file is opened with `O_PATH | O_NOFOLLOW` first and looked at through that handle, so that
//! nobody can swap it for another between the look and the read, and so that no fifo or device is
//! opened by accident. What needs a path goes through `/proc/self/fd`, which leads to the very
//! inode, a symlink included.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, IFlags, Mode, OFlags, Statx, StatxAttributes, StatxFlags, Timespec,
    Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::manifest::EntryKind;

/// The inode flags that a copy keeps; the others describe how the file system stores the file.
const KEPT_FLAGS: IFlags = IFlags::APPEND
    .union(IFlags::IMMUTABLE)
    .union(IFlags::NOCOW)
    .union(IFlags::COMPRESSED)
    .union(IFlags::NOATIME)
    .union(IFlags::NODUMP)
    .union(IFlags::SYNC)
    .union(IFlags::DIRSYNC);

/// The flags that must be there before the first byte is.
const EARLY_FLAGS: IFlags = IFlags::NOCOW;

/// The flags that forbid everything else that we do, so they come last.
const LATE_FLAGS: IFlags = IFlags::APPEND.union(IFlags::IMMUTABLE);

/// The inode flags of [`KEPT_FLAGS`] as a number, for the manifest.
pub(super) type FlagBits = u32;

/// Extended attributes by name, ACLs and capabilities included.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A handle on one inode, which holds it fast whatever happens to its name.
pub(super) struct Inode {
    handle: OwnedFd,
    stat: Statx,
}

impl Inode {
    /// Opens the inode that `name` stands for in `dir`, itself if it is a symlink.
    pub(super) fn open<P: rustix::path::Arg>(dir: impl AsFd, name: P) -> rustix::io::Result<Inode> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        let stat = stat(&handle)?;
        Ok(Inode { handle, stat })
    }

    pub(super) fn stat(&self) -> &Statx {
        &self.stat
    }

    /// `None` for a socket and for what no one has heard of.
    pub(super) fn kind(&self) -> Option<EntryKind> {
        Some(match FileType::from_raw_mode(self.stat.stx_mode.into()) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Socket | FileType::Unknown => return None,
        })
    }

    /// True if another file system, or the same one a second time, is mounted here.
    pub(super) fn is_mount_root(&self) -> bool {
        self.stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    }

    /// Opens the content of a regular file or directory for reading.
    pub(super) fn read(&self) -> rustix::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::open(self.magic(), flags, Mode::empty()).map(File::from)
    }

    pub(super) fn link_target(&self) -> rustix::io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.handle, c"", Vec::new())?.into_bytes())
    }

    /// All extended attributes that we keep. Other `system.` ones than ACLs are views that the
    /// file system makes up.
    pub(super) fn xattrs(&self) -> rustix::io::Result<Xattrs> {
        let magic = self.magic();
        let names = grow(|buffer| rustix::fs::listxattr(&magic, buffer));
        let names = match names {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Xattrs::new()),
            names => names?,
        };
        let mut xattrs = Xattrs::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if name.starts_with(b"system.") && !name.starts_with(b"system.posix_acl_") {
                continue;
            }
            match grow(|buffer| rustix::fs::getxattr(&magic, name, buffer)) {
                Err(Errno::NODATA) => {}
                value => drop(xattrs.insert(name.to_vec(), value?)),
            }
        }
        Ok(xattrs)
    }

    /// Makes the extended attributes exactly `wanted`: what was inherited from a parent goes.
    pub(super) fn set_xattrs(&self, wanted: &Xattrs) -> rustix::io::Result<()> {
        let magic = self.magic();
        let found = self.xattrs()?;
        for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
            rustix::fs::removexattr(&magic, name)?;
        }
        for (name, value) in wanted.iter().filter(|(name, value)| found.get(*name) != Some(*value))
        {
            rustix::fs::setxattr(&magic, name, value, XattrFlags::empty())?;
        }
        Ok(())
    }

    pub(super) fn set_owner(&self, uid: u32, gid: u32) -> rustix::io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&self.handle, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    /// Symlinks have no mode of their own.
    pub(super) fn set_mode(&self, mode: u32) -> rustix::io::Result<()> {
        if self.kind() == Some(EntryKind::Symlink) {
            return Ok(());
        }
        rustix::fs::chmod(self.magic(), Mode::from_raw_mode(mode))
    }

    pub(super) fn set_mtime(&self, seconds: i64, nanoseconds: u32) -> rustix::io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
        };
        rustix::fs::utimensat(rustix::fs::CWD, self.magic(), &times, AtFlags::empty())
    }

    fn magic(&self) -> CString {
        CString::new(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
            .expect("digits hold no NUL")
    }
}

/// What is known of an open file or directory now.
pub(super) fn stat(file: impl AsFd) -> rustix::io::Result<Statx> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, wanted)
}

/// True if nobody wrote to the inode between the two looks.
pub(super) fn is_unchanged(before: &Statx, after: &Statx) -> bool {
    let key = |stat: &Statx| {
        let (mtime, ctime) = (stat.stx_mtime, stat.stx_ctime);
        (stat.stx_size, mtime.tv_sec, mtime.tv_nsec, ctime.tv_sec, ctime.tv_nsec)
    };
    key(before) == key(after)
}

/// The kept flags of an open file or directory; none where the file system knows none.
pub(super) fn flags(file: &File) -> io::Result<FlagBits> {
    match rustix::fs::ioctl_getflags(file) {
        Ok(flags) => Ok((flags & KEPT_FLAGS).bits()),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sets what must be there before the first byte is.
pub(super) fn set_early_flags(file: &File, wanted: FlagBits) -> io::Result<()> {
    set_flags(file, EARLY_FLAGS, wanted)
}

/// Sets all flags but those that forbid further changes.
pub(super) fn set_middle_flags(file: &File, wanted: FlagBits) -> io::Result<()> {
    set_flags(file, KEPT_FLAGS.difference(LATE_FLAGS), wanted)
}

/// Sets immutable and append-only.
pub(super) fn set_late_flags(file: &File, wanted: FlagBits) -> io::Result<()> {
    set_flags(file, LATE_FLAGS, wanted)
}

/// True if a flag in `bits` forbids renaming or linking the file.
pub(super) fn has_late_flags(bits: FlagBits) -> bool {
    IFlags::from_bits_retain(bits).intersects(LATE_FLAGS)
}

/// Gives the flags in `which` the values they have in `wanted` and leaves the others.
fn set_flags(file: &File, which: IFlags, wanted: FlagBits) -> io::Result<()> {
    let wanted = IFlags::from_bits_retain(wanted) & which;
    if IFlags::from_bits_retain(flags(file)?) & which == wanted {
        return Ok(());
    }
    let found = rustix::fs::ioctl_getflags(file)?;
    Ok(rustix::fs::ioctl_setflags(file, found.difference(which) | wanted)?)
}

/// Calls `fill` with a buffer that grows until the value fits.
fn grow(
    mut fill: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    /// The kernel's own limit for a value and for a list of names.
    const XATTR_SIZE_MAX: usize = 64 * 1024;
    let mut size = 256;
    loop {
        let mut buffer = vec![0; size];
        match fill(&mut buffer) {
            Err(Errno::RANGE) if size < XATTR_SIZE_MAX => size = XATTR_SIZE_MAX,
            done => {
                buffer.truncate(done?);
                return Ok(buffer);
            }
        }
    }
}
