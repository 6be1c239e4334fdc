//! Carries out one step: maps it to the ports and says what happened. Decides nothing.

use std::time::Duration;

use super::gather::since_ms;
use super::prove::{Prover, Round, Verdict};
use super::{Stage, on_data, post_mortem, watching};
use crate::machine::{App, Back, Ending, Entry, Event, Secured, State, Step, Unproven, Update};
use crate::noun::{AppName, Fault, FaultKind, Offer, TxnId, Via};
use crate::plan::{Installed, Plan, Probe};
use crate::ports::{CommandOrder, Ended, Purpose, StartOrder, StopOrder, SwitchOrder, Woken};

/// Limit of a traffic hook or pre-stop command.
const HOOK_TIMEOUT_MS: u64 = 60_000;

/// What came of a step.
#[expect(clippy::large_enum_variant, reason = "one lives at a time and is moved once")]
pub(super) enum Outcome {
    /// This happened.
    Event(Event),
    /// Nothing to report; decide again.
    Nothing,
    /// The agent is to end.
    Shutdown,
}

/// Does the step, or finds it done.
pub(super) fn perform(step: Step, app: &App, stage: &mut Stage<'_, '_>) -> Outcome {
    let done = match (step, &app.state) {
        (Step::Fetch, State::Fetching(offer)) => fetch(offer, stage),
        (Step::Prepare, State::Armed(update)) => prepare(update, stage),
        (Step::Precopy, State::Precopying(_)) => Ok(Event::Precopied { bytes: 0 }),
        (Step::Stop, State::Draining(draining)) => stop(&draining.update, stage),
        (Step::Snapshot, State::Snapshotting(update)) => on_data::snapshot(update, stage),
        (Step::Switch, State::Applying(secured)) => switch(&secured.update, stage),
        (Step::Migrate, State::Migrating(secured)) => on_data::migrate(&secured.update, stage),
        (Step::Start, State::Starting(secured)) => start(&secured.update, stage),
        (Step::Prove, State::Probing(secured)) => return prove(secured, stage),
        (Step::Open, State::Accepted(secured)) => open(&secured.update, stage),
        (Step::Watch, State::Watching(watching)) => {
            return watching::watch(&watching.secured, stage);
        }
        (Step::WatchStart, State::Watching(watching)) => {
            return watching::start(&watching.secured, stage);
        }
        (Step::KeepEvidence, State::RollbackDecided(_)) => Ok(keep_evidence(stage)),
        (Step::RbStop, State::RbStopping(back)) => rb_stop(back, stage),
        (Step::RbBuild, State::RbData(back)) => on_data::rb_build(back, stage),
        (Step::RbExchange, State::RbData(back)) => on_data::rb_exchange(back, stage),
        (Step::RbMigrate, State::RbData(back)) => {
            on_data::undo(&back.update.plan.to, &back.update.plan.txn, stage)
                .map(|()| Event::RbMigrated)
        }
        (Step::RbSwitch, State::RbSwitch(back)) => rb_switch(back, stage),
        (Step::RbStart, State::RbStarting(back)) => rb_start(back, stage),
        (Step::RbProve, State::RbProbing(back)) => return rb_prove(back, stage),
        (
            Step::Close,
            State::Proven(_) | State::Unproven(_) | State::RolledBack(_) | State::Aborted(_),
        ) => close(app, stage),
        (Step::Revive, _) => Ok(revive(app, stage)),
        (step, state) => {
            let text = format!("step {step:?} does not belong to state {}", state.name());
            Err(Fault::host(text))
        }
    };
    Outcome::Event(done.unwrap_or_else(|fault| Event::Failed { step, fault }))
}

pub(super) type Done = Result<Event, Fault>;

fn fetch(offer: &Offer, stage: &mut Stage<'_, '_>) -> Done {
    let release = stage.ports.source.fetch(&offer.release, stage.progress)?;
    Ok(Event::Fetched { release })
}

fn prepare(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    reserve(Some(update), stage)?;
    Ok(Event::Prepared)
}

