//! Follows an app while something is done: says each state, draws a bar, ends with the outcome.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use groundcrew_engine::gate::Verdict;
use groundcrew_engine::machine::{Cause, Ending};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Wait;
use super::print::{self, said};
use super::reach::Reach;
use crate::crew::board::View;
use crate::exit::{Exit, Refusal};

/// Pause between two looks at the view.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for an app that is started by hand.
const START_LOOKS_MAX: u32 = 600;

/// How something ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// What the command ends with.
    pub(super) exit: Exit,
    /// In one word, for JSON.
    pub(super) name: &'static str,
    /// In a sentence.
    pub(super) text: String,
    /// The app at the end.
    pub(super) view: View,
}

/// Waits for the look number `pass`, and for what follows from it.
///
/// # Errors
///
/// Nobody answers any more.
pub(super) fn follow(
    reach: &mut Reach,
    before: &View,
    pass: u64,
    wait: Wait,
) -> Result<Outcome, Refusal> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends this process at once; this is asked before the flag is set.
        drop(signal_hook::flag::register_conditional_shutdown(
            signal,
            u8::from(Exit::Failed).into(),
            Arc::clone(&interrupted),
        ));
        // Without the handler the signal ends this process, which is as good.
        drop(signal_hook::flag::register(signal, Arc::clone(&interrupted)));
    }
    let mut display = Display::new(&before.app);
    loop {
        let view = reach.view(&before.app)?;
        display.draw(&view);
        if let Some((exit, name, text)) = outcome(before, &view, pass, wait) {
            display.clear();
            return Ok(Outcome { exit, name, text, view });
        }
        if interrupted.load(Ordering::SeqCst) {
            display.clear();
            let text = if reach.is_agent() {
                "detached; the agent goes on".to_owned()
            } else {
                "ending as soon as the app is up; the next agent or `once` goes on".to_owned()
            };
            return Ok(Outcome { exit: Exit::Waiting, name: "detached", text, view });
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// Waits until an app that is to run was started.
///
/// # Errors
///
/// It does not start.
pub(super) fn until_up(reach: &mut Reach, app: &str, pass: u64) -> Result<(), Refusal> {
    for _ in 0..START_LOOKS_MAX {
        let view = reach.view(app)?;
        if let Some(why) = view.trouble.or(view.start_failed) {
            return Err(Refusal::failed(format!("{app} does not start: {why}")));
        }
        if view.rested >= pass || view.state == "watching" {
            return Ok(());
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    Err(Refusal::failed(format!("{app} did not start in time; see `groundcrew logs {app}`")))
}

/// What it came to; `None`: it goes on.
fn outcome(
    before: &View,
    view: &View,
    pass: u64,
    wait: Wait,
) -> Option<(Exit, &'static str, String)> {
    let app = &view.app;
    let closed = view
        .last_update
        .as_ref()
        .filter(|now| before.last_update.as_ref().is_none_or(|was| was.txn != now.txn));
    if let Some(closed) = closed {
        let to = &closed.to;
        let why = closed.why.as_deref().unwrap_or("no reason recorded");
        return Some(match (closed.ending, closed.cause) {
            (Ending::Proven, _) => (Exit::Done, "proven", format!("{app}: {to} is proven")),
            (Ending::Unproven, _) => {
                (Exit::Failed, "unproven", format!("{app}: {to} runs and is not proven: {why}"))
            }
            (Ending::RolledBack, _) => {
                (Exit::RolledBack, "rolled-back", format!("{app}: {to} was rolled back: {why}"))
            }
            (Ending::Aborted, Some(Cause::Candidate)) => {
                (Exit::Failed, "aborted", format!("{app}: {to} was given up: {why}"))
            }
            (Ending::Aborted, _) => {
                (Exit::Waiting, "aborted", format!("{app}: the update to {to} was put off: {why}"))
            }
        });
    }
    if view.is_stuck() {
        let why = view.update.as_ref().and_then(|update| update.why.clone()).unwrap_or_default();
        return Some((Exit::Stuck, "stuck", format!("{app}: stuck, a person is needed: {why}")));
    }
    let accepted = view.state == "watching" || view.state == "proven";
    if accepted && wait == Wait::Accepted && is_watched_on(before, view) {
        let to = view.update.as_ref().map_or("", |update| update.to.as_str());
        let text = format!("{app}: {to} is accepted, its watch goes on");
        return Some((Exit::Done, "accepted", text));
    }
    if view.rested < pass {
        return None;
    }
    rested(view)
}

/// A watch that was open before goes on by so many rounds, so that passes without an agent bring it
/// to its end: time counts between two rounds.
const ROUNDS_PER_PASS: u32 = 2;

fn is_watched_on(before: &View, view: &View) -> bool {
    let txn = |view: &View| view.update.as_ref().map(|update| update.txn.clone());
    let rounds = |view: &View| view.watch.as_ref().map_or(0, |watch| watch.rounds);
    let same = before.state == "watching" && txn(before) == txn(view);
    !same || rounds(view) >= rounds(before).saturating_add(ROUNDS_PER_PASS)
}

/// Nothing more happens by itself.
fn rested(view: &View) -> Option<(Exit, &'static str, String)> {
    let app = &view.app;
    if let Some(trouble) = &view.trouble {
        return Some((Exit::Failed, "failed", format!("{app}: {trouble}")));
    }
    if let Some(error) = view.last_check.as_ref().and_then(|looked| looked.error.as_ref()) {
        let text = format!("{app}: the source does not answer: {error}");
        return Some((Exit::Unreachable, "unreachable", text));
    }
    let version = view.candidate.as_ref().map_or("", |candidate| candidate.version.as_str());
    match view.state.as_str() {
        "held" => {
            let text = format!("{app}: {version} is held{}", reasons(view));
            Some((Exit::Waiting, "held", text))
        }
        "deferred" => {
            let text = format!("{app}: {version} is deferred{}", reasons(view));
            Some((Exit::Waiting, "deferred", text))
        }
        "idle" => {
            let runs = view.running.as_ref().map_or("", |running| running.version.as_str());
            Some((Exit::Done, "current", format!("{app}: {runs} is what is offered")))
        }
        "empty" => {
            let text = format!("{app}: nothing is installed and nothing is offered");
            Some((Exit::Vacuous, "nothing", text))
        }
        "rb-stopping" => {
            let to = view.update.as_ref().map_or("", |update| update.to.as_str());
            let text = format!(
                "{app}: {to} is to go back and waits: busy; the next agent or `once` goes on"
            );
            Some((Exit::Waiting, "busy", text))
        }
        _ => None,
    }
}

/// What the gates that do not pass say, with the way out.
pub(super) fn reasons(view: &View) -> String {
    let mut text = String::new();
    for answer in &view.gates {
        match &answer.verdict {
            Verdict::Pass { .. } => {}
            Verdict::Defer { reason, until_ms } => {
                text.push_str(&format!("\n  {}", said(reason, 2)));
                if let Some(until_ms) = until_ms {
                    text.push_str(&format!("\n    may clear at {}", print::when(*until_ms)));
                }
            }
            Verdict::Hold { reason, remedy, .. } => {
                let (reason, remedy) = (said(reason, 2), said(remedy, 6));
                text.push_str(&format!("\n  {reason}\n    → {remedy}"));
            }
        }
    }
    text
}

/// What is drawn while it goes on.
struct Display {
    app: String,
    state: String,
    bar: ProgressBar,
}

impl Display {
    fn new(app: &str) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { app: app.to_owned(), state: String::new(), bar }
    }

    fn draw(&mut self, view: &View) {
        if view.state != self.state {
            self.state.clone_from(&view.state);
            if !matches!(view.state.as_str(), "idle" | "empty") {
                self.bar.suspend(|| print::talk(&format!("{}: {}", self.app, self.state)));
            }
        }
        match &view.progress {
            Some(meter) => {
                self.bar.set_message(self.state.clone());
                self.bar.set_length(meter.total);
                self.bar.set_position(meter.done);
            }
            None => self.bar.set_position(0),
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
