//! A host whose state and data lie on small file systems of their own.

use std::path::PathBuf;
use std::process::Command;

use groundcrew_rig::hold::{hold, release};
use groundcrew_rig::host::{Host, Places};
use groundcrew_rig::journal::{Journal, Line};
use groundcrew_rig::ledger::{CALM_NOTES, Ledger, NAME};
use groundcrew_rig::subject::{Candidate, Subject as _, point};
use groundcrew_rig::{files, procs};
use rustix::process::Pid;
use serde_json::Value;

/// Enough for the state with its ballast, or for the data with its copies.
const SIZE: &str = "size=160m";

/// How many releases are offered until one is seen in a step.
const TRIES: u32 = 10;

/// The release that comes when there is room again.
const NEXT: &str = "1.1.90";

/// Scripts that the demo app's releases run from inside their steps.
pub(super) const ON_START: &str = "small-data/srv/on-start";
pub(super) const ON_MIGRATE: &str = "small-data/srv/on-migrate";

/// A tmpfs that is unmounted with the test.
struct Mount(PathBuf);

impl Mount {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&path).status().unwrap();
        assert!(status.success(), "a tmpfs is mounted by root only");
        Self(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

/// Which file system is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    State,
    Data,
}

/// A host on small file systems, with its agent. Dropped from the top: who uses it ends first.
pub(super) struct Small {
    pub(super) host: Host,
    pub(super) ledger: Ledger,
    _mounts: [Mount; 2],
    dir: tempfile::TempDir,
}

impl Small {
    /// With release 1.0.0 proven, some rows, and this added to the configuration.
    pub(super) fn new(tables: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            root: dir.path().to_owned(),
            state: dir.path().join("small-state/state"),
            data: dir.path().join("small-data/srv"),
        };
        let mounts = ["small-state", "small-data"].map(|name| Mount::at(dir.path().join(name)));
        let host = Host::new(env!("CARGO_BIN_EXE_groundcrew").as_ref(), places).unwrap();
        let ledger = Ledger::new(host.program(), host.places().data.join("data")).unwrap();
        let small = Self { host, ledger, _mounts: mounts, dir };
        let told = small.path("told");
        let tell = format!("#!/bin/sh\ncat >> {}; echo >> {0}\n", told.display());
        small.host.write("tell", &tell).unwrap();
        let notify = format!(
            "[notify.ops]\nkind = \"command\"\ncommand = [\"sh\", \"{}\"]\n",
            small.path("tell").display()
        );
        let app = small.ledger.tables(small.host.places());
        let root = small.dir.path().display().to_string();
        small.host.configure(&format!("{app}{}{notify}", tables.replace("ROOT", &root))).unwrap();
        small.offer("1.0.0");
        small.host.run(&["update", NAME, "--wait", "proven"]).unwrap().ends(0);
        assert!((1..=40).all(|row| small.ledger.write(row).is_some()));
        small
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn offer(&self, version: &str) {
        self.ledger.offer(self.host.places(), version, CALM_NOTES).unwrap();
    }

    /// The script that a step runs: fills the file system once, and says when.
    pub(super) fn arm(&self, which: Which) {
        let filler = self.filler(which);
        let (filler, done) = (filler.display(), self.path("filled"));
        let text = format!(
            "[ -e {1} ] || {{ cat /dev/zero > {0} 2>{1}.why; : > {1}; }}\n",
            filler,
            done.display()
        );
        self.host.write("fill", &text).unwrap();
    }

    /// Fills the file system now.
    pub(super) fn fill(&self, which: Which) {
        self.arm(which);
        let fill = Command::new("sh").arg(self.path("fill")).status().unwrap();
        assert!(fill.success() && self.path("filled").exists());
    }

    /// Offers releases that play this one until the agent was held still at this event of an update,
    /// and fills the file system then; the version that it happened to.
    pub(super) fn fill_at(&self, plays: &str, event: &str, which: Which) -> String {
        for version in 1..=TRIES {
            let version = format!("1.1.{version}");
            let since = self.last_event();
            self.offer_as(&version, plays);
            let agent = self.agent();
            if hold(agent, &self.host.places().state, since, &[event]).unwrap() {
                self.fill(which);
                release(agent).unwrap();
                return version;
            }
            self.until("the update is over", || {
                self.host.view(NAME).unwrap_or_default().get("update") == Some(&Value::Null)
            });
        }
        panic!("{event} was over before it was seen, {TRIES} times")
    }

