//! Tells people: takes notices from the durable queue and sends them, on a thread of its own.
//!
//! A channel that is dead delays nobody: what could not be sent is due again later, with a growing
//! pause; what is refused or given up is said. Within one process a notice goes to each channel
//! once; after a crash between sending and recording it may come twice, with the same key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use groundcrew_drivers::notify::{self, Delivery, Told};
use groundcrew_drivers::store::Queued;
use groundcrew_engine::noun::AppName;
use groundcrew_engine::policy::Profile;
use groundcrew_engine::ports::{Busy, Host, Woken};

use super::bell::Bell;
use super::{Store, world};
use crate::cli::print::talk;
use crate::config::Settings;
use crate::exit::Refusal;
use crate::post_mortems;

/// The name under which groundcrew itself looks at the host.
const OURSELVES: &str = "groundcrew";
/// Most notices in one go: a rate limit, together with [`LOOK_EVERY`].
const BATCH: u32 = 20;
/// Pause between two looks at the queue when nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Pause between two looks for post-mortems that are overdue.
const OVERDUE_EVERY: Duration = Duration::from_secs(600);
/// Most goes of [`BATCH`] at the end of a pass.
const FLUSH_MAX: u32 = 10;
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
            .spawn(move || tell(&settings, &store, &ring))
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
    let (over, ended) = std::sync::mpsc::channel::<()>();
    let deadline = Instant::now() + at_most;
    let started = std::thread::Builder::new().name("notices".to_owned()).spawn(move || {
        let mut sent = BTreeSet::new();
        let mut host = world::host(&settings, &AppName(OURSELVES.to_owned()));
        queue_overdue(&settings, &store);
        for _ in 0..FLUSH_MAX {
            let due = store.due(BATCH).unwrap_or_default();
            if due.is_empty() || is_silent(&settings, host.as_mut()) {
                break;
            }
            for queued in due {
                if Instant::now() >= deadline {
                    return;
                }
                one(&settings, &store, &queued, &mut sent);
            }
        }
        drop(over);
    });
    if started.is_ok() {
        // Either the thread is done, or a channel is too slow to be waited for.
        ended.recv_timeout(at_most).ok();
    }
}

fn tell(settings: &Settings, store: &Store, bell: &Bell) {
    let mut sent: BTreeSet<(String, String)> = BTreeSet::new();
    let mut host = world::host(settings, &AppName(OURSELVES.to_owned()));
    let mut looked: Option<Instant> = None;
    loop {
        if looked.is_none_or(|looked| looked.elapsed() >= OVERDUE_EVERY) {
            queue_overdue(settings, store);
            looked = Some(Instant::now());
        }
        if !is_silent(settings, host.as_mut()) {
            // A queue that cannot be read is read again; the app's own thread says what is wrong.
            for queued in store.due(BATCH).unwrap_or_default() {
                one(settings, store, &queued, &mut sent);
            }
        }
        if bell.wait(LOOK_EVERY) == Woken::Shutdown {
            return;
        }
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

/// Sends one notice and records what came of it.
fn one(settings: &Settings, store: &Store, queued: &Queued, sent: &mut BTreeSet<(String, String)>) {
    if sent.len() > SENT_MAX {
        sent.clear();
    }
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let told = Told::new(&queued.notice, &host, &queued.app, queued.queued_ms);
    let mut again: Option<Option<Duration>> = None;
    for name in targets(settings, queued) {
        let mark = (queued.notice.key.clone(), name.clone());
        let Some(to) = settings.notify.get(&name) else { continue };
        if sent.contains(&mark) {
            continue;
        }
        match notify::deliver(&to.target, &told) {
            Delivery::Delivered => drop(sent.insert(mark)),
            Delivery::Refused { why } => {
                talk(&format!("groundcrew: {name} refuses the notice {}: {why}", mark.0));
                sent.insert(mark);
            }
            Delivery::Retry { after, .. } => again = Some(again.flatten().max(after)),
        }
    }
    // What cannot be recorded is sent again: twice is better than never.
    drop(match again.map(|asked| notify::pause(queued.attempts.saturating_add(1), asked)) {
        None => store.told(&queued.notice.key),
        Some(Some(pause)) => store.not_told(&queued.notice.key, pause),
        Some(None) => {
            talk(&format!("groundcrew: the notice {} is given up", queued.notice.key));
            store.told(&queued.notice.key)
        }
    });
}

/// In an airborne host nothing leaves while it is busy.
fn is_silent(settings: &Settings, host: &mut dyn Host) -> bool {
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
