//! Removal of files and whole trees, durable, without following a symlink or crossing a mount.
//!
//! A tree is walked by open directories, so that nobody can put a symlink in the way half-way
//! down. Immutable and append-only flags, and directories that their owner made read-only, are
//! opened up where they stand in the way: a copy of a volume carries the former, an unpacked
//! release the latter, and it must be possible to remove them.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, Statx, StatxAttributes, StatxFlags,
};
use rustix::io::Errno;

use super::{DEPTH_MAX, Error, Site, parent, step, sync_dir};

/// Removes a file or symlink; one that is not there is removed already. Durable on return.
///
/// # Errors
/// See [`Error::kind`].
pub fn remove_file(path: &Path, site: Site) -> Result<(), Error> {
    match step().and_then(|()| std::fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::path("remove", path, error))
        }
        _ => sync_dir(parent(path), site),
    }
}

/// Removes whatever is at `path`, a directory with all that is in it; what is not there is removed
/// already. The removal of the name is durable on return.
///
/// # Errors
/// See [`Error::kind`]. A mount inside the tree is refused, nothing under it is touched.
pub fn remove_tree(path: &Path, site: Site) -> Result<(), Error> {
    let found = match look(CWD, path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(Error::path("look at", path, error)),
    };
    if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory {
        let above = open_dir(CWD, path).map_err(|error| Error::path("open", path, error))?;
        remove_entries(&above, path, &found, 1)?;
    }
    remove_one(CWD, path, path, false)?;
    sync_dir(parent(path), site)
}

fn remove_entries(dir: &OwnedFd, path: &Path, root: &Statx, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Depth { path: path.to_owned(), depth, limit: DEPTH_MAX });
    }
    for name in names(dir).map_err(|error| Error::path("list", path, error))? {
        let entry = path.join(os_str(&name));
        let found = look(dir, &*name).map_err(|error| Error::path("look at", &entry, error))?;
        if FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory {
            // A second mount of the same file system has the same device.
            let mounted = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
            if mounted || device(&found) != device(root) {
                let source = io::Error::other("another file system is mounted there");
                return Err(Error::path("remove", &entry, source));
            }
            let below =
                open_dir(dir, &*name).map_err(|error| Error::path("open", &entry, error))?;
            remove_entries(&below, &entry, root, depth + 1)?;
        }
        remove_one(dir, &*name, &entry, true)?;
    }
    Ok(())
}

fn look<P: rustix::path::Arg>(dir: impl AsFd, name: P) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)
}

fn device(stat: &Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
}

/// Unlinks one name, a directory if it is one; clears what forbids it and tries again. Only a
/// directory inside the tree is opened up for it, never the one that the tree is in.
fn remove_one<P: rustix::path::Arg + Copy>(
    dir: impl AsFd + Copy,
    name: P,
    path: &Path,
    inside: bool,
) -> Result<(), Error> {
    let unlink = || -> io::Result<()> {
        step()?;
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?),
            done => Ok(done?),
        }
    };
    match unlink() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if inside {
                clear_flags(dir, c".");
                if step().is_ok() {
                    rustix::fs::chmodat(dir, c".", Mode::RWXU, AtFlags::empty()).ok();
                }
            }
            clear_flags(dir, name);
            unlink().map_err(|error| Error::path("remove", path, error))
        }
        done => done.map_err(|error| Error::path("remove", path, error)),
    }
}

/// Takes immutable and append-only away; failing is no loss, the removal says why it cannot.
fn clear_flags<P: rustix::path::Arg>(dir: impl AsFd, name: P) {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { return };
    let Ok(found) = rustix::fs::ioctl_getflags(&file) else { return };
    let wanted = found & !(IFlags::IMMUTABLE | IFlags::APPEND);
    if wanted != found && step().is_ok() {
        rustix::fs::ioctl_setflags(&file, wanted).ok();
    }
}

/// Opens a directory itself, never through a symlink.
pub(crate) fn open_dir<P: rustix::path::Arg>(
    dir: impl AsFd,
    name: P,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// All names in a directory but `.` and `..`, sorted by bytes.
pub(crate) fn names(dir: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// A name as it stands in the file system, whatever its bytes.
pub(crate) fn os_str(name: &std::ffi::CStr) -> &std::ffi::OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(name.to_bytes())
}
