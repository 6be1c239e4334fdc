//! The built-in runtime: an app is a process under a [keeper](crate::keeper) of its own (RUN-1).
//!
//! ```text
//! <state>/runs/<app>/place.json       which release is in place, by which update
//! <state>/runs/<app>/<txn>-<name>/    one run: of the app, of a migration, or of a hook
//! <state>/releases/<app>/<digest>/    the releases themselves; a source puts them there
//! ```
//!
//! Nothing is remembered between two calls: each looks at the place and at the runs' locks and
//! records, so an agent that was killed at any point and its successor see the same. Constraints:
//!
//! - Every start and every command has a directory of its own, never used twice. Runs are counted
//!   in their specs, because the wall clock of a host without a battery goes back at a power cut.
//! - A migration or hook is a run as well: what a killed agent left behind is found by the next
//!   one, ended by `stop`, and by its own keeper when its time is over. A migration counts as the
//!   app running, because it changes the app's data; a hook does not.
//! - The data directories of an app that was never started are made before its first start or
//!   migration; later a missing one keeps it from being started ([`volumes`]).
//! - The newest runs are kept ([`RUNS_KEPT`]); an older one that ended is removed at a later start.
//!
//! A single agent works on one app at a time; that is the caller's lock.

mod error;
mod look;
mod place;
mod spec;
mod volumes;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use groundcrew_engine::machine::StopReport;
use groundcrew_engine::noun::{AppName, Fault};
use groundcrew_engine::plan::Procedure;
use groundcrew_engine::ports::{
    CommandOrder, Observed, Purpose, Runtime, StartOrder, StopOrder, SwitchOrder,
};

use crate::durable::{self, Site};
use crate::keeper::client::{self, Exe, RunState, StartedRun};
use crate::keeper::spec::{KeepSpec, Kind, Stop, StopSignal};
use crate::keeper::{ExitRecord, Outcome};
use crate::runtimes::launch::Launch;
use crate::runtimes::secrets::Secrets;
use crate::runtimes::shelf::Shelf;

use error::Error;
use look::Seen;
use place::Place;

/// An app that ends within this time of its start has failed to start.
pub const SETTLE: Duration = Duration::from_secs(1);

/// Most runs of one app that are kept, the living ones included.
pub const RUNS_KEPT: usize = 64;

/// How long a stopped app has where nobody says how it is stopped.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long a migration or hook has that its agent did not live to see the end of.
const COMMAND_GRACE: Duration = Duration::from_secs(2);

/// How much later than the agent a command's keeper ends it: it is for agents that are gone.
const KEEPER_SLACK: Duration = Duration::from_secs(5);

/// How long a keeper may take to write down how a run ended: one sync of a disk that is busy.
const RECORD_SLACK: Duration = Duration::from_secs(30);

/// Time between two looks at a run that is about to change.
const TICK: Duration = Duration::from_millis(5);

/// Runs one app as processes under keepers.
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    app: AppName,
    /// The app's runs.
    dir: PathBuf,
    shelf: Shelf,
    exe: Exe,
    settle: Duration,
}

impl ProcessRuntime {
    /// The runtime of an app, with the state directory and the command that becomes a keeper.
    #[must_use]
    pub fn new(state: &Path, app: &AppName, exe: Exe) -> Self {
        let dir = state.join("runs").join(app.as_str());
        Self { app: app.clone(), dir, shelf: Shelf::new(state, app), exe, settle: SETTLE }
    }

