//! What remembers: the agent's store, shared by the threads of all apps.

use groundcrew_engine::machine::App;
use groundcrew_engine::noun::AppName;
use groundcrew_engine::ports::Journal;

use super::request::Past;
use crate::config::Settings;
use crate::exit::Refusal;

/// The store.
#[derive(Clone, Debug)]
pub(crate) struct Store {}

impl Store {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// The host failed.
    pub(crate) fn open(_settings: &Settings) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    /// Folds one app.
    ///
    /// # Errors
    ///
    /// Its journal is refused, and why.
    pub(crate) fn load(&self, _app: &AppName) -> Result<App, String> {
        Ok(App::default())
    }

    /// Updates that are over, newest first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub(crate) fn history(&self, _app: Option<&str>, _limit: usize) -> Result<Vec<Past>, String> {
        Ok(Vec::new())
    }

    /// The journal of one app.
    ///
    /// # Errors
    ///
    /// The host failed.
    pub(crate) fn journal(&self, _app: &str) -> Result<Box<dyn Journal>, String> {
        Err("the store is not wired yet".to_owned())
    }
}
