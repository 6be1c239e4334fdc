//! `place.json`: which release would be started, and which update put it there.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use groundcrew_engine::noun::{Digest, TxnId};
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::durable::{self, Site};

/// Version of [`Place`]; any other is refused.
const SCHEMA: u32 = 1;

/// Largest file, in bytes; ours has some hundred.
const MAX_BYTES: u64 = 64 * 1024;

/// Longer than ours is, in bytes: it is read often, and in one piece.
const USUAL_BYTES: usize = 1024;

/// What is in place. Without a digest nothing is, and the label says who took it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    schema: u32,
    pub(super) digest: Option<Digest>,
    txn: Option<TxnId>,
    back: bool,
}

impl Place {
    pub(super) fn new(digest: Option<Digest>, txn: TxnId, back: bool) -> Self {
        Self { schema: SCHEMA, digest, txn: Some(txn), back }
    }

    /// The update that put it there, and whether it put it back.
    pub(super) fn placed_by(&self) -> Option<(TxnId, bool)> {
        self.txn.clone().map(|txn| (txn, self.back))
    }

    /// What is in place below an app's runs; nothing, if nobody ever put anything there.
    pub(super) fn read(dir: &Path) -> Result<Self, Error> {
        let path = path(dir);
        let failed = |source| Error::ReadPlace { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let place: Self = serde_json::from_slice(&bytes)
            .map_err(|source| Error::ParsePlace { path: path.clone(), source })?;
        if place.schema != SCHEMA {
            return Err(Error::PlaceSchema { path, found: place.schema, known: SCHEMA });
        }
        Ok(place)
    }

    /// Puts it in place, durable on return.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        durable::create_dir_all(dir, 0o700, Site::Switch)
            .and_then(|()| durable::write_json(&path(dir), self, 0o600, Site::Switch))
            .map_err(Error::WritePlace)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("place.json")
}
