//! Who of a host's processes is there, from `/proc`: by what their command line, environment or
//! working directory say, because parents die and names lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::subject::Subject;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its command line.
    pub words: Vec<String>,
}

/// Every process that has to do with a directory, but for this one and for what has ended.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn of(root: &Path) -> Result<Vec<Process>> {
    let own = rustix::process::getpid().as_raw_pid();
    let root = root.to_string_lossy();
    let list = fs::read_dir("/proc").context("cannot list /proc")?;
    let pids = list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let others = pids.filter(|pid| *pid != own);
    Ok(others.filter_map(|pid: i32| look(pid, &root)).collect())
}

/// `None`: it has nothing to do with the directory, or has ended.
fn look(pid: i32, root: &str) -> Option<Process> {
    let read = |what: &str| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let command_line = read("cmdline");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let mentions = text(&command_line).contains(root)
        || text(&read("environ")).contains(root)
        || cwd.to_string_lossy().starts_with(root);
    if command_line.is_empty() || !mentions {
        return None;
    }
    let stat = text(&read("stat"));
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let words = command_line.split(|byte| *byte == 0).map(text);
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    (state != "Z").then_some(Process { pid, parent, words })
}

/// What is wrong with who is there: exactly one copy of the app under one keeper, beside at most
/// the agent with the probes that it is asking, and those who ask the app for us.
#[must_use]
pub fn problems(all: &[Process], subject: &dyn Subject, agent: Option<u32>) -> Vec<String> {
    let agent = agent.and_then(|pid| i32::try_from(pid).ok());
    let keepers: Vec<&Process> = all.iter().filter(|one| is_keeper(one)).collect();
    let mains = all.iter().filter(|one| subject.is_main(&one.words)).count();
    let mut problems = Vec::new();
    if mains != 1 {
        problems.push(format!("{mains} copies of the app run instead of one"));
    }
    if keepers.len() != 1 {
        problems.push(format!("{} keepers run instead of one", keepers.len()));
    }
    let parents: BTreeMap<i32, i32> = all.iter().map(|one| (one.pid, one.parent)).collect();
    let keepers: BTreeSet<i32> = keepers.iter().map(|keeper| keeper.pid).collect();
    let is_kept = |pid: i32| {
        let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
        line.take(parents.len() + 1).any(|pid| keepers.contains(&pid) || Some(pid) == agent)
    };
    let strays = all.iter().filter(|one| !is_kept(one.pid) && !subject.is_client(&one.words));
    problems
        .extend(strays.map(|stray| format!("process {} was left: {:?}", stray.pid, stray.words)));
    problems
}

fn is_keeper(process: &Process) -> bool {
    process.words.get(1).is_some_and(|word| word == "keep")
}

/// Signals all of these; one that is gone is as good.
pub fn signal(all: &[Process], signal: Signal) {
    for pid in all.iter().filter_map(|one| Pid::from_raw(one.pid)) {
        kill_process(pid, signal).ok();
    }
}

/// Whether none of these runs any more after SIGSTOP. Of a process with several threads one takes the
/// signal, when it gets a processor, and only then the others stop; one that waits for a disk stops
/// when that answers, without another step of its own.
#[must_use]
pub fn are_stopped(all: &[Process]) -> bool {
    all.iter().all(|one| {
        let states = thread_states(one.pid);
        let is_one = |of: &'static str| move |state: &char| of.contains(*state);
        // No thread: it is gone.
        let told = states.len() <= 1 || states.iter().any(is_one("TtZX"));
        told && states.iter().all(is_one("TtZXD"))
    })
}

fn thread_states(pid: i32) -> Vec<char> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let state = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    };
    tasks.filter_map(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, line: &str) -> Process {
        Process { pid, parent, words: line.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn a_process_is_stopped_when_all_of_its_threads_are() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let all = [process(i32::try_from(child.id()).unwrap(), 1, "sleep 60")];
        assert!(!are_stopped(&all));
        signal(&all, Signal::STOP);
        assert!(crate::host::reached(crate::host::DEADLINE, || are_stopped(&all)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(are_stopped(&all), "it is gone");
        assert!(!are_stopped(&[process(std::process::id().cast_signed(), 1, "this")]));
    }

    #[test]
    fn one_copy_under_one_keeper_is_right_and_everything_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = crate::ledger::Ledger::new("/gc".as_ref(), dir.path().into()).unwrap();
        let app = format!("/gc demo-app --data {} --port 7", dir.path().display());
        let right = vec![
            process(5, 1, "/gc agent"),
            process(6, 1, "/gc keep /r"),
            process(7, 6, &app),
            process(9, 5, "sh probe"),
        ];
        assert_eq!(problems(&right, &ledger, Some(5)), Vec::<String>::new());
        let table = [
            (process(8, 1, "sh hook"), "process 8 was left"),
            (process(8, 6, &app), "2 copies of the app"),
            (process(8, 1, "/gc keep /r2"), "2 keepers"),
        ];
        for (more, wanted) in table {
            let all = [right.clone(), vec![more]].concat();
            let found = problems(&all, &ledger, Some(5));
            assert!(found.len() == 1 && found[0].contains(wanted), "{found:?}");
        }
        assert_eq!(problems(&right, &ledger, None).len(), 2, "an agent that nobody started");
        assert_eq!(problems(&[], &ledger, None).len(), 2);
    }
}
