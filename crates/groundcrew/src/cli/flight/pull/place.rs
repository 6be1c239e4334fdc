//! Where a flight lies while it is pulled, and how it becomes one of this host's.
//!
//! ```text
//! recordings/.pulling/                 locked by whoever pulls; goes away when nothing is left in it
//!                     <flight id>/     as far as it came: each file whole, but for one `….partial`
//! recordings/<flight id>/              all of it
//! ```
//!
//! What is below `.pulling` is no flight to any command. Each file is synced before it gets its
//! name, all of them and their directories before the manifest gets its own, and that before the
//! directory does: whatever is called by a flight's id after a power cut is that flight. One that
//! was taken before it had ended is completed where it is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use groundcrew_recorder::flight_dir::{BadDir, Claim, FlightDir, THUMBNAILS};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::names::SEGMENTS;
use rustix::fs::{Advice, CWD, FlockOperation, OFlags, RenameFlags};

use super::origin::Trouble;

/// Where flights lie until they are whole.
const PULLING: &str = ".pulling";
/// What a file's name ends with until it is whole.
const PARTIAL: &str = ".partial";
/// Recordings may show what nobody else should see.
const DIR_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
/// Room that stays free, bytes: a file system needs some for itself.
const SPARE: u64 = 4 << 20;
/// How often the directory may be taken away by somebody who is done with it.
const LOCK_TRIES: usize = 100;

/// The directory of the flights, locked.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    pulling: PathBuf,
    _lock: File,
}

/// Where one flight lies.
#[derive(Debug)]
pub(super) struct Place {
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Where it will be.
    pub(super) meant: PathBuf,
    /// It is there already.
    _claim: Option<Claim>,
}

impl Shelf {
    /// Makes and locks it.
    ///
    /// # Errors
    ///
    /// It cannot be made, or somebody else pulls into it.
    pub(super) fn open(root: &Path) -> Result<Self, Trouble> {
        let pulling = root.join(PULLING);
        if root.symlink_metadata().is_err() {
            make_dir(root)?;
            sync_dir(
                root.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            )?;
        }
        for _ in 0..LOCK_TRIES {
            make_dir(&pulling)?;
            let lock = match File::open(&pulling) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Trouble::here("open", &pulling)(error)),
            };
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let what = "another `flight pull` is at work there";
                    return Err(Trouble::Locked { path: root.to_owned(), what });
                }
                Err(error) => return Err(Trouble::here("lock", &pulling)(error.into())),
            }
            let same =
                |data: fs::Metadata| lock.metadata().is_ok_and(|own| own.ino() == data.ino());
            if pulling.symlink_metadata().is_ok_and(same) {
                return Ok(Self { root: root.to_owned(), pulling, _lock: lock });
            }
        }
        let what = "other `flight pull`s come and go there";
        Err(Trouble::Locked { path: root.to_owned(), what })
    }

    /// The place of a flight: where it is, or where it is to be gathered.
    ///
    /// # Errors
    ///
    /// It cannot be made, or a recorder has the flight.
    pub(super) fn place(&self, id: FlightId) -> Result<Place, Trouble> {
        let name = id.to_string();
        let meant = self.root.join(&name);
        if meant.symlink_metadata().is_ok() {
            let claim = FlightDir::open(&meant).and_then(|dir| dir.claim());
            let claim = claim.map_err(|error| match error {
                BadDir::Claimed(path) => {
                    Trouble::Locked { path, what: "the flight is being written by a recorder" }
                }
                BadDir::Io { doing, path, source } => Trouble::Here { doing, path, source },
                other => Trouble::here("use", &meant)(io::Error::other(crate::chain(&other))),
            })?;
            let place = Place { dir: meant.clone(), meant, _claim: Some(claim) };
            make_dir(&place.dir.join(THUMBNAILS))?;
            return Ok(place);
        }
        let dir = self.pulling.join(&name);
        for below in [SEGMENTS, THUMBNAILS] {
            make_dir(&dir.join(below))?;
        }
        Ok(Place { dir, meant, _claim: None })
    }

    /// Fails unless there is room for so many bytes.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), Trouble> {
        let found = rustix::fs::statvfs(&self.pulling);
        let found = found.map_err(|error| Trouble::here("look at", &self.root)(error.into()))?;
        let free = found.f_bavail.saturating_mul(found.f_frsize).saturating_sub(SPARE);
        match bytes <= free {
            true => Ok(()),
            false => Err(Trouble::Room { path: self.root.clone(), free, needed: bytes }),
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // It stays while a flight is in it.
        drop(fs::remove_dir(&self.pulling));
    }
}

