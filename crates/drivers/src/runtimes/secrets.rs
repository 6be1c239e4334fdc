//! Secrets that this host makes for an app: a database password, a token (UPD-23).
//!
//! ```text
//! <state>/secrets/<app>/<name>     64 hexadecimal digits, 0600, of the app's user
//! ```
//!
//! Each is made once, when it is missing, before the app's first start, and never again: no update
//! or way back makes another, and clean-up does not know of them. Apps are told the path, by the
//! placeholder `{secret.NAME}` in a command or a variable, never the value; no error has it either.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::durable::{self, Site};

#[cfg(test)]
mod tests;

/// Bytes of chance in a secret.
const CHANCE_BYTES: usize = 32;
/// Permissions of a secret.
const MODE: u32 = 0o600;
/// Permissions of the directories: who knows a name may pass.
const DIR_MODE: u32 = 0o711;

/// A secret cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be written.
    #[error("cannot make the secret {}", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: durable::Error,
    },
    /// It, or chance, could not be read or given to the app's user.
    #[error("cannot use {}", path.display())]
    Use {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else has its name.
    #[error("{} is not a file with a secret; remove it, and another is made", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
}

/// The secrets of one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    dir: PathBuf,
    names: Vec<String>,
}

impl Secrets {
    /// These, below the state directory.
    #[must_use]
    pub fn new(state: &Path, app: &str, names: Vec<String>) -> Self {
        Self { dir: state.join("secrets").join(app), names }
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the one with this name lies, if there is to be one.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.names.iter().any(|known| known == name).then(|| self.dir.join(name))
    }

    /// Makes those that are missing and gives all to the app's user; durable on return.
    ///
    /// # Errors
    /// One could not be made, or something else has its name.
    pub fn make(&self, owner: Option<(u32, u32)>) -> Result<(), Error> {
        if self.names.is_empty() {
            return Ok(());
        }
        let failed = |source| Error::Make { path: self.dir.clone(), source };
        durable::create_dir_all(&self.dir, DIR_MODE, Site::Run).map_err(failed)?;
        self.names.iter().try_for_each(|name| make_one(&self.dir.join(name), owner))
    }
}

fn make_one(path: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    let cannot = |source| Error::Use { path: path.into(), source };
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() || there.len() == 0 => {
            return Err(Error::NoFile { path: path.into() });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = durable::write(path, chance()?.as_bytes(), MODE, Site::Run);
            made.map_err(|source| Error::Make { path: path.into(), source })?;
        }
        Err(error) => return Err(cannot(error)),
    }
    // Each time, because an agent may have died between the two.
    let there = fs::symlink_metadata(path).map_err(cannot)?;
    if let Some((uid, gid)) = owner.filter(|owner| *owner != (there.uid(), there.gid())) {
        chown(path, Some(uid), Some(gid)).map_err(cannot)?;
    }
    if there.mode() & 0o777 != MODE {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(cannot)?;
    }
    Ok(())
}

fn chance() -> Result<String, Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; CHANCE_BYTES];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|source| Error::Use { path: path.into(), source })?;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    Ok(text)
}
