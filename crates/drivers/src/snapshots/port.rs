//! The engine's port: all volumes of one app at once, wherever they lie.
//!
//! - **A copy is all or nothing.** It is complete when every directory beside a volume has its part;
//!   a take removes all parts of an earlier copy before it makes the first new one, so that parts of
//!   two copies never meet.
//! - **Nobody may hold the volumes** when they are copied ([`super::holders`]).
//! - **A round has names of its own**, `<txn>.<round>`, for its restored trees and for what it sets
//!   aside. What lies under such a name from an agent that could not record it is never used as a
//!   restored tree unless it is one, byte by byte, and never overwritten: it gets a free name.
//! - **An exchange looks at all volumes before it touches one**, and makes `failed/<txn>.<round>`
//!   first: that directory is how [`was_exchanged`](Snapshots::was_exchanged) knows.
//!
//! The lock of the areas is the caller's ([`super::lock`]). Every fault is the host's: nothing here
//! says anything about a release.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use groundcrew_engine::machine::{TreeId, TreePair};
use groundcrew_engine::noun::{Fault, TxnId, VolumeName};
use groundcrew_engine::plan::Volume;
use groundcrew_engine::ports::{self, KeepSet, RestoreOrder, Snapshots, TakeOrder, Taken};

use super::area::{PARTIAL, kind_at, names_in, volume_name};
use super::restore::{self, Identity, Pair};
use super::row::{ROW_FORMAT, Row, Rows};
use super::take::{Request, Snapshot, discard, load, remove, take, verify_snapshot};
use super::tree::{Progress, verify};
use super::{Area, Error, holders, room};
use crate::causes::causes;
use crate::durable::{self, Site};

mod tidy;

/// How often a name is tried that might be taken; only unrecorded ways back take names away.
const NAME_TRIES_MAX: u32 = 1000;

/// Copies the volumes of one app and brings them back.
#[derive(Debug)]
pub struct VolumeSnapshots {
    app: String,
    rows: Rows,
    configured: BTreeSet<Area>,
    now: fn() -> jiff::Timestamp,
}

/// Every fault is the host's.
fn fault(error: Error) -> Fault {
    Fault::host(causes(&error))
}

fn paths(volumes: &BTreeMap<VolumeName, Volume>) -> Vec<PathBuf> {
    volumes.values().map(|volume| PathBuf::from(&volume.path)).collect()
}

/// The name of a round's trees.
fn round_name(order: &RestoreOrder<'_>) -> String {
    format!("{}.{}", order.txn, order.round)
}

/// Whether a name in an area belongs to an update: it begins with the update's and a dot.
fn belongs(name: &str, txn: &TxnId) -> bool {
    name.strip_prefix(txn.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn tree_id(identity: Identity) -> TreeId {
    let (major, minor) = identity.dev;
    let dev = rustix::fs::makedev(major, minor);
    TreeId { dev, ino: identity.ino, born: identity.born }
}

fn identity(id: TreeId) -> Identity {
    let dev = (rustix::fs::major(id.dev), rustix::fs::minor(id.dev));
    Identity { dev, ino: id.ino, born: id.born }
}

/// Bytes for the engine's progress; what is done never passes the total.
struct Bytes<'a> {
    to: &'a mut dyn ports::Progress,
    done: u64,
    total: u64,
}

impl Progress for Bytes<'_> {
    fn advance(&mut self, _entries: u64, bytes: u64) -> ControlFlow<()> {
        self.done = self.done.saturating_add(bytes).min(self.total);
        if bytes > 0 {
            self.to.at(self.done, self.total);
        }
        ControlFlow::Continue(())
    }
}

impl VolumeSnapshots {
    /// Snapshots of an app with these volumes, as it is configured now. `now` dates the manifests.
    ///
    /// # Errors
    /// `Refused` for a name or path that we do not take.
    pub fn new(
        state: &Path,
        app: &str,
        volumes: &BTreeMap<VolumeName, Volume>,
        now: fn() -> jiff::Timestamp,
    ) -> Result<Self, Error> {
        let rows = Rows::of(state, app)?;
        let configured = areas(app, &paths(volumes))?;
        Ok(Self { app: app.to_owned(), rows, configured, now })
    }

    /// The host's list of this app's snapshots.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Every way in which a snapshot is not what was copied, in words; none: it is whole.
    ///
    /// # Errors
    /// `Missing` if there is no such snapshot, `Corrupt` if its manifests contradict each other.
    pub fn verify(&self, id: &str, progress: &mut dyn Progress) -> Result<Vec<String>, Error> {
        let Some(row) = self.rows.read(id)? else {
            return Err(Error::system("find the snapshot", Path::new(id), not_there()));
        };
        let volumes: Vec<PathBuf> = row.volumes.values().cloned().collect();
        let mut found = Vec::new();
        for part in self.parts(id, &volumes)?.values() {
            for (volume, difference) in verify_snapshot(part, progress)? {
                found.push(format!("{volume}: {difference}"));
            }
        }
        Ok(found)
    }

