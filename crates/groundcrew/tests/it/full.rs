//! File systems that are full, in every step of an update: the app is untouched or brought back
//! with its data, people are told, nothing is left, and with room again everything goes on.
//!
//! State and data lie on small file systems of their own. The steps that run somebody else's
//! commands (hooks, migration, start, health) fill one of them from inside the update.

use std::path::PathBuf;
use std::process::Command;

use groundcrew_rig::host::{Host, Places};
use groundcrew_rig::ledger::{CALM_NOTES, Ledger, NAME};
use groundcrew_rig::subject::{Candidate, Subject as _, point};
use groundcrew_rig::{files, procs};
use serde_json::Value;

/// Enough for the state with its ballast, or for the data with its copies.
const SIZE: &str = "size=160m";

/// Scripts that the demo app's releases run from inside their steps.
const ON_START: &str = "small-data/srv/on-start";
const ON_MIGRATE: &str = "small-data/srv/on-migrate";

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
enum Which {
    State,
    Data,
}

/// A host on small file systems, with its agent. Dropped from the top: who uses it ends first.
struct Small {
    host: Host,
    ledger: Ledger,
    _mounts: [Mount; 2],
    dir: tempfile::TempDir,
}

impl Small {
    /// With release 1.0.0 proven, some rows, and this added to the configuration.
    fn new(tables: &str) -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn offer(&self, version: &str) {
        self.ledger.offer(self.host.places(), version, CALM_NOTES).unwrap();
    }

    /// The script that a step runs: fills the file system once, and says when.
    fn arm(&self, which: Which) {
        let filler = self.filler(which);
        let (filler, done) = (filler.display(), self.path("filled"));
        let text = format!(
            "[ -e {1} ] || {{ cat /dev/zero > {0} 2>{1}.why; : > {1}; }}\n",
            filler,
            done.display()
        );
        self.host.write("fill", &text).unwrap();
    }

    fn filler(&self, which: Which) -> PathBuf {
        match which {
            Which::State => self.path("small-state/filler"),
            Which::Data => self.path("small-data/filler"),
        }
    }

    fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("told")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn is_told(&self, severity: &str, title: &str) -> bool {
        let is = |one: &Value| {
            one["severity"] == severity
                && one["title"].as_str().is_some_and(|said| said.starts_with(title))
        };
        self.told().iter().any(is)
    }

    /// The step's script does what `fill` says, while there is one.
    fn script(&self, name: &str) {
        let fill = self.path("fill");
        self.host.write(name, &format!("[ ! -e {0} ] || . {0}\n", fill.display())).unwrap();
    }

    /// Offers a good release without a migration under a version of its own.
    fn offer_as(&self, version: &str) {
        let candidate =
            Candidate { version: version.to_owned(), plays: "1.1.1".to_owned(), good: true };
        let digest = self.ledger.publish(self.host.places(), &candidate).unwrap();
        point(self.host.places(), NAME, version, &digest).unwrap();
    }

    /// The update under `strace`, which is let go as soon as the command has ended: it would follow
    /// the app as well.
    fn update_with_failing_sync(&self, failing: u32) -> String {
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
        let pid = rustix::process::Pid::from_child(&strace);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        strace.wait().unwrap();
        let calls = std::fs::read_to_string(calls).unwrap();
        assert!(calls.contains("EIO"), "sync {failing} did not fail: {calls}");
        std::fs::read_to_string(said).unwrap()
    }

    fn until(&self, what: &str, is: impl FnMut() -> bool) {
        if let Err(error) = self.host.until(what, is) {
            let tree = files::listing(self.dir.path());
            panic!("{error:#}\n{tree}\n{:#?}", self.told());
        }
    }

    /// Serves one of these with exactly its data.
    fn serves(&self, versions: &[&str]) -> bool {
        let version = self.ledger.version();
        version.is_some_and(|version| versions.contains(&version.as_str()))
            && self.ledger.rows() == Some((1..=40).collect())
    }

    fn make_room(&self, which: Which) {
        for path in [self.path("fill"), self.path(ON_START), self.path(ON_MIGRATE)] {
            std::fs::remove_file(path).ok();
        }
        std::fs::remove_file(self.filler(which)).ok();
    }

    /// With room again the next release is proven without anybody's help, and nothing is left.
    fn goes_on(&mut self, which: Which) {
        self.make_room(which);
        self.offer("1.1.1");
        self.until("1.1.1 is proven by itself", || {
            let view = self.host.view(NAME).unwrap_or_default();
            view.pointer("/last_good/version") == Some(&"1.1.1".into())
                && view.get("state") == Some(&"idle".into())
        });
        assert!(self.serves(&["1.1.1"]));
        self.until("people are told", || self.is_told("info", "ledger: 1.1.1 is proven"));
        self.leaves_nothing();
    }

    fn leaves_nothing(&mut self) {
        let left = || {
            let all = procs::of(self.dir.path()).unwrap();
            let mut left = files::problems(self.host.places(), &self.ledger);
            left.extend(procs::problems(&all, &self.ledger, self.host.agent_pid()));
            left
        };
        self.until("nothing is left", || left().is_empty());
    }
}

