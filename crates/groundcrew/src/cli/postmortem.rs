//! `postmortem list | show | close`: the files that rollbacks open, and people write and close.
//!
//! They are files, so no agent is asked: whoever may read the state directory may read them.

use std::path::Path;

use groundcrew_drivers::post_mortems;
use groundcrew_engine::post_mortem::{self, Closing};
use serde::Serialize;

use super::args::PostmortemCommand;
use super::print::{self, Printer};
use super::tell::who;
use crate::chain;
use crate::config::Settings;
use crate::exit::{Exit, Refusal};
use crate::post_mortems::{PostMortem, all, left_out};

#[derive(Serialize)]
struct List {
    post_mortems: Vec<PostMortem>,
    left_out: usize,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    post_mortem: PostMortem,
    text: String,
}

#[derive(Serialize)]
struct Said {
    text: String,
}

/// Runs one of them.
pub(super) fn run(
    settings: &Settings,
    command: PostmortemCommand,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let known = all(&settings.state, now_ms)?;
    match command {
        PostmortemCommand::List { app } => {
            let of = |one: &PostMortem| app.is_none() || one.app == app;
            let left_out = left_out(&settings.state)?;
            let list = List { post_mortems: known.into_iter().filter(of).collect(), left_out };
            printer.show(&list, || match list.post_mortems.as_slice() {
                [] => "there are no post-mortems\n".to_owned(),
                all => all.iter().map(line).collect(),
            });
            if left_out > 0 {
                let dir = post_mortems::dir(&settings.state);
                print::talk(&format!(
                    "groundcrew: {left_out} older ones are not shown; they lie in {}",
                    dir.display()
                ));
            }
            Ok(Exit::Done)
        }
        PostmortemCommand::Show { name } => {
            let post_mortem = meant(known, &name)?;
            let Some(text) = post_mortem.text.clone() else { return Err(unreadable(&post_mortem)) };
            let shown = Shown { post_mortem, text };
            let end = if shown.text.ends_with('\n') { "" } else { "\n" };
            printer.show(&shown, || format!("{}{end}", shown.text));
            shown.post_mortem.odd.iter().for_each(|odd| print::talk(&format!("groundcrew: {odd}")));
            Ok(Exit::Done)
        }
        PostmortemCommand::Close { name, by, cause, as_is } => {
            let one = meant(known, &name)?;
            let by = by.unwrap_or_else(who);
            let closing = Closing { by: &by, at_ms: now_ms, cause: cause.as_deref(), as_is };
            let text = close(&one, &closing)?;
            printer.show(&Said { text: text.clone() }, || format!("{text}\n"));
            Ok(Exit::Done)
        }
    }
}

fn close(one: &PostMortem, closing: &Closing<'_>) -> Result<String, Refusal> {
    let Some(before) = &one.text else { return Err(unreadable(one)) };
    if !one.open {
        let by = one.closed_by.as_deref().unwrap_or("somebody");
        return Err(Refusal::usage(format!("{} is closed already, by {by}", one.name)));
    }
    let written = closing
        .cause
        .map_or_else(|| before.clone(), |cause| post_mortem::with_cause(before, cause));
    let missing = post_mortem::read(&written, one.opened_ms).missing;
    if !missing.is_empty() && !closing.as_is {
        return Err(Refusal::new(
            Exit::Waiting,
            format!(
                "{} is not closed: nothing is written under {}\n  → write it in {}, \
                 or close it as it is with --as-is",
                one.name,
                missing.join(", "),
                one.path
            ),
        ));
    }
    // What is whole is not marked as incomplete.
    let closing = Closing { as_is: closing.as_is && !missing.is_empty(), ..closing.clone() };
    let after = post_mortem::close(before, &closing);
    post_mortems::replace(Path::new(&one.path), before, &after)
        .map_err(|error| Refusal::failed(chain(&error)))?;
    let left = if closing.as_is { ", as it is" } else { "" };
    Ok(format!("{} is closed by {}{left}", one.name, closing.by))
}

fn unreadable(one: &PostMortem) -> Refusal {
    Refusal::failed(format!("{}: {}; mend the file", one.path, one.odd.join("; ")))
}

/// The one that a person means: its name, its beginning if no other begins so, or an app that has
/// only one open.
fn meant(known: Vec<PostMortem>, said: &str) -> Result<PostMortem, Refusal> {
    let plain = said.strip_suffix(".md").unwrap_or(said);
    if let Some(one) = known.iter().find(|one| one.name == plain) {
        return Ok(one.clone());
    }
    let begins: Vec<&PostMortem> = known.iter().filter(|one| one.name.starts_with(plain)).collect();
    let of_app: Vec<&PostMortem> =
        known.iter().filter(|one| one.open && one.app.as_deref() == Some(plain)).collect();
    match (begins.as_slice(), of_app.as_slice()) {
        ([one], _) | ([], [one]) => Ok((*one).clone()),
        ([], []) if known.is_empty() => {
            Err(Refusal::usage(format!("there is no post-mortem {said:?}; there are none at all")))
        }
        (begins, of_app) => {
            let several: Vec<&str> =
                begins.iter().chain(of_app).map(|one| one.name.as_str()).collect();
            let why = if several.is_empty() { "there is no" } else { "more than one is a" };
            let names: Vec<&str> = match several.is_empty() {
                true => known.iter().map(|one| one.name.as_str()).collect(),
                false => several,
            };
            Err(Refusal::usage(format!(
                "{why} post-mortem {said:?}; there are:\n  {}",
                names.join("\n  ")
            )))
        }
    }
}

fn line(one: &PostMortem) -> String {
    let state = match (one.open, one.overdue) {
        (false, _) => {
            let by = one.closed_by.as_deref().map_or(String::new(), |by| format!(" by {by}"));
            format!("closed{by}")
        }
        (true, false) => format!("open, due {}", print::when(one.due_ms)),
        (true, true) => format!("open, overdue since {}", print::when(one.due_ms)),
    };
    let mut text = format!("{}  {state}\n", one.name);
    if one.open && !one.missing.is_empty() && one.text.is_some() {
        text.push_str(&format!("  to be written: {}\n", one.missing.join(", ")));
    }
    one.odd.iter().for_each(|odd| text.push_str(&format!("  odd: {odd}\n")));
    text
}

/// What `status` says of those that are open.
pub(super) fn open_text(one: &PostMortem) -> String {
    let due = if one.overdue { "overdue since" } else { "due" };
    let when = print::when(one.due_ms);
    format!("post-mortem {} is open, {due} {when}: `groundcrew postmortem show {0}`\n", one.name)
}
