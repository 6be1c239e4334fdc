//! Chance from a seed, so that a run can be repeated as far as a real machine repeats itself.

use std::time::Duration;

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these, all equally likely; the list is not empty.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let count = u64::try_from(all.len()).expect("a length fits");
        let place = usize::try_from(self.number() % count).expect("it is below a length");
        all.get(place).expect("the remainder is below the length")
    }

    /// True in this many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// A duration between two, every order of magnitude equally likely.
    pub fn span(&mut self, from: Duration, to: Duration) -> Duration {
        let at = f64::from(u32::try_from(self.number() >> 32).expect("32 bits are left"));
        let part = at / f64::from(u32::MAX);
        let (low, high) = (from.as_secs_f64().ln(), to.as_secs_f64().ln());
        Duration::from_secs_f64((low + part * (high - low)).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_stream_and_spans_cover_every_magnitude() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            let (from, to) = (Duration::from_millis(1), Duration::from_secs(1));
            (0..300).map(|_| random.span(from, to)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let spans = draw(7);
        assert!(spans.iter().all(|span| (1_000..=1_000_001).contains(&span.as_micros())));
        for limit_ms in [10, 100] {
            let below = spans.iter().filter(|span| span.as_millis() < limit_ms).count();
            assert!((60..240).contains(&below), "{below} below {limit_ms} ms");
        }
    }
}
