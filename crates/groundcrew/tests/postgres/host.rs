//! A host in a directory: the example's releases, a configuration, the binary, and the tools of
//! PostgreSQL as an independent client.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a level is waited for.
const DEADLINE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_groundcrew");
const TOOLS: &str = "/usr/lib/postgresql/15/bin";

/// A host in a directory.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    agent: Option<Child>,
    /// User and group of the database.
    user: (u32, u32),
    /// Shared memory that lay about before, of databases that are none of ours.
    strange_memory: Vec<String>,
}

impl Host {
    /// A host with the app `postgres` configured and nothing published; `scale` is pgbench's.
    pub(crate) fn new(scale: u32) -> Self {
        assert!(
            Path::new(TOOLS).join("postgres").exists(),
            "PostgreSQL is not here; install it: apt-get install postgresql-15"
        );
        // A socket's path has at most 107 bytes, whatever TMPDIR is.
        let dir = tempfile::Builder::new().prefix("gc-pg").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let user = ids("postgres");
        let host = Self { dir, agent: None, user, strange_memory: orphaned_memory(user.0) };
        for name in ["releases", "desk", "sockets"] {
            fs::create_dir(host.path(name)).unwrap();
        }
        let (user, group) = host.user;
        chown(host.path("sockets"), Some(user), Some(group)).unwrap();
        host.configure(scale);
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The example's configuration, with this host's places and a test's patience.
    fn configure(&self, scale: u32) {
        let dir = self.dir.path().display();
        let text = format!(
            r#"schema = 1
[busy]
path = "{dir}/in-flight"
[apps.postgres]
poll    = "100ms"
source  = {{ kind = "directory", path = "{dir}/releases" }}
runtime = {{ kind = "process", user = "postgres", env = {{ PGHOST = "{dir}/sockets", PGBENCH_SCALE = "{scale}" }} }}
volumes = {{ data = {{ path = "{dir}/srv/data" }} }}
stop    = {{ signal = "SIGINT", grace = "30s" }}
traffic = {{ close = ["bin/door", "close"], open = ["bin/door", "open"] }}
health  = {{ exec = ["bin/health"], start_within = "4s", startup_interval = "50ms", interval = "500ms", passes = 2, failures = 2 }}
watch   = {{ window = "4200ms", interval = "100ms", failures = 2 }}
"#
        );
        write(&self.path("groundcrew.toml"), &text);
    }

    /// Makes a bundle of the example as its README says, and publishes it.
    pub(crate) fn publish(&self, version: &str) {
        let desk = self.lay_out(version);
        self.publish_desk(&desk);
    }

    /// The example's bundle before it is sealed.
    pub(crate) fn lay_out(&self, version: &str) -> PathBuf {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/postgres");
        let desk = self.path("desk").join(version);
        copy(&example.join("releases").join(version), &desk);
        copy(&example.join("common"), &desk.join("files"));
        desk
    }

    /// Seals and publishes what lies on the desk.
    pub(crate) fn publish_desk(&self, desk: &Path) {
        let (desk, root) = (desk.to_str().unwrap(), self.path("releases"));
        self.run(&["bundle", "seal", desk], 0);
        self.run(&["bundle", "publish", desk, "--to", root.to_str().unwrap()], 0);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).stdin(Stdio::null());
        command.env("GROUNDCREW_CONFIG", self.path("groundcrew.toml"));
        command.env("GROUNDCREW_STATE", self.path("state"));
        command
    }

