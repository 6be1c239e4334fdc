//! The ports of one app on this host: the drivers, put together.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use groundcrew_drivers::host::ThisHost;
use groundcrew_drivers::host::busy::{BusyFlag, Mode};
use groundcrew_drivers::host::clock::{Keepers, Synchronized, SystemClock};
use groundcrew_drivers::host::neighbors::Seat;
use groundcrew_drivers::keeper::client::Exe;
use groundcrew_drivers::probes::Asker;
use groundcrew_drivers::runtimes::docker::{self, ContainerAsker, DockerRuntime, EngineImages};
use groundcrew_drivers::runtimes::process::ProcessRuntime;
use groundcrew_drivers::snapshots::port::VolumeSnapshots;
use groundcrew_drivers::snapshots::{self, Area, Lock};
use groundcrew_drivers::source::directory::{self, DirectorySource};
use groundcrew_drivers::source::registry::{self, Images, NoImages, Pauses, RegistrySource};

use groundcrew_engine::machine::{App, State};
use groundcrew_engine::noun::{AppName, Digest, Now, Release};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::policy::Profile;
use groundcrew_engine::ports::{
    Clock as _, Follow, Host, Neighbors, Ports, Probes, Runtime, Silent, Source, SourceError,
    SourceErrorKind,
};

use super::Store;
use super::bell::{Bell, BellClock};
use super::black_box::{BlackBox, RecordedProbes, RecordedSnapshots};
use super::board::Board;
use super::neighbors::Others;
use super::quiet;
use super::record::Shown;
use crate::chain;
use crate::config::{self, AppSettings, Settings};
use crate::exit::Refusal;

/// The host and the runtime once more.
pub(crate) type SecondEyes = (Box<dyn Host>, Box<dyn Runtime>);

/// What the ports of one app are made of.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations, reason = "it is only passed on")]
pub(crate) struct Parts<'a> {
    /// The host's settings.
    pub(crate) settings: &'a Arc<Settings>,
    /// The app's.
    pub(crate) app: &'a AppSettings,
    /// Where it is shown.
    pub(crate) board: &'a Board,
    /// What ends waits.
    pub(crate) bell: &'a Bell,
    /// What wakes whoever tells people.
    pub(crate) told: &'a Bell,
    /// What is told of its work.
    pub(crate) black_box: &'a BlackBox,
    /// Its place in its exclusion group.
    pub(crate) seat: &'a Arc<Mutex<Seat>>,
    /// What remembers.
    pub(crate) store: &'a Store,
    /// Which registries want to be left alone.
    pub(crate) pauses: &'a Pauses,
}

/// The ports of one app.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct World {
    clock: BellClock,
    host: Box<dyn Host>,
    neighbors: Box<dyn Neighbors>,
    source: Box<dyn Source>,
    runtime: Box<dyn Runtime>,
    snapshots: RecordedSnapshots,
    probes: RecordedProbes,
    journal: Shown,
}

impl World {
    /// Puts the drivers together.
    ///
    /// # Errors
    ///
    /// One of them cannot work here.
    pub(crate) fn build(parts: &Parts<'_>) -> Result<Self, String> {
        let Parts { settings, app, board, bell, told, black_box, seat, store, pauses } = *parts;
        let policy = &app.policy;
        let name = policy.app.as_str();
        let (host, runtime) = Self::second_eyes(settings, app)?;
        let source = source(settings, app, pauses);
        let volumes = &policy.procedure.volumes;
        let snapshots = VolumeSnapshots::new(&settings.state, name, volumes, jiff::Timestamp::now)
            .map_err(|error| chain(&error))?;
        Ok(Self {
            clock: BellClock { clock: Box::new(clock(settings)?), bell: bell.clone() },
            host,
            neighbors: Box::new(Others {
                settings: Arc::clone(settings),
                after: policy.after.clone(),
                board: board.clone(),
                seat: Arc::clone(seat),
            }),
            source,
            runtime,
            snapshots: RecordedSnapshots::new(Box::new(snapshots), &policy.app, black_box),
            probes: RecordedProbes {
                probes: probes(settings, app),
                app: policy.app.clone(),
                black_box: black_box.clone(),
            },
            journal: Shown {
                journal: store.journal(&policy.app),
                board: board.clone(),
                config: policy.config.to_string(),
                told: told.clone(),
                black_box: black_box.clone(),
            },
        })
    }

