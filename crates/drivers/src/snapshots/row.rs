//! The host's own list of an app's snapshots, in its state directory.
//!
//! ```text
//! <state>/snapshots/<app>/<id>.json     one snapshot of all volumes, written when it is complete
//! <state>/snapshots/<app>/.areas.json   every directory beside a volume that was ever used
//! ```
//!
//! The data and its manifests lie beside the volumes; a row says which volumes and directories make
//! up one snapshot and is gone before any of them is. The list of areas is there so that data of a
//! volume that left the configuration is still found by clean-up; it only grows, by one line per
//! parent directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use groundcrew_engine::noun::{SnapshotId, TxnId, VolumeName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::area::{check_name, names_in};
use super::{Area, Error};
use crate::durable::{self, Site};

/// The version of a row.
pub const ROW_FORMAT: u32 = 1;

const SUFFIX: &str = ".json";
const AREAS: &str = ".areas.json";

/// One snapshot of all volumes of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// [`ROW_FORMAT`].
    pub format: u32,
    /// Its id.
    pub id: SnapshotId,
    /// The app.
    pub app: String,
    /// The update that took it.
    pub txn: TxnId,
    /// The version of the release that owned the data; `None` before a first installation.
    pub version: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
    /// When it was taken.
    pub taken_at: jiff::Timestamp,
    /// Bytes copied.
    pub bytes: u64,
    /// Entries copied.
    pub count: u64,
    /// The volumes by name, with their paths.
    pub volumes: BTreeMap<VolumeName, PathBuf>,
    /// The directories that hold it, with the root hash of each.
    pub parts: BTreeMap<PathBuf, String>,
}

/// The rows of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    dir: PathBuf,
    app: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Areas {
    /// Parent directories of volumes.
    parents: BTreeSet<PathBuf>,
}

impl Rows {
    /// The rows of an app; nothing is made yet.
    ///
    /// # Errors
    /// `Refused` for a name that is no plain name.
    pub fn of(state: &Path, app: &str) -> Result<Rows, Error> {
        check_name(app)?;
        Ok(Rows { dir: state.join("snapshots").join(app), app: app.to_owned() })
    }

    fn path(&self, id: &str) -> Result<PathBuf, Error> {
        check_name(id)?;
        Ok(self.dir.join(format!("{id}{SUFFIX}")))
    }

    /// The ids of all rows, sorted.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let names = names_in(&self.dir)?;
        let ids = names.iter().filter_map(|name| name.strip_suffix(SUFFIX));
        Ok(ids.filter(|id| check_name(id).is_ok()).map(str::to_owned).collect())
    }

    /// One row; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` if it was written by a newer groundcrew or is damaged.
    pub fn read(&self, id: &str) -> Result<Option<Row>, Error> {
        let path = self.path(id)?;
        let Some(row): Option<Row> = read_json(&path)? else { return Ok(None) };
        if row.format != ROW_FORMAT || row.id.as_str() != id || row.app != self.app {
            let found = format!("format {} {} {}", row.format, row.app, row.id);
            let expected = format!("format {ROW_FORMAT} {} {id}", self.app);
            return Err(Error::Mismatch { path, field: "row", found, expected });
        }
        Ok(Some(row))
    }

    /// Writes a row; durable on return.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn write(&self, row: &Row) -> Result<(), Error> {
        let path = self.path(row.id.as_str())?;
        self.make()?;
        durable::write_json(&path, row, 0o600, Site::SnapshotManifest)
            .map_err(Error::durable("write the snapshot's row"))
    }

    /// Removes a row; one that is not there is removed already. Durable on return.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let path = self.path(id)?;
        if !self.dir.is_dir() {
            return Ok(());
        }
        durable::remove_file(&path, Site::Prune)
            .map_err(Error::durable("remove the snapshot's row"))
    }

    /// All areas that were ever used.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn areas(&self) -> Result<BTreeSet<Area>, Error> {
        let areas: Areas = read_json(&self.dir.join(AREAS))?.unwrap_or_default();
        areas.parents.iter().map(|parent| Area::of(&parent.join("x"), &self.app)).collect()
    }

    /// Writes down that these are used now, before they are.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn note_areas(&self, used: &BTreeSet<Area>) -> Result<(), Error> {
        let mut all = self.areas()?;
        if used.is_subset(&all) {
            return Ok(());
        }
        all.extend(used.iter().cloned());
        let parents = all.iter().map(|area| area.parent().to_owned()).collect();
        self.make()?;
        durable::write_json(&self.dir.join(AREAS), &Areas { parents }, 0o600, Site::Area)
            .map_err(Error::durable("write down where snapshots lie"))
    }

    fn make(&self) -> Result<(), Error> {
        durable::create_dir_all(&self.dir, 0o700, Site::Area)
            .map_err(Error::durable("make room for the snapshot's row"))
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| Error::system("read", path, error))?,
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|source| Error::Manifest { path: path.to_owned(), source })
}
