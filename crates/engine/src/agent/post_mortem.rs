//! The document that a rollback opens (UPD-16), prefilled from the journal. Pure.

use std::fmt::Write as _;

use crate::machine::{Back, Entry, Event, Update, WayBack};
use crate::noun::AppName;
use crate::post_mortem::{SECTIONS, UNWRITTEN, head, indented};

/// Lines of the candidate's output that are quoted.
const OUTPUT_LINES: usize = 40;

/// Writes the document.
#[must_use]
pub(super) fn write(app: &AppName, back: &Back, timeline: &[Entry]) -> String {
    let plan = &back.update.plan;
    let mut text = String::new();
    let from = plan.from.as_ref().map_or("nothing", |from| &from.release.version);
    let to = &plan.to.release;
    let opened_ms = timeline.last().map_or(plan.drawn_ms, |entry| entry.at.wall_ms);
    text.push_str(&head(app.as_str(), &to.version, &plan.txn, opened_ms));
    // Writing to a String cannot fail.
    let mut line = |what: String| writeln!(text, "{what}").unwrap_or_default();
    line(format!("# {app}: {from} → {} was rolled back\n", to.version));
    line(format!("- Update: {}", plan.txn));
    line(format!("- Release: {} ({})", to.digest, to.revision.as_deref().unwrap_or("no revision")));
    line(format!("- Cause: {:?}", back.cause).to_lowercase());
    line(format!("- Found: {}", indented(&back.why)));
    match &back.set_aside {
        Some(place) => line(format!("- Data that it wrote: {place}")),
        None => line("- Data that it wrote: none was set aside".to_owned()),
    }
    if let Some(WayBack::Snapshot(id)) = &back.way_back {
        line(format!("- Data that was brought back: snapshot {id}"));
    }
    line("\n## Timeline\n".to_owned());
    for entry in timeline {
        line(format!("- {} {}", when(entry), indented(&what(&entry.event))));
    }
    for entry in timeline {
        if let Event::EvidenceKept { ended, output } = &entry.event {
            line("\n## What the release said\n".to_owned());
            let ended = ended.as_deref().unwrap_or("it was still running");
            line(format!("Ended: {}\n", indented(ended)));
            let skip = output.len().saturating_sub(OUTPUT_LINES);
            output.iter().skip(skip).for_each(|said| line(format!("    {said}")));
        }
    }
    line("\n## Gates that passed\n".to_owned());
    for answer in &plan.answers {
        let name = answer.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        line(format!("- {:?}{name}", answer.gate));
    }
    for section in SECTIONS {
        line(format!("\n## {section}\n\n{UNWRITTEN}"));
    }
    text
}

/// Writes the document of a rollback that a person ordered after the update had closed.
#[must_use]
pub(super) fn by_hand(app: &AppName, update: &Update, timeline: &[Entry]) -> String {
    let plan = &update.plan;
    let left = plan.from.as_ref().map_or("nothing", |from| &from.release.version);
    let to = &plan.to.release;
    let by = plan.offer.ordered.as_ref().map_or("a person", |ordered| &ordered.by);
    let opened_ms = timeline.last().map_or(plan.drawn_ms, |entry| entry.at.wall_ms);
    let mut text = head(app.as_str(), left, &plan.txn, opened_ms);
    let mut line = |what: String| writeln!(text, "{what}").unwrap_or_default();
    line(format!("# {app}: {left} was left for {}\n", to.version));
    line(format!("- Update: {}", plan.txn));
    line("- Cause: operator".to_owned());
    line(format!("- Found: {} went back", indented(by)));
    match &update.set_aside {
        Some(place) => line(format!("- Data of before: {place}")),
        None => line("- Data of before: it stayed in place".to_owned()),
    }
    line("\n## Timeline\n".to_owned());
    for entry in timeline {
        line(format!("- {} {}", when(entry), indented(&what(&entry.event))));
    }
    for section in SECTIONS {
        line(format!("\n## {section}\n\n{UNWRITTEN}"));
    }
    text
}

fn when(entry: &Entry) -> String {
    jiff::Timestamp::from_millisecond(entry.at.wall_ms)
        .map_or_else(|_| format!("{} ms", entry.at.wall_ms), |time| time.to_string())
}

fn what(event: &Event) -> String {
    match event {
        Event::Intent { step } => format!("begins: {step:?}"),
        Event::Disproved { finding } => format!("disproved: {finding}"),
        Event::Failed { step, fault } => format!("{step:?} failed: {fault}"),
        Event::Watched { tick } => match &tick.finding {
            Some(finding) => format!("watched: {finding}"),
            None => "watched: well".to_owned(),
        },
        event => event.name(),
    }
}
