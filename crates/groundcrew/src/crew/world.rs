//! The ports of one app on this host: the drivers, put together.

use std::os::unix::fs::DirBuilderExt as _;

use groundcrew_engine::machine::{App, State};
use groundcrew_engine::noun::{Digest, Release};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::{
    Follow, Host, Neighbors, Ports, Probes, Runtime, Silent, Snapshots, Source,
};

use super::Store;
use super::bell::{Bell, BellClock};
use super::board::Board;
use super::record::Shown;
use crate::config::{AppSettings, Settings};
use crate::exit::Refusal;

/// The host and the runtime once more.
pub(crate) type SecondEyes = (Box<dyn Host>, Box<dyn Runtime>);

/// The ports of one app.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct World {
    clock: BellClock,
    host: Box<dyn Host>,
    neighbors: Box<dyn Neighbors>,
    source: Box<dyn Source>,
    runtime: Box<dyn Runtime>,
    snapshots: Box<dyn Snapshots>,
    probes: Box<dyn Probes>,
    journal: Shown,
}

impl World {
    /// Puts the drivers together.
    ///
    /// # Errors
    ///
    /// One of them cannot work here.
    pub(crate) fn build(
        _settings: &Settings,
        _app: &AppSettings,
        _board: &Board,
        _bell: &Bell,
        _store: &Store,
    ) -> Result<Self, String> {
        Err("the drivers are not wired yet".to_owned())
    }

    /// As the engine wants them.
    pub(crate) fn ports(&mut self) -> Ports<'_> {
        Ports {
            clock: &mut self.clock,
            host: self.host.as_mut(),
            neighbors: self.neighbors.as_mut(),
            source: self.source.as_mut(),
            runtime: self.runtime.as_mut(),
            snapshots: self.snapshots.as_mut(),
            probes: self.probes.as_mut(),
            journal: &mut self.journal,
        }
    }

    /// The host once more, for a look beside the engine's.
    ///
    /// # Errors
    ///
    /// It cannot work here.
    pub(crate) fn second_eyes(
        _settings: &Settings,
        _app: &AppSettings,
    ) -> Result<SecondEyes, String> {
        Err("the drivers are not wired yet".to_owned())
    }

    /// What runs here though the journal knows of nothing (UPD-26): a lost store, or an app that
    /// was put in place before. Its release is fetched, so that there is a way back to it.
    ///
    /// # Errors
    ///
    /// Something is in place and cannot be named; the app is left as it is.
    pub(crate) fn adoption(
        &mut self,
        state: &App,
        app: &AppSettings,
    ) -> Result<Option<Installed>, String> {
        if state.running.is_some() || state.state != State::Idle {
            return Ok(None);
        }
        let seen = self.runtime.observe().map_err(|fault| fault.text)?;
        let Some(digest) = seen.in_place.or(seen.running) else { return Ok(None) };
        let release = self.named(&digest)?;
        let silent = &mut Silent;
        let release = self.source.fetch(&release, silent).map_err(|error| {
            format!("{digest} is in place, and its release cannot be fetched: {}", error.text)
        })?;
        let policy = &app.policy;
        Ok(Some(Installed {
            release,
            config: policy.config.clone(),
            procedure: policy.procedure.clone(),
        }))
    }

    fn named(&mut self, digest: &Digest) -> Result<Release, String> {
        let found = self.source.find(&Follow::Pin(digest.to_string()));
        match found {
            Ok(Some(found)) => Ok(found.release),
            Ok(None) => Err(format!("{digest} is in place, and the source does not have it")),
            Err(error) => Err(format!("{digest} is in place, and the source says: {}", error.text)),
        }
    }
}

/// Makes the directories that the settings name.
///
/// # Errors
///
/// The host failed.
pub(crate) fn make_places(settings: &Settings) -> Result<(), Refusal> {
    for (dir, mode) in [(&settings.state, 0o750), (&settings.run, 0o700)] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(dir)
            .map_err(|error| Refusal::failed(format!("cannot make {}: {error}", dir.display())))?;
    }
    Ok(())
}

/// The last lines of an app's output.
///
/// # Errors
///
/// They cannot be read.
pub(crate) fn output(settings: &Settings, app: &str, n: usize) -> Result<Vec<String>, Refusal> {
    let (_, mut runtime) = match settings.apps.get(app) {
        Some(app) => World::second_eyes(settings, app).map_err(Refusal::failed)?,
        None => return Err(Refusal::usage(format!("there is no app {app:?}"))),
    };
    let seen = runtime.observe().map_err(|fault| Refusal::failed(fault.text))?;
    let skip = seen.output.len().saturating_sub(n);
    Ok(seen.output.into_iter().skip(skip).collect())
}
