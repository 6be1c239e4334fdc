//! A host in a directory: releases to publish, a configuration, the binary, and a client.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::bundle::{
    self, Channel, Content, FileToWrite, Migrate, ReleaseToml, Run, Sha256,
};
use groundcrew_engine::notes::NoteFile;
use serde_json::Value;

/// How long a level is waited for.
const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_groundcrew");

/// The release's program: the demo app that is linked into the binary under test. A test may put a
/// script beside the volume that runs before each start.
const PROGRAM: &str = r#"#!/bin/sh
exec "$LEDGER" demo-app "$@"
"#;
const SERVE: &str = r#"#!/bin/sh
[ ! -e "$2/../on-start" ] || . "$2/../on-start"
exec "$LEDGER" demo-app --release "$1" --data "$2" --port "$PORT"
"#;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Its data as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code and gives the rest back.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A host in a directory.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    port: u16,
    agent: Option<Child>,
}

impl Bench {
    /// A host with the app `ledger` configured and nothing published.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The port is free now and was given to nobody else by the kernel a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let bench = Self { dir, port, agent: None };
        fs::create_dir_all(bench.path("releases/ledger")).unwrap();
        fs::create_dir_all(bench.path("srv")).unwrap();
        bench.configure("");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Writes the configuration; `extra` are more lines of the app.
    pub(crate) fn configure(&self, extra: &str) {
        self.configure_with(extra, "");
    }

    /// The same with more tables at the end.
    pub(crate) fn configure_with(&self, extra: &str, tables: &str) {
        let (dir, port) = (self.dir.path().display(), self.port);
        let text = format!(
            r#"schema = 1
[busy]
path = "{dir}/in-flight"
[apps.ledger]
poll    = "200ms"
source  = {{ kind = "directory", path = "{dir}/releases" }}
runtime = {{ kind = "process", env = {{ LEDGER = "{BINARY}", PORT = "{port}" }} }}
stop    = {{ grace = "5s" }}
volumes = {{ data = {{ path = "{dir}/srv/data" }} }}
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
        self.write("groundcrew.toml", &text);
    }

    /// Publishes a release of the demo app and points the channel at it.
    pub(crate) fn publish(&self, version: &str) -> String {
        self.publish_with(version, "## Changes\n\nNothing for a person to do.\n")
    }

    pub(crate) fn publish_with(&self, version: &str, notes: &str) -> String {
        let root = self.path("releases");
        let dir = root.join("ledger").join(version);
        let word = str::to_owned;
        let run = ["bin/serve", version, "{volume.data}"].map(word).to_vec();
        let migrate = ["bin/ledger", "migrate", "--release", version, "--data", "{volume.data}"];
        let release = ReleaseToml {
            schema: 1,
            app: word("ledger"),
            version: word(version),
            revision: Some(format!("{version}0123456789abcdef")),
            published: None,
            platform: word("any"),
            data_epoch: None,
            data_compatible_from: None,
            content: Sha256::of(b""),
            notes: None,
            notes_content: None,
            run: Run { command: run },
            migrate: Some(Migrate {
                up: migrate.map(word).to_vec(),
                down: None,
                timeout: Duration::from_secs(30),
            }),
        };
        let program = |path, text: &'static str| FileToWrite {
            path,
            content: Content::Bytes(text.as_bytes()),
            executable: true,
        };
        let files = [program("bin/ledger", PROGRAM), program("bin/serve", SERVE)];
        let notes = [NoteFile { version: word(version), bytes: notes.as_bytes().to_vec() }];
        let digest = bundle::write(&dir, &release, &files, &notes).unwrap();
        self.point(version, &digest);
        digest.as_str().to_owned()
    }

    fn point(&self, version: &str, digest: &Sha256) {
        let channel = Channel {
            version: version.to_owned(),
            digest: digest.clone(),
            serial: None,
            signed: false,
        };
        bundle::write_channel(&self.path("releases"), "ledger", "stable", &channel).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).stdin(Stdio::null());
        command.env("GROUNDCREW_CONFIG", self.path("groundcrew.toml"));
        command.env("GROUNDCREW_STATE", self.path("state"));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command and does not wait for its end.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The app's view.
    pub(crate) fn view(&self) -> Value {
        self.run(&["status", "ledger", "--json"]).ends(0).json().pointer("/apps/0").unwrap().clone()
    }

    /// Installs a release and waits until it is proven.
    pub(crate) fn install(&self, version: &str) {
        self.publish(version);
        self.run(&["update", "ledger", "--wait", "proven"]).ends(0);
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start_agent(&mut self) {
        let log = fs::File::create(self.path("agent.log")).unwrap();
        let mut command = self.command(&["agent"]);
        self.agent = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.until("the agent answers", || self.run(&["healthcheck"]).code == 0);
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// The process that serves.
    pub(crate) fn app_process(&self) -> rustix::process::Pid {
        self.app_process_of(&self.path("srv/data").display().to_string()).unwrap()
    }

    /// The process of this host that serves this data and this port.
    pub(crate) fn app_process_of(&self, data: &str) -> Option<rustix::process::Pid> {
        let port = self.port.to_string();
        let is_it = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&&b"demo-app"[..])
                && words.contains(&data.as_bytes())
                && words.contains(&port.as_bytes())
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        rustix::process::Pid::from_raw(pids.find(|pid| is_it(*pid))?)
    }

    /// Kills the agent with a signal and waits for its end.
    pub(crate) fn end_agent(
        &mut self,
        signal: rustix::process::Signal,
    ) -> std::process::ExitStatus {
        let mut agent = self.agent.take().unwrap();
        let pid = rustix::process::Pid::from_child(&agent);
        rustix::process::kill_process(pid, signal).unwrap();
        agent.wait().unwrap()
    }

    /// Waits for a level.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is() {
            assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}\n{}", self.story());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn story(&self) -> String {
        let log = fs::read_to_string(self.path("agent.log")).unwrap_or_default();
        format!("{}\n{log}", self.run(&["status"]).out)
    }

    fn ask(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// Writes one row; true when it was acknowledged.
    pub(crate) fn post(&self, row: u32) -> bool {
        let body = row.to_string();
        let length = body.len();
        let request = format!(
            "POST /rows HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.ask(&request).is_some()
    }

    fn get(&self, path: &str) -> Option<String> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    /// The numbers of all rows; `None`: nobody serves.
    pub(crate) fn rows(&self) -> Option<Vec<u32>> {
        self.get("/rows")?.lines().map(|line| line.trim().parse().ok()).collect()
    }

    /// The version that serves.
    pub(crate) fn version(&self) -> Option<String> {
        self.get("/version").map(|version| version.trim().to_owned())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        fs::remove_file(self.path("in-flight")).ok();
        stop_all(&self.path("state/runs/ledger"));
    }
}

/// Ends every keeper that a test left, whatever the state says.
fn stop_all(runs: &Path) {
    let stop = groundcrew_drivers::keeper::spec::Stop {
        signal: groundcrew_drivers::keeper::spec::Stop::default().signal,
        grace_ms: 2_000,
    };
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        groundcrew_drivers::keeper::client::stop(&run.path(), stop).ok();
    }
}
