//! `update --dry-run`: exactly what an update would do, and how long it would take.

use std::fmt::Write as _;
use std::path::Path;

use groundcrew_engine::gate::Answer;
use groundcrew_engine::plan::Procedure;
use serde::Serialize;

use super::print::Printer;
use super::reach::{Reach, unexpected};
use super::show::check_text;
use crate::config::units::{show_bytes, show_ms};
use crate::config::{Overrides, Settings};
use crate::crew::order::Check;
use crate::crew::request::{Past, Reply, Request};
use crate::exit::{Exit, Refusal};

/// Updates whose downtime is taken as a forecast.
const LAST_RUNS: usize = 5;
/// Most files that are counted for the forecast of a copy.
const FILES_MAX: u64 = 2_000_000;

#[derive(Serialize)]
struct Planned {
    check: Check,
    would_run: bool,
    steps: Vec<String>,
    volumes: Vec<Volume>,
    copy_bytes: u64,
    expected_downtime_ms: Option<u64>,
}

#[derive(Serialize)]
struct Volume {
    name: String,
    path: String,
    bytes: u64,
}

/// Prints the plan; 4 when a gate says no.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    app: &str,
    apply_config: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let Some(procedure) = settings.apps.get(app).map(|app| app.policy.procedure.clone()) else {
        return Err(settings.no_such_app(app));
    };
    let mut reach = Reach::open(settings, overrides)?;
    let check = match reach.ask(Request::Check { app: app.to_owned(), apply_config })? {
        Reply::Checked { check } => *check,
        other => return Err(unexpected(&other)),
    };
    let request = Request::History { app: Some(app.to_owned()), limit: LAST_RUNS };
    let updates = match reach.ask(request)? {
        Reply::History { updates } => updates,
        other => return Err(unexpected(&other)),
    };
    let volumes: Vec<Volume> = procedure
        .volumes
        .iter()
        .map(|(name, volume)| Volume {
            name: name.to_string(),
            path: volume.path.clone(),
            bytes: size_of(Path::new(&volume.path)),
        })
        .collect();
    let passes = check.candidate.is_some() && check.gates.iter().all(Answer::passes);
    let planned = Planned {
        would_run: passes,
        steps: if check.candidate.is_some() { steps(&check, &procedure) } else { Vec::new() },
        copy_bytes: volumes.iter().map(|volume| volume.bytes).sum(),
        volumes,
        expected_downtime_ms: expected(&updates),
        check,
    };
    printer.show(&planned, || text(&planned));
    Ok(if passes || planned.check.candidate.is_none() { Exit::Done } else { Exit::Waiting })
}

/// The steps in their order.
fn steps(check: &Check, procedure: &Procedure) -> Vec<String> {
    let to = check.candidate.as_deref().unwrap_or_default();
    let mut steps = Vec::new();
    if !check.fetched {
        steps.push(format!("fetch {to} and verify it"));
    }
    if let Some(running) = &check.running {
        if let Some(command) = &procedure.traffic.close {
            steps.push(format!("keep users out: {}", command.join(" ")));
        }
        if let Some(command) = &procedure.stop.before {
            steps.push(format!("run {}", command.join(" ")));
        }
        let (signal, grace) = (&procedure.stop.signal, show_ms(procedure.stop.grace_ms));
        steps.push(format!("stop {running}: {signal}, SIGKILL after {grace}"));
    }
    if !procedure.volumes.is_empty() {
        steps.push("copy the volumes of the stopped app".to_owned());
    }
    steps.push(format!("put {to} in place"));
    if check.migrates {
        steps.push("run its migration".to_owned());
    }
    steps.push(format!("start {to}"));
    let (prove, watch) = (&procedure.prove, &procedure.watch);
    steps.push(format!(
        "prove it within {}: {} passes in a row",
        show_ms(prove.start_within_ms),
        prove.passes
    ));
    if let Some(command) = &procedure.traffic.open {
        steps.push(format!("let users in: {}", command.join(" ")));
    }
    steps.push(format!("watch it for {}", show_ms(watch.window_ms)));
    steps
}

/// The middle of the latest downtimes. A first installation had nothing to stop, and its data was
/// not copied: it says nothing of the next update.
fn expected(updates: &[Past]) -> Option<u64> {
    let mut times: Vec<u64> = updates
        .iter()
        .filter(|past| past.update.from.is_some())
        .filter_map(|past| past.update.downtime_ms)
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Bytes below a directory, as far as they can be read.
fn size_of(path: &Path) -> u64 {
    let (mut bytes, mut files) = (0_u64, 0_u64);
    let mut left = vec![path.to_owned()];
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            files += 1;
            if files > FILES_MAX {
                return bytes;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => left.push(entry.path()),
                Ok(meta) => bytes = bytes.saturating_add(meta.len()),
                Err(_) => {}
            }
        }
    }
    bytes
}

fn text(planned: &Planned) -> String {
    let mut text = check_text(&planned.check);
    if planned.check.candidate.is_none() {
        return text;
    }
    let mut line = |what: String| writeln!(text, "{what}").unwrap_or_default();
    line("it would:".to_owned());
    for (index, step) in planned.steps.iter().enumerate() {
        line(format!("  {}. {step}", index + 1));
    }
    for volume in &planned.volumes {
        line(format!("volume {}: {}, {}", volume.name, volume.path, show_bytes(volume.bytes)));
    }
    line(format!("to copy: {}", show_bytes(planned.copy_bytes)));
    line(match planned.expected_downtime_ms {
        Some(ms) => format!("expected downtime: {}, the middle of the last runs", show_ms(ms)),
        None => "expected downtime: unknown, no run has been measured".to_owned(),
    });
    if !planned.would_run {
        line("now it would not begin: a gate says no".to_owned());
    }
    text
}
