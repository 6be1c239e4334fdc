//! The host: its clock, its health, its busy flag, its room, checks that ask elsewhere, and the other
//! work on it.
//!
//! ```text
//! <run>/in-flight           the busy flag; others write it, see `busy`
//! <run>/updating/<app>      an update of this app is about to stop or start something
//! <run>/claims/<name>.json  other work that must not be disturbed, see `neighbors`
//! <state>/busy.json         airborne: whether the flag was set when it was last seen
//! ```
//!
//! A launcher sets its flag and then looks whether `updating` is there; we make `updating` and then
//! read the flag. Whoever comes second sees the first. `updating` is a directory that is there as
//! long as any app's marker is, so one update never hides another. Markers outlive the agent, not
//! the boot: where the run directory survives one, markers of an earlier boot are removed.

pub mod busy;
pub mod clock;
mod external;
pub mod health;
pub mod neighbors;
mod room;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use groundcrew_engine::noun::{AppName, Fault, Release, VolumeName};
use groundcrew_engine::plan::Volume;
use groundcrew_engine::ports::{Busy, External, ExternalCheck, Host, Room};
use serde::{Deserialize, Serialize};

use crate::causes::causes;
use crate::durable::{self, Kind, Site};
use crate::keeper;
use busy::BusyFlag;

#[cfg(test)]
mod tests;

/// How often a marker is tried whose directory another app's update takes away at the same time.
const MARKER_TRIES: u32 = 100;

/// The host as one app sees it.
#[derive(Debug)]
pub struct ThisHost {
    app: AppName,
    state: PathBuf,
    run: PathBuf,
    busy: BusyFlag,
}

/// What a marker says, for people and for the next boot.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    schema: u32,
    app: String,
    pid: u32,
    boot_id: String,
}

impl ThisHost {
    /// The host for this app, with the state and run directories and the host's flag.
    #[must_use]
    pub fn new(app: &AppName, state: &Path, run: &Path, busy: BusyFlag) -> Self {
        Self { app: app.clone(), state: state.into(), run: run.into(), busy }
    }

    fn marker(&self) -> PathBuf {
        self.run.join("updating").join(self.app.as_str())
    }

    fn set_marker(&self) -> Result<(), String> {
        let boot_id = keeper::this_boot().map_err(|error| causes(&error))?;
        let (app, pid) = (self.app.to_string(), std::process::id());
        let marker = Marker { schema: 1, app, pid, boot_id };
        let path = self.marker();
        let dir = durable::parent(&path);
        let mut tries = 0;
        loop {
            let written = durable::create_dir_all(dir, 0o755, Site::Flag)
                .and_then(|()| durable::write_json(&path, &marker, 0o644, Site::Flag));
            tries += 1;
            match written {
                // The last update beside us may have taken the directory away.
                Err(error) if error.kind() == Kind::Missing && tries < MARKER_TRIES => {}
                written => return written.map_err(|error| causes(&error)),
            }
        }
    }

    fn clear_marker(&self) -> Result<(), String> {
        let path = self.marker();
        match durable::remove_file(&path, Site::Flag) {
            Err(error) if error.kind() != Kind::Missing => return Err(causes(&error)),
            _ => {}
        }
        remove_if_empty(durable::parent(&path))
    }
}

/// Another app's marker keeps the directory.
fn remove_if_empty(dir: &Path) -> Result<(), String> {
    match std::fs::remove_dir(dir) {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(format!("cannot remove {}: {error}", dir.display())),
    }
}

/// Removes the markers of earlier boots, which a run directory on a disk keeps; the agent calls it
/// when it starts. Doing it twice is harmless.
///
/// # Errors
/// They cannot be read or removed.
pub fn forget_earlier_boots(run: &Path) -> Result<(), Fault> {
    let dir = run.join("updating");
    let cannot = |error: io::Error| Fault::host(format!("cannot read {}: {error}", dir.display()));
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot(error)),
    };
    let boot = keeper::this_boot().map_err(|error| Fault::host(causes(&error)))?;
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        let bytes = std::fs::read(&path).map_err(cannot)?;
        let marker: Option<Marker> = serde_json::from_slice(&bytes).ok();
        // What is no marker of ours says nothing about a boot, and helps nobody.
        if marker.is_none_or(|marker| marker.boot_id != boot) {
            durable::remove_file(&path, Site::Flag).map_err(|error| Fault::host(causes(&error)))?;
        }
    }
    remove_if_empty(&dir).map_err(Fault::host)
}

impl Host for ThisHost {
    fn busy(&mut self) -> Busy {
        self.busy.look().busy
    }

    fn announce(&mut self, updating: bool) -> Result<(), Fault> {
        let done = if updating { self.set_marker() } else { self.clear_marker() };
        done.map_err(Fault::host)
    }

    fn room(
        &mut self,
        volumes: &BTreeMap<VolumeName, Volume>,
        release: &Release,
    ) -> Result<Room, Fault> {
        room::room(&self.state, &self.app, volumes, &release.digest, room::WALK_MAX)
            .map_err(|error| Fault::host(causes(&error)))
    }

    fn check(&mut self, check: &ExternalCheck) -> External {
        external::check(check)
    }

    fn touched_ms(&mut self, path: &str) -> Option<i64> {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        let ms = |span: std::time::Duration| i64::try_from(span.as_millis()).ok();
        match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => ms(since),
            Err(before) => ms(before.duration()).map(|ms| -ms),
        }
    }
}
