//! How values are spread: least, greatest and quantiles of any number of them in little memory.
//!
//! Values are counted in classes whose bounds grow by 1 %, so that a quantile is right to 0.5 % of
//! itself; the least and the greatest value are exact. Magnitudes from 1e-6 to 1e12 have classes
//! of their own: some 4,200 for each sign at most. What is smaller counts as 0.

use std::collections::BTreeMap;

/// The ratio of a class's bounds.
const RATIO: f64 = 1.01;
/// Below this, a value counts as 0.
const SMALLEST: f64 = 1e-6;
/// Above this, a value counts as this, but for the greatest and the least.
const LARGEST: f64 = 1e12;

/// How values are spread.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spread {
    classes: BTreeMap<i32, u64>,
    count: u64,
    ends: Option<(f64, f64)>,
}

impl Spread {
    /// Takes a value in; what is not a finite number is unknown, and passed over.
    pub fn add(&mut self, value: f64) {
        self.add_many(value, 1);
    }

    /// Takes a value in so many times.
    pub fn add_many(&mut self, value: f64, times: u64) {
        if !value.is_finite() || times == 0 {
            return;
        }
        let class = self.classes.entry(class(value)).or_default();
        *class = class.saturating_add(times);
        self.count = self.count.saturating_add(times);
        let (least, greatest) = self.ends.unwrap_or((value, value));
        self.ends = Some((least.min(value), greatest.max(value)));
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        self.ends.map(|(least, _)| least)
    }

    /// The greatest.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        self.ends.map(|(_, greatest)| greatest)
    }

    /// The least value that `percent` of all do not exceed.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let (least, greatest) = self.ends?;
        let rank = (u128::from(self.count) * u128::from(percent)).div_ceil(100).max(1);
        if rank >= u128::from(self.count) {
            return Some(greatest);
        }
        let mut below = 0_u128;
        let class = self.classes.iter().find(|(_, count)| {
            below += u128::from(**count);
            below >= rank
        });
        class.map(|(class, _)| middle(*class).clamp(least, greatest))
    }
}

/// The class of a value: 0 for nearly nothing, and one more for each percent.
fn class(value: f64) -> i32 {
    let size = value.abs().min(LARGEST);
    if size < SMALLEST {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most the logarithm of 1e18")]
    let class = ((size / SMALLEST).ln() / RATIO.ln()).floor() as i32 + 1;
    if value < 0.0 { -class } else { class }
}

/// The value in the middle of a class.
fn middle(class: i32) -> f64 {
    match class {
        0 => 0.0,
        class => {
            let size = SMALLEST * RATIO.powf(f64::from(class.abs()) - 0.5);
            if class < 0 { -size } else { size }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_half_a_percent_and_the_ends_are_exact() {
        for (scale, shift) in [(1.0, 0.0), (1e-3, 0.0), (1e6, 0.0), (1.0, -500.0)] {
            let mut spread = Spread::default();
            // In an order that is none: 7 has no factor in common with 1000.
            let values: Vec<f64> = (0..1000).map(|n| f64::from(n * 7 % 1000 + 1)).collect();
            values.iter().for_each(|value| spread.add(value * scale + shift));
            for percent in [1_u8, 50, 95, 99, 100] {
                let exact = f64::from(percent) * 10.0 * scale + shift;
                let found = spread.percentile(percent).unwrap();
                let off = (found - exact).abs();
                assert!(off <= exact.abs() * 0.006 + 1e-6, "{percent}: {found} for {exact}");
            }
            assert_eq!(spread.min(), Some(scale + shift));
            assert_eq!(spread.max(), Some(1000.0 * scale + shift));
            assert_eq!(spread.count(), 1000);
        }
    }

    #[test]
    fn nothing_has_no_quantiles_and_what_is_unknown_is_passed_over() {
        let mut spread = Spread::default();
        for unknown in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            spread.add(unknown);
        }
        assert_eq!((spread.count(), spread.min(), spread.percentile(50)), (0, None, None));
        spread.add(0.0);
        assert_eq!((spread.percentile(50), spread.max()), (Some(0.0), Some(0.0)));
        spread.add_many(2.5, 99);
        assert_eq!((spread.percentile(1), spread.percentile(100)), (Some(0.0), Some(2.5)));
    }

    #[test]
    fn memory_is_bounded_whatever_the_values_are() {
        let mut spread = Spread::default();
        for power in -300..300 {
            for step in 0..200 {
                let value = 10_f64.powi(power) * (1.0 + f64::from(step) / 20.0);
                spread.add(value);
                spread.add(-value);
            }
        }
        assert!(spread.classes.len() < 8500, "{}", spread.classes.len());
        assert_eq!(spread.count(), 240_000);
    }
}
