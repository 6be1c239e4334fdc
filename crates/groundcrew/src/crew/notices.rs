//! Tells people: takes notices from the durable queue and gives them to the channels, on a thread of
//! its own.
//!
//! A channel that is dead delays nobody: each has a [thread](super::channels). What could not be
//! sent is due again later, with a growing pause; what is refused or given up is said. Within one
//! process a notice goes to each channel once; after a crash between sending and recording, or
//! when a pass ends before a channel answered, it may come twice, with the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use groundcrew_drivers::notify::{self, Delivery, Told};
use groundcrew_drivers::store::Queued;
use groundcrew_engine::noun::AppName;
use groundcrew_engine::policy::Profile;
use groundcrew_engine::ports::{Busy, Host, Woken};

use super::bell::Bell;
use super::channels::{Channels, Tried};
use super::{Store, world};
use crate::cli::print::talk;
use crate::config::Settings;
use crate::exit::Refusal;
use crate::post_mortems;

/// The name under which groundcrew itself looks at the host.
pub(super) const OURSELVES: &str = "groundcrew";
/// Most notices in one go: a rate limit, together with [`LOOK_EVERY`].
const BATCH: u32 = 20;
/// Pause between two looks at the queue when nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pause between two looks for post-mortems that are overdue.
const OVERDUE_EVERY: Duration = Duration::from_secs(600);
/// How long the end of an agent waits for a channel that is at it.
const END_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks at that.
const END_TICK: Duration = Duration::from_millis(20);
/// Deliveries remembered within one process.
const SENT_MAX: usize = 10_000;

/// The thread that tells people.
#[derive(Debug)]
pub(crate) struct Teller {
    bell: Bell,
    thread: JoinHandle<()>,
}

impl Teller {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub(crate) fn start(
        settings: Arc<Settings>,
        store: Store,
        bell: Bell,
    ) -> Result<Self, Refusal> {
        let ring = bell.clone();
        let thread = std::thread::Builder::new()
            .name("notices".to_owned())
            .spawn(move || tell(settings, store, &ring))
            .map_err(|error| Refusal::failed(format!("cannot start a thread: {error}")))?;
        Ok(Self { bell, thread })
    }

    /// Ends it after the notice at hand.
    pub(crate) fn end(self) {
        self.bell.end();
        // A panic there has been said; what was not sent is still in the queue.
        drop(self.thread.join());
    }
}

/// Sends what is due now, for at most this time: what a pass without an agent has to say. What is
/// not sent by then stays in the queue.
pub(crate) fn flush(settings: Arc<Settings>, store: Store, at_most: Duration) {
    let bell = Bell::default();
    let mut host = world::host(&settings, &AppName(OURSELVES.to_owned()));
    queue_overdue(&settings, &store);
    let mut desk = Desk::new(settings, store, &bell);
    let deadline = Instant::now() + at_most;
    loop {
        desk.collect();
        if is_silent(&desk.settings, host.as_mut()) {
            return;
        }
        let given = desk.hand_out();
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return desk.leave();
        }
        match (desk.open.is_empty(), given < BATCH) {
            // Nobody has anything to report, so nobody would ring.
            (true, true) => return,
            (true, false) => {}
            (false, _) => drop(bell.wait(left)),
        }
    }
}

fn tell(settings: Arc<Settings>, store: Store, bell: &Bell) {
    let mut host = world::host(&settings, &AppName(OURSELVES.to_owned()));
    let mut desk = Desk::new(settings, store, bell);
    let mut looked: Option<Instant> = None;
    loop {
        if looked.is_none_or(|looked| looked.elapsed() >= OVERDUE_EVERY) {
            queue_overdue(&desk.settings, &desk.store);
            looked = Some(Instant::now());
        }
        desk.collect();
        if !is_silent(&desk.settings, host.as_mut()) {
            desk.hand_out();
        }
        if bell.wait(LOOK_EVERY) == Woken::Shutdown {
            break;
        }
    }
    // What a channel is at is waited for a moment, so that it is not told twice.
    let deadline = Instant::now() + END_MAX;
    while !desk.open.is_empty() && Instant::now() < deadline {
        std::thread::sleep(END_TICK);
        desk.collect();
    }
}

/// Alerts about each post-mortem that is overdue, once: its key is queued once. What cannot be read
/// or recorded now is looked at again.
fn queue_overdue(settings: &Settings, store: &Store) {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let open = post_mortems::open(&settings.state, now_ms).unwrap_or_default();
    for one in open.iter().filter(|one| one.overdue) {
        let app = one.app.as_deref().unwrap_or(OURSELVES);
        if let Err(why) = store.queue(app, &post_mortems::overdue(one)) {
            talk(&format!("groundcrew: cannot alert about {}: {why}", one.path));
        }
    }
}

