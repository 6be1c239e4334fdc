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
        let follow = self.app.pin.clone().map_or(Follow::Channel, Follow::Pin);
        let found = self.stage.ports.source.find(&follow)?;
        let offer = found.and_then(|found| self.offer(found, &follow, apply_config));
        let Some(offer) = offer else {
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

    /// What was found, if it is not what runs.
    pub(super) fn offer(
        &mut self,
        found: Found,
        follow: &Follow,
        apply_config: bool,
    ) -> Option<Offer> {
        let config = self.policy.config.clone();
        let runs = self.app.running.as_ref();
        let same_release = runs.is_some_and(|runs| runs.release.digest == found.release.digest);
        let same_config = runs.is_some_and(|runs| runs.config == config);
        if same_release && (same_config || !apply_config) && !self.waits_for_config() {
            return None;
        }
        if let Some(notes) = found.notes {
            self.stage.notes = Some((found.release.digest.clone(), notes));
        }
        let via = match (same_release, follow) {
            (true, _) => Via::Configuration,
            (false, Follow::Pin(_)) => Via::Pin,
            (false, Follow::Channel) => Via::Channel,
        };
        let first_seen_ms = self.stage.ports.clock.now().wall_ms;
        Some(Offer {
            release: found.release,
            config,
            via,
            serial: found.serial,
            first_seen_ms,
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
