//! The other apps of this crew, as the gates see them (GATE-12): asked when somebody depends on them.

use std::sync::Arc;

use groundcrew_engine::ports::{Claim, Neighbor, Neighbors, Probes};

use super::board::Board;
use super::world::World;
use crate::config::Settings;

/// The other apps, and whoever holds the exclusion group.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct Others {
    /// The host's settings.
    pub(crate) settings: Arc<Settings>,
    /// The apps that are asked about: those that this one depends on.
    pub(crate) after: Vec<String>,
    /// How they are.
    pub(crate) board: Board,
    /// The exclusion group.
    pub(crate) exclusion: Box<dyn Neighbors>,
    /// Asks them whether they are well.
    pub(crate) probes: Box<dyn Probes>,
}

impl Neighbors for Others {
    fn list(&mut self) -> Vec<Neighbor> {
        let names = self.after.clone();
        names.iter().filter_map(|name| self.one(name)).collect()
    }

    fn exclude(&mut self, take: bool) -> Option<Claim> {
        self.exclusion.exclude(take)
    }
}

impl Others {
    fn one(&mut self, name: &str) -> Option<Neighbor> {
        let app = self.settings.apps.get(name)?.clone();
        let view = self.board.view(name)?;
        Some(Neighbor {
            app: name.to_owned(),
            group: app.policy.group.clone(),
            healthy: self.is_healthy(name),
            updating: view.touched,
        })
    }

    /// A process of it runs, and each of its probes passes now. Any doubt is "no".
    fn is_healthy(&mut self, name: &str) -> bool {
        let (Some(app), Some(view)) = (self.settings.apps.get(name), self.board.view(name)) else {
            return false;
        };
        let Some(installed) = view.installed else { return false };
        let Ok((_, mut runtime)) = World::second_eyes(&self.settings, app) else { return false };
        let runs = runtime.observe().is_ok_and(|seen| seen.running.is_some());
        let probes = &installed.procedure.probes;
        runs && probes.iter().all(|probe| self.probes.ask(probe, &installed).failure.is_none())
    }
}
