//! The other apps of this crew, as the gates see them (GATE-12): asked when somebody depends on them.

use std::sync::{Arc, Mutex, PoisonError};

use groundcrew_drivers::host::neighbors::Seat;
use groundcrew_engine::ports::{Claim, Neighbor, Neighbors};

use super::board::Board;
use super::world::{self, World};
use crate::config::Settings;

/// The other apps, and whoever holds the exclusion group.
#[derive(Debug)]
pub(crate) struct Others {
    /// The host's settings.
    pub(crate) settings: Arc<Settings>,
    /// The apps that are asked about: those that this one depends on.
    pub(crate) after: Vec<String>,
    /// How they are.
    pub(crate) board: Board,
    /// The exclusion group.
    pub(crate) seat: Arc<Mutex<Seat>>,
}

impl Neighbors for Others {
    fn list(&mut self) -> Vec<Neighbor> {
        self.after.iter().filter_map(|name| self.one(name)).collect()
    }

    fn exclude(&mut self, take: bool) -> Option<Claim> {
        // A thread that panicked left the seat as it was.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).exclude(take)
    }
}

impl Others {
    fn one(&self, name: &str) -> Option<Neighbor> {
        let app = self.settings.apps.get(name)?.clone();
        let view = self.board.view(name)?;
        Some(Neighbor {
            app: name.to_owned(),
            group: app.policy.group.clone(),
            healthy: self.is_healthy(name),
            updating: view.under_way,
        })
    }

    /// A process of it runs, and each of its probes passes now. Any doubt is "no".
    fn is_healthy(&self, name: &str) -> bool {
        let (Some(app), Some(view)) = (self.settings.apps.get(name), self.board.view(name)) else {
            return false;
        };
        let Some(installed) = view.installed else { return false };
        let Ok((_, mut runtime)) = World::second_eyes(&self.settings, app) else { return false };
        let runs = runtime.observe().is_ok_and(|seen| seen.running.is_some());
        let mut asker = world::probes(&self.settings, app);
        let probes = &installed.procedure.probes;
        runs && probes.iter().all(|probe| asker.ask(probe, &installed).failure.is_none())
    }
}
