//! What everybody may see of each app: one view per app, kept fresh by the app's own thread.
//!
//! A view is written at every recorded event, so that a question never waits for an update. It is
//! also the shape of `status --json` and of the control socket; fields are only added.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groundcrew_engine::gate::Answer;
use groundcrew_engine::machine::{App, KnownBad, Merit, State, Unserved};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::Summary;
use serde::{Deserialize, Serialize};

/// A release, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Its version.
    pub(crate) version: String,
    /// Its content.
    pub(crate) digest: String,
    /// Its commit, when known.
    pub(crate) revision: Option<String>,
    /// The configuration it runs with.
    pub(crate) config: String,
}

impl Named {
    fn of(installed: &Installed) -> Self {
        Self {
            version: installed.release.version.clone(),
            digest: installed.release.digest.to_string(),
            revision: installed.release.revision.clone(),
            config: installed.config.to_string(),
        }
    }
}

/// The last-good release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Good {
    /// It.
    #[serde(flatten)]
    pub(crate) release: Named,
    /// How it came to be trusted.
    pub(crate) merit: Merit,
    /// Wall clock since when, milliseconds since 1970.
    pub(crate) since_ms: i64,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    /// Its version.
    pub(crate) version: String,
    /// Its content.
    pub(crate) digest: String,
    /// When this host saw it first, milliseconds since 1970.
    pub(crate) first_seen_ms: i64,
}

/// An open update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Its name.
    pub(crate) txn: String,
    /// The version before; `None` for a first installation.
    pub(crate) from: Option<String>,
    /// The version that it takes.
    pub(crate) to: String,
    /// Wall clock of the plan.
    pub(crate) drawn_ms: i64,
    /// Wall clock of the stop.
    pub(crate) down_ms: Option<i64>,
    /// Wall clock when a release was healthy again.
    pub(crate) up_ms: Option<i64>,
    /// How often an agent died during it.
    pub(crate) resumed: u32,
    /// Why it goes back, if it does.
    pub(crate) why: Option<String>,
}

/// A watch under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Watched so far.
    pub(crate) elapsed_ms: u64,
    /// Of how much.
    pub(crate) window_ms: u64,
    /// Probe rounds.
    pub(crate) rounds: u32,
    /// Of which failed.
    pub(crate) failed: u32,
}

/// A long effect under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meter {
    /// Bytes done.
    pub(crate) done: u64,
    /// Bytes in all; 0 where that is not known.
    pub(crate) total: u64,
}

/// The latest look at the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// Wall clock, milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// Why it could not answer.
    pub(crate) error: Option<String>,
    /// Wall clock of the last time that it answered.
    #[serde(default)]
    pub(crate) answered_ms: Option<i64>,
}

/// All that may be seen of one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Its name.
    pub(crate) app: String,
    /// The state's name; `empty` while nothing is installed, `unknown` without a journal to believe.
    pub(crate) state: String,
    /// What is in place.
    pub(crate) running: Option<Named>,
    /// What was proven last.
    pub(crate) last_good: Option<Good>,
    /// What is offered.
    pub(crate) candidate: Option<Candidate>,
    /// What the gates say to it; empty unless it waits.
    pub(crate) gates: Vec<Answer>,
    /// Wall clock since when it waits.
    pub(crate) waits_since_ms: Option<i64>,
    /// The open update.
    pub(crate) update: Option<Open>,
    /// Its watch.
    pub(crate) watch: Option<Watch>,
    /// Candidates that were rolled back here.
    pub(crate) known_bad: Vec<KnownBad>,
    /// A person let the candidate through that waits.
    #[serde(default)]
    pub(crate) approved: bool,
    /// What a person ordered last, if it came to nothing before anything was touched.
    #[serde(default)]
    pub(crate) unserved: Option<Unserved>,
    /// The one version to stay at.
    pub(crate) pin: Option<String>,
    /// Updates are paused by hand.
    pub(crate) paused: bool,
    /// The app should run.
    pub(crate) wanted_up: bool,
    /// A process of it runs; absent where nobody looked or it cannot be told.
    #[serde(default)]
    pub(crate) up: Option<bool>,
    /// The configuration on disk is not the one it runs with: `groundcrew config apply`.
    pub(crate) config_changed: bool,
    /// The latest look at the source.
    pub(crate) last_check: Option<Looked>,
    /// The latest update that is over.
    pub(crate) last_update: Option<Summary>,
    /// A long effect under way.
    pub(crate) progress: Option<Meter>,
    /// What its probes say, if they say that it is not well; asked while no update is open.
    #[serde(default)]
    pub(crate) unwell: Option<String>,
    /// What keeps groundcrew from looking after it.
    pub(crate) trouble: Option<String>,
    /// Why the latest start outside an update failed.
    pub(crate) start_failed: Option<String>,
    /// Looks and starts that were asked for.
    pub(crate) asked: u64,
    /// Of which came to rest.
    pub(crate) rested: u64,
    /// What is in place, whole; only for the crew itself.
    #[serde(skip)]
    pub(crate) installed: Option<Box<Installed>>,
    /// It is being updated or about to be; only for the crew itself.
    #[serde(skip)]
    pub(crate) under_way: bool,
}

