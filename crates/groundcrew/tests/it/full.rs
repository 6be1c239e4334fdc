//! File systems that are full, in every step of an update: the app is untouched or brought back
//! with its data, people are told, nothing is left, and with room again everything goes on.
//!
//! State and data lie on small file systems of their own. The steps that run somebody else's
//! commands (hooks, migration, start, health) fill one of them from inside the update.

use std::path::{Path, PathBuf};
use std::process::Command;

use groundcrew_rig::host::{Host, Places};
use groundcrew_rig::ledger::{CALM_NOTES, Ledger, NAME};
use groundcrew_rig::subject::Subject as _;
use groundcrew_rig::{files, procs};
use serde_json::Value;

/// Enough for the state with its ballast, or for the data with its copies.
const SIZE: &str = "size=160m";

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
        let root = dir_of(&small);
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
        let at = match which {
            Which::State => "small-state",
            Which::Data => "small-data",
        };
        let filler = self.filler(which);
        let (filler, done) = (filler.display(), self.path("filled"));
        let text = format!(
            "[ -e {1} ] || {{ cat /dev/zero > {0} 2>{1}.why; : > {1}; }}\n",
            filler,
            done.display()
        );
        self.host.write("fill", &text).unwrap();
        assert!(self.path(at).exists());
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

    /// With room again the next release is proven without anybody's help, and nothing is left.
    fn goes_on(&self, which: Which) {
        for name in ["fill", "small-data/srv/on-start", "small-data/srv/on-migrate"] {
            std::fs::remove_file(self.path(name)).ok();
        }
        std::fs::remove_file(self.filler(which)).unwrap();
        self.offer("1.1.1");
        self.until("1.1.1 is proven by itself", || {
            let view = self.host.view(NAME).unwrap_or_default();
            view["last_good"]["version"] == "1.1.1" && view["state"] == "idle"
        });
        assert!(self.serves(&["1.1.1"]));
        let left = || {
            let all = procs::of(self.dir.path()).unwrap();
            let mut left = files::problems(self.host.places(), &self.ledger);
            left.extend(procs::problems(&all, &self.ledger, self.host.agent_pid()));
            left
        };
        self.until("nothing is left", || left().is_empty());
    }
}

fn dir_of(small: &Small) -> String {
    small.dir.path().display().to_string()
}

fn script(small: &Small, name: &str) {
    let fill = small.path("fill");
    let text = format!("[ ! -e {0} ] || . {0}\n", fill.display());
    small.host.write(name, &text).unwrap();
}

/// Runs the update to 1.1.0 with a step that fills, and everything after.
fn check(tables: &str, scripts: &[&str], which: Which) -> Small {
    let mut small = Small::new(tables);
    scripts.iter().for_each(|name| script(&small, name));
    small.arm(which);
    small.offer("1.1.0");
    small.host.start_agent().unwrap();
    small.until("the step has filled it", || small.path("filled").exists());
    small.until("the app serves", || small.serves(&["1.0.0", "1.1.0"]));
    small.goes_on(which);
    small
}

fn hook(key: &str) -> String {
    let run = "[\"sh\", \"-c\", \"[ ! -e ROOT/fill ] || . ROOT/fill\"]";
    match key {
        "before" => format!("[apps.ledger.stop]\nbefore = {run}\n"),
        _ => format!("[apps.ledger.traffic]\n{key} = {run}\n{} = [\"true\"]\n", other(key)),
    }
}

fn other(key: &str) -> &'static str {
    if key == "open" { "close" } else { "open" }
}

fn said_anything(small: &Small, path: &Path) -> bool {
    let _ = path;
    !small.told().is_empty()
}

#[test]
fn state_full_when_traffic_is_closed() {
    check(&hook("close"), &[], Which::State);
}

#[test]
fn data_full_when_traffic_is_closed() {
    check(&hook("close"), &[], Which::Data);
}

#[test]
fn state_full_before_the_stop() {
    check(&hook("before"), &[], Which::State);
}

#[test]
fn data_full_before_the_stop() {
    check(&hook("before"), &[], Which::Data);
}

#[test]
fn state_full_in_the_migration() {
    check("", &["small-data/srv/on-migrate"], Which::State);
}

#[test]
fn data_full_in_the_migration() {
    check("", &["small-data/srv/on-migrate"], Which::Data);
}

#[test]
fn state_full_at_the_start() {
    check("", &["small-data/srv/on-start"], Which::State);
}

#[test]
fn data_full_at_the_start() {
    check("", &["small-data/srv/on-start"], Which::Data);
}

#[test]
fn state_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::State);
}

#[test]
fn data_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::Data);
}