/// A notice that was given to channels and is not settled.
struct Open {
    attempts: u32,
    /// Channels that have not reported.
    waiting: BTreeSet<String>,
    /// A channel asks for another try, perhaps not before a pause.
    again: Option<Option<Duration>>,
    /// A channel did not try.
    put_off: bool,
}

/// Between the queue and the channels.
struct Desk {
    settings: Arc<Settings>,
    store: Store,
    channels: Channels,
    open: BTreeMap<String, Open>,
    /// What each channel took, by the notice's key and the channel's name.
    sent: BTreeSet<(String, String)>,
}

impl Desk {
    fn new(settings: Arc<Settings>, store: Store, bell: &Bell) -> Self {
        let channels = Channels::start(&settings, bell);
        Self { settings, store, channels, open: BTreeMap::new(), sent: BTreeSet::new() }
    }

    /// Gives what is due to the channels, [`BATCH`] at most; how much there was.
    fn hand_out(&mut self) -> u32 {
        if self.sent.len() > SENT_MAX {
            self.sent.clear();
        }
        // What is open is still due in the queue and must not hide what is not.
        let most = BATCH.saturating_add(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        // A queue that cannot be read is read again; the app's own thread says what is wrong.
        let due = self.store.due(most).unwrap_or_default();
        let fresh: Vec<Queued> =
            due.into_iter().filter(|one| !self.open.contains_key(&one.notice.key)).collect();
        fresh.iter().for_each(|queued| self.give(queued));
        u32::try_from(fresh.len()).unwrap_or(u32::MAX)
    }

    fn give(&mut self, queued: &Queued) {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let told = Told::new(&queued.notice, &host, &queued.app, queued.queued_ms);
        let key = &queued.notice.key;
        let mut open = Open {
            attempts: queued.attempts,
            waiting: BTreeSet::new(),
            again: None,
            put_off: false,
        };
        for name in targets(&self.settings, queued) {
            if self.sent.contains(&(key.clone(), name.clone())) {
                continue;
            }
            if self.channels.give(&name, told.clone()) {
                open.waiting.insert(name);
            } else {
                open.again = Some(None);
            }
        }
        if open.waiting.is_empty() {
            self.settle(key, &open);
        } else {
            self.open.insert(key.clone(), open);
        }
    }

    /// Takes in what the channels have tried.
    fn collect(&mut self) {
        for Tried { key, channel, delivery } in self.channels.tried() {
            let Some(open) = self.open.get_mut(&key) else { continue };
            open.waiting.remove(&channel);
            match delivery {
                Some(Delivery::Delivered) => drop(self.sent.insert((key.clone(), channel))),
                Some(Delivery::Refused { why }) => {
                    talk(&format!("groundcrew: {channel} refuses the notice {key}: {why}"));
                    self.sent.insert((key.clone(), channel));
                }
                Some(Delivery::Retry { after, .. }) => {
                    open.again = Some(open.again.flatten().max(after));
                }
                None => open.put_off = true,
            }
            if open.waiting.is_empty()
                && let Some(open) = self.open.remove(&key)
            {
                self.settle(&key, &open);
            }
        }
    }

    /// All channels have reported. What cannot be recorded is sent again: twice is better than
    /// never.
    fn settle(&self, key: &str, open: &Open) {
        let Some(asked) = open.again else {
            if !open.put_off {
                drop(self.store.told(key));
            }
            return;
        };
        drop(match notify::pause(open.attempts.saturating_add(1), asked) {
            Some(pause) => self.store.not_told(key, pause),
            None => {
                talk(&format!("groundcrew: the notice {key} is given up"));
                self.store.told(key)
            }
        });
    }

    /// Nobody waits any longer: a channel that has not answered by now counts as failed, so that
    /// the next pass does not begin with it.
    fn leave(mut self) {
        for (key, open) in std::mem::take(&mut self.open) {
            self.settle(&key, &Open { again: Some(open.again.flatten()), ..open });
        }
    }
}

/// In an airborne host nothing leaves while it is busy.
pub(super) fn is_silent(settings: &Settings, host: &mut dyn Host) -> bool {
    settings.profile == Profile::Airborne && host.busy() != Busy::Clear
}

/// The channels that a notice goes to.
fn targets(settings: &Settings, queued: &Queued) -> Vec<String> {
    let chosen =
        settings.apps.get(&queued.app).map(|app| app.notify.as_slice()).unwrap_or_default();
    let is_chosen = |name: &String| chosen.is_empty() || chosen.contains(name);
    let all = settings.notify.iter();
    all.filter(|(name, target)| is_chosen(name) && queued.notice.severity >= target.min)
        .map(|(name, _)| name.clone())
        .collect()
}
