//! How much room an update needs, and how much there is (GATE-6).
//!
//! Per file system that is written to:
//!
//! - beside each volume, twice what the volume takes, and a little more: the snapshot and the tree
//!   that a restore would build. The failed data is the live tree itself under another name.
//! - in the state directory the release, unless it lies there, the ballast, and the journal;
//! - a reserve, so that we are never the ones who fill a disk that others write to.
//!
//! Two places on one file system share one entry. A volume is walked for what it takes, without
//! crossing mounts; a walk that takes too long is given up, and all that is used on its file system
//! counts instead, which is too much and never too little.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use groundcrew_engine::noun::{AppName, Digest, VolumeName};
use groundcrew_engine::plan::Volume;
use groundcrew_engine::ports::{Place, Room};
use rustix::fs::{StatVfs, statvfs};

use crate::source::directory::release_dir;

/// How long all volumes together are walked.
pub(super) const WALK_MAX: Duration = Duration::from_secs(10);

const MIB: u64 = 1024 * 1024;

/// The ballast beside the journal.
const BALLAST_BYTES: u64 = 8 * MIB;

/// A release whose size nobody knows yet takes at least this.
const RELEASE_MIN_BYTES: u64 = 64 * MIB;

/// Files of such a release.
const RELEASE_INODES: u64 = 2_000;

/// Runs, plans, journals and manifests.
const OWN_INODES: u64 = 100;

/// Of each file system this part stays free, within these bounds.
const RESERVE_PERCENT: u64 = 5;
const RESERVE_MIN_BYTES: u64 = 64 * MIB;
const RESERVE_MAX_BYTES: u64 = 1024 * MIB;

/// Unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Something could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot look at {}", path.display())]
pub(super) struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What lies somewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    bytes: u64,
    inodes: u64,
}

/// Needs on one file system.
#[derive(Debug)]
struct Need {
    path: PathBuf,
    taken: Taken,
    is_guess: bool,
}

pub(super) fn room(
    state: &Path,
    app: &AppName,
    volumes: &BTreeMap<VolumeName, Volume>,
    release: &Digest,
    walk_max: Duration,
) -> Result<Room, Error> {
    let deadline = Instant::now() + walk_max;
    let mut needs: BTreeMap<u64, Need> = BTreeMap::new();
    let mut own = unpacked(state, app, release, deadline)?;
    own.bytes = own.bytes.saturating_add(BALLAST_BYTES);
    own.inodes = own.inodes.saturating_add(OWN_INODES);
    add(&mut needs, state, own, false)?;
    for volume in volumes.values() {
        let path = Path::new(&volume.path);
        let parent = path.parent().unwrap_or(path);
        let (taken, is_guess) = match walk(path, deadline)? {
            Some(taken) => (taken, false),
            None => (all_used(parent)?, true),
        };
        // A twentieth more for directories, manifests, and blocks that do not pack as well.
        let bytes = taken.bytes.saturating_mul(2);
        let twice = Taken {
            bytes: bytes.saturating_add(bytes / 20),
            inodes: taken.inodes.saturating_mul(2).saturating_add(OWN_INODES),
        };
        add(&mut needs, parent, twice, is_guess)?;
    }
    let places = needs.into_values().map(place).collect::<Result<_, _>>()?;
    Ok(Room { places })
}

fn add(
    needs: &mut BTreeMap<u64, Need>,
    path: &Path,
    more: Taken,
    is_guess: bool,
) -> Result<(), Error> {
    let (path, metadata) = existing(path)?;
    let need = needs.entry(metadata.dev()).or_insert_with(|| Need {
        path,
        taken: Taken::default(),
        is_guess: false,
    });
    need.taken.bytes = need.taken.bytes.saturating_add(more.bytes);
    need.taken.inodes = need.taken.inodes.saturating_add(more.inodes);
    need.is_guess |= is_guess;
    Ok(())
}

/// The path, or the nearest one above it that exists.
fn existing(path: &Path) -> Result<(PathBuf, Metadata), Error> {
    let mut known = path;
    loop {
        match fs::metadata(known) {
            Ok(metadata) => return Ok((known.to_owned(), metadata)),
            Err(source) => match known.parent() {
                Some(above) if source.kind() == io::ErrorKind::NotFound => known = above,
                _ => return Err(Error { path: path.into(), source }),
            },
        }
    }
}

fn place(need: Need) -> Result<Place, Error> {
    let fs = statfs(&need.path)?;
    let total = fs.f_blocks.saturating_mul(fs.f_frsize);
    let reserve =
        (total / 100).saturating_mul(RESERVE_PERCENT).clamp(RESERVE_MIN_BYTES, RESERVE_MAX_BYTES);
    let guess = " (too much to walk in time: all that is used there counts)";
    let note = if need.is_guess { guess } else { "" };
    Ok(Place {
        path: format!("{}{note}", need.path.display()),
        free_bytes: fs.f_bavail.saturating_mul(fs.f_frsize),
        // A file system that makes inodes as it needs them counts none.
        free_inodes: (fs.f_files > 0).then_some(fs.f_favail),
        need_bytes: need.taken.bytes.saturating_add(reserve),
        need_inodes: need.taken.inodes,
    })
}

fn statfs(path: &Path) -> Result<StatVfs, Error> {
    let (path, _) = existing(path)?;
    statvfs(&path).map_err(|errno| Error { path, source: errno.into() })
}

fn all_used(path: &Path) -> Result<Taken, Error> {
    let fs = statfs(path)?;
    Ok(Taken {
        bytes: fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize),
        inodes: fs.f_files.saturating_sub(fs.f_ffree),
    })
}

