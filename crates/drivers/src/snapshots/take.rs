//! Taking a snapshot by a stopped copy, and reading, checking and removing snapshots.
//!
//! A snapshot of an app whose volumes have several parents is one directory per parent, under the
//! same id; it is complete when all of them are, and a take that was cut is simply asked for again.
//! Order: copy everything into `<id>.partial`, one sync of the file system, manifest, rename, sync
//! of the directory above. The handle for the one sync is opened before the first byte is written,
//! so that it reports any write error of the copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::area::{Area, PARTIAL, check_name, check_volume, kind_at, names_in, volume_name};
use super::manifest::{Difference, FORMAT, Manifest, Remark, root_hash};
use super::tree::{Progress, copy_tree, verify, watch_errors};
use crate::durable::{self, Site};

/// What to take a snapshot of.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The app.
    pub app: &'a str,
    /// The snapshot's id, unique per app.
    pub id: &'a str,
    /// The digest of the release that owns the data.
    pub digest: &'a str,
    /// Its version.
    pub version: &'a str,
    /// All volumes of the app; those that do not exist are recorded as absent.
    pub volumes: &'a [PathBuf],
    /// When the snapshot is taken, as the caller's clock says.
    pub taken_at: jiff::Timestamp,
}

/// `manifest.json`: the last file that is written into a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotManifest {
    /// The version of this format.
    pub format: u32,
    /// Always true: the file is written when everything else is there.
    pub complete: bool,
    /// How the copy was made.
    pub engine: String,
    /// The snapshot's id.
    pub id: String,
    /// The app.
    pub app: String,
    /// The digest of the release that owned the data.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// When it was taken.
    pub taken_at: jiff::Timestamp,
    /// Entries of all volumes in this directory.
    pub count: u64,
    /// Bytes of all regular files in them.
    pub bytes: u64,
    /// BLAKE3 over the names and root hashes of the volumes.
    pub root_hash: String,
    /// The volumes in this directory.
    pub volumes: Vec<VolumeRecord>,
}

/// One volume in a [`SnapshotManifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "state", rename_all = "kebab-case")]
pub enum VolumeRecord {
    /// There was nothing at the path; a restore takes away what is there then.
    Absent {
        /// The volume's name in its parent.
        name: String,
    },
    /// The volume was copied.
    Present {
        /// The volume's name in its parent.
        name: String,
        /// The file with its entries, beside `manifest.json`.
        entries: String,
        /// How many entries it has.
        count: u64,
        /// Bytes of its regular files.
        bytes: u64,
        /// BLAKE3 over the lines of `entries`.
        root_hash: String,
        /// What was left out or will not be the same.
        remarks: Vec<Remark>,
    },
}

/// A complete snapshot of the volumes in one parent directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it is.
    pub dir: PathBuf,
    /// Where the volumes are.
    pub area: Area,
    /// What it says of itself.
    pub manifest: SnapshotManifest,
}

impl VolumeRecord {
    /// The volume's name in its parent.
    pub fn name(&self) -> &str {
        match self {
            VolumeRecord::Absent { name } | VolumeRecord::Present { name, .. } => name,
        }
    }
}

/// The name of the engine in the manifest.
const ENGINE: &str = "stopped-copy";

/// Takes a snapshot of all volumes while the app is stopped, one part per parent directory.
///
/// Already done: a part that is complete under this id is returned as it is, if it belongs to the
/// same app, release and volumes. May be repeated after any failure. Durable on return.
///
/// # Errors
/// See [`Error::kind`]. After an error nothing of the part that failed is left, unless even the
/// removal failed; the next take or [`sweep`] removes it then.
pub fn take(request: &Request<'_>, progress: &mut dyn Progress) -> Result<Vec<Snapshot>, Error> {
    check_name(request.id)?;
    refuse_nested(request.volumes)?;
    let mut groups: BTreeMap<Area, Vec<&Path>> = BTreeMap::new();
    for volume in request.volumes {
        check_volume(volume)?;
        groups.entry(Area::of(volume, request.app)?).or_default().push(volume);
    }
    groups.into_iter().map(|(area, volumes)| part(request, area, &volumes, progress)).collect()
}

fn part(
    request: &Request<'_>,
    area: Area,
    volumes: &[&Path],
    progress: &mut dyn Progress,
) -> Result<Snapshot, Error> {
    area.make(&area.snapshots())?;
    let dir = area.snapshots().join(request.id);
    if kind_at(&dir)?.is_some() {
        let found = load(&area, request.id)?;
        check_same(request, volumes, &found)?;
        // The call that renamed it may have been killed before its sync.
        durable::sync_dir(&area.snapshots(), Site::SnapshotComplete)
            .map_err(Error::durable("complete the snapshot"))?;
        return Ok(found);
    }
    let partial = area.snapshots().join(format!("{}{PARTIAL}", request.id));
    remove(&partial)?;
    let made = fill(request, volumes, &partial, progress).and_then(|()| {
        durable::rename_new(&partial, &dir, Site::SnapshotComplete)
            .map_err(Error::durable("complete the snapshot"))
    });
    if let Err(error) = made {
        // The first error is the one that counts; a rest is removed by the next take.
        remove(&partial).ok();
        return Err(error);
    }
    load(&area, request.id)
}

