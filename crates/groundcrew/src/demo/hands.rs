//! Runs the command line as a person would, and the agent as a host would.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::Trouble;
use super::scene::{APP, Scene};

/// Longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between two looks at the status.
const LOOK: Duration = Duration::from_millis(100);

/// What a command came to.
#[derive(Debug)]
pub(super) struct Said {
    /// Its exit code; -1 for a signal.
    pub(super) code: i32,
}

/// A person at the command line, and the agent that they started.
#[derive(Debug)]
pub(super) struct Hands<'s> {
    scene: &'s Scene,
    agent: Option<Child>,
}

impl<'s> Hands<'s> {
    pub(super) fn new(scene: &'s Scene) -> Self {
        Self { scene, agent: None }
    }

    /// Starts the agent and waits until it answers.
    pub(super) fn start_agent(&mut self) -> Result<(), Trouble> {
        let path = self.scene.root().join("agent.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let child = self
            .command(&["agent"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the agent")?;
        self.agent = Some(child);
        let begun = Instant::now();
        while self.run(&["healthcheck"])?.code != 0 {
            let ended = self.agent.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&path).unwrap_or_default();
                anyhow::bail!("the agent does not answer; it said:\n{said}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Kills the agent as a power cut would kill it.
    pub(super) fn kill_agent(&mut self) -> Result<(), Trouble> {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().context("cannot kill the agent")?;
            agent.wait()?;
        }
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.scene.exe());
        command.args(args).env("GROUNDCREW_CONFIG", self.scene.config()).stdin(Stdio::null());
        command.env_remove("GROUNDCREW_STATE");
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, args: &[&str]) -> Result<Said, Trouble> {
        let output = self.command(args).output().context("cannot run groundcrew")?;
        Ok(Said { code: output.status.code().unwrap_or(-1) })
    }

    /// What the status says of the app.
    pub(super) fn status(&self) -> Result<Value, Trouble> {
        let output = self.command(&["status", APP, "--json"]).output()?;
        let whole: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("`groundcrew status` printed no JSON: {said}")
        })?;
        Ok(whole.pointer("/apps/0").cloned().unwrap_or_default())
    }

    /// Waits until the status is as wanted, and returns it.
    pub(super) fn wait(&self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value, Trouble> {
        let begun = Instant::now();
        loop {
            let status = self.status()?;
            if is(&status) {
                return Ok(status);
            }
            let waited = begun.elapsed();
            anyhow::ensure!(
                waited < PATIENCE,
                "waited {waited:?} until {what}; status: {status:#}"
            );
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Hands<'_> {
    /// The app is stopped first: an agent's end leaves it running, as it should.
    fn drop(&mut self) {
        let stopped = self.run(&["stop", APP]);
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
        drop(stopped);
    }
}

/// A text in the status, by its JSON pointer.
pub(super) fn text<'v>(status: &'v Value, pointer: &str) -> &'v str {
    status.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// This version runs, is proven, and nothing is open.
pub(super) fn is_proven(status: &Value, version: &str) -> bool {
    text(status, "/running/version") == version
        && text(status, "/last_good/version") == version
        && matches!(text(status, "/state"), "idle" | "held" | "deferred")
}
