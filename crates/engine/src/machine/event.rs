//! What happened: the journal is a list of these, and nothing else is believed.
//!
//! This is a disk format. Kinds are only added; a reader that meets a kind it does not know
//! refuses that app by name instead of guessing.

use serde::{Deserialize, Serialize};

use super::state::StopReport;
use super::way_back::{DataChoice, Ending, TreePair};
use crate::gate::{Answer, Round};
use crate::noun::{Digest, Fault, Now, Offer, Release, SnapshotId, TxnId};
use crate::plan::{Installed, Plan};

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Now,
    /// What.
    pub event: Event,
}

/// An effect on the world. Its intent is durable before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Bring the candidate here and verify it.
    Fetch,
    /// Write the plan and reserve room for the journal.
    Prepare,
    /// Copy live data ahead of the stop.
    Precopy,
    /// Keep users out, run the pre-stop command, stop the old release.
    Stop,
    /// Copy the data of the stopped app.
    Snapshot,
    /// Put the new release in the old one's place.
    Switch,
    /// Run the candidate's migration.
    Migrate,
    /// Start the candidate.
    Start,
    /// Ask the candidate until it is proven or disproved.
    Prove,
    /// Let users in.
    Open,
    /// One round of the watch.
    Watch,
    /// Start the watched app again after it ended.
    WatchStart,
    /// Keep what a person needs to understand the failure.
    KeepEvidence,
    /// Stop the candidate.
    RbStop,
    /// Build the old data beside the live data.
    RbBuild,
    /// Exchange live and restored trees.
    RbExchange,
    /// Let the candidate undo its migration.
    RbMigrate,
    /// Put the old release back in its place.
    RbSwitch,
    /// Start the old release.
    RbStart,
    /// Ask the old release until it is proven or disproved.
    RbProve,
    /// Tell people, write the post-mortem, remove the plan.
    Close,
    /// Start an app that should run and does not, outside any update.
    Revive,
    /// Stop and start an app that is not well, outside any update. An interrupted one leaves an app
    /// that should run and does not.
    Restart,
}

impl Step {
    /// Whether it may stop what runs: launchers are told first, and the busy flag is asked after that.
    #[must_use]
    pub fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::RbStop | Self::Restart)
    }

    /// Whether its intent is recorded first. Asking and telling change nothing on the host, so
    /// an interrupted one is simply done again.
    #[must_use]
    pub fn has_intent(self) -> bool {
        !matches!(self, Self::Precopy | Self::Prove | Self::Watch | Self::KeepEvidence)
            && !matches!(self, Self::RbProve | Self::Revive)
    }
}

/// What an agent found when it took over an open update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// The release that is in place, and whether this update put it *back* there.
    pub in_place: Option<Digest>,
    /// This very update has already switched back.
    pub switched_back: bool,
    /// This very update has begun to bring the old data back.
    #[serde(default)]
    pub exchanged: bool,
    /// Nothing of the app runs, and it did not end by itself.
    #[serde(default)]
    pub stopped: bool,
    /// Nothing of the app runs.
    #[serde(default)]
    pub down: bool,
}

