//! What is kept of an app beside the state of its open update.

use serde::{Deserialize, Serialize};

use crate::noun::{BootId, ConfigHash, Digest, Now, SnapshotId, TxnId, Via};
use crate::plan::Installed;

/// The release that an app can always return to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    /// It.
    pub installed: Installed,
    /// How it came to be trusted.
    pub merit: Merit,
    /// Wall clock since when, milliseconds since 1970.
    pub since_ms: i64,
}

/// How a release came to be last-good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merit {
    /// Its watch passed.
    Proven,
    /// It was running when groundcrew came.
    Adopted,
    /// A person said so.
    Approved,
}

/// A candidate that must not be tried again on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBad {
    /// The release.
    pub digest: Digest,
    /// The configuration it failed with.
    pub config: ConfigHash,
    /// Its version, for people.
    pub version: String,
    /// What was found.
    pub why: String,
    /// Wall clock, milliseconds since 1970.
    pub since_ms: i64,
}

/// A way back that is kept after its update closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// The update.
    pub txn: TxnId,
    /// The release that owned the data.
    pub from: Option<Installed>,
    /// The data.
    pub snapshot: Option<SnapshotId>,
    /// The update brought older data back, or undid the migration of the release that it left.
    #[serde(default)]
    pub data_went_back: bool,
    /// Accumulated uptime when it closed.
    pub closed_uptime_ms: u64,
    /// Wall clock when it closed.
    pub closed_wall_ms: i64,
}

/// The evidence of an update that went back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The update; names the data that was set aside.
    pub txn: TxnId,
    /// The data that was brought back.
    pub snapshot: Option<SnapshotId>,
}

/// What a person ordered and nothing was touched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// The version that was to run.
    pub version: String,
    /// A rollback or a migration.
    pub via: Via,
    /// What was in the way.
    pub why: String,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: i64,
}

/// Tries of one candidate that failed through no fault of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// The candidate.
    pub digest: Digest,
    /// Its configuration.
    pub config: ConfigHash,
    /// How many.
    pub count: u32,
}

/// Uptime accumulated over boots: a clock that no one can step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uptime {
    /// The boot of the latest entry.
    pub boot: Option<BootId>,
    /// Uptime at the latest entry, milliseconds.
    pub at_ms: u64,
    /// Accumulated up to then, milliseconds.
    pub total_ms: u64,
}

impl Uptime {
    /// The accumulated uptime at this moment.
    #[must_use]
    pub fn at(&self, now: &Now) -> u64 {
        let passed = match &self.boot {
            Some(boot) if *boot == now.boot => now.uptime_ms.saturating_sub(self.at_ms),
            Some(_) => now.uptime_ms,
            None => 0,
        };
        self.total_ms.saturating_add(passed)
    }

    pub(super) fn advance(&mut self, now: &Now) {
        self.total_ms = self.at(now);
        self.boot = Some(now.boot.clone());
        self.at_ms = now.uptime_ms;
    }
}
