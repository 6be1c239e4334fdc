//! Docker: an app is a container that somebody made, and whose image is exchanged (RUN-2).
//!
//! ```text
//! NAME                          the container in place; the only one that is started
//! NAME.groundcrew-<id>          one that was in place before, or is to be; kept as the way back
//! NAME.groundcrew-migrate-<…>   a migration; NAME.groundcrew-hook-<…> a hook
//! <state>/runs/<app>/docker.json          what the engine cannot remember for us ([`record`])
//! <state>/runs/<app>/containers/<id>.json what each container was like, so that it can be made again
//! ```
//!
//! A new release gets a new container that is [like](template::like) the old one but for its image. The old
//! one keeps its id and everything in it and only loses its name, so the way back is two renames and a
//! start. Constraints:
//!
//! - Nothing is remembered between two calls; each looks at the engine and at the record. What must be
//!   known after a crash is written down before it is done.
//! - Every start has a name that never comes again: the container's id and the moment of the start, by
//!   whomever it was made.
//! - While an update is open, the engine starts nothing by itself: a container that we stop or make has the
//!   restart policy `no` until it is handed over, and what its owner wants is written down first.
//! - A container is removed only when what it was like is on record and durable, and never with its volumes.
//! - Whoever lives in the network of the app's container follows it ([`follow`]).
//! - A container that the engine removes by itself (`--rm`) is refused: there would be no way back.

pub mod api;
mod command;
mod error;
mod follow;
mod images;
mod listen;
mod look;
mod mounts;
mod place;
mod probes;
mod record;
mod run;
pub mod template;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use groundcrew_engine::machine::StopReport;
use groundcrew_engine::noun::{AppName, Digest, Fault};
use groundcrew_engine::ports::{
    CommandOrder, Observed, Runtime, StartOrder, StopOrder, SwitchOrder,
};
use serde_json::Value;

use api::{Api, quoted};
use error::Error;
use look::Container;
use record::Record;

pub use command::{MIGRATE_DOWN, MIGRATE_UP};
pub use images::EngineImages;
pub use listen::{Heard, Listener};
pub use look::repository;
pub use mounts::mounts;
pub use probes::ContainerAsker;

/// Where an engine listens unless somebody says otherwise.
pub const SOCKET: &str = "/var/run/docker.sock";

/// A container that ends within this time of its start has failed to start.
const SETTLE: Duration = Duration::from_secs(1);

/// Time between two looks at a container that is about to change.
const TICK: Duration = Duration::from_millis(50);

/// Characters of an id in the name of a container that is aside.
const SHORT: usize = 12;

/// Lines of output that are shown.
const OUTPUT_LINES: usize = 50;

/// Where it is written down what an app's containers were like.
#[must_use]
pub fn kept(state: &Path, app: &str) -> PathBuf {
    look::records(state, app).join("containers")
}

/// Which container, where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engine's socket.
    pub socket: PathBuf,
    /// The container's name.
    pub container: String,
    /// The image's name in its registry, without tag; `None`: as the container in place says.
    pub image: Option<String>,
    /// What the first container is made with, as the engine's API takes it, if there is none to be like.
    pub create: Option<Value>,
}

/// Runs one app as a container.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    api: Api,
    settings: Settings,
    /// Our records of the app.
    dir: PathBuf,
    settle: Duration,
}

impl DockerRuntime {
    /// The runtime of an app, with the state directory.
    #[must_use]
    pub fn new(state: &Path, app: &AppName, settings: Settings) -> Self {
        let (api, dir) = (Api::new(&settings.socket), look::records(state, app.as_str()));
        Self { api, settings, dir, settle: SETTLE }
    }

    /// The same with another time in which an end is a failed start.
    #[must_use]
    pub fn settling(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// The app's containers as they are now.
    fn look(&self) -> Result<Vec<Container>, Error> {
        let all = look::look(&self.api, &self.settings.container)?;
        match look::in_place(&all) {
            Some(one) if one.shown.pointer("/HostConfig/AutoRemove") == Some(&true.into()) => {
                Err(Error::AutoRemove { name: one.name() })
            }
            _ => Ok(all),
        }
    }

    fn record(&self) -> Result<Record, Error> {
        Record::read(&self.dir)
    }

    fn observed(&self) -> Result<Observed, Error> {
        let (all, record) = (self.look()?, self.record()?);
        let alive: Vec<&Container> = look::apps(&all).filter(|one| one.is_alive()).collect();
        if alive.len() > 1 {
            let names = alive.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
            return Err(Error::Several { count: alive.len(), names });
        }
        let migration = all.iter().find(|one| one.part == look::Part::Migration && one.is_alive());
        let digest = |one: &Container| look::digest(&self.api, one);
        let place = look::in_place(&all);
        let latest = look::latest(&all, &record);
        Ok(Observed {
            in_place: place.map(digest).transpose()?,
            placed_by: look::placed_by(&record, place.map(Container::id).as_deref()),
            running: alive.first().copied().or(migration).map(digest).transpose()?,
            ended: latest.map(|one| look::ended(&self.api, one, &record)).transpose()?.flatten(),
            latest: latest.map(|one| look::as_latest(&self.api, one)).transpose()?,
            output: Vec::new(),
        })
    }

    /// The end of a container's output; what cannot be read is missing.
    fn said(&self, one: &Container) -> Vec<String> {
        let path =
            format!("/containers/{}/logs?stdout=1&stderr=1&tail={OUTPUT_LINES}", quoted(&one.id()));
        let terminal = one.shown.pointer("/Config/Tty") == Some(&true.into());
        let bytes = self.api.read(&path).unwrap_or_default();
        look::lines(&bytes, terminal, OUTPUT_LINES)
    }

    /// A container once more, as it is now.
    fn again(&self, one: &Container) -> Result<Container, Error> {
        let path = format!("/containers/{}/json", one.id());
        let shown = self.api.get(&path)?.ok_or_else(|| Error::NoContainer { name: one.name() })?;
        Ok(Container { shown, part: one.part.clone() })
    }

    /// What the engine calls the image of a release; `None`: it is not here.
    fn image(&self, digest: &Digest, all: &[Container]) -> Result<Option<String>, Error> {
        let of_place = look::in_place(all)
            .map(|one| template::text(&one.shown, "/Config/Image"))
            .map(|image| repository(&image).to_owned());
        let repository = self.settings.image.clone().or(of_place);
        let pulled = repository.map(|repository| format!("{repository}@{digest}"));
        for name in pulled.into_iter().chain([digest.to_string()]) {
            if self.api.get(&format!("/images/{}/json", quoted(&name)))?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

impl Runtime for DockerRuntime {
    fn observe(&mut self) -> Result<Observed, Fault> {
        Ok(self.observed()?)
    }

    fn output(&mut self) -> Vec<String> {
        let seen = || -> Result<Vec<String>, Error> {
            let (all, record) = (self.look()?, self.record()?);
            Ok(look::latest(&all, &record).map(|one| self.said(one)).unwrap_or_default())
        };
        seen().unwrap_or_default()
    }

    fn stop(&mut self, order: &StopOrder<'_>) -> Result<StopReport, Fault> {
        Ok(self.stop_all(order)?)
    }

    fn switch(&mut self, order: &SwitchOrder<'_>) -> Result<(), Fault> {
        Ok(self.put_in_place(order)?)
    }

    fn start(&mut self, order: &StartOrder<'_>) -> Result<(), Fault> {
        Ok(self.start_container(order)?)
    }

    fn run(&mut self, order: &CommandOrder<'_>) -> Result<(), Fault> {
        Ok(self.run_command(order)?)
    }
}
