//! `status`, `history` and `check`: what is the case, for people and for programs.

use std::fmt::Write as _;

use groundcrew_engine::gate::{Answer, GateId, Verdict};
use groundcrew_engine::machine::Ending;
use groundcrew_engine::noun::Via;
use groundcrew_engine::plan::DataWork;
use serde::Serialize;

use super::postmortem::open_text;
use super::print::{self, Printer, said};
use super::reach::{Reach, unexpected};
use super::view::view_text;
use crate::config::units::{show_bytes, show_ms};
use crate::config::{Overrides, Settings};
use crate::crew::board::View;
use crate::crew::is_up;
use crate::crew::order::Check;
use crate::crew::request::{Past, Reply, Request};
use crate::exit::{Exit, Refusal};
use crate::post_mortems::{self, PostMortem};

#[derive(Serialize)]
struct Status {
    agent: bool,
    apps: Vec<View>,
    post_mortems: Vec<PostMortem>,
}

/// `status [APP] [--expect REV]`.
pub(super) fn status(
    settings: Settings,
    overrides: &Overrides,
    app: Option<&str>,
    expect: Option<&str>,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    if expect.is_some() && app.is_none() && settings.apps.len() != 1 {
        let names: Vec<&str> = settings.apps.keys().map(String::as_str).collect();
        let text = match names.as_slice() {
            [] => "--expect is about an app, and none is configured".to_owned(),
            names => {
                format!("--expect is about one app: status APP; there are: {}", names.join(", "))
            }
        };
        return Err(Refusal::usage(text));
    }
    let mut reach = Reach::open_to_read(settings.clone(), overrides)?;
    let mut apps = match app {
        Some(app) => vec![reach.view(app)?],
        None => reach.views()?,
    };
    let is_there = |view: &&mut View| view.running.is_some() || view.state == "unknown";
    for view in apps.iter_mut().filter(is_there) {
        view.up = is_up(&settings, &view.app);
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let mut post_mortems = post_mortems::open(&settings.state, now_ms)?;
    post_mortems.retain(|one| app.is_none() || one.app.as_deref() == app);
    let status = Status { agent: reach.is_agent(), apps, post_mortems };
    printer.show(&status, || {
        let mut text = String::new();
        if !status.agent {
            text.push_str("no agent runs\n");
        }
        if status.apps.is_empty() {
            text.push_str("no apps are configured\n");
        }
        status.apps.iter().for_each(|view| text.push_str(&view_text(view)));
        status.post_mortems.iter().for_each(|one| text.push_str(&open_text(one)));
        text
    });
    let Some(wanted) = expect else { return Ok(Exit::Done) };
    let Some(other) = status.apps.iter().find(|view| !is_expected(view, wanted)) else {
        return Ok(Exit::Done);
    };
    let runs = other.running.as_ref().map_or("nothing", |running| running.version.as_str());
    print::talk(&format!("groundcrew: {} does not run {wanted}, but {runs}", other.app));
    Ok(Exit::Failed)
}

/// The version, the revision or its beginning, or the digest or its beginning.
fn is_expected(view: &View, wanted: &str) -> bool {
    /// Fewer letters could mean too many commits.
    const PREFIX_MIN: usize = 7;
    let Some(running) = &view.running else { return false };
    let begins = |text: &str| wanted.len() >= PREFIX_MIN && text.starts_with(wanted);
    let hex = running.digest.strip_prefix("sha256:").unwrap_or(&running.digest);
    running.version == wanted
        || running
            .revision
            .as_deref()
            .is_some_and(|revision| revision == wanted || begins(revision))
        || running.digest == wanted
        || begins(hex)
}

#[derive(Serialize)]
struct History {
    updates: Vec<Past>,
}

/// `history [APP]`.
pub(super) fn history(
    settings: Settings,
    overrides: &Overrides,
    app: Option<&str>,
    n: usize,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let mut reach = Reach::open_to_read(settings, overrides)?;
    let request = Request::History { app: app.map(str::to_owned), limit: n };
    let updates = match reach.ask(request)? {
        Reply::History { updates } => updates,
        other => return Err(unexpected(&other)),
    };
    let history = History { updates };
    printer.show(&history, || {
        if history.updates.is_empty() {
            return "no update is over yet\n".to_owned();
        }
        history.updates.iter().map(past_text).collect()
    });
    Ok(Exit::Done)
}

fn past_text(past: &Past) -> String {
    let update = &past.update;
    let ending = match update.ending {
        Ending::Proven => "proven",
        Ending::Unproven => "unproven",
        Ending::RolledBack => "rolled back",
        Ending::Aborted => "aborted",
    };
    let from = update.from.as_deref().unwrap_or("nothing");
    let down = update.downtime_ms.map_or(String::new(), |ms| format!(", down {}", show_ms(ms)));
    let why = update.why.as_ref().map_or(String::new(), |why| format!(": {}", said(why, 4)));
    let what = match (&update.via, &update.work) {
        (Some(Via::Rollback), _) => "rollback, ",
        (Some(Via::Migration), Some(DataWork::Down)) => "migrate --down, ",
        (Some(Via::Migration), _) => "migrate, ",
        (Some(Via::Configuration), _) => "config apply, ",
        (Some(Via::Channel | Via::Pin) | None, _) => "",
    };
    let (when, app) = (print::when(update.closed_ms), &past.app);
    format!("{when}  {app}  {from} → {}  {what}{ending}{down}{why}\n", update.to)
}

#[derive(Serialize)]
struct Checks {
    checks: Vec<Check>,
}

/// `check [APP]`: 0 when every candidate may be taken, 4 when a gate says no to one.
pub(super) fn check(
    settings: Settings,
    overrides: &Overrides,
    app: Option<&str>,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let names = match app {
        Some(app) => vec![app.to_owned()],
        None => settings.in_order(),
    };
    let mut reach = Reach::open(settings, overrides)?;
    let mut checks = Vec::new();
    let mut exit = Exit::Done;
    for app in names {
        match reach.ask(Request::Check { app: app.clone(), apply_config: false }) {
            Ok(Reply::Checked { check }) => {
                if !check.gates.iter().all(Answer::passes) {
                    exit = exit.max(Exit::Waiting);
                }
                checks.push(*check);
            }
            Ok(other) => return Err(unexpected(&other)),
            Err(refusal) => {
                print::talk(&format!("groundcrew: {refusal}"));
                exit = refusal.code;
            }
        }
    }
    let all = Checks { checks };
    printer.show(&all, || all.checks.iter().map(check_text).collect());
    Ok(exit)
}

/// What the gates say, line by line.
pub(super) fn check_text(check: &Check) -> String {
    let mut text = String::new();
    let runs = check.running.as_deref().unwrap_or("nothing");
    let Some(candidate) = &check.candidate else {
        return format!("{}: {runs} runs, nothing else is offered\n", check.app);
    };
    let mut line = |what: String| writeln!(text, "{what}").unwrap_or_default();
    line(format!("{}: {runs} → {candidate}", check.app));
    if let Some(open) = &check.open {
        line(format!("  an update to it is open: {open}"));
    }
    for answer in &check.gates {
        let name = answer.name.as_ref().map_or(String::new(), |name| format!(" {name}"));
        let gate = format!("{}{name}", gate_name(answer.gate));
        match &answer.verdict {
            Verdict::Pass { remark: None } => line(format!("  pass   {gate}")),
            Verdict::Pass { remark: Some(remark) } => {
                line(format!("  pass   {gate}: {}", said(remark, 9)))
            }
            Verdict::Defer { reason, until_ms } => {
                line(format!("  defer  {gate}: {}", said(reason, 9)));
                if let Some(until_ms) = until_ms {
                    line(format!("         may clear at {}", print::when(*until_ms)));
                }
            }
            Verdict::Hold { reason, remedy, .. } => {
                line(format!("  hold   {gate}: {}", said(reason, 9)));
                line(format!("         → {}", said(remedy, 11)));
            }
        }
    }
    for place in &check.room {
        let (need, free) = (show_bytes(place.need_bytes), show_bytes(place.free_bytes));
        line(format!("  room   {}: {need} needed, {free} free", place.path));
    }
    text
}

/// A gate's name as JSON spells it.
fn gate_name(gate: GateId) -> String {
    let name = serde_json::to_value(gate).unwrap_or_default();
    name.as_str().unwrap_or("gate").to_owned()
}
