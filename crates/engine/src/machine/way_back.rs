//! What an update carries on its way back.

use serde::{Deserialize, Serialize};

use super::state::{Latest, Update, WayBack};
use crate::noun::VolumeName;

/// Why an update goes back. Known-bad and retries follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The release is bad: never again on this host until a person says so.
    Candidate,
    /// This host could not carry the update out: tried again a few times.
    Host,
    /// The agent or the power went at a moment whose effect cannot be observed: tried again.
    Interrupted,
    /// The busy flag appeared: tried again when it clears, and not counted.
    Busy,
    /// A person wanted it.
    Operator,
}

/// What happens to the data on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataChoice {
    /// The candidate never touched it.
    Untouched,
    /// The snapshot comes back; what is there now is set aside.
    Restore,
    /// It stays as it is.
    Keep,
}

/// How an update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The candidate is the new last-good release.
    Proven,
    /// The candidate runs; whether it is good is a person's question.
    Unproven,
    /// The old release runs with the data that belongs to it.
    RolledBack,
    /// Nothing was changed.
    Aborted,
}

/// An update on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// The update.
    pub update: Update,
    /// What it can return to; `None` when it was stopped before there was one.
    pub way_back: Option<WayBack>,
    /// Whose fault.
    pub cause: Cause,
    /// What was found, for people.
    pub why: String,
    /// What happens to the data.
    pub data: DataChoice,
    /// The trees to exchange, built and verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built: Vec<TreePair>,
    /// The exchange was begun: some trees may be exchanged already.
    #[serde(default)]
    pub exchange_begun: bool,
    /// Where the candidate's data went, once it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// The data is back.
    pub restored: bool,
    /// The candidate undid its migration.
    #[serde(default)]
    pub undone: bool,
    /// The latest start before the data was brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
    /// That is known: it was proven to be down at least once on the way back.
    #[serde(default)]
    pub proven_down: bool,
    /// The old release is in its place: whoever ran since, ran it on its own data.
    #[serde(default)]
    pub switched: bool,
    /// How often the old release was started and was not well.
    #[serde(default)]
    pub disproved: u32,
    /// How often the restore was begun; names its trees.
    pub round: u32,
    /// Failed attempts of the present step.
    pub attempts: u32,
    /// The step that could not be done, when stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_at: Option<String>,
    /// The host is to blame for that, so it may pass by itself: room comes back, a disk is mounted.
    #[serde(default)]
    pub may_pass: bool,
    /// How often a stuck way back was walked again without a person.
    #[serde(default)]
    pub again: u32,
}

impl Back {
    /// The first step back.
    #[must_use]
    pub fn begin(
        update: Update,
        way_back: Option<WayBack>,
        data: DataChoice,
        cause: Cause,
        why: String,
    ) -> Self {
        Self {
            update,
            way_back,
            cause,
            why,
            data,
            built: Vec::new(),
            exchange_begun: false,
            set_aside: None,
            restored: false,
            undone: false,
            latest: None,
            proven_down: false,
            switched: false,
            disproved: 0,
            round: 1,
            attempts: 0,
            stuck_at: None,
            may_pass: false,
            again: 0,
        }
    }

    /// How the update will have ended when the old release is well again.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self.data {
            DataChoice::Untouched => Ending::Aborted,
            DataChoice::Restore | DataChoice::Keep => Ending::RolledBack,
        }
    }
}

/// A live tree and the restored one that takes its place, by identity.
///
/// Recovery compares these with what lies on the disk and never exchanges blindly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreePair {
    /// Which volume.
    pub volume: VolumeName,
    /// The live tree at the time of building; `None`: there was none.
    pub live: Option<TreeId>,
    /// The restored tree; `None`: the volume did not exist when the snapshot was taken.
    pub restored: Option<TreeId>,
}

/// Names a directory by device, inode and birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeId {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// When it was made (seconds, nanoseconds), where the file system says so: a device number may
    /// change over a reboot and an inode number may be used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<(i64, u32)>,
}
