//! What an app's thread is asked to do, and what it answers.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use groundcrew_engine::gate::Answer;
use groundcrew_engine::machine::Event;
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::exit::Refusal;

/// Something to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Record what a person wants.
    Tell(Event),
    /// Let a candidate through, by version or digest.
    Approve {
        /// Which.
        version: String,
        /// Who.
        by: String,
    },
    /// Look for a candidate and take it as far as the gates allow.
    Update {
        /// A changed configuration is a candidate too.
        apply_config: bool,
        /// A person asks, so `mode` does not hold it.
        by_person: bool,
    },
    /// Ask all gates, record nothing.
    Check {
        /// A changed configuration is a candidate too.
        apply_config: bool,
    },
    /// The app shall run.
    Start,
    /// The app shall not run.
    Stop,
    /// Stop it and start it again.
    Restart,
    /// Put a snapshot of the running release's data back.
    Restore {
        /// The snapshot.
        id: String,
    },
    /// Go back to a release that ran here.
    GoBack(GoBack),
    /// Run the migration of the release that runs.
    Migrate {
        /// Undo it instead.
        down: bool,
        /// Who.
        by: String,
    },
    /// Go on with other settings.
    Reload(Arc<Settings>),
}

/// How a person wants to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoBack {
    /// A version, digest or revision; none: the release before.
    #[serde(default)]
    pub(crate) release: Option<String>,
    /// What becomes of the data.
    #[serde(default)]
    pub(crate) data: DataAsk,
    /// What cannot be undone, or is known as bad, is accepted.
    #[serde(default)]
    pub(crate) approve: bool,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub(crate) only_say: bool,
    /// Who.
    pub(crate) by: String,
}

/// What a person wants for the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DataAsk {
    /// What is usual.
    #[default]
    Usual,
    /// It stays.
    Keep,
    /// The copy that was taken when the release was left.
    Restore,
    /// This copy.
    Snapshot(String),
}

/// What going back is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WayBack {
    /// The version that is left.
    pub(crate) from: String,
    /// The version that shall run.
    pub(crate) to: String,
    /// What becomes of the data.
    pub(crate) data: String,
    /// The other choice, if there is one.
    pub(crate) instead: Option<String>,
    /// What else a person should know, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<String>,
    /// It is over when the app's `rested` reaches this number; none: it was only said.
    pub(crate) pass: Option<u64>,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// It is done, and recorded where it is to be remembered; a word about it for people.
    Said(String),
    /// The look is asked for: it is over when the view's `rested` has reached this number.
    Asked(u64),
    /// It is done, with a word about it, and the app is to start: over at this number.
    Starts(u64, String),
    /// What the gates say.
    Checked(Box<Check>),
    /// It goes back, or would.
    GoesBack(WayBack),
}

/// What the gates say about the present candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// The app.
    pub(crate) app: String,
    /// The version that runs.
    pub(crate) running: Option<String>,
    /// The candidate's version; `None`: what runs is what is offered.
    pub(crate) candidate: Option<String>,
    /// Its content.
    pub(crate) digest: Option<String>,
    /// It lies here already.
    pub(crate) fetched: bool,
    /// It migrates data.
    pub(crate) migrates: bool,
    /// An update is open, and this is its state.
    pub(crate) open: Option<String>,
    /// All answers.
    pub(crate) gates: Vec<Answer>,
    /// Room that it needs, place by place.
    pub(crate) room: Vec<Place>,
}

/// Room at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Which.
    pub(crate) path: String,
    /// Free bytes.
    pub(crate) free_bytes: u64,
    /// Bytes needed.
    pub(crate) need_bytes: u64,
}

/// An order with the way back for its answer.
#[derive(Debug)]
pub(crate) struct Letter {
    /// The order.
    pub(crate) order: Order,
    /// Where the answer goes; nobody may be there any more.
    pub(crate) reply: Sender<Result<Done, Refusal>>,
}

impl Letter {
    /// Answers it.
    pub(crate) fn answer(self, answer: Result<Done, Refusal>) {
        // Whoever asked may have gone away; what was done stays done.
        drop(self.reply.send(answer));
    }
}