    pub(super) fn agent(&self) -> Pid {
        Pid::from_raw(self.host.agent_pid().unwrap().try_into().unwrap()).unwrap()
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.host.places().state).unwrap().unwrap()
    }

    pub(super) fn last_event(&self) -> i64 {
        self.journal().last().unwrap()
    }

    pub(super) fn events_after(&self, since: i64) -> Vec<Line> {
        self.journal().after(since).unwrap()
    }

    pub(super) fn filler(&self, which: Which) -> PathBuf {
        match which {
            Which::State => self.path("small-state/filler"),
            Which::Data => self.path("small-data/filler"),
        }
    }

    pub(super) fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("told")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(super) fn is_told(&self, severity: &str, title: &str) -> bool {
        self.is_told_why(severity, title, "")
    }

    pub(super) fn is_told_why(&self, severity: &str, title: &str, reason: &str) -> bool {
        let says = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let is = |one: &Value| {
            one["severity"] == severity
                && says(one, "title").starts_with(title)
                && says(one, "body").contains(reason)
        };
        self.told().iter().any(is)
    }

    /// The step's script does what `fill` says, while there is one.
    pub(super) fn script(&self, name: &str) {
        let fill = self.path("fill");
        self.host.write(name, &format!("[ ! -e {0} ] || . {0}\n", fill.display())).unwrap();
    }

    /// Offers what another release is under a version of its own.
    pub(super) fn offer_as(&self, version: &str, plays: &str) {
        let candidate =
            Candidate { version: version.to_owned(), plays: plays.to_owned(), good: true };
        let digest = self.ledger.publish(self.host.places(), &candidate).unwrap();
        point(self.host.places(), NAME, version, &digest).unwrap();
    }

    /// The update under `strace`, which is let go as soon as the command has ended: it would follow
    /// the app as well.
    pub(super) fn update_with_failing_sync(&self, failing: u32) -> String {
        let (done, said, calls) = (self.path("done"), self.path("said"), self.path("calls"));
        std::fs::remove_file(&done).ok();
        let inject = format!("inject=fsync,fdatasync,syncfs:error=EIO:when={failing}");
        let run = format!(
            "{} update {NAME} > {} 2>&1; : > {}",
            self.host.program().display(),
            said.display(),
            done.display()
        );
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "signal=none", "-e", &inject]);
        strace.args(["-e", "trace=fsync,fdatasync,syncfs", "-o"]).arg(&calls);
        strace.args(["sh", "-c", &run]);
        strace.env("GROUNDCREW_CONFIG", self.host.places().config());
        strace.env("GROUNDCREW_STATE", &self.host.places().state);
        let mut strace = strace.spawn().unwrap();
        self.until("the command has ended", || done.exists());
        let pid = Pid::from_child(&strace);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        strace.wait().unwrap();
        let calls = std::fs::read_to_string(calls).unwrap();
        assert!(calls.contains("EIO"), "sync {failing} did not fail: {calls}");
        std::fs::read_to_string(said).unwrap()
    }

    pub(super) fn until(&self, what: &str, is: impl FnMut() -> bool) {
        if let Err(error) = self.host.until(what, is) {
            let tree = files::listing(self.dir.path());
            panic!("{error:#}\n{tree}\n{:#?}", self.told());
        }
    }

    /// Serves one of these with exactly its data.
    pub(super) fn serves(&self, versions: &[&str]) -> bool {
        let version = self.ledger.version();
        version.is_some_and(|version| versions.contains(&version.as_str()))
            && self.ledger.rows() == Some((1..=40).collect())
    }

    pub(super) fn make_room(&self, which: Which) {
        for path in [self.path("fill"), self.path(ON_START), self.path(ON_MIGRATE)] {
            std::fs::remove_file(path).ok();
        }
        std::fs::remove_file(self.filler(which)).ok();
    }

    /// With room again the next release is proven without anybody's help, and nothing is left.
    pub(super) fn goes_on(&mut self, which: Which) {
        self.make_room(which);
        self.offer_as(NEXT, "1.1.1");
        self.until("the next one is proven by itself", || {
            let view = self.host.view(NAME).unwrap_or_default();
            view.pointer("/last_good/version") == Some(&NEXT.into())
                && view.get("state") == Some(&"idle".into())
        });
        assert!(self.serves(&[NEXT]));
        let title = format!("ledger: {NEXT} is proven");
        self.until("people are told", || self.is_told("info", &title));
        self.leaves_nothing();
    }

    pub(super) fn leaves_nothing(&mut self) {
        let left = || {
            let all = procs::of(self.dir.path()).unwrap();
            let mut left = files::problems(self.host.places(), &self.ledger);
            left.extend(procs::problems(&all, &self.ledger, self.host.agent_pid()));
            left
        };
        self.until("nothing is left", || left().is_empty());
    }
}

/// The agent's writes to its journal fail with "no space left on device" until this is dropped.
pub(super) struct Refused(std::process::Child);

impl Refused {
    pub(super) fn new(small: &Small) -> Self {
        let agent = small.host.agent_pid().unwrap();
        let journal = small.host.places().state.join("journal.db");
        let log = journal.with_extension("db-wal");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=pwrite64"]);
        strace.args(["-e", "inject=pwrite64:error=ENOSPC", "-P"]).arg(journal).arg("-P").arg(log);
        strace.arg("-o").arg(small.path("calls")).args(["-p", &agent.to_string()]);
        let refused = Self(strace.spawn().expect("apt-get install strace"));
        let is_traced = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        small.until("all of the agent is traced", || {
            let tasks = std::fs::read_dir(format!("/proc/{agent}/task")).unwrap();
            tasks.flatten().all(is_traced)
        });
        refused
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}
