//! Builds programs of the workspace, and becomes them.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::steps::{self, Step, cargo};

/// `soak` or `bench`, with what the person added. Figures are those of the optimized program,
/// unless they are wanted quickly.
pub(crate) fn become_rig(what: &str, args: &[&str]) -> Result<ExitCode> {
    let (rig, words) = ("groundcrew-rig", [&[what], args].concat());
    if args.first() == Some(&"recorder") {
        // It is a library of the rig, and says nothing unless it is optimized.
        return steps::replace_with(run(rig, &["--release", "--features", "peers"], &words));
    }
    let optimized = what == "bench" && !args.contains(&"--quick");
    let profile: &[&str] = if optimized { &["--release"] } else { &[] };
    build(profile)?;
    // It looks for the program under test in its own directory.
    steps::replace_with(run(rig, profile, &words))
}

/// `demo`, in the profile of the tests, which shares most of the work with them.
pub(crate) fn play_demo(args: &[&str]) -> Result<ExitCode> {
    build(&[])?;
    steps::replace_with(built("groundcrew", &[&["demo"], args].concat())?)
}

fn build(profile: &[&str]) -> Result<ExitCode> {
    let mut build = cargo(&["build", "--package", "groundcrew", "--bin", "groundcrew"]);
    build.args(profile);
    steps::run(vec![Step::new("building groundcrew; the first time takes a few minutes", build)])
}

/// A program of the workspace that was built without an option: it is beside this one.
pub(crate) fn built(program: &str, args: &[&str]) -> Result<Command> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(own.with_file_name(program));
    command.args(args);
    Ok(command)
}

/// Builds and runs a program of the workspace, which has its package's name.
pub(crate) fn run(name: &str, options: &[&str], args: &[&str]) -> Command {
    let mut run = cargo(&["run", "--quiet", "--package", name, "--bin", name]);
    run.args(options).arg("--").args(args);
    run
}
