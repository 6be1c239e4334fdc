//! All that groundcrew knows of one app, and the fold that keeps it.
//!
//! Facts that outlive an update (what runs, last-good, known-bad, a person's wishes) stand beside
//! the state of the open update. A checkpoint is this structure, written when no update is open.

use serde::{Deserialize, Serialize};

use super::kept::{Failed, KnownBad, LastGood, Merit, Retained, Retries, Unserved, Uptime};
use super::state::{Precopy, Secured, State, Update, WayBack};
use super::way_back::{Back, Cause, Ending};
use super::{Entry, Event, Step, Unexpected, again, back, forward, resume, unexpected, waiting};
use crate::gate::{Answer, GateId};
use crate::noun::{ConfigHash, Digest, Now, Offer, Release, TxnId, Via};
use crate::plan::{DataWork, Installed};

/// Releases remembered as proven on this host; the oldest is forgotten first.
const PROVEN_MAX: usize = 50;
/// Candidates remembered as bad; the oldest is forgotten first.
const KNOWN_BAD_MAX: usize = 50;
/// Characters kept of why a candidate is known as bad; the post-mortem has the rest.
const WHY_MAX: usize = 500;
/// Closed updates whose way back may be kept; the oldest is forgotten first.
const RETAINED_MAX: usize = 20;

/// All that is known of one app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Where the open update stands.
    pub state: State,
    /// What is in place.
    pub running: Option<Installed>,
    /// The update that put it there.
    pub running_txn: Option<TxnId>,
    /// What was proven last, or adopted as found.
    pub last_good: Option<LastGood>,
    /// Releases proven on this host, oldest first.
    pub proven: Vec<Digest>,
    /// Candidates that were rolled back here.
    pub known_bad: Vec<KnownBad>,
    /// Way backs of closed updates, kept for a person, oldest first.
    pub retained: Vec<Retained>,
    /// Candidates that a person let through.
    pub approved: Vec<Digest>,
    /// The one version or digest to stay at.
    pub pin: Option<String>,
    /// The latest update whose data was set aside; data and snapshot are kept as evidence.
    #[serde(default)]
    pub last_failed: Option<Failed>,
    /// The latest restore by hand; what it replaced is kept.
    #[serde(default)]
    pub last_restored: Option<TxnId>,
    /// The release that runs, if a person had its migration undone under it.
    #[serde(default)]
    pub undone: Option<Digest>,
    /// A person stopped all updates.
    pub paused: bool,
    /// The app should run.
    pub wanted_up: bool,
    /// Wall clock since when something newer than what runs has waited, whatever it was, milliseconds
    /// since 1970.
    #[serde(default)]
    pub behind_since_ms: Option<i64>,
    /// What a person ordered last, if it came to nothing before anything was touched.
    #[serde(default)]
    pub unserved: Option<Unserved>,
    /// How often the present candidate failed through no fault of its own.
    pub retries: Option<Retries>,
    /// The highest serial number of a channel that was followed.
    pub serial: Option<u64>,
    /// Starts outside any update; names their runs.
    pub revivals: u32,
    /// Accumulated uptime.
    pub uptime: Uptime,
    /// The effect that was begun and not yet reported.
    pub intent: Option<Step>,
}

impl Default for App {
    fn default() -> Self {
        Self {
            state: State::Idle,
            running: None,
            running_txn: None,
            last_good: None,
            proven: Vec::new(),
            known_bad: Vec::new(),
            retained: Vec::new(),
            approved: Vec::new(),
            pin: None,
            last_failed: None,
            last_restored: None,
            undone: None,
            paused: false,
            wanted_up: true,
            behind_since_ms: None,
            unserved: None,
            retries: None,
            serial: None,
            revivals: 0,
            uptime: Uptime::default(),
            intent: None,
        }
    }
}

