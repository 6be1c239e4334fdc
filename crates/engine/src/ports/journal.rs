//! What remembers: an append-only list of entries per app, durable on return.

use serde::{Deserialize, Serialize};

use crate::gate::Round;
use crate::machine::{App, Cause, Ending, Entry, Event, Step};
use crate::noun::{AppName, BootId, ConfigHash, Digest, Fault, Now, Offer, Release, TxnId, Via};
use crate::plan::{DataWork, Installed, Plan, Procedure};

/// How urgent a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the digest.
    Info,
    /// Odd, recovered.
    Warning,
    /// A person should act.
    Alert,
    /// A person must act now.
    Page,
}

/// Something that people are told. It is queued in the same transaction as the event that caused
/// it, so that a crash between the two loses neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same key is told once.
    pub key: String,
    /// How urgent.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// The rest: notes, findings, the exact command that helps.
    pub body: String,
}

/// One line of an app's history: an update that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The update.
    pub txn: TxnId,
    /// The version before; `None` for a first installation.
    pub from: Option<String>,
    /// The version offered.
    pub to: String,
    /// The digest offered.
    pub digest: String,
    /// How it ended.
    pub ending: Ending,
    /// Why it went back.
    pub cause: Option<Cause>,
    /// What was found.
    pub why: Option<String>,
    /// Wall clock of the plan.
    pub drawn_ms: i64,
    /// Wall clock of the end.
    pub closed_ms: i64,
    /// From the stop until a release was healthy.
    pub downtime_ms: Option<u64>,
    /// Where the data lies that was set aside.
    pub set_aside: Option<String>,
    /// Whether what ran before ended by itself within its grace (UPD-3); absent where nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_stop: Option<bool>,
    /// How long that stop took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_ms: Option<u64>,
    /// With what exit code it ended, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_exit_code: Option<i32>,
    /// Why it was a candidate; rows of before do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// Who ordered it, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was to be done to the data; rows of before do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<DataWork>,
}

/// One durable append: all of it or nothing.
#[derive(Clone, Debug)]
pub struct Append<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The update, where one is open.
    pub txn: Option<&'a TxnId>,
    /// What happened.
    pub entry: &'a Entry,
    /// What people are told.
    pub notices: &'a [Notice],
    /// The app before the entry.
    pub before: &'a App,
    /// The app after the entry; written as a checkpoint when no update is open.
    pub after: &'a App,
    /// The update that this entry closed.
    pub closed: Option<&'a Summary>,
}

/// What a person needs to understand a rollback (UPD-16).
#[derive(Clone, Debug)]
pub struct PostMortem<'a> {
    /// The app.
    pub app: &'a AppName,
    /// Names the file, together with the app and the version.
    pub txn: &'a TxnId,
    /// The version that failed.
    pub version: &'a str,
    /// The document.
    pub text: &'a str,
}

/// The journal could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct JournalError {
    /// The whole chain of causes.
    pub text: String,
}

