//! The agent's side of a keeper: start, observe, stop, list.
//!
//! Everything here looks at the run's directory and its lock, never at a memory of what was done
//! before, so each call may be repeated, by another process too, after any crash.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::lock::{self, Lock, TICK};
use super::record::{self, SCHEMA};
use super::spec::{KeepSpec, Kind, Stop};
use super::{
    EXIT_FILE, Error, ExitRecord, KEEPER_FILE, KeeperRecord, LOCK_FILE, Proc, RUN_FILE, RunRecord,
    SPEC_FILE, START_LOCK_FILE, STOP_FILE, cgroup, procs,
};
use crate::durable::{self, Site};

mod spawn;

/// How long a start may take until the keeper says that it is done.
pub const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long a keeper may take beyond the graces until its lock is free, and how long killed
/// processes may take to be gone.
pub const STOP_SLACK: Duration = Duration::from_secs(5);

/// Most runs that are kept of one app.
pub const MAX_RUNS: usize = 10_000;

/// How to call our own binary so that [`super::main`] runs: it gets the spec's path as last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exe {
    /// The binary.
    pub program: PathBuf,
    /// Arguments before the spec's path.
    pub args: Vec<String>,
}

/// What a start led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartedRun {
    /// The app was started now.
    Spawned(RunRecord),
    /// This attempt was running already.
    Adopted(RunRecord),
    /// This attempt ran and ended, or could not be started; it is not started again.
    Exited(ExitRecord),
    /// This attempt was begun and its keeper is gone; something of it may be alive until `stop`.
    Vanished(Vanished),
}

/// What a run's directory and lock say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It was never begun.
    Absent,
    /// The keeper is there, the start is not done.
    Starting,
    /// The keeper is there and the app was started. It may have ended a moment ago.
    Running(RunRecord),
    /// Nothing of it is left, and how it ended is known.
    Exited(ExitRecord),
    /// The keeper is gone and left no exit record: it was killed, or the power went.
    Vanished(Vanished),
}

/// What is known of a run whose keeper is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The run, if the start was done.
    pub run: Option<RunRecord>,
    /// What still lives of it.
    pub orphans: Vec<Proc>,
}

/// How a stop went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Whether anything of the run was alive.
    pub was_running: bool,
    /// Whether it ended without SIGKILL; true as well if nothing was running.
    pub clean: bool,
    /// How it ended, unless the keeper was killed before it could say.
    pub exit: Option<ExitRecord>,
    /// How long it took.
    pub took: Duration,
}

/// One run of an app, as its spec names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunEntry {
    /// Which run of the app it is, as its spec counts; 0 where nobody counted.
    pub seq: u64,
    /// Wall clock when the spec was written, milliseconds since 1970; only good for an order.
    pub begun_ms: u64,
    /// The update that the run belongs to.
    pub txn: String,
    /// Which start of it.
    pub attempt: String,
    /// Digest of the release that it runs.
    pub release: String,
    /// What it is a run of.
    pub kind: Kind,
    /// The run's directory.
    pub dir: PathBuf,
}

/// `stop.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StopRequest {
    pub(super) schema: u32,
    pub(super) stop: Stop,
}

/// Starts a run, or finds it started. For one `run_dir` the app is started at most once, ever.
///
/// "Already done" is a held lock and records that name the same run. On return of
/// [`StartedRun::Spawned`] and [`StartedRun::Adopted`] the run record is durable. May be repeated
/// after any failure.
///
/// # Errors
/// [`Error::NotReady`] after [`READY_DEADLINE`], with everything of the start killed;
/// [`Error::OtherRun`] if the directory belongs to another run.
pub fn start(run_dir: &Path, spec: &KeepSpec, exe: &Exe) -> Result<StartedRun, Error> {
    spec.check()?;
    durable::create_dir_all(run_dir, 0o700, Site::Run)
        .map_err(|source| Error::Record { path: run_dir.into(), source })?;
    let dir = &absolute(run_dir)?;
    let started = Instant::now();
    let turn = Lock::take(&dir.join(START_LOCK_FILE), READY_DEADLINE)?;
    loop {
        if let Some(known) = record::read::<KeeperRecord>(&dir.join(KEEPER_FILE))? {
            same_run(&dir.join(KEEPER_FILE), &known, spec)?;
        }
        match observe(dir)? {
            RunState::Absent => {
                if let Some(done) = spawn::spawn(dir, spec, exe, &turn)? {
                    return Ok(done);
                }
            }
            RunState::Running(run) => return Ok(StartedRun::Adopted(run)),
            RunState::Exited(exit) => return Ok(StartedRun::Exited(exit)),
            RunState::Vanished(vanished) => return Ok(StartedRun::Vanished(vanished)),
            RunState::Starting if started.elapsed() < READY_DEADLINE => std::thread::sleep(TICK),
            RunState::Starting => {
                let waited_ms = started.elapsed().as_millis();
                return Err(Error::NotReady { dir: dir.clone(), waited_ms });
            }
        }
    }
}

