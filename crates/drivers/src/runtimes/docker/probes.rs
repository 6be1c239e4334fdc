//! Asks an app in a container whether it is well: a command in it, and the engine's own health check.

use std::time::{Duration, Instant};

use groundcrew_engine::plan::{Installed, Probe, ProbeKind};
use groundcrew_engine::ports::{Finding, Probes};

use super::DockerRuntime;
use super::error::Error;
use super::look::{self, Container};
use super::template::{array, text};
use crate::causes::causes;
use crate::probes::Asker;

/// How much of what a health check printed goes into a finding, in characters.
const QUOTE_MAX_CHARS: usize = 200;

/// Asks one app.
#[derive(Clone, Debug)]
pub struct ContainerAsker {
    runtime: DockerRuntime,
    asker: Asker,
}

impl ContainerAsker {
    /// With the runtime of the app, and whoever asks by the network.
    #[must_use]
    pub fn new(runtime: DockerRuntime, asker: Asker) -> Self {
        Self { runtime, asker }
    }

    /// The container of this release, if it runs.
    fn serving(&self, of: &Installed) -> Result<Container, String> {
        let seen = || -> Result<Option<Container>, Error> {
            let all = self.runtime.look()?;
            let Some(one) = look::in_place(&all).filter(|one| one.is_alive()) else {
                return Ok(None);
            };
            let same = look::digest(&self.runtime.api, one)? == of.release.digest;
            Ok(same.then(|| one.clone()))
        };
        match seen() {
            Ok(Some(one)) => Ok(one),
            Ok(None) => Err(format!("no container of {} runs", of.release.version)),
            Err(error) => Err(causes(&error)),
        }
    }

    fn exec(&self, words: &[String], of: &Installed, limit: Duration) -> Result<(), String> {
        let one = self.serving(of)?;
        let env = [format!("GROUNDCREW_RELEASE={}", of.release.version)];
        self.runtime.exec(&one, words, &env, limit).map_err(|error| causes(&error))
    }

    fn health(&self, of: &Installed) -> Result<(), String> {
        let one = self.serving(of)?;
        match text(&one.shown, "/State/Health/Status").as_str() {
            "healthy" => Ok(()),
            "" | "none" => Err(format!("container {:?} has no HEALTHCHECK", one.name())),
            status => {
                let last = array(&one.shown, "/State/Health/Log").last();
                let said = last.map(|last| text(last, "/Output")).unwrap_or_default();
                let said: String = said.trim().chars().take(QUOTE_MAX_CHARS).collect();
                let said = if said.is_empty() { said } else { format!(": {said}") };
                Err(format!("the engine says {status}{said}"))
            }
        }
    }
}

impl Probes for ContainerAsker {
    fn ask(&mut self, probe: &Probe, of: &Installed) -> Finding {
        let begun = Instant::now();
        let limit = Duration::from_millis(probe.timeout_ms);
        let result = match &probe.kind {
            ProbeKind::Exec { command } => self.exec(command, of, limit),
            ProbeKind::Container => self.health(of),
            ProbeKind::Http { .. } | ProbeKind::Version { .. } | ProbeKind::Tcp { .. } => {
                return self.asker.ask(probe, of);
            }
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Finding { probe: probe.name.to_string(), failure: result.err(), took_ms }
    }
}