    /// The same with another [`SETTLE`].
    #[must_use]
    pub fn settling(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// Directory of the latest run of the app, for whoever shows its log.
    ///
    /// # Errors
    /// The runs cannot be read.
    pub fn latest_run(&self) -> Result<Option<PathBuf>, Fault> {
        let seen = look::look(&self.dir).map_err(Error::Keeper)?;
        Ok(look::latest(&seen).map(|run| run.entry.dir.clone()))
    }

    /// Looks until nobody is about to start any more: what a killed agent began is waited for.
    fn settled(&self) -> Result<Vec<Seen>, Error> {
        let started = Instant::now();
        loop {
            let seen = look::look(&self.dir)?;
            let Some(run) = seen.iter().find(|run| run.state == RunState::Starting) else {
                return Ok(seen);
            };
            if started.elapsed() > client::READY_DEADLINE {
                let waited_ms = started.elapsed().as_millis();
                return Err(Error::StillStarting { dir: run.entry.dir.clone(), waited_ms });
            }
            std::thread::sleep(TICK);
        }
    }

    fn start_run(&self, order: &StartOrder<'_>) -> Result<(), Error> {
        let wanted = &order.installed.release.digest;
        let place = Place::read(&self.dir)?.digest;
        if place.as_ref() != Some(wanted) {
            return Err(Error::Place { wanted: wanted.clone(), found: place });
        }
        let seen = self.settled()?;
        let mut alive = seen.iter().filter(|run| run.is_alive());
        if let Some(run) = alive.find(|run| run.entry.kind != Kind::Hook) {
            if run.entry.kind == Kind::App && run.entry.release == wanted.as_str() {
                return Ok(());
            }
            return Err(Error::Other { name: run.name(), release: run.entry.release.clone() });
        }
        if let Some(before) = seen.iter().find(|run| run.is(order.txn, order.run)) {
            before.refuse_to_repeat()?;
        }
        let shelved = self.shelf.take(wanted)?;
        volumes::make(&order.installed.procedure, look::latest(&seen).is_some())?;
        let secrets = self.secrets(&order.installed.procedure)?;
        let spec = spec::app(&self.app, order, &shelved, &secrets, look::next_seq(&seen))?;
        self.prune(&seen);
        self.launch(&spec)
    }

    /// The app's secrets, made if they are missing.
    fn secrets(&self, procedure: &Procedure) -> Result<Secrets, Error> {
        let launch = Launch::read(&procedure.launch)?;
        let secrets = self.shelf.secrets(launch.secrets());
        secrets.make(launch.ids()?)?;
        Ok(secrets)
    }

    /// Starts a run of the app, and waits a moment whether it stays.
    fn launch(&self, spec: &KeepSpec) -> Result<(), Error> {
        let dir = self.dir.join(format!("{}-{}", spec.txn, spec.attempt));
        let exit = match client::start(&dir, spec, &self.exe)? {
            StartedRun::Spawned(run) | StartedRun::Adopted(run) => {
                if !client::wait_for_end(&run, self.settle)? {
                    return Ok(());
                }
                end_of(&dir, Duration::from_millis(spec.stray_grace_ms))?
            }
            StartedRun::Exited(exit) => Some(exit),
            StartedRun::Vanished(_) => None,
        };
        let exit = exit.ok_or(Error::Vanished { dir: dir.clone() })?;
        Err(Error::EndedAtOnce { how: look::how(&exit), blame: blame(&exit), said: said(&dir) })
    }

    fn run_command(&self, order: &CommandOrder<'_>) -> Result<(), Error> {
        let seen = look::look(&self.dir)?;
        let shelved = self.shelf.take(&order.installed.release.digest)?;
        let kind = match order.purpose {
            Purpose::Migrate | Purpose::Undo => Kind::Migration,
            Purpose::Hook(_) => Kind::Hook,
        };
        if kind == Kind::Migration {
            volumes::make(&order.installed.procedure, look::latest(&seen).is_some())?;
        }
        let attempt = look::next_attempt(&seen, kind, order.txn);
        let secrets = self.secrets(&order.installed.procedure)?;
        let mut spec = spec::command(&self.app, order, &shelved, &secrets, &attempt)?;
        spec.seq = look::next_seq(&seen);
        let limit = Duration::from_millis(order.timeout_ms);
        spec.limit_ms = u64::try_from(limit.saturating_add(KEEPER_SLACK).as_millis()).ok();
        self.prune(&seen);
        let dir = self.dir.join(format!("{}-{attempt}", order.txn));
        let exit = match client::start(&dir, &spec, &self.exe)? {
            StartedRun::Spawned(run) | StartedRun::Adopted(run) => {
                if !client::wait_for_end(&run, limit)? {
                    client::stop(&dir, Stop::new(StopSignal::Term, Duration::ZERO))?;
                    let timeout_ms = order.timeout_ms;
                    return Err(Error::TimedOut { name: attempt, timeout_ms, said: said(&dir) });
                }
                end_of(&dir, Duration::ZERO)?
            }
            StartedRun::Exited(exit) => Some(exit),
            StartedRun::Vanished(_) => None,
        };
        let exit = exit.ok_or(Error::Vanished { dir: dir.clone() })?;
        if exit.outcome == (Outcome::Exited { code: 0 }) {
            return Ok(());
        }
        let (how, blame) = (look::how(&exit), blame(&exit));
        Err(Error::Failed { name: attempt, how, blame, said: said(&dir) })
    }

    fn stop_all(&self, order: &StopOrder<'_>) -> Result<StopReport, Error> {
        let started = Instant::now();
        let how = order.installed.map(|installed| &installed.procedure.stop);
        let app = match how {
            None => Stop::new(StopSignal::Term, DEFAULT_GRACE),
            Some(how) => Stop::new(spec::signal(&how.signal)?, Duration::from_millis(how.grace_ms)),
        };
        let command = Stop::new(StopSignal::Term, COMMAND_GRACE);
        let mut report = StopReport { clean: true, ..StopReport::default() };
        let mut seen = look::look(&self.dir)?;
        // What works beside the app ends first; nobody is left who would ask it for anything.
        seen.sort_by_key(|run| run.entry.kind == Kind::App);
        for run in seen.iter().filter(|run| !run.is_over()) {
            let is_app = run.entry.kind == Kind::App;
            let stopped = client::stop(&run.entry.dir, if is_app { app } else { command })?;
            report.ran |= stopped.was_running && run.entry.kind != Kind::Hook;
            if is_app && stopped.was_running {
                report.clean &= stopped.clean;
                report.exit_code = stopped.exit.and_then(|exit| match exit.outcome {
                    Outcome::Exited { code } => Some(code),
                    Outcome::Signaled { .. } | Outcome::NotStarted { .. } => None,
                });
            }
        }
        report.took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // After the stop: a start that was under way has a name by now.
        let seen = look::look(&self.dir)?;
        report.latest = look::latest(&seen).map(Seen::as_latest);
        Ok(report)
    }

    /// Removes the oldest runs that are over. What cannot be removed is tried again next time.
    fn prune(&self, seen: &[Seen]) {
        let latest = look::latest(seen).map(|run| &run.entry.dir);
        let excess = (seen.len() + 1).saturating_sub(RUNS_KEPT);
        let spare = |run: &&Seen| !run.is_alive() && Some(&run.entry.dir) != latest;
        for run in seen.iter().filter(spare).take(excess) {
            durable::remove_tree(&run.entry.dir, Site::Prune).ok();
        }
    }
}

/// How a run ended of which the main process has just ended; `None` if its keeper was killed.
fn end_of(dir: &Path, stray_grace: Duration) -> Result<Option<ExitRecord>, Error> {
    let started = Instant::now();
    loop {
        match client::observe(dir)? {
            RunState::Exited(exit) => return Ok(Some(exit)),
            RunState::Vanished(_) | RunState::Absent => return Ok(None),
            RunState::Starting | RunState::Running(_) => {}
        }
        if started.elapsed() > stray_grace.saturating_add(RECORD_SLACK) {
            let waited_ms = started.elapsed().as_millis();
            return Err(Error::StillEnding { dir: dir.into(), waited_ms });
        }
        std::thread::sleep(TICK);
    }
}

/// Whether the release is to blame for how a run ended.
fn blame(exit: &ExitRecord) -> error::Blame {
    match exit.outcome {
        Outcome::NotStarted { by_program: false, .. } => error::Blame::Host,
        _ if exit.stop_requested => error::Blame::Host,
        _ => error::Blame::Release,
    }
}

fn said(dir: &Path) -> String {
    look::output(dir).join("\n")
}

impl Runtime for ProcessRuntime {
    fn observe(&mut self) -> Result<Observed, Fault> {
        let place = Place::read(&self.dir)?;
        let seen = look::look(&self.dir).map_err(Error::Keeper)?;
        Ok(look::observed(&seen, place)?)
    }

    fn output(&mut self) -> Vec<String> {
        let seen = look::look(&self.dir).unwrap_or_default();
        look::latest(&seen).map(|run| look::output(&run.entry.dir)).unwrap_or_default()
    }

    fn stop(&mut self, order: &StopOrder<'_>) -> Result<StopReport, Fault> {
        Ok(self.stop_all(order)?)
    }

    fn switch(&mut self, order: &SwitchOrder<'_>) -> Result<(), Fault> {
        let digest = order.to.map(|to| to.release.digest.clone());
        if let Some(digest) = &digest {
            // What is not here whole could not be started.
            self.shelf.take(digest).map_err(Error::Shelf)?;
        }
        let place = Place::new(digest, order.txn.clone(), order.back);
        // A place that cannot be read is no reason not to replace it.
        if Place::read(&self.dir).is_ok_and(|known| known == place) {
            return Ok(());
        }
        Ok(place.write(&self.dir)?)
    }

    fn start(&mut self, order: &StartOrder<'_>) -> Result<(), Fault> {
        Ok(self.start_run(order)?)
    }

    fn run(&mut self, order: &CommandOrder<'_>) -> Result<(), Fault> {
        Ok(self.run_command(order)?)
    }
}
