//! Our own directory beside a volume: where it is, who may be in it, and which volumes we take.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::inode::{self, Inode};
use super::manifest::EntryKind;
use super::{Error, restore::Identity};
use crate::durable::{self, Site, step};

/// The name of our directory in the parent of a volume.
pub const AREA_NAME: &str = ".groundcrew";

/// What a name in the making ends with.
pub(super) const PARTIAL: &str = ".partial";

/// How long an app, a snapshot or a transaction may be called, in bytes: room for `.partial`
/// and for people who read it.
const NAME_BYTES_MAX: usize = 128;

/// Permissions of the volumes' directory where there is none yet.
const PARENT_MODE: u32 = 0o755;

/// How much of a lock's text is read to say who holds it.
const HOLDER_BYTES_MAX: u64 = 200;

/// The directory that holds one app's snapshots of the volumes in one parent directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Area {
    parent: PathBuf,
    app: String,
}

impl Area {
    /// The area for a volume of an app. Nothing is made yet.
    ///
    /// # Errors
    /// `Refused` for a path or name that we do not take.
    pub fn of(volume: &Path, app: &str) -> Result<Area, Error> {
        check_name(app)?;
        let whole = volume.is_absolute()
            && volume.components().all(|part| !matches!(part, Component::ParentDir));
        match (volume.parent(), volume.file_name()) {
            (Some(parent), Some(_)) if whole => {
                Ok(Area { parent: parent.to_owned(), app: app.to_owned() })
            }
            _ => Err(Error::refused(volume, "a volume is an absolute path without `..`")),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> PathBuf {
        self.parent.join(AREA_NAME).join(&self.app)
    }

    /// The app it belongs to.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Where the volumes are.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.path().join("snapshots")
    }

    pub(super) fn restores(&self) -> PathBuf {
        self.path().join("restore")
    }

    pub(super) fn failed(&self) -> PathBuf {
        self.path().join("failed")
    }

    /// Makes the directory `below` and all above it if missing, and makes sure that they are ours.
    /// The volumes' own directory is not for us alone: the app has to get to its data through it.
    pub(super) fn make(&self, below: &Path) -> Result<(), Error> {
        let made = durable::create_dir_all(&self.parent, PARENT_MODE, Site::Area)
            .and_then(|()| durable::create_dir_all(below, 0o700, Site::Area));
        made.map_err(Error::durable("make room beside the volume"))?;
        self.check()
    }

    /// Refuses an area that somebody else put there or can look into.
    pub(super) fn check(&self) -> Result<(), Error> {
        for path in [self.parent.join(AREA_NAME), self.path()] {
            let inode =
                Inode::open(CWD, &path).map_err(|error| Error::system("open", &path, error))?;
            let stat = inode.stat();
            let ours = inode.kind() == Some(EntryKind::Directory)
                && stat.stx_uid == rustix::process::geteuid().as_raw()
                && stat.stx_mode & 0o077 == 0;
            if !ours {
                let why = "it has to be a directory of the user that groundcrew runs as, mode 0700";
                return Err(Error::refused(&path, why));
            }
        }
        Ok(())
    }
}

/// Refuses names that could lead elsewhere or be taken for something unfinished.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with(['.', '-'])
        || name.ends_with(PARTIAL)
        || !name.bytes().all(good)
    {
        let why = format!(
            "a name has 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_`, `+` or `-`, does not \
             begin with `.` or `-` and does not end in `{PARTIAL}`"
        );
        return Err(Error::refused(Path::new(name), why));
    }
    Ok(())
}

/// The name of a volume in its parent.
pub(super) fn volume_name(volume: &Path) -> Result<&str, Error> {
    let refuse = |why: &str| Err(Error::refused(volume, why));
    match volume.file_name().map(std::ffi::OsStr::to_str) {
        Some(Some("manifest.json" | AREA_NAME)) => refuse("that name is taken by groundcrew"),
        Some(Some(name)) if name.starts_with(".entries-") => {
            refuse("names that begin with `.entries-` are taken by groundcrew")
        }
        Some(Some(name)) => Ok(name),
        Some(None) => refuse("the name of a volume has to be UTF-8"),
        None => refuse("a volume is an absolute path without `..`"),
    }
}

/// Looks at a volume before anything is done with it; `None` if there is nothing at its path.
///
/// # Errors
/// `Refused` for a symlink, a mount point, a subvolume, anything that is not a directory, and a
/// directory that cannot be renamed.
pub fn check_volume(volume: &Path) -> Result<Option<Identity>, Error> {
    volume_name(volume)?;
    let inode = match Inode::open(CWD, volume) {
        Ok(inode) => inode,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Error::system("open", volume, error)),
    };
    let refuse = |why: &str| Err(Error::refused(volume, why));
    match inode.kind() {
        Some(EntryKind::Directory) => {}
        Some(EntryKind::Symlink) => {
            return refuse("a volume must not be a symlink; name the directory it leads to");
        }
        _ => return refuse("a volume has to be a directory"),
    }
    let above =
        rustix::fs::statx(CWD, durable::parent(volume), AtFlags::empty(), StatxFlags::BASIC_STATS)
            .map_err(|error| Error::system("look at", durable::parent(volume), error))?;
    let stat = inode.stat();
    let same =
        (stat.stx_dev_major, stat.stx_dev_minor) == (above.stx_dev_major, above.stx_dev_minor);
    if inode.is_mount_root() || !same {
        return refuse(
            "a volume must not be a mount point or a subvolume; use a directory inside it",
        );
    }
    let flags = inode.read().map_err(io::Error::from).and_then(|dir| inode::flags(&dir));
    match flags {
        Ok(flags) if inode::has_late_flags(flags) => {
            refuse("it is immutable or append-only and cannot be exchanged; see chattr(1)")
        }
        Ok(_) => Ok(Some(Identity::of(stat))),
        Err(error) => Err(Error::system("read the inode flags of", volume, error)),
    }
}

/// Holds the lock of an [`Area`] until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Takes the lock of the area of `volume`, so that no second agent works on it.
///
/// # Errors
/// `Locked` at once if another process, or another handle of this one, holds it.
pub fn lock(volume: &Path, app: &str) -> Result<Lock, Error> {
    let area = Area::of(volume, app)?;
    area.make(&area.path())?;
    let path = area.path().join("lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = step()
        .and_then(|()| Ok(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?))
        .map(File::from)
        .map_err(|error| Error::system("open the lock", &path, error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Who it is is a courtesy; that it is held is what counts.
            if file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder).is_err() {
                holder.clear();
            }
            let holder = if holder.is_empty() { "another process" } else { holder.trim() };
            return Err(Error::Locked { path, holder: holder.to_owned() });
        }
        Err(error) => return Err(Error::system("lock", &path, error)),
    }
    let named = file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id()));
    named.map_err(|error| Error::system("write", &path, error))?;
    Ok(Lock { file })
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the handle is what unlocks; the text goes first so that nobody reads a name that
        // holds nothing.
        self.file.set_len(0).ok();
    }
}

/// What is at `path` itself, without following a symlink.
pub(super) fn kind_at(path: &Path) -> Result<Option<FileType>, Error> {
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(Error::system("look at", path, error)),
    }
}

/// The names in a directory, sorted; none if it is not there.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, Error> {
    let opened = match durable::open_dir(CWD, dir) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(Error::system("open", dir, error)),
    };
    let names = durable::names(&opened).map_err(|error| Error::system("list", dir, error))?;
    Ok(names
        .iter()
        .map(|name| String::from_utf8_lossy(durable::os_str(name).as_bytes()).into_owned())
        .collect())
}
