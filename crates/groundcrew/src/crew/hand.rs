//! The thread of one app: takes orders, looks, turns, waits.
//!
//! It drives one engine agent. What needs the ports without the engine (a stop by hand, a restore)
//! is done between two agents, so the engine never sees the machine change under it. Everything it
//! knows is on the journal; when the journal cannot be trusted it is folded anew.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use groundcrew_drivers::host::neighbors::Seat;
use groundcrew_drivers::source::registry::Pauses;
use groundcrew_engine::agent::{Agent, Revive, Turn};
use groundcrew_engine::machine::{App, Event, State};
use groundcrew_engine::policy::Mode;
use groundcrew_engine::ports::{Busy, Host, Woken};

use super::bell::Bell;
use super::black_box::BlackBox;
use super::board::Board;
use super::course::Course;
use super::order::{Done, Letter, Order};
use super::record::ShownProgress;
use super::rhythm::{Looks, is_ripe};
use super::world::{self, Parts, World};
use super::{Store, by_hand, orders};
use crate::cli::print::talk;
use crate::config::{AppSettings, Restart, Settings};
use crate::exit::Refusal;

/// How often an app at rest is looked at.
const REST_TICK: Duration = Duration::from_secs(1);
/// The same where it is asked for its health less often than that, and nothing waits: fifty idle
/// apps must cost next to nothing.
const IDLE_TICK: Duration = Duration::from_secs(3);
/// Pause before a store that could not be trusted is read again.
const FROZEN_PAUSE: Duration = Duration::from_secs(5);

/// Why nothing is done by hand while facts are known to one engine agent only.
pub(super) const NO_ROOM: &str = "the journal cannot be written; try again when there is room";

/// The thread of one app.
pub(crate) struct Hand {
    /// The host's settings.
    pub(crate) settings: Arc<Settings>,
    /// The app's.
    pub(crate) app: AppSettings,
    /// Where orders arrive.
    pub(crate) post: Receiver<Letter>,
    /// Where it is shown.
    pub(crate) board: Board,
    /// What wakes it.
    pub(crate) bell: Bell,
    /// What remembers.
    pub(crate) store: Store,
    /// Wakes whoever tells people.
    pub(crate) told: Bell,
    /// What is told of its work.
    pub(crate) black_box: BlackBox,
    /// Its place in its exclusion group; kept over everything that is built anew.
    pub(crate) seat: Arc<Mutex<Seat>>,
    /// Which registries want to be left alone.
    pub(crate) pauses: Pauses,
    /// It looks by itself; else only when asked.
    pub(crate) serve: bool,
}

/// Why an agent was left.
#[expect(clippy::large_enum_variant, reason = "one lives at a time and is moved once")]
pub(super) enum Next {
    /// The thread is to end.
    End,
    /// Something is to be done without the engine.
    ByHand(Letter),
    /// Other settings.
    Reload(Arc<Settings>),
    /// The same settings, but a person's asking counts or counts no more.
    Rebuild,
    /// The store cannot be trusted.
    Frozen(String),
}

impl Hand {
    pub(super) fn name(&self) -> &str {
        self.app.policy.app.as_str()
    }

    /// Looks after the app until the bell ends it.
    pub(crate) fn run(mut self, state: App) {
        let mut course = Course::new(&self.app, self.serve, state);
        course.looked = self.store.last_look(&self.app.policy.app).ok().flatten();
        loop {
            match self.with_agent(&mut course) {
                Next::End => return,
                Next::ByHand(letter) => self.by_hand(letter, &mut course),
                Next::Reload(settings) => {
                    let Some(app) = settings.apps.get(self.name()).cloned() else { continue };
                    (self.settings, self.app) = (settings, app);
                    course.looks = Looks::new(self.app.poll_ms, Instant::now());
                    course.locks = None;
                    let config = self.app.policy.config.to_string();
                    self.board.change(self.name(), |view| view.follow(&course.state, &config));
                }
                Next::Rebuild => {}
                Next::Frozen(why) => {
                    if !self.thaw(&why, &mut course) {
                        return;
                    }
                }
            }
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            settings: &self.settings,
            app: &self.app,
            board: &self.board,
            bell: &self.bell,
            told: &self.told,
            black_box: &self.black_box,
            seat: &self.seat,
            store: &self.store,
            pauses: &self.pauses,
        }
    }

