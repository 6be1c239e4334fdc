//! What remembers: an append-only list of entries per app, durable on return.

use serde::{Deserialize, Serialize};

use crate::machine::{App, Cause, Ending, Entry};
use crate::noun::{AppName, TxnId};
use crate::plan::Plan;

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
    /// Where the failed data lies.
    pub set_aside: Option<String>,
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
