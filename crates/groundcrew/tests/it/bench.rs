//! A host in a directory with the app `ledger`: a thin cover over the rig, which fails the test.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};

use groundcrew_rig::host::{Host, Places, Ran};
use groundcrew_rig::ledger::{CALM_NOTES, Ledger, NAME};
use groundcrew_rig::subject::Subject as _;
use rustix::process::{Pid, Signal};
use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_groundcrew");

/// A host in a directory.
pub(crate) struct Bench {
    host: Host,
    ledger: Ledger,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// A host with the app `ledger` configured and nothing published.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        Self::at(dir, places)
    }

    /// The same with state and data at places of their own.
    pub(crate) fn at(dir: tempfile::TempDir, places: Places) -> Self {
        let host = Host::new(BINARY.as_ref(), places).unwrap();
        let ledger = Ledger::new(host.program(), host.places().data.join("data")).unwrap();
        let bench = Self { host, ledger, _dir: dir };
        fs::create_dir_all(bench.path("releases/ledger")).unwrap();
        bench.configure("");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.host.places().root.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.host.write(name, text).unwrap();
    }

    /// Writes the configuration; `extra` are more lines of the app.
    pub(crate) fn configure(&self, extra: &str) {
        self.configure_with(extra, "");
    }

    /// The same with more tables at the end.
    pub(crate) fn configure_with(&self, extra: &str, tables: &str) {
        let (dir, port) = (self.path(""), self.ledger.port());
        let (dir, program) = (dir.display(), self.host.program().display());
        let data = self.host.places().data.display();
        let text = format!(
            r#"[apps.ledger]
poll    = "200ms"
source  = {{ kind = "directory", path = "{dir}/releases" }}
runtime = {{ kind = "process", env = {{ LEDGER = "{program}", PORT = "{port}" }} }}
stop    = {{ grace = "5s" }}
volumes = {{ data = {{ path = "{data}/data" }} }}
watch   = {{ window = "5500ms", interval = "100ms", failures = 4 }}
{extra}
[apps.ledger.health]
http = "http://127.0.0.1:{port}/health"
json = {{ status = "ok" }}
version_at = "/version"
start_within = "5s"
startup_interval = "50ms"
interval = "50ms"
passes = 2
failures = 2
{tables}
"#
        );
        self.host.configure(&text).unwrap();
    }

    /// Publishes a release of the demo app and points the channel at it.
    pub(crate) fn publish(&self, version: &str) -> String {
        self.publish_with(version, CALM_NOTES)
    }

    pub(crate) fn publish_with(&self, version: &str, notes: &str) -> String {
        self.ledger.offer(self.host.places(), version, notes).unwrap().as_str().to_owned()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.host.run(args).unwrap()
    }

    /// Starts a command and does not wait for its end.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.host.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The app's view.
    pub(crate) fn view(&self) -> Value {
        self.host.view(NAME).unwrap()
    }

    /// Installs a release and waits until it is proven.
    pub(crate) fn install(&self, version: &str) {
        self.publish(version);
        self.run(&["update", NAME, "--wait", "proven"]).ends(0);
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start_agent(&mut self) {
        self.host.start_agent().unwrap();
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.host.agent_pid().unwrap()
    }

    /// Where the app listens.
    pub(crate) fn port(&self) -> u16 {
        self.ledger.port()
    }

    /// The process that serves.
    pub(crate) fn app_process(&self) -> Pid {
        let is_it = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = line.split(|byte| *byte == 0);
            let words: Vec<String> =
                words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            self.ledger.is_main(&words)
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Pid::from_raw(pids.find(|pid| is_it(*pid)).unwrap()).unwrap()
    }

    /// Kills the agent with a signal and waits for its end.
    pub(crate) fn end_agent(&mut self, signal: Signal) -> ExitStatus {
        self.host.end_agent(signal).unwrap()
    }

    /// Waits for a level.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is: impl FnMut() -> bool) {
        self.host.until(what, is).unwrap();
    }

    /// Writes one row; true when it was acknowledged.
    pub(crate) fn post(&self, row: u64) -> bool {
        self.ledger.write(row).is_some()
    }

    /// The numbers of all rows; `None`: nobody serves.
    pub(crate) fn rows(&self) -> Option<Vec<u64>> {
        self.ledger.rows()
    }

    /// The version that serves, well or not.
    pub(crate) fn version(&self) -> Option<String> {
        let answer = groundcrew_rig::http::get(self.ledger.port(), "/version")?;
        Some(answer.body.trim().to_owned())
    }
}
