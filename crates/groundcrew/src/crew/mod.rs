//! Everybody who looks after the apps of one host: a thread per app, a board, a store, a lock.
//!
//! The agent is a crew that serves: its threads look by themselves and others ask it over the
//! control socket. Without an agent the command line takes the same lock and is a crew for one
//! pass, whose threads do only what they are asked. Both answer the same [`Request`]s, so a command
//! does not know which of the two it talks to.
//!
//! Invariants: one crew per state directory (the lock); one thread per app, and only it writes that
//! app's journal; an app whose journal is refused is shown with the reason and left as it is, and
//! the others go on.

mod bell;
mod black_box;
pub(crate) mod board;
mod by_hand;
mod caring;
mod channels;
pub(crate) mod copies;
mod course;
mod going_back;
mod hand;
mod leftovers;
mod lock;
mod looking;
mod neighbors;
mod notices;
pub(crate) mod offers;
pub(crate) mod order;
mod orders;
pub(crate) mod quiet;
mod record;
pub(crate) mod request;
mod rhythm;
pub(crate) mod socket;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use groundcrew_drivers::host;
use groundcrew_drivers::host::neighbors::Groups;
use groundcrew_drivers::source::registry::Pauses;
use groundcrew_engine::machine::{App, Event};

use bell::Bell;
use black_box::BlackBox;
use board::Board;
use hand::Hand;
use lock::Lock;
use notices::Teller;
use order::{Done, Letter, Order};
use request::{HISTORY_MAX, Reply, Request};
pub(crate) use store::Store;
pub(crate) use world::{
    Output, STATE_MODE, is_up, make_places, output_of, registry, source_of, versions,
};

use crate::config::{self, AppSettings, Overrides, Settings};
use crate::exit::Refusal;

/// How long the end of a pass waits for notices to be sent.
const TELL_MAX: Duration = Duration::from_secs(10);

/// One app's thread, from outside.
struct Reached {
    post: Sender<Letter>,
    bell: Bell,
    thread: JoinHandle<()>,
}

/// Everybody.
#[allow(missing_debug_implementations, reason = "it holds threads")]
pub(crate) struct Crew {
    overrides: Overrides,
    settings: Mutex<Arc<Settings>>,
    serve: bool,
    board: Board,
    store: Store,
    folded: Mutex<BTreeMap<String, App>>,
    hands: Mutex<BTreeMap<String, Reached>>,
    ending: Bell,
    told: Bell,
    groups: Groups,
    black_box: BlackBox,
    pauses: Pauses,
    /// `None`: it only looks.
    lock: Option<Lock>,
}

impl Crew {
    /// Takes the lock, opens the store and folds every app.
    ///
    /// # Errors
    ///
    /// `Locked`: another crew is at work. Else the host failed.
    pub(crate) fn open(
        settings: Settings,
        overrides: Overrides,
        role: &str,
        serve: bool,
    ) -> Result<Arc<Self>, Refusal> {
        make_places(&settings)?;
        let lock = lock::take(&settings.state, role)?;
        leftovers::sweep(&settings);
        let store = Store::open(&settings)?;
        host::forget_earlier_boots(&settings.run).map_err(|fault| Refusal::failed(fault.text))?;
        Ok(Self::with(settings, overrides, store, Some(lock), serve))
    }

