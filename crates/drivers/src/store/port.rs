//! The engine's port: one app's view of the store, and the documents that people get.

use std::path::{Path, PathBuf};

use groundcrew_engine::machine::Entry;
use groundcrew_engine::noun::{AppName, TxnId};
use groundcrew_engine::plan::Plan;
use groundcrew_engine::ports::{Append, Journal, JournalError, PostMortem};

use super::{Error, Store, file_name};
use crate::durable::{self, Site};
use crate::post_mortems;

/// The journal of one app. Cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct StoreJournal {
    store: Store,
    app: AppName,
}

impl Store {
    /// The journal of an app.
    #[must_use]
    pub fn journal(&self, app: &AppName) -> StoreJournal {
        StoreJournal { store: self.clone(), app: app.clone() }
    }

    /// Where post-mortems are: `<date>_<app>_<version>_<txn>.md`.
    #[must_use]
    pub fn post_mortems(&self) -> PathBuf {
        post_mortems::dir(self.dir())
    }

    fn write_post_mortem(&self, post_mortem: &PostMortem<'_>) -> Result<(), Error> {
        let dir = self.post_mortems();
        durable::create_dir_all(&dir, 0o750, Site::Postmortem)
            .map_err(Error::durable("make room for the post-mortem"))?;
        let PostMortem { app, txn, version, text } = post_mortem;
        let name = format!(
            "{}_{}_{}_{}.md",
            day(txn),
            file_name(app.as_str()),
            file_name(version),
            file_name(txn.as_str())
        );
        write_once(&dir.join(name), text.as_bytes())
    }
}

/// The day on which the update was planned, as its name says, so that a repeated call finds its file
/// on any day.
fn day(txn: &TxnId) -> String {
    let wall_ms = txn.as_str().split('-').next().map(|hex| i64::from_str_radix(hex, 16));
    match wall_ms.map(|wall_ms| wall_ms.map(jiff::Timestamp::from_millisecond)) {
        Some(Ok(Ok(time))) => time.strftime("%Y-%m-%d").to_string(),
        _ => "undated".to_owned(),
    }
}

/// Writes a file unless there is one, whatever a person made of it; durable on return. It quotes the
/// app's output, which is not for everybody.
fn write_once(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let doing = "write the post-mortem";
    let new = path.with_extension("md.new");
    durable::write(&new, bytes, 0o640, Site::Postmortem).map_err(Error::durable(doing))?;
    match durable::rename_new(&new, path, Site::Postmortem) {
        Err(_) if path.symlink_metadata().is_ok() => {
            durable::remove_file(&new, Site::Postmortem).map_err(Error::durable(doing))
        }
        renamed => renamed.map_err(Error::durable(doing)),
    }
}

impl Journal for StoreJournal {
    fn append(&mut self, append: &Append<'_>) -> Result<(), JournalError> {
        Ok(self.store.append(append)?)
    }

    fn reserve(&mut self, app: &AppName, plan: Option<&Plan>) -> Result<(), JournalError> {
        Ok(self.store.reserve(app.as_str(), plan)?)
    }

    fn relieve(&mut self) -> Result<(), JournalError> {
        Ok(self.store.relieve(self.app.as_str())?)
    }

    fn file(&mut self, post_mortem: &PostMortem<'_>) -> Result<(), JournalError> {
        Ok(self.store.write_post_mortem(post_mortem)?)
    }

    fn timeline(&mut self, app: &AppName) -> Result<Vec<Entry>, JournalError> {
        Ok(self.store.timeline(app)?)
    }
}
