//! A host: directories, a configuration, the program under test, its agent.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use groundcrew_drivers::keeper::{client, spec};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::Result;

/// How long a level is waited for.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at a level.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long an app has to end when the host is given up.
const LAST_GRACE_MS: u64 = 2_000;

/// Where a host's things lie. State and data may lie on file systems of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Configuration, releases, busy flag, logs of the rig.
    pub root: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// The volumes' parents.
    pub data: PathBuf,
}

impl Places {
    /// All of it below one directory.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), state: root.join("state"), data: root.join("srv") }
    }

    /// The directory source.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("groundcrew.toml")
    }

    /// The busy flag.
    #[must_use]
    pub fn busy_flag(&self) -> PathBuf {
        self.root.join("in-flight")
    }

    /// What the agent says on standard error.
    #[must_use]
    pub fn agent_log(&self) -> PathBuf {
        self.root.join("agent.log")
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1: killed by a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Its data as JSON.
    ///
    /// # Panics
    /// It printed something else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code and gives the rest back.
    ///
    /// # Panics
    /// It ended with another code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A host. Its agent and its apps end with it.
#[derive(Debug)]
pub struct Host {
    places: Places,
    program: PathBuf,
    agent: Option<Child>,
}

impl Host {
    /// A host with its directories made, run by the program at this path, and no configuration.
    ///
    /// # Errors
    /// A directory cannot be made.
    pub fn new(program: &Path, places: Places) -> Result<Self> {
        for dir in [places.releases(), places.data.clone()] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Self { places, program: program.to_owned(), agent: None })
    }

    /// Where its things lie.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The program under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Writes a file below the root.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.places.root.join(name);
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the configuration: the busy flag's place, then these tables.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, tables: &str) -> Result<()> {
        let flag = self.places.busy_flag();
        let head = format!("schema = 1\n[busy]\npath = \"{}\"\n", flag.display());
        self.write("groundcrew.toml", &format!("{head}{tables}"))
    }

    /// The program with arguments and this host's places.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null());
        command.env("GROUNDCREW_CONFIG", self.places.config());
        command.env("GROUNDCREW_STATE", &self.places.state);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Ran> {
        let output = self.command(args).output().context("cannot start the program")?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ok(Ran { code, out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// An app's part of `status --json`.
    ///
    /// # Errors
    /// The command failed or printed something else.
    pub fn view(&self, app: &str) -> Result<Value> {
        let ran = self.run(&["status", app, "--json"])?;
        let status: Value = serde_json::from_str(&ran.out)
            .with_context(|| format!("status ended with {}: {}", ran.code, ran.err))?;
        status.pointer("/apps/0").cloned().context("status shows no app")
    }

    /// Starts the agent; what it says is added to [`Places::agent_log`].
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn_agent(&mut self) -> Result<()> {
        self.spawn_kept(&["agent"])
    }

    /// Starts a command in the agent's place, for instance a pass that is to be killed.
    ///
    /// # Errors
    /// It cannot be started, or there is one already.
    pub fn spawn_kept(&mut self, args: &[&str]) -> Result<()> {
        if self.agent.is_some() {
            bail!("there is an agent already");
        }
        let path = self.places.agent_log();
        let log = fs::File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("cannot open {}", path.display()))?;
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(log);
        self.agent = Some(command.spawn().context("cannot start the program")?);
        Ok(())
    }

    /// Starts the agent and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, or does not answer in time.
    pub fn start_agent(&mut self) -> Result<()> {
        self.spawn_agent()?;
        self.until("the agent answers", || {
            self.run(&["healthcheck"]).is_ok_and(|ran| ran.code == 0)
        })
    }

    /// The agent.
    #[must_use]
    pub fn agent_pid(&self) -> Option<u32> {
        self.agent.as_ref().map(Child::id)
    }

    /// How the agent, or what runs in its place, ended; `None`: it runs, or there is none.
    ///
    /// # Errors
    /// The system does not say.
    pub fn agent_ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(agent) = &mut self.agent else { return Ok(None) };
        let ended = agent.try_wait().context("cannot ask for the agent's end")?;
        if ended.is_some() {
            self.agent = None;
        }
        Ok(ended)
    }

    /// Signals the agent and waits for its end.
    ///
    /// # Errors
    /// There is none, or it cannot be signaled.
    pub fn end_agent(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut agent = self.agent.take().context("there is no agent")?;
        rustix::process::kill_process(Pid::from_child(&agent), signal)
            .context("cannot signal the agent")?;
        agent.wait().context("cannot wait for the agent")
    }

    /// Waits for a level.
    ///
    /// # Errors
    /// It is not reached within [`DEADLINE`]; the text says how the host stands.
    pub fn until(&self, what: &str, is: impl FnMut() -> bool) -> Result<()> {
        if reached(DEADLINE, is) {
            return Ok(());
        }
        bail!("{what}: not within {DEADLINE:?}\n{}", self.story())
    }

    /// How the host stands, for people.
    #[must_use]
    pub fn story(&self) -> String {
        let log = fs::read_to_string(self.places.agent_log()).unwrap_or_default();
        let status = self.run(&["status"]).map(|ran| ran.out + &ran.err).unwrap_or_default();
        format!("{status}\n{log}")
    }

    /// Ends agent and apps, whatever the state says.
    pub fn give_up(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        fs::remove_file(self.places.busy_flag()).ok();
        let apps = fs::read_dir(self.places.state.join("runs"));
        for app in apps.into_iter().flatten().flatten() {
            stop_all(&app.path());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Looks until a level is reached; false: not within this time.
pub fn reached(within: Duration, mut is: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !is() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Ends every keeper that was left.
fn stop_all(runs: &Path) {
    let stop = spec::Stop { signal: spec::Stop::default().signal, grace_ms: LAST_GRACE_MS };
    for run in fs::read_dir(runs).into_iter().flatten().flatten() {
        client::stop(&run.path(), stop).ok();
    }
}