impl Place {
    /// Whether it is one of this host's flights already.
    pub(super) fn is_there(&self) -> bool {
        self.dir == self.meant
    }

    /// A file of it.
    pub(super) fn path(&self, item: &str) -> PathBuf {
        self.dir.join(item)
    }

    /// The same until it is whole.
    pub(super) fn partial(&self, item: &str) -> PathBuf {
        self.dir.join(format!("{item}{PARTIAL}"))
    }

    /// The length of a file that is whole.
    pub(super) fn len(&self, item: &str) -> Option<u64> {
        let data = self.path(item).symlink_metadata().ok()?;
        data.is_file().then_some(data.len())
    }

    /// How much of a file came before, bytes.
    pub(super) fn came(&self, item: &str) -> u64 {
        let data = self.partial(item).symlink_metadata();
        data.ok().filter(fs::Metadata::is_file).map_or(0, |data| data.len())
    }

    /// A file to be written on behind so many bytes; what is behind them goes.
    ///
    /// # Errors
    ///
    /// It cannot be opened or cut.
    pub(super) fn write(&self, item: &str, from: u64) -> Result<File, Trouble> {
        let path = self.partial(item);
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(FILE_MODE);
        let file = options.custom_flags(flags.bits().cast_signed()).open(&path);
        let file = file.map_err(Trouble::here("write", &path))?;
        file.set_len(from).map_err(Trouble::here("cut", &path))?;
        Ok(file)
    }

    /// Makes what a file holds durable, and has the next reader fetch it from the disk again.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn sync(&self, item: &str, file: &File) -> Result<(), Trouble> {
        file.sync_all().map_err(Trouble::here("write", self.partial(item)))?;
        // Where that is not to be had, what is compared is the memory's.
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed).ok();
        Ok(())
    }

    /// Gives a file that is whole its name, in place of what is called so.
    ///
    /// # Errors
    ///
    /// It cannot be renamed.
    pub(super) fn name(&self, item: &str) -> Result<(), Trouble> {
        let partial = self.partial(item);
        let renamed = rustix::fs::rename(&partial, self.path(item));
        renamed.map_err(|error| Trouble::here("rename", partial)(error.into()))
    }

    /// Removes a file; one that is not there is removed.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub(super) fn remove(&self, path: &Path) -> Result<(), Trouble> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Trouble::here("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes durable what its files are called.
    ///
    /// # Errors
    ///
    /// That is not known to be durable.
    pub(super) fn sync_names(&self) -> Result<(), Trouble> {
        let dirs = [self.dir.join(SEGMENTS), self.dir.join(THUMBNAILS), self.dir.clone()];
        dirs.iter().try_for_each(|dir| sync_dir(dir))
    }

    /// All of it is here and durable: it becomes one of this host's flights.
    ///
    /// # Errors
    ///
    /// It cannot be renamed.
    pub(super) fn finish(&self) -> Result<(), Trouble> {
        if self.is_there() {
            return Ok(());
        }
        let renamed =
            rustix::fs::renameat_with(CWD, &self.dir, CWD, &self.meant, RenameFlags::NOREPLACE);
        renamed.map_err(|error| Trouble::here("rename", &self.dir)(error.into()))?;
        self.meant.parent().map_or(Ok(()), sync_dir)
    }
}

fn make_dir(path: &Path) -> Result<(), Trouble> {
    let mut dirs = DirBuilder::new();
    dirs.recursive(true).mode(DIR_MODE).create(path).map_err(Trouble::here("make", path))?;
    let data = path.symlink_metadata().map_err(Trouble::here("look at", path))?;
    match data.is_dir() {
        true => Ok(()),
        false => Err(Trouble::here("use", path)(io::Error::other("it is a link"))),
    }
}

fn sync_dir(path: &Path) -> Result<(), Trouble> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(Trouble::here("sync", path))
}