/// Runs the update to 1.1.0 with a step that fills, and everything after.
fn check(tables: &str, scripts: &[&str], which: Which) {
    let mut small = fill_in_a_step(tables, scripts, which, "1.1.0");
    small.until("the app serves", || small.serves(&["1.0.0", "1.1.0"]));
    small.goes_on(which);
}

fn fill_in_a_step(tables: &str, scripts: &[&str], which: Which, offered: &str) -> Small {
    let mut small = Small::new(tables);
    scripts.iter().for_each(|name| small.script(name));
    small.arm(which);
    small.offer(offered);
    small.host.start_agent().unwrap();
    small.until("the step has filled it", || small.path("filled").exists());
    small
}

fn hook(key: &str) -> String {
    let run = "[\"sh\", \"-c\", \"[ ! -e ROOT/fill ] || . ROOT/fill\"]";
    match key {
        "before" => format!("[apps.ledger.stop]\nbefore = {run}\n"),
        _ => format!("[apps.ledger.traffic]\nopen = {run}\nclose = [\"true\"]\n"),
    }
}

#[test]
fn state_full_before_the_stop() {
    check(&hook("before"), &[], Which::State);
}

#[test]
fn data_full_before_the_stop() {
    check(&hook("before"), &[], Which::Data);
}

/// The journal cannot be written while the app is down: the ballast is given, nothing more is taken
/// forward without a record, and the way back needs none.
#[test]
fn state_full_in_the_migration() {
    check("", &[ON_MIGRATE], Which::State);
}

#[test]
fn state_full_at_the_start() {
    check("", &[ON_START], Which::State);
}

#[test]
fn data_full_at_the_start() {
    check("", &[ON_START], Which::Data);
}

#[test]
fn state_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::State);
}

#[test]
fn data_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::Data);
}

/// No room for the migration, and none for the restore: the app is down, a person is paged, and the
/// way back is walked to its end as soon as there is room, without the person.
#[test]
fn data_full_in_the_migration_is_taken_back_as_soon_as_there_is_room() {
    let mut small = fill_in_a_step("", &[ON_MIGRATE], Which::Data, "1.1.0");
    small.until("a person is paged", || small.is_told("page", "ledger: stuck"));
    let pages = || small.told().iter().filter(|one| one["severity"] == "page").count();
    assert_eq!(pages(), 1, "{:#?}", small.told());
    small.make_room(Which::Data);
    small.until("1.0.0 serves its data", || small.serves(&["1.0.0"]));
    assert_eq!(pages(), 1, "one cause is one page: {:#?}", small.told());
    small.goes_on(Which::Data);
}

/// Nothing is begun where the room is known to be missing, and it is when there is room again.
#[test]
fn a_full_disk_defers_the_update_and_the_app_is_not_touched() {
    for which in [Which::State, Which::Data] {
        let mut small = Small::new("");
        small.host.start_agent().unwrap();
        small.arm(which);
        let fill = Command::new("sh").arg(small.path("fill")).status().unwrap();
        assert!(fill.success() && small.path("filled").exists());
        small.offer("1.1.0");
        small.until("the lack of room is shown", || {
            let view = small.host.view(NAME).unwrap_or_default();
            let shown = [view.get("gates"), view.get("trouble")].map(|part| format!("{part:?}"));
            shown.iter().any(|text| text.contains("needed") || text.contains("full"))
        });
        assert!(small.serves(&["1.0.0"]));
        small.goes_on(which);
    }
}

#[test]
fn an_agent_on_a_read_only_state_says_so_and_the_app_runs_on_until_it_is_writable() {
    let mut small = Small::new("");
    // A mount over it that is read-only from its birth: a keeper has files open for writing.
    let at = small.path("small-state").display().to_string();
    let mount = |args: &[&str]| {
        assert!(Command::new("mount").args(args).arg(&at).status().unwrap().success(), "{args:?}");
    };
    mount(&["--bind", &at]);
    mount(&["-o", "remount,bind,ro"]);
    small.offer("1.1.0");
    for command in [&["agent"][..], &["once"], &["update", NAME]] {
        let ran = small.host.run(command).unwrap().ends(1);
        assert!(ran.err.contains("Read-only file system"), "{ran:?}");
    }
    assert!(small.serves(&["1.0.0"]));
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    small.host.start_agent().unwrap();
    small.goes_on(Which::State);
}

/// The n-th sync of every thread fails once, the way a dying disk makes it.
#[test]
fn a_sync_that_fails_in_an_update_leaves_old_with_old_or_new_with_new() {
    let mut small = Small::new("");
    for (version, failing) in (1..).zip([1, 2, 3, 5, 7]) {
        small.offer_as(&format!("1.1.{version}"));
        let said = small.update_with_failing_sync(failing);
        let plain = small.host.run(&["once"]).unwrap();
        small.until(&format!("it serves after sync {failing}: {said}{plain:?}"), || {
            small.ledger.version().is_some() && small.ledger.rows() == Some((1..=40).collect())
        });
    }
    small.offer_as("1.1.99");
    small.host.start_agent().unwrap();
    small.until("on a healthy disk it goes on", || {
        small.host.view(NAME).unwrap_or_default().pointer("/last_good/version")
            == Some(&"1.1.99".into())
    });
    small.leaves_nothing();
}
