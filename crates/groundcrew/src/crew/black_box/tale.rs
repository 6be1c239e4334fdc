//! What the black box is told, as bodies of records. Pure: what was told before is in the [`Tale`].
//!
//! An app at rest writes next to nothing: a probe is news when its answer is another one than before,
//! a gate when it says something else of the same candidate. While an update is open every answer of
//! a probe is told.
//!
//! A recording may leave the host, so a record says less than the journal: no procedure of an app,
//! whose environment may name secrets, and no line of its output.

use std::collections::BTreeMap;
use std::time::Duration;

use groundcrew_engine::gate::{Answer, Verdict};
use groundcrew_engine::machine::Event;
use groundcrew_engine::machine::verdict::watch_end;
use groundcrew_engine::noun::{AppName, Digest, Offer, Release};
use groundcrew_engine::plan::{Installed, Plan};
use groundcrew_engine::ports::{Append, Finding, RestoreOrder, TakeOrder, Taken};
use groundcrew_recorder::body::Body;
use groundcrew_recorder::body::types::{
    GateDecision, ProbeResult, SnapshotEvent, UpdateEvent, WatchVerdict,
};
use serde::Serialize;
use serde_json::{Value, json};

/// Longest detail of an event. The journal has all of it.
const DETAIL_MAX_BYTES: usize = 16 << 10;
/// How clean-up names a snapshot that it removed.
const REMOVED_SNAPSHOT: &str = "snapshot ";

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// An event of the journal.
    Update(UpdateEvent),
    /// A gate said something new.
    Gate(GateDecision),
    /// A probe answered.
    Probe(ProbeResult),
    /// A watch ended.
    Watch(WatchVerdict),
    /// A snapshot came, went, or took the data's place.
    Snapshot(SnapshotEvent),
}

impl Told {
    /// Appends its body; its type.
    pub(super) fn encode(&self, to: &mut Vec<u8>) -> u16 {
        fn put<B: Body>(body: &B, to: &mut Vec<u8>) -> u16 {
            body.encode(to);
            B::SCHEMA.kind
        }
        match self {
            Self::Update(body) => put(body, to),
            Self::Gate(body) => put(body, to),
            Self::Probe(body) => put(body, to),
            Self::Watch(body) => put(body, to),
            Self::Snapshot(body) => put(body, to),
        }
    }
}

/// What was told of one app.
#[derive(Clone, Debug, Default)]
pub(super) struct Tale {
    /// An update is open.
    open: bool,
    /// The candidate whose gates were told of, and what they said.
    gates: Option<(Digest, Vec<Answer>)>,
    /// Which probes passed.
    probes: BTreeMap<String, bool>,
}

impl Tale {
    /// Whoever listens now was told nothing yet.
    pub(super) fn forget(&mut self) {
        *self = Self { open: self.open, ..Self::default() };
    }

    /// Follows an entry that the journal took; what there is to tell of it, if somebody `listens`.
    pub(super) fn of_append(&mut self, append: &Append<'_>, listens: bool) -> Vec<Told> {
        self.open = append.after.state.update().is_some();
        if !listens {
            return Vec::new();
        }
        let app = append.app.to_string();
        let event = &append.entry.event;
        let mut told = vec![Told::Update(UpdateEvent {
            app: app.clone(),
            txn: append.txn.map(ToString::to_string).unwrap_or_default(),
            event: event.name(),
            state: append.after.state.name().to_owned(),
            detail: detail(event),
        })];
        let judged = match event {
            Event::Judged { answers, .. } => append.before.state.offer().zip(Some(answers)),
            Event::Armed { plan } => Some((&plan.offer, &plan.answers)),
            _ => None,
        };
        if let Some((offer, answers)) = judged {
            self.of_answers(&app, &offer.release, answers, &mut told);
        }
        let update = append.before.state.update();
        if let Some((end, update)) = watch_end(&append.before.state, append.entry).zip(update) {
            told.push(Told::Watch(WatchVerdict {
                app,
                release: update.plan.to.release.version.clone(),
                verdict: word(&end.verdict),
                rule: word(&end.rule),
                detail: end.why,
            }));
        }
        told
    }

    fn of_answers(
        &mut self,
        app: &str,
        release: &Release,
        answers: &[Answer],
        told: &mut Vec<Told>,
    ) {
        let (of, known) = self.gates.get_or_insert_with(|| (release.digest.clone(), Vec::new()));
        if *of != release.digest {
            (*of, *known) = (release.digest.clone(), Vec::new());
        }
        for answer in answers {
            let is_it = |old: &&mut Answer| old.gate == answer.gate && old.name == answer.name;
            match known.iter_mut().find(is_it) {
                Some(old) if old == answer => continue,
                Some(old) => old.clone_from(answer),
                None => known.push(answer.clone()),
            }
            told.push(Told::Gate(decision(app, release, answer.clone())));
        }
    }

    /// What there is to tell of a probe's answer.
    pub(super) fn of_finding(&mut self, app: &AppName, finding: &Finding) -> Option<Told> {
        let passed = finding.failure.is_none();
        let before = self.probes.insert(finding.probe.clone(), passed);
        (self.open || before != Some(passed)).then(|| {
            Told::Probe(ProbeResult {
                app: app.to_string(),
                probe: finding.probe.clone(),
                passed,
                latency_ms: Duration::from_millis(finding.took_ms).as_secs_f32() * 1_000.0,
                detail: finding.failure.clone().unwrap_or_default(),
            })
        })
    }
}

