//! Asks all gates about what is offered now, and records nothing.

use super::{Agent, Revive, gather};
use crate::gate::{Answer, NotesFact, Round, judge};
use crate::machine::State;
use crate::noun::Offer;
use crate::ports::{Room, SourceError};

/// What the gates would say.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The candidate; `None`: what runs is what is offered.
    pub offer: Option<Offer>,
    /// It lies here already.
    pub fetched: bool,
    /// The answers of all gates; empty without a candidate.
    pub answers: Vec<Answer>,
    /// The room that an update to it needs.
    pub room: Option<Room>,
}

impl Agent<'_, '_> {
    /// Asks the source and all gates, and gives back what asking took. Touches and records nothing.
    ///
    /// While an update is open its own answers are returned.
    ///
    /// # Errors
    ///
    /// The source could not answer.
    pub fn check(&mut self, apply_config: bool) -> Result<Checked, SourceError> {
        if let Some(update) = self.app.state.update() {
            let (offer, answers) = (update.plan.offer.clone(), update.plan.answers.clone());
            return Ok(Checked { offer: Some(offer), fetched: true, answers, room: None });
        }
        let Some(offer) = self.candidate(apply_config)? else {
            return Ok(Checked::default());
        };
        let offer = self.as_seen_first(offer);
        let fetched = self.stage.ports.source.verify(&offer.release.digest).is_ok();
        let mut facts = gather::gate_facts(Round::Arm, &self.app, &offer, &mut self.stage);
        if !fetched {
            let known = self.stage.notes.as_ref().filter(|(of, _)| *of == offer.release.digest);
            facts.notes = match known {
                Some((_, notes)) => NotesFact::Files(notes.clone()),
                None => NotesFact::AfterFetch,
            };
        }
        self.stage.ports.neighbors.exclude(false);
        let answers = judge(Round::Arm, &self.app, self.policy, &facts);
        let room = facts.room.and_then(Result::ok);
        Ok(Checked { offer: Some(offer), fetched, answers, room })
    }

    /// Asks whether what a person orders can be done now, and gives back what asking took.
    pub fn check_order(&mut self, offer: &Offer) -> Vec<Answer> {
        let facts = gather::gate_facts(Round::Arm, &self.app, offer, &mut self.stage);
        self.stage.ports.neighbors.exclude(false);
        judge(Round::Arm, &self.app, self.policy, &facts)
    }

    /// Why nothing that runs may be stopped now, if so.
    pub fn busy(&mut self) -> Option<String> {
        gather::facts(self.stage.ports, false, Revive::No).busy
    }

    /// A candidate that waits already was seen then, not now.
    fn as_seen_first(&self, offer: Offer) -> Offer {
        match &self.app.state {
            State::Held(wait) | State::Deferred(wait) if wait.offer.is_same_candidate(&offer) => {
                Offer { first_seen_ms: wait.offer.first_seen_ms, ..offer }
            }
            _ => offer,
        }
    }
}
