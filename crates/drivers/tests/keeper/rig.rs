//! A directory with runs in it, and how to wait for what they do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::keeper::client::{self, Exe, RunState, StartedRun};
use groundcrew_drivers::keeper::spec::{KeepSpec, Stop, StopSignal};
use groundcrew_drivers::keeper::{ExitRecord, RunRecord, run_dir};
use rustix::process::{Pid, Signal, kill_process};

/// How long a level is waited for before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The app's working directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn app_dir(&self) -> PathBuf {
        self.dir.path().join("runs/app")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        run_dir(&self.dir.path().join("runs"), "app", "txn-1", "start-0")
    }

    /// The first attempt's log, as far as it was written.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.run_dir().join("log")).unwrap_or_default()
    }

    /// A file that the app wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::File::create(self.path().join(name)).unwrap();
    }

    /// A pid that the app wrote to a file, once it did.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        wait_for(name, || self.read(name).ends_with('\n').then(|| self.read(name)))
            .trim()
            .parse()
            .unwrap()
    }

    /// Starts the first attempt, which has to be new.
    pub(crate) fn spawn(&self, script: &str) -> RunRecord {
        match client::start(&self.run_dir(), &self.spec(script), &exe()).unwrap() {
            StartedRun::Spawned(run) => run,
            other => panic!("not spawned: {other:?}"),
        }
    }

    pub(crate) fn spec(&self, script: &str) -> KeepSpec {
        let argv = ["/bin/sh", "-c", script].map(String::from).to_vec();
        let mut spec = KeepSpec::new("app", "txn-1", "start-0", "sha256:00", argv, self.path());
        spec.env.insert("PATH".into(), "/usr/bin:/bin".into());
        spec.stray_grace_ms = 100;
        spec
    }

    /// Waits until the first attempt's exit is known.
    pub(crate) fn exit(&self) -> ExitRecord {
        wait_for("the exit record", || match client::observe(&self.run_dir()).unwrap() {
            RunState::Exited(exit) => Some(exit),
            _ => None,
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let stopped = client::runs(&self.app_dir()).and_then(|runs| {
            runs.iter()
                .try_for_each(|run| client::stop(&run.dir, stop(StopSignal::Term, 0)).map(drop))
        });
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

pub(crate) fn exe() -> Exe {
    Exe { program: env!("CARGO_BIN_EXE_keep-for-tests").into(), args: vec!["keep".into()] }
}

pub(crate) fn stop(signal: StopSignal, grace_ms: u64) -> Stop {
    Stop { signal, grace_ms }
}

/// Says in `starts` that it was started, and ends with 7 when it may.
pub(crate) const UNTIL_GO: &str =
    "echo $$ >> starts; while [ ! -e go ]; do sleep 0.01; done; echo bye; exit 7";

/// A client in a process of its own, which starts the first attempt, says so and waits.
pub(crate) fn client_process(rig: &Rig, script: &str, keeper: &Exe) -> Child {
    let spec = rig.path().join("client-spec.json");
    serde_json::to_writer(fs::File::create(&spec).unwrap(), &rig.spec(script)).unwrap();
    let mut client = Command::new(exe().program);
    client.arg("start").arg(rig.run_dir()).arg(spec).arg(&keeper.program).args(&keeper.args);
    client.stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits for a level; how often it looks has no influence on the outcome.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Whether a process runs; one that only waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}
