//! All gates of a round, one function each.
//!
//! To add a gate: a [`GateId`], a function here, a fact if it needs one, its row in
//! `docs/spec/10-update.md` and a test in `tests.rs`.

use super::data::data;
use super::facts::{GateFacts, NotesFact};
use super::{Answer, GateId, Round, Verdict};
use crate::machine::App;
use crate::notes;
use crate::noun::{Offer, Via};
use crate::policy::{Downgrades, Mode, Policy};
use crate::ports::{Busy, External, Place};
use crate::version::{Change, Version};
use crate::window::WindowState;

/// Asks every gate of the round. Never empty.
#[must_use]
pub fn judge(round: Round, app: &App, policy: &Policy, facts: &GateFacts) -> Vec<Answer> {
    if facts.offer.ordered.is_some() {
        return ordered(app, facts);
    }
    let approved = app.approved.contains(&facts.offer.release.digest);
    let mut answers = match round {
        Round::Candidate => {
            let mut answers = candidate(app, policy, facts);
            // Only the airborne profile asks this early: nothing is fetched in flight.
            answers.extend(facts.busy.as_ref().map(busy));
            answers
        }
        Round::Arm => {
            let mut answers = candidate(app, policy, facts);
            answers.extend(volatile(policy, facts));
            answers.extend(room(facts));
            answers.extend(way_back(facts));
            answers.extend(baseline(facts));
            answers
        }
        Round::Volatile => {
            let mut answers = volatile(policy, facts);
            answers.extend(stopped_by_hand(app));
            answers.extend(room(facts));
            answers
        }
    };
    if approved {
        answers.iter_mut().for_each(let_through);
    }
    answers
}

/// UPD-25: of what a person orders only busy, other work, room and the way back are asked.
fn ordered(app: &App, facts: &GateFacts) -> Vec<Answer> {
    let mut answers: Vec<Answer> = facts.busy.as_ref().map(busy).into_iter().collect();
    answers.extend(stopped_by_hand(app));
    answers.push(other_work(facts));
    answers.extend(room(facts));
    answers.extend(way_back(facts));
    answers
}

/// Nobody starts what a person stopped.
fn stopped_by_hand(app: &App) -> Option<Answer> {
    let reason = "the app is stopped by hand; `groundcrew start APP` ends it";
    let stopped = !app.wanted_up && app.running.is_some();
    stopped.then(|| Answer::defer(GateId::Mode, reason, None))
}

/// A person said yes: what asked for a person passes, what needs something else does not.
fn let_through(answer: &mut Answer) {
    if let Verdict::Hold { reason, approvable: true, .. } = &answer.verdict {
        let remark = format!("approved although: {reason}");
        answer.verdict = Verdict::Pass { remark: Some(remark) };
    }
}

fn candidate(app: &App, policy: &Policy, facts: &GateFacts) -> Vec<Answer> {
    let mut answers = vec![
        mode(app, policy, &facts.offer),
        known_bad(app, &facts.offer),
        version(app, policy, facts),
        data(policy, facts),
        manual_migration(policy, facts),
        window(policy, facts),
        age(policy, facts),
    ];
    answers.extend(dependencies(policy, facts));
    answers.extend(facts.external.iter().map(|(name, outcome)| external(name, outcome)));
    answers
}

fn volatile(policy: &Policy, facts: &GateFacts) -> Vec<Answer> {
    let mut answers = Vec::new();
    answers.extend(facts.busy.as_ref().map(busy));
    answers.push(other_work(facts));
    answers.push(window(policy, facts));
    answers.dedup();
    answers
}

/// GATE-1.
fn busy(busy: &Busy) -> Answer {
    match busy {
        Busy::Clear => Answer::pass(GateId::Busy),
        Busy::Busy(reason) => Answer::defer(GateId::Busy, reason.clone(), None),
    }
}

/// UPD-24, and a person's pause or stop.
fn mode(app: &App, policy: &Policy, offer: &Offer) -> Answer {
    let by_hand = matches!(offer.via, Via::Pin | Via::Configuration);
    if app.paused {
        let reason = "updates are paused by hand; `groundcrew resume APP` ends it";
        return Answer::defer(GateId::Mode, reason, None);
    }
    if let Some(answer) = stopped_by_hand(app) {
        return answer;
    }
    match policy.mode {
        Mode::Auto => Answer::pass(GateId::Mode),
        Mode::Notify | Mode::Manual if by_hand => Answer::pass(GateId::Mode),
        Mode::Notify | Mode::Manual => {
            let reason = "this app is not updated without a person";
            Answer::ask(GateId::Mode, reason, approve_command(policy, offer))
        }
    }
}

pub(super) fn approve_command(policy: &Policy, offer: &Offer) -> String {
    format!("groundcrew approve {} {}", policy.app, offer.release.version)
}