fn decision(app: &str, release: &Release, answer: Answer) -> GateDecision {
    let answer = answer.spelled(app, &release.version);
    let gate = word(&answer.gate);
    let (word, reason) = match answer.verdict {
        Verdict::Pass { remark } => ("pass", remark.unwrap_or_default()),
        Verdict::Defer { reason, .. } => ("defer", reason),
        Verdict::Hold { reason, approvable: true, .. } => ("ask", reason),
        Verdict::Hold { reason, approvable: false, .. } => ("hold", reason),
    };
    GateDecision {
        app: app.to_owned(),
        candidate: release.version.clone(),
        gate: answer.name.map_or(gate.clone(), |name| format!("{gate}:{name}")),
        answer: word.to_owned(),
        reason,
    }
}

/// A copy was taken.
pub(super) fn of_take(
    app: &AppName,
    order: &TakeOrder<'_>,
    taken: &Taken,
    took: Duration,
) -> Vec<Told> {
    let owner = order.owner.map(|owner| format!("of {}", owner.version));
    let detail = owner.unwrap_or_else(|| "before a first installation".to_owned());
    vec![Told::Snapshot(SnapshotEvent {
        app: app.to_string(),
        snapshot: order.id.to_string(),
        event: "taken".to_owned(),
        size_bytes: taken.bytes,
        duration_ms: ms(took),
        detail,
    })]
}

/// A copy took the data's place.
pub(super) fn of_restore(
    app: &AppName,
    order: &RestoreOrder<'_>,
    aside: Option<&str>,
    took: Duration,
) -> Vec<Told> {
    let aside = aside.map(|place| format!("what was there is kept at {place}"));
    vec![Told::Snapshot(SnapshotEvent {
        app: app.to_string(),
        snapshot: order.id.to_string(),
        event: "restored".to_owned(),
        size_bytes: 0,
        duration_ms: ms(took),
        detail: aside.unwrap_or_default(),
    })]
}

/// Copies, restored trees and failed data were removed.
pub(super) fn of_removal(app: &AppName, removed: &[String]) -> Vec<Told> {
    let snapshot = |what: &str| {
        let path = what.strip_prefix(REMOVED_SNAPSHOT)?;
        path.rsplit('/').next().map(str::to_owned)
    };
    let told = |what: &String| {
        Told::Snapshot(SnapshotEvent {
            app: app.to_string(),
            snapshot: snapshot(what).unwrap_or_default(),
            event: "removed".to_owned(),
            size_bytes: 0,
            duration_ms: 0,
            detail: what.clone(),
        })
    };
    removed.iter().map(told).collect()
}

/// The members of an event, named as in `docs/reference/events.md`. Each kind is decided on purpose.
fn detail(event: &Event) -> String {
    let value = match event {
        Event::Adopted { installed } => json!({ "installed": installed_text(installed) }),
        Event::Found { offer } | Event::Ordered { offer } => json!({ "offer": offer_text(offer) }),
        Event::Judged { round, answers } => {
            let not_passed = answers.iter().filter(|answer| !answer.passes());
            let not_passed: Vec<_> = not_passed.map(|answer| answer.gate).collect();
            json!({ "round": round, "not_passed": not_passed })
        }
        Event::Armed { plan } => json!({ "plan": plan_text(plan) }),
        Event::EvidenceKept { ended, output } => {
            json!({ "ended": ended, "output_lines": output.len() })
        }
        Event::Resumed { .. }
        | Event::Intent { .. }
        | Event::Withdrawn
        | Event::Fetched { .. }
        | Event::Prepared
        | Event::Precopied { .. }
        | Event::Cleared
        | Event::BusyAgain { .. }
        | Event::RanAgain
        | Event::Stopped { .. }
        | Event::Snapshotted { .. }
        | Event::Switched
        | Event::Migrated { .. }
        | Event::Started
        | Event::Proved
        | Event::Disproved { .. }
        | Event::Opened
        | Event::Watched { .. }
        | Event::Failed { .. }
        | Event::JournalLost { .. }
        | Event::RbStopped { .. }
        | Event::GoBack { .. }
        | Event::RbMigrated
        | Event::RbBuilt { .. }
        | Event::RbRestored { .. }
        | Event::RbSwitched
        | Event::RbStarted
        | Event::RbProved
        | Event::RbDisproved { .. }
        | Event::Closed { .. }
        | Event::Revived { .. }
        | Event::LeftUnwell { .. }
        | Event::Approved { .. }
        | Event::Unblocked { .. }
        | Event::Pinned { .. }
        | Event::Unpinned
        | Event::NotNow { .. }
        | Event::Paused
        | Event::Unpaused
        | Event::RestoredByHand { .. }
        | Event::BackAgain
        | Event::Wanted { .. } => whole(event),
    };
    let text = value.to_string();
    if text.len() <= DETAIL_MAX_BYTES {
        return text;
    }
    json!({ "left_out_bytes": text.len() }).to_string()
}

/// All members, without the kind.
fn whole(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("kind");
    }
    value
}

fn installed_text(installed: &Installed) -> Value {
    json!({ "release": installed.release, "config": installed.config })
}

fn offer_text(offer: &Offer) -> Value {
    let by = offer.ordered.as_ref().map(|ordered| &ordered.by);
    json!({
        "release": offer.release,
        "config": offer.config,
        "via": offer.via,
        "serial": offer.serial,
        "by": by,
    })
}

fn plan_text(plan: &Plan) -> Value {
    json!({
        "from": plan.from.as_ref().map(installed_text),
        "to": installed_text(&plan.to),
        "via": plan.offer.via,
        "work": plan.work(),
        "one_way": plan.one_way,
        "left_out": plan.left_out,
    })
}

/// A name as everything else spells it.
fn word(name: &impl Serialize) -> String {
    let value = serde_json::to_value(name).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
