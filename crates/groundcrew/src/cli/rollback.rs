//! `rollback` and `migrate`: what a person orders, said before it is done, and what came of it.

use std::io::{BufRead as _, IsTerminal as _};

use groundcrew_engine::machine::Cause;
use groundcrew_engine::policy::Profile;
use serde::Serialize;

use super::args::{Rollback, Wait};
use super::follow::{Outcome, follow};
use super::print::{self, Printer};
use super::reach::{Reach, unexpected};
use super::tell::who;
use crate::config::{Overrides, Settings};
use crate::crew::copies;
use crate::crew::order::{DataAsk, GoBack, WayBack};
use crate::crew::request::{Reply, Request};
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct WentBack<'a> {
    app: &'a str,
    from: &'a str,
    to: &'a str,
    data: &'a str,
    instead: Option<&'a str>,
    outcome: &'a str,
    exit: u8,
    text: &'a str,
}

/// `rollback APP [RELEASE]`: 0 only when the older release proved healthy.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    ask: &Rollback,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let app = &ask.app;
    let mut release = ask.release.clone();
    let mut restore = ask.restore_data.clone();
    // `--restore-data SNAPSHOT`, written with a space, is what it looks like: no release is called so.
    if restore == Some(None)
        && let Some(word) = &release
        && copies::list(&settings, app)?.iter().any(|copy| copy.id == *word)
    {
        restore = Some(release.take());
    }
    let data = match (&restore, ask.keep_data) {
        (Some(Some(id)), _) => DataAsk::Snapshot(id.clone()),
        (Some(None), _) => DataAsk::Restore,
        (None, true) => DataAsk::Keep,
        (None, false) => DataAsk::Usual,
    };
    let back = GoBack { release, data, approve: ask.approve, only_say: ask.dry_run, by: who() };
    let mut reach = Reach::open(settings, overrides)?;
    let way = match reach.ask(Request::Rollback { app: app.clone(), back })? {
        Reply::GoesBack { way } => way,
        other => return Err(unexpected(&other)),
    };
    print::talk(&said(app, &way));
    let Some(pass) = way.pass else {
        let text = format!("{app}: nothing was done");
        return Ok(show(printer, app, &way, Exit::Done, "said", &text));
    };
    // After it is recorded: an update that closes meanwhile is not taken for this one.
    let before = reach.view(app)?;
    let outcome = follow(&mut reach, &before, pass, ask.wait)?;
    let (exit, name, text) = came_of(app, &way, &outcome);
    Ok(show(printer, app, &way, exit, name, &text))
}

fn said(app: &str, way: &WayBack) -> String {
    let WayBack { from, to, data, instead, remark, .. } = way;
    let instead = instead.as_ref().map_or(String::new(), |other| format!("\n  or: {other}"));
    let remark = remark.as_ref().map_or(String::new(), |remark| format!("\n  {remark}"));
    format!("{app}: {from} → {to}\n  data: {data}{instead}{remark}")
}

fn show(
    printer: &Printer,
    app: &str,
    way: &WayBack,
    exit: Exit,
    outcome: &str,
    text: &str,
) -> Exit {
    let WayBack { from, to, data, instead, .. } = way;
    let instead = instead.as_deref();
    let done = WentBack { app, from, to, data, instead, outcome, exit: exit.into(), text };
    printer.show(&done, || format!("{text}\n"));
    exit
}

/// What came of it, seen from the person who wanted the older release.
fn came_of(app: &str, way: &WayBack, outcome: &Outcome) -> (Exit, &'static str, String) {
    let (from, to) = (&way.from, &way.to);
    let runs = outcome.view.running.as_ref().map(|running| running.version.as_str());
    let cause = outcome.view.last_update.as_ref().and_then(|update| update.cause);
    match outcome.name {
        "rolled-back" if cause == Some(Cause::Operator) => {
            (Exit::Done, "back", format!("{app}: {to} runs again and is healthy; {from} was left"))
        }
        "accepted" | "proven" => {
            (Exit::Done, "back", format!("{app}: {to} runs again and is healthy; {from} was left"))
        }
        "current" | "held" | "deferred" if runs != Some(to) => {
            let text = format!("{app}: {from} still runs; {}", why_not(outcome));
            (Exit::Waiting, "not-done", text)
        }
        name => (outcome.exit, name, outcome.text.clone()),
    }
}

/// What was in the way of an order for which nothing was touched.
fn why_not(outcome: &Outcome) -> String {
    match &outcome.view.unserved {
        Some(order) => order.why.clone(),
        None => "something came in between, ask again".to_owned(),
    }
}

/// `migrate APP`.
pub(super) fn migrate(
    settings: Settings,
    overrides: &Overrides,
    app: &str,
    down: bool,
    yes: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let asks = settings.profile == Profile::Workstation && !yes;
    let mut reach = Reach::open(settings, overrides)?;
    if asks && !agreed(app, down)? {
        return Err(Refusal::new(Exit::Waiting, format!("{app}: not migrated; nobody said yes")));
    }
    let request = Request::Migrate { app: app.to_owned(), down, by: who() };
    let pass = match reach.ask(request)? {
        Reply::Asked { pass, text } => {
            print::talk(&text.unwrap_or_default());
            pass
        }
        Reply::Done { text } => {
            let said = serde_json::json!({ "app": app, "outcome": "not-now", "text": text });
            printer.show(&said, || format!("{text}\n"));
            return Ok(Exit::Done);
        }
        other => return Err(unexpected(&other)),
    };
    let before = reach.view(app)?;
    let outcome = follow(&mut reach, &before, pass, Wait::Accepted)?;
    let (exit, name, text) = match outcome.name {
        "accepted" | "proven" => {
            let what = if down { "its migration is undone" } else { "it is migrated" };
            (Exit::Done, "migrated", format!("{app}: {what}, and it is healthy"))
        }
        "current" | "held" | "deferred" => {
            let text = format!("{app}: not migrated; {}", why_not(&outcome));
            (Exit::Waiting, "not-done", text)
        }
        name => (outcome.exit, name, outcome.text.clone()),
    };
    let said =
        serde_json::json!({ "app": app, "outcome": name, "exit": u8::from(exit), "text": text });
    printer.show(&said, || format!("{text}\n"));
    Ok(exit)
}

/// Asks the person at the terminal.
fn agreed(app: &str, down: bool) -> Result<bool, Refusal> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let text = format!(
            "{app}: a workstation asks before a migration; add --yes where nobody can answer"
        );
        return Err(Refusal::usage(text));
    }
    let what = if down { "undo the migration of" } else { "migrate" };
    print::talk(&format!("{app} is stopped for it. {what} {app} now? [y/N]"));
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(|error| Refusal::failed(error.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
