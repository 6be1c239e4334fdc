//! A host with many small apps: each is a script that sleeps, and a question that says yes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::bundle::{self, Channel, Content, FileToWrite, ReleaseToml};
use groundcrew_drivers::keeper::{client, spec};
use serde_json::Value;

/// How long a level is waited for.
const DEADLINE: Duration = Duration::from_secs(150);
const BINARY: &str = env!("CARGO_BIN_EXE_groundcrew");

/// The app; its command line names its directory, so that it can be found.
const RUN: &str = "#!/bin/sh\nexec sleep 100000\n";

/// Never ends, and leaves a child in a session of its own.
const HANG: &str = "#!/bin/sh\nsetsid sleep 200001 &\necho hanging\nexec sleep 200002\n";

/// A host with many apps.
pub(crate) struct Fleet {
    dir: tempfile::TempDir,
    agent: Option<Child>,
    pub(crate) apps: Vec<String>,
}

impl Fleet {
    /// A host with so many apps, called `a00` and so on; `more` gives an app's further settings and
    /// `tables` goes to the end.
    pub(crate) fn new(count: usize, more: impl Fn(&str) -> String, tables: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let apps: Vec<String> = (0..count).map(|number| format!("a{number:02}")).collect();
        let fleet = Self { dir, agent: None, apps };
        let root = fleet.dir.path().display();
        let mut text = format!(
            "schema = 1\n[busy]\npath = \"{root}/in-flight\"\n[defaults]\npoll = \"100ms\"\n\
             source = {{ kind = \"directory\", path = \"{root}/releases\" }}\n\
             runtime = {{ kind = \"process\" }}\n\
             health = {{ exec = [\"bin/well\"], start_within = \"5s\", startup_interval = \"100ms\", \
             interval = \"100ms\", passes = 2 }}\n\
             watch = {{ window = \"8s\", interval = \"1s\", failures = 2 }}\n"
        );
        for app in &fleet.apps {
            text.push_str(&format!("[apps.{app}]\n{}\n", more(app)));
        }
        text.push_str(tables);
        fleet.write("groundcrew.toml", &text);
        fleet
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Publishes a version of every app.
    pub(crate) fn publish(&self, version: &str) {
        self.publish_of(self.apps.iter().map(String::as_str), version);
    }

    /// Publishes a version of some apps.
    pub(crate) fn publish_of<'a>(&self, apps: impl IntoIterator<Item = &'a str>, version: &str) {
        let program = |path, text: &'static str| FileToWrite {
            path,
            content: Content::Bytes(text.as_bytes()),
            executable: true,
        };
        let well = program("bin/well", "#!/bin/sh\n");
        let files = [program("bin/run", RUN), program("bin/hang", HANG), well];
        for app in apps {
            let root = self.path("releases");
            let release = ReleaseToml::draft(app, version, vec!["bin/run".to_owned()]);
            let dir = root.join(app).join(version);
            let digest = bundle::write(&dir, &release, &files, &[]).unwrap();
            let version = version.to_owned();
            let channel = Channel { version, digest, serial: None, signed: false };
            bundle::write_channel(&root, app, "stable", &channel).unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).stdin(Stdio::null());
        command.env("GROUNDCREW_CONFIG", self.path("groundcrew.toml"));
        command.env("GROUNDCREW_STATE", self.path("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start_agent(&mut self) {
        let log = fs::File::create(self.path("agent.log")).unwrap();
        let mut command = self.command(&["agent"]);
        self.agent = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let check = self.run(&["config", "check"]);
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        self.until("the agent answers", |fleet| fleet.run(&["healthcheck"]).status.success());
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// The views of all apps, in their order.
    pub(crate) fn views(&self) -> Vec<Value> {
        let output = self.run(&["status", "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json["apps"].as_array().unwrap().clone()
    }

    /// A line to the agent's control socket, for many looks.
    pub(crate) fn line(&self) -> Line {
        let stream = UnixStream::connect(self.path("state/run/control.sock")).unwrap();
        Line { reader: BufReader::new(stream) }
    }

    /// Apps of which this version is proven.
    pub(crate) fn proven(&self, version: &str) -> Vec<String> {
        let views = self.views();
        let is = |view: &&Value| view["last_good"]["version"] == version && view["state"] == "idle";
        views.iter().filter(is).map(|view| view["app"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for a level.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            if Instant::now() >= deadline {
                let status = self.run(&["status"]).stdout;
                let log = fs::read_to_string(self.path("agent.log")).unwrap_or_default();
                panic!("{what}: not in time\n{}\n{log}", String::from_utf8_lossy(&status));
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }
}

/// A connection to the agent.
pub(crate) struct Line {
    reader: BufReader<UnixStream>,
}

impl Line {
    /// The views of all apps, in their order.
    pub(crate) fn views(&mut self) -> Vec<Value> {
        self.reader.get_mut().write_all(b"{\"v\":1,\"request\":\"status\"}\n").unwrap();
        let mut answer = String::new();
        self.reader.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["ok"]["apps"].as_array().unwrap().clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        for app in &self.apps {
            let stop = spec::Stop { signal: spec::StopSignal::Term, grace_ms: 2_000 };
            let runs = fs::read_dir(self.path("state/runs").join(app));
            for run in runs.into_iter().flatten().flatten() {
                client::stop(&run.path(), stop).ok();
            }
        }
    }
}
