//! Many apps on one host: how long one pass takes, and what idling costs.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::{Figure, Options};
use crate::host::{Host, Places};
use crate::ledger::Ledger;
use crate::procs::Process;
use crate::subject::Subject as _;
use crate::{Result, procs};

/// Apps that are updated in one pass.
const PASS_APPS: u32 = 20;
const PASS_APPS_QUICK: u32 = 5;

/// Apps that idle.
const IDLE_APPS: u32 = 50;
const IDLE_APPS_QUICK: u32 = 10;

/// How long idling is measured.
const IDLE_FOR: Duration = Duration::from_secs(30);
const IDLE_FOR_QUICK: Duration = Duration::from_secs(10);

/// An agent that has just started still reads and looks.
const CALM_AFTER: Duration = Duration::from_secs(5);

/// The kernel counts a process's time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// A host with so many apps, each in a group of its own, all proven at 1.1.1, and its agent. Polls
/// and questions to an app at rest are those that people have by default.
fn host(options: &Options, name: &str, count: u32) -> Result<(Host, Vec<Ledger>)> {
    let mut host = Host::new(&options.program, Places::below(&options.dir.join(name)))?;
    let mut tables = String::new();
    let mut apps = Vec::new();
    for number in 1..=count {
        let name = format!("app{number}");
        let volume = host.places().data.join(&name).join("data");
        let ledger = Ledger::named(&name, &options.program, volume.clone())?;
        let (port, releases) = (ledger.port(), host.places().releases());
        write!(
            tables,
            r#"
[apps.{name}]
group   = "{name}"
source  = {{ kind = "directory", path = "{}" }}
volumes = {{ data = {{ path = "{}" }} }}
watch   = {{ window = "3s", interval = "500ms", failures = 2 }}
runtime = {{ kind = "process", env = {{ LEDGER = "{}", PORT = "{port}" }} }}
[apps.{name}.health]
http = "http://127.0.0.1:{port}/health"
start_within = "2s"
startup_interval = "50ms"
passes = 1
failures = 2
"#,
            releases.display(),
            volume.display(),
            options.program.display(),
        )
        .context("cannot write to a text")?;
        ledger.offer_plain(host.places(), "1.1.1")?;
        apps.push(ledger);
    }
    host.configure(&tables)?;
    host.start_agent()?;
    host.until("all apps are proven", || is_every_app_at(&host, "/last_good/version", "1.1.1"))?;
    Ok((host, apps))
}

fn is_every_app_at(host: &Host, pointer: &str, version: &str) -> bool {
    let status = host.run(&["status", "--json"]).map(|ran| ran.out).unwrap_or_default();
    let status: Value = serde_json::from_str(&status).unwrap_or_default();
    let apps = status.get("apps").and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |app: &Value| app.pointer(pointer).and_then(Value::as_str) == Some(version);
    !apps.is_empty() && apps.iter().all(is)
}

pub(super) fn many(options: &Options) -> Result<Vec<Figure>> {
    let count = if options.quick { PASS_APPS_QUICK } else { PASS_APPS };
    let (mut host, apps) = host(options, "pass", count)?;
    let mut figures = Vec::new();
    for (version, how) in
        [("1.1.2", "by the agent, in groups of their own"), ("1.1.3", "by `once`")]
    {
        host.end_agent(Signal::TERM)?;
        for app in &apps {
            app.offer_plain(host.places(), version)?;
        }
        let begun = Instant::now();
        if version == "1.1.2" {
            host.start_agent()?;
            host.until("all serve", || apps.iter().all(|app| serves(app, version)))?;
        } else {
            let ran = host.run(&["once"])?;
            if ran.code != 0 || !apps.iter().all(|app| serves(app, version)) {
                bail!("a pass ended with {}: {}{}", ran.code, ran.out, ran.err);
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        figures.push(Figure::new(format!("update of {count} apps at once, {how}"), seconds, "s"));
        if version == "1.1.2" {
            let is = || is_every_app_at(&host, "/last_good/version", version);
            host.until("all apps are proven", is)?;
        }
    }
    Ok(figures)
}

fn serves(app: &Ledger, version: &str) -> bool {
    app.version().as_deref() == Some(version)
}

pub(super) fn idle(options: &Options) -> Result<Vec<Figure>> {
    let (count, span) =
        if options.quick { (IDLE_APPS_QUICK, IDLE_FOR_QUICK) } else { (IDLE_APPS, IDLE_FOR) };
    let (mut host, _apps) = host(options, "idle", count)?;
    let installer = host.agent_pid().context("there is no agent")?;
    let after_installing = memory_mb(installer, "Rss:")?;
    host.end_agent(Signal::TERM)?;
    host.start_agent()?;
    std::thread::sleep(CALM_AFTER);
    let agent = host.agent_pid().context("there is no agent")?;
    let before = ticks(agent)?;
    std::thread::sleep(span);
    let busy = f64::from(ticks(agent)? - before) / TICKS_PER_SECOND / span.as_secs_f64();
    let keepers: Vec<Process> = procs::of(&host.places().root)?
        .into_iter()
        .filter(|one| one.words.get(1).is_some_and(|word| word == "keep"))
        .collect();
    let sum = |what: &str| -> Result<f64> {
        let all = keepers
            .iter()
            .map(|keeper| memory_mb(u32::try_from(keeper.pid).unwrap_or_default(), what));
        all.sum()
    };
    let of = |what: &str| format!("{what}, {count} idle apps");
    let agent_rss = memory_mb(agent, "Rss:")?;
    Ok(vec![
        Figure::new(of("resident memory of the agent"), agent_rss, "MB").at_most(25.0),
        Figure::new(of("the same right after it has installed them"), after_installing, "MB"),
        Figure::new(of("time of the agent"), busy * 100.0, "% of a core").at_most(0.3),
        Figure::new(of("resident memory of all keepers together"), sum("Rss:")?, "MB"),
        Figure::new(of("proportional memory of all keepers together"), sum("Pss:")?, "MB"),
    ])
}

/// User and system time of a process, in the kernel's ticks.
fn ticks(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    // Fields 14 and 15 of proc(5); the first one here is field 3.
    let time = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    time.sum::<std::result::Result<u32, _>>()
        .with_context(|| format!("cannot make sense of {path}"))
}

fn memory_mb(pid: u32, what: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what));
    let kib: Option<u32> = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    Ok(f64::from(kib.with_context(|| format!("{path} has no {what}"))?) * 1.024 / 1_000.0)
}
