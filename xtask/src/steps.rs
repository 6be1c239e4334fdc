//! Runs programs one after the other, or beside those behind them, and says how long each took.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// One program of a command.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    command: Command,
    beside: bool,
}

impl Step {
    /// A step under a name for people.
    pub(crate) fn new(name: &'static str, command: Command) -> Self {
        Self { name, command, beside: false }
    }

    /// One that runs beside those behind it, when nobody else wants to: a program that starts no
    /// others, for it is killed when a step fails.
    pub(crate) fn beside(name: &'static str, program: &Command) -> Self {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program.get_program()).args(program.get_args());
        Self { name, command, beside: true }
    }
}

/// A step at work; it is ended when this is dropped.
struct Running {
    place: String,
    begun: Instant,
    command: Command,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Running {
    fn wait(mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for a step")?;
        let (place, seconds) = (&self.place, self.begun.elapsed().as_secs_f64());
        if !status.success() {
            bail!("{place} failed after {seconds:.1} s with {status}: {:?}", self.command);
        }
        say(&format!("{place}: ok, {seconds:.1} s"));
        Ok(())
    }
}

/// Runs the steps until one fails.
pub(crate) fn run(steps: Vec<Step>) -> Result<ExitCode> {
    let (begun, total) = (Instant::now(), steps.len());
    let mut others = Vec::new();
    for (index, Step { name, mut command, beside }) in steps.into_iter().enumerate() {
        let place = format!("[{}/{total}] {name}", index + 1);
        say(&format!("{place} …"));
        let child = command.spawn().with_context(|| cannot_start(&command))?;
        let running = Running { place, begun: Instant::now(), command, child };
        if beside {
            others.push(running);
        } else {
            running.wait()?;
        }
    }
    others.into_iter().try_for_each(Running::wait)?;
    say(&format!("all {total} steps passed in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}

/// Becomes the program; returns only when it cannot be started.
pub(crate) fn replace_with(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| cannot_start(&command))
}

/// Whether the program is there and ends well; its output is dropped.
pub(crate) fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// A cargo command in the workspace's root, by the cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(ROOT);
    command
}

/// The workspace's root.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Tells the person who runs us; when nobody listens, the exit code still does.
pub(crate) fn say(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_that_fails_ends_the_command_and_is_named() {
        let step = |name, program| Step::new(name, Command::new(program));
        assert!(run(vec![step("good", "true"), step("good", "true")]).is_ok());
        let error = run(vec![step("bad", "false"), step("never", "/nonexistent")]).unwrap_err();
        assert!(error.to_string().starts_with("[1/2] bad failed after"), "{error}");
        let error = run(vec![step("gone", "/nonexistent")]).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /nonexistent");
    }

    #[test]
    fn what_runs_beside_is_waited_for_fails_the_command_and_dies_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let script = |text: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("cd \"$0\"; {text}")]).arg(dir.path());
            shell
        };
        let go = script(": > go; until [ -e done ]; do sleep 0.01; done");
        let wait = script("until [ -e go ]; do sleep 0.01; done; : > done; exit 3");
        let error = run(vec![Step::beside("waits", &wait), Step::new("goes", go)]).unwrap_err();
        assert!(error.to_string().starts_with("[1/2] waits failed after"), "{error}");

        let stay = script("echo $$ > new; mv new pid; exec sleep 600");
        let fail = script("until [ -e pid ]; do sleep 0.01; done; false");
        let error = run(vec![Step::beside("stays", &stay), Step::new("fails", fail)]).unwrap_err();
        assert!(error.to_string().starts_with("[2/2] fails failed after"), "{error}");
        let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "it is still there");
    }
}
