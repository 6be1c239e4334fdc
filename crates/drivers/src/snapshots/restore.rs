//! The way back to a snapshot, in two steps that may each be cut anywhere and asked for again.
//!
//! 1. [`build_restore`] builds a copy of the snapshot beside the live volume, checks every byte of
//!    it against the manifest and says which inodes the live and the built tree are. The caller
//!    records that [`Pair`] before it goes on.
//! 2. [`exchange`] compares what is in place with the pair, exchanges the two trees in one rename,
//!    and puts the failed tree aside.
//!
//! What [`exchange`] finds, and does (L: the live tree's inode in the pair, B: the built one's):
//!
//! | pair | at the volume | at the built path | then |
//! |---|---|---|---|
//! | L, B | L | B | exchange, then put aside |
//! | L, B | B | L | put aside |
//! | L, B | B | nothing | done |
//! | L, none | L | nothing | put aside, nothing takes its place |
//! | L, none | nothing (L is aside) | nothing | done |
//! | none, B | nothing | B | rename into place |
//! | none, B | B | nothing | done |
//! | none, none | nothing | nothing | done |
//! | any | anything else | | refused as *neither*, nothing is touched |
//!
//! An inode is compared by number and birth time. The device number is not compared with the
//! recorded one, for it may be another after a reboot; both trees have to be in the file system
//! that the volume's parent is in now.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Statx, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Error;
use super::area::{Area, PARTIAL, check_name, check_volume, kind_at, names_in, volume_name};
use super::inode::Inode;
use super::take::{Snapshot, remove};
use super::tree::{Progress, copy_tree, verify, watch_errors};
use crate::durable::{self, Site};

/// Which directory it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device's major and minor number when it was looked at; for people, never compared.
    pub dev: (u32, u32),
    /// The inode's number.
    pub ino: u64,
    /// When the inode was made, in seconds and nanoseconds, where the file system tells.
    pub born: Option<(i64, u32)>,
}

/// What an exchange is about, to be recorded before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The app.
    pub app: String,
    /// The transaction that the restore belongs to.
    pub txn: String,
    /// The volume's path.
    pub volume: PathBuf,
    /// The tree at the volume's path before the exchange; `None` if there was nothing.
    pub live: Option<Identity>,
    /// The tree built from the snapshot; `None` if the volume was absent in it.
    pub built: Option<Identity>,
}

/// What [`exchange`] did or found done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// Where the failed tree is now; `None` if there was none.
    pub failed: Option<PathBuf>,
    /// True if a call before this one had finished the work.
    pub already: bool,
}

impl Identity {
    pub(super) fn of(stat: &Statx) -> Identity {
        let born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Identity {
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            born: born.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
        }
    }

    fn is(&self, other: &Identity) -> bool {
        let born = self.born.is_none() || other.born.is_none() || self.born == other.born;
        self.ino == other.ino && born
    }
}

struct Places {
    area: Area,
    built: PathBuf,
    aside: PathBuf,
}

impl Places {
    fn of(volume: &Path, app: &str, txn: &str) -> Result<Places, Error> {
        check_name(txn)?;
        let area = Area::of(volume, app)?;
        let name = volume_name(volume)?;
        let built = area.restores().join(txn).join(name);
        let aside = area.failed().join(txn).join(name);
        Ok(Places { area, built, aside })
    }
}

