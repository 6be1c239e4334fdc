//! Wakes an app's thread: a clock whose waits end early when somebody rings.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use groundcrew_engine::noun::Now;
use groundcrew_engine::ports::{Clock, Woken};

#[derive(Debug, Default)]
struct Rung {
    nudged: bool,
    ending: bool,
    held: bool,
}

/// One app's bell; clones ring the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell {
    shared: Arc<(Mutex<Rung>, Condvar)>,
}

impl Bell {
    /// Something changed: decide again.
    pub(crate) fn nudge(&self) {
        self.ring(|rung| rung.nudged = true);
    }

    /// End at the next wait.
    pub(crate) fn end(&self) {
        self.ring(|rung| rung.ending = true);
    }

    /// While it is held the end waits: no wait ends for it.
    pub(crate) fn hold(&self, held: bool) {
        self.ring(|rung| rung.held = held);
    }

    /// Whether the thread is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).ending
    }

    fn ring(&self, change: impl FnOnce(&mut Rung)) {
        change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.1.notify_all();
    }

    /// Waits, at most so long.
    pub(crate) fn wait(&self, at_most: Duration) -> Woken {
        let deadline = Instant::now() + at_most;
        let mut rung = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if rung.ending && !rung.held {
                return Woken::Shutdown;
            }
            if std::mem::take(&mut rung.nudged) {
                return Woken::Nudge;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Time;
            }
            let waited = self.shared.1.wait_timeout(rung, left);
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The host's clock with a bell.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct BellClock {
    /// Tells the time.
    pub(crate) clock: Box<dyn Clock>,
    /// Ends waits.
    pub(crate) bell: Bell,
}

impl Clock for BellClock {
    fn now(&mut self) -> Now {
        self.clock.now()
    }

    fn wait(&mut self, at_most: Duration) -> Woken {
        self.bell.wait(at_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nudge_before_the_wait_is_not_lost_and_counts_once() {
        let bell = Bell::default();
        bell.nudge();
        bell.nudge();
        assert_eq!(bell.wait(Duration::from_secs(60)), Woken::Nudge);
        assert_eq!(bell.wait(Duration::ZERO), Woken::Time);
    }

    #[test]
    fn an_ending_bell_ends_every_wait() {
        let bell = Bell::default();
        bell.end();
        bell.nudge();
        for _ in 0..2 {
            assert_eq!(bell.wait(Duration::from_secs(60)), Woken::Shutdown);
        }
    }

    #[test]
    fn a_held_bell_waits_for_real_until_it_is_let_go() {
        let bell = Bell::default();
        bell.hold(true);
        bell.end();
        assert_eq!(bell.wait(Duration::from_millis(1)), Woken::Time);
        assert!(bell.is_ending());
        bell.hold(false);
        assert_eq!(bell.wait(Duration::from_secs(60)), Woken::Shutdown);
    }
}
