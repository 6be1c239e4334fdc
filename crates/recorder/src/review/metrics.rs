//! The measured figures of the app that a review is about, told by their names.

use std::collections::BTreeMap;

use super::spread::Spread;
use crate::body::types::{MetricKind, MetricSample};

/// How long a cold start took, seconds; maybe behind a prefix and `_`.
const COLD_START: &str = "cold_start_seconds";
/// Which share of the frames was matched, 0 to 1; maybe behind a prefix and `_`.
const MATCH_RATE: &str = "vpr_match_rate";
/// Histograms that are kept, by source and labels.
const SERIES_MAX: usize = 64;

/// What the app measured.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    cold_start_s: Spread,
    /// The last histogram of each series: each goes on counting what the one before had.
    histograms: BTreeMap<(u16, String), MetricSample>,
    no_match_percent: Spread,
}

impl Metrics {
    pub(super) fn sample(&mut self, source: u16, sample: MetricSample) {
        if is_called(&sample.name, MATCH_RATE) {
            self.no_match_percent.add((1.0 - sample.value) * 100.0);
        }
        if !is_called(&sample.name, COLD_START) {
            return;
        }
        if sample.kind != MetricKind::Histogram {
            self.cold_start_s.add(sample.value);
            return;
        }
        let series = (source, sample.labels.clone());
        if self.histograms.len() < SERIES_MAX || self.histograms.contains_key(&series) {
            self.histograms.insert(series, sample);
        }
    }

    /// Cold starts, seconds. Of a histogram a value counts as its bucket's upper bound, and behind
    /// the last one as that.
    pub(super) fn cold_start_s(&self) -> Spread {
        let mut all = self.cold_start_s.clone();
        for MetricSample { bounds, counts, .. } in self.histograms.values() {
            let last = bounds.last().copied().unwrap_or(f64::NAN);
            let bounds = bounds.iter().copied().chain(std::iter::repeat(last));
            counts.iter().zip(bounds).for_each(|(count, bound)| all.add_many(bound, *count));
        }
        all
    }

    /// Frames without a match, percent, over time.
    pub(super) fn no_match_percent(&self) -> &Spread {
        &self.no_match_percent
    }
}

fn is_called(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted).is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_once_however_often_it_is_said() {
        let mut metrics = Metrics::default();
        for counts in [vec![1, 0, 0], vec![10, 8, 2]] {
            metrics.sample(
                7,
                MetricSample {
                    name: "gps_denied_cold_start_seconds".to_owned(),
                    kind: MetricKind::Histogram,
                    bounds: vec![10.0, 20.0],
                    counts,
                    ..Default::default()
                },
            );
        }
        let value = 5.0;
        let name = "cold_start_seconds".to_owned();
        metrics.sample(7, MetricSample { name, value, ..Default::default() });
        let name = "warmcold_start_seconds".to_owned();
        metrics.sample(7, MetricSample { name, value: 99.0, ..Default::default() });
        let all = metrics.cold_start_s();
        assert_eq!((all.count(), all.min(), all.max()), (21, Some(5.0), Some(20.0)));
        assert_eq!(Metrics::default().cold_start_s().percentile(95), None);
    }
}
