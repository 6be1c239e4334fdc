//! Builds the program under test and the rig beside it, and becomes the rig.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::steps::{self, Step, cargo};

/// `soak` or `bench`, with what the person added. Figures are those of the optimized program,
/// unless they are wanted quickly.
pub(crate) fn become_rig(what: &str, args: &[&str]) -> Result<ExitCode> {
    if args.first() == Some(&"recorder") {
        // It is a library of the rig, and says nothing unless it is optimized.
        return steps::replace_with(rig(&["--release", "--features", "peers"], what, args));
    }
    let optimized = what == "bench" && !args.contains(&"--quick");
    let profile: &[&str] = if optimized { &["--release"] } else { &[] };
    let mut build = cargo(&["build", "--quiet", "--package", "groundcrew"]);
    build.args(profile);
    steps::run(vec![Step::new("building groundcrew", build)])?;
    steps::replace_with(rig(profile, what, args))
}

/// The rig, which looks for the program under test in its own directory.
pub(crate) fn rig(profile: &[&str], what: &str, args: &[&str]) -> Command {
    let mut run = cargo(&["run", "--quiet", "--package", "groundcrew-rig"]);
    run.args(profile).args(["--", what]).args(args);
    run
}
