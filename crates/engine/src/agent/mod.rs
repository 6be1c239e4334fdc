//! The loop: ask the app what to do, do it through the ports, record what happened.
//!
//! A turn is *facts → action → intent on disk → effect → event on disk → next state believed*. One
//! [`Agent`] drives one app on one thread; a stuck effect delays only its own app.
//!
//! When the journal cannot be written the reserved room is given free first. If that does not
//! help, no forward step is taken; an app that is down goes back, from the plan in memory and by
//! observation, and what happened is recorded once the store can be written again.

pub mod care;
mod check;
mod gather;
mod look;
mod marker;
mod notices;
mod on_data;
mod perform;
mod post_mortem;
pub mod prove;
mod takeover;
mod watching;

use std::time::Duration;

use crate::data::{Passage, passage};
use crate::gate::{Answer, Round, judge};
use crate::keep::keep_set;
use crate::machine::{Action, App, Entry, Event, State, Step, Update};
use crate::notes::NoteFile;
use crate::noun::{Digest, Offer, TxnId};
use crate::plan::{DataWork, Installed, Plan};
use crate::policy::Policy;
use crate::ports::{Append, Ports, Progress, Woken};

pub use check::Checked;
pub use look::Look;
pub use marker::{ask_to_stop, withdraw};
pub use notices::{notices, summary};
use perform::Outcome;

/// The first pause after a step that failed; it grows with each that fails in a row.
const PAUSE_MS: u64 = 500;
/// The longest such pause.
const PAUSE_MAX_MS: u64 = 60_000;

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something happened; turn again.
    Progress,
    /// Nothing to do until something changes, and why.
    Rest(&'static str),
    /// The agent is to end; the next one resumes.
    Shutdown,
    /// The journal cannot be written, or holds what it should not: no update is started until the
    /// store was reopened and folded anew.
    Frozen(String),
}

/// Whether an app that ended may be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revive {
    /// It may.
    Yes,
    /// Unless its latest run ended by itself, and well.
    UnlessEndedWell,
    /// It may not, or not yet.
    No,
}

/// Drives one app.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub struct Agent<'a, 'w> {
    policy: &'a Policy,
    stage: Stage<'a, 'w>,
    app: App,
    unrecorded: Vec<Unrecorded>,
    judged: Vec<Answer>,
    failed_in_row: u32,
    unwell: Option<String>,
}

/// What a step is done with.
pub(crate) struct Stage<'a, 'w> {
    pub(crate) policy: &'a Policy,
    pub(crate) ports: &'a mut Ports<'w>,
    pub(crate) progress: &'a mut dyn Progress,
    pub(crate) notes: Option<(Digest, Vec<NoteFile>)>,
}

/// A fact that the store could not take yet.
struct Unrecorded {
    txn: Option<TxnId>,
    entry: Entry,
    before: App,
    after: App,
}

impl<'a, 'w> Agent<'a, 'w> {
    /// Takes an app over, as its journal folds.
    pub fn new(
        policy: &'a Policy,
        app: App,
        ports: &'a mut Ports<'w>,
        progress: &'a mut dyn Progress,
    ) -> Self {
        let stage = Stage { policy, ports, progress, notes: None };
        Self {
            policy,
            stage,
            app,
            unrecorded: Vec::new(),
            judged: Vec::new(),
            failed_in_row: 0,
            unwell: None,
        }
    }

    /// Where the app stands.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The answers of the latest round of gates.
    #[must_use]
    pub fn judged(&self) -> &[Answer] {
        &self.judged
    }

    /// Records what a person or the source says.
    pub fn tell(&mut self, event: Event) -> Turn {
        self.record(event)
    }

    /// One turn. `due`: a waiting candidate should be judged again.
    pub fn turn(&mut self, due: bool, revive: Revive) -> Turn {
        // The way back was walked to its end: nothing is left to do but to record it.
        let was_closed = self
            .unrecorded
            .last()
            .is_some_and(|fact| fact.entry.event == Event::Intent { step: Step::Close });
        if (self.app.state.is_settled() || was_closed)
            && let Err(why) = self.flush()
        {
            return Turn::Frozen(why);
        }
        let facts = self.facts(due, revive);
        match self.app.action(&facts) {
            Action::Wait(why) => {
                self.stand_by();
                Turn::Rest(why)
            }
            Action::Judge(round) => self.judge(round),
            Action::Record(event) => self.record(event),
            Action::Do(step) => self.step(step),
        }
    }