/// What the release will take: nothing if it lies here, else half more than the app's largest.
fn unpacked(
    state: &Path,
    app: &AppName,
    release: &Digest,
    deadline: Instant,
) -> Result<Taken, Error> {
    let dir = release_dir(state, app.as_str(), release);
    if dir.is_dir() {
        return Ok(Taken::default());
    }
    let mut largest = Taken { bytes: RELEASE_MIN_BYTES, inodes: RELEASE_INODES };
    let shelf = dir.parent().unwrap_or(state);
    for entry in fs::read_dir(shelf).into_iter().flatten().flatten() {
        if let Some(taken) = walk(&entry.path(), deadline)? {
            largest.bytes = largest.bytes.max(taken.bytes.saturating_add(taken.bytes / 2));
            largest.inodes = largest.inodes.max(taken.inodes.saturating_add(taken.inodes / 2));
        }
    }
    Ok(largest)
}

/// What a tree takes on its own file system; `None`: it is not walked in time. What vanishes while
/// it is walked takes nothing.
fn walk(root: &Path, deadline: Instant) -> Result<Option<Taken>, Error> {
    let Some(top) = look(root)? else { return Ok(Some(Taken::default())) };
    let mut taken = Taken::default();
    let mut linked = HashSet::new();
    let mut left = vec![(root.to_owned(), top.clone())];
    while let Some((path, metadata)) = left.pop() {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        if metadata.dev() != top.dev()
            || (metadata.nlink() > 1 && !metadata.is_dir() && !linked.insert(metadata.ino()))
        {
            continue;
        }
        taken.inodes += 1;
        taken.bytes = taken.bytes.saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES));
        if metadata.is_dir() {
            left.extend(children(&path)?);
        }
    }
    Ok(Some(taken))
}

fn look(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error { path: path.into(), source }),
    }
}

fn children(dir: &Path) -> Result<Vec<(PathBuf, Metadata)>, Error> {
    let failed = |source| Error { path: dir.into(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if let Some(metadata) = look(&path)? {
            found.push((path, metadata));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn put(path: &Path, bytes: usize) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        file.write_all(&vec![b'x'; bytes]).unwrap();
        file.sync_all().unwrap();
    }

    fn measure(dir: &Path, volumes: &[&str], walk_max: Duration) -> Room {
        let volume = |name: &&str| {
            let path = dir.join(name).to_str().unwrap().to_owned();
            ((*name).into(), Volume { path })
        };
        let volumes = volumes.iter().map(volume).collect();
        let release = Digest("sha256:00".to_owned());
        room(&dir.join("state"), &"app".into(), &volumes, &release, walk_max).unwrap()
    }

    #[test]
    fn places_on_one_file_system_share_an_entry_that_holds_twice_the_data() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("a/data/one"), 3 << 20);
        put(&dir.path().join("b/data/two"), 1 << 20);
        fs::hard_link(dir.path().join("a/data/one"), dir.path().join("a/data/same")).unwrap();
        let long = Duration::from_secs(60);
        let empty = measure(dir.path(), &[], long);
        let full = measure(dir.path(), &["a/data", "b/data", "c/not/there"], long);
        assert_eq!((empty.places.len(), full.places.len()), (1, 1), "{full:?}");
        let more = full.places[0].need_bytes - empty.places[0].need_bytes;
        let data = 2 * (4 << 20);
        assert!((data..data + data / 10).contains(&more), "{more} more for {data}");
        // Both directories, both files; 100 of our own for each of three volumes.
        assert_eq!(full.places[0].need_inodes - empty.places[0].need_inodes, 2 * 4 + 300);
        let least = RELEASE_MIN_BYTES + BALLAST_BYTES + RESERVE_MIN_BYTES;
        assert!(empty.places[0].need_bytes >= least);
        let path = dir.path().to_str().unwrap();
        assert_eq!(empty.places[0].path, path, "the nearest that exists");
        assert!(empty.places[0].free_bytes > 0);
    }

    #[test]
    fn a_release_that_lies_here_needs_no_room_and_a_large_one_is_taken_for_a_measure() {
        let dir = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(60);
        let unknown = measure(dir.path(), &[], long).places[0].need_bytes;
        put(&dir.path().join("state/releases/app/sha256-11/files/app"), 80 << 20);
        let measured = measure(dir.path(), &[], long).places[0].need_bytes;
        assert!(measured >= unknown - RELEASE_MIN_BYTES + (120 << 20), "{measured}, {unknown}");
        fs::create_dir_all(dir.path().join("state/releases/app/sha256-00")).unwrap();
        let here = measure(dir.path(), &[], long).places[0].need_bytes;
        assert_eq!(unknown - here, RELEASE_MIN_BYTES);
    }

    #[test]
    fn a_walk_that_takes_too_long_counts_all_that_is_used_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("data/one"), 1 << 20);
        let empty = measure(dir.path(), &[], Duration::from_secs(60));
        let walked = measure(dir.path(), &["data"], Duration::from_secs(60));
        let guessed = measure(dir.path(), &["data"], Duration::ZERO);
        let used = all_used(dir.path()).unwrap().bytes;
        // Twice of what is used, which others may change meanwhile.
        let more = guessed.places[0].need_bytes - empty.places[0].need_bytes;
        assert!(more > used && used >= 1 << 20, "{more} more for {used}");
        assert!(!walked.places[0].path.contains("counts"));
        assert!(guessed.places[0].path.ends_with("all that is used there counts)"));
    }
}
