//! What a person decided for one app: the settings that the engine decides by.

use serde::{Deserialize, Serialize};

use crate::notes::{DEFAULT_MARKERS, Markers};
use crate::noun::{AppName, ConfigHash};
use crate::plan::Procedure;
use crate::ports::ExternalCheck;
use crate::version::VersionForm;
use crate::window::Windows;

/// What kind of host this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// A companion computer of an aircraft.
    Airborne,
    /// An operator's machine.
    Workstation,
    /// A host that produces episodes of data.
    Lab,
    /// A self-hosted server.
    #[default]
    Server,
}

/// Who starts an update (UPD-24).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Groundcrew, when the gates pass.
    #[default]
    Auto,
    /// A person, who is told of each candidate.
    Notify,
    /// A person, who asks.
    Manual,
}

/// What a channel that moves to an older release means (SRC-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Downgrades {
    /// A rollback by re-tag, if that release was proven here before.
    Follow,
    /// A person is asked.
    Hold,
}

/// The settings of one app, valid.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub app: AppName,
    /// The host's profile.
    pub profile: Profile,
    /// Who starts an update.
    pub mode: Mode,
    /// Names `procedure`.
    pub config: ConfigHash,
    /// How it is stopped, started, asked and watched.
    pub procedure: Procedure,
    /// How its versions are written.
    pub version_form: VersionForm,
    /// What an older release on the channel means.
    pub downgrades: Downgrades,
    /// No release notes at all is a hold, not a remark.
    pub notes_required: bool,
    /// What in the notes asks for a person.
    pub markers: Markers,
    /// When updates may start; `None`: always.
    pub windows: Option<Windows>,
    /// Checks by commands and URLs.
    pub external: Vec<ExternalCheck>,
    /// Some of its data lives where groundcrew cannot copy it (UPD-18).
    pub external_data: bool,
    /// Apps that must be healthy and not being updated.
    pub after: Vec<String>,
    /// One update at a time within a group.
    pub group: String,
    /// A release must be at least this old.
    pub min_age_ms: u64,
    /// How long a way back is kept after its update closed.
    pub retain_ms: u64,
    /// How many of them at most.
    pub keep_way_backs: usize,
}

impl Policy {
    /// A policy of which nobody decided anything: updates at any time, majors ask, one way back.
    #[must_use]
    pub fn plain(app: AppName, config: ConfigHash, procedure: Procedure) -> Self {
        Self {
            app,
            profile: Profile::Server,
            mode: Mode::Auto,
            config,
            procedure,
            version_form: VersionForm::Plain,
            downgrades: Downgrades::Hold,
            notes_required: false,
            markers: Markers::new(DEFAULT_MARKERS),
            windows: None,
            external: Vec::new(),
            external_data: false,
            after: Vec::new(),
            group: "default".to_owned(),
            min_age_ms: 0,
            retain_ms: 0,
            keep_way_backs: 1,
        }
    }
}
