//! Runs programs one after the other and says which, and how long each took.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// One program of a command.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    command: Command,
}

impl Step {
    /// A step under a name for people.
    pub(crate) fn new(name: &'static str, command: Command) -> Self {
        Self { name, command }
    }
}

/// Runs the steps until one fails.
pub(crate) fn run(steps: Vec<Step>) -> Result<ExitCode> {
    let (begun, total) = (Instant::now(), steps.len());
    for (index, Step { name, mut command }) in steps.into_iter().enumerate() {
        let place = format!("[{}/{total}] {name}", index + 1);
        say(&format!("{place} …"));
        let step_begun = Instant::now();
        let status = command.status().with_context(|| cannot_start(&command))?;
        let seconds = step_begun.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{place} failed after {seconds:.1} s with {status}: {command:?}");
        }
        say(&format!("{place}: ok, {seconds:.1} s"));
    }
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
}
