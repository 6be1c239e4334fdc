//! The keeper's own process: lock, record, start the app, then live with it until it is over.

use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getsid, set_child_subreaper, setsid};

use super::cgroup::Leaf;
use super::life::Life;
use super::lock::{self, Lock};
use super::record::{self, SCHEMA, wall_ms};
use super::spec::KeepSpec;
use super::{Error, ExitRecord, KeeperRecord, Outcome, Proc, RunRecord, error, procs, say, shim};
use crate::durable::Site;

/// How long to try for the run's lock: others look at it for moments only.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How long the shim may take to become the app. A program on a dead network mount takes for ever.
const EXEC_DEADLINE: Duration = Duration::from_secs(20);

/// Longest reason that is taken from the shim, in bytes.
const MAX_WHY_BYTES: u64 = 4096;

/// How often a refused `exit.json` is written again, and how long to wait in between. Space may be
/// freed meanwhile; after that the run counts as vanished, which is true of its exit code.
const EXIT_TRIES: u32 = 20;
const EXIT_RETRY: Duration = Duration::from_millis(250);

/// Signals that wake the keeper, each with a socket that becomes readable.
#[derive(Debug)]
pub(super) struct Signals {
    /// Readable after SIGTERM: stop the app.
    pub(super) stop: UnixStream,
    /// Readable after SIGCHLD: something ended.
    pub(super) child: UnixStream,
}

/// A started main process and the pipes of its output.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Proc,
    pub(super) pid: Pid,
    pub(super) output: Vec<PipeReader>,
}

/// Keeps one run from start to end.
pub(super) fn run(spec_path: &Path) -> Result<(), Error> {
    let spec = KeepSpec::read(spec_path)?;
    let dir = spec_path.parent().unwrap_or(Path::new("."));
    lead_session()?;
    set_child_subreaper(Some(getpid()))
        .map_err(|errno| Error::system("adopt the app's descendants", errno))?;
    // Held until this process has ended; the client's start lock came along as standard input.
    let lock = Lock::take(&dir.join(super::LOCK_FILE), LOCK_PATIENCE)?;
    for name in [super::KEEPER_FILE, super::RUN_FILE, super::EXIT_FILE] {
        let path = dir.join(name);
        if path.exists() {
            return Err(Error::Used { path });
        }
    }
    let signals = Signals::register()?;
    let planned = Leaf::plan(&spec);
    let keeper = procs::this()?;
    let boot_id = procs::boot_id()?;
    let record = KeeperRecord {
        schema: SCHEMA,
        app: spec.app.clone(),
        txn: spec.txn.clone(),
        attempt: spec.attempt.clone(),
        keeper,
        boot_id: boot_id.clone(),
        cgroup: planned.clone(),
    };
    record::write(&dir.join(super::KEEPER_FILE), &record, Site::Run)?;
    let cgroup = planned.and_then(Leaf::create);
    let exit = match start(cgroup.as_ref()) {
        Ok(started) => {
            let run = run_record(&spec, keeper, started.child, boot_id);
            let recorded = record::write(&dir.join(super::RUN_FILE), &run, Site::Run);
            let mut life = Life::new(dir, &spec, signals, cgroup, started);
            match recorded {
                Ok(()) => {
                    lock::release(io::stdin());
                    say(&mut io::stdout(), super::SAYS_READY);
                }
                // A start that was not recorded never happened.
                Err(error) => life.give_up(error::chain(&error)),
            }
            life.live()?
        }
        Err(why) => {
            if let Some(leaf) = cgroup {
                leaf.remove();
            }
            not_started(&spec, &why)
        }
    };
    write_exit(dir, &exit)?;
    if matches!(exit.outcome, Outcome::NotStarted { .. }) {
        say(&mut io::stdout(), super::SAYS_NOT_STARTED);
    }
    drop(lock);
    Ok(())
}

