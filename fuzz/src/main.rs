//! `cargo xtask fuzz`: builds a target for libFuzzer, gives it its seeds, and runs it for a while.
//!
//! Neither cargo-fuzz nor a nightly toolchain is needed: stable rustc instruments code when its
//! passes are named to LLVM. Exit codes: 0 nothing was found, 1 something was, or the fuzzer cannot
//! be built, 2 usage, 3 something is missing on this machine.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use groundcrew_fuzz::{INPUT_MAX, TARGET_ENV, TARGETS, Target, target};

const USAGE: &str =
    "usage: cargo xtask fuzz TARGET [--minutes N]     10 minutes by default; TARGET:";

const EXIT_USAGE: u8 = 2;
const EXIT_MISSING: u8 = 3;

/// What makes stable rustc count which edges were taken, as libFuzzer wants it.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Clink-dead-code \
    -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on -Cpanic=unwind";

/// Memory that one allocation, and that the fuzzer in all, may have, mebibytes.
const MEMORY_MIB: [u32; 2] = [64, 1024];
/// An input that takes longer hangs, seconds.
const HANG_S: u32 = 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, minutes) = match words.as_slice() {
        [name] => (*name, Some(10)),
        [name, "--minutes", minutes] => (*name, minutes.parse().ok()),
        _ => ("", None),
    };
    let (Some(target), Some(minutes)) = (target(name), minutes) else {
        say(USAGE);
        TARGETS.iter().for_each(|target| say(&format!("  {:10} {}", target.name, target.promise)));
        return ExitCode::from(EXIT_USAGE);
    };
    fuzz(target, minutes).unwrap_or_else(|error| {
        say(&format!("fuzz: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Tells the person who runs us; when nobody listens, the exit code still does.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn fuzz(target: &Target, minutes: u32) -> Result<ExitCode> {
    if Command::new("c++").arg("--version").output().is_err() {
        say("missing: c++, which compiles libFuzzer; as root: apt-get install -y g++");
        return Ok(ExitCode::from(EXIT_MISSING));
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let work = root.join("target/fuzz");
    let corpus = work.join("corpus").join(target.name);
    let found = work.join("found").join(target.name);
    for dir in [&corpus, &found] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    for (number, seed) in (0..).zip((target.seeds)()) {
        let path = corpus.join(format!("seed-{number}"));
        let written = File::create(&path).and_then(|mut file| file.write_all(&seed));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let program = build(root, &work)?;
    let known = root.join("fuzz/regressions").join(target.name);
    let [malloc, rss] = MEMORY_MIB;
    let mut run = Command::new(program);
    run.env(TARGET_ENV, target.name).arg(&corpus);
    if known.is_dir() {
        run.arg(known);
    }
    run.arg(format!("-max_total_time={}", u64::from(minutes) * 60));
    run.arg(format!("-max_len={INPUT_MAX}")).arg(format!("-timeout={HANG_S}"));
    run.arg(format!("-malloc_limit_mb={malloc}")).arg(format!("-rss_limit_mb={rss}"));
    run.args(["-print_final_stats=1", "-use_value_profile=1"]);
    run.arg(format!("-artifact_prefix={}/", found.display()));
    let status = run.status().context("cannot start the fuzzer")?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("what was found lies in {}; cured, it belongs into", found.display()));
    say(&format!("fuzz/regressions/{}, where the tests run it for ever", target.name));
    Ok(ExitCode::FAILURE)
}

/// The program that libFuzzer is linked to. With a target named, the flags are not those of build
/// scripts and macros.
fn build(root: &Path, work: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it builds for")?;
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--package", "groundcrew-fuzz", "--features", "libfuzzer"]);
    build.args(["--bin", "under-libfuzzer", "--target", host, "--target-dir"]).arg(work);
    build.env("RUSTFLAGS", RUSTFLAGS).env("CARGO_PROFILE_RELEASE_LTO", "off");
    build.env("CARGO_PROFILE_RELEASE_PANIC", "unwind").current_dir(root);
    if !build.status().context("cannot start cargo")?.success() {
        bail!("cargo cannot build the fuzzer");
    }
    Ok(work.join(host).join("release/under-libfuzzer"))
}