fn fill(
    request: &Request<'_>,
    volumes: &[&Path],
    partial: &Path,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    durable::create_dir_all(partial, 0o700, Site::Area)
        .map_err(Error::durable("begin the snapshot"))?;
    let watched = watch_errors(partial)?;
    let mut records = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        records.push(copy_volume(volume, index, partial, progress)?);
    }
    durable::syncfs_since(&watched, partial, Site::SnapshotTree)
        .map_err(Error::durable("make the copy durable"))?;
    let manifest = summarize(request, records);
    durable::write_json(&partial.join(MANIFEST), &manifest, 0o600, Site::SnapshotManifest)
        .map_err(Error::durable("write the manifest"))
}

const MANIFEST: &str = "manifest.json";

fn copy_volume(
    volume: &Path,
    index: usize,
    partial: &Path,
    progress: &mut dyn Progress,
) -> Result<VolumeRecord, Error> {
    let name = volume_name(volume)?.to_owned();
    if check_volume(volume)?.is_none() {
        return Ok(VolumeRecord::Absent { name });
    }
    let manifest = copy_tree(volume, &partial.join(&name), progress)?;
    let lines = manifest.to_lines();
    let entries = format!(".entries-{index}.jsonl");
    durable::write(&partial.join(&entries), &lines, 0o600, Site::SnapshotManifest)
        .map_err(Error::durable("write the list of entries"))?;
    let (count, bytes) = (number(manifest.entries.len()), manifest.bytes());
    let (root_hash, remarks) = (root_hash(&lines), manifest.remarks);
    Ok(VolumeRecord::Present { name, entries, count, bytes, root_hash, remarks })
}

fn summarize(request: &Request<'_>, volumes: Vec<VolumeRecord>) -> SnapshotManifest {
    let (mut count, mut bytes) = (0, 0);
    for volume in &volumes {
        if let VolumeRecord::Present { count: entries, bytes: size, .. } = volume {
            count += entries;
            bytes += size;
        }
    }
    SnapshotManifest {
        format: FORMAT,
        complete: true,
        engine: ENGINE.to_owned(),
        id: request.id.to_owned(),
        app: request.app.to_owned(),
        digest: request.digest.to_owned(),
        version: request.version.to_owned(),
        taken_at: request.taken_at,
        count,
        bytes,
        root_hash: volumes_hash(&volumes),
        volumes,
    }
}

/// Over `<root hash or absent> <name>` and a line feed per volume.
fn volumes_hash(volumes: &[VolumeRecord]) -> String {
    let lines: String = volumes
        .iter()
        .map(|volume| match volume {
            VolumeRecord::Absent { name } => format!("absent {name}\n"),
            VolumeRecord::Present { name, root_hash, .. } => format!("{root_hash} {name}\n"),
        })
        .collect();
    root_hash(lines.as_bytes())
}

/// A snapshot that is there under the id has to be the one that was asked for.
fn check_same(request: &Request<'_>, volumes: &[&Path], found: &Snapshot) -> Result<(), Error> {
    let says =
        |field, found: &str, expected: &str| mismatch(&found_path(request), field, found, expected);
    fn found_path(request: &Request<'_>) -> PathBuf {
        PathBuf::from(request.id)
    }
    let manifest = &found.manifest;
    if manifest.digest != request.digest {
        return says("release", &manifest.digest, request.digest);
    }
    let names: Vec<_> = manifest.volumes.iter().map(VolumeRecord::name).collect();
    let wanted: Vec<_> = volumes.iter().map(|path| volume_name(path)).collect::<Result<_, _>>()?;
    if names != wanted {
        return says("volumes", &names.join(", "), &wanted.join(", "));
    }
    Ok(())
}

fn mismatch(
    path: &Path,
    field: &'static str,
    found: impl ToString,
    expected: impl ToString,
) -> Result<(), Error> {
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(Error::Mismatch { path: path.to_owned(), field, found, expected })
}