    /// As the engine wants them.
    pub(crate) fn ports(&mut self) -> Ports<'_> {
        Ports {
            clock: &mut self.clock,
            host: self.host.as_mut(),
            neighbors: self.neighbors.as_mut(),
            source: self.source.as_mut(),
            runtime: self.runtime.as_mut(),
            snapshots: &mut self.snapshots,
            probes: &mut self.probes,
            journal: &mut self.journal,
        }
    }

    /// The host once more, for a look beside the engine's.
    ///
    /// # Errors
    ///
    /// It cannot work here.
    pub(crate) fn second_eyes(
        settings: &Settings,
        app: &AppSettings,
    ) -> Result<SecondEyes, String> {
        Ok((host(settings, &app.policy.app), runtime(settings, app)?))
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

/// What runs an app.
fn runtime(settings: &Settings, app: &AppSettings) -> Result<Box<dyn Runtime>, String> {
    match &app.runtime {
        config::Runtime::Process => Ok(Box::new(processes(settings, app)?)),
        config::Runtime::Docker(docker) => Ok(Box::new(container(settings, app, docker))),
    }
}

fn container(settings: &Settings, app: &AppSettings, docker: &docker::Settings) -> DockerRuntime {
    DockerRuntime::new(&settings.state, &app.policy.app, docker.clone())
}

/// The built-in runtime; this very binary is the keeper.
fn processes(settings: &Settings, app: &AppSettings) -> Result<ProcessRuntime, String> {
    let program = std::env::current_exe()
        .map_err(|error| format!("cannot tell where this program lies: {error}"))?;
    let exe = Exe { program, args: vec!["keep".to_owned()] };
    Ok(ProcessRuntime::new(&settings.state, &app.policy.app, exe))
}

/// Where the releases of an app come from.
pub(crate) fn source(settings: &Settings, app: &AppSettings, pauses: &Pauses) -> Box<dyn Source> {
    match &app.source {
        config::Source::Directory(of) => Box::new(directory(settings, app, of)),
        config::Source::Registry(of) => {
            let registry = Box::new(registry(settings, app, of, pauses));
            quiet::quiet(registry, settings, &app.policy.app)
        }
    }
}

/// The same for one look, which no other app waits for.
pub(crate) fn source_of(settings: &Settings, app: &AppSettings) -> Box<dyn Source> {
    source(settings, app, &Pauses::default())
}

fn directory(settings: &Settings, app: &AppSettings, of: &config::Directory) -> DirectorySource {
    DirectorySource::new(directory::Settings {
        root: of.path.clone(),
        app: app.policy.app.to_string(),
        channel: of.channel.clone(),
        minisign_key: of.minisign_key.clone(),
        state: settings.state.clone(),
        platform: directory::host_platform(),
    })
}

/// A registry, whose images lie with whoever runs them.
pub(crate) fn registry(
    settings: &Settings,
    app: &AppSettings,
    of: &registry::Settings,
    pauses: &Pauses,
) -> RegistrySource {
    let images: Box<dyn Images> = match &app.runtime {
        config::Runtime::Process => Box::new(NoImages { runtime: app.runtime.name().to_owned() }),
        config::Runtime::Docker(docker) => {
            let repository = docker.image.as_deref().unwrap_or_default();
            let (state, name) = (&settings.state, &app.policy.app);
            Box::new(EngineImages::new(state, name, &docker.socket, repository))
        }
    };
    RegistrySource::new(of.clone(), images, pauses.clone())
}

/// The versions of an app that its source has or that lie here, numbers in them in the order of numbers.
///
/// # Errors
///
/// The source cannot be read.
pub(crate) fn versions(settings: &Settings, app: &AppSettings) -> Result<Vec<String>, SourceError> {
    match &app.source {
        config::Source::Directory(of) => directory(settings, app, of).versions(),
        config::Source::Registry(of) => {
            quiet::may_ask(settings, &app.policy.app).map_err(|refusal| SourceError {
                kind: SourceErrorKind::Retry,
                text: refusal.text,
            })?;
            registry(settings, app, of, &Pauses::default()).versions()
        }
    }
}

/// Asks an app whether it is well.
pub(crate) fn probes(settings: &Settings, app: &AppSettings) -> Box<dyn Probes> {
    let asker = Asker::new(&settings.state, &app.policy.app);
    match &app.runtime {
        config::Runtime::Process => Box::new(asker),
        config::Runtime::Docker(docker) => {
            Box::new(ContainerAsker::new(container(settings, app, docker), asker))
        }
    }
}

fn clock(settings: &Settings) -> Result<SystemClock, String> {
    SystemClock::new(if settings.clock_is_right {
        Synchronized::Always
    } else {
        Synchronized::Ask(Keepers::default())
    })
}

/// The time, for clean-up.
///
/// # Errors
///
/// The kernel does not say which boot this is.
pub(crate) fn now(settings: &Settings) -> Result<Now, String> {
    Ok(clock(settings)?.now())
}

/// The host as one app sees it.
pub(crate) fn host(settings: &Settings, app: &AppName) -> Box<dyn Host> {
    let mode = if settings.busy.exists { Mode::Exists } else { Mode::NonEmpty };
    let flag = BusyFlag::new(&settings.busy.path, mode);
    let flag = match settings.profile {
        Profile::Airborne => flag.airborne(&settings.state),
        Profile::Workstation | Profile::Lab | Profile::Server => flag,
    };
    Box::new(ThisHost::new(app, &settings.state, &settings.run, flag))
}

/// Takes the locks beside an app's volumes; they go with this process.
///
/// # Errors
///
/// Another agent has one, or the host failed.
pub(crate) fn lock_volumes(app: &AppSettings) -> Result<Vec<Lock>, String> {
    let name = app.policy.app.as_str();
    let mut areas = BTreeMap::new();
    for volume in app.policy.procedure.volumes.values() {
        let path = Path::new(&volume.path);
        let area = Area::of(path, name).map_err(|error| chain(&error))?;
        areas.entry(area).or_insert(path);
    }
    let lock = |volume: &Path| snapshots::lock(volume, name).map_err(|error| chain(&error));
    areas.into_values().map(lock).collect()
}

/// Permissions of the state directory. An app with a user of its own runs from `releases/` in it,
/// so everybody may pass, nobody may look around, and what is not for everybody has a mode that says
/// so.
pub(crate) const STATE_MODE: u32 = 0o711;

/// The same for the run directory: apps look for markers in it, and record.
const RUN_MODE: u32 = 0o711;

/// Makes the directories that the settings name.
///
/// # Errors
///
/// The host failed.
pub(crate) fn make_places(settings: &Settings) -> Result<(), Refusal> {
    for (dir, mode) in [(&settings.state, STATE_MODE), (&settings.run, RUN_MODE)] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(dir)
            .map_err(|error| Refusal::failed(format!("cannot make {}: {error}", dir.display())))?;
    }
    Ok(())
}

/// Whether a process of an app runs; `None`: it cannot be told.
pub(crate) fn is_up(settings: &Settings, app: &str) -> Option<bool> {
    let (_, mut runtime) = World::second_eyes(settings, settings.apps.get(app)?).ok()?;
    runtime.observe().ok().map(|seen| seen.running.is_some())
}

/// Where an app's output is.
#[derive(Debug)]
pub(crate) enum Output {
    /// In the files of its runs.
    Runs(PathBuf),
    /// With the engine of its container.
    Container(Box<DockerRuntime>),
}

/// Where the output of an app is.
///
/// # Errors
///
/// There is no such app.
pub(crate) fn output_of(settings: &Settings, app: &str) -> Result<Output, Refusal> {
    let of = settings.apps.get(app).ok_or_else(|| settings.no_such_app(app))?;
    Ok(match &of.runtime {
        config::Runtime::Process => Output::Runs(settings.state.join("runs").join(app)),
        config::Runtime::Docker(docker) => {
            Output::Container(Box::new(container(settings, of, docker)))
        }
    })
}
