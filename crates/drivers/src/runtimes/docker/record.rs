//! What groundcrew remembers of an app's containers, because the engine cannot: `docker.json`.
//!
//! The engine knows what runs and since when. It does not know which update a start belonged to, whether a
//! container was stopped by us, and which restart policy its owner wants while ours keeps it down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use groundcrew_engine::noun::{Digest, TxnId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Error;
use crate::durable::{self, Site};

/// Version of [`Record`]; any other is refused.
const SCHEMA: u32 = 1;
/// Largest file, in bytes; ours has some ten thousand.
const MAX_BYTES: u64 = 1024 * 1024;
/// Starts that are remembered, the newest ones.
const STARTS_MAX: usize = 64;
/// Stops that are remembered, the newest ones.
const STOPS_MAX: usize = 16;

/// All that is remembered of one app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    schema: u32,
    /// What was put in place.
    #[serde(default)]
    pub(super) place: Option<Place>,
    /// Starts, oldest first.
    #[serde(default)]
    pub(super) starts: Vec<Start>,
    /// Runs that we ended, by container and moment of their start.
    #[serde(default)]
    pub(super) stops: Vec<(String, String)>,
    /// Restart policies that are ours to give back, by container.
    #[serde(default)]
    pub(super) policies: BTreeMap<String, Value>,
    /// Containers that are being brought into another network, by name, and whether they ran.
    #[serde(default)]
    pub(super) followers: BTreeMap<String, bool>,
}

/// Which container is in place, and by which update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// `None`: nothing.
    pub(super) container: Option<String>,
    pub(super) txn: TxnId,
    pub(super) back: bool,
}

/// One start, written down before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) txn: TxnId,
    pub(super) run: String,
    pub(super) container: String,
    pub(super) digest: Digest,
    /// When the container had last been started before.
    pub(super) before: String,
    /// When it was started; `None`: whoever began it did not live to say so.
    pub(super) after: Option<String>,
    /// The engine could not start it.
    #[serde(default)]
    pub(super) refused: Option<String>,
}

impl Default for Record {
    fn default() -> Self {
        let (starts, stops) = (Vec::new(), Vec::new());
        Self {
            schema: SCHEMA,
            place: None,
            starts,
            stops,
            policies: BTreeMap::new(),
            followers: BTreeMap::new(),
        }
    }
}

impl Record {
    /// What is remembered below an app's runs; nothing, if there is none.
    pub(super) fn read(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("docker.json");
        let failed = |source| Error::ReadRecord { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|source| Error::ParseRecord { path: path.clone(), source })?;
        if record.schema != SCHEMA {
            return Err(Error::RecordSchema { path, found: record.schema, known: SCHEMA });
        }
        Ok(record)
    }

    /// Remembers it, durable on return.
    pub(super) fn write(&mut self, dir: &Path, site: Site) -> Result<(), Error> {
        self.starts.drain(..self.starts.len().saturating_sub(STARTS_MAX));
        self.stops.drain(..self.stops.len().saturating_sub(STOPS_MAX));
        durable::create_dir_all(dir, 0o700, site)
            .and_then(|()| durable::write_json(&dir.join("docker.json"), self, 0o600, site))
            .map_err(Error::WriteRecord)
    }

    /// The start by this name.
    pub(super) fn start(&self, txn: &TxnId, run: &str) -> Option<&Start> {
        self.starts.iter().rev().find(|start| start.txn == *txn && start.run == run)
    }

    /// The start of ours that a container's latest run came from. One whose end nobody wrote down is it
    /// if the container was started since.
    pub(super) fn start_of(&self, container: &str, started_at: &str) -> Option<&Start> {
        let mut ours = self.starts.iter().rev().filter(|start| start.container == container);
        ours.find(|start| match &start.after {
            Some(after) => after == started_at,
            None => start.refused.is_none() && start.before != started_at,
        })
    }

    /// Whether we ever started this container.
    pub(super) fn start_of_any(&self, container: &str) -> bool {
        self.starts.iter().any(|start| start.container == container)
    }

    /// Whether we ended this run.
    pub(super) fn stopped(&self, container: &str, started_at: &str) -> bool {
        self.stops.iter().any(|(id, at)| id == container && at == started_at)
    }
}
