//! Groundcrew's own records: what the crew did goes to the flight recorder through a shared ring.
//!
//! The recorder makes `<run>/rings/agent.ring`; whoever holds the agent's lock is its one producer.
//! The journal is what counts: a record is made after the journal has taken the event, nothing waits
//! for the recorder, and without one nothing is missing but the records.
//!
//! ```text
//!  event ─▶ journal ─▶ Tale::of_append ─┐
//!  probe ─────────────▶ Tale::of_finding ├─▶ ring ─▶ recorder
//!  snapshot ──────────▶ tale::of_…      ─┘
//! ```
//!
//! There is no thread: a ring is looked for when there is something to record, at most once a second,
//! and each time it is asked whether the ring is still the one that lies there. A ring that is another
//! one begins anew: what was told to the last one is told again.

mod ports;
mod tale;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use groundcrew_engine::noun::AppName;
use groundcrew_engine::ports::{Append, Finding};
use groundcrew_recorder::chain;
use groundcrew_recorder::recorder::now;
use groundcrew_recorder::ring::Producer;
use groundcrew_recorder::ring::shared::{Map, RingError, Trusted, attach_trusted};

pub(crate) use ports::{RecordedProbes, RecordedSnapshots};
use tale::{Tale, Told};

use crate::cli::print::talk;

/// Where the ring lies in the run directory.
const RING: &str = "rings/agent.ring";
/// A ring that is not there is looked for so often at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whose ring is trusted besides our own user's; the same number names root's group.
const ROOT: u32 = 0;

/// What takes the records of a crew; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BlackBox {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    ring: Option<Producer<Map>>,
    looked: Option<Instant>,
    /// What was said last of a ring that cannot be used.
    said: Option<String>,
    /// What the ring was told of each app.
    tales: BTreeMap<AppName, Tale>,
    ended: bool,
}

impl BlackBox {
    /// Of a crew with this run directory. Nothing is looked for yet.
    pub(crate) fn new(run: &Path) -> Self {
        let inner = Inner {
            path: run.join(RING),
            ring: None,
            looked: None,
            said: None,
            tales: BTreeMap::new(),
            ended: false,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The journal took an entry.
    pub(crate) fn journaled(&self, append: &Append<'_>) {
        let mut inner = self.lock();
        let attached = inner.look();
        let tale = inner.tales.entry(append.app.clone()).or_default();
        let told = tale.of_append(append, attached);
        inner.push(&told);
    }

    /// A probe answered.
    pub(crate) fn probed(&self, app: &AppName, finding: &Finding) {
        let mut inner = self.lock();
        if inner.look() {
            let tale = inner.tales.entry(app.clone()).or_default();
            let told = tale.of_finding(app, finding);
            inner.push(told.as_slice());
        }
    }

    /// Something happened to a snapshot.
    pub(crate) fn copied(&self, told: impl FnOnce() -> Vec<Told>) {
        let mut inner = self.lock();
        if inner.look() {
            inner.push(&told());
        }
    }

    /// Nothing more comes: tells the recorder so.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.ring = None;
    }

    /// A thread that panicked while it told something leaves a ring whose last record was published
    /// or was not.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether there is a ring to record into.
    fn look(&mut self) -> bool {
        // A directory that cannot be looked at says nothing of the ring that is attached.
        if self.ring.as_ref().is_some_and(|ring| ring.lies_at(&self.path).unwrap_or(true)) {
            return true;
        }
        let replaced = self.ring.take().is_some();
        let early = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY);
        if self.ended || (early && !replaced) {
            return false;
        }
        self.looked = Some(Instant::now());
        let users = [ROOT, rustix::process::geteuid().as_raw()];
        let groups = [ROOT, rustix::process::getegid().as_raw()];
        match attach_trusted(&self.path, Trusted { users: &users, groups: &groups }) {
            Ok(ring) => {
                self.ring = Some(ring);
                self.said = None;
                self.tales.values_mut().for_each(Tale::forget);
            }
            Err(error) => self.refuse(&error),
        }
        self.ring.is_some()
    }

    /// No recorder is no news, and a producer that is about to end is none either. Anything else is
    /// said once.
    fn refuse(&mut self, error: &RingError) {
        match error {
            RingError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => return,
            RingError::Busy { .. } => return,
            RingError::Io { .. }
            | RingError::NotTrusted { .. }
            | RingError::NotUsable { .. }
            | RingError::Damaged { .. } => {}
        }
        let text = chain(error);
        if self.said.as_ref() != Some(&text) {
            talk(&format!("groundcrew: updates are not recorded in flights: {text}"));
            self.said = Some(text);
        }
    }

    /// What does not fit is counted by the ring.
    fn push(&mut self, told: &[Told]) {
        let Some(ring) = &mut self.ring else { return };
        let mut body = Vec::new();
        for one in told {
            body.clear();
            let kind = one.encode(&mut body);
            ring.push(kind, now().time_ns, &body);
        }
    }
}