/// Looks at a run. Changes nothing.
///
/// # Errors
/// Only if a record is there and cannot be read, or `/proc` cannot.
pub fn observe(run_dir: &Path) -> Result<RunState, Error> {
    let held = lock::is_held(&run_dir.join(LOCK_FILE))?;
    let run = record::read::<RunRecord>(&run_dir.join(RUN_FILE))?;
    if held {
        return Ok(run.map_or(RunState::Starting, RunState::Running));
    }
    if let Some(exit) = record::read(&run_dir.join(EXIT_FILE))? {
        return Ok(RunState::Exited(exit));
    }
    let Some(keeper) = record::read::<KeeperRecord>(&run_dir.join(KEEPER_FILE))? else {
        return Ok(RunState::Absent);
    };
    let orphans = procs::orphans(&absolute(run_dir)?, &keeper, run.as_ref())?;
    Ok(RunState::Vanished(Vanished { run, orphans }))
}

/// As [`observe`], for whoever is not about to start this run: a start that somebody has begun, be
/// it a keeper whose client is gone, counts as [`RunState::Starting`] before it shows in a record.
///
/// # Errors
/// As [`observe`].
pub fn observe_or_begun(run_dir: &Path) -> Result<RunState, Error> {
    // The turn is let go only after the record is there, so it is asked for first.
    let begun = lock::is_held(&run_dir.join(START_LOCK_FILE))?;
    Ok(match observe(run_dir)? {
        RunState::Absent if begun => RunState::Starting,
        state => state,
    })
}

/// The boot in which a run's keeper lived; `None` if it never got so far.
///
/// # Errors
/// If the record is there and cannot be read.
pub fn boot_of(run_dir: &Path) -> Result<Option<String>, Error> {
    let keeper = record::read::<KeeperRecord>(&run_dir.join(KEEPER_FILE))?;
    Ok(keeper.map(|keeper| keeper.boot_id))
}

/// Waits until a run's main process has ended, at most so long; whether it has.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn wait_for_end(run: &RunRecord, at_most: Duration) -> Result<bool, Error> {
    procs::wait_for_end(run.child, at_most)
}

/// Stops a run: the signal, then after the grace SIGKILL for everything. On return no process of the
/// run is left and its lock is free. Also ends what a killed keeper left behind.
///
/// A run that is not there is stopped already.
///
/// # Errors
/// [`Error::NotStopped`] if the kernel does not let go of a process; ask again later.
pub fn stop(run_dir: &Path, stop: Stop) -> Result<StopReport, Error> {
    let started = Instant::now();
    let mut report =
        StopReport { was_running: false, clean: true, exit: None, took: Duration::ZERO };
    if observe(run_dir)? == RunState::Absent && run_dir.exists() {
        // Whoever is about to start it, be it a keeper whose client is gone, is waited for.
        Lock::take(&run_dir.join(START_LOCK_FILE), READY_DEADLINE)?;
    }
    if matches!(observe(run_dir)?, RunState::Starting | RunState::Running(_)) {
        report.was_running = true;
        ask_keeper(run_dir, stop, started)?;
    }
    match observe(run_dir)? {
        RunState::Absent => {}
        RunState::Exited(exit) => {
            report.clean = !report.was_running || exit.clean;
            report.exit = Some(exit);
        }
        RunState::Vanished(vanished) => {
            report.was_running |= !vanished.orphans.is_empty();
            report.clean = end_orphans(run_dir, stop)?;
        }
        RunState::Starting | RunState::Running(_) => {
            return Err(not_stopped(run_dir, started, Vec::new()));
        }
    }
    report.took = started.elapsed();
    Ok(report)
}

