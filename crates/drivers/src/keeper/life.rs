//! What a keeper does while its app lives: takes its output, reaps, and ends it when asked.
//!
//! One thread, one loop, woken by pipes and by the next deadline. The loop is over when the kernel
//! says that there is no child left: as every descendant that loses its parent becomes ours, that
//! means that no descendant is left either.
//!
//! When the main process ends, whatever is left of it is asked to end, and killed after a grace.
//! After a stop request everything is killed once the request's grace is over.

use std::io::{self, PipeReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::cgroup::Leaf;
use super::keep::{Signals, Started};
use super::log::Log;
use super::record::{self, SCHEMA, wall_ms};
use super::spec::KeepSpec;
use super::{Error, ExitRecord, Outcome, Proc, client::StopRequest, procs};

/// How often to kill again while something new appears.
const KILL_TICK: Duration = Duration::from_millis(20);

/// Longest grace that is counted, so that a deadline is always representable.
const MAX_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes read from the app's output at a time: a pipe's usual size.
const READ_BYTES: usize = 64 * 1024;

/// Most bytes still taken from the pipes when nobody of the app is left to write.
const MAX_REST_BYTES: usize = 4 * 1024 * 1024;

/// A run from its start to its end.
#[derive(Debug)]
pub(super) struct Life {
    dir: PathBuf,
    spec: KeepSpec,
    signals: Signals,
    cgroup: Option<Leaf>,
    main: Pid,
    output: Vec<PipeReader>,
    log: Log,
    /// How and when the main process ended.
    ended: Option<(Outcome, u64)>,
    /// Why the start counts as failed although the app ran.
    failed: Option<String>,
    stop_requested: bool,
    /// When everything that is left is killed.
    kill_at: Option<Instant>,
    strays: usize,
    killed: bool,
}

impl Life {
    pub(super) fn new(
        dir: &Path,
        spec: &KeepSpec,
        signals: Signals,
        cgroup: Option<Leaf>,
        started: Started,
    ) -> Self {
        Self {
            dir: dir.into(),
            spec: spec.clone(),
            signals,
            cgroup,
            main: started.pid,
            output: started.output,
            log: Log::new(dir, spec.log),
            ended: None,
            failed: None,
            stop_requested: false,
            kill_at: spec
                .limit_ms
                .map(|ms| Instant::now() + Duration::from_millis(ms).min(MAX_GRACE)),
            strays: 0,
            killed: false,
        }
    }

    /// Ends the app at once, because its start could not be completed.
    pub(super) fn give_up(&mut self, why: String) {
        self.failed = Some(why);
        self.kill_at = Some(Instant::now());
    }

    /// Returns when nothing of the app is left, with how it went.
    pub(super) fn live(mut self) -> Result<ExitRecord, Error> {
        loop {
            if self.reap()? {
                break;
            }
            let timeout = self.press(Instant::now());
            self.wait(timeout)?;
        }
        self.take_rest()?;
        let oom = self.cgroup.as_ref().and_then(Leaf::oom);
        if let Some(leaf) = self.cgroup.take() {
            leaf.remove();
        }
        let unknown = || (not_started("it was never seen to end".to_owned()), wall_ms());
        let (mut outcome, at_ms) = self.ended.take().unwrap_or_else(unknown);
        if let Some(why) = self.failed.take() {
            outcome = not_started(why);
        }
        let killed_by_other = outcome == Outcome::Signaled { signal: Signal::KILL.as_raw() };
        Ok(ExitRecord {
            schema: SCHEMA,
            app: self.spec.app,
            txn: self.spec.txn,
            attempt: self.spec.attempt,
            outcome,
            at_ms,
            stop_requested: self.stop_requested,
            clean: self.stop_requested && !self.killed && !killed_by_other,
            strays: self.strays,
            killed: self.killed,
            oom,
            log_lost_bytes: self.log.lost_bytes(),
        })
    }

    /// Takes the status of everything that ended; true if no child is left.
    fn reap(&mut self) -> Result<bool, Error> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(None) => return Ok(false),
                Ok(Some((pid, status))) if pid == self.main => {
                    let outcome = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Outcome::Exited { code },
                        (None, Some(signal)) => Outcome::Signaled { signal },
                        (None, None) => continue,
                    };
                    self.ended = Some((outcome, wall_ms()));
                    self.dismiss_strays();
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Err(Errno::CHILD) => return Ok(true),
                Err(errno) => return Err(Error::system("wait for the app", errno)),
            }
        }
    }

    /// Asks what outlived the main process to end, and sets its deadline.
    fn dismiss_strays(&mut self) {
        let left = descendants();
        self.strays = left.len();
        signal_all(&left, Signal::TERM);
        self.kill_within(Duration::from_millis(self.spec.stray_grace_ms));
    }

    /// Brings the deadline forward to `grace` from now; it never moves back.
    fn kill_within(&mut self, grace: Duration) {
        let at = Instant::now() + grace.min(MAX_GRACE);
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Kills what is left if it is time, and says how long there is nothing to do.
    fn press(&mut self, now: Instant) -> Option<Duration> {
        let kill_at = self.kill_at?;
        if now < kill_at {
            return Some(kill_at - now);
        }
        self.killed |= signal_all(&descendants(), Signal::KILL);
        if let Some(leaf) = &self.cgroup {
            leaf.kill();
        }
        Some(KILL_TICK)
    }

    /// Waits for output, a signal or the timeout.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let timeout = timeout
            .map(Timespec::try_from)
            .transpose()
            .map_err(|error| Error::system("count the time", io::Error::other(error)))?;
        let mut fds = vec![
            PollFd::new(&self.signals.stop, PollFlags::IN),
            PollFd::new(&self.signals.child, PollFlags::IN),
        ];
        fds.extend(self.output.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("wait for the app", errno)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let (signals, output) = ready.split_at(2);
        if drained(&mut self.signals.stop) {
            self.stop();
        }
        if signals.last() == Some(&true) {
            drained(&mut self.signals.child);
        }
        self.take_output(output);
        Ok(())
    }

    /// Passes a stop request on to the app.
    fn stop(&mut self) {
        // A request that cannot be read is still a request.
        let asked = record::read::<StopRequest>(&self.dir.join(super::STOP_FILE)).ok().flatten();
        let stop = asked.map_or(self.spec.stop, |asked| asked.stop);
        // A request after the end changes nothing, except that what is left may have less time.
        self.stop_requested |= self.ended.is_none();
        self.kill_within(Duration::from_millis(stop.grace_ms));
        if self.ended.is_none() {
            // Not reaped yet, so both ids are still ours.
            // Whatever cannot be signaled now is killed when the grace is over.
            kill_process_group(self.main, stop.signal.signal())
                .or_else(|_| kill_process(self.main, stop.signal.signal()))
                .ok();
        }
    }

    /// Reads once from each pipe that is ready, and closes those that have ended.
    fn take_output(&mut self, ready: &[bool]) -> usize {
        let mut taken = 0;
        let mut buffer = vec![0; READ_BYTES];
        let mut ready = ready.iter();
        let log = &mut self.log;
        self.output.retain_mut(|pipe| {
            if ready.next() != Some(&true) {
                return true;
            }
            match pipe.read(&mut buffer) {
                Ok(0) => false,
                Ok(length) => {
                    log.write(buffer.get(..length).unwrap_or_default());
                    taken += length;
                    true
                }
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            }
        });
        taken
    }

    /// Takes what is still in the pipes, without waiting: somebody else may hold a writing end.
    fn take_rest(&mut self) -> Result<(), Error> {
        let mut taken = 0;
        while taken < MAX_REST_BYTES && !self.output.is_empty() {
            let mut fds: Vec<PollFd<'_>> =
                self.output.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
            match poll(&mut fds, Some(&Timespec::default())) {
                Ok(0) => break,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::system("read the app's output", errno)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            taken += self.take_output(&ready);
        }
        Ok(())
    }
}

/// Nothing that is found out here is the program's fault.
fn not_started(why: String) -> Outcome {
    Outcome::NotStarted { why, by_program: false }
}

/// Everything below us. If the list cannot be read it is asked for again at the next tick; the loop
/// is over only when the kernel knows no child.
fn descendants() -> Vec<Proc> {
    procs::descendants(rustix::process::getpid().as_raw_pid()).unwrap_or_default()
}

/// Whether any of them was reached. A keeper must not fall over one that it may not signal.
fn signal_all(procs: &[Proc], signal: Signal) -> bool {
    procs.iter().filter(|proc| matches!(procs::signal(**proc, signal), Ok(true))).count() > 0
}

/// Empties a signal's socket; whether there was anything in it.
fn drained(socket: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    while matches!(socket.read(&mut buffer), Ok(length) if length > 0) {
        any = true;
    }
    any
}
