//! A flight's directory, and the directory of all flights.
//!
//! ```text
//! recordings/<flight id>/manifest.json     who, with what, when; can be made again
//!                        segments/         seg_00000.bin, seg_00001.bin, … the flight itself
//!                        thumbnails/       the pictures that MidFlightTileFailed names
//! ```
//!
//! The manifest is written aside, synced and renamed, and the directory is synced: after a power
//! cut it is the old one or the new one. Whoever writes a flight holds its [`Claim`], a lock of the
//! kernel's on the directory, so that nobody ends a flight that is still being written.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};

use crate::manifest::{Manifest, SCHEMA};
use crate::names::SEGMENTS;
use crate::storage::Disk;

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// The directory of the pictures.
pub const THUMBNAILS: &str = "thumbnails";
/// The longest manifest that is read, bytes; one of a few hundred apps has a tenth of it.
const MANIFEST_MAX: u64 = 1 << 20;
/// Recordings may show what nobody else should see.
const DIR_MODE: u32 = 0o750;

/// Who looks whether a flight is claimed holds it for a moment; so often and long that is waited for.
const LOOKS_MS: [u64; 4] = [1, 5, 20, 0];

/// Why a flight's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDir {
    /// The file system says no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// There is no flight in it.
    #[error("{} is no flight: there is no directory {SEGMENTS}/ in it", .0.display())]
    NoFlight(PathBuf),
    /// Somebody writes the flight.
    #[error("{} is being written by a recorder", .0.display())]
    Claimed(PathBuf),
    /// The manifest is not what one looks like.
    #[error("cannot understand {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The manifest is of a later version, which says more than this reader knows.
    #[error("{} is of version {found}, known is {known}", path.display())]
    NewerManifest {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// The manifest has a version that never was, or is too long to be one.
    #[error("{} is no manifest of version {SCHEMA}: {what}", path.display())]
    NotAManifest {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
}

impl BadDir {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// A flight's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightDir {
    path: PathBuf,
}

/// That nobody else writes the flight; ends when it is dropped, or its process dies.
#[derive(Debug)]
pub struct Claim {
    _dir: File,
}

impl FlightDir {
    /// Makes the directory of a new flight below `root`, durably, named by its manifest's id.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is there already.
    pub fn create(root: &Path, manifest: &Manifest) -> Result<Self, BadDir> {
        Self::create_at(root.join(&manifest.flight), manifest)
    }

    /// The same at a place of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is there already.
    pub fn create_at(path: PathBuf, manifest: &Manifest) -> Result<Self, BadDir> {
        let dir = Self { path };
        let parent = dir.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let mut dirs = DirBuilder::new();
        dirs.recursive(true).mode(DIR_MODE);
        dirs.create(parent).map_err(BadDir::io("make", parent))?;
        dirs.recursive(false);
        dirs.create(&dir.path).map_err(BadDir::io("make", &dir.path))?;
        if let Err(error) = dir.furnish(&dirs, parent, manifest) {
            // Whoever tries again on a full disk would leave one each time.
            fs::remove_dir_all(&dir.path).ok();
            return Err(error);
        }
        Ok(dir)
    }

    /// Makes what belongs into the directory.
    fn furnish(&self, dirs: &DirBuilder, parent: &Path, manifest: &Manifest) -> Result<(), BadDir> {
        for dir in [self.path.join(SEGMENTS), self.thumbnails()] {
            dirs.create(&dir).map_err(BadDir::io("make", &dir))?;
        }
        sync_dir(parent)?;
        self.write_manifest(manifest)
    }

    /// The flight in a directory; its segments are not looked at.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BadDir> {
        let path = path.into();
        let found = fs::metadata(&path).map_err(BadDir::io("look at", &path))?;
        if !found.is_dir() || !path.join(SEGMENTS).is_dir() {
            return Err(BadDir::NoFlight(path));
        }
        Ok(Self { path })
    }

    /// All flights below `root` by name, which is by time; a `root` that is not there has none.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn list(root: &Path) -> Result<Vec<Self>, BadDir> {
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(BadDir::io("list", root))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(BadDir::io("list", root))?.path();
            if path.join(SEGMENTS).is_dir() {
                all.push(Self { path });
            }
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// Its directory's name: the flight's id.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its segments are.
    #[must_use]
    pub fn segments(&self) -> Disk {
        Disk::new(self.path.join(SEGMENTS))
    }

    /// Where its pictures are.
    #[must_use]
    pub fn thumbnails(&self) -> PathBuf {
        self.path.join(THUMBNAILS)
    }

    /// Removes a flight in which nothing was recorded: no segment, no picture; whether it was one.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at or removed.
    pub fn remove_empty(self) -> Result<bool, BadDir> {
        for dir in [self.path.join(SEGMENTS), self.thumbnails()] {
            match fs::read_dir(&dir).map(|mut entries| entries.next().is_none()) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(BadDir::io("list", &dir)(error)),
            }
        }
        fs::remove_dir_all(&self.path).map_err(BadDir::io("remove", &self.path))?;
        Ok(true)
    }

    /// Its manifest; `None`: there is none, which is no harm.
    ///
    /// # Errors
    ///
    /// When it cannot be read or understood; the flight can be read nevertheless.
    pub fn manifest(&self) -> Result<Option<Manifest>, BadDir> {
        let path = self.path.join(MANIFEST);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut options = OpenOptions::new();
        let file = match options.read(true).custom_flags(flags.bits().cast_signed()).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(BadDir::io("open", &path))?,
        };
        let mut bytes = Vec::new();
        file.take(MANIFEST_MAX + 1).read_to_end(&mut bytes).map_err(BadDir::io("read", &path))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MANIFEST_MAX {
            let what = format!("more than {MANIFEST_MAX} bytes");
            return Err(BadDir::NotAManifest { path, what });
        }
        let garbled = |source| BadDir::Manifest { path: path.clone(), source };
        let said: serde_json::Value = serde_json::from_slice(&bytes).map_err(garbled)?;
        if let Some(found) = said.get("schema").and_then(serde_json::Value::as_u64)
            && found > u64::from(SCHEMA)
        {
            return Err(BadDir::NewerManifest { path, found, known: SCHEMA });
        }
        let manifest: Manifest = serde_json::from_value(said).map_err(garbled)?;
        if manifest.schema != SCHEMA {
            let what = format!("version {}", manifest.schema);
            return Err(BadDir::NotAManifest { path, what });
        }
        Ok(Some(manifest))
    }

    /// Puts a manifest in the place of the one that is there, if any, durably.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the one before is as it was.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), BadDir> {
        let (path, aside) = (self.path.join(MANIFEST), self.path.join("manifest.json.tmp"));
        let mut bytes = serde_json::to_vec_pretty(manifest)
            .map_err(|source| BadDir::Manifest { path: path.clone(), source })?;
        bytes.push(b'\n');
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BadDir::Io { doing: "remove", path: aside, source: error });
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&aside)
            .map_err(BadDir::io("make", &aside))?;
        file.write_all(&bytes).map_err(BadDir::io("write", &aside))?;
        file.sync_all().map_err(BadDir::io("sync", &aside))?;
        rustix::fs::rename(&aside, &path).map_err(|error| BadDir::Io {
            doing: "rename",
            path: aside,
            source: error.into(),
        })?;
        sync_dir(&self.path)
    }

    /// Whether somebody writes the flight.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub fn is_claimed(&self) -> Result<bool, BadDir> {
        let dir = File::open(&self.path).map_err(BadDir::io("open", &self.path))?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(BadDir::io("lock", &self.path)(error.into())),
        }
    }

    /// Claims the flight for writing, for as long as what is given lives.
    ///
    /// # Errors
    ///
    /// When somebody else writes it.
    pub fn claim(&self) -> Result<Claim, BadDir> {
        let dir = File::open(&self.path).map_err(BadDir::io("open", &self.path))?;
        for pause_ms in LOOKS_MS {
            match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Claim { _dir: dir }),
                // Maybe somebody who only asks, and is gone at once.
                Err(rustix::io::Errno::WOULDBLOCK) => sleep(Duration::from_millis(pause_ms)),
                Err(error) => return Err(BadDir::io("lock", &self.path)(error.into())),
            }
        }
        Err(BadDir::Claimed(self.path.clone()))
    }
}