/// What remembers.
pub trait Journal {
    /// Appends; durable on return, or nothing of it happened.
    ///
    /// # Errors
    ///
    /// It could not be made durable. The store is to be reopened before it is used again.
    fn append(&mut self, append: &Append<'_>) -> Result<(), JournalError>;

    /// With a plan: writes it beside the journal and reserves room (the ballast). Without: removes
    /// both. Done before: done.
    ///
    /// # Errors
    ///
    /// The host failed; nothing else was touched.
    fn reserve(&mut self, app: &AppName, plan: Option<&Plan>) -> Result<(), JournalError>;

    /// Gives the reserved room free and reopens the store.
    ///
    /// # Errors
    ///
    /// It still cannot be written.
    fn relieve(&mut self) -> Result<(), JournalError>;

    /// Writes a post-mortem; a person's edits of one that exists are kept.
    ///
    /// # Errors
    ///
    /// The host failed.
    fn file(&mut self, post_mortem: &PostMortem<'_>) -> Result<(), JournalError>;

    /// The entries of the open update, for the post-mortem's timeline.
    ///
    /// # Errors
    ///
    /// They could not be read.
    fn timeline(&mut self, app: &AppName) -> Result<Vec<Entry>, JournalError>;
}

/// What a contract is tried on.
#[allow(missing_debug_implementations, reason = "closures have no useful form")]
pub struct Trial<'a> {
    /// An app that the journal knows nothing of.
    pub app: AppName,
    /// What the next agent finds: the fold of what is recorded.
    pub known: &'a mut dyn FnMut() -> App,
    /// The keys of the notices that are queued.
    pub told: &'a mut dyn FnMut() -> Vec<String>,
    /// The post-mortem as it lies there. With a text: after a person replaced it by that.
    pub document: &'a mut dyn FnMut(Option<&str>) -> Option<String>,
}

/// Tries the promises above on a journal that can be written.
///
/// # Panics
///
/// At the first promise that is broken.
pub fn contract(journal: &mut dyn Journal, trial: &mut Trial<'_>) {
    let app = trial.app.clone();
    assert_eq!((trial.known)(), App::default(), "the journal knows nothing yet");
    let plan = sample_plan();
    let txn = plan.txn.clone();
    let mut after = App::default();
    let before = [
        Event::Found { offer: plan.offer.clone() },
        Event::Judged { round: Round::Candidate, answers: Vec::new() },
        Event::Fetched { release: plan.to.release.clone() },
    ];
    for event in before {
        after = trial.append(journal, &after, event, None, &[]);
    }
    let opened = Event::Armed { plan: Box::new(plan.clone()) };
    let update = [opened, Event::Intent { step: Step::Prepare }, Event::Prepared];
    let begun = update.len();
    for event in update.clone() {
        after = trial.append(journal, &after, event, Some(&txn), &["one", "two"]);
    }
    assert_eq!((trial.told)(), ["one", "two"], "the same key is queued once");
    let timeline = journal.timeline(&app).expect("the timeline can be read");
    let events: Vec<Event> = timeline.into_iter().map(|entry| entry.event).collect();
    assert!(events.ends_with(&update), "the update's {begun} entries in their order: {events:?}");

    for _ in 0..2 {
        journal.reserve(&app, Some(&plan)).expect("room can be reserved twice");
    }
    for _ in 0..2 {
        journal.relieve().expect("a journal that can be written can be reopened");
    }
    assert_eq!((trial.known)(), after, "reopening loses nothing");
    let fault = Fault::host("for a contract");
    let failed = Event::Failed { step: Step::Precopy, fault };
    after = trial.append(journal, &after, failed, Some(&txn), &["three"]);
    assert!(after.state.update().is_none(), "the update is over");
    trial.append(journal, &after, Event::Paused, None, &[]);
    for _ in 0..2 {
        journal.reserve(&app, None).expect("giving back twice is harmless");
    }

    let mut file = |text: &str| {
        let post_mortem = PostMortem { app: &app, txn: &txn, version: "2.0.0", text };
        journal.file(&post_mortem).expect("a post-mortem can be written");
    };
    file("first");
    assert_eq!((trial.document)(None).as_deref(), Some("first"), "it lies there");
    assert_eq!((trial.document)(Some("edited")).as_deref(), Some("edited"), "a person edits it");
    file("again");
    assert_eq!((trial.document)(None).as_deref(), Some("edited"), "and keeps what was written");
}

impl Trial<'_> {
    /// Appends an event and looks whether the next agent would know it.
    fn append(
        &mut self,
        journal: &mut dyn Journal,
        before: &App,
        event: Event,
        txn: Option<&TxnId>,
        keys: &[&str],
    ) -> App {
        let entry = Entry { at: sample_now(), event };
        let after = before.clone().apply(&entry).expect("the contract's events follow");
        let notice = |key: &&str| Notice {
            key: (*key).to_owned(),
            severity: Severity::Alert,
            title: "a title".to_owned(),
            body: "two\nlines".to_owned(),
        };
        let notices: Vec<Notice> = keys.iter().map(notice).collect();
        let (app, entry, notices) = (&self.app, &entry, notices.as_slice());
        let append = Append { app, txn, entry, notices, before, after: &after, closed: None };
        journal.append(&append).expect("the append succeeds");
        assert_eq!((self.known)(), after, "what was appended is known");
        after
    }
}

fn sample_now() -> Now {
    let boot = BootId::from("boot1");
    Now { wall_ms: 1_800_000_000_000, uptime_ms: 5_000, boot, synchronized: true }
}

fn sample_plan() -> Plan {
    let release = Release {
        version: "2.0.0".to_owned(),
        digest: Digest(format!("sha256:{}", "2".repeat(64))),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    };
    let config = ConfigHash::from("config");
    let offer = Offer {
        ordered: None,
        release: release.clone(),
        config: config.clone(),
        via: Via::Channel,
        serial: None,
        first_seen_ms: sample_now().wall_ms,
    };
    Plan {
        work: None,
        one_way: None,
        txn: TxnId::at(&sample_now()),
        from: None,
        to: Installed { release, config, procedure: Procedure::default() },
        offer,
        answers: Vec::new(),
        left_out: Vec::new(),
        drawn_ms: sample_now().wall_ms,
    }
}
