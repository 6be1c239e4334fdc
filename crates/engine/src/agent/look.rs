//! Looks for a candidate: asks the source and records what is news.

use super::{Agent, Turn};
use crate::machine::{Event, State};
use crate::noun::{Offer, Via};
use crate::ports::{Follow, Found, SourceError};

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Same,
    /// A candidate was found, or one was withdrawn.
    News,
    /// An update is open: a newer release waits (WCH-17).
    Later,
    /// The journal did not take it.
    Turn(Turn),
}

impl Agent<'_, '_> {
    /// Asks the source. `apply_config`: a changed configuration of the release that runs is a
    /// candidate too (`groundcrew config apply`).
    ///
    /// # Errors
    ///
    /// The source could not answer; nothing was recorded.
    pub fn look(&mut self, apply_config: bool) -> Result<Look, SourceError> {
        let ordered = self.app.state.offer().is_some_and(|offer| offer.ordered.is_some());
        if self.app.state.update().is_some() || ordered {
            return Ok(Look::Later);
        }
        // No update begins on what the store does not know yet.
        if let Err(why) = self.flush() {
            return Ok(Look::Turn(Turn::Frozen(why)));
        }
        let Some(offer) = self.candidate(apply_config)? else {
            return Ok(match self.app.state {
                State::Idle => Look::Same,
                _ => news(self.record(Event::Withdrawn)),
            });
        };
        let waits = self.app.state.offer().is_some_and(|waits| waits.is_same_candidate(&offer));
        if waits {
            return Ok(Look::Same);
        }
        Ok(news(self.record(Event::Found { offer })))
    }

    /// What would be put in place: with `apply_config`, or while that waits, the release that runs
    /// with its new configuration, whatever the source offers; else what the source offers.
    pub(super) fn candidate(&mut self, apply_config: bool) -> Result<Option<Offer>, SourceError> {
        let config = self.policy.config.clone();
        if let Some(runs) = self.app.running.clone()
            && (apply_config || self.waits_for_config())
        {
            let first_seen_ms = self.stage.ports.clock.now().wall_ms;
            let via = Via::Configuration;
            let (release, serial, ordered) = (runs.release, None, None);
            let offer = Offer { release, config, via, serial, first_seen_ms, ordered };
            return Ok((runs.config != offer.config).then_some(offer));
        }
        let follow = self.app.pin.clone().map_or(Follow::Channel, Follow::Pin);
        let found = self.stage.ports.source.find(&follow)?;
        Ok(found.and_then(|found| self.offer(found, &follow)))
    }

    /// What was found, if it is not what runs.
    fn offer(&mut self, found: Found, follow: &Follow) -> Option<Offer> {
        let runs = self.app.running.as_ref();
        if runs.is_some_and(|runs| runs.release.digest == found.release.digest) {
            return None;
        }
        if let Some(notes) = found.notes {
            self.stage.notes = Some((found.release.digest.clone(), notes));
        }
        let via = match follow {
            Follow::Pin(_) => Via::Pin,
            Follow::Channel => Via::Channel,
        };
        Some(Offer {
            release: found.release,
            config: self.policy.config.clone(),
            via,
            serial: found.serial,
            first_seen_ms: self.stage.ports.clock.now().wall_ms,
            ordered: None,
        })
    }

    /// A person asked for the new configuration and a gate said not now.
    fn waits_for_config(&self) -> bool {
        let (State::Held(wait) | State::Deferred(wait)) = &self.app.state else { return false };
        wait.offer.via == Via::Configuration && wait.offer.config == self.policy.config
    }
}

fn news(turn: Turn) -> Look {
    match turn {
        Turn::Progress => Look::News,
        other => Look::Turn(other),
    }
}
