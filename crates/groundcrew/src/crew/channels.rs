//! One thread per way to tell people, so that a dead one delays nobody but itself.
//!
//! A channel takes the most urgent of the notices that wait for it, tries it once and reports; it
//! remembers nothing. Whether and when it is tried again is up to the [desk](super::notices).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use groundcrew_drivers::notify::{self, Delivery, Target, Told};
use groundcrew_engine::noun::AppName;

use super::bell::Bell;
use super::notices::{OURSELVES, is_silent};
use super::world;
use crate::config::Settings;

/// What came of one try by one channel.
#[derive(Debug)]
pub(super) struct Tried {
    /// The notice.
    pub(super) key: String,
    /// The channel.
    pub(super) channel: String,
    /// What came of it; `None`: it was not tried, because nothing may leave the host now.
    pub(super) delivery: Option<Delivery>,
}

/// All channels of a host.
#[derive(Debug)]
pub(super) struct Channels {
    posts: BTreeMap<String, Sender<Told>>,
    tried: Receiver<Tried>,
    ending: Arc<AtomicBool>,
}

/// What a channel's thread has.
struct Worker {
    name: String,
    target: Target,
    settings: Arc<Settings>,
    post: Receiver<Told>,
    tried: Sender<Tried>,
    ending: Arc<AtomicBool>,
    bell: Bell,
}

impl Channels {
    /// Starts them; `bell` is rung whenever something was tried. One whose thread cannot be started
    /// takes nothing, and says so by not being there.
    pub(super) fn start(settings: &Arc<Settings>, bell: &Bell) -> Self {
        let (report, tried) = channel();
        let ending = Arc::new(AtomicBool::new(false));
        let mut posts = BTreeMap::new();
        for (name, to) in &settings.notify {
            let (sender, post) = channel();
            let worker = Worker {
                name: name.clone(),
                target: to.target.clone(),
                settings: Arc::clone(settings),
                post,
                tried: report.clone(),
                ending: Arc::clone(&ending),
                bell: bell.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("tell-{name}"));
            if thread.spawn(move || worker.work()).is_ok() {
                posts.insert(name.clone(), sender);
            }
        }
        Self { posts, tried, ending }
    }

    /// Gives a notice to a channel; false: it has no thread.
    pub(super) fn give(&self, channel: &str, told: Told) -> bool {
        self.posts.get(channel).is_some_and(|post| post.send(told).is_ok())
    }

    /// What was tried meanwhile.
    pub(super) fn tried(&self) -> Vec<Tried> {
        self.tried.try_iter().collect()
    }
}

/// What waits is not tried any more; a try at hand goes on and is not waited for.
impl Drop for Channels {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

impl Worker {
    fn work(self) {
        let mut host = world::host(&self.settings, &AppName(OURSELVES.to_owned()));
        let mut waiting: Vec<Told> = Vec::new();
        loop {
            if waiting.is_empty() {
                match self.post.recv() {
                    Ok(told) => waiting.push(told),
                    Err(_) => return,
                }
            }
            loop {
                match self.post.try_recv() {
                    Ok(told) => waiting.push(told),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            let Some(told) = most_urgent(&mut waiting) else { continue };
            let silent = is_silent(&self.settings, host.as_mut());
            let delivery = (!silent).then(|| notify::deliver(&self.target, &told));
            let tried = Tried { key: told.key().to_owned(), channel: self.name.clone(), delivery };
            if self.tried.send(tried).is_err() {
                return;
            }
            self.bell.nudge();
        }
    }
}

/// The oldest of the most urgent ones.
fn most_urgent(waiting: &mut Vec<Told>) -> Option<Told> {
    let most = waiting.iter().map(|told| told.severity()).max()?;
    let first = waiting.iter().position(|told| told.severity() == most)?;
    Some(waiting.remove(first))
}
