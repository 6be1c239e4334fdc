//! What runs an app: processes under a keeper, containers, units.

use crate::machine::StopReport;
use crate::noun::{Digest, Fault, TxnId};
use crate::plan::Installed;

/// What a runtime sees of its app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The release that is in place (the one that would be started).
    pub in_place: Option<Digest>,
    /// The update that put it in place, and whether it put it *back*.
    pub placed_by: Option<(TxnId, bool)>,
    /// The release of which a process runs.
    pub running: Option<Digest>,
    /// How the latest run ended, if it did.
    pub ended: Option<Ended>,
    /// The end of its output, oldest line first.
    pub output: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The release that ran.
    pub digest: Digest,
    /// The update that started it and the name of the start; `None`: groundcrew did not.
    pub run: Option<(TxnId, String)>,
    /// Code or signal, for people.
    pub how: String,
    /// Neither groundcrew nor a loss of power ended it.
    pub by_itself: bool,
}

/// How to stop.
#[derive(Clone, Debug)]
pub struct StopOrder<'a> {
    /// What is expected to run; its procedure says how it is stopped.
    pub installed: Option<&'a Installed>,
    /// The update on whose behalf.
    pub txn: &'a TxnId,
}

/// What to put in place.
#[derive(Clone, Debug)]
pub struct SwitchOrder<'a> {
    /// `None`: nothing (the way back of a first installation).
    pub to: Option<&'a Installed>,
    /// The update on whose behalf; the runtime labels the place with it.
    pub txn: &'a TxnId,
    /// This is the way back.
    pub back: bool,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct StartOrder<'a> {
    /// The release in place, with its procedure.
    pub installed: &'a Installed,
    /// The update that put it there.
    pub txn: &'a TxnId,
    /// Names this start within the update. The same name is never started twice.
    pub run: &'a str,
    /// The update is open: nothing but groundcrew may start the app again. Without it an engine
    /// with restarts of its own gets the app back into its care.
    pub attended: bool,
}

/// Why a command of a release is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The release's own migration of the data, as its description says.
    Migrate,
    /// A command that the configuration names, for instance a traffic hook. It may run twice.
    Hook(Vec<String>),
}

/// A command to run with the release's files, user and environment.
#[derive(Clone, Debug)]
pub struct CommandOrder<'a> {
    /// The release whose command it is.
    pub installed: &'a Installed,
    /// The update on whose behalf; passed as `GROUNDCREW_TXN`.
    pub txn: &'a TxnId,
    /// What to run.
    pub purpose: Purpose,
    /// Limit.
    pub timeout_ms: u64,
}

/// What runs one app.
pub trait Runtime {
    /// Looks. Changes nothing.
    ///
    /// # Errors
    ///
    /// The runtime could not be asked. The caller then assumes nothing and removes nothing.
    fn observe(&mut self) -> Result<Observed, Fault>;

    /// Stops whatever of this app runs: graceful first, then by force. Nothing runs: done, with
    /// `ran: false`. On return no process of the app, nor a descendant of one, is left, and nothing
    /// but groundcrew will start it again while the update is open.
    ///
    /// # Errors
    ///
    /// It could not be stopped, or it cannot be told whether it is.
    fn stop(&mut self, order: &StopOrder<'_>) -> Result<StopReport, Fault>;

    /// Puts a release in place, durably, labelled with the update. Already so: done. Never starts
    /// or stops anything.
    ///
    /// # Errors
    ///
    /// `Candidate`: the release cannot be put in place. `Host`: the host failed. What was in place
    /// still is, or the new one is whole.
    fn switch(&mut self, order: &SwitchOrder<'_>) -> Result<(), Fault>;

    /// Starts the release in place. The release in place runs already: left alone, and handed
    /// over where `attended` is false. This run was started before and ended: an error. On return the run is recorded durably, and from the
    /// moment a process exists [`Runtime::observe`] sees it, whatever becomes of the caller. Never
    /// makes a second copy: anything else of the app found running is an error.
    ///
    /// # Errors
    ///
    /// `Candidate`: it ended at once, or its command cannot be run. `Host`: the host failed, or
    /// the release in place is not the one ordered.
    fn start(&mut self, order: &StartOrder<'_>) -> Result<(), Fault>;

    /// Runs a command to its end. Not idempotent: the caller decides whether to repeat.
    ///
    /// # Errors
    ///
    /// `Candidate`: it ended with an error or ran out of time; the text has the end of its output.
    fn run(&mut self, order: &CommandOrder<'_>) -> Result<(), Fault>;
}