    /// All parts of a complete copy.
    fn parts(&self, id: &str, volumes: &[PathBuf]) -> Result<BTreeMap<Area, Snapshot>, Error> {
        let mut parts = BTreeMap::new();
        for area in areas(&self.app, volumes)? {
            let part = load(&area, id)?;
            parts.insert(area, part);
        }
        let Some(row) = self.rows.read(id)? else { return Ok(parts) };
        for (area, part) in &parts {
            let found = &part.manifest.root_hash;
            let expected = row.parts.get(&area.path()).map_or("no part", String::as_str);
            if found != expected {
                let (path, field) = (part.dir.clone(), "root_hash");
                let (found, expected) = (found.clone(), expected.to_owned());
                return Err(Error::Mismatch { path, field, found, expected });
            }
        }
        Ok(parts)
    }

    fn take_all(
        &self,
        order: &TakeOrder<'_>,
        progress: &mut dyn ports::Progress,
    ) -> Result<Taken, Error> {
        let volumes = paths(order.volumes);
        let used = areas(&self.app, &volumes)?;
        let surveys: Vec<_> =
            volumes.iter().map(|path| holders::survey(path)).collect::<Result<_, _>>()?;
        holders::refuse_holders(&surveys)?;
        self.rows.note_areas(&used)?;
        self.forget(order.id.as_str(), &used)?;
        let owner = order.owner;
        let request = Request {
            app: &self.app,
            id: order.id.as_str(),
            digest: owner.map_or("none", |release| release.digest.as_str()),
            version: owner.map_or("none", |release| &release.version),
            volumes: &volumes,
            taken_at: (self.now)(),
        };
        let total = surveys.iter().map(|survey| survey.bytes).sum();
        let mut bytes = Bytes { to: progress, done: 0, total };
        let made = take(&request, &mut bytes).and_then(|parts| {
            whole(&parts)?;
            for part in &parts {
                room::keep_free(part, order.id.as_str())?;
            }
            let row = row(order, &request, &parts);
            self.rows.write(&row)?;
            Ok(Taken { bytes: row.bytes })
        });
        if made.is_err() {
            // The first error is the one that counts; without its row and with a part missing, what
            // is left is no copy, and the next take removes it.
            self.forget(order.id.as_str(), &used).ok();
        }
        made
    }

    /// Removes every part of a copy, its row first.
    fn forget(&self, id: &str, used: &BTreeSet<Area>) -> Result<(), Error> {
        let row = self.rows.read(id).unwrap_or(None);
        let before: Vec<PathBuf> =
            row.into_iter().flat_map(|row| row.volumes.into_values()).collect();
        self.rows.remove(id)?;
        for area in areas(&self.app, &before)?.union(used) {
            discard(area, id)?;
        }
        Ok(())
    }

    fn build_all(
        &self,
        order: &RestoreOrder<'_>,
        progress: &mut dyn ports::Progress,
    ) -> Result<Vec<TreePair>, Error> {
        let volumes = paths(order.volumes);
        let parts = self.parts(order.id.as_str(), &volumes)?;
        self.rows.note_areas(&areas(&self.app, &volumes)?)?;
        // Each byte is copied and then read back.
        let total = parts.values().map(|part| part.manifest.bytes.saturating_mul(2)).sum();
        let mut bytes = Bytes { to: progress, done: 0, total };
        let round = round_name(order);
        let mut pairs = Vec::new();
        for (name, volume) in order.volumes {
            let path = PathBuf::from(&volume.path);
            let area = Area::of(&path, &self.app)?;
            let part = parts.get(&area).expect("parts has an entry for the area of every volume");
            room::give_free(&area)?;
            make_way(&area, &round, part, &path)?;
            let pair = restore::build_restore(part, &path, &round, &mut bytes)?;
            let (live, restored) = (pair.live.map(tree_id), pair.built.map(tree_id));
            pairs.push(TreePair { volume: name.clone(), live, restored });
        }
        Ok(pairs)
    }

    fn exchange_all(
        &self,
        order: &RestoreOrder<'_>,
        pairs: &[TreePair],
    ) -> Result<Option<String>, Error> {
        let round = round_name(order);
        let mut known = Vec::new();
        for pair in pairs {
            let Some(volume) = order.volumes.get(&pair.volume) else {
                let why = "the plan of this update has no such volume";
                return Err(Error::refused(Path::new(pair.volume.as_str()), why));
            };
            let (live, built) = (pair.live.map(identity), pair.restored.map(identity));
            let (app, volume) = (self.app.clone(), PathBuf::from(&volume.path));
            known.push(Pair { app, txn: round.clone(), volume, live, built });
        }
        for pair in &known {
            restore::check(pair)?;
        }
        let volumes: Vec<PathBuf> = known.iter().map(|pair| pair.volume.clone()).collect();
        for area in areas(&self.app, &volumes)? {
            area.make(&area.failed().join(&round))?;
        }
        let mut aside = BTreeSet::new();
        for pair in &known {
            let failed = restore::exchange(pair)?.failed;
            aside.extend(failed.map(|path| durable::parent(&path).display().to_string()));
        }
        let aside: Vec<String> = aside.into_iter().collect();
        Ok((!aside.is_empty()).then(|| aside.join(", ")))
    }