    /// Only looks: takes no lock and writes nothing, and answers nothing but how things are.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub(crate) fn open_to_read(
        settings: Settings,
        overrides: Overrides,
    ) -> Result<Arc<Self>, Refusal> {
        let store = Store::open_to_read(&settings)?;
        Ok(Self::with(settings, overrides, store, None, false))
    }

    fn with(
        settings: Settings,
        overrides: Overrides,
        store: Store,
        lock: Option<Lock>,
        serve: bool,
    ) -> Arc<Self> {
        let groups = Groups::new(&settings.run);
        let black_box = BlackBox::new(&settings.run);
        let crew = Self {
            overrides,
            settings: Mutex::new(Arc::new(settings)),
            serve,
            board: Board::default(),
            store,
            folded: Mutex::default(),
            hands: Mutex::default(),
            ending: Bell::default(),
            told: Bell::default(),
            groups,
            black_box,
            pauses: Pauses::default(),
            lock,
        };
        crew.take_up();
        Arc::new(crew)
    }

    /// Folds every app; an agent's threads begin to look after them.
    fn take_up(&self) {
        let settings = self.settings();
        for app in settings.apps.values() {
            self.fold(app);
        }
        match self.observing() {
            Ok(()) if self.serve => {
                for name in settings.apps.keys() {
                    // An app that cannot be taken up is shown with its trouble.
                    drop(self.reach(name));
                }
            }
            Ok(()) => {}
            Err(refusal) => {
                for name in settings.apps.keys() {
                    let why = refusal.text.clone();
                    self.board.change(name, |view| view.lose_sight(why));
                }
            }
        }
    }

    /// A journal that was lost or damaged: nothing is touched until a person says so.
    fn observing(&self) -> Result<(), Refusal> {
        match self.store.observing() {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(Refusal::failed(format!(
                "{why} Apps are left as they are; `groundcrew unblock --store` goes on from what runs."
            ))),
            Err(why) => Err(Refusal::failed(why)),
        }
    }

    /// Begins to tell people what the queue holds.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub(crate) fn tell(&self) -> Result<Teller, Refusal> {
        Teller::start(self.settings(), self.store.clone(), self.told.clone())
    }

    fn history(&self, app: Option<&str>, limit: usize) -> Result<Reply, Refusal> {
        let settings = self.settings();
        if let Some(name) = app
            && !settings.apps.contains_key(name)
        {
            return Err(self.no_such_app(name));
        }
        let all = settings.apps.values().map(|app| &app.policy.app);
        let of = all.filter(|name| app.is_none_or(|app| app == name.as_str()));
        let updates = self.store.history(of, limit.min(HISTORY_MAX));
        updates.map(|updates| Reply::History { updates }).map_err(Refusal::failed)
    }

    /// A person says that the fresh journal is to be believed.
    fn trust(&self) -> Result<Reply, Refusal> {
        self.store.trust().map_err(Refusal::failed)?;
        self.take_up();
        let text = "the journal is believed again; what runs is adopted".to_owned();
        Ok(Reply::Done { text })
    }

    /// Whether what all apps share turns: the journal, the board, the list of threads. Does not return
    /// while one of them does not.
    ///
    /// A thread in a step is not judged: a migration may take hours, a dead network mount for ever, and
    /// one slow app is no reason to restart the agent of all.
    ///
    /// # Errors
    ///
    /// An app's thread is gone.
    pub(crate) fn pulse(&self) -> Result<(), String> {
        // A journal that cannot be read is told as trouble; it answers all the same.
        drop(self.store.observing());
        drop(self.board.all());
        let hands = locked(&self.hands);
        match hands.iter().find(|(_, reached)| reached.thread.is_finished()) {
            Some((app, _)) if !self.ending.is_ending() => {
                Err(format!("the thread of {app} is gone"))
            }
            _ => Ok(()),
        }
    }

    /// The present settings.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&locked(&self.settings))
    }

    /// Rings when the crew is to end.
    pub(crate) fn ending(&self) -> &Bell {
        &self.ending
    }

    fn fold(&self, app: &AppSettings) {
        let name = app.policy.app.as_str();
        let loaded = self.store.load(&app.policy.app);
        let own = std::iter::once(&app.policy.app);
        let latest = self.store.history(own, 1).ok().and_then(|mut rows| rows.pop());
        let looked = self.store.last_look(&app.policy.app).ok().flatten();
        self.board.change(name, |view| match &loaded {
            Ok(state) => {
                view.follow(state, app.policy.config.as_str());
                view.last_update = latest.map(|past| past.update);
                view.last_check = looked;
                view.trouble = None;
            }
            Err(why) => view.lose_sight(why.clone()),
        });
        if let Ok(state) = loaded {
            locked(&self.folded).insert(name.to_owned(), state);
        }
    }

    /// The app's thread; started when it is needed first.
    fn reach(&self, name: &str) -> Result<(Sender<Letter>, Bell), Refusal> {
        let mut hands = locked(&self.hands);
        if let Some(reached) = hands.get(name) {
            return Ok((reached.post.clone(), reached.bell.clone()));
        }
        let settings = self.settings();
        let Some(app) = settings.apps.get(name).cloned() else {
            return Err(self.no_such_app(name));
        };
        self.observing()?;
        if self.lock.is_none() {
            return Err(Refusal::failed("whoever only looks does nothing"));
        }
        let Some(state) = locked(&self.folded).remove(name) else {
            let why = self.board.view(name).and_then(|view| view.trouble);
            let why = why.unwrap_or_else(|| "it has no journal".to_owned());
            return Err(Refusal::failed(format!("{name} is left as it is: {why}")));
        };
        let (post, inbox) = channel();
        let bell = Bell::default();
        let seat = self.groups.seat(&app.policy.app, &app.policy.group);
        let hand = Hand {
            settings,
            seat: Arc::new(Mutex::new(seat)),
            app,
            post: inbox,
            board: self.board.clone(),
            bell: bell.clone(),
            store: self.store.clone(),
            told: self.told.clone(),
            black_box: self.black_box.clone(),
            pauses: self.pauses.clone(),
            serve: self.serve,
        };
        let thread = std::thread::Builder::new()
            .name(format!("app-{name}"))
            .spawn(move || hand.run(state))
            .map_err(|error| Refusal::failed(format!("cannot start a thread: {error}")))?;
        let reached = Reached { post: post.clone(), bell: bell.clone(), thread };
        hands.insert(name.to_owned(), reached);
        Ok((post, bell))
    }

    fn no_such_app(&self, name: &str) -> Refusal {
        self.settings().no_such_app(name)
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// Why it is not done.
    pub(crate) fn ask(&self, request: Request) -> Result<Reply, Refusal> {
        let tell = |app: String, event| self.order(&app, Order::Tell(event));
        match request {
            Request::Ping => Ok(Reply::Pong {
                pid: std::process::id(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            Request::TryWrite => match self.store.try_write() {
                Ok(()) => Ok(Reply::Done { text: "the journal can be written".to_owned() }),
                Err(why) => Err(Refusal::failed(format!("the journal cannot be written: {why}"))),
            },
            Request::Status => Ok(Reply::Status { apps: self.board.all() }),
            Request::History { app, limit } => self.history(app.as_deref(), limit),
            Request::Trust => self.trust(),
            Request::Check { app, apply_config } => self.order(&app, Order::Check { apply_config }),
            Request::Update { app, apply_config, by_person } => {
                self.order(&app, Order::Update { apply_config, by_person })
            }
            Request::Pin { app, to } => {
                offers::check(&self.settings(), &app, &to)?;
                tell(app, Event::Pinned { to })
            }
            Request::Unpin { app } => tell(app, Event::Unpinned),
            Request::Approve { app, version, by } => {
                self.order(&app, Order::Approve { version, by })
            }
            Request::Unblock { app, by } => tell(app, Event::Unblocked { by }),
            Request::Pause { app } => tell(app, Event::Paused),
            Request::Resume { app } => tell(app, Event::Unpaused),
            Request::Start { app } => self.order(&app, Order::Start),
            Request::Stop { app } => self.order(&app, Order::Stop),
            Request::Restart { app } => self.order(&app, Order::Restart),
            Request::Restore { app, id } => self.order(&app, Order::Restore { id }),
            Request::Rollback { app, back } => self.order(&app, Order::GoBack(back)),
            Request::Migrate { app, down, by } => self.order(&app, Order::Migrate { down, by }),
            Request::Reload => self.reload(),
            Request::Shutdown => {
                self.ending.end();
                Ok(Reply::Done { text: "the agent ends when every app is up".to_owned() })
            }
        }
    }

    fn order(&self, app: &str, order: Order) -> Result<Reply, Refusal> {
        let (post, bell) = self.reach(app)?;
        let (reply, answer) = channel();
        let gone = || Refusal::failed(format!("the thread of {app} has ended"));
        post.send(Letter { order, reply }).map_err(|_| gone())?;
        bell.nudge();
        match answer.recv().map_err(|_| gone())?? {
            Done::Said(text) => Ok(Reply::Done { text }),
            Done::Asked(pass) => Ok(Reply::Asked { pass, text: None }),
            Done::Starts(pass, text) => Ok(Reply::Asked { pass, text: Some(text) }),
            Done::Checked(check) => Ok(Reply::Checked { check }),
            Done::GoesBack(way) => Ok(Reply::GoesBack { way }),
        }
    }

    /// Reads the configuration again; what is wrong changes nothing. Apps that are new or gone are
    /// taken up by the next agent.
    fn reload(&self) -> Result<Reply, Refusal> {
        let fresh = config::load(&self.overrides)
            .map_err(|problems| Refusal::usage(problems.to_string()))?;
        let old = self.settings();
        if fresh.state != old.state || fresh.run != old.run {
            return Err(Refusal::usage("[paths] changed: end this agent and start another"));
        }
        let fresh = Arc::new(fresh);
        for name in fresh.apps.keys() {
            if old.apps.contains_key(name) {
                self.order(name, Order::Reload(Arc::clone(&fresh)))?;
            }
        }
        *locked(&self.settings) = fresh;
        Ok(Reply::Done { text: "the configuration was read again".to_owned() })
    }

    /// Ends a pass without an agent: as [`Crew::end`], and people are told what came of it.
    pub(crate) fn end_pass(&self) {
        let worked = !locked(&self.hands).is_empty();
        self.end();
        if worked {
            notices::flush(self.settings(), self.store.clone(), TELL_MAX);
        }
    }

    /// Ends all threads at their next wait. Apps keep running; one that an update has taken down is
    /// brought up first.
    pub(crate) fn end(&self) {
        let hands = std::mem::take(&mut *locked(&self.hands));
        for reached in hands.values() {
            reached.bell.end();
        }
        for (_, reached) in hands {
            // A thread that panicked has said so; the others end all the same.
            drop(reached.thread.join());
        }
        self.black_box.end();
    }
}

/// A thread that panicked leaves whole values behind: each is assigned in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
