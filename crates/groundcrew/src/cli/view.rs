//! How an app is, in lines for people.

use std::fmt::Write as _;

use groundcrew_engine::gate::{Answer, Verdict};
use groundcrew_engine::noun::Via;

use super::follow::reasons;
use super::print::{self, said};
use crate::config::units::show_ms;
use crate::crew::board::View;

/// Lines after the first of something that stands below the app's line.
const INDENT: usize = 4;

/// All of it, the app's own line first.
pub(super) fn view_text(view: &View) -> String {
    let mut lines = Vec::new();
    if view.state == "unknown" {
        let what = match view.up {
            Some(true) => "a process of it runs; of which release is not known",
            Some(false) => "no process of it runs; what is installed is not known",
            None => "what runs is not known",
        };
        lines.push(format!("{}: {what}", view.app));
        lines.push(format!("trouble: {}", view.trouble.as_deref().unwrap_or("no reason recorded")));
    } else {
        head(view, &mut lines);
        update(view, &mut lines);
        rest(view, &mut lines);
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let before = if index == 0 { "" } else { "  " };
        // Writing to a String cannot fail.
        writeln!(text, "{before}{}", said(line, INDENT)).unwrap_or_default();
    }
    text
}

fn head(view: &View, lines: &mut Vec<String>) {
    let runs = match &view.running {
        Some(running) => format!("{} ({})", running.version, print::short(&running.digest)),
        None => "nothing installed".to_owned(),
    };
    let down = view.up == Some(false) && view.wanted_up;
    lines.push(format!("{}: {runs}, {}{}", view.app, view.state, if down { ", down" } else { "" }));
    if down {
        lines.push(format!("it should run and does not: `groundcrew logs {}`", view.app));
    }
    if let Some(why) = &view.start_failed {
        lines.push(format!("its latest start failed: {why}"));
    }
    if let Some(finding) = view.unwell.as_ref().filter(|_| !down) {
        lines.push(format!("not well: {finding}"));
    }
    if let Some(trouble) = &view.trouble {
        lines.push(format!("trouble: {trouble}"));
    }
    if let Some(good) = &view.last_good {
        let since = print::when(good.since_ms);
        let merit = format!("{:?}", good.merit).to_lowercase();
        lines.push(format!("last-good: {}, {merit} since {since}", good.release.version));
    }
}

fn update(view: &View, lines: &mut Vec<String>) {
    if let Some(update) = &view.update {
        let from = update.from.as_deref().unwrap_or("nothing");
        lines.push(format!("update {}: {from} → {}", update.txn, update.to));
        if let Some(why) = &update.why {
            lines.push(format!("because: {why}"));
        }
    }
    if let Some(watch) = &view.watch {
        let (done, all) = (show_ms(watch.elapsed_ms), show_ms(watch.window_ms));
        let (failed, rounds) = (watch.failed, watch.rounds);
        lines.push(format!("watched {done} of {all}, {failed} of {rounds} rounds failed"));
    }
    if let (Some(candidate), Some(since_ms)) = (&view.candidate, view.waits_since_ms) {
        let (version, since) = (&candidate.version, print::when(since_ms));
        if view.approved && view.gates.iter().all(is_answered) {
            lines.push(format!(
                "candidate: {version}, approved, waits since {since} for the next look: the agent's, or `groundcrew update {}`",
                view.app
            ));
            return;
        }
        let state = if view.approved { "approved, and still waits" } else { view.state.as_str() };
        lines.push(format!("candidate: {version}, {state} since {since}{}", reasons(view)));
    }
}

/// Whether this gate has nothing against a candidate that a person approved.
fn is_answered(answer: &Answer) -> bool {
    matches!(answer.verdict, Verdict::Pass { .. } | Verdict::Hold { approvable: true, .. })
}

fn rest(view: &View, lines: &mut Vec<String>) {
    if let Some(pin) = &view.pin {
        lines.push(format!("pinned to {pin}"));
    }
    if view.paused {
        lines.push("updates are paused by hand".to_owned());
    }
    if !view.wanted_up && view.running.is_some() {
        lines.push("stopped by hand".to_owned());
    }
    if view.config_changed {
        lines.push(format!("its configuration changed: `groundcrew config apply {}`", view.app));
    }
    if let Some(order) = &view.unserved {
        let what = if order.via == Via::Migration { "the migration of" } else { "going to" };
        let (version, when, why) = (&order.version, print::when(order.at_ms), &order.why);
        lines.push(format!("{what} {version} was ordered and not done, {when}: {why}"));
    }
    for bad in &view.known_bad {
        lines.push(format!("known-bad: {}: {}", bad.version, bad.why));
    }
    if let Some(looked) = &view.last_check {
        let when = print::when(looked.at_ms);
        match &looked.error {
            None => lines.push(format!("last looked {when}")),
            Some(error) => {
                let since = looked.answered_ms.map_or(String::new(), |answered_ms| {
                    format!(" (it answered last {})", print::when(answered_ms))
                });
                lines.push(format!("last looked {when}, in vain{since}: {error}"));
            }
        }
    }
}