/// GATE-4.
fn known_bad(app: &App, offer: &Offer) -> Answer {
    let same = |bad: &&crate::machine::KnownBad| {
        bad.digest == offer.release.digest && bad.config == offer.config
    };
    match app.known_bad.iter().find(same) {
        None => Answer::pass(GateId::KnownBad),
        Some(bad) => Answer::hold(
            GateId::KnownBad,
            format!("{} was rolled back on this host: {}", bad.version, bad.why),
            "publish a newer release, or `groundcrew unblock APP` to try this one again",
        ),
    }
}

/// GATE-2, SRC-5.
fn version(app: &App, policy: &Policy, facts: &GateFacts) -> Answer {
    let offer = &facts.offer;
    let Some(current) = &facts.current else { return Answer::pass(GateId::Version) };
    if current.digest == offer.release.digest {
        return Answer::remark(GateId::Version, "the same release with a new configuration");
    }
    let read = |text: &str| Version::parse(text, policy.version_form);
    let (from, to) = match (read(&current.version), read(&offer.release.version)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(error), _) | (_, Err(error)) => {
            let reason = format!("cannot compare versions: {error}");
            return Answer::ask(GateId::Version, reason, approve_command(policy, offer));
        }
    };
    match from.change_to(&to) {
        Change::Breaking => {
            let reason = format!("{} to {} is a major change", from.as_str(), to.as_str());
            Answer::ask(GateId::Version, reason, approve_command(policy, offer))
        }
        Change::Downgrade => downgrade(app, policy, offer),
        Change::Same
        | Change::UpstreamOnly
        | Change::PreRelease
        | Change::Patch
        | Change::Minor => Answer::pass(GateId::Version),
    }
}

/// A channel that moved to an older release is a rollback only if that one was proven here.
fn downgrade(app: &App, policy: &Policy, offer: &Offer) -> Answer {
    let version = &offer.release.version;
    if offer.via == Via::Pin {
        return Answer::remark(GateId::Version, format!("pinned to the older {version}"));
    }
    let proven = app.proven.contains(&offer.release.digest);
    let replayed = match (offer.serial, app.serial) {
        (Some(offered), Some(seen)) => offered <= seen,
        _ => false,
    };
    if proven && !replayed && policy.downgrades == Downgrades::Follow {
        let remark = format!("back to {version}, which was proven here before; data stays");
        return Answer::remark(GateId::Version, remark);
    }
    let reason = if replayed {
        format!("the channel names the older {version} with a serial that was seen before")
    } else {
        format!("the channel names the older {version}")
    };
    Answer::ask(GateId::Version, reason, approve_command(policy, offer))
}

/// GATE-3.
fn manual_migration(policy: &Policy, facts: &GateFacts) -> Answer {
    let gate = GateId::ManualMigration;
    let files = match &facts.notes {
        NotesFact::AfterFetch => return Answer::remark(gate, "notes come with the release"),
        NotesFact::Unreadable(why) => {
            return Answer::defer(gate, format!("release notes cannot be read: {why}"), None);
        }
        NotesFact::Files(files) => files,
    };
    let form = policy.version_form;
    let current = facts.current.as_ref().map(|now| Version::parse(&now.version, form));
    let (Ok(current), Ok(to)) =
        (current.transpose(), Version::parse(&facts.offer.release.version, form))
    else {
        let reason = "cannot tell which release notes lie between versions that do not parse";
        return Answer::ask(gate, reason, approve_command(policy, &facts.offer));
    };
    let reading = notes::read(files, current.as_ref(), &to, form, &policy.markers);
    if let Some(bad) = reading.unreadable.first() {
        let reason = format!("release notes of {} cannot be read: {}", bad.version, bad.why);
        return Answer::defer(gate, reason, None);
    }
    if let Some(first) = reading.findings.first() {
        let more = reading.findings.len() - 1 + reading.findings_left_out;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let reason = format!(
            "the notes of {} ask for a person, line {}: {}{more}",
            first.version, first.line, first.text
        );
        return Answer::ask(gate, reason, approve_command(policy, &facts.offer));
    }
    match (reading.empty, policy.notes_required) {
        (true, true) => Answer::ask(
            gate,
            "there are no release notes, and this app asks for them",
            approve_command(policy, &facts.offer),
        ),
        (true, false) => Answer::remark(gate, "there are no release notes"),
        (false, _) => Answer::remark(gate, format!("read: {}", reading.covered.join(", "))),
    }
}

/// GATE-5.
fn window(policy: &Policy, facts: &GateFacts) -> Answer {
    let Some(windows) = &policy.windows else { return Answer::pass(GateId::Window) };
    if !facts.now.synchronized {
        let reason = "the clock is not synchronized, so no window can be trusted";
        return Answer::defer(GateId::Window, reason, None);
    }
    let Ok(now) = jiff::Timestamp::from_millisecond(facts.now.wall_ms) else {
        return Answer::defer(GateId::Window, "the clock is out of range", None);
    };
    match windows.state(now) {
        WindowState::Open { .. } => Answer::pass(GateId::Window),
        WindowState::Closed { opens: Some(opens) } => {
            let reason = format!("outside its maintenance window, next opening {opens}");
            Answer::defer(GateId::Window, reason, Some(opens.as_millisecond()))
        }
        WindowState::Closed { opens: None } => {
            let reason = "its maintenance window never opens within 400 days";
            Answer::hold(GateId::Window, reason, "change `window` of the app")
        }
    }
}

