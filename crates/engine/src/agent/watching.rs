//! A release that serves its users and is watched: one look at it, and its start where it ended.

use std::time::Duration;

use super::Stage;
use super::gather::since_ms;
use super::perform::{Outcome, hand_over, hook, launch};
use crate::machine::{Event, Secured, Step, WatchTick};
use crate::noun::{Fault, TxnId};
use crate::ports::Woken;

/// One round of the watch: the pause first, so that the first one is an interval after acceptance.
pub(super) fn watch(secured: &Secured, stage: &mut Stage<'_, '_>) -> Outcome {
    let plan = &secured.update.plan;
    let pause = Duration::from_millis(plan.to.procedure.watch.interval_ms);
    match stage.ports.clock.wait(pause) {
        Woken::Shutdown => return Outcome::Shutdown,
        Woken::Nudge => return Outcome::Nothing,
        Woken::Time => {}
    }
    let Ok(seen) = stage.ports.runtime.observe() else { return Outcome::Nothing };
    if seen.running.is_none() {
        let by_itself = seen.ended.as_ref().is_none_or(|ended| ended.by_itself);
        let how = seen.ended.map_or_else(|| "no process of it runs".to_owned(), |ended| ended.how);
        let finding = by_itself.then(|| format!("it ended: {how}"));
        return Outcome::Event(Event::Watched {
            tick: WatchTick { finding, down: true, by_itself },
        });
    }
    if seen.running.as_ref() != Some(&plan.to.release.digest) {
        let finding = Some("another release runs in its place".to_owned());
        let tick = WatchTick { finding, down: false, by_itself: false };
        return Outcome::Event(Event::Watched { tick });
    }
    let failure = plan.probes().iter().find_map(|probe| {
        let finding = stage.ports.probes.ask(probe, &plan.to);
        finding.failure.map(|why| format!("{}: {why}", finding.probe))
    });
    let tick = WatchTick { finding: failure, down: false, by_itself: false };
    Outcome::Event(Event::Watched { tick })
}

/// The watched app ended; that is on record already, so it cannot be forgotten.
pub(super) fn start(secured: &Secured, stage: &mut Stage<'_, '_>) -> Outcome {
    let failed = |fault| Outcome::Event(Event::Failed { step: Step::WatchStart, fault });
    match up(secured, stage).and_then(|()| let_in(secured, stage)) {
        Ok(true) => {}
        Ok(false) => return Outcome::Shutdown,
        Err(fault) => return failed(fault),
    }
    let plan = &secured.update.plan;
    match hand_over(&plan.to, &plan.txn, stage) {
        Ok(()) => Outcome::Event(Event::Started),
        Err(fault) => failed(fault),
    }
}

fn up(secured: &Secured, stage: &mut Stage<'_, '_>) -> Result<(), Fault> {
    let plan = &secured.update.plan;
    if runs(secured, stage)? {
        return Ok(());
    }
    let run = format!("watch-{}", TxnId::at(&stage.ports.clock.now()));
    launch(&plan.to, &plan.txn, &run, stage)
}

fn runs(secured: &Secured, stage: &mut Stage<'_, '_>) -> Result<bool, Fault> {
    let running = stage.ports.runtime.observe()?.running;
    Ok(running.as_ref() == Some(&secured.update.plan.to.release.digest))
}

/// Lets users in, who were kept out by whoever began to take it back without a journal. The command may
/// need the app, which has to come up first: a database reads its log after a power cut. It has the time
/// that any start has. `false`: the agent is to end.
fn let_in(secured: &Secured, stage: &mut Stage<'_, '_>) -> Result<bool, Fault> {
    let to = &secured.update.plan.to;
    let prove = &to.procedure.prove;
    let begin = stage.ports.clock.now();
    loop {
        let open = to.procedure.traffic.open.as_ref();
        let Err(fault) = hook(to, &secured.update.plan.txn, open, stage) else { return Ok(true) };
        let waited_ms = since_ms(&begin, &stage.ports.clock.now());
        if waited_ms >= prove.start_within_ms || !runs(secured, stage)? {
            return Err(fault);
        }
        let pause = Duration::from_millis(prove.startup_interval_ms.max(1));
        if stage.ports.clock.wait(pause) == Woken::Shutdown {
            return Ok(false);
        }
    }
}
