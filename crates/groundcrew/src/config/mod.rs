//! The configuration, as three types for three truths.
//!
//! [`fragments`] is what is written, [`inputs`] is all files merged with the place of each value,
//! [`settings`] is what is valid. Whatever is wrong is refused with file, line, key and a way out;
//! nothing that was written is ever ignored.

mod across;
mod app;
mod fragments;
mod health;
pub(crate) mod inputs;
mod launch;
mod problem;
mod recorder;
#[cfg(test)]
mod reference;
mod runtime;
pub(crate) mod settings;
mod show;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod units;

use std::path::{Path, PathBuf};

pub(crate) use problem::{Problem, Problems, nearest};
pub(crate) use recorder::RecorderSettings;
pub(crate) use runtime::Runtime;
pub(crate) use settings::{AppSettings, Restart, Settings};
pub(crate) use show::{Shown, show};
pub(crate) use source::{Directory, Source};

/// Where the main file is looked for when nothing names one.
pub(crate) const MAIN_FILE: &str = "/etc/groundcrew/groundcrew.toml";

/// Places that the command line or the environment name; they win over the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// The main file.
    pub(crate) config: Option<PathBuf>,
    /// The state directory.
    pub(crate) state: Option<PathBuf>,
}

impl Overrides {
    /// The main file.
    pub(crate) fn main_file(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from(MAIN_FILE))
    }
}

/// Reads and checks everything.
///
/// # Errors
///
/// All that is wrong.
pub(crate) fn load(overrides: &Overrides) -> Result<Settings, Problems> {
    let inputs = read(&overrides.main_file())?;
    settings::settings(&inputs, overrides)
}

/// The JSON Schema of a file.
pub(crate) fn schema() -> String {
    let schema = schemars::schema_for!(fragments::File);
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

/// Reads and merges the files.
///
/// # Errors
///
/// The first file that cannot be understood.
pub(crate) fn read(main: &Path) -> Result<inputs::Inputs, Problems> {
    inputs::Inputs::read(main)
}