    fn step(&mut self, step: Step) -> Turn {
        if self.failed_in_row > 0 {
            let pause = PAUSE_MS.saturating_mul(u64::from(self.failed_in_row)).min(PAUSE_MAX_MS);
            if self.stage.ports.clock.wait(Duration::from_millis(pause)) == Woken::Shutdown {
                return Turn::Shutdown;
            }
        }
        if step.stops()
            && let Some(turn) = self.announced(step)
        {
            return turn;
        }
        if step.has_intent() {
            match self.record(Event::Intent { step }) {
                Turn::Progress => {}
                other => return other,
            }
            // Without a durable intent a forward step is not taken: the app now goes back.
            let facts = gather::facts(self.stage.ports, false, Revive::No);
            if !self.unrecorded.is_empty() && self.app.action(&facts) != Action::Do(step) {
                return Turn::Progress;
            }
        }
        if step == Step::Restart {
            let why = self.unwell.take().unwrap_or_default();
            let event = perform::restart(&self.app, why, &mut self.stage);
            withdraw(self.stage.ports);
            return self.record(event);
        }
        match perform::perform(step, &self.app, &mut self.stage) {
            Outcome::Event(event) => {
                if matches!(event, Event::Failed { step: Step::Prepare | Step::Precopy, .. }) {
                    self.stand_down(Round::Volatile);
                }
                let failed = matches!(event, Event::Failed { .. });
                self.failed_in_row = if failed { self.failed_in_row.saturating_add(1) } else { 0 };
                self.record(event)
            }
            Outcome::Nothing => Turn::Progress,
            Outcome::Shutdown => Turn::Shutdown,
        }
    }

    /// Asks the gates of a round and records what they say, if it is news.
    fn judge(&mut self, round: Round) -> Turn {
        let Some(offer) = self.app.state.offer().cloned() else {
            return Turn::Frozen("no candidate to judge".to_owned());
        };
        if round == Round::Volatile
            && let Err(fault) = self.stage.ports.host.announce(true)
        {
            self.stand_down(round);
            return self.record(Event::Failed { step: Step::Precopy, fault });
        }
        let facts = gather::gate_facts(round, &self.app, &offer, &mut self.stage);
        let answers = judge(round, &self.app, self.policy, &facts);
        self.judged = answers.clone();
        let passed = answers.iter().all(Answer::passes);
        if !passed {
            self.stand_down(round);
        }
        let now = &facts.now;
        match (round, passed) {
            (Round::Arm, true) => {
                let plan = self.draw(
                    offer,
                    answers,
                    facts.baseline.unwrap_or_default().findings,
                    now.wall_ms,
                    now,
                );
                self.record(Event::Armed { plan: Box::new(plan) })
            }
            (Round::Volatile, true) => self.record(Event::Cleared),
            (round, _) if self.is_news(&answers) || passed => {
                self.record(Event::Judged { round, answers })
            }
            _ => Turn::Rest("a gate says not now"),
        }
    }

    /// Gives back what was taken for an update that does not begin.
    fn stand_down(&mut self, round: Round) {
        self.stage.ports.neighbors.exclude(false);
        if round == Round::Volatile {
            // Both are repeated by the next round, so a failure here loses nothing.
            drop(self.stage.ports.host.announce(false));
            drop(self.stage.ports.journal.reserve(&self.policy.app, None));
        }
    }

    /// A waiting candidate's answers are recorded only when they change, so that polling does not
    /// grow the journal.
    fn is_news(&self, answers: &[Answer]) -> bool {
        match &self.app.state {
            State::Held(wait) | State::Deferred(wait) => wait.answers != answers,
            _ => true,
        }
    }

    fn draw(
        &self,
        offer: Offer,
        answers: Vec<Answer>,
        baseline: Vec<crate::ports::Finding>,
        drawn_ms: i64,
        now: &crate::noun::Now,
    ) -> Plan {
        let red = baseline.into_iter().filter(|finding| finding.failure.is_some());
        let from = self.app.running.clone();
        let before = from.as_ref().map(|from| &from.release);
        let Passage { work, one_way } = passage(self.policy.version_form, before, &offer.release);
        let ordered = offer.ordered.as_ref();
        let work = ordered.map_or(work, |ordered| ordered.work.clone());
        let one_way = match (&work, before) {
            (DataWork::Down | DataWork::Restore(_), Some(before)) => {
                let to = &offer.release.version;
                Some(format!("the data was made {to}'s, {} did not own it", before.version))
            }
            _ => one_way,
        };
        let to = ordered.map_or_else(
            || Installed {
                release: offer.release.clone(),
                config: self.policy.config.clone(),
                procedure: self.policy.procedure.clone(),
            },
            |ordered| ordered.to.clone(),
        );
        Plan {
            txn: TxnId::at(now),
            from,
            to,
            work: Some(work),
            one_way,
            offer: Offer { config: self.policy.config.clone(), ..offer },
            answers,
            left_out: red.map(|finding| finding.probe.as_str().into()).collect(),
            drawn_ms,
        }
    }

