//! Starts a keeper process and waits until it says how the start went.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Exe, READY_DEADLINE, RunState, StartedRun, keeper_log, observe};
use crate::durable::{SYNC_FAULT_ENV, Site};
use crate::keeper::lock::Lock;
use crate::keeper::spec::{KeepSpec, Stop, StopSignal};
use crate::keeper::{
    Error, KEEPER_LOG_FILE, SAYS_NOT_STARTED, SAYS_READY, SPEC_FILE, record, scope,
};

/// How long systemd has for a scope. An app that is down waits for it, so it is short.
const SCOPE_DEADLINE: Duration = Duration::from_secs(5);

/// Longest line that a keeper says, in bytes.
const MAX_SAID_BYTES: usize = 256;

/// How much of the keeper's own log goes into an error, in bytes.
const LOG_TAIL_BYTES: usize = 1024;

/// Starts the keeper of a run that was never begun; the caller's turn passes on to it. `None` if
/// another keeper was faster: look again.
pub(super) fn spawn(
    dir: &Path,
    spec: &KeepSpec,
    exe: &Exe,
    turn: &Lock,
) -> Result<Option<StartedRun>, Error> {
    let spec_path = dir.join(SPEC_FILE);
    record::write(&spec_path, spec, Site::Run)?;
    let Some(scope) = scope::prefix(spec) else {
        return run(dir, &command(exe, &spec_path, &[]), turn, READY_DEADLINE);
    };
    match run(dir, &command(exe, &spec_path, &scope), turn, SCOPE_DEADLINE) {
        // It never came to the keeper.
        Err(Error::KeeperEnded { .. } | Error::NotReady { .. })
            if observe(dir)? == RunState::Absent =>
        {
            run(dir, &command(exe, &spec_path, &[]), turn, READY_DEADLINE)
        }
        done => done,
    }
}

/// The keeper's command line, in a scope or not.
fn command<'a>(exe: &'a Exe, spec: &'a Path, scope: &'a [String]) -> Vec<&'a OsStr> {
    let before = scope.iter().map(OsStr::new).chain([exe.program.as_os_str()]);
    before.chain(exe.args.iter().map(OsStr::new)).chain([spec.as_os_str()]).collect()
}

/// `begin_within`: how long it may take until there is a keeper at all.
fn run(
    dir: &Path,
    argv: &[&OsStr],
    turn: &Lock,
    begin_within: Duration,
) -> Result<Option<StartedRun>, Error> {
    let turn = turn.share().map_err(|source| Error::system("share the start lock", source))?;
    let [program, args @ ..] = argv else { return Ok(None) };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(std::env::var_os(SYNC_FAULT_ENV).map(|value| (SYNC_FAULT_ENV, value)))
        .current_dir("/")
        .stdin(turn)
        .stdout(Stdio::piped())
        .stderr(keeper_log(&dir.join(KEEPER_LOG_FILE))?);
    let started = command.spawn();
    let mut keeper =
        started.map_err(|source| Error::file("start the keeper", Path::new(program), source))?;
    let started = Instant::now();
    let said = match keeper.stdout.take() {
        Some(mut output) => match said(&mut output, started, begin_within)? {
            None if observe(dir)? != RunState::Absent => {
                said(&mut output, started, READY_DEADLINE)?
            }
            said => said,
        },
        None => Some(String::new()),
    };
    let Some(said) = said else {
        return Err(not_ready(dir, keeper, started));
    };
    if said.trim_end() != SAYS_READY && said.trim_end() != SAYS_NOT_STARTED {
        // It said nothing, so it has ended; wait, so that its lock is free.
        keeper.wait().map_err(|source| Error::system("wait for the keeper", source))?;
        return match observe(dir)? {
            RunState::Exited(exit) => Ok(Some(StartedRun::Exited(exit))),
            RunState::Vanished(vanished) => Ok(Some(StartedRun::Vanished(vanished))),
            RunState::Starting | RunState::Running(_) => Ok(None),
            RunState::Absent => Err(Error::KeeperEnded { dir: dir.into(), said: log_tail(dir) }),
        };
    }
    reap_later(keeper)?;
    if said.trim_end() == SAYS_READY {
        // Read from the record, as everybody else does.
        if let Some(run) = record::read(&dir.join(crate::keeper::RUN_FILE))? {
            return Ok(Some(StartedRun::Spawned(run)));
        }
    } else if let Some(exit) = record::read(&dir.join(crate::keeper::EXIT_FILE))? {
        return Ok(Some(StartedRun::Exited(exit)));
    }
    Err(Error::KeeperEnded { dir: dir.into(), said })
}

/// The keeper's first line; empty if it ended without one, `None` if it took too long.
fn said(
    output: &mut ChildStdout,
    started: Instant,
    within: Duration,
) -> Result<Option<String>, Error> {
    let failed = |source| Error::system("listen to the keeper", source);
    let mut said = Vec::new();
    let mut byte = [0];
    while said.len() < MAX_SAID_BYTES {
        let left = within.saturating_sub(started.elapsed());
        let timeout = Timespec::try_from(left).map_err(std::io::Error::other).map_err(failed)?;
        let mut fds = [PollFd::new(output, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno.into())),
        }
        if output.read(&mut byte).map_err(failed)? == 0 {
            said.clear();
            break;
        }
        if byte == *b"\n" {
            break;
        }
        said.extend(byte);
    }
    Ok(Some(String::from_utf8_lossy(&said).into_owned()))
}

/// Kills a start that takes too long, with all that belongs to it.
fn not_ready(dir: &Path, mut keeper: Child, started: Instant) -> Error {
    let waited_ms = started.elapsed().as_millis();
    let ended = keeper
        .kill()
        .and_then(|()| keeper.wait())
        .map_err(|source| Error::system("kill the keeper", source))
        .and_then(|_| observe(dir))
        .and_then(|state| match state {
            // It never came to a keeper; a stop would wait for the turn, which is ours.
            RunState::Absent => Ok(()),
            _ => super::stop(dir, Stop::new(StopSignal::Term, Duration::ZERO)).map(drop),
        });
    match ended {
        Ok(()) => Error::NotReady { dir: dir.into(), waited_ms },
        Err(error) => error,
    }
}

/// Whoever starts a process has to take its exit status. The run itself does not need this thread.
fn reap_later(mut keeper: Child) -> Result<(), Error> {
    std::thread::Builder::new()
        .name("reap-keeper".into())
        .spawn(move || drop(keeper.wait()))
        .map(drop)
        .map_err(|source| Error::system("start a thread", source))
}

/// The end of what the keeper said on standard error.
fn log_tail(dir: &Path) -> String {
    let text = std::fs::read(dir.join(KEEPER_LOG_FILE)).unwrap_or_default();
    let start = text.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default()).trim().to_owned()
}