    pub(super) fn trouble(&self, why: Option<String>) {
        self.board.change(self.name(), |view| view.trouble = why);
    }

    /// The store cannot be trusted: says so, refuses what is asked, and folds it anew later.
    fn thaw(&mut self, why: &str, course: &mut Course) -> bool {
        self.trouble(Some(why.to_owned()));
        // Without a journal nothing more is done to the app, so the end waits for nothing.
        self.bell.hold(false);
        if self.bell.is_ending() && !course.state.state.may_be_left() {
            talk(&format!("groundcrew: {} may be down, and groundcrew ends: {why}", self.name()));
        }
        // Whoever asked for a look learns that it ended.
        self.board.change(self.name(), |view| view.rested = course.asked);
        loop {
            let deadline = Instant::now() + FROZEN_PAUSE;
            while Instant::now() < deadline {
                while let Ok(letter) = self.post.try_recv() {
                    letter.answer(Err(Refusal::failed(why)));
                }
                if self.bell.wait(FROZEN_PAUSE) == Woken::Shutdown {
                    return false;
                }
            }
            match self.store.load(&self.app.policy.app) {
                Ok(state) => {
                    course.state = state;
                    course.resumed = false;
                    return true;
                }
                // What was believed before may be stale: nothing is done on it.
                Err(why) => self.trouble(Some(why)),
            }
        }
    }

    /// Keeps any other agent away from the volumes, whatever state directory it has.
    fn lock_volumes(&self, course: &mut Course) -> Result<(), String> {
        if course.locks.is_none() {
            course.locks = Some(world::lock_volumes(&self.app)?);
        }
        Ok(())
    }

    /// Builds the ports and an agent, drives it, and takes the state back.
    fn with_agent(&mut self, course: &mut Course) -> Next {
        if course.working
            && let Err(why) = self.lock_volumes(course)
        {
            return Next::Frozen(why);
        }
        let mut world = match World::build(&self.parts()) {
            Ok(world) => world,
            Err(why) => return Next::Frozen(why),
        };
        let adopted =
            if course.working { world.adoption(&course.state, &self.app) } else { Ok(None) };
        let adopted = match adopted {
            Ok(adopted) => adopted,
            Err(why) => return Next::Frozen(why),
        };
        let mut policy = self.app.policy.clone();
        if course.by_person {
            policy.mode = Mode::Auto;
        }
        let mut progress = ShownProgress::new(self.name(), self.board.clone());
        let mut host = world::host(&self.settings, &self.app.policy.app);
        let mut ports = world.ports();
        let mut agent = Agent::new(&policy, course.state.clone(), &mut ports, &mut progress);
        if let Some(installed) = adopted
            && let Turn::Frozen(why) = agent.tell(Event::Adopted { installed: Box::new(installed) })
        {
            return Next::Frozen(why);
        }
        let next = self.drive(&mut agent, host.as_mut(), course);
        course.state = agent.app().clone();
        next
    }

