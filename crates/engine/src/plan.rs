//! The immutable plan of one update: everything that is decided before anything is touched.
//!
//! A plan leaves no choice for later. It is drawn when all gates pass, recorded with the `Armed`
//! event and written to `plan.json`; a change of the configuration affects the next plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gate::Answer;
use crate::noun::{ConfigHash, Offer, ProbeName, Release, SnapshotId, TxnId, VolumeName};

/// A release in place, with the configuration and the procedure that go with it.
///
/// A way back needs all three: the old release with the new configuration is not what ran before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// What runs.
    pub release: Release,
    /// Names the configuration.
    pub config: ConfigHash,
    /// How it is stopped, started and asked.
    pub procedure: Procedure,
}

/// What a person ordered; it goes the same way as a candidate that a source offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Who.
    pub by: String,
    /// What shall run, with the configuration that it ran with.
    pub to: Installed,
    /// What is done to the data first.
    pub work: DataWork,
}

/// What is done to the data of the stopped app before the release starts. Whatever it is, it is
/// never done a second time on data that it may have touched: the update goes back instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataWork {
    /// It stays as it is.
    Nothing,
    /// The migration of the release that shall run.
    Up,
    /// The release that ran undoes its migration.
    Down,
    /// This copy takes its place; what is there is set aside.
    Restore(SnapshotId),
}

/// What one update will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Names the update.
    pub txn: TxnId,
    /// What runs now and what an automatic rollback returns to; `None` for a first installation,
    /// whose way back is "stopped, with the volumes as they were".
    pub from: Option<Installed>,
    /// What shall run.
    pub to: Installed,
    /// The candidate as it was offered, to be judged again after an abort.
    pub offer: Offer,
    /// The gates as they were answered.
    pub answers: Vec<Answer>,
    /// Probes that were red before the stop and that a person chose to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ProbeName>,
    /// Wall clock when it was drawn, milliseconds since 1970.
    pub drawn_ms: i64,
    /// What is done to the data before the release starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<DataWork>,
    /// Why `from` could not run on the data once the candidate had it, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_way: Option<String>,
}

impl Plan {
    /// What is done to the data before the release starts; plans that do not say so yet migrate
    /// whenever the release can.
    #[must_use]
    pub fn work(&self) -> DataWork {
        match &self.work {
            Some(work) => work.clone(),
            None if self.to.release.migration.is_some() => DataWork::Up,
            None => DataWork::Nothing,
        }
    }

    /// Whether the release's migration was run and the release brings the command that undoes it.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        let reversible = |migration: &crate::noun::Migration| migration.reversible;
        self.work() == DataWork::Up && self.to.release.migration.as_ref().is_some_and(reversible)
    }

    /// Names the data that an ordered restore sets aside: not what the way back sets aside.
    #[must_use]
    pub fn data_txn(&self) -> TxnId {
        TxnId(format!("{}-data", self.txn))
    }

    /// Whether a snapshot is to be taken (UPD-10: an app without volumes has none).
    #[must_use]
    pub fn has_data(&self) -> bool {
        !self.to.procedure.volumes.is_empty()
            || self.from.as_ref().is_some_and(|from| !from.procedure.volumes.is_empty())
    }

    /// Every volume that either release uses; the new release's path wins.
    #[must_use]
    pub fn volumes(&self) -> BTreeMap<VolumeName, Volume> {
        let mut volumes =
            self.from.as_ref().map(|from| from.procedure.volumes.clone()).unwrap_or_default();
        volumes.extend(self.to.procedure.volumes.clone());
        volumes
    }

    /// The probes that count for the candidate. A release that a person orders has to be well all
    /// round: that the one before was not is often why.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        let all = self.offer.ordered.is_some();
        let kept = |probe: &&Probe| all || !self.left_out.contains(&probe.name);
        self.to.procedure.probes.iter().filter(kept).cloned().collect()
    }
}

/// How an app is stopped, started, asked and watched. Its hash is the [`ConfigHash`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Procedure {
    /// How it is stopped.
    pub stop: StopSpec,
    /// What is asked of it.
    pub probes: Vec<Probe>,
    /// How the answers are counted.
    pub prove: ProveSpec,
    /// Where its data lives.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// How users are kept out while it is being proven.
    pub traffic: Traffic,
    /// How long it is watched and what follows.
    pub watch: WatchSpec,
    /// The runtime's own settings (user, environment, limits); only the driver reads them.
    #[serde(default)]
    pub launch: serde_json::Value,
}

/// One data volume: a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Absolute path of the directory on this host.
    pub path: String,
}

/// How an app is stopped (UPD-3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// The signal's name, `SIGTERM` by default.
    pub signal: String,
    /// How long it may take before SIGKILL.
    pub grace_ms: u64,
    /// A command of the running release to run first, for instance a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Vec<String>>,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { signal: "SIGTERM".to_owned(), grace_ms: 30_000, before: None }
    }
}

/// One question to a running app (UPD-7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Its name in messages.
    pub name: ProbeName,
    /// How it is asked.
    pub kind: ProbeKind,
    /// After this long it counts as failed.
    pub timeout_ms: u64,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// GET: 200, and each named top-level member of the JSON body has the value given.
    Http {
        /// Where.
        url: String,
        /// Members that must match; empty asks only for 200.
        json: BTreeMap<String, String>,
    },
    /// GET: the body, trimmed, or the member `version` of a JSON body, is the release's version.
    Version {
        /// Where.
        url: String,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A command of the release exits with 0.
    Exec {
        /// Program and arguments, relative to the release's files.
        command: Vec<String>,
    },
    /// What runs the app asks it by itself, and says that it is well.
    Container,
}

/// How answers of probes are counted before a release is accepted (UPD-7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProveSpec {
    /// The first pass must come within this time.
    pub start_within_ms: u64,
    /// Pause between rounds until the first pass.
    pub startup_interval_ms: u64,
    /// Pause between rounds afterwards.
    pub interval_ms: u64,
    /// So many rounds must pass in a row.
    pub passes: u32,
    /// After the first pass, so many failed rounds in a row disprove it.
    pub failures: u32,
    /// It must stay well for at least so long after the first pass.
    pub stable_for_ms: u64,
    /// A file that the app touches while its start makes progress: each touch extends the start
    /// deadline, so that a long migration at start-up is not killed half-way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_file: Option<String>,
}

impl Default for ProveSpec {
    fn default() -> Self {
        Self {
            start_within_ms: 150_000,
            startup_interval_ms: 5_000,
            interval_ms: 10_000,
            passes: 3,
            failures: 3,
            stable_for_ms: 0,
            progress_file: None,
        }
    }
}

/// Commands that close and open the way of users to the app; both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Lets users in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Vec<String>>,
    /// Keeps users out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<Vec<String>>,
}

/// How an accepted release is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSpec {
    /// Accumulated uptime after which it is proven.
    pub window_ms: u64,
    /// Pause between two probe rounds.
    pub interval_ms: u64,
    /// So many failed rounds in a row make it degraded.
    pub failures: u32,
    /// What follows from degraded.
    pub on_degraded: OnDegraded,
}

impl Default for WatchSpec {
    fn default() -> Self {
        Self {
            window_ms: 15 * 60_000,
            interval_ms: 5_000,
            failures: 12,
            on_degraded: OnDegraded::Alert,
        }
    }
}

/// What follows when the watch finds a release degraded (WCH-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDegraded {
    /// Tell a person; nothing is touched.
    Alert,
    /// Back to the old release; the data stays as it is.
    Version,
    /// Back to the old release and its data; what was written since is set aside.
    #[serde(rename = "version+data")]
    VersionAndData,
}