/// All runs below an app's directory, oldest first. A directory without a spec never had a run.
///
/// # Errors
/// If the directory cannot be listed or a spec cannot be read; a missing directory has no runs.
pub fn runs(app_dir: &Path) -> Result<Vec<RunEntry>, Error> {
    let failed = |source| Error::file("list", app_dir, source);
    let entries = match fs::read_dir(app_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Other files may lie beside the runs.
        if !entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        let dir = entry.path();
        let path = dir.join(SPEC_FILE);
        let Some(spec) = record::read::<KeepSpec>(&path)? else {
            continue;
        };
        let written = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map_err(|source| Error::file("look at", &path, source))?;
        let begun_ms = record::ms(written);
        let KeepSpec { seq, txn, attempt, release, kind, .. } = spec;
        found.push(RunEntry { seq, begun_ms, txn, attempt, release, kind, dir });
        if found.len() > MAX_RUNS {
            return Err(Error::TooManyRuns { dir: app_dir.into(), limit: MAX_RUNS });
        }
    }
    found.sort();
    Ok(found)
}

/// Sends the request to the keeper and waits until its lock is free. A keeper that does not manage
/// in time is killed, so that its orphans can be.
fn ask_keeper(run_dir: &Path, stop: Stop, started: Instant) -> Result<(), Error> {
    let request = StopRequest { schema: SCHEMA, stop };
    record::write(&run_dir.join(STOP_FILE), &request, Site::Run)?;
    let stray_grace =
        record::read::<KeepSpec>(&run_dir.join(SPEC_FILE))?.map_or(0, |spec| spec.stray_grace_ms);
    let patience = Duration::from_millis(stop.grace_ms)
        .saturating_add(Duration::from_millis(stray_grace))
        .saturating_add(STOP_SLACK);
    let mut asked = false;
    let mut killed = false;
    while lock::is_held(&run_dir.join(LOCK_FILE))? {
        // Before its record is there, a keeper neither listens to signals nor has started anything.
        let keeper = record::read::<KeeperRecord>(&run_dir.join(KEEPER_FILE))?;
        if let Some(keeper) = keeper {
            if !asked {
                procs::signal(keeper.keeper, Signal::TERM)?;
                asked = true;
            }
            if !killed && started.elapsed() > patience {
                procs::signal(keeper.keeper, Signal::KILL)?;
                killed = true;
            }
        }
        if started.elapsed() > patience.saturating_add(STOP_SLACK) {
            return Err(not_stopped(run_dir, started, Vec::new()));
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// Ends what a killed keeper left behind; true if SIGKILL was not needed.
fn end_orphans(run_dir: &Path, stop: Stop) -> Result<bool, Error> {
    let Some(keeper) = record::read::<KeeperRecord>(&run_dir.join(KEEPER_FILE))? else {
        return Ok(true);
    };
    let run = record::read::<RunRecord>(&run_dir.join(RUN_FILE))?;
    let dir = absolute(run_dir)?;
    let grace = Duration::from_millis(stop.grace_ms);
    let started = Instant::now();
    let mut asked = Vec::new();
    let mut clean = true;
    loop {
        let left = procs::orphans(&dir, &keeper, run.as_ref())?;
        if left.is_empty() {
            break;
        }
        if started.elapsed() > grace.saturating_add(STOP_SLACK) {
            let pids = left.iter().map(|proc| proc.pid).collect();
            return Err(not_stopped(run_dir, started, pids));
        }
        let overdue = started.elapsed() >= grace;
        for proc in left {
            if overdue {
                clean &= !procs::signal(proc, Signal::KILL)?;
            } else if !asked.contains(&proc) {
                procs::signal(proc, stop.signal.signal())?;
                asked.push(proc);
            }
        }
        if let Some(path) = keeper.cgroup.as_deref().filter(|_| overdue) {
            cgroup::kill(path);
        }
        std::thread::sleep(TICK);
    }
    if let Some(path) = keeper.cgroup.as_deref() {
        cgroup::remove(path);
    }
    Ok(clean)
}

fn not_stopped(run_dir: &Path, started: Instant, pids: Vec<i32>) -> Error {
    Error::NotStopped { dir: run_dir.into(), waited_ms: started.elapsed().as_millis(), pids }
}

fn same_run(path: &Path, known: &KeeperRecord, spec: &KeepSpec) -> Result<(), Error> {
    let found = [&known.app, &known.txn, &known.attempt];
    let wanted = [&spec.app, &spec.txn, &spec.attempt];
    if found == wanted {
        return Ok(());
    }
    let name = |parts: [&String; 3]| parts.map(String::as_str).join(" ");
    Err(Error::OtherRun { path: path.into(), found: name(found), wanted: name(wanted) })
}

/// The path that a run's processes carry: the same whatever way the directory was named.
fn absolute(dir: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(dir).map_err(|source| Error::file("find", dir, source))
}

/// Opens the file that takes what the keeper itself has to say.
fn keeper_log(path: &Path) -> Result<fs::File, Error> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::file("open", path, source))
}
