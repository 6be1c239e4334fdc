//! The records of a run: JSON files that are complete or absent, and never change.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Proc};
use crate::durable::{self, Site};

/// Version of the records; [`read`] refuses any other.
pub(super) const SCHEMA: u32 = 1;

/// Largest record. A spec with a large environment is the largest of them.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// `keeper.json`: from here on something of this run may be alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperRecord {
    /// Version of this record.
    pub schema: u32,
    /// The app's name.
    pub app: String,
    /// The update that the run belongs to.
    pub txn: String,
    /// Which attempt of it.
    pub attempt: String,
    /// The keeper; its id is also that of the session.
    pub keeper: Proc,
    /// The boot in which process ids mean something.
    pub boot_id: String,
    /// Where the app's own control group is, if one could be made.
    pub cgroup: Option<PathBuf>,
}

/// `run.json`: the app was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this record.
    pub schema: u32,
    /// The app's name.
    pub app: String,
    /// The update that the run belongs to.
    pub txn: String,
    /// Which attempt of it.
    pub attempt: String,
    /// Digest of the release that runs.
    pub release: String,
    /// The keeper; its id is also that of the session.
    pub keeper: Proc,
    /// The app's main process; its id is also that of its process group.
    pub child: Proc,
    /// The boot in which process ids mean something.
    pub boot_id: String,
    /// Wall clock at the start, milliseconds since 1970.
    pub started_ms: u64,
}

/// `exit.json`: nothing of the run is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Version of this record.
    pub schema: u32,
    /// The app's name.
    pub app: String,
    /// The update that the run belongs to.
    pub txn: String,
    /// Which attempt of it.
    pub attempt: String,
    /// How the main process ended.
    pub outcome: Outcome,
    /// Wall clock when the main process ended, milliseconds since 1970.
    pub at_ms: u64,
    /// Whether a stop was asked for before the main process ended.
    pub stop_requested: bool,
    /// Whether a stop was asked for and nothing had to be killed.
    pub clean: bool,
    /// Descendants that outlived the main process and were ended by the keeper.
    pub strays: usize,
    /// Whether the keeper sent SIGKILL to anything.
    pub killed: bool,
    /// Whether the kernel killed for want of memory; `None` if that cannot be known here.
    pub oom: Option<bool>,
    /// Bytes of output that could not be written to the log.
    pub log_lost_bytes: u64,
}

/// How a main process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// By itself, with a code from 0 to 255.
    Exited {
        /// The code.
        code: i32,
    },
    /// By a signal.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        why: String,
        /// The program itself is to blame: it is not there, or cannot be run.
        #[serde(default)]
        by_program: bool,
    },
}

/// Longer than nearly every record, in bytes.
const RECORD_BYTES_USUAL: usize = 4 * 1024;

/// Reads a record; `None` if there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let failed = |source| Error::file("read", path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?.len();
    if found > MAX_RECORD_BYTES {
        return Err(Error::TooLarge { path: path.into(), found, limit: MAX_RECORD_BYTES });
    }
    // An app at rest is looked at every few seconds: one read with room, not many that grow.
    let mut bytes = Vec::with_capacity(RECORD_BYTES_USUAL);
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    let bad = |source| Error::Json { path: path.into(), source };
    let head: Head = serde_json::from_slice(&bytes).map_err(bad)?;
    if head.schema != SCHEMA {
        return Err(Error::Schema { path: path.into(), found: head.schema, known: SCHEMA });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(bad)
}

/// Writes a record, durable on return.
pub(super) fn write<T: Serialize>(path: &Path, record: &T, site: Site) -> Result<(), Error> {
    durable::write_json(path, record, 0o600, site)
        .map_err(|source| Error::Record { path: path.into(), source })
}

/// The wall clock, in milliseconds since 1970; only ever shown, never decided by.
pub(super) fn wall_ms() -> u64 {
    ms(SystemTime::now())
}

/// Milliseconds since 1970, and 0 before.
pub(super) fn ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
