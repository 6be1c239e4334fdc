//! When an app's thread looks, judges, starts again and tidies: pauses that grow and shrink.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use groundcrew_engine::gate::{GateId, Verdict};
use groundcrew_engine::machine::State;

/// The first pause between two starts of an app that ends by itself.
const REVIVE_FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const REVIVE_MAX: Duration = Duration::from_secs(300);
/// After so long without another start the first pause counts again.
const REVIVE_FORGET: Duration = Duration::from_secs(600);
/// Longest pause between two looks while the source does not answer.
const LOOK_MAX: Duration = Duration::from_secs(3_600);
/// Clean-up at least so often.
const TIDY_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// When to start an app again that ended.
#[derive(Debug)]
pub(crate) struct Revival {
    pause: Duration,
    last: Option<Instant>,
    count: u32,
}

impl Revival {
    /// Of an app that was started again so often.
    pub(crate) fn new(count: u32) -> Self {
        Self { pause: REVIVE_FIRST, last: None, count }
    }

    /// Whether it may be started now.
    pub(crate) fn may(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.duration_since(last) >= self.pause)
    }

    /// Notes how often it was started again by now.
    pub(crate) fn note(&mut self, count: u32, now: Instant) {
        if count == self.count {
            return;
        }
        let long_ago = self.last.is_some_and(|last| now.duration_since(last) >= REVIVE_FORGET);
        self.pause = match self.last {
            Some(_) if !long_ago => (self.pause * 2).min(REVIVE_MAX),
            _ => REVIVE_FIRST,
        };
        (self.count, self.last) = (count, Some(now));
    }
}

/// When to ask the source.
#[derive(Debug)]
pub(crate) struct Looks {
    poll: Duration,
    next: Instant,
    failures: u32,
}

impl Looks {
    /// The first look is due at once.
    pub(crate) fn new(poll_ms: u64, now: Instant) -> Self {
        Self { poll: Duration::from_millis(poll_ms), next: now, failures: 0 }
    }

    /// Whether it is time.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Time until the next one.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// Notes a look that ended now.
    pub(crate) fn note(&mut self, failed: bool, now: Instant) {
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let grown = self.poll.saturating_mul(1 << self.failures.min(8));
        let pause = grown.min(LOOK_MAX.max(self.poll));
        self.next = now + jittered(pause, RandomState::new().hash_one(now));
    }
}

/// A tenth more or less, so that many hosts do not ask at the same moment.
fn jittered(pause: Duration, chance: u64) -> Duration {
    let part = u32::try_from(chance % 201).unwrap_or(100);
    pause.saturating_mul(900 + part) / 1_000
}

/// When to clean up.
#[derive(Debug)]
pub(crate) struct Tidying {
    due: bool,
    last: Instant,
}

impl Tidying {
    /// At once: whoever was here before may have been killed before or while it cleaned up.
    pub(crate) fn new(now: Instant) -> Self {
        Self { due: true, last: now }
    }

    /// An update closed.
    pub(crate) fn ask(&mut self) {
        self.due = true;
    }

    /// Whether it is time; asking takes it.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due || now.duration_since(self.last) >= TIDY_EVERY;
        if due {
            (self.due, self.last) = (false, now);
        }
        due
    }
}

/// A gate named a moment, and it has come.
pub(crate) fn is_ripe(state: &State) -> bool {
    let State::Deferred(wait) = state else { return false };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    wait.answers.iter().any(|answer| match &answer.verdict {
        Verdict::Defer { until_ms: Some(until_ms), .. } => {
            *until_ms <= now_ms && answer.gate != GateId::Retry
        }
        Verdict::Pass { .. } | Verdict::Defer { .. } | Verdict::Hold { .. } => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_a_dying_app_come_slower_and_slower() {
        let begin = Instant::now();
        let mut revival = Revival::new(3);
        assert!(revival.may(begin), "the first start waits for nothing");
        let mut now = begin;
        let mut pauses = Vec::new();
        for count in 4..16 {
            revival.note(count, now);
            assert!(!revival.may(now));
            pauses.push(revival.pause.as_secs());
            now += revival.pause;
            assert!(revival.may(now));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        now += REVIVE_FORGET;
        revival.note(16, now);
        assert_eq!(revival.pause, REVIVE_FIRST);
    }

    #[test]
    fn looks_at_a_silent_source_come_slower_and_the_first_answer_ends_that() {
        let now = Instant::now();
        let mut looks = Looks::new(60_000, now);
        assert!(looks.is_due(now));
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            looks.note(true, now);
            assert!(looks.left(now) > last + Duration::from_secs(30));
            last = looks.left(now);
        }
        looks.note(false, now);
        assert!(looks.left(now) <= Duration::from_secs(66));
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let pause = Duration::from_secs(100);
        for chance in 0..500 {
            let jittered = jittered(pause, chance).as_millis();
            assert!((90_000..=110_000).contains(&jittered), "{jittered}");
        }
        assert_ne!(jittered(pause, 0), jittered(pause, 200));
    }

    #[test]
    fn tidying_is_due_at_the_start_after_a_close_and_every_day() {
        let now = Instant::now();
        let mut tidying = Tidying::new(now);
        assert!(tidying.take(now) && !tidying.take(now));
        tidying.ask();
        assert!(tidying.take(now) && !tidying.take(now));
        assert!(tidying.take(now + TIDY_EVERY));
    }
}
