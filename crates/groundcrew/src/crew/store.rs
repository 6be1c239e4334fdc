//! What remembers, as a crew needs it: errors as text for people, apps folded or refused.

use std::time::Duration;

use groundcrew_drivers::store::{self, Load, Queued};
use groundcrew_engine::machine::App;
use groundcrew_engine::noun::{AppName, Now};
use groundcrew_engine::ports::{Journal, Notice};

use super::board::Looked;
use super::request::Past;
use crate::chain;
use crate::config::Settings;
use crate::exit::Refusal;

/// The store, shared by all threads of a crew.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    store: store::Store,
}

type Said<T> = Result<T, String>;

fn said(error: store::Error) -> String {
    chain(&error)
}

impl Store {
    /// Opens it; the caller holds the agent's lock.
    ///
    /// # Errors
    ///
    /// The host failed, or a newer groundcrew has to read it.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Refusal> {
        let opened = store::Store::open(&settings.state);
        let opened = opened.map_err(|error| Refusal::failed(said(error)))?;
        Ok(Self { store: opened.store })
    }

    /// Opens it to look at it; nothing is written.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a newer groundcrew has to read it.
    pub(crate) fn open_to_read(settings: &Settings) -> Result<Self, Refusal> {
        let opened = store::Store::open_to_read(&settings.state);
        let store = opened.map_err(|error| Refusal::failed(said(error)))?;
        Ok(Self { store })
    }

    /// Why nothing is touched until a person says so: the journal was lost or damaged.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn observing(&self) -> Said<Option<String>> {
        self.store.observe_only().map_err(said)
    }

    /// A person says that things may go on.
    ///
    /// # Errors
    ///
    /// It cannot be recorded.
    pub(crate) fn trust(&self) -> Said<()> {
        self.store.clear_observe_only().map_err(said)
    }

    /// Finds out whether it can be written.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(crate) fn try_write(&self) -> Said<()> {
        self.mended(store::Store::try_write)
    }

    /// Writes what follows from no event. A transaction that failed closes the store to all that come
    /// after it; an app at rest has no event that would open it again.
    fn mended<T>(&self, write: impl Fn(&store::Store) -> Result<T, store::Error>) -> Said<T> {
        match write(&self.store) {
            Err(_) if self.store.reopen().is_ok() => write(&self.store).map_err(said),
            written => written.map_err(said),
        }
    }

    /// Folds one app.
    ///
    /// # Errors
    ///
    /// Its journal is refused, and why.
    pub(crate) fn load(&self, app: &AppName) -> Said<App> {
        match self.store.load(app).map_err(said)? {
            Load::Fresh => Ok(App::default()),
            Load::App(app) => Ok(*app),
            Load::Refused { why, .. } => Err(why),
        }
    }

    /// Updates of these apps that are over, newest first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub(crate) fn history<'a>(
        &self,
        apps: impl Iterator<Item = &'a AppName>,
        limit: usize,
    ) -> Said<Vec<Past>> {
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut all = Vec::new();
        for app in apps {
            let updates = self.store.summaries(app, most).map_err(said)?;
            all.extend(updates.into_iter().map(|update| Past { app: app.to_string(), update }));
        }
        all.sort_by_key(|past| std::cmp::Reverse(past.update.closed_ms));
        all.truncate(limit);
        Ok(all)
    }

    /// The journal of one app.
    pub(crate) fn journal(&self, app: &AppName) -> Box<dyn Journal> {
        Box::new(self.store.journal(app))
    }

    /// Remembers a look at the source.
    ///
    /// # Errors
    ///
    /// It cannot be recorded.
    pub(crate) fn looked(&self, app: &AppName, looked: &Looked) -> Said<()> {
        self.mended(|store| store.checked(app, looked.at_ms, looked.error.as_deref()))
    }

    /// The latest look at the source.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn last_look(&self, app: &AppName) -> Said<Option<Looked>> {
        let check = self.store.last_check(app).map_err(said)?;
        Ok(check.map(|check| Looked {
            at_ms: check.at_ms,
            error: check.failure,
            answered_ms: check.succeeded_ms,
        }))
    }

    /// Forgets what is old enough.
    ///
    /// # Errors
    ///
    /// Nothing went.
    pub(crate) fn prune(&self, now: &Now) -> Said<()> {
        self.mended(|store| store.prune(now)).map(drop)
    }

    /// Notices that people are to be told now.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub(crate) fn due(&self, most: u32) -> Said<Vec<Queued>> {
        self.store.due(now_ms(), most).map_err(said)
    }

    /// Queues a notice that follows from no event; its key is told once.
    ///
    /// # Errors
    ///
    /// It cannot be recorded.
    pub(crate) fn queue(&self, app: &str, notice: &Notice) -> Said<()> {
        self.mended(|store| store.queue(app, notice, now_ms()))
    }

    /// A notice was sent everywhere.
    ///
    /// # Errors
    ///
    /// It cannot be recorded.
    pub(crate) fn told(&self, key: &str) -> Said<()> {
        self.mended(|store| store.delivered(key, now_ms()))
    }

    /// A notice could not be sent everywhere; it is due again after this pause.
    ///
    /// # Errors
    ///
    /// It cannot be recorded.
    pub(crate) fn not_told(&self, key: &str, pause: Duration) -> Said<()> {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.mended(|store| store.failed(key, now_ms().saturating_add(pause_ms)))
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
