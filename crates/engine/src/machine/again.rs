//! What becomes of a candidate that could not be taken: another try later, or a person. What a person
//! ordered is not tried again; why it came to nothing is kept, because nobody else would say so.

use super::kept::{Retries, Unserved};
use super::state::State;
use super::{App, Event, RETRIES_MAX, waiting};
use crate::gate::{Answer, GateId, Verdict};
use crate::noun::{Fault, FaultKind, Now, Offer};

/// The first pause before a candidate is tried again; it doubles each time.
const RETRY_PAUSE_MS: u64 = 60_000;
/// Characters kept of why an order came to nothing.
const WHY_MAX: usize = 500;

/// What a person ordered and nothing was touched for so far.
pub(super) fn ordered(state: &State) -> Option<Offer> {
    let offer = state.offer().filter(|_| !state.touches_app())?;
    offer.ordered.is_some().then(|| offer.clone())
}

fn why_not(event: &Event) -> Option<String> {
    match event {
        Event::Failed { fault, .. } => Some(fault.text.clone()),
        Event::Judged { answers, .. } => {
            let say = |answer: &Answer| match &answer.verdict {
                Verdict::Pass { .. } => None,
                Verdict::Defer { reason, .. } | Verdict::Hold { reason, .. } => {
                    Some(reason.clone())
                }
            };
            Some(answers.iter().filter_map(say).collect::<Vec<_>>().join("; "))
        }
        _ => None,
    }
}

impl App {
    /// Keeps why an order came to nothing, until the next order or update.
    pub(super) fn note_order(&mut self, ordered: Option<Offer>, event: &Event, at: &Now) {
        if matches!(event, Event::Ordered { .. } | Event::Armed { .. }) {
            self.unserved = None;
        }
        if let (Some(offer), State::Idle, Some(why)) = (ordered, &self.state, why_not(event)) {
            self.unserved = Some(Unserved {
                version: offer.release.version,
                via: offer.via,
                why: why.chars().take(WHY_MAX).collect(),
                at_ms: at.wall_ms,
            });
        }
    }

    pub(super) fn not_fetched(&mut self, offer: Offer, fault: &Fault, at: &Now) -> State {
        match fault.kind {
            FaultKind::Refused | FaultKind::Candidate => {
                let answer = Answer::hold(
                    GateId::Source,
                    fault.text.clone(),
                    "publish it again, whole and signed, then `groundcrew unblock APP`",
                );
                waiting(offer, false, vec![answer], at.wall_ms)
            }
            FaultKind::Host | FaultKind::Elsewhere => self.retry(offer, false, &fault.text, at),
        }
    }

    /// Another try later, or a person after too many.
    pub(super) fn retry(&mut self, offer: Offer, staged: bool, why: &str, at: &Now) -> State {
        if offer.ordered.is_some() {
            return State::Idle;
        }
        let (digest, config) = (offer.release.digest.clone(), offer.config.clone());
        let same = |tries: &&Retries| tries.digest == digest && tries.config == config;
        let before = self.retries.as_ref().filter(same).map_or(0, |tries| tries.count);
        let count = before.saturating_add(1);
        self.retries = Some(Retries { digest, config, count });
        let verdict = if count > RETRIES_MAX {
            Verdict::Hold {
                reason: format!("failed {count} times, last: {why}"),
                remedy: "remove the cause, then `groundcrew unblock APP`".to_owned(),
                approvable: false,
            }
        } else {
            Verdict::Defer { reason: format!("try {count} failed: {why}"), until_ms: None }
        };
        let answer = Answer { gate: GateId::Retry, name: None, verdict };
        let pause = RETRY_PAUSE_MS << (count - 1).min(10);
        match waiting(offer, staged, vec![answer], at.wall_ms) {
            State::Deferred(mut wait) => {
                wait.not_before_ms = Some(self.uptime.total_ms.saturating_add(pause));
                State::Deferred(wait)
            }
            state => state,
        }
    }
}