    fn drive(&self, agent: &mut Agent<'_, '_>, host: &mut dyn Host, course: &mut Course) -> Next {
        loop {
            if let Some(next) = self.read_post(agent, course) {
                return next;
            }
            if self.is_over(agent, course) {
                // Whoever waited for the end of an update may end us before we come to rest.
                if course.resumed && agent.update().is_none() {
                    self.tidy(agent, course);
                }
                return Next::End;
            }
            if !course.working {
                self.bell.wait(REST_TICK);
                continue;
            }
            if !course.resumed {
                match agent.resume(course.announced) {
                    Turn::Frozen(why) => return Next::Frozen(why),
                    _ => course.resumed = true,
                }
            }
            if course.looking
                && !self.bell.is_ending()
                && course.looks.is_due(Instant::now())
                && let Some(next) = self.look(agent, course)
            {
                return next;
            }
            match self.turn(agent, host, course) {
                Turn::Progress => {}
                Turn::Rest(_) => {
                    if let Some(next) = self.rest(agent, host, course) {
                        return next;
                    }
                }
                // Whether it may end here is seen above.
                Turn::Shutdown => {}
                // A new agent would know nothing of what this one could not record.
                Turn::Frozen(why) if agent.has_unrecorded() => {
                    self.trouble(Some(why));
                    self.board.change(self.name(), |view| view.rested = course.asked);
                    self.bell.wait(FROZEN_PAUSE);
                }
                Turn::Frozen(why) => return Next::Frozen(why),
            }
        }
    }

    /// Whether the thread ends here. An app that an update or a restart by hand has taken down is
    /// brought up first: the next agent may be days away.
    fn is_over(&self, agent: &Agent<'_, '_>, course: &mut Course) -> bool {
        let on_its_way = course.announced || !agent.app().state.may_be_left();
        let goes_on = course.working && on_its_way;
        self.bell.hold(goes_on);
        if !self.bell.is_ending() {
            return false;
        }
        if goes_on && !course.said_it_goes_on {
            course.said_it_goes_on = true;
            let app = self.name();
            talk(&format!(
                "groundcrew: {app} is being brought up before groundcrew ends; a second Ctrl-C ends at once"
            ));
        }
        !goes_on
    }

    fn turn(&self, agent: &mut Agent<'_, '_>, host: &mut dyn Host, course: &mut Course) -> Turn {
        let waited =
            matches!(agent.app().state, State::Held(_) | State::Deferred(_) | State::Stuck(_));
        let revivals = agent.app().revivals;
        let turn = agent.turn(course.due, self.revive(agent.app(), course));
        let revived = agent.app().revivals != revivals;
        course.wanted_now &= !revived;
        self.let_launchers_go(host, course, &turn);
        // One judgment per asking, even where each says something new.
        course.due = course.due && (!waited || revived);
        course.revival.note(agent.app().revivals, Instant::now());
        let open = agent.update().is_some();
        if open {
            course.caring.forget(Instant::now());
            agent.restart_because(None);
        }
        if course.open_before && !open {
            course.tidying.ask();
        }
        course.open_before = open;
        if agent.has_unrecorded() {
            self.show_unrecorded(agent);
        } else if turn == Turn::Progress {
            self.trouble(None);
        }
        turn
    }

    fn revive(&self, app: &App, course: &Course) -> Revive {
        if course.wanted_now {
            return Revive::Yes;
        }
        match self.app.restart {
            _ if !course.revival.may(Instant::now()) => Revive::No,
            Restart::Always => Revive::Yes,
            Restart::OnFailure if app.running.is_some() => Revive::UnlessEndedWell,
            Restart::OnFailure | Restart::Never => Revive::No,
        }
    }

    /// Nothing to do: says so, tidies, and waits for time, an order, or the busy flag.
    fn rest(
        &self,
        agent: &mut Agent<'_, '_>,
        host: &mut dyn Host,
        course: &mut Course,
    ) -> Option<Next> {
        let now = Instant::now();
        course.due = false;
        course.apply_config = false;
        self.tidy(agent, course);
        self.board.change(self.name(), |view| view.rested = course.asked);
        // An open update that waits goes on when the host is clear; nobody has to ask for it again.
        let open = agent.update().is_some();
        (course.working, course.looking) = (self.serve || open, self.serve);
        if course.by_person && !agent.has_unrecorded() {
            course.by_person = false;
            return Some(Next::Rebuild);
        }
        if !course.working {
            return None;
        }
        if self.serve
            && let Some(next) = self.care(agent, course)
        {
            return Some(next);
        }
        let was_busy = matches!(host.busy(), Busy::Busy(_));
        let tick = self.tick(agent.app());
        let left = if course.looking { course.looks.left(now) } else { tick };
        let woken = self.bell.wait(tick.min(left));
        let cleared = was_busy && host.busy() == Busy::Clear;
        course.due = woken == Woken::Nudge || cleared || is_ripe(&agent.app().state);
        None
    }