    /// Every area that may hold something of this app.
    fn areas(&self) -> Result<BTreeSet<Area>, Error> {
        let mut areas = self.rows.areas()?;
        areas.extend(self.configured.iter().cloned());
        Ok(areas)
    }

    fn find_exchange(&self, txn: &TxnId) -> Result<bool, Error> {
        // Where the update's own copy lies, an exchange left its trace; the disk has to be there.
        if let Some(row) = self.rows.read(txn.as_str())? {
            let volumes: Vec<PathBuf> = row.volumes.values().cloned().collect();
            for area in areas(&self.app, &volumes)? {
                if kind_at(&area.path())?.is_none() {
                    return Err(Error::system("open", &area.path(), not_there()));
                }
            }
        }
        for area in self.areas()? {
            if names_in(&area.failed())?.iter().any(|name| belongs(name, txn)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn not_there() -> std::io::Error {
    std::io::ErrorKind::NotFound.into()
}

/// The areas of these volumes.
fn areas(app: &str, volumes: &[PathBuf]) -> Result<BTreeSet<Area>, Error> {
    volumes.iter().map(|volume| Area::of(volume, app)).collect()
}

/// Reads a fresh copy back, so that what is called a way back is one.
fn whole(parts: &[Snapshot]) -> Result<(), Error> {
    for part in parts {
        let found = verify_snapshot(part, &mut ())?;
        if let Some((volume, first)) = found.first() {
            let tree = part.dir.join(volume);
            return Err(Error::Differs { tree, count: found.len(), first: first.to_string() });
        }
    }
    Ok(())
}

fn row(order: &TakeOrder<'_>, request: &Request<'_>, parts: &[Snapshot]) -> Row {
    let path = |volume: &Volume| PathBuf::from(&volume.path);
    Row {
        format: ROW_FORMAT,
        id: order.id.clone(),
        app: request.app.to_owned(),
        txn: order.txn.clone(),
        version: order.owner.map(|release| release.version.clone()),
        digest: order.owner.map(|release| release.digest.0.clone()),
        taken_at: request.taken_at,
        bytes: parts.iter().map(|part| part.manifest.bytes).sum(),
        count: parts.iter().map(|part| part.manifest.count).sum(),
        volumes: order.volumes.iter().map(|(name, volume)| (name.clone(), path(volume))).collect(),
        parts: parts
            .iter()
            .map(|part| (part.area.path(), part.manifest.root_hash.clone()))
            .collect(),
    }
}

/// Clears a round's names of what an agent left there that could not record it.
///
/// Under the name of the restored tree may lie the failed data: a kill between the exchange and the
/// putting aside leaves it there. It is kept, like everything that was set aside.
fn make_way(area: &Area, round: &str, part: &Snapshot, volume: &Path) -> Result<(), Error> {
    let name = volume_name(volume)?;
    let built = area.restores().join(round).join(name);
    let aside = area.failed().join(round).join(name);
    if kind_at(&built)?.is_some() {
        let is_ours = match part.entries(name)? {
            Some(manifest) => verify(&built, &manifest, &mut ())?.is_empty(),
            None => false,
        };
        if !is_ours {
            keep_under_free_name(area, round, &built)?;
        }
    }
    if kind_at(&aside)?.is_some() {
        keep_under_free_name(area, round, &aside)?;
    }
    Ok(())
}

fn keep_under_free_name(area: &Area, round: &str, tree: &Path) -> Result<(), Error> {
    let name = tree.file_name().expect("a tree in an area has the volume's name");
    for count in 1..=NAME_TRIES_MAX {
        let dir = area.failed().join(format!("{round}.{count}"));
        let free = dir.join(name);
        if kind_at(&free)?.is_none() {
            area.make(&dir)?;
            return durable::rename_new(tree, &free, Site::FailedAside)
                .map_err(Error::durable("keep what was set aside before"));
        }
    }
    Err(Error::refused(tree, "no free name is left to keep it; remove failed data by hand"))
}

impl Snapshots for VolumeSnapshots {
    fn take(
        &mut self,
        order: &TakeOrder<'_>,
        progress: &mut dyn ports::Progress,
    ) -> Result<Taken, Fault> {
        self.take_all(order, progress).map_err(fault)
    }

    fn build(
        &mut self,
        order: &RestoreOrder<'_>,
        progress: &mut dyn ports::Progress,
    ) -> Result<Vec<TreePair>, Fault> {
        self.build_all(order, progress).map_err(fault)
    }

    fn exchange(
        &mut self,
        order: &RestoreOrder<'_>,
        pairs: &[TreePair],
    ) -> Result<Option<String>, Fault> {
        self.exchange_all(order, pairs).map_err(fault)
    }

    fn was_exchanged(&mut self, txn: &TxnId) -> Result<bool, Fault> {
        self.find_exchange(txn).map_err(fault)
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<String>, Fault> {
        self.tidy(set)
    }
}