fn reserve(update: Option<&Update>, stage: &mut Stage<'_, '_>) -> Result<(), Fault> {
    let plan = update.map(|update| &update.plan);
    let app = &stage.policy.app;
    stage.ports.journal.reserve(app, plan).map_err(|error| Fault::host(error.text))
}

fn stop(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let (plan, txn) = (&update.plan, &update.plan.txn);
    if let Some(from) = &plan.from
        && stage.ports.runtime.observe()?.running.is_some()
    {
        hook(from, txn, from.procedure.traffic.close.as_ref(), stage)?;
        hook(from, txn, from.procedure.stop.before.as_ref(), stage)?;
    }
    let order = StopOrder { installed: plan.from.as_ref(), txn };
    let report = stage.ports.runtime.stop(&order)?;
    Ok(Event::Stopped { report })
}

pub(super) fn hook(
    installed: &Installed,
    txn: &TxnId,
    command: Option<&Vec<String>>,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    let Some(command) = command else { return Ok(()) };
    let purpose = Purpose::Hook(command.clone());
    let order = CommandOrder { installed, txn, purpose, timeout_ms: HOOK_TIMEOUT_MS };
    // A hook is the host's, not the candidate's: its failure condemns no release.
    stage.ports.runtime.run(&order).map_err(|fault| Fault::host(fault.text))
}

fn switch(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let order = SwitchOrder { to: Some(&update.plan.to), txn: &update.plan.txn, back: false };
    stage.ports.runtime.switch(&order)?;
    Ok(Event::Switched)
}

fn start(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let to = &update.plan.to;
    let seen = stage.ports.runtime.observe()?;
    if seen.running.as_ref() == Some(&to.release.digest) {
        return Ok(Event::Started);
    }
    // It ran and ended while no agent looked; a loss of power is not its fault.
    let ours = |ended: &Ended| ended.run.as_ref().is_some_and(|(txn, _)| *txn == update.plan.txn);
    if let Some(ended) = seen.ended.filter(|ended| ended.by_itself && ours(ended))
        && ended.digest == to.release.digest
    {
        return Err(Fault::candidate(format!("it was started and ended: {}", ended.how)));
    }
    let run = format!("start-{}", update.resumed);
    launch(to, &update.plan.txn, &run, stage)?;
    Ok(Event::Started)
}

fn prove(secured: &Secured, stage: &mut Stage<'_, '_>) -> Outcome {
    let plan = &secured.update.plan;
    match ask_until_clear(&plan.to, &plan.probes(), stage) {
        Some(Verdict::Proved) => Outcome::Event(Event::Proved),
        Some(Verdict::Disproved(finding)) => Outcome::Event(Event::Disproved { finding }),
        Some(Verdict::Again(_)) => Outcome::Nothing,
        None => Outcome::Shutdown,
    }
}

fn rb_prove(back: &Back, stage: &mut Stage<'_, '_>) -> Outcome {
    let plan = &back.update.plan;
    let Some(from) = &plan.from else { return Outcome::Event(Event::RbProved) };
    let kept = |probe: &&Probe| !plan.left_out.contains(&probe.name);
    let probes: Vec<Probe> = from.procedure.probes.iter().filter(kept).cloned().collect();
    match ask_until_clear(from, &probes, stage) {
        Some(Verdict::Proved) => Outcome::Event(Event::RbProved),
        Some(Verdict::Disproved(finding)) => Outcome::Event(Event::RbDisproved { finding }),
        Some(Verdict::Again(_)) => Outcome::Nothing,
        None => Outcome::Shutdown,
    }
}

/// Asks until the answers are clear; `None`: the agent is to end.
fn ask_until_clear(of: &Installed, probes: &[Probe], stage: &mut Stage<'_, '_>) -> Option<Verdict> {
    let spec = of.procedure.prove.clone();
    let begin = stage.ports.clock.now();
    let mut prover = Prover::new(spec.clone());
    loop {
        let round = one_round(of, probes, &begin, spec.progress_file.as_deref(), stage);
        match prover.round(&round) {
            Verdict::Again(pause_ms) => {
                let woken = stage.ports.clock.wait(Duration::from_millis(pause_ms));
                if woken == Woken::Shutdown {
                    return None;
                }
            }
            verdict => return Some(verdict),
        }
    }
}

