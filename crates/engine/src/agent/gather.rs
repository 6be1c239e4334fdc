//! Gathers what a decision or a gate is asked about. Looks, never touches.

use super::{Revive, Stage};
use crate::gate::{Baseline, GateFacts, NotesFact, Round};
use crate::machine::{App, Facts};
use crate::noun::{Now, Offer};
use crate::plan::Installed;
use crate::policy::Profile;
use crate::ports::{Busy, Ended, ExternalCheck, Finding, Neighbor, Ports};

/// How a runtime says that a run ended well.
const ENDED_WELL: &str = "exit code 0";

/// The facts of one decision.
pub(super) fn facts(ports: &mut Ports<'_>, due: bool, revive: Revive) -> Facts {
    let busy = match ports.host.busy() {
        Busy::Clear => None,
        Busy::Busy(reason) => Some(reason),
    };
    let seen = ports.runtime.observe();
    let observed = seen.is_ok();
    let seen = seen.unwrap_or_default();
    let ended_well = |ended: &Ended| ended.by_itself && ended.how == ENDED_WELL;
    let may_revive = match revive {
        Revive::Yes => true,
        Revive::UnlessEndedWell => !seen.ended.as_ref().is_some_and(ended_well),
        Revive::No => false,
    };
    let (running, latest) = (seen.running, seen.latest);
    let now = ports.clock.now();
    Facts { now, busy, running, latest, observed, due, may_revive, unwell: false }
}

/// The facts of one round of gates.
pub(super) fn gate_facts(
    round: Round,
    app: &App,
    offer: &Offer,
    stage: &mut Stage<'_, '_>,
) -> GateFacts {
    let now = stage.ports.clock.now();
    let all = round == Round::Arm;
    // What a person orders is asked only whether it can be done now.
    let looks = round != Round::Volatile && offer.ordered.is_none();
    let airborne = stage.policy.profile == Profile::Airborne;
    let asks_busy = airborne || round != Round::Candidate;
    GateFacts {
        now,
        offer: offer.clone(),
        current: app.running.as_ref().map(|running| running.release.clone()),
        busy: asks_busy.then(|| stage.ports.host.busy()),
        notes: if looks { notes(round, offer, stage) } else { NotesFact::AfterFetch },
        external: if looks { external(offer, stage) } else { Vec::new() },
        neighbors: if looks { stage.ports.neighbors.list() } else { Vec::<Neighbor>::new() },
        claim: if round == Round::Candidate { None } else { stage.ports.neighbors.exclude(true) },
        room: (round != Round::Candidate).then(|| room(app, offer, stage)),
        way_back: all.then(|| way_back(app, stage)),
        baseline: all.then(|| baseline(app, stage)),
    }
}

fn notes(round: Round, offer: &Offer, stage: &mut Stage<'_, '_>) -> NotesFact {
    let digest = &offer.release.digest;
    match (round, stage.notes.as_ref()) {
        (Round::Candidate, Some((of, notes))) if of == digest => NotesFact::Files(notes.clone()),
        (Round::Candidate, _) => NotesFact::AfterFetch,
        (Round::Arm | Round::Volatile, _) => match stage.ports.source.notes(digest) {
            Ok(files) => NotesFact::Files(files),
            Err(error) => NotesFact::Unreadable(error.text),
        },
    }
}

fn external(offer: &Offer, stage: &mut Stage<'_, '_>) -> Vec<(String, crate::ports::External)> {
    let release = &offer.release;
    let mut outcomes = Vec::new();
    for check in &stage.policy.external {
        let mut about = check.about.clone();
        about.insert("app".to_owned(), stage.policy.app.to_string());
        about.insert("version".to_owned(), release.version.clone());
        about.insert("digest".to_owned(), release.digest.to_string());
        about.insert("revision".to_owned(), release.revision.clone().unwrap_or_default());
        let check = ExternalCheck { about, ..check.clone() };
        outcomes.push((check.name.clone(), stage.ports.host.check(&check)));
    }
    outcomes
}

fn room(app: &App, offer: &Offer, stage: &mut Stage<'_, '_>) -> Result<crate::ports::Room, String> {
    let mut volumes =
        app.running.as_ref().map(|now| now.procedure.volumes.clone()).unwrap_or_default();
    volumes.extend(stage.policy.procedure.volumes.clone());
    stage.ports.host.room(&volumes, &offer.release).map_err(|fault| fault.text)
}

/// GATE-7: the release to return to must be startable offline. A first installation has none.
fn way_back(app: &App, stage: &mut Stage<'_, '_>) -> Result<(), String> {
    match &app.running {
        None => Ok(()),
        Some(running) => {
            stage.ports.source.verify(&running.release.digest).map_err(|error| error.text)
        }
    }
}

fn baseline(app: &App, stage: &mut Stage<'_, '_>) -> Baseline {
    let Some(running) = app.running.as_ref().filter(|_| app.wanted_up) else {
        return Baseline::default();
    };
    let seen = stage.ports.runtime.observe().unwrap_or_default();
    let by_itself = seen.ended.is_some_and(|ended| ended.by_itself);
    let about_to_start = seen.running.is_none() && !by_itself;
    Baseline { about_to_start, findings: ask_all(running, stage.ports) }
}

/// Asks every probe once.
pub(super) fn ask_all(of: &Installed, ports: &mut Ports<'_>) -> Vec<Finding> {
    of.procedure.probes.iter().map(|probe| ports.probes.ask(probe, of)).collect()
}

/// Milliseconds between two moments of one boot.
pub(super) fn since_ms(begin: &Now, now: &Now) -> u64 {
    if begin.boot == now.boot { now.uptime_ms.saturating_sub(begin.uptime_ms) } else { 0 }
}
