//! `update`, `once` and `config apply`: asks for a look, follows it, ends with what came of it.

use serde::Serialize;

use super::args::{Ask, Wait};
use super::follow::{Outcome, follow};
use super::print::{self, Printer};
use super::reach::{Reach, unexpected};
use crate::config::{Overrides, Settings};
use crate::crew::board::View;
use crate::crew::offers;
use crate::crew::request::{Reply, Request};
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Ended<'a> {
    app: &'a str,
    outcome: &'a str,
    exit: u8,
    text: &'a str,
    status: &'a View,
}

#[derive(Serialize)]
struct All<'a> {
    updates: Vec<Ended<'a>>,
}

fn ended(outcome: &Outcome) -> Ended<'_> {
    Ended {
        app: &outcome.view.app,
        outcome: outcome.name,
        exit: outcome.exit.into(),
        text: &outcome.text,
        status: &outcome.view,
    }
}

/// `update APP`.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    ask: &Ask,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let mut reach = Reach::open(settings.clone(), overrides)?;
    update(&settings, &mut reach, ask, false, printer)
}

/// `config apply APP`.
pub(super) fn apply(
    settings: Settings,
    overrides: &Overrides,
    ask: &Ask,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let mut reach = Reach::open(settings.clone(), overrides)?;
    if reach.is_agent() {
        reach.ask(Request::Reload)?;
    }
    update(&settings, &mut reach, ask, true, printer)
}

fn update(
    settings: &Settings,
    reach: &mut Reach,
    ask: &Ask,
    apply_config: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let app = ask.app.clone();
    if let Some(wanted) = &ask.version {
        let request = Request::Check { app: app.clone(), apply_config };
        let check = match reach.ask(request)? {
            Reply::Checked { check } => check,
            other => return Err(unexpected(&other)),
        };
        let offered = check.candidate.or(check.running);
        if offered.as_ref() != Some(wanted) {
            // What nobody has is a word that was written wrongly, as for `pin`.
            offers::check(settings, &app, wanted)?;
            let offered = offered.unwrap_or_else(|| "nothing".to_owned());
            let text = format!(
                "{app}: {offered} is offered, not {wanted}; `groundcrew pin {app} {wanted}` stays at it"
            );
            return Err(Refusal::new(Exit::Waiting, text));
        }
    }
    let outcome = one(reach, &app, apply_config, true, ask.wait)?;
    printer.show(&ended(&outcome), || format!("{}\n", outcome.text));
    Ok(outcome.exit)
}

fn one(
    reach: &mut Reach,
    app: &str,
    apply_config: bool,
    by_person: bool,
    wait: Wait,
) -> Result<Outcome, Refusal> {
    let (before, pass) = begin(reach, app, apply_config, by_person)?;
    follow(reach, &before, pass, wait)
}

/// Asks for a look; what was before, and the number that it is over at.
fn begin(
    reach: &mut Reach,
    app: &str,
    apply_config: bool,
    by_person: bool,
) -> Result<(View, u64), Refusal> {
    let before = reach.view(app)?;
    let request = Request::Update { app: app.to_owned(), apply_config, by_person };
    match reach.ask(request)? {
        Reply::Asked { pass, .. } => Ok((before, pass)),
        other => Err(unexpected(&other)),
    }
}

/// `once`: every app after those that it depends on, those that may go at once together, so that
/// one that hangs delays only its own group. The worst outcome is the command's.
pub(super) fn once(
    settings: Settings,
    overrides: &Overrides,
    wait: Wait,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let batches = settings.batches();
    let mut reach = Reach::open(settings, overrides)?;
    let mut outcomes = Vec::new();
    let mut worst = Exit::Done;
    'batches: for batch in &batches {
        let begun: Vec<_> =
            batch.iter().map(|name| (name, begin(&mut reach, name, false, false))).collect();
        for (name, begun) in begun {
            let ended = begun.and_then(|(before, pass)| follow(&mut reach, &before, pass, wait));
            match ended {
                Ok(outcome) => {
                    if !printer.is_json() {
                        print::data(&format!("{}\n", outcome.text));
                    }
                    worst = worse(worst, outcome.exit);
                    let detached = outcome.name == "detached";
                    outcomes.push(outcome);
                    if detached {
                        break 'batches;
                    }
                }
                // One app's trouble never stops the others.
                Err(refusal) => {
                    print::talk(&format!("groundcrew: {name}: {refusal}"));
                    worst = worse(worst, refusal.code);
                }
            }
        }
    }
    if batches.is_empty() {
        print::talk("groundcrew: no apps are configured");
        worst = Exit::Vacuous;
    }
    let all = All { updates: outcomes.iter().map(ended).collect() };
    printer.show(&all, String::new);
    Ok(worst)
}

/// Of two, the one that a person should hear of first.
fn worse(a: Exit, b: Exit) -> Exit {
    const ORDER: [Exit; 9] = [
        Exit::Done,
        Exit::Vacuous,
        Exit::Waiting,
        Exit::Unreachable,
        Exit::Locked,
        Exit::Usage,
        Exit::Failed,
        Exit::RolledBack,
        Exit::Stuck,
    ];
    let rank = |exit: Exit| ORDER.iter().position(|known| *known == exit).unwrap_or(ORDER.len());
    if rank(b) > rank(a) { b } else { a }
}