/// Reads a complete snapshot's manifest.
///
/// # Errors
/// `Missing` if there is none under this id, `Corrupt` if it contradicts itself or was written by
/// a newer format.
pub fn load(area: &Area, id: &str) -> Result<Snapshot, Error> {
    check_name(id)?;
    let dir = area.snapshots().join(id);
    let path = dir.join(MANIFEST);
    let text = std::fs::read(&path).map_err(|error| Error::system("read", &path, error))?;
    let format: Format = parse(&path, &text)?;
    if format.format != FORMAT {
        mismatch(&path, "format", format.format, FORMAT)?;
    }
    let manifest: SnapshotManifest = parse(&path, &text)?;
    if manifest.id != id {
        mismatch(&path, "id", &manifest.id, id)?;
    }
    if manifest.app != area.app() {
        mismatch(&path, "app", &manifest.app, area.app())?;
    }
    if manifest.root_hash != volumes_hash(&manifest.volumes) {
        mismatch(&path, "root_hash", &manifest.root_hash, volumes_hash(&manifest.volumes))?;
    }
    Ok(Snapshot { dir, area: area.clone(), manifest })
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Manifest { path: path.to_owned(), source })
}

impl Snapshot {
    /// The entries of one volume, checked against the root hash; `None` if it was absent.
    ///
    /// # Errors
    /// `Corrupt` if the list is not the one that the manifest names, `Refused` for a volume that
    /// is not in the snapshot.
    pub fn entries(&self, volume: &str) -> Result<Option<Manifest>, Error> {
        let record = self.manifest.volumes.iter().find(|record| record.name() == volume);
        let (entries, expected) = match record {
            Some(VolumeRecord::Present { entries, root_hash, .. }) => (entries, root_hash),
            Some(VolumeRecord::Absent { .. }) => return Ok(None),
            None => {
                let why = format!("snapshot {} has no volume {volume}", self.manifest.id);
                return Err(Error::refused(&self.dir, why));
            }
        };
        let path = self.dir.join(entries);
        let lines = std::fs::read(&path).map_err(|error| Error::system("read", &path, error))?;
        let found = root_hash(&lines);
        if found != *expected {
            mismatch(&path, "root_hash", &found, expected)?;
        }
        let read = Manifest::from_lines(&lines);
        Ok(Some(read.map_err(|source| Error::Manifest { path, source })?))
    }
}

/// Every way in which the copies in a snapshot are not what its manifest says, by volume.
///
/// # Errors
/// As [`Snapshot::entries`], and those of reading the copies.
pub fn verify_snapshot(
    snapshot: &Snapshot,
    progress: &mut dyn Progress,
) -> Result<Vec<(String, Difference)>, Error> {
    let mut differences = Vec::new();
    for record in &snapshot.manifest.volumes {
        let name = record.name();
        if let Some(manifest) = snapshot.entries(name)? {
            let found = verify(&snapshot.dir.join(name), &manifest, progress)?;
            differences.extend(found.into_iter().map(|found| (name.to_owned(), found)));
        }
    }
    Ok(differences)
}

/// The ids of all complete snapshots of an area, sorted.
///
/// # Errors
/// See [`Error::kind`].
pub fn list(area: &Area) -> Result<Vec<String>, Error> {
    let mut names = names_in(&area.snapshots())?;
    names.retain(|name| check_name(name).is_ok());
    Ok(names)
}

/// Removes a snapshot. Already done: there is none. Durable on return; one that was removed
/// half-way is never taken for complete.
///
/// # Errors
/// See [`Error::kind`].
pub fn discard(area: &Area, id: &str) -> Result<(), Error> {
    check_name(id)?;
    let dir = area.snapshots().join(id);
    let partial = area.snapshots().join(format!("{id}{PARTIAL}"));
    remove(&partial)?;
    if kind_at(&dir)?.is_some() {
        durable::rename_new(&dir, &partial, Site::Prune)
            .map_err(Error::durable("put the snapshot aside"))?;
        remove(&partial)?;
    }
    Ok(())
}

/// Removes everything that killed processes left unfinished, and returns how much it was. Only for
/// the holder of the lock.
///
/// # Errors
/// See [`Error::kind`].
pub fn sweep(area: &Area) -> Result<usize, Error> {
    let mut swept = 0;
    for dir in [area.snapshots(), area.restores()] {
        for name in names_in(&dir)?.iter().filter(|name| name.ends_with(PARTIAL)) {
            remove(&dir.join(name))?;
            swept += 1;
        }
    }
    Ok(swept)
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    durable::remove_tree(path, Site::Prune).map_err(Error::durable("remove what is unfinished"))
}

fn number(count: usize) -> u64 {
    u64::try_from(count).expect("a count of things in memory fits")
}

/// A volume inside another one would be copied twice and restored against itself.
fn refuse_nested(volumes: &[PathBuf]) -> Result<(), Error> {
    for (index, volume) in volumes.iter().enumerate() {
        for other in volumes.iter().skip(index + 1) {
            if volume.starts_with(other) || other.starts_with(volume) {
                let why = format!("it overlaps with {}", other.display());
                return Err(Error::refused(volume, why));
            }
        }
    }
    Ok(())
}