/// Builds a verified copy of one volume of a snapshot beside the live one.
///
/// Already done: a complete copy of this transaction is used as it is. May be repeated until
/// [`exchange`] was asked for. The copy is durable on return; the live tree is untouched.
///
/// # Errors
/// `Corrupt` if the snapshot is not what its manifest says; otherwise see [`Error::kind`].
pub fn build_restore(
    snapshot: &Snapshot,
    volume: &Path,
    txn: &str,
    progress: &mut dyn Progress,
) -> Result<Pair, Error> {
    let places = Places::of(volume, snapshot.area.app(), txn)?;
    if places.area != snapshot.area {
        return Err(Error::refused(volume, "the snapshot is of volumes in another directory"));
    }
    let live = check_volume(volume)?;
    places.area.make(&places.area.path())?;
    let name = volume_name(volume)?;
    let built = match snapshot.entries(name)? {
        None => None,
        Some(manifest) => {
            if kind_at(&places.built)?.is_some() {
                // The call that renamed it may have been killed before its sync.
                durable::sync_dir(durable::parent(&places.built), Site::RestoreComplete)
                    .map_err(Error::durable("complete the restored tree"))?;
            } else {
                let partial = places.area.restores().join(format!("{txn}{PARTIAL}")).join(name);
                remove(&partial)?;
                places.area.make(durable::parent(&partial))?;
                let from = snapshot.dir.join(name);
                let made = build(&from, &partial, &manifest, progress)
                    .and_then(|()| complete(&places, &partial));
                if let Err(error) = made {
                    // The first error is the one that counts; the next call removes a rest.
                    remove(&partial).ok();
                    // Another volume may be built in there already; then it is not empty and stays.
                    std::fs::remove_dir(durable::parent(&partial)).ok();
                    return Err(error);
                }
            }
            identity(&places.built)?
        }
    };
    let (app, txn) = (places.area.app().to_owned(), txn.to_owned());
    Ok(Pair { app, txn, volume: volume.to_owned(), live, built })
}

fn build(
    from: &Path,
    partial: &Path,
    manifest: &super::Manifest,
    progress: &mut dyn Progress,
) -> Result<(), Error> {
    let watched = watch_errors(durable::parent(partial))?;
    copy_tree(from, partial, progress)?;
    let differences = verify(partial, manifest, progress)?;
    if let Some(first) = differences.first() {
        return Err(Error::Differs {
            tree: from.to_owned(),
            count: differences.len(),
            first: first.to_string(),
        });
    }
    durable::syncfs_since(&watched, partial, Site::RestoreTree)
        .map_err(Error::durable("make the restored tree durable"))
}

fn complete(places: &Places, partial: &Path) -> Result<(), Error> {
    places.area.make(durable::parent(&places.built))?;
    durable::rename_new(partial, &places.built, Site::RestoreComplete)
        .map_err(Error::durable("complete the restored tree"))?;
    // Other volumes may still be in the making there.
    remove_if_empty(durable::parent(partial))
}

/// Puts the built tree in the place of the live one and the live one aside.
///
/// Already done: what is in place has the identities of after the exchange. May be repeated.
/// Durable on return.
///
/// # Errors
/// `Neither` if what is in place belongs neither before nor after; nothing was touched then.
pub fn exchange(pair: &Pair) -> Result<Exchanged, Error> {
    let places = Places::of(&pair.volume, &pair.app, &pair.txn)?;
    let failed = pair.live.map(|_| places.aside.clone());
    match standing(pair, &places)? {
        Standing::Done => {
            // The first call may have been killed between its last rename and the sync.
            sync_places(pair, &places)?;
            return Ok(Exchanged { failed, already: true });
        }
        Standing::Swapped => {
            sync_places(pair, &places)?;
            put_aside(&places, &places.built)?;
        }
        Standing::Before => match (&pair.live, &pair.built) {
            (Some(_), Some(_)) => {
                durable::exchange(&pair.volume, &places.built, Site::RestoreExchange)
                    .map_err(Error::durable("exchange the live and the restored tree"))?;
                put_aside(&places, &places.built)?;
            }
            (Some(_), None) => put_aside(&places, &pair.volume)?,
            (None, Some(_)) => {
                durable::rename_new(&places.built, &pair.volume, Site::RestoreExchange)
                    .map_err(Error::durable("put the restored tree in place"))?;
            }
            (None, None) => {}
        },
    }
    remove_if_empty(durable::parent(&places.built))?;
    Ok(Exchanged { failed, already: false })
}

/// How far an exchange has come.
enum Standing {
    /// Nothing was done.
    Before,
    /// The trees are exchanged and the failed one is not aside yet.
    Swapped,
    /// All was done.
    Done,
}

/// Fails as [`exchange`] would, without touching anything.
pub(super) fn check(pair: &Pair) -> Result<(), Error> {
    standing(pair, &Places::of(&pair.volume, &pair.app, &pair.txn)?).map(drop)
}

