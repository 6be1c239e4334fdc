//! The data directories of an app that was never started: whoever installs it need not make them.
//!
//! A directory is made under another name, given to the app's user and renamed, so that one with
//! its name is never half made. Once the app ran, one that is missing is a disk that is not mounted
//! or data that was lost: an empty one in its place would hide that, so nothing is started.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use groundcrew_engine::plan::Procedure;

use super::error::Error;
use crate::durable::{self, Site};
use crate::runtimes::launch::Launch;

/// Permissions of a data directory that we make.
const MODE: u32 = 0o750;

/// Makes the data directories that are missing, or fails if the app `ran` before.
pub(super) fn make(procedure: &Procedure, ran: bool) -> Result<(), Error> {
    for volume in procedure.volumes.values() {
        let path = Path::new(&volume.path);
        match fs::metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::Volume { path: path.into(), source: error });
            }
            Err(_) if ran => return Err(Error::VolumeGone { path: path.into() }),
            Err(_) => {
                let owner = Launch::read(&procedure.launch)?.ids()?;
                make_one(path, owner)?;
            }
        }
    }
    Ok(())
}

fn make_one(path: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let failed = |source| Error::MakeVolume { path: path.into(), source };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    durable::create_dir_all(durable::parent(path), 0o755, Site::Run).map_err(failed)?;
    durable::create_dir_all(&new, MODE, Site::Run).map_err(failed)?;
    if let Some((uid, gid)) = owner {
        chown(&new, Some(uid), Some(gid))
            .map_err(|source| Error::Volume { path: new.clone(), source })?;
        durable::sync_dir(&new, Site::Run).map_err(failed)?;
    }
    durable::rename_new(&new, path, Site::Run).map_err(failed)
}