impl View {
    /// A view of an app that nothing is known of.
    pub(crate) fn new(app: &str) -> Self {
        Self { app: app.to_owned(), state: "empty".to_owned(), wanted_up: true, ..Self::default() }
    }

    /// Shows what the fold says.
    pub(crate) fn follow(&mut self, app: &App, config: &str) {
        let empty = app.running.is_none() && app.state == State::Idle;
        self.state = if empty { "empty".to_owned() } else { app.state.name().to_owned() };
        self.running = app.running.as_ref().map(Named::of);
        self.installed = app.running.clone().map(Box::new);
        self.under_way = app.state.is_under_way();
        self.last_good = app.last_good.as_ref().map(|good| Good {
            release: Named::of(&good.installed),
            merit: good.merit,
            since_ms: good.since_ms,
        });
        self.candidate = app.state.offer().map(|offer| Candidate {
            version: offer.release.version.clone(),
            digest: offer.release.digest.to_string(),
            first_seen_ms: offer.first_seen_ms,
        });
        let (gates, since) = match &app.state {
            State::Held(wait) | State::Deferred(wait) => {
                let version = &wait.offer.release.version;
                let answers = wait.answers.iter().cloned();
                let spelled = answers.map(|answer| answer.spelled(&self.app, version));
                (spelled.collect(), Some(wait.since_ms))
            }
            _ => (Vec::new(), None),
        };
        (self.gates, self.waits_since_ms) = (gates, since);
        self.update = open(&app.state);
        self.watch = watch(&app.state);
        self.known_bad.clone_from(&app.known_bad);
        let waits = matches!(&app.state, State::Held(_) | State::Deferred(_));
        let offered = app.state.offer().filter(|_| waits).map(|offer| &offer.release.digest);
        self.approved = offered.is_some_and(|digest| app.approved.contains(digest));
        self.unserved.clone_from(&app.unserved);
        self.pin.clone_from(&app.pin);
        (self.paused, self.wanted_up) = (app.paused, app.wanted_up);
        self.config_changed =
            app.running.as_ref().is_some_and(|running| running.config.as_str() != config);
        self.progress = None;
    }

    /// Its journal says nothing that is to be believed, and why.
    pub(crate) fn lose_sight(&mut self, why: String) {
        if self.running.is_none() {
            self.state = "unknown".to_owned();
        }
        self.trouble = Some(why);
    }

    /// A person is needed, or nothing can be said.
    pub(crate) fn is_stuck(&self) -> bool {
        self.state == "stuck"
    }
}

fn open(state: &State) -> Option<Open> {
    let update = state.update()?;
    let why = match state {
        State::RollbackDecided(back)
        | State::RbStopping(back)
        | State::RbData(back)
        | State::RbSwitch(back)
        | State::RbStarting(back)
        | State::RbProbing(back)
        | State::RolledBack(back)
        | State::Aborted(back)
        | State::Stuck(back) => Some(back.why.clone()),
        State::Unproven(unproven) => Some(unproven.why.clone()),
        _ => None,
    };
    Some(Open {
        txn: update.plan.txn.to_string(),
        from: update.plan.from.as_ref().map(|from| from.release.version.clone()),
        to: update.plan.to.release.version.clone(),
        drawn_ms: update.plan.drawn_ms,
        down_ms: update.down_ms,
        up_ms: update.up_ms,
        resumed: update.resumed,
        why,
    })
}

fn watch(state: &State) -> Option<Watch> {
    let State::Watching(watching) = state else { return None };
    Some(Watch {
        elapsed_ms: watching.seen.elapsed_ms,
        window_ms: watching.secured.update.plan.to.procedure.watch.window_ms,
        rounds: watching.seen.ticks,
        failed: watching.seen.failed,
    })
}

/// The views of all apps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    views: Arc<Mutex<BTreeMap<String, View>>>,
}

impl Board {
    /// Changes one app's view.
    pub(crate) fn change(&self, app: &str, change: impl FnOnce(&mut View)) {
        let mut views = self.lock();
        change(views.entry(app.to_owned()).or_insert_with(|| View::new(app)));
    }

    /// One app's view.
    pub(crate) fn view(&self, app: &str) -> Option<View> {
        self.lock().get(app).cloned()
    }

    /// All views, by name.
    pub(crate) fn all(&self) -> Vec<View> {
        self.lock().values().cloned().collect()
    }

    /// A thread that panicked leaves a whole view: each change is one assignment after another of
    /// values that are independent.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
