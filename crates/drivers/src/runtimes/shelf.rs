//! The releases of one app, unpacked, where [`release_dir`] says.
//!
//! A release lies there whole or not at all; a source puts it there. What is read here is checked
//! against the digest that names it, because a release that is not what its name says must not run.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use groundcrew_engine::noun::{AppName, Digest};

use crate::bundle::{self, ReleaseToml, Sha256};
use crate::runtimes::secrets::Secrets;
use crate::source::directory::release_dir;

/// How long `release.toml` may be, in bytes: as long as a source takes.
const TOML_MAX_BYTES: u64 = 64 * 1024;

/// The releases of one app.
#[derive(Clone, Debug)]
pub struct Shelf {
    state: PathBuf,
    app: AppName,
}

/// A release on the shelf.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// What it says of itself.
    pub says: ReleaseToml,
    /// The directory with its content.
    pub files: PathBuf,
}

impl Shelf {
    /// The secrets of the app, by these names.
    #[must_use]
    pub fn secrets(&self, names: Vec<String>) -> Secrets {
        Secrets::new(&self.state, self.app.as_str(), names)
    }
}

/// A release could not be taken from the shelf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What names it is no digest.
    #[error("{digest:?} does not name a release")]
    Name {
        /// What was given.
        digest: String,
    },
    /// A file of it could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what its name says.
    #[error("{} has the digest {found}, expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// The digest that names it.
        expected: String,
    },
    /// It does not say what it is.
    #[error("{} says nothing that is understood", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: bundle::Error,
    },
}

impl Shelf {
    /// The releases of this app below the state directory.
    #[must_use]
    pub fn new(state: &Path, app: &AppName) -> Self {
        Self { state: state.to_owned(), app: app.clone() }
    }

    /// Where a release lies, or would.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn path(&self, digest: &Digest) -> Result<PathBuf, Error> {
        // What is no digest could be a path to anywhere.
        if Sha256::parse(digest.as_str()).is_none() {
            return Err(Error::Name { digest: digest.to_string() });
        }
        Ok(release_dir(&self.state, self.app.as_str(), digest))
    }

    /// Takes a release that must be there, with the digest checked over `release.toml`.
    ///
    /// # Errors
    /// It is not there, not readable, or not what its name says.
    pub fn take(&self, digest: &Digest) -> Result<Shelved, Error> {
        let dir = self.path(digest)?;
        let path = dir.join("release.toml");
        let read = |source| Error::Read { path: path.clone(), source };
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(read)?;
        file.take(TOML_MAX_BYTES).read_to_end(&mut bytes).map_err(read)?;
        let found = Sha256::of(&bytes);
        if found.as_str() != digest.as_str() {
            let (found, expected) = (found.to_string(), digest.to_string());
            return Err(Error::Content { path, found, expected });
        }
        let says = ReleaseToml::parse(&path, &bytes)
            .map_err(|source| Error::Parse { path: path.clone(), source })?;
        let files = dir.join("files");
        // A release without its content is not whole, however good its description is.
        std::fs::read_dir(&files).map_err(|source| Error::Read { path: files.clone(), source })?;
        Ok(Shelved { says, files })
    }
}
