//! What runs an app: processes under a keeper, containers, units.

use crate::machine::{Latest, StopReport};
use crate::noun::{Digest, Fault, FaultKind, TxnId};
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
    /// The latest start of the app, by whomever.
    pub latest: Option<Latest>,
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
    /// The release undoes its migration.
    Undo,
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

    /// The end of the latest run's output, oldest line first; what cannot be read is missing. A
    /// runtime that has it beside a look leaves [`Observed::output`] empty: looks are many.
    fn output(&mut self) -> Vec<String> {
        self.observe().map(|seen| seen.output).unwrap_or_default()
    }

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

/// What [`contract`] needs of whoever calls it.
#[allow(missing_debug_implementations, reason = "closures have no useful form")]
pub struct Fixture<'f> {
    /// A release that runs until it is stopped.
    pub good: &'f Installed,
    /// Another one.
    pub other: &'f Installed,
    /// A release that ends by itself as soon as it is started.
    pub ends: &'f Installed,
    /// A hook that ends with success.
    pub hook: Vec<String>,
    /// The truth: releases of which a process lives, one entry per copy.
    pub alive: &'f mut dyn FnMut() -> Vec<Digest>,
    /// Ends what runs as if it had crashed, and waits until it has.
    pub crash: &'f mut dyn FnMut(),
}

/// What every runtime promises, checked through the trait, on an app that was never started.
///
/// # Panics
///
/// A promise is broken.
pub fn contract(runtime: &mut dyn Runtime, fixture: &mut Fixture<'_>) {
    let first = TxnId::from("contract-1");
    nothing_is_no_work(runtime, &first);
    one_copy_of_what_is_in_place(runtime, fixture, &first);
    a_stop_leaves_nothing(runtime, fixture, &first);
    an_end_is_told_truly(runtime, fixture, &TxnId::from("contract-2"));
    the_place_is_labelled(runtime, fixture);
}

fn look(runtime: &mut dyn Runtime) -> Observed {
    runtime.observe().expect("a runtime that works can be asked")
}

fn place(runtime: &mut dyn Runtime, to: Option<&Installed>, txn: &TxnId, back: bool) {
    for _ in 0..2 {
        runtime.switch(&SwitchOrder { to, txn, back }).expect("switching, and once more");
    }
    assert_eq!(look(runtime).in_place.as_ref(), to.map(|to| &to.release.digest));
}

fn nothing_is_no_work(runtime: &mut dyn Runtime, txn: &TxnId) {
    let seen = look(runtime);
    assert_eq!((seen.in_place, seen.running, seen.ended, seen.latest), (None, None, None, None));
    let report = runtime.stop(&StopOrder { installed: None, txn }).expect("nothing to stop");
    assert!(!report.ran && report.latest.is_none(), "{report:?}");
}

fn one_copy_of_what_is_in_place(runtime: &mut dyn Runtime, fixture: &mut Fixture<'_>, txn: &TxnId) {
    let (good, other) = (fixture.good, fixture.other);
    let order = |installed, run| StartOrder { installed, txn, run, attended: true };
    place(runtime, Some(good), txn, false);
    assert_eq!(look(runtime).placed_by, Some((txn.clone(), false)));
    assert!((fixture.alive)().is_empty(), "a switch started something");
    let refused = runtime.start(&order(other, "start-0")).expect_err("it is not in place");
    assert_eq!(refused.kind, FaultKind::Host, "{refused}");
    runtime.start(&order(good, "start-0")).expect("the first start");
    let begun = look(runtime);
    assert_eq!(begun.running.as_ref(), Some(&good.release.digest));
    assert_eq!(begun.latest.as_ref().map(|latest| &latest.digest), begun.running.as_ref());
    for (run, attended) in [("start-0", true), ("start-1", true), ("care-0", false)] {
        let again = StartOrder { attended, ..order(good, run) };
        runtime.start(&again).expect("it runs already");
        assert_eq!(look(runtime).latest, begun.latest, "{run} started something");
    }
    let purpose = Purpose::Hook(fixture.hook.clone());
    let hook = CommandOrder { installed: good, txn, purpose, timeout_ms: 60_000 };
    runtime.run(&hook).expect("the hook ends well");
    runtime.run(&hook).expect("and does so twice");
    assert_eq!(look(runtime).latest, begun.latest, "a hook is no start");
    place(runtime, Some(other), txn, false);
    assert_eq!(look(runtime).running, begun.running, "a switch stopped something");
    let refused = runtime.start(&order(other, "start-2")).expect_err("something else runs");
    assert_eq!(refused.kind, FaultKind::Host, "{refused}");
    assert_eq!((fixture.alive)(), std::slice::from_ref(&good.release.digest));
}

fn a_stop_leaves_nothing(runtime: &mut dyn Runtime, fixture: &mut Fixture<'_>, txn: &TxnId) {
    let begun = look(runtime).latest;
    let stop = StopOrder { installed: Some(fixture.good), txn };
    let report = runtime.stop(&stop).expect("it stops");
    assert!(report.ran && report.clean, "{report:?}");
    assert_eq!(report.latest, begun);
    assert!((fixture.alive)().is_empty());
    let seen = look(runtime);
    assert_eq!(seen.running, None);
    let ended = seen.ended.expect("the latest run ended");
    assert!(!ended.by_itself, "{ended:?}");
    assert_eq!(ended.run, Some((txn.clone(), "start-0".to_owned())));
    let again = runtime.stop(&stop).expect("it is stopped");
    assert_eq!((again.ran, again.latest), (false, begun));
}

fn an_end_is_told_truly(runtime: &mut dyn Runtime, fixture: &mut Fixture<'_>, txn: &TxnId) {
    let before = look(runtime).latest;
    let good = fixture.good;
    let order = |run| StartOrder { installed: good, txn, run, attended: true };
    place(runtime, Some(good), txn, false);
    runtime.start(&order("start-0")).expect("it starts again");
    let begun = look(runtime).latest;
    assert_ne!(begun, before, "every start has a name of its own");
    (fixture.crash)();
    let ended = look(runtime).ended.expect("it crashed");
    assert!(ended.by_itself && ended.digest == good.release.digest, "{ended:?}");
    runtime.start(&order("start-0")).expect_err("this run is over");
    assert!((fixture.alive)().is_empty());
    runtime.start(&order("start-1")).expect("another start");
    assert_ne!(look(runtime).latest, begun);
    runtime.stop(&StopOrder { installed: Some(good), txn }).expect("it stops");
    let ends = fixture.ends;
    place(runtime, Some(ends), txn, false);
    let start = StartOrder { installed: ends, txn, run: "start-2", attended: true };
    let fault = runtime.start(&start).expect_err("it ended at once");
    assert_eq!(fault.kind, FaultKind::Candidate, "{fault}");
    assert!((fixture.alive)().is_empty());
    let ended = look(runtime).ended.expect("it ended");
    assert!(ended.by_itself && ended.digest == ends.release.digest, "{ended:?}");
}

fn the_place_is_labelled(runtime: &mut dyn Runtime, fixture: &mut Fixture<'_>) {
    let txn = TxnId::from("contract-3");
    place(runtime, Some(fixture.other), &txn, true);
    assert_eq!(look(runtime).placed_by, Some((txn.clone(), true)));
    place(runtime, None, &txn, true);
    assert!((fixture.alive)().is_empty());
}