impl App {
    /// Folds one entry of the journal.
    ///
    /// # Errors
    ///
    /// The event does not belong to this state. The caller records nothing and holds the app.
    pub fn apply(mut self, entry: &Entry) -> Result<Self, Unexpected> {
        self.uptime.advance(&entry.at);
        match &entry.event {
            Event::Intent { step } => {
                self.state = forward::begin(self.state, *step)?;
                self.state = back::begin(self.state, *step);
                self.intent = Some(*step);
                return Ok(self);
            }
            Event::Resumed { found } => {
                self.state = resume::resume(self.state, self.intent.take(), found);
                if found.stopped && self.wanted_up {
                    self.state = resume::watch_anew(self.state, &entry.at);
                }
                if found.exchanged {
                    self.last_failed = self.failed_now().or(self.last_failed);
                }
                if let (true, State::RbStarting(back)) = (found.switched_back, &self.state) {
                    self.running = back.update.plan.from.clone();
                    self.running_txn = Some(back.update.plan.txn.clone());
                }
                return Ok(self);
            }
            event if self.wish(event, &entry.at)? => return Ok(self),
            _ => self.intent = None,
        }
        self.turn(entry)
    }

    /// What a person wants; true when the event was one of these.
    fn wish(&mut self, event: &Event, at: &Now) -> Result<bool, Unexpected> {
        match event {
            Event::Approved { digest, .. } => self.approve(digest, at),
            Event::Unblocked { .. } => {
                self.known_bad.clear();
                self.retries = None;
                self.state = back::unblock(std::mem::take(&mut self.state));
            }
            Event::Pinned { to } => self.pin = Some(to.clone()),
            Event::Unpinned => self.pin = None,
            Event::NotNow { .. } | Event::LeftUnwell { .. } => {}
            Event::Paused => self.paused = true,
            Event::Unpaused => self.paused = false,
            Event::Wanted { up } => self.want(*up),
            Event::RestoredByHand { txn, .. } => self.last_restored = Some(txn.clone()),
            Event::Revived { .. } => {
                self.revivals = self.revivals.saturating_add(1);
                self.intent = None;
            }
            Event::Adopted { installed } => {
                if self.state != State::Idle || self.running.is_some() {
                    return Err(unexpected(&self.state, event));
                }
                self.running = Some((**installed).clone());
                self.trust((**installed).clone(), Merit::Adopted, at);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A watch neither goes on nor counts while a person wants the app down.
    fn want(&mut self, up: bool) {
        self.wanted_up = up;
        if let State::Watching(watching) = &mut self.state {
            watching.seen.last = None;
        }
    }

    fn approve(&mut self, digest: &Digest, at: &Now) {
        if !self.approved.contains(digest) {
            self.approved.push(digest.clone());
        }
        let unproven = self.unproven().filter(|running| running.release.digest == *digest);
        if let (State::Idle, Some(installed)) = (&self.state, unproven) {
            let installed = installed.clone();
            self.trust(installed, Merit::Approved, at);
        }
    }

    /// What runs, if it is not the last-good release: an update that was left unproven.
    #[must_use]
    pub fn unproven(&self) -> Option<&Installed> {
        let running = self.running.as_ref()?;
        let good = self.last_good.as_ref().map(|good| &good.installed);
        let same = good.is_some_and(|good| {
            good.release.digest == running.release.digest && good.config == running.config
        });
        (!same && self.state.update().is_none()).then_some(running)
    }

    fn trust(&mut self, installed: Installed, merit: Merit, at: &Now) {
        let digest = installed.release.digest.clone();
        self.proven.retain(|known| *known != digest);
        self.proven.push(digest);
        if self.proven.len() > PROVEN_MAX {
            self.proven.remove(0);
        }
        self.last_good = Some(LastGood { installed, merit, since_ms: at.wall_ms });
    }

    /// Folds an event of the update itself.
    fn turn(mut self, entry: &Entry) -> Result<Self, Unexpected> {
        let before = std::mem::take(&mut self.state);
        let ordered = again::ordered(&before);
        let (at, event) = (&entry.at, &entry.event);
        self.state = match (before, event) {
            (state, Event::Found { offer }) => self.found(state, offer, event)?,
            (state, Event::Ordered { offer }) => {
                self.found(state, offer, event)?;
                State::Fetching(offer.clone())
            }
            (
                State::Held(_)
                | State::Deferred(_)
                | State::Detected(_)
                | State::Fetching(_)
                | State::Staged(_),
                Event::Withdrawn,
            ) => State::Idle,
            (State::Fetching(offer), Event::Failed { step: Step::Fetch, fault }) => {
                self.not_fetched(offer, fault, at)
            }
            (
                State::Armed(update) | State::Precopying(Precopy { update, .. }),
                Event::Failed { step: Step::Prepare | Step::Precopy, fault },
            ) => self.retry(update.plan.offer, true, &fault.text, at),
            (State::Proven(secured), Event::Closed { .. }) => self.close_proven(secured, at),
            (State::Unproven(unproven), Event::Closed { .. }) => {
                self.retain(&unproven.secured, at);
                self.leave(&unproven.secured.update, at);
                State::Idle
            }
            (State::RolledBack(back) | State::Aborted(back), Event::Closed { .. }) => {
                self.close_back(&back, at)
            }
            (state, _) if back::is_back(&state) => back::apply(state, event, at)?,
            (state, _) => forward::apply(state, event, at)?,
        };
        self.note(event, at);
        self.note_order(ordered, event, at);
        Ok(self)
    }

    fn found(&self, state: State, offer: &Offer, event: &Event) -> Result<State, Unexpected> {
        match state {
            State::Idle
            | State::Detected(_)
            | State::Held(_)
            | State::Deferred(_)
            | State::Fetching(_)
            | State::Staged(_) => Ok(State::Detected(offer.clone())),
            state => Err(unexpected(&state, event)),
        }
    }

    /// Facts beside the state that the event also changes.
    fn note(&mut self, event: &Event, at: &Now) {
        match (event, &self.state) {
            (_, State::Held(_) | State::Deferred(_)) => {
                self.behind_since_ms.get_or_insert(at.wall_ms);
            }
            (Event::Withdrawn | Event::Closed { ending: Ending::Proven | Ending::Unproven }, _) => {
                self.behind_since_ms = None;
            }
            (Event::Switched, State::Migrating(secured) | State::Starting(secured)) => {
                self.running = Some(secured.update.plan.to.clone());
                self.running_txn = Some(secured.update.plan.txn.clone());
                self.serial = self.serial.max(secured.update.plan.offer.serial);
            }
            (Event::RbSwitched, State::RbStarting(back)) => {
                self.running = back.update.plan.from.clone();
                self.running_txn = Some(back.update.plan.txn.clone());
            }
            (Event::RbStarted, State::RbProbing(back)) => {
                self.running_txn = Some(back.update.plan.txn.clone());
            }
            (_, State::RollbackDecided(back))
                if matches!(back.cause, Cause::Candidate | Cause::Operator)
                    // The release ran well before somebody ran its command by hand.
                    && back.update.plan.offer.via != Via::Migration =>
            {
                let Back { update, why, .. } = back.clone();
                let to = &update.plan.to;
                self.condemn(&to.release, &to.config, &why, at);
            }
            _ => {}
        }
    }

    /// A person went back by hand: what was left is not brought back by its channel (UPD-25), and
    /// the data that was replaced is kept.
    fn leave(&mut self, update: &Update, at: &Now) {
        let plan = &update.plan;
        let undoes = plan.offer.via == Via::Migration && plan.work() == DataWork::Down;
        self.undone = undoes.then(|| plan.to.release.digest.clone());
        let Some(ordered) = plan.offer.ordered.as_ref() else { return };
        if update.set_aside.is_some() {
            self.last_restored = Some(plan.data_txn());
        }
        if let (Via::Rollback, Some(from)) = (&plan.offer.via, &plan.from) {
            let why = format!("left by {} for {}", ordered.by, plan.to.release.version);
            self.condemn(&from.release, &from.config, &why, at);
            // The channel would bring it back with the configuration of now.
            self.condemn(&from.release, &plan.offer.config, &why, at);
        }
    }

    fn condemn(&mut self, release: &Release, config: &ConfigHash, why: &str, at: &Now) {
        if self.is_known_bad(&release.digest, config) {
            return;
        }
        self.known_bad.push(KnownBad {
            digest: release.digest.clone(),
            config: config.clone(),
            version: release.version.clone(),
            why: why.chars().take(WHY_MAX).collect(),
            since_ms: at.wall_ms,
        });
        if self.known_bad.len() > KNOWN_BAD_MAX {
            self.known_bad.remove(0);
        }
    }

    /// Whether the candidate was rolled back on this host.
    #[must_use]
    pub fn is_known_bad(&self, digest: &Digest, config: &ConfigHash) -> bool {
        self.known_bad.iter().any(|bad| bad.digest == *digest && bad.config == *config)
    }

    fn close_proven(&mut self, secured: Secured, at: &Now) -> State {
        self.retain(&secured, at);
        self.leave(&secured.update, at);
        let to = secured.update.plan.to;
        self.approved.retain(|digest| *digest != to.release.digest);
        self.retries = None;
        // A person who goes back to a release takes back what was said of it.
        self.known_bad.retain(|bad| bad.digest != to.release.digest || bad.config != to.config);
        self.trust(to, Merit::Proven, at);
        State::Idle
    }

    fn retain(&mut self, secured: &Secured, at: &Now) {
        let snapshot = match &secured.way_back {
            WayBack::Snapshot(id) => Some(id.clone()),
            WayBack::Stateless => None,
        };
        self.retained.push(Retained {
            txn: secured.update.plan.txn.clone(),
            from: secured.update.plan.from.clone(),
            snapshot,
            data_went_back: matches!(
                secured.update.plan.work(),
                DataWork::Down | DataWork::Restore(_)
            ),
            closed_uptime_ms: self.uptime.total_ms,
            closed_wall_ms: at.wall_ms,
        });
        if self.retained.len() > RETAINED_MAX {
            self.retained.remove(0);
        }
    }

    /// Where a candidate goes whose update went back: nowhere, or to another try.
    fn close_back(&mut self, back: &Back, at: &Now) -> State {
        let offer = back.update.plan.offer.clone();
        if back.set_aside.is_some() {
            self.last_failed = Some(failed(back));
        }
        match back.cause {
            // The person is there, and is told.
            _ if offer.ordered.is_some() => State::Idle,
            Cause::Candidate | Cause::Operator => {
                self.approved.retain(|digest| *digest != offer.release.digest);
                State::Idle
            }
            Cause::Busy => {
                let answer = Answer::defer(GateId::Busy, back.why.clone(), None);
                waiting(offer, true, vec![answer], at.wall_ms)
            }
            Cause::Host | Cause::Interrupted => self.retry(offer, true, &back.why, at),
        }
    }

    /// The open update, if its way back is walked or was.
    fn failed_now(&self) -> Option<Failed> {
        match &self.state {
            State::RbStopping(back) | State::RbStarting(back) => Some(failed(back)),
            _ => None,
        }
    }

    /// How an update that is about to close will have ended.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        match &self.state {
            State::Proven(_) => Some(Ending::Proven),
            State::Unproven(_) => Some(Ending::Unproven),
            State::RolledBack(back) | State::Aborted(back) => Some(back.ending()),
            _ => None,
        }
    }
}

fn failed(back: &Back) -> Failed {
    let snapshot = match &back.way_back {
        Some(WayBack::Snapshot(id)) => Some(id.clone()),
        Some(WayBack::Stateless) | None => None,
    };
    Failed { txn: back.update.plan.txn.clone(), snapshot }
}
