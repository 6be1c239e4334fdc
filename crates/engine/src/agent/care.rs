//! Whether an app that no update has its hands on is well, and when it is restarted (RUN-7). Pure.
//!
//! Rounds of its own probes are counted: so many failed ones in a row make it unwell, but not before
//! it had its time to start. A restart that does not help is tried again after a pause that doubles;
//! after [`RESTARTS_MAX`] of them it is left running and a person is told, once, until it was well
//! again or somebody started it.

use crate::plan::ProveSpec;

/// Restarts of an app that stays unwell, before a person is asked.
pub const RESTARTS_MAX: u32 = 5;
/// The first pause after such a restart; it doubles.
const PAUSE_MS: u64 = 60_000;
/// So long without a failed round the restarts are forgotten.
const FORGET_MS: u64 = 600_000;

/// What follows from a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Nothing.
    Leave,
    /// It is to be restarted, and why.
    Restart(String),
    /// Restarts did not help: a person is told, and why.
    GiveUp(String),
}

/// The counters of one app, kept in memory: a new agent counts anew.
#[derive(Clone, Debug, Default)]
pub struct Care {
    /// Uptime when it was seen to be started last.
    begun_ms: u64,
    passed: bool,
    failed_in_row: u32,
    restarts: u32,
    last_failed_ms: u64,
    not_before_ms: u64,
    gave_up: bool,
}

impl Care {
    /// The app was started, by whomever, at this uptime.
    pub fn started(&mut self, at_ms: u64) {
        (self.begun_ms, self.passed, self.failed_in_row) = (at_ms, false, 0);
    }

    /// A person has a hand in it, or an update had: what was counted says nothing any more.
    pub fn forget(&mut self, at_ms: u64) {
        *self = Self { begun_ms: at_ms, ..Self::default() };
    }

    /// It was restarted because of [`Call::Restart`].
    pub fn restarted(&mut self, at_ms: u64) {
        self.restarts = self.restarts.saturating_add(1);
        let doubled = PAUSE_MS << self.restarts.saturating_sub(1).min(10);
        self.not_before_ms = at_ms.saturating_add(doubled);
        self.started(at_ms);
    }

    /// Counts a round; `finding`: what failed.
    pub fn round(&mut self, spec: &ProveSpec, at_ms: u64, finding: Option<String>) -> Call {
        let Some(finding) = finding else {
            (self.passed, self.failed_in_row) = (true, 0);
            if at_ms.saturating_sub(self.last_failed_ms) >= FORGET_MS {
                (self.restarts, self.gave_up) = (0, false);
            }
            return Call::Leave;
        };
        self.last_failed_ms = at_ms;
        let starting = !self.passed && at_ms.saturating_sub(self.begun_ms) < spec.start_within_ms;
        if starting {
            return Call::Leave;
        }
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        if self.failed_in_row < spec.failures || self.gave_up || at_ms < self.not_before_ms {
            return Call::Leave;
        }
        let times = self.failed_in_row;
        if self.restarts >= RESTARTS_MAX {
            self.gave_up = true;
            let restarts = self.restarts;
            return Call::GiveUp(format!("{restarts} restarts did not help: {finding}"));
        }
        Call::Restart(format!("{times} probe rounds failed in a row: {finding}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProveSpec {
        ProveSpec { start_within_ms: 30_000, failures: 3, ..ProveSpec::default() }
    }

    fn ill() -> Option<String> {
        Some("http: 503".to_owned())
    }

    /// Feeds failed rounds every ten seconds until something follows; the uptime then.
    fn until_call(care: &mut Care, mut at_ms: u64) -> (u64, Call) {
        for _ in 0..10_000 {
            match care.round(&spec(), at_ms, ill()) {
                Call::Leave => at_ms += 10_000,
                call => return (at_ms, call),
            }
        }
        panic!("nothing ever followed");
    }

    #[test]
    fn run_7_failures_in_a_row_restart_it_and_one_that_passes_begins_anew() {
        let mut care = Care::default();
        assert_eq!(care.round(&spec(), 100_000, None), Call::Leave);
        assert_eq!(care.round(&spec(), 110_000, ill()), Call::Leave);
        assert_eq!(care.round(&spec(), 120_000, ill()), Call::Leave);
        assert_eq!(care.round(&spec(), 130_000, None), Call::Leave);
        let (at_ms, call) = until_call(&mut care, 140_000);
        assert_eq!(at_ms, 160_000, "three in a row");
        assert!(matches!(call, Call::Restart(why) if why.contains("503")));
    }

    #[test]
    fn run_7_an_app_that_is_starting_has_its_time() {
        let mut care = Care::default();
        care.started(1_000_000);
        let (at_ms, _) = until_call(&mut care, 1_000_000);
        assert_eq!(at_ms, 1_050_000, "30 s to start, then three rounds");
    }

    #[test]
    fn run_7_restarts_come_slower_and_end_with_a_person_told_once() {
        let mut care = Care::default();
        let mut at_ms = 0;
        let mut pauses = Vec::new();
        for _ in 0..RESTARTS_MAX {
            let (then_ms, call) = until_call(&mut care, at_ms);
            assert!(matches!(call, Call::Restart(_)), "{call:?}");
            pauses.push((then_ms - at_ms) / 60_000);
            care.restarted(then_ms);
            at_ms = then_ms;
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8]);
        let (then_ms, call) = until_call(&mut care, at_ms);
        assert!(matches!(call, Call::GiveUp(why) if why.contains("5 restarts did not help")));
        for round in 1..100 {
            let later_ms = then_ms + round * 10_000;
            assert_eq!(care.round(&spec(), later_ms, ill()), Call::Leave, "told once");
        }
        let well_ms = then_ms + 10_000_000;
        care.round(&spec(), well_ms, None);
        let (_, call) = until_call(&mut care, well_ms + 10_000);
        assert!(matches!(call, Call::Restart(_)), "forgotten after it was well: {call:?}");
    }
}