    fn tick(&self, app: &App) -> Duration {
        let asked = Duration::from_millis(self.app.policy.procedure.prove.interval_ms);
        if app.state == State::Idle { asked.clamp(REST_TICK, IDLE_TICK) } else { REST_TICK }
    }

    /// Takes orders; some end the agent.
    fn read_post(&self, agent: &mut Agent<'_, '_>, course: &mut Course) -> Option<Next> {
        loop {
            let letter = match self.post.try_recv() {
                Ok(letter) => letter,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {
                    self.bell.end();
                    return None;
                }
            };
            match letter.order {
                Order::Start
                | Order::Stop
                | Order::Restart
                | Order::Restore { .. }
                | Order::GoBack(_)
                | Order::Migrate { .. }
                | Order::Reload(_)
                    if agent.has_unrecorded() =>
                {
                    letter.answer(Err(Refusal::failed(NO_ROOM)));
                }
                Order::Start | Order::Stop | Order::Restart | Order::Restore { .. } => {
                    return Some(Next::ByHand(letter));
                }
                Order::Reload(ref settings) => {
                    let settings = Arc::clone(settings);
                    letter.answer(Ok(Done::Said("the configuration was read again".to_owned())));
                    return Some(Next::Reload(settings));
                }
                Order::Update { apply_config, by_person } => {
                    let asked = self.begin(course, apply_config);
                    let asks = by_person != course.by_person && agent.update().is_none();
                    let rebuild = asks || !course.resumed;
                    course.by_person = by_person;
                    letter.answer(Ok(Done::Asked(asked)));
                    if rebuild && !agent.has_unrecorded() {
                        return Some(Next::Rebuild);
                    }
                }
                Order::GoBack(_) | Order::Migrate { .. } => {
                    let answer = self.order(agent, course, &letter.order);
                    letter.answer(answer);
                    if course.working && course.locks.is_none() {
                        return Some(Next::Rebuild);
                    }
                }
                _ => {
                    course.due = true;
                    let answer = orders::answer(self.name(), agent, &letter.order);
                    letter.answer(answer);
                }
            }
        }
    }

    fn begin(&self, course: &mut Course, apply_config: bool) -> u64 {
        course.looking = true;
        course.due = true;
        course.apply_config |= apply_config;
        course.looks = Looks::new(self.app.poll_ms, Instant::now());
        self.number(course)
    }

    /// The number of something that was asked for; the view says when it came to rest.
    pub(super) fn number(&self, course: &mut Course) -> u64 {
        course.asked = course.asked.saturating_add(1);
        course.working = true;
        self.board.change(self.name(), |view| view.asked = course.asked);
        course.asked
    }

    fn by_hand(&self, letter: Letter, course: &mut Course) {
        let built = World::build(&self.parts());
        let answer = match built.and_then(|world| self.lock_volumes(course).map(|()| world)) {
            Ok(mut world) => {
                let (settings, policy) = (&self.settings, &self.app.policy);
                by_hand::run(settings, policy, &self.board, &mut world, &letter.order, course)
            }
            Err(why) => Err(Refusal::failed(why)),
        };
        let answer = match answer {
            Ok(Done::Said(text)) if course.wanted_now => {
                Ok(Done::Starts(self.number(course), text))
            }
            answer => answer,
        };
        letter.answer(answer);
    }
}
