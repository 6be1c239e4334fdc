//! Where an app stands: the states of the update machine and the data that each may rely on.
//!
//! A state carries evidence: nothing from [`State::Snapshotted`] on can be built without a
//! [`Secured`], whose way back exists.

use serde::{Deserialize, Serialize};

use super::way_back::Back;
use crate::gate::Answer;
use crate::noun::{Digest, Offer, SnapshotId};
use crate::plan::Plan;

/// Where an app stands. The drawing is in the [module](super).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name", content = "with")]
pub enum State {
    /// No update is open. With nothing installed its name is `empty`.
    #[default]
    Idle,
    /// A candidate was found; the gates of the first round are to be asked.
    Detected(Offer),
    /// A gate wants a person.
    Held(Waiting),
    /// A gate says "not now"; it will clear by itself.
    Deferred(Waiting),
    /// The candidate is being brought to this host; the app is untouched.
    Fetching(Offer),
    /// The candidate lies here, verified; all gates are to be asked.
    Staged(Offer),
    /// The plan is drawn; it is to be written down.
    Armed(Update),
    /// The snapshot store is brought near the live data while the app still runs.
    Precopying(Precopy),
    /// Users are kept out, the old release is being stopped.
    Draining(Draining),
    /// The old release is down.
    Stopped(Update),
    /// The data is being copied.
    Snapshotting(Update),
    /// The way back exists; nothing was changed yet.
    Snapshotted(Secured),
    /// The new release is being put in the old one's place.
    Applying(Secured),
    /// The candidate's command changes the data.
    Migrating(Secured),
    /// The candidate is being started.
    Starting(Secured),
    /// The candidate is being asked whether it is well.
    Probing(Secured),
    /// The candidate passed; users are let in again.
    Accepted(Secured),
    /// The candidate serves; its health is followed.
    Watching(Watching),
    /// The watch passed: the candidate is the new last-good release.
    Proven(Secured),
    /// The watch could not say that it is well: it keeps running, last-good stays.
    Unproven(Unproven),
    /// It goes back; the evidence is to be kept first.
    RollbackDecided(Back),
    /// The candidate is being stopped.
    RbStopping(Back),
    /// The data is being put back.
    RbData(Back),
    /// The old release is being put back in its place.
    RbSwitch(Back),
    /// The old release is being started.
    RbStarting(Back),
    /// The old release is being asked whether it is well.
    RbProbing(Back),
    /// The old release runs with its old data.
    RolledBack(Back),
    /// Nothing was changed; the old release runs again.
    Aborted(Back),
    /// No way forward or back worked: a person is needed. No loop.
    Stuck(Back),
}

/// A candidate that waits at a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What waits.
    pub offer: Offer,
    /// It was fetched already; the second round of gates is asked.
    pub staged: bool,
    /// What the gates said.
    pub answers: Vec<Answer>,
    /// Wall clock since when it waits, milliseconds since 1970.
    pub since_ms: i64,
    /// Not before this much accumulated uptime (the pause between retries).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<u64>,
}

/// One attempt to move an app to a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What was decided before anything was touched.
    pub plan: Plan,
    /// How the old release was stopped, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReport>,
    /// Wall clock of the stop, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_ms: Option<i64>,
    /// Wall clock when the candidate, or the old release again, was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_ms: Option<i64>,
    /// How often an agent died during it.
    #[serde(default)]
    pub resumed: u32,
    /// Where the data went that an ordered restore replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

/// How a stop went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// A process of the app was found running.
    pub ran: bool,
    /// It ended by itself within the grace.
    pub clean: bool,
    /// Its exit code, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long the stop took.
    pub took_ms: u64,
    /// The latest start of the app before this stop, by whomever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Latest>,
}

/// Names a start. Another name means that somebody ran since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// Different for every start, for ever.
    pub run: String,
    /// The release that was started.
    pub digest: Digest,
}

/// The state before the stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precopy {
    /// The update.
    pub update: Update,
    /// The live copy is done; the volatile gates are to be asked.
    pub copied: bool,
}

/// The state while the old release is stopped, or proven once more to be down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// The update.
    pub update: Update,
    /// A complete copy from before an interruption. It counts only if nobody ran since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<WayBack>,
    /// The switch may have happened before the interruption.
    #[serde(default)]
    pub switched: bool,
}

/// What an update can return to, besides the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WayBack {
    /// The data as it was at the stop.
    Snapshot(SnapshotId),
    /// The app keeps no data here (UPD-10): the release alone is the way back.
    Stateless,
}

/// An update that may change the app: its way back exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secured {
    /// The update.
    pub update: Update,
    /// The way back.
    pub way_back: WayBack,
}

/// An accepted update under watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The update.
    pub secured: Secured,
    /// What was seen so far.
    pub seen: WatchSeen,
}

