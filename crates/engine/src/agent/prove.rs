//! Counts the answers of probes until a release is proven or disproved (UPD-7). Pure.
//!
//! Until the first round that passes, rounds come every `startup_interval_ms` and only the start
//! deadline ends them; a progress file extends it. After the first pass, `passes` rounds in a row
//! and `stable_for_ms` prove the release, `failures` rounds in a row disprove it. The process
//! ending disproves it at once. After a crash the counts restart at 0.

use crate::plan::ProveSpec;

/// One round, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Milliseconds since the proving began.
    pub at_ms: u64,
    /// The process of the release runs.
    pub alive: bool,
    /// How the process ended, if it did.
    pub ended: Option<String>,
    /// What failed; empty: all probes passed.
    pub failures: Vec<String>,
    /// Milliseconds since the proving began at which the app last showed progress.
    pub progress_ms: Option<u64>,
}

/// What follows from the rounds so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask again after so many milliseconds.
    Again(u64),
    /// It is well.
    Proved,
    /// It is not, and why.
    Disproved(String),
}

/// The counters of one proving.
#[derive(Clone, Debug)]
pub struct Prover {
    spec: ProveSpec,
    first_pass_ms: Option<u64>,
    passed_in_row: u32,
    failed_in_row: u32,
}

impl Prover {
    /// Begins to count.
    #[must_use]
    pub fn new(spec: ProveSpec) -> Self {
        Self { spec, first_pass_ms: None, passed_in_row: 0, failed_in_row: 0 }
    }

    /// Counts one round.
    pub fn round(&mut self, round: &Round) -> Verdict {
        if !round.alive {
            let how = round.ended.as_deref().unwrap_or("no process of it runs");
            return Verdict::Disproved(format!("the app ended while it was proven: {how}"));
        }
        if round.failures.is_empty() { self.passed(round.at_ms) } else { self.failed(round) }
    }

    fn passed(&mut self, at_ms: u64) -> Verdict {
        let first_ms = *self.first_pass_ms.get_or_insert(at_ms);
        self.failed_in_row = 0;
        self.passed_in_row = self.passed_in_row.saturating_add(1);
        let stable_ms = at_ms.saturating_sub(first_ms);
        if self.passed_in_row >= self.spec.passes && stable_ms >= self.spec.stable_for_ms {
            return Verdict::Proved;
        }
        let left_ms = self.spec.stable_for_ms.saturating_sub(stable_ms);
        let pause_ms = if self.passed_in_row < self.spec.passes {
            self.spec.interval_ms.min(self.spec.startup_interval_ms)
        } else {
            left_ms.min(self.spec.interval_ms)
        };
        Verdict::Again(pause_ms.max(1))
    }

    fn failed(&mut self, round: &Round) -> Verdict {
        self.passed_in_row = 0;
        let what = round.failures.join("; ");
        if self.first_pass_ms.is_some() {
            self.failed_in_row = self.failed_in_row.saturating_add(1);
            if self.failed_in_row >= self.spec.failures {
                let times = self.failed_in_row;
                return Verdict::Disproved(format!("{times} probe rounds failed in a row: {what}"));
            }
            return Verdict::Again(self.spec.interval_ms.max(1));
        }
        let since_ms = round.progress_ms.unwrap_or(0);
        let waited_ms = round.at_ms.saturating_sub(since_ms);
        if waited_ms >= self.spec.start_within_ms {
            let limit_ms = self.spec.start_within_ms;
            return Verdict::Disproved(format!("not healthy within {limit_ms} ms: {what}"));
        }
        let left_ms = self.spec.start_within_ms.saturating_sub(waited_ms);
        Verdict::Again(self.spec.startup_interval_ms.min(left_ms).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ProveSpec {
        ProveSpec {
            start_within_ms: 1_000,
            startup_interval_ms: 100,
            interval_ms: 200,
            passes: 2,
            failures: 2,
            stable_for_ms: 500,
            progress_file: None,
        }
    }

    fn round(at_ms: u64, well: bool) -> Round {
        let failures = if well { vec![] } else { vec!["http: 503".to_owned()] };
        Round { at_ms, alive: true, ended: None, failures, progress_ms: None }
    }

    /// Feeds rounds and returns the last verdict.
    fn check(rounds: &[(u64, bool)]) -> Verdict {
        let mut prover = Prover::new(spec());
        let mut last = Verdict::Again(0);
        for (at_ms, well) in rounds {
            last = prover.round(&round(*at_ms, *well));
        }
        last
    }

    #[test]
    fn upd_7_passes_in_a_row_and_a_stable_time_prove() {
        assert_eq!(check(&[(0, false), (100, true)]), Verdict::Again(100));
        assert_eq!(check(&[(0, true), (200, true)]), Verdict::Again(200), "not stable yet");
        assert_eq!(check(&[(0, true), (200, true), (500, true)]), Verdict::Proved);
        assert_eq!(check(&[(0, true), (200, false), (600, true)]), Verdict::Again(100));
    }

    #[test]
    fn upd_7_the_start_deadline_ends_a_release_that_never_answers() {
        assert_eq!(check(&[(0, false), (950, false)]), Verdict::Again(50));
        assert!(matches!(check(&[(0, false), (1_000, false)]), Verdict::Disproved(_)));
    }

    #[test]
    fn upd_7_progress_extends_the_start_deadline() {
        let mut prover = Prover::new(spec());
        let late = Round { progress_ms: Some(900), ..round(1_500, false) };
        assert_eq!(prover.round(&late), Verdict::Again(100));
    }

    #[test]
    fn failures_after_the_first_pass_disprove_and_an_end_does_at_once() {
        assert_eq!(check(&[(0, true), (100, false)]), Verdict::Again(200));
        assert!(matches!(check(&[(0, true), (100, false), (300, false)]), Verdict::Disproved(_)));
        let dead = Round { alive: false, ended: Some("exit code 3".into()), ..round(0, true) };
        let Verdict::Disproved(why) = Prover::new(spec()).round(&dead) else {
            panic!("a dead release was not disproved");
        };
        assert!(why.contains("exit code 3"), "{why}");
    }
}
