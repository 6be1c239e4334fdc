//! Lives a story: boots an agent on the machine and turns until nothing moves any more.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use groundcrew_engine::agent::{Agent, Look, Revive, Turn};
use groundcrew_engine::machine::{App, Entry, Event, KnownBad, LastGood, Merit, State, WayBack};
use groundcrew_engine::noun::{AppName, ConfigHash, SnapshotId};
use groundcrew_engine::plan::{
    Installed, Probe, ProbeKind, Procedure, ProveSpec, StopSpec, Traffic, Volume, WatchSpec,
};
use groundcrew_engine::policy::Policy;
use groundcrew_engine::ports::{ExternalCheck, Silent};
use groundcrew_engine::rollback::{Ask, Choice, DataWish, Way, choose};

use crate::ports::SimPorts;
use crate::seeded::Seeded;
use crate::story::{Story, Wish};
use crate::world::{Cut, Shared, World};

/// Turns after which a story counts as one that never ends.
const TURNS_MAX: u32 = 3_000;
/// Pause between two looks.
const POLL_MS: u64 = 60_000;
/// Quiet polls after which a story is over.
const QUIET_POLLS: u32 = 3;
/// Times that a person takes a stuck update up again.
const UNBLOCKS_MAX: usize = 3;
/// Times that a person asks for the release before.
const ORDERS_MAX: usize = 6;
/// Polls that a candidate may wait for its next try.
const DEFERRED_POLLS: u32 = 60;

/// The machine at the beginning of a story.
#[must_use]
pub fn begin(story: &Story) -> World {
    let mut world = World::new(story.releases.clone(), story.volumes);
    world.channel = Some(world.by_version(story.channel).digest());
    world.triggers.clone_from(&story.triggers);
    for (effect, times, fault) in &story.failing {
        world.failing.insert(effect, (*times, fault.clone()));
    }
    if let Some(version) = story.installed {
        world.install_by_hand(version);
    }
    world.self_starting = story.self_starting;
    world
}

/// The settings of a story's app.
#[must_use]
pub fn policy(story: &Story) -> Policy {
    let config = ConfigHash::from("c1");
    Policy {
        mode: story.mode,
        external: vec![ExternalCheck {
            name: "ci".to_owned(),
            command: Some(vec!["ci-green".to_owned()]),
            url: None,
            timeout_ms: 1_000,
            about: std::collections::BTreeMap::new(),
        }],
        after: vec!["tiles".to_owned()],
        retain_ms: 7 * 86_400_000,
        ..Policy::plain(AppName::from("forge"), config, procedure(story))
    }
}

fn procedure(story: &Story) -> Procedure {
    let volume = |number| {
        let name = format!("v{number}");
        (name.as_str().into(), Volume { path: name })
    };
    let probe = Probe {
        name: "health".into(),
        kind: ProbeKind::Tcp { address: "127.0.0.1:1".to_owned() },
        timeout_ms: 1_000,
    };
    let command = |word: &str| Some(vec![word.to_owned()]);
    Procedure {
        stop: StopSpec { before: command("checkpoint"), ..StopSpec::default() },
        probes: vec![probe],
        prove: ProveSpec {
            start_within_ms: 5_000,
            startup_interval_ms: 1_000,
            interval_ms: 1_000,
            passes: 2,
            failures: 2,
            stable_for_ms: 2_000,
            progress_file: None,
        },
        volumes: (0..story.volumes).map(volume).collect(),
        traffic: Traffic { open: command("open"), close: command("close") },
        watch: WatchSpec {
            window_ms: 60_000,
            interval_ms: 5_000,
            failures: 4,
            on_degraded: story.on_degraded,
        },
        launch: serde_json::Value::Null,
    }
}

/// The app as a new agent finds it in the journal.
///
/// # Panics
///
/// The journal does not fold: a violation of its own, which ends the run.
#[must_use]
pub fn load(world: &Shared) -> App {
    let mut world = world.borrow_mut();
    let mut app = App::default();
    for entry in world.journal.clone() {
        match app.apply(&entry) {
            Ok(next) => app = next,
            Err(unexpected) => {
                world.violation(format!("the journal does not fold: {unexpected}"));
                panic_any(Cut);
            }
        }
    }
    make_mistake(&world, &mut app);
    app
}

/// The mistakes that an engine could make when it takes over.
fn make_mistake(world: &World, app: &mut App) {
    match world.seeded {
        Some(Seeded::KnownBadIsForgotten) => app.known_bad.clear(),
        Some(Seeded::MigrationIsRunAgain) => app.intent = None,
        Some(Seeded::InterruptedIsCondemned) => {
            if let (State::Migrating(_), Some(candidate)) = (&app.state, app.running.clone()) {
                app.known_bad.push(KnownBad {
                    digest: candidate.release.digest,
                    config: candidate.config,
                    version: candidate.release.version,
                    why: "interrupted".to_owned(),
                    since_ms: 0,
                });
            }
        }
        Some(Seeded::LastGoodMovesEarly) => {
            if let (State::Watching(_), Some(installed)) = (&app.state, app.running.clone()) {
                app.last_good = Some(LastGood { installed, merit: Merit::Proven, since_ms: 0 });
            }
        }
        Some(Seeded::WayBackIsAnothers) => match &mut app.state {
            State::Probing(secured) | State::Starting(secured) | State::Applying(secured) => {
                secured.way_back = WayBack::Snapshot(SnapshotId::from("another"));
            }
            _ => {}
        },
        _ => {}
    }
}

