//! Processes as `/proc` shows them, and how to tell which of them belong to a run.
//!
//! A process id alone means nothing: it may have been given to somebody else. Ids are compared
//! together with the start time, within one boot, and a signal goes through a descriptor of the
//! process whose start time was read after it was opened.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{Error, KeeperRecord, RUN_ENV, RunRecord, cgroup};

/// A process that cannot be mistaken for another one of the same boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proc {
    /// Process id.
    pub pid: i32,
    /// Start time since boot, in clock ticks.
    pub start_ticks: u64,
}

/// What a line of `/proc/PID/stat` says, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) proc: Proc,
    pub(super) parent: i32,
    pub(super) session: i32,
    /// Ended, and only waiting to be reaped.
    pub(super) ended: bool,
}

/// The boot id, so that process ids of an earlier boot are never believed.
pub(super) fn boot_id() -> Result<String, Error> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(PATH).map_err(|source| Error::file("read", PATH, source))?;
    Ok(text.trim().to_owned())
}

/// One process; `None` if there is none with that id.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The calling process.
pub(super) fn this() -> Result<Proc, Error> {
    let pid = rustix::process::getpid().as_raw_pid();
    stat(pid)
        .map(|stat| stat.proc)
        .ok_or_else(|| Error::system("find this process in /proc", io::ErrorKind::NotFound))
}

/// The name stands in parentheses and may hold anything, so fields count from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (pid, rest) = text.split_once(' ')?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        proc: Proc { pid: pid.parse().ok()?, start_ticks: fields.get(19)?.parse().ok()? },
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ended: matches!(*fields.first()?, "Z" | "X"),
    })
}

/// All processes that have not ended.
fn all() -> Result<Vec<Stat>, Error> {
    let entries = fs::read_dir("/proc").map_err(|source| Error::file("list", "/proc", source))?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .filter(|stat| !stat.ended)
        .collect())
}

/// All living descendants of `root`, without itself.
pub(super) fn descendants(root: i32) -> Result<Vec<Proc>, Error> {
    let all = all()?;
    let mut known = HashSet::from([root]);
    Ok(grow(&all, &mut known, |_| false))
}

/// Adds children of `known` and what `belongs` until nothing is new; returns what was added.
fn grow(all: &[Stat], known: &mut HashSet<i32>, belongs: impl Fn(&Stat) -> bool) -> Vec<Proc> {
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for stat in all {
            let new = known.contains(&stat.parent) || belongs(stat);
            if new && known.insert(stat.proc.pid) {
                found.push(stat.proc);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// What is left of a run whose keeper is gone.
///
/// A process belongs to it if it is the recorded main process, carries the run's variable, is in the
/// run's control group or session, or descends from one that does. The session's id is that of the
/// keeper: it cannot be given to anybody else while a member lives, so members are foreign only if
/// the id was reused after all of ours ended, which shows in a living leader or an early start.
///
/// Not found without a control group: a process that left both session and environment behind and
/// whose parent is gone. While the keeper lives it is found even so, as its descendant.
pub(super) fn orphans(
    dir: &Path,
    keeper: &KeeperRecord,
    run: Option<&RunRecord>,
) -> Result<Vec<Proc>, Error> {
    if keeper.boot_id != boot_id()? {
        return Ok(Vec::new());
    }
    let all = all()?;
    let in_cgroup: HashSet<i32> =
        keeper.cgroup.as_deref().map(cgroup::members).unwrap_or_default().into_iter().collect();
    let leads = |stat: &&Stat| stat.proc.pid == keeper.keeper.pid && stat.proc != keeper.keeper;
    let session_is_foreign = all.iter().any(|stat| leads(&stat));
    let variable = format!("{RUN_ENV}={}", dir.display());
    // Somebody may ask from a shell that the app gave them.
    let this = this()?;
    let belongs = |stat: &Stat| {
        let proc = stat.proc;
        let in_session = stat.session == keeper.keeper.pid && !session_is_foreign;
        proc.start_ticks >= keeper.keeper.start_ticks
            && proc != keeper.keeper
            && proc != this
            && (in_session
                || in_cgroup.contains(&proc.pid)
                || run.is_some_and(|run| run.child == proc)
                || has_variable(proc.pid, variable.as_bytes()))
    };
    Ok(grow(&all, &mut HashSet::new(), belongs))
}

/// Whether a process was started with `variable` in its environment.
fn has_variable(pid: i32, variable: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == variable))
}

/// Sends a signal to exactly this process; false if it has ended.
pub(super) fn signal(proc: Proc, signal: Signal) -> Result<bool, Error> {
    let Some(pid) = Pid::from_raw(proc.pid) else {
        return Ok(false);
    };
    let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| {
        if stat(proc.pid).is_some_and(|stat| stat.proc == proc) {
            pidfd_send_signal(fd, signal)
        } else {
            Err(Errno::SRCH)
        }
    });
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(errno) => Err(Error::system("signal a process of the run", errno)),
    }
}

/// Waits until exactly this process has ended, at most so long; whether it has.
pub(super) fn wait_for_end(proc: Proc, at_most: Duration) -> Result<bool, Error> {
    let failed = |errno| Error::system("wait for a process of the run", errno);
    let Some(pid) = Pid::from_raw(proc.pid) else {
        return Ok(true);
    };
    let fd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(Errno::SRCH) => return Ok(true),
        Err(errno) => return Err(failed(errno)),
    };
    if stat(proc.pid).is_none_or(|stat| stat.proc != proc) {
        return Ok(true);
    }
    let started = Instant::now();
    loop {
        let left = at_most.saturating_sub(started.elapsed());
        let timeout = Timespec::try_from(left).map_err(|_| failed(Errno::INVAL))?;
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_forge_its_status() {
        let line = "42 (a) S 1 (b) R 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2";
        let expected = Stat {
            proc: Proc { pid: 42, start_ticks: 123_456 },
            parent: 7,
            session: 9,
            ended: false,
        };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("42 (sh) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_found_and_a_reused_id_is_not_signaled() {
        let this = this().unwrap();
        assert_eq!(stat(this.pid).unwrap().proc, this);
        let earlier = Proc { start_ticks: this.start_ticks - 1, ..this };
        assert!(!signal(earlier, Signal::KILL).unwrap(), "we live");
    }
}
