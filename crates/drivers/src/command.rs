//! Runs one command to its end, within a time limit and with a bounded output.
//!
//! Exec probes, external checks and notifications go through here; what touches an app's data goes
//! through a [keeper](crate::keeper), because it must be found again after the agent was killed.
//! Constraints:
//!
//! - Nothing is inherited but what the order says: no environment, no input, no open file.
//! - The command has a process group of its own, and the group is killed when the command ends or
//!   its time is over. What leaves the group on purpose is not followed.
//! - Of the output, both streams together, the last [`OUTPUT_MAX_BYTES`] are kept.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

#[cfg(test)]
mod tests;

/// Bytes of output that are kept, from its end.
pub const OUTPUT_MAX_BYTES: usize = 8 * 1024;

/// Where programs are looked for that are named without a path.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a killed command may take to be gone; the kernel may be busy with a dead disk.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read at a time: a pipe's usual size.
const READ_BYTES: usize = 64 * 1024;

/// What to run.
#[derive(Debug)]
pub struct Order<'a> {
    /// Program and arguments. A program without a path is looked for in the `PATH` of `env`.
    pub argv: &'a [String],
    /// Working directory.
    pub cwd: &'a Path,
    /// The whole environment.
    pub env: &'a BTreeMap<String, String>,
    /// What it reads on its standard input.
    pub input: &'a [u8],
    /// User and group to run as; `None`: ours. Supplementary groups are given up with it.
    pub user: Option<(u32, u32)>,
    /// After this long it is killed.
    pub timeout: Duration,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// Its time was over and it was killed.
    TimedOut,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// The end of its output.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// A command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no program in it.
    #[error("the command is empty")]
    Empty,
    /// It could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was started and could not be followed; it was killed.
    #[error("cannot {doing} of {}", program.display())]
    Follow {
        /// What failed.
        doing: &'static str,
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Report {
    /// What went wrong, with the last line of output; `None` if it ended with code 0.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let how = match self.end {
            End::Code(0) => return None,
            End::Code(code) => format!("exit code {code}"),
            End::Signal(signal) => format!("killed by signal {signal}"),
            End::TimedOut => format!("not done after {} ms", self.took.as_millis()),
        };
        let last = self.output.trim_end().rsplit('\n').next().unwrap_or_default();
        Some(if last.is_empty() { how } else { format!("{how}; it said: {last}") })
    }
}

/// The environment of a command that the configuration names: where programs are, and what the
/// agent itself was told of home, language and time zone.
#[must_use]
pub fn base_env() -> BTreeMap<String, String> {
    let told = ["PATH", "HOME", "LANG", "TZ"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    env.extend(told);
    env
}

/// Runs a command to its end, or kills it when its time is over. Not idempotent.
///
/// # Errors
/// It could not be started or followed; how it ended is no error.
pub fn run(order: &Order<'_>) -> Result<Report, Error> {
    let started = Instant::now();
    let program = order.argv.first().filter(|name| !name.is_empty()).ok_or(Error::Empty)?;
    let failed = |source| Error::Start { program: program.into(), source };
    let (output, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args(order.argv.iter().skip(1))
        .current_dir(order.cwd)
        .env_clear()
        .envs(order.env)
        .stdin(input(order.input).map_err(failed)?)
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .process_group(0);
    if let Some((uid, gid)) = order.user {
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().map_err(failed)?;
    // The command holds the writing ends; without this the output would never end.
    drop(command);
    let mut tail = Tail { pipe: Some(output), kept: Vec::new() };
    let group = Pid::from_child(&child);
    let followed = follow(group, &mut tail, started + order.timeout);
    // Not reaped yet, so the group's id is still ours. Gone already: nothing is left to kill.
    kill_process_group(group, Signal::KILL).ok();
    let lost = |doing| move |source| Error::Follow { doing, program: program.into(), source };
    let status = reap(child_ended(group), &mut child).map_err(lost("take the exit status"))?;
    tail.take_rest();
    let ended = followed.map_err(lost("follow the output"))?;
    let end = match status {
        Some(status) if ended => end_of(status),
        _ => End::TimedOut,
    };
    let output = String::from_utf8_lossy(&tail.kept).into_owned();
    let report = Report { end, output, took: started.elapsed() };
    if status.is_none() {
        reap_later(child);
    }
    Ok(report)
}

/// Input in memory, so that a command which does not read it cannot block us.
fn input(bytes: &[u8]) -> io::Result<Stdio> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file =
        std::fs::File::from(rustix::fs::memfd_create("groundcrew-input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// Takes output until the command ends (true) or the deadline is there (false).
fn follow(pid: Pid, tail: &mut Tail, deadline: Instant) -> io::Result<bool> {
    let child = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (ended, output) = wait(&child, tail.pipe.as_ref(), left)?;
        if output {
            tail.take();
        }
        if ended {
            return Ok(true);
        }
        if left.is_zero() {
            return Ok(false);
        }
    }
}

/// Waits for the child's end or output, at most so long.
fn wait(child: &OwnedFd, pipe: Option<&PipeReader>, left: Duration) -> io::Result<(bool, bool)> {
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut fds = vec![PollFd::new(child, PollFlags::IN)];
    fds.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok((false, false)),
        Err(errno) => return Err(errno.into()),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok((ready.next() == Some(true), ready.next() == Some(true)))
}

/// Whether a killed child is gone, waiting for it a little.
fn child_ended(pid: Pid) -> bool {
    let Ok(child) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match wait(&child, None, left) {
            Ok((true, _)) | Err(_) => return true,
            Ok(_) if left.is_zero() => return false,
            Ok(_) => {}
        }
    }
}

fn reap(ended: bool, child: &mut Child) -> io::Result<Option<ExitStatus>> {
    if ended { child.wait().map(Some) } else { Ok(None) }
}

/// A process that the kernel does not let go of; whoever started it has to take its status.
fn reap_later(mut child: Child) {
    let name = "reap-command".to_owned();
    // Without a thread it stays a zombie until we end, no more.
    std::thread::Builder::new().name(name).spawn(move || child.wait()).ok();
}

/// The end of what was said.
struct Tail {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
}

impl Tail {
    /// Reads once; the pipe has something or has ended.
    fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = vec![0; READ_BYTES];
        match pipe.read(&mut buffer) {
            Ok(length) if length > 0 => {
                self.kept.extend(buffer.get(..length).unwrap_or_default());
                let excess = self.kept.len().saturating_sub(OUTPUT_MAX_BYTES);
                self.kept.drain(..excess);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// Reads what is there, at most what a pipe can hold: somebody outside the group may write on.
    fn take_rest(&mut self) {
        let mut taken = 0;
        while taken <= READ_BYTES {
            let Some(pipe) = &self.pipe else { return };
            let mut fds = [PollFd::new(pipe, PollFlags::IN)];
            if !matches!(poll(&mut fds, Some(&Timespec::default())), Ok(ready) if ready > 0) {
                return;
            }
            self.take();
            taken += READ_BYTES / 16;
        }
    }
}