fn standing(pair: &Pair, places: &Places) -> Result<Standing, Error> {
    let live = identity(&pair.volume)?;
    let built = identity(&places.built)?;
    let aside = identity(&places.aside)?;
    let is = |found: &Option<Identity>, wanted: &Option<Identity>| match (found, wanted) {
        (Some(found), Some(wanted)) => found.is(wanted),
        (None, None) => true,
        _ => false,
    };
    let before = is(&live, &pair.live) && is(&built, &pair.built);
    let both = pair.live.is_some() && pair.built.is_some();
    let swapped = both && is(&live, &pair.built) && is(&built, &pair.live);
    let done = is(&live, &pair.built)
        && built.is_none()
        && (pair.built.is_some() || is(&aside, &pair.live));
    if done {
        return Ok(Standing::Done);
    }
    if !(before || swapped) || aside.is_some() {
        return Err(Error::Neither {
            path: pair.volume.clone(),
            built_path: places.built.clone(),
            live: inode_text(&live),
            built: inode_text(&built),
            expected: format!("{} and {}", inode_text(&pair.live), inode_text(&pair.built)),
        });
    }
    refuse_other_device(pair, places, live.or(built))?;
    Ok(if before { Standing::Before } else { Standing::Swapped })
}

fn put_aside(places: &Places, from: &Path) -> Result<(), Error> {
    places.area.make(durable::parent(&places.aside))?;
    durable::rename_new(from, &places.aside, Site::FailedAside)
        .map_err(Error::durable("put the failed tree aside"))
}

/// Makes durable what an earlier call may have renamed and not yet synced.
fn sync_places(pair: &Pair, places: &Places) -> Result<(), Error> {
    let sites = [
        (&pair.volume, Site::RestoreExchange),
        (&places.built, Site::RestoreExchange),
        (&places.aside, Site::FailedAside),
    ];
    for (path, site) in sites {
        let dir = durable::parent(path);
        if kind_at(dir)?.is_some() {
            durable::sync_dir(dir, site).map_err(Error::durable("make the exchange durable"))?;
        }
    }
    Ok(())
}

/// Both trees have to be in the file system that the area is in now.
fn refuse_other_device(pair: &Pair, places: &Places, found: Option<Identity>) -> Result<(), Error> {
    let area = identity(&places.area.path())?;
    match (found, area) {
        (Some(found), Some(area)) if found.dev != area.dev => Err(Error::refused(
            &pair.volume,
            "it is not in the file system of its parent any more: something is mounted there",
        )),
        _ => Ok(()),
    }
}

pub(super) fn identity(path: &Path) -> Result<Option<Identity>, Error> {
    match Inode::open(CWD, path) {
        Ok(inode) => Ok(Some(Identity::of(inode.stat()))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Error::system("open", path, error)),
    }
}

fn inode_text(identity: &Option<Identity>) -> String {
    identity.map_or_else(|| "none".to_owned(), |identity| identity.ino.to_string())
}

fn remove_if_empty(dir: &Path) -> Result<(), Error> {
    if kind_at(dir)?.is_some() && names_in(dir)?.is_empty() {
        return remove(dir);
    }
    Ok(())
}

/// Removes failed trees but those of the `keep` latest transactions and of `current`, and returns
/// the names of those removed.
///
/// # Errors
/// See [`Error::kind`].
pub fn prune_failed(area: &Area, keep: usize, current: Option<&str>) -> Result<Vec<String>, Error> {
    let mut dated = Vec::new();
    for txn in names_in(&area.failed())? {
        let path = area.failed().join(&txn);
        let inode = Inode::open(CWD, &path).map_err(|error| Error::system("open", &path, error))?;
        let mtime = inode.stat().stx_mtime;
        dated.push(((mtime.tv_sec, mtime.tv_nsec), txn));
    }
    dated.sort();
    let excess = dated.len().saturating_sub(keep);
    let mut removed = Vec::new();
    for (_, txn) in dated.into_iter().take(excess) {
        if current != Some(txn.as_str()) {
            remove(&area.failed().join(&txn))?;
            removed.push(txn);
        }
    }
    Ok(removed)
}
