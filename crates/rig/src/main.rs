//! The rig's command line: `soak` breaks, `bench` measures. Exit codes: 0 done, 1 a violation or
//! the rig failed, 2 usage.
//!
//! As root a soak runs in mount, process and shared memory namespaces of its own, so that nothing
//! stays mounted, attached, running or allocated, however it ends; a process outside of them waits and
//! removes the directory.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use groundcrew_rig::disks::Kind;
use groundcrew_rig::soak::{self, Blows, Options};
use groundcrew_rig::{Result, bench};

const USAGE: &str = "\
usage: groundcrew-rig soak (--kills N | --power-cuts N) [--app ledger|postgres|recorder]
                           [--disk ext4|xfs] [--seed S] [--json]
       groundcrew-rig bench recorder [--quick] [--json] [--only enqueue|sustained|read|stop|day]
       groundcrew-rig bench update [--quick] [--json] [--only downtime|many|idle]
       groundcrew-rig push (heap|shared) COUNT     for `bench recorder`, under strace
       soak and bench update: --program PATH is groundcrew, the one beside this program by default";

/// Says to the process inside the namespaces where its directory is.
const INSIDE_ENV: &str = "GROUNDCREW_RIG_INSIDE";

/// The first process of the namespaces. It has to reap what nobody else does, so it waits; a
/// database's shared memory, of both kinds, goes with it however it ends.
const INSIDE: &str = "mount -t tmpfs -o mode=1777 shm /dev/shm && \"$@\"; exit $?";

/// The program under test.
const PROGRAM: &str = "groundcrew";

const EXIT_USAGE: u8 = 2;

/// How often the outer process looks for a signal or the end of the inner one.
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.split_first() {
        Some((first, rest)) if first == "soak" => soak(rest),
        Some((first, rest)) if first == soak::Part::WORD => {
            soak::Part::play(rest).map(|()| ExitCode::SUCCESS)
        }
        Some((first, [ring, count])) if first == "push" => push(ring, count),
        Some((first, rest))
            if first == "bench"
                && rest.first().is_some_and(|of| ["recorder", "update"].contains(&of.as_str())) =>
        {
            measure(rest)
        }
        _ => {
            say(USAGE);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    ended.unwrap_or_else(|error| {
        say(&format!("groundcrew-rig: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Tells the person who runs us; when nobody listens, the exit code still does.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn soak(words: &[String]) -> Result<ExitCode> {
    let json = words.iter().any(|word| word == "--json");
    let inside = std::env::var_os(INSIDE_ENV).map(PathBuf::from);
    let options = options(words, inside.clone().unwrap_or_default())?;
    let is_root = rustix::process::geteuid().is_root();
    if options.blows == Blows::PowerCuts && !is_root {
        bail!("a power cut needs root: it mounts file systems");
    }
    if is_root && inside.is_none() {
        return from_outside();
    }
    let kept = match inside {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("groundcrew-rig-").tempdir()?),
    };
    let dir = kept.as_ref().map_or(options.dir.clone(), |dir| dir.path().to_owned());
    let options = Options { dir, ..options };
    let outcome = soak::run(&options, &mut |line| say(line))?;
    say(&outcome.table(&options));
    if json {
        writeln!(std::io::stdout(), "{}", outcome.json(&options)).context("cannot print")?;
    }
    let Some(violation) = outcome.violation else { return Ok(ExitCode::SUCCESS) };
    say(&violation);
    if let Some(kept) = kept {
        let path = kept.keep();
        say(&format!("kept: {}", path.display()));
    }
    Ok(ExitCode::FAILURE)
}

fn value<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let place = words.iter().position(|word| word == flag)?;
    words.get(place + 1).map(String::as_str)
}

fn program(words: &[String]) -> Result<PathBuf> {
    let program = match value(words, "--program") {
        Some(path) => PathBuf::from(path),
        None => {
            std::env::current_exe().context("cannot find this program")?.with_file_name(PROGRAM)
        }
    };
    program.canonicalize().context("cannot find the program under test")
}

fn push(ring: &str, count: &str) -> Result<ExitCode> {
    bench::push_and_end(ring, count.parse().context(USAGE)?)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(words: &[String]) -> Result<ExitCode> {
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let dir = tempfile::Builder::new().prefix("groundcrew-rig-").tempdir()?;
    let of_recorder = has("recorder");
    let options = bench::Options {
        // The recorder is a library of the rig.
        program: if of_recorder { PathBuf::new() } else { program(words)? },
        quick: has("--quick"),
        only: value(words, "--only").map(str::to_owned),
        dir: dir.path().to_owned(),
    };
    let bench = if of_recorder { bench::recorder } else { bench::update };
    let figures = bench(&options, &mut |line| say(line))?;
    say(&bench::table(&figures));
    if has("--json") {
        writeln!(std::io::stdout(), "{}", bench::json(&figures)).context("cannot print")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn options(words: &[String], dir: PathBuf) -> Result<Options> {
    let value = |flag: &str| value(words, flag);
    let number = |flag: &str| value(flag).map(str::parse::<u32>).transpose().context(USAGE);
    let (blows, count) = match (number("--kills")?, number("--power-cuts")?) {
        (Some(count), None) => (Blows::Kills, count),
        (None, Some(count)) => (Blows::PowerCuts, count),
        _ => bail!(USAGE),
    };
    let seed = match value("--seed") {
        Some(seed) => seed.parse().context(USAGE)?,
        None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let program = program(words)?;
    let app = value("--app").unwrap_or("ledger").to_owned();
    let kind = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name).context(USAGE);
    let disk = value("--disk").map(kind).transpose()?;
    Ok(Options { program, app, blows, count, seed, disk, dir })
}

/// Runs this program again in namespaces of its own and cleans up after it.
fn from_outside() -> Result<ExitCode> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked_to_end))
            .context("cannot watch for signals")?;
    }
    let dir = tempfile::Builder::new().prefix("groundcrew-rig-").tempdir()?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.args(["sh", "-c", INSIDE, "sh"]).arg(own).args(std::env::args().skip(1));
    let mut inner = command.env(INSIDE_ENV, dir.path()).spawn().context("cannot start unshare")?;
    let ended = loop {
        if asked_to_end.load(Ordering::Relaxed) {
            inner.kill().context("cannot end what runs inside")?;
        }
        if let Some(ended) = inner.try_wait().context("cannot wait for what runs inside")? {
            break ended;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    if code == Some(1) {
        keep(dir.path());
        drop(dir.keep());
    } else if let Some(signal) = ended.signal() {
        say(&format!("ended by signal {signal}"));
    }
    Ok(ExitCode::from(code.unwrap_or(1)))
}

fn keep(dir: &Path) {
    say(&format!("kept: {}", dir.display()));
}
