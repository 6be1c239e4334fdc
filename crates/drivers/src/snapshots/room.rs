//! Room that is kept free for the way back: a file as large as a copy beside it.
//!
//! It is allocated with the copy, while the gate's figures still hold, and given free when the old
//! data is built from the copy; so a candidate that fills the disk cannot keep the app down. It is
//! gone when the update is closed.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::Error;
use super::area::{Area, names_in};
use super::take::Snapshot;
use crate::durable::{self, Site};

/// What its name begins with; the copy's id follows.
const ROOM: &str = "room.";

/// The id of the copy that a name in `restore/` keeps room for; `None`: it keeps none.
pub(super) fn kept_for(name: &str) -> Option<&str> {
    name.strip_prefix(ROOM)
}

/// Keeps as much room as the copy takes, durably. A file system that cannot allocate keeps none.
///
/// # Errors
/// There is not enough.
pub(super) fn keep_free(part: &Snapshot, id: &str) -> Result<(), Error> {
    let bytes = allocated(&part.dir)?;
    give_free(&part.area)?;
    part.area.make(&part.area.restores())?;
    let path = part.area.restores().join(format!("{ROOM}{id}"));
    let fail = |doing| {
        let path = path.clone();
        move |error: std::io::Error| Error::system(doing, &path, error)
    };
    durable::step().map_err(fail("create"))?;
    let file = File::create_new(&path).map_err(fail("create"))?;
    let made = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes.max(1)) {
        Ok(()) => durable::sync_file(&file, &path, Site::RestoreTree)
            .and_then(|()| durable::sync_dir(&part.area.restores(), Site::RestoreTree))
            .map_err(Error::durable("keep room for the way back")),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => durable::remove_file(&path, Site::Prune)
            .map_err(Error::durable("keep room for the way back")),
        Err(error) => Err(fail("keep room for the way back in")(error.into())),
    };
    if made.is_err() {
        // The first error is the one that counts; the next take removes a rest.
        durable::remove_file(&path, Site::Prune).ok();
    }
    made
}

/// Gives all such room free.
pub(super) fn give_free(area: &Area) -> Result<(), Error> {
    for name in names_in(&area.restores())?.iter().filter(|name| kept_for(name).is_some()) {
        durable::remove_file(&area.restores().join(name), Site::Prune)
            .map_err(Error::durable("give the kept room free"))?;
    }
    Ok(())
}

/// Bytes that a tree takes on the disk.
fn allocated(path: &Path) -> Result<u64, Error> {
    let fail = |error| Error::system("measure", path, error);
    let mut bytes = 0_u64;
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let data = entry.metadata().map_err(fail)?;
        bytes = bytes.saturating_add(data.blocks().saturating_mul(512));
        if data.is_dir() {
            bytes = bytes.saturating_add(allocated(&entry.path())?);
        }
    }
    Ok(bytes)
}