/// One round of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchTick {
    /// `None`: all probes passed.
    pub finding: Option<String>,
    /// No process of the app runs; it is to be started again.
    pub down: bool,
    /// It ended by itself, not with the power.
    pub by_itself: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Event {
    /// An agent took over an update that another one had left open.
    Resumed {
        /// What it found.
        found: Takeover,
    },
    /// An effect is about to begin.
    Intent {
        /// Which.
        step: Step,
    },
    /// A running app is taken as last-good, as it was found.
    Adopted {
        /// What runs.
        installed: Box<Installed>,
    },
    /// A candidate was found.
    Found {
        /// It.
        offer: Offer,
    },
    /// A person orders a release in place of whatever is offered.
    Ordered {
        /// It, with who and what.
        offer: Offer,
    },
    /// Nothing is offered any more: the channel returned to what runs, or the pin changed.
    Withdrawn,
    /// Gates were asked.
    Judged {
        /// Which round.
        round: Round,
        /// What they said.
        answers: Vec<Answer>,
    },
    /// The candidate lies here, verified.
    Fetched {
        /// It, as its own description says.
        release: Release,
    },
    /// All gates pass and the plan is drawn.
    Armed {
        /// It.
        plan: Box<Plan>,
    },
    /// The plan is written, room for the journal is reserved.
    Prepared,
    /// The live copy is done.
    Precopied {
        /// Bytes copied.
        bytes: u64,
    },
    /// The volatile gates pass; the stop may begin.
    Cleared,
    /// The busy flag is set: the update ends the shortest safe way.
    BusyAgain {
        /// What the flag says.
        reason: String,
    },
    /// Somebody started the app that was proven to be down.
    RanAgain,
    /// The app is down.
    Stopped {
        /// How.
        report: StopReport,
    },
    /// The data is copied; `None` for an app without volumes.
    Snapshotted {
        /// The copy.
        snapshot: Option<SnapshotId>,
        /// Its size.
        bytes: u64,
    },
    /// The new release is in place.
    Switched,
    /// The work on the data ended well.
    Migrated {
        /// Where the data went that was there, if other data took its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_aside: Option<String>,
    },
    /// The app was started.
    Started,
    /// The candidate is well.
    Proved,
    /// The candidate is not well.
    Disproved {
        /// What was found.
        finding: String,
    },
    /// Users are let in; the watch begins.
    Opened,
    /// One round of the watch.
    Watched {
        /// It.
        tick: WatchTick,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: Step,
        /// How, and whose fault.
        fault: Fault,
    },
    /// The journal cannot be written while the app is down: the update goes back.
    JournalLost {
        /// What the store says.
        reason: String,
    },
    /// What a person needs to understand the failure is kept.
    EvidenceKept {
        /// How the candidate's process ended, if it did.
        ended: Option<String>,
        /// The end of its output.
        output: Vec<String>,
    },
    /// The candidate is down.
    RbStopped {
        /// How.
        report: StopReport,
    },
    /// A person wants the open update to go back.
    GoBack {
        /// Who.
        by: String,
        /// What becomes of the data.
        data: DataChoice,
    },
    /// The candidate undid its migration.
    RbMigrated,
    /// The old data is built beside the live data.
    RbBuilt {
        /// The trees to exchange.
        pairs: Vec<TreePair>,
    },
    /// The old data is in place.
    RbRestored {
        /// Where the candidate's data went.
        set_aside: Option<String>,
    },
    /// The old release is in its place.
    RbSwitched,
    /// The old release was started, or there is none to start.
    RbStarted,
    /// The old release is well.
    RbProved,
    /// The old release is not well either.
    RbDisproved {
        /// What was found.
        finding: String,
    },
    /// The update is over.
    Closed {
        /// How it ended.
        ending: Ending,
    },
    /// An app that should run and had ended, or was not well, was started again, outside any update.
    Revived {
        /// How it had ended, or what its probes said.
        ended: Option<String>,
        /// It ran, was not well, and was stopped for it.
        #[serde(default)]
        unwell: bool,
        /// Why the start failed, if it did.
        failure: Option<String>,
    },
    /// An app that no update has its hands on stays unwell, and restarts did not help (RUN-7).
    LeftUnwell {
        /// What was found.
        finding: String,
    },
    /// A person lets a candidate through the gates that ask for one, or calls an unproven
    /// release proven.
    Approved {
        /// Which.
        digest: Digest,
        /// Who.
        by: String,
    },
    /// A person clears known-bad and retries, or takes a stuck update up again.
    Unblocked {
        /// Who.
        by: String,
    },
    /// A person pins the app to one version or digest.
    Pinned {
        /// To what.
        to: String,
    },
    /// The app follows its channel again.
    Unpinned,
    /// What a person asked for was not done, because it was not the time.
    NotNow {
        /// Who asked.
        by: String,
        /// For what.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A person stops all updates of this app.
    Paused,
    /// Updates go on.
    Unpaused,
    /// A person is about to put a snapshot back by hand. It is recorded before the first tree is
    /// touched, so that clean-up keeps what is replaced.
    RestoredByHand {
        /// Names what is set aside.
        txn: TxnId,
        /// What is put back.
        snapshot: SnapshotId,
    },
    /// Nothing runs, and what kept the way back from being walked may have passed: it is walked
    /// again from the stop.
    BackAgain,
    /// A person wants the app up, or down.
    Wanted {
        /// Up.
        up: bool,
    },
}

/// Room for the kind of an event, bytes; the longest has some 20.
const NAME_MAX: usize = 64;

impl Event {
    /// The kind, as the journal spells it.
    #[must_use]
    pub fn name(&self) -> String {
        // The kind comes first, and writing ends where the room for it does.
        let mut head = [0; NAME_MAX];
        drop(serde_json::to_writer(head.as_mut_slice(), self));
        let kind = head.strip_prefix(b"{\"kind\":\"").unwrap_or_default();
        let kind = kind.split(|byte| *byte == b'"').next().unwrap_or_default();
        std::str::from_utf8(kind)
            .ok()
            .filter(|kind| !kind.is_empty())
            .unwrap_or("unknown")
            .to_owned()
    }
}
