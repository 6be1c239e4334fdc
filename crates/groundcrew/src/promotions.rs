//! What was promoted from this host, as files: one per tag that was moved.
//!
//! ```text
//! <state>/promotions/<app>/<milliseconds since 1970>.json
//! ```
//!
//! A file is there before the tag is moved and says afterwards that it was; one that does not say so
//! was cut short, and the tag may have been moved or not. Files are never changed later.

use std::fs;
use std::path::{Path, PathBuf};

use groundcrew_drivers::durable::{self, Site};
use serde::{Deserialize, Serialize};

use crate::chain;
use crate::exit::Refusal;

/// Version of the form.
const SCHEMA: u32 = 1;

/// A file, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Only those who may look after apps look at it.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A tag that was moved from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promotion {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// The app.
    pub(crate) app: String,
    /// The repository.
    pub(crate) repository: String,
    /// The tag whose release it was; `None`: a person named the release.
    pub(crate) from: Option<String>,
    /// The tag that was moved.
    pub(crate) to: String,
    /// What it names now.
    pub(crate) digest: String,
    /// What it named before.
    pub(crate) before: Option<String>,
    /// Why that was allowed.
    pub(crate) evidence: String,
    /// Who did it.
    pub(crate) by: String,
    /// When.
    pub(crate) at_ms: i64,
    /// The registry said that it did it.
    pub(crate) done: bool,
}

fn dir(state: &Path, app: &str) -> PathBuf {
    state.join("promotions").join(app)
}

impl Promotion {
    /// Of which nothing is done yet.
    pub(crate) fn of(app: &str, repository: &str, to: &str, digest: &str) -> Self {
        let word = str::to_owned;
        Self {
            schema: SCHEMA,
            app: word(app),
            repository: word(repository),
            from: None,
            to: word(to),
            digest: word(digest),
            before: None,
            evidence: String::new(),
            by: String::new(),
            at_ms: jiff::Timestamp::now().as_millisecond(),
            done: false,
        }
    }

    /// Writes it down; the same promotion replaces itself.
    ///
    /// # Errors
    ///
    /// The host failed.
    pub(crate) fn write(&self, state: &Path) -> Result<(), Refusal> {
        let dir = dir(state, &self.app);
        let failed = |error: durable::Error| Refusal::failed(chain(&error));
        durable::create_dir_all(&dir, DIR_MODE, Site::Release).map_err(failed)?;
        let path = dir.join(format!("{:013}.json", self.at_ms));
        durable::write_json(&path, self, FILE_MODE, Site::Release).map_err(failed)
    }
}

/// The promotions of an app, newest first; what cannot be read is left out.
pub(crate) fn all(state: &Path, app: &str) -> Vec<Promotion> {
    let entries = fs::read_dir(dir(state, app)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let small = fs::metadata(path).is_ok_and(|meta| meta.len() <= FILE_MAX_BYTES);
        let bytes = fs::read(path).ok().filter(|_| small)?;
        serde_json::from_slice(&bytes).ok().filter(|one: &Promotion| one.schema == SCHEMA)
    };
    paths.iter().rev().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotions_are_kept_and_told_newest_first() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(all(state.path(), "tiles"), []);
        let mut one = Promotion::of("tiles", "registry.lan/tiles", "stage", "sha256:1");
        one.at_ms = 999;
        one.write(state.path()).unwrap();
        let two = Promotion { at_ms: 10_000, digest: "sha256:2".to_owned(), ..one.clone() };
        two.write(state.path()).unwrap();
        let done = Promotion { done: true, ..two };
        done.write(state.path()).unwrap();
        fs::create_dir(dir(state.path(), "tiles").join("9999999999999.json")).unwrap();
        assert_eq!(all(state.path(), "tiles"), [done, one]);
        assert_eq!(all(state.path(), "forge"), []);
    }
}