    /// Runs a command, asserts its exit code and gives all that it said.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str], code: i32) -> String {
        let output = self.command(args).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}\n{}", self.log());
        said
    }

    /// Installs a release or updates to it, and waits until it is proven.
    pub(crate) fn install(&self, version: &str) {
        self.publish(version);
        self.run(&["update", "postgres", "--wait", "proven"], 0);
    }

    /// The app's view by the command line.
    pub(crate) fn view(&self) -> Value {
        let output = self.command(&["status", "postgres", "--json"]).output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        json.pointer("/apps/0").unwrap().clone()
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start_agent(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("agent.log"));
        let mut command = self.command(&["agent"]);
        self.agent = Some(command.stdout(Stdio::null()).stderr(log.unwrap()).spawn().unwrap());
        self.until("the agent answers", || self.line().is_some());
    }

    pub(crate) fn agent_pid(&self) -> Pid {
        Pid::from_child(self.agent.as_ref().unwrap())
    }

    /// Kills the agent and waits for its end.
    pub(crate) fn kill_agent(&mut self, signal: Signal) {
        let mut agent = self.agent.take().unwrap();
        kill_process(Pid::from_child(&agent), signal).unwrap();
        agent.wait().unwrap();
    }

    /// A line to the agent's control socket.
    pub(crate) fn line(&self) -> Option<Line> {
        let stream = UnixStream::connect(self.path("state/run/control.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut line = Line { reader: BufReader::new(stream) };
        line.view().map(|_| line)
    }

    /// Waits for a level.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is() {
            assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.path("agent.log")).unwrap_or_default();
        let status = self.command(&["status"]).output().map(|output| said(&output));
        let app = self.command(&["logs", "postgres"]).output().map(|output| said(&output));
        format!("{log}\n{}\n{}", status.unwrap_or_default(), app.unwrap_or_default())
    }

    /// A tool of PostgreSQL as the database's own user.
    fn tool(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(Path::new(TOOLS).join(program));
        command.args(args).stdin(Stdio::null()).current_dir("/");
        command.env("PGHOST", self.path("sockets")).env("PGDATABASE", "postgres");
        command.uid(self.user.0).gid(self.user.1);
        command.output().unwrap()
    }

    /// All that is in the database, as `pg_dump` writes it.
    #[track_caller]
    pub(crate) fn dump(&self) -> Dump {
        let output = self.tool("pg_dump", &["-U", "postgres", "--restrict-key=groundcrew"]);
        assert!(output.status.success(), "pg_dump: {}", said(&output));
        Dump(output.stdout)
    }

    /// The answer to a question by one of the database's users; `None`: it does not answer.
    pub(crate) fn ask(&self, sql: &str) -> Option<String> {
        let output = self.tool("psql", &["-U", "app", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Lets users work.
    pub(crate) fn work(&self, transactions: u32) {
        let transactions = transactions.to_string();
        let args = ["-n", "-U", "app", "-c", "2", "-t", &transactions, "--random-seed=7"];
        let output = self.tool("pgbench", &args);
        assert!(output.status.success(), "pgbench: {}", said(&output));
    }

    /// Stops the database, and asserts that nothing of it is left: no process, no shared memory.
    #[track_caller]
    pub(crate) fn leave(&mut self) {
        if self.agent.is_some() {
            self.kill_agent(Signal::TERM);
        }
        self.run(&["stop", "postgres"], 0);
        self.until("nothing runs any more", || processes(self.dir.path()).is_empty());
        let ours = |id: &String| !self.strange_memory.contains(id);
        let orphans = || orphaned_memory(self.user.0).into_iter().filter(ours).collect::<Vec<_>>();
        self.until(&format!("no shared memory is left: {:?}", orphans()), || orphans().is_empty());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        fs::remove_file(self.path("in-flight")).ok();
        let stop = groundcrew_drivers::keeper::spec::Stop {
            signal: groundcrew_drivers::keeper::spec::StopSignal::Int,
            grace_ms: 5_000,
        };
        let runs = fs::read_dir(self.path("state/runs/postgres"));
        for run in runs.into_iter().flatten().flatten() {
            groundcrew_drivers::keeper::client::stop(&run.path(), stop).ok();
        }
    }
}

/// A connection to the agent, for a look within less than a millisecond.
pub(crate) struct Line {
    reader: BufReader<UnixStream>,
}

impl Line {
    /// The app's view.
    pub(crate) fn view(&mut self) -> Option<Value> {
        self.reader.get_mut().write_all(b"{\"v\":1,\"request\":\"status\"}\n").ok()?;
        let mut answer = String::new();
        self.reader.read_line(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(&answer).ok()?;
        answer.pointer("/ok/apps/0").cloned()
    }
}

/// What `pg_dump` wrote; compared, never printed.
#[derive(PartialEq, Eq)]
pub(crate) struct Dump(Vec<u8>);

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = groundcrew_drivers::bundle::Sha256::of(&self.0);
        write!(f, "{} bytes, {digest}", self.0.len())
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Copies a tree into another one.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if entry.is_dir() {
            copy(&entry, &to.join(name));
        } else {
            fs::copy(&entry, to.join(name)).unwrap();
        }
    }
}

fn ids(user: &str) -> (u32, u32) {
    let text = fs::read_to_string("/etc/passwd").unwrap();
    let line = text.lines().find(|line| line.split(':').next() == Some(user));
    let line = line.unwrap_or_else(|| panic!("there is no user {user}"));
    let words: Vec<&str> = line.split(':').collect();
    (words[2].parse().unwrap(), words[3].parse().unwrap())
}

/// Processes that were started from below a directory, or work in it.
fn processes(dir: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let pids = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_number);
    let dir = dir.to_str().unwrap();
    let here = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(dir) || cwd.starts_with(dir)
    };
    pids.filter(here).collect()
}

/// The ids of shared memory of a user to which nobody is attached and whose maker is gone.
fn orphaned_memory(user: u32) -> Vec<String> {
    let text = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let orphan = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (id, maker, attached, owner) = (words[1], words[4], words[6], words[7]);
        let alone = attached == "0" && !Path::new("/proc").join(maker).exists();
        (alone && owner == user.to_string()).then(|| id.to_owned())
    };
    text.lines().skip(1).filter_map(orphan).collect()
}