fn one_round(
    of: &Installed,
    probes: &[Probe],
    begin: &crate::noun::Now,
    progress_file: Option<&str>,
    stage: &mut Stage<'_, '_>,
) -> Round {
    let seen = stage.ports.runtime.observe();
    let (alive, ended) = match &seen {
        Ok(seen) => {
            let how = seen.ended.as_ref().map(|ended| ended.how.clone());
            (seen.running.as_ref() == Some(&of.release.digest), how)
        }
        // Not knowing is no evidence against the release; its probes decide.
        Err(_) => (true, None),
    };
    let failures = probes
        .iter()
        .map(|probe| stage.ports.probes.ask(probe, of))
        .filter_map(|finding| finding.failure.map(|why| format!("{}: {why}", finding.probe)))
        .collect();
    let now = stage.ports.clock.now();
    let at_ms = since_ms(begin, &now);
    let progress_ms = progress_file.and_then(|path| stage.ports.host.touched_ms(path)).map(|ms| {
        let since = u64::try_from(ms.saturating_sub(begin.wall_ms)).unwrap_or(0);
        since.min(at_ms)
    });
    Round { at_ms, alive, ended, failures, progress_ms }
}

fn open(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let to = &update.plan.to;
    hook(to, &update.plan.txn, to.procedure.traffic.open.as_ref(), stage)?;
    hand_over(to, &update.plan.txn, stage)?;
    stage.ports.host.announce(false)?;
    stage.ports.neighbors.exclude(false);
    Ok(Event::Opened)
}

pub(super) fn launch(
    installed: &Installed,
    txn: &TxnId,
    run: &str,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    let order = StartOrder { installed, txn, run, attended: true };
    stage.ports.runtime.start(&order)
}

/// The update is over for the app: an engine may care for it again.
pub(super) fn hand_over(
    installed: &Installed,
    txn: &TxnId,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    let run = format!("care-{}", TxnId::at(&stage.ports.clock.now()));
    let order = StartOrder { installed, txn, run: &run, attended: false };
    stage.ports.runtime.start(&order)
}

/// What cannot be observed is missing from the evidence; it never keeps an app down.
fn keep_evidence(stage: &mut Stage<'_, '_>) -> Event {
    match stage.ports.runtime.observe() {
        Ok(seen) => {
            let ended = seen.ended.map(|ended| ended.how);
            Event::EvidenceKept { ended, output: stage.ports.runtime.output() }
        }
        Err(fault) => {
            let ended = Some(format!("the runtime could not be asked: {fault}"));
            Event::EvidenceKept { ended, output: Vec::new() }
        }
    }
}

/// Keeps users out of a candidate that serves, then stops it. A candidate that is ill may not be
/// able to run its own hook: after one try, which is on record, it is stopped all the same.
fn rb_stop(back: &Back, stage: &mut Stage<'_, '_>) -> Done {
    let plan = &back.update.plan;
    let close = plan.to.procedure.traffic.close.as_ref();
    if close.is_some() && back.attempts == 0 {
        let seen = stage.ports.runtime.observe()?;
        // A migration that an agent left behind runs too, and serves nobody.
        let served = seen.latest.is_some_and(|latest| latest.digest == plan.to.release.digest);
        if seen.running.is_some() && served {
            hook(&plan.to, &plan.txn, close, stage)?;
        }
    }
    let order = StopOrder { installed: Some(&plan.to), txn: &plan.txn };
    let report = stage.ports.runtime.stop(&order)?;
    Ok(Event::RbStopped { report })
}

fn rb_switch(back: &Back, stage: &mut Stage<'_, '_>) -> Done {
    let plan = &back.update.plan;
    let order = SwitchOrder { to: plan.from.as_ref(), txn: &plan.txn, back: true };
    stage.ports.runtime.switch(&order)?;
    Ok(Event::RbSwitched)
}