fn sync_dir(path: &Path) -> Result<(), BadDir> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(BadDir::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::flight_id::FlightId;
    use crate::format::segment::Header;

    fn manifest(utc_ms: u64) -> Manifest {
        let flight = FlightId::new(utc_ms, [1; 10]);
        let header =
            Header { flight, boot: [2; 16], number: 0, first_seq: 0, time_ns: 3, utc_ns: 4 };
        Manifest::of(&header)
    }

    #[test]
    fn rec_1_a_flight_has_its_manifest_its_segments_and_its_thumbnails() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("deep/recordings");
        assert_eq!(FlightDir::list(&below).unwrap(), []);
        let later = FlightDir::create(&below, &manifest(2000)).unwrap();
        let earlier = FlightDir::create(&below, &manifest(1000)).unwrap();
        fs::create_dir(below.join("no flight")).unwrap();
        assert_eq!(FlightDir::list(&below).unwrap(), [earlier.clone(), later]);
        assert_eq!(earlier.name(), manifest(1000).flight);
        assert!(earlier.segments().path().is_dir() && earlier.thumbnails().is_dir());
        assert_eq!(earlier.manifest().unwrap(), Some(manifest(1000)));
        let again = FlightDir::create(&below, &manifest(1000)).unwrap_err();
        assert!(crate::chain(&again).contains("File exists"), "{again}");
    }

    #[test]
    fn nothing_is_left_of_a_flight_that_cannot_be_made() {
        let root = tempfile::tempdir().unwrap();
        let mut parent = root.path().to_owned();
        while parent.as_os_str().len() < 3840 {
            parent.push("d".repeat(200));
        }
        // There is room for its name in a path, and not for what belongs into it.
        let path = parent.join("f".repeat(4090 - parent.as_os_str().len() - 1));
        let error = FlightDir::create_at(path.clone(), &manifest(1000)).unwrap_err();
        assert!(crate::chain(&error).contains("name too long"), "{error}");
        assert!(parent.is_dir() && !path.exists());
    }

    #[test]
    fn a_flight_without_its_manifest_is_a_flight_and_a_bad_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let flight = FlightDir::create(root.path(), &manifest(1000)).unwrap();
        let path = flight.path().join(MANIFEST);
        for (text, said) in [
            ("{", "cannot understand"),
            ("{\"schema\": 1}", "missing field"),
            ("{\"schema\": 2}", "is of version 2, known is 1"),
            (&" ".repeat(2 << 20), "more than 1048576 bytes"),
            (&serde_json::to_string(&Manifest { schema: 2, ..manifest(1) }).unwrap(), "version 2"),
        ] {
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            let error = crate::chain(&flight.manifest().unwrap_err());
            assert!(error.contains(said) && error.contains(MANIFEST), "{said}: {error}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(flight.manifest().is_err(), "links are not followed");
        fs::remove_file(&path).unwrap();
        assert_eq!(flight.manifest().unwrap(), None);
        assert_eq!(FlightDir::open(flight.path()).unwrap(), flight);
    }

    #[test]
    fn what_a_crash_left_beside_the_manifest_is_in_nobodys_way() {
        let root = tempfile::tempdir().unwrap();
        let flight = FlightDir::create(root.path(), &manifest(1000)).unwrap();
        File::create(flight.path().join("manifest.json.tmp")).unwrap().write_all(b"{").unwrap();
        assert_eq!(flight.manifest().unwrap(), Some(manifest(1000)));
        let changed = Manifest { host: "bench".to_owned(), ..manifest(1000) };
        flight.write_manifest(&changed).unwrap();
        assert_eq!(flight.manifest().unwrap(), Some(changed));
    }

    #[test]
    fn a_flight_is_claimed_once_and_free_when_its_writer_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let flight = FlightDir::create(root.path(), &manifest(1000)).unwrap();
        assert!(!flight.is_claimed().unwrap());
        let claim = flight.claim().unwrap();
        assert!(flight.is_claimed().unwrap());
        assert!(matches!(flight.claim(), Err(BadDir::Claimed(_))));
        drop(claim);
        flight.claim().unwrap();
    }
}