/// UPD-21. A release without a date counts from when this host saw it first.
fn age(policy: &Policy, facts: &GateFacts) -> Answer {
    let born_ms = facts.offer.release.published_ms.unwrap_or(facts.offer.first_seen_ms);
    let min_age_ms = i64::try_from(policy.min_age_ms).unwrap_or(i64::MAX);
    let ripe_ms = born_ms.saturating_add(min_age_ms);
    if policy.min_age_ms == 0 || facts.now.wall_ms >= ripe_ms {
        return Answer::pass(GateId::Age);
    }
    let reason = "younger than this app asks for";
    Answer::defer(GateId::Age, reason, Some(ripe_ms))
}

/// GATE-12.
fn dependencies(policy: &Policy, facts: &GateFacts) -> Vec<Answer> {
    let gate = GateId::Dependencies;
    let ask = |name: &String| {
        let Some(other) = facts.neighbors.iter().find(|other| other.app == *name) else {
            let reason = format!("depends on {name}, which is not on this host");
            return Answer::hold(gate, reason, "correct `after` of the app").named(name);
        };
        match (other.healthy, other.updating) {
            (_, true) => Answer::defer(gate, format!("{name} is being updated"), None).named(name),
            (false, _) => Answer::defer(gate, format!("{name} is not healthy"), None).named(name),
            (true, false) => Answer::pass(gate).named(name),
        }
    };
    policy.after.iter().map(ask).collect()
}

/// GATE-8: 0 or 2xx pass, 75 or 503 defer, anything else holds.
fn external(name: &str, outcome: &External) -> Answer {
    let gate = GateId::External;
    let remedy = "make the check pass, or remove it from the app's gates";
    let answer = match outcome {
        External::Exit(0) | External::Status(200..=299) => Answer::pass(gate),
        External::Exit(75) | External::Status(503) => {
            Answer::defer(gate, format!("check {name} says not now"), None)
        }
        External::Exit(code) => {
            Answer::hold(gate, format!("check {name} ended with exit code {code}"), remedy)
        }
        External::Status(status) => {
            Answer::hold(gate, format!("check {name} answered HTTP {status}"), remedy)
        }
        External::Failed(why) => Answer::hold(gate, format!("check {name} failed: {why}"), remedy),
    };
    answer.named(name)
}

/// GATE-11.
fn other_work(facts: &GateFacts) -> Answer {
    match &facts.claim {
        None => Answer::pass(GateId::OtherWork),
        Some(claim) => {
            let reason = format!("{} is at work since {}", claim.who, claim.since);
            Answer::defer(GateId::OtherWork, reason, None)
        }
    }
}

/// GATE-6.
fn room(facts: &GateFacts) -> Option<Answer> {
    let gate = GateId::Room;
    Some(match facts.room.as_ref()? {
        Err(why) => Answer::defer(gate, format!("cannot measure free room: {why}"), None),
        Ok(room) => match room.places.iter().find_map(short) {
            Some(reason) => Answer::defer(gate, reason, None),
            None => Answer::pass(gate),
        },
    })
}

fn short(place: &Place) -> Option<String> {
    let path = &place.path;
    if place.free_bytes < place.need_bytes {
        let (free, need) = (place.free_bytes, place.need_bytes);
        return Some(format!("{path}: {free} bytes free, {need} needed"));
    }
    let free = place.free_inodes.filter(|free| *free < place.need_inodes)?;
    Some(format!("{path}: {free} inodes free, {} needed", place.need_inodes))
}

/// GATE-7.
fn way_back(facts: &GateFacts) -> Option<Answer> {
    let gate = GateId::WayBack;
    Some(match facts.way_back.as_ref()? {
        Ok(()) => Answer::pass(gate),
        Err(why) => Answer::hold(
            gate,
            format!("the release to return to is not here, whole: {why}"),
            "bring the running release back into the source, or install it again",
        ),
    })
}

/// UPD-7: a probe that was red before is no evidence against the candidate.
fn baseline(facts: &GateFacts) -> Option<Answer> {
    let baseline = facts.baseline.as_ref()?;
    if baseline.about_to_start {
        return Some(Answer::defer(GateId::Baseline, "the app is about to be started again", None));
    }
    let red = |finding: &crate::ports::Finding| {
        finding.failure.as_ref().map(|why| format!("{}: {why}", finding.probe))
    };
    let red: Vec<String> = baseline.findings.iter().filter_map(red).collect();
    if red.is_empty() {
        return Some(Answer::pass(GateId::Baseline));
    }
    let reason = format!("not well before the update: {}", red.join("; "));
    let remedy = "heal it, or `groundcrew approve APP VERSION` to leave those probes out";
    Some(Answer::ask(GateId::Baseline, reason, remedy))
}
