//! The project's own commands; there is no other build script, Makefile or shell script.
//!
//! Each command is a list of steps, programs that run in the workspace's root; the first that fails
//! ends the command. Exit codes: 0 done, 1 a step failed, 2 usage, 3 something is missing on this
//! machine. `demo`, `sim`, `soak`, `bench` and `fuzz` end with the code of the program that they
//! start.

mod bare;
mod rig;
mod steps;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use steps::{Step, cargo, say};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check          format, lints, tests, documentation; dependency rules where cargo-deny is installed
  test           what CI runs: installs or names what is missing here, then everything
  demo [ARG…]    build groundcrew and play its demo; ARGs go to `groundcrew demo`
  sim [ARG…]     run the simulator: --report, --seed N, --random N, --only TEXT
  soak ARG…      break a host and check the truth: --kills N or --power-cuts N, --seed S, --app A
  bench ARG…     figures beside their peers: recorder, update [--quick] [--json]
  fuzz TARGET    look for bytes that break what reads them: [--minutes N]; without TARGET: which
  docs           write the generated parts of docs/reference anew
  tidy           the tests about the tree itself, with the figures they print";

const EXIT_USAGE: u8 = 2;
const DOCS: &str = "test --quiet --package groundcrew --bin groundcrew the_reference";
const TIDY: &str = "test --quiet --package xtask tidy -- --show-output";

/// The rig's benchmarks beside others are read by the lints, too, though nothing else builds them.
const PEERS: &str = "groundcrew-rig/peers";
/// As many kills and power cuts as a run of the tests has time for; hundreds are for a night.
const BLOWS: &str = "10";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        ["check"] => check(),
        ["test"] => test(),
        ["demo", args @ ..] => rig::play_demo(args),
        ["sim", args @ ..] => steps::replace_with(rig::run("groundcrew-sim", &[], args)),
        [what @ ("soak" | "bench"), args @ ..] => rig::become_rig(what, args),
        ["fuzz", args @ ..] => steps::replace_with(rig::run("groundcrew-fuzz", &[], args)),
        ["docs"] => steps::run(vec![docs_step()]),
        ["tidy"] => steps::replace_with(cargo(&TIDY.split(' ').collect::<Vec<_>>())),
        words => {
            say(USAGE);
            let is_asked = matches!(words, ["help" | "--help" | "-h"]);
            return ExitCode::from(if is_asked { 0 } else { EXIT_USAGE });
        }
    };
    ended.unwrap_or_else(|error| {
        say(&format!("xtask: {error:#}"));
        ExitCode::FAILURE
    })
}

fn check() -> Result<ExitCode> {
    let mut steps = common_steps(Vec::new());
    if steps::works(&mut cargo(&["deny", "--version"])) {
        steps.push(Step::new("dependency rules", cargo(&["deny", "check"])));
    } else {
        say("cargo-deny is not installed here: dependency rules are not checked");
    }
    steps::run(steps)
}

fn test() -> Result<ExitCode> {
    if let Some(missing) = bare::provide()? {
        return Ok(missing);
    }
    // All that runs below in one go: one package alone has other features, and is compiled anew.
    let build = Step::new("build", cargo(&["build", "--workspace", "--bins", "--tests"]));
    // It needs processors and nothing else, and most tests wait: it takes what they leave.
    let simulator = rig::built("groundcrew-sim", &["--report"])?;
    let mut steps = common_steps(vec![build, Step::beside("simulator", &simulator)]);
    // The whole story with the real binary, as a person would see it.
    steps.push(Step::new("demo", rig::built("groundcrew", &["demo", "--json"])?));
    let soaks = [
        ("kills", "--kills", "ledger"),
        ("power cuts", "--power-cuts", "ledger"),
        ("kills of a database", "--kills", "postgres"),
        ("power cuts under the recorder", "--power-cuts", "recorder"),
    ];
    for (name, blows, app) in soaks {
        let soak = ["soak", blows, BLOWS, "--app", app, "--json"];
        steps.push(Step::new(name, rig::built("groundcrew-rig", &soak)?));
    }
    steps::run(steps)
}

fn common_steps(before_tests: Vec<Step>) -> Vec<Step> {
    let clippy =
        ["clippy", "--workspace", "--all-targets", "--features", PEERS, "--", "-Dwarnings"];
    let mut steps = vec![
        Step::new("format", cargo(&["fmt", "--all", "--check"])),
        Step::new("lints", cargo(&clippy)),
    ];
    steps.extend(before_tests);
    steps.extend(test_steps());
    let mut documentation = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    // Module docs speak to whoever changes the module, so they may link to what is private.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links --document-private-items";
    documentation.env("RUSTDOCFLAGS", flags);
    steps.push(Step::new("documentation", documentation));
    steps
}

/// nextest runs no examples in documentation: they are a step of their own.
fn test_steps() -> Vec<Step> {
    if steps::works(&mut cargo(&["nextest", "--version"])) {
        return vec![
            Step::new("tests", cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])),
            Step::new("examples", cargo(&["test", "--workspace", "--doc", "--quiet"])),
        ];
    }
    say("cargo test is slower than cargo-nextest: cargo install --locked cargo-nextest");
    vec![Step::new("tests and examples", cargo(&["test", "--workspace", "--no-fail-fast"]))]
}

/// Each generated document has a test that it is up to date, which can also write it.
fn docs_step() -> Step {
    let mut write = cargo(&DOCS.split(' ').collect::<Vec<_>>());
    write.env("UPDATE_EXPECT", "1");
    Step::new("reference", write)
}