/// The counters of a watch. Its time is accumulated uptime (WCH-16).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSeen {
    /// Watched so far; begins anew when the app ends by itself.
    pub elapsed_ms: u64,
    /// Watched since this boot.
    #[serde(default)]
    pub since_boot_ms: u64,
    /// Probe rounds.
    pub ticks: u32,
    /// Rounds that failed.
    pub failed: u32,
    /// Rounds that failed in a row, up to now.
    pub failed_in_row: u32,
    /// How often the app ended and was started again.
    pub restarts: u32,
    /// The app ended and is to be started again.
    #[serde(default)]
    pub down: bool,
    /// The boot of the latest tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<crate::noun::BootId>,
    /// Uptime clock of the latest tick and its boot; `None` after an interruption, whose gap is
    /// not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(crate::noun::BootId, u64)>,
    /// What the latest failing round said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

/// An update whose watch did not say "well".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// The update.
    pub secured: Secured,
    /// What the watch found.
    pub why: String,
}

impl State {
    /// The short name used in status, logs and the recorder.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Detected(_) => "detected",
            Self::Held(_) => "held",
            Self::Deferred(_) => "deferred",
            Self::Fetching(_) => "fetching",
            Self::Staged(_) => "staged",
            Self::Armed(_) => "armed",
            Self::Precopying(_) => "precopying",
            Self::Draining(_) => "draining",
            Self::Stopped(_) => "stopped",
            Self::Snapshotting(_) => "snapshotting",
            Self::Snapshotted(_) => "snapshotted",
            Self::Applying(_) => "applying",
            Self::Migrating(_) => "migrating",
            Self::Starting(_) => "starting",
            Self::Probing(_) => "probing",
            Self::Accepted(_) => "accepted",
            Self::Watching(_) => "watching",
            Self::Proven(_) => "proven",
            Self::Unproven(_) => "unproven",
            Self::RollbackDecided(_) => "rollback-decided",
            Self::RbStopping(_) => "rb-stopping",
            Self::RbData(_) => "rb-data",
            Self::RbSwitch(_) => "rb-switch",
            Self::RbStarting(_) => "rb-starting",
            Self::RbProbing(_) => "rb-probing",
            Self::RolledBack(_) => "rolled-back",
            Self::Aborted(_) => "aborted",
            Self::Stuck(_) => "stuck",
        }
    }

    /// The open update, if there is one.
    #[must_use]
    pub fn update(&self) -> Option<&Update> {
        match self {
            Self::Idle
            | Self::Detected(_)
            | Self::Held(_)
            | Self::Deferred(_)
            | Self::Fetching(_)
            | Self::Staged(_) => None,
            Self::Armed(update) | Self::Stopped(update) | Self::Snapshotting(update) => {
                Some(update)
            }
            Self::Precopying(precopy) => Some(&precopy.update),
            Self::Draining(draining) => Some(&draining.update),
            Self::Snapshotted(secured)
            | Self::Applying(secured)
            | Self::Migrating(secured)
            | Self::Starting(secured)
            | Self::Probing(secured)
            | Self::Accepted(secured)
            | Self::Proven(secured) => Some(&secured.update),
            Self::Watching(watching) => Some(&watching.secured.update),
            Self::Unproven(unproven) => Some(&unproven.secured.update),
            Self::RollbackDecided(back)
            | Self::RbStopping(back)
            | Self::RbData(back)
            | Self::RbSwitch(back)
            | Self::RbStarting(back)
            | Self::RbProbing(back)
            | Self::RolledBack(back)
            | Self::Aborted(back)
            | Self::Stuck(back) => Some(&back.update),
        }
    }

    /// The candidate under consideration before a plan is drawn.
    #[must_use]
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Detected(offer) | Self::Fetching(offer) | Self::Staged(offer) => Some(offer),
            Self::Held(waiting) | Self::Deferred(waiting) => Some(&waiting.offer),
            _ => self.update().map(|update| &update.plan.offer),
        }
    }

    /// Nothing more happens here by itself: no update is open, or a person is needed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Idle | Self::Held(_) | Self::Deferred(_) | Self::Stuck(_))
    }

    /// An agent that is asked to end may end here: the app is up, or nobody stopped it. Elsewhere
    /// it goes on until the app is up again, because nobody may come after it for days.
    #[must_use]
    pub fn may_be_left(&self) -> bool {
        !matches!(
            self,
            Self::Draining(_)
                | Self::Stopped(_)
                | Self::Snapshotting(_)
                | Self::Snapshotted(_)
                | Self::Applying(_)
                | Self::Migrating(_)
                | Self::Starting(_)
                | Self::RbData(_)
                | Self::RbSwitch(_)
                | Self::RbStarting(_)
        )
    }

    /// The app may be down or changed: a crash here must be recovered before anything else.
    #[must_use]
    pub fn touches_app(&self) -> bool {
        self.update().is_some() && !matches!(self, Self::Armed(_) | Self::Precopying(_))
    }

    /// An update is open, or a candidate is on its way to one and no gate has said no so far. Those
    /// who depend on the app let it go first.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.update().is_some()
            || matches!(self, Self::Detected(_) | Self::Fetching(_) | Self::Staged(_))
    }
}