/// An abort before the stop finds the old release running: it is left alone.
fn rb_start(back: &Back, stage: &mut Stage<'_, '_>) -> Done {
    let plan = &back.update.plan;
    let Some(from) = &plan.from else { return Ok(Event::RbStarted) };
    if stage.ports.runtime.observe()?.running.as_ref() == Some(&from.release.digest) {
        return Ok(Event::RbStarted);
    }
    let Back { round, disproved, attempts, update, .. } = back;
    let run = format!("back-{round}-{disproved}-{attempts}-{}", update.resumed);
    launch(from, &plan.txn, &run, stage)?;
    Ok(Event::RbStarted)
}

fn revive(app: &App, stage: &mut Stage<'_, '_>) -> Event {
    let ended = stage.ports.runtime.observe().ok().and_then(|seen| seen.ended);
    let ended = ended.map(|ended| ended.how);
    let Some(installed) = &app.running else {
        let failure = Some("nothing is installed".to_owned());
        return Event::Revived { ended, unwell: false, failure };
    };
    let adopted = TxnId("adopted".to_owned());
    let txn = app.running_txn.as_ref().unwrap_or(&adopted);
    let run = format!("again-{}", TxnId::at(&stage.ports.clock.now()));
    let order = StartOrder { installed, txn, run: &run, attended: false };
    let failure = stage.ports.runtime.start(&order).err().map(|fault| fault.text);
    Event::Revived { ended, unwell: false, failure }
}

/// Stops an app that is not well, and starts it again.
pub(super) fn restart(app: &App, why: String, stage: &mut Stage<'_, '_>) -> Event {
    let adopted = TxnId("adopted".to_owned());
    let txn = app.running_txn.as_ref().unwrap_or(&adopted);
    let order = StopOrder { installed: app.running.as_ref(), txn };
    if let Err(fault) = stage.ports.runtime.stop(&order) {
        return Event::Revived { ended: Some(why), unwell: true, failure: Some(fault.text) };
    }
    match revive(app, stage) {
        Event::Revived { failure, .. } => {
            Event::Revived { ended: Some(why), unwell: true, failure }
        }
        event => event,
    }
}

/// Ends an update. What can fail comes first and may be repeated.
fn close(app: &App, stage: &mut Stage<'_, '_>) -> Done {
    let Some(ending) = app.ending() else { return Err(Fault::host("the update is not over")) };
    if let State::RolledBack(back) | State::Aborted(back) = &app.state {
        let plan = &back.update.plan;
        if let Some(from) = &plan.from {
            hook(from, &plan.txn, from.procedure.traffic.open.as_ref(), stage)?;
            hand_over(from, &plan.txn, stage)?;
        }
        if ending == Ending::RolledBack {
            file(plan, |app, timeline| post_mortem::write(app, back, timeline), stage)?;
        }
    }
    if let State::Proven(Secured { update, .. })
    | State::Unproven(Unproven { secured: Secured { update, .. }, .. }) = &app.state
        && update.plan.offer.via == Via::Rollback
    {
        file(&update.plan, |app, timeline| post_mortem::by_hand(app, update, timeline), stage)?;
    }
    stage.ports.host.announce(false)?;
    stage.ports.neighbors.exclude(false);
    reserve(None, stage)?;
    Ok(Event::Closed { ending })
}

/// Files a post-mortem.
fn file(
    plan: &Plan,
    write: impl FnOnce(&AppName, &[Entry]) -> String,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    let app = &stage.policy.app;
    let host =
        |error: crate::ports::JournalError| Fault { kind: FaultKind::Host, text: error.text };
    let timeline = stage.ports.journal.timeline(app).map_err(host)?;
    let text = write(app, &timeline);
    // It is about the release that is left.
    let left = plan.from.as_ref().filter(|_| plan.offer.via == Via::Rollback);
    let version = &left.unwrap_or(&plan.to).release.version;
    let post_mortem = crate::ports::PostMortem { app, txn: &plan.txn, version, text: &text };
    stage.ports.journal.file(&post_mortem).map_err(host)
}