    /// Records an event and believes it afterwards.
    fn record(&mut self, event: Event) -> Turn {
        let entry = Entry { at: self.stage.ports.clock.now(), event };
        let after = match self.app.clone().apply(&entry) {
            Ok(after) => after,
            Err(unexpected) => return Turn::Frozen(unexpected.to_string()),
        };
        let txn = self.txn(&after);
        let fact = Unrecorded { txn, entry, before: std::mem::take(&mut self.app), after };
        if self.unrecorded.is_empty() && self.append(&fact).is_ok() {
            self.app = fact.after;
            return Turn::Progress;
        }
        self.app.clone_from(&fact.before);
        match self.relieve(&fact) {
            Ok(()) => {
                self.app = fact.after;
                Turn::Progress
            }
            Err(reason) => self.without_journal(fact, reason),
        }
    }

    fn txn(&self, after: &App) -> Option<TxnId> {
        let of = |app: &App| app.state.update().map(|update| update.plan.txn.clone());
        of(&self.app).or_else(|| of(after))
    }

    fn append(&mut self, fact: &Unrecorded) -> Result<(), String> {
        let told = notices(&self.policy.app, &fact.before, &fact.after, &fact.entry);
        let closed = summary(&fact.before, &fact.entry);
        let append = Append {
            app: &self.policy.app,
            txn: fact.txn.as_ref(),
            entry: &fact.entry,
            notices: &told,
            before: &fact.before,
            after: &fact.after,
            closed: closed.as_ref(),
        };
        self.stage.ports.journal.append(&append).map_err(|error| error.text)
    }

    /// Frees the reserved room, reopens the store, and appends all that it missed.
    fn relieve(&mut self, fact: &Unrecorded) -> Result<(), String> {
        self.stage.ports.journal.relieve().map_err(|error| error.text)?;
        self.flush()?;
        self.append(fact)
    }

    /// Appends what the store could not take before; what it still does not take is kept.
    fn flush(&mut self) -> Result<(), String> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        let unwritable = |why: String| format!("the journal cannot be written: {why}");
        self.stage.ports.journal.relieve().map_err(|error| unwritable(error.text))?;
        while !self.unrecorded.is_empty() {
            let fact = self.unrecorded.remove(0);
            if let Err(why) = self.append(&fact) {
                self.unrecorded.insert(0, fact);
                return Err(unwritable(why));
            }
        }
        Ok(())
    }

    /// What happens to an app whose journal cannot be written.
    fn without_journal(&mut self, fact: Unrecorded, reason: String) -> Turn {
        let is_intent = matches!(fact.entry.event, Event::Intent { .. });
        let lost = Event::JournalLost { reason: reason.clone() };
        let lost = Entry { at: fact.entry.at.clone(), event: lost };
        // An effect has happened and is known in memory; an intent has not.
        let stands = if is_intent { self.app.clone() } else { fact.after.clone() };
        let Ok(back) = stands.clone().apply(&lost) else { return Turn::Frozen(reason) };
        let on_the_way_back = back.state == stands.state;
        let txn = fact.txn.clone();
        if on_the_way_back || !is_intent {
            self.app = fact.after.clone();
            self.unrecorded.push(fact);
        }
        if !on_the_way_back {
            let before = std::mem::replace(&mut self.app, back.clone());
            self.unrecorded.push(Unrecorded { txn, entry: lost, before, after: back });
        }
        Turn::Progress
    }

    /// Something happened that the store could not take yet. It is known to this agent alone, so the
    /// agent must not be given up for another one.
    #[must_use]
    pub fn has_unrecorded(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// Asks the probes of an app that no update has its hands on; the first that fails.
    pub fn ask_health(&mut self) -> Option<String> {
        let running = self.app.running.as_ref()?;
        let failed = gather::ask_all(running, self.stage.ports).into_iter();
        failed
            .filter_map(|finding| finding.failure.map(|why| format!("{}: {why}", finding.probe)))
            .next()
    }

    /// The app is to be restarted because of this, as soon as nothing forbids to stop it (RUN-7).
    pub fn restart_because(&mut self, why: Option<String>) {
        self.unwell = why;
    }

    /// Removes what nothing needs any more. Observes first; if that fails, removes nothing.
    ///
    /// # Errors
    ///
    /// Something could not be observed or removed.
    pub fn tidy(&mut self) -> Result<Vec<String>, String> {
        let observed = self.stage.ports.runtime.observe().map_err(|fault| fault.text)?;
        let now = self.stage.ports.clock.now();
        let set = keep_set(&self.app, self.policy, &observed, &now);
        let mut removed = self.stage.ports.snapshots.keep(&set).map_err(|fault| fault.text)?;
        let releases = self.stage.ports.source.keep(&set).map_err(|error| error.text)?;
        removed.extend(releases.into_iter().map(|digest| format!("release {digest}")));
        Ok(removed)
    }

    /// The open update, for a display.
    #[must_use]
    pub fn update(&self) -> Option<&Update> {
        self.app.state.update()
    }
}