/// A session of our own. A service manager may have given us one already.
fn lead_session() -> Result<(), Error> {
    match setsid() {
        Ok(_) => Ok(()),
        Err(Errno::PERM) if getsid(None) == Ok(getpid()) => Ok(()),
        Err(errno) => Err(Error::system("lead a session of our own", errno)),
    }
}

impl Signals {
    fn register() -> Result<Self, Error> {
        let pipe = |signal: Signal| -> io::Result<UnixStream> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal.as_raw(), writer)?;
            Ok(reader)
        };
        let failed = |source| Error::system("listen to signals", source);
        Ok(Self {
            stop: pipe(Signal::TERM).map_err(failed)?,
            child: pipe(Signal::CHILD).map_err(failed)?,
        })
    }
}

fn run_record(spec: &KeepSpec, keeper: Proc, child: Proc, boot_id: String) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        app: spec.app.clone(),
        txn: spec.txn.clone(),
        attempt: spec.attempt.clone(),
        release: spec.release.clone(),
        keeper,
        child,
        boot_id,
        started_ms: wall_ms(),
    }
}

fn not_started(spec: &KeepSpec, said: &str) -> ExitRecord {
    let by_program = said.strip_prefix(shim::BY_PROGRAM);
    let outcome = Outcome::NotStarted {
        why: by_program.unwrap_or(said).to_owned(),
        by_program: by_program.is_some(),
    };
    ExitRecord {
        schema: SCHEMA,
        app: spec.app.clone(),
        txn: spec.txn.clone(),
        attempt: spec.attempt.clone(),
        outcome,
        at_ms: wall_ms(),
        stop_requested: false,
        clean: false,
        strays: 0,
        killed: false,
        oom: None,
        log_lost_bytes: 0,
    }
}

fn write_exit(dir: &Path, exit: &ExitRecord) -> Result<(), Error> {
    let path = dir.join(super::EXIT_FILE);
    let mut result = record::write(&path, exit, Site::Exit);
    for _ in 1..EXIT_TRIES {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(EXIT_RETRY);
        result = record::write(&path, exit, Site::Exit);
    }
    result
}

/// Starts the shim and waits until it became the app; the error is for people.
fn start(cgroup: Option<&Leaf>) -> Result<Started, String> {
    let io_error = |source: io::Error| format!("cannot start the app: {source}");
    let (mut status, status_writer) = io::pipe().map_err(io_error)?;
    let (out, out_writer) = io::pipe().map_err(io_error)?;
    let (err, err_writer) = io::pipe().map_err(io_error)?;
    // Our own binary even if its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(std::env::args_os().skip(1))
        .env_clear()
        .env(super::STAGE_ENV, "exec")
        .envs(cgroup.map(|leaf| (shim::CGROUP_ENV, leaf.path())))
        .stdin(Stdio::from(status_writer))
        .stdout(Stdio::from(out_writer))
        .stderr(Stdio::from(err_writer))
        .process_group(0);
    let mut child = command.spawn().map_err(io_error)?;
    // The command holds the writing ends; without this no pipe would ever end.
    drop(command);
    let why = shim_says(&mut status);
    let pid = Pid::from_child(&child);
    let proc = procs::stat(pid.as_raw_pid()).map(|stat| stat.proc);
    match (why, proc) {
        (Ok(why), Some(child)) if why.is_empty() => {
            Ok(Started { child, pid, output: vec![out, err] })
        }
        (why, _) => {
            child.kill().ok();
            child.wait().ok();
            Err(why.unwrap_or_else(io_error))
        }
    }
}

/// Empty once the app runs, else why it does not.
fn shim_says(status: &mut PipeReader) -> io::Result<String> {
    let started = Instant::now();
    let mut why = String::new();
    loop {
        let left = EXEC_DEADLINE.saturating_sub(started.elapsed());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(status, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    // The shim says all at once, and nobody else has the writing end.
    File::from(std::os::fd::OwnedFd::from(status.try_clone()?))
        .take(MAX_WHY_BYTES)
        .read_to_string(&mut why)?;
    Ok(why)
}