/// Boots an agent and lives until nothing moves, or until the power goes (`None`).
///
/// # Panics
///
/// On a real panic of the engine.
pub fn live(world: &Shared, story: &Story, fuse: Option<u64>) -> Option<App> {
    world.borrow_mut().fuse = fuse;
    let lived = catch_unwind(AssertUnwindSafe(|| turns(world, story)));
    match lived {
        Ok(app) => Some(app),
        Err(cause) if cause.is::<Cut>() => None,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

fn turns(world: &Shared, story: &Story) -> App {
    let policy = policy(story);
    let mut ports = SimPorts::new(world);
    let mut ports = ports.compose();
    let mut silent = Silent;
    let app = load(world);
    let mut agent = Agent::new(&policy, app, &mut ports, &mut silent);
    let mut life =
        Life { world, story, quiet: 0, due: false, closed: world.borrow().history.len() };
    if !world.borrow().is_seeded(Seeded::ResumeGoesStraightOn) {
        // Nothing is done on an update whose takeover cannot be recorded.
        while let Turn::Frozen(why) = agent.resume(false) {
            if !life.freeze(&why) {
                return agent.app().clone();
            }
        }
    }
    adopt(world, &policy, &mut agent);
    for _ in 0..TURNS_MAX {
        life.stop_under_watch(&mut agent);
        life.take_back(&mut agent);
        let turn = agent.turn(life.due, Revive::Yes);
        life.due = false;
        life.tidy(&mut agent);
        let goes_on = match turn {
            Turn::Progress => {
                life.quiet = 0;
                true
            }
            Turn::Rest(_) => life.rest(&mut agent),
            Turn::Frozen(why) => life.freeze(&why),
            Turn::Shutdown => true,
        };
        if !goes_on {
            drop(agent.tidy());
            return agent.app().clone();
        }
    }
    let state = agent.app().state.name();
    world.borrow_mut().violation(format!("the story never ends; it is in {state}"));
    agent.app().clone()
}

/// A person installed the app before groundcrew came: it is taken as it is.
fn adopt(world: &Shared, policy: &Policy, agent: &mut Agent<'_, '_>) {
    let found = {
        let world = world.borrow();
        let placed = world.place.as_ref().map(|(digest, ..)| digest.clone());
        let placed = placed.filter(|_| world.journal.is_empty());
        placed.and_then(|digest| world.by_digest(&digest))
    };
    if let Some(found) = found {
        let installed = Installed {
            release: found.release(),
            config: policy.config.clone(),
            procedure: policy.procedure.clone(),
        };
        agent.tell(Event::Adopted { installed: Box::new(installed) });
    }
}

/// The outer loop of a real agent, and the person beside the machine.
struct Life<'s> {
    world: &'s Shared,
    story: &'s Story,
    quiet: u32,
    due: bool,
    closed: usize,
}

impl Life<'_> {
    /// Nothing to do: a person may act, time passes, the source is asked. False: the story is over.
    fn rest(&mut self, agent: &mut Agent<'_, '_>) -> bool {
        if self.wish(agent) {
            self.quiet = 0;
            self.due = true;
            return true;
        }
        self.world.borrow_mut().pass(POLL_MS);
        self.due = true;
        if matches!(agent.look(false), Ok(Look::News)) {
            self.quiet = 0;
            return true;
        }
        self.quiet += 1;
        // A flight ends some time.
        if self.quiet == 2 {
            self.world.borrow_mut().busy = None;
        }
        let waits = matches!(agent.app().state, State::Deferred(_));
        self.quiet < if waits { DEFERRED_POLLS } else { QUIET_POLLS }
    }

    /// The journal cannot be written: some time somebody makes room.
    fn freeze(&mut self, why: &str) -> bool {
        self.world.borrow_mut().pass(POLL_MS);
        self.quiet += 1;
        if self.quiet >= 3 {
            self.world.borrow_mut().journal_full = None;
        }
        if self.quiet > DEFERRED_POLLS {
            self.world.borrow_mut().violation(format!("frozen for ever: {why}"));
            return false;
        }
        true
    }

    /// What a person does about what is seen in the status; true when something was said.
    fn wish(&mut self, agent: &mut Agent<'_, '_>) -> bool {
        for wish in &self.story.wishes {
            let app = agent.app();
            let by = "ann".to_owned();
            let event = match (wish, &app.state) {
                (Wish::Approve, State::Held(wait)) => {
                    let digest = wait.offer.release.digest.clone();
                    let news = !app.approved.contains(&digest);
                    news.then_some(Event::Approved { digest, by })
                }
                (Wish::Unblock, State::Held(_)) if !app.known_bad.is_empty() => {
                    (self.unblocked() == 0).then_some(Event::Unblocked { by })
                }
                (Wish::Unstick, State::Stuck(_)) => {
                    (self.unblocked() < UNBLOCKS_MAX).then_some(Event::Unblocked { by })
                }
                (Wish::CallGood, State::Idle) => app
                    .unproven()
                    .map(|runs| Event::Approved { digest: runs.release.digest.clone(), by }),
                (Wish::StopUnderWatch, _) if !app.wanted_up => {
                    if self.world.borrow().alive().is_some() && self.quiet > 0 {
                        let what = "an app that a person stopped was started";
                        self.world.borrow_mut().violation(what.to_owned());
                    }
                    (self.quiet > 0).then_some(Event::Wanted { up: true })
                }
                (Wish::Pin(to), _) if app.pin.as_deref() != Some(to) => {
                    Some(Event::Pinned { to: (*to).to_owned() })
                }
                (Wish::Return(restore), State::Idle | State::Held(_) | State::Deferred(_)) => {
                    self.leave(app, *restore)
                }
                _ => None,
            };
            if let Some(event) = event {
                return agent.tell(event) == Turn::Progress;
            }
        }
        false
    }

    /// A person stops the app while it is watched; nobody but a person may start it then.
    fn stop_under_watch(&mut self, agent: &mut Agent<'_, '_>) {
        let wished = self.story.wishes.contains(&Wish::StopUnderWatch);
        let watching = matches!(agent.app().state, State::Watching(_));
        if !wished || !watching || self.world.borrow().halted {
            return;
        }
        let wanted = agent.app().wanted_up;
        if !wanted || agent.tell(Event::Wanted { up: false }) == Turn::Progress {
            // A person whose command did not come back gives it again.
            let mut world = self.world.borrow_mut();
            world.end_run("stopped");
            (world.halted, world.auto_start) = (true, false);
        }
    }

    /// A person takes an update back that is watched, once and as soon as it is.
    fn take_back(&mut self, agent: &mut Agent<'_, '_>) {
        let wish = self.story.wishes.iter().find_map(|wish| match wish {
            Wish::TakeBack(restore) => Some(*restore),
            _ => None,
        });
        let Some(restore) = wish.filter(|_| matches!(agent.app().state, State::Watching(_))) else {
            return;
        };
        let policy = policy(self.story);
        let data = if restore { DataWish::Usual } else { DataWish::Keep };
        let ask = Ask { release: None, data, approved: false, by: "ann" };
        let now = self.world.borrow().now();
        match choose(agent.app(), &policy, &ask, &now) {
            Ok(Choice { way: Way::TakeBack(data), .. }) => {
                agent.tell(Event::GoBack { by: "ann".to_owned(), data });
            }
            other => self.world.borrow_mut().violation(format!("no way back: {other:?}")),
        }
    }

    /// A person leaves a proven release, and asks again when the machine went back on it.
    fn leave(&self, app: &App, restore: bool) -> Option<Event> {
        let first = self.story.installed?;
        let runs = app.running.as_ref()?;
        let good = app.last_good.as_ref()?;
        // Whoever is told that the host is busy asks again later.
        if self.world.borrow().busy.is_some() {
            return None;
        }
        let is_left = runs.release.version == first || good.installed != *runs;
        let asked = |entry: &&Entry| matches!(entry.event, Event::Ordered { .. });
        if is_left || self.world.borrow().journal.iter().filter(asked).count() >= ORDERS_MAX {
            return None;
        }
        let data = if restore { DataWish::Restore(None) } else { DataWish::Keep };
        let ask = Ask { release: None, data, approved: true, by: "ann" };
        let now = self.world.borrow().now();
        match choose(app, &policy(self.story), &ask, &now) {
            Ok(Choice { way: Way::Order(offer), .. }) => Some(Event::Ordered { offer: *offer }),
            other => {
                self.world.borrow_mut().violation(format!("no way back: {other:?}"));
                None
            }
        }
    }

    fn unblocked(&self) -> usize {
        let is = |entry: &&Entry| matches!(entry.event, Event::Unblocked { .. });
        self.world.borrow().journal.iter().filter(is).count()
    }

    /// Cleans up after an update that closed.
    fn tidy(&mut self, agent: &mut Agent<'_, '_>) {
        let closed = self.world.borrow().history.len();
        if closed > self.closed {
            self.closed = closed;
            drop(agent.tidy());
        }
        if self.world.borrow().is_seeded(Seeded::CleanUpDeletesTheWayBack) {
            drop(agent.tidy());
        }
    }
}
