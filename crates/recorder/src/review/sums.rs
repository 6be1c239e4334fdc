//! What is added up over a flight, and the list of figures that is made of it.

use super::figures::{Figure, Figures, Unit, Worse};
use super::spread::Spread;
use super::{Review, float, ratio, seconds};
use crate::body::types::{EmittedExternalPosition, SourceLabel, SystemHealth};
use crate::reader::verify::Report;

/// Hypotheses of inference that is not slowed down by heat.
const FULL_K: u8 = 3;

/// What is added up.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Whether an estimator recorded anything, so that what it does not say did not happen.
    pub(super) estimates: bool,
    positions: u64,
    horiz_accuracy_m: Spread,
    vert_accuracy_m: Spread,
    last_anchor_age_s: Spread,
    pub(super) blackouts: u64,
    pub(super) blackout_s: Spread,
    pub(super) promoted: u64,
    pub(super) rejected: u64,
    pub(super) promotion_ms: Spread,
    samples: u64,
    throttled: u64,
    cpu_percent: Spread,
    gpu_percent: Spread,
    temperature_c: Spread,
    ram_used_bytes: Spread,
    storage_left_bytes: Spread,
    pub(super) tiles: u64,
    pub(super) tiles_failed: u64,
    pub(super) warnings: u64,
    pub(super) errors: u64,
    pub(super) failures: u64,
}

impl Sums {
    pub(super) fn position(&mut self, body: &EmittedExternalPosition) {
        self.estimates = true;
        self.positions += 1;
        self.horiz_accuracy_m.add(body.horiz_accuracy_m.into());
        self.vert_accuracy_m.add(body.vert_accuracy_m.into());
        self.last_anchor_age_s.add(body.last_anchor_age_s.into());
    }

    pub(super) fn health(&mut self, body: &SystemHealth) {
        self.samples += 1;
        self.throttled += u64::from(body.throttled);
        self.cpu_percent.add(body.cpu_percent.into());
        self.gpu_percent.add(body.gpu_percent.into());
        self.temperature_c.add(body.temperature_c.into());
        // An amount that is unknown is 0.
        let amounts = [
            (body.ram_used_bytes, &mut self.ram_used_bytes),
            (body.storage_left_bytes, &mut self.storage_left_bytes),
        ];
        for (amount, spread) in amounts {
            if amount > 0 {
                spread.add(float(amount));
            }
        }
    }
}

impl Review {
    /// All figures, in their order.
    pub(super) fn figures(&self, report: &Report) -> Vec<Figure> {
        let mut to = Figures::default();
        recording(&mut to, report);
        self.positions(&mut to);
        self.truth(&mut to);
        self.troubles(&mut to);
        self.app(&mut to);
        self.host(&mut to);
        to.list
    }

    fn positions(&self, to: &mut Figures) {
        use SourceLabel::{DeadReckoned, SatelliteAnchored, VisualPropagated};
        let sums = &self.sums;
        let some = |count: u64| sums.estimates.then_some(count);
        let labels = if self.told.is_known() { &self.told } else { &self.carried };
        let share = |label| labels.percent(|one| one == label);
        let longest = labels.is_known().then(|| seconds(labels.longest_ns(DeadReckoned)));
        let (count, percent) = (Unit::Count, Unit::Percent);
        to.group("Positions")
            .count("positions", Worse::Neither, some(sums.positions))
            .put("satellite_anchored", percent, Worse::Less, share(SatelliteAnchored))
            .put("visual_propagated", percent, Worse::Neither, share(VisualPropagated))
            .put("dead_reckoned", percent, Worse::More, share(DeadReckoned))
            .put("dead_reckoned_longest", Unit::Seconds, Worse::More, longest)
            .put(
                "label_changes",
                count,
                Worse::More,
                labels.is_known().then(|| float(labels.changes)),
            );
        spread(to, "horiz_accuracy", Unit::Meters, &sums.horiz_accuracy_m);
        spread(to, "vert_accuracy", Unit::Meters, &sums.vert_accuracy_m);
        spread(to, "last_anchor_age", Unit::Seconds, &sums.last_anchor_age_s);
    }

    fn truth(&self, to: &mut Figures) {
        let truth = &self.truth;
        let known = |count: u64| (truth.words > 0).then_some(count);
        let errors = &truth.errors;
        let far = (errors.count() > 0).then(|| ratio(truth.far, errors.count()) * 100.0);
        to.group("Error against ground truth")
            .count("ground_truth_fixes", Worse::Neither, known(truth.words))
            .count("positions_with_truth", Worse::Neither, known(errors.count()))
            .count("positions_without_truth", Worse::Neither, known(truth.without));
        for (stem, value) in [
            ("error_p50", errors.percentile(50)),
            ("error_p95", errors.percentile(95)),
            ("error_p99", errors.percentile(99)),
            ("error_max", errors.max()),
        ] {
            to.put(stem, Unit::Meters, Worse::More, value);
        }
        to.put("error_over_1_km", Unit::Percent, Worse::More, far);
    }

    fn troubles(&self, to: &mut Figures) {
        let sums = &self.sums;
        let some = |count: u64| sums.estimates.then_some(count);
        let (more, promotion) = (Worse::More, &sums.promotion_ms);
        to.group("What went wrong")
            .count("blackouts", more, some(sums.blackouts))
            .put("blackout_median", Unit::Seconds, more, sums.blackout_s.percentile(50))
            .put("blackout_longest", Unit::Seconds, more, sums.blackout_s.max())
            .count("spoofing_promoted", Worse::Neither, some(sums.promoted))
            .count("spoofing_rejected", Worse::Neither, some(sums.rejected));
        for (stem, value) in [
            ("spoofing_promotion_latency_median", promotion.percentile(50)),
            ("spoofing_promotion_latency_max", promotion.max()),
        ] {
            to.put(stem, Unit::Milliseconds, more, value);
        }
        to.count("component_warnings", more, Some(sums.warnings))
            .count("component_errors", more, Some(sums.errors))
            .count("component_failures", more, Some(sums.failures));
    }

    fn app(&self, to: &mut Figures) {
        let sums = &self.sums;
        let cold = self.metrics.cold_start_s();
        let tiles = sums.tiles.saturating_add(sums.tiles_failed);
        let tile = |count: u64| (tiles > 0).then_some(count);
        let hybrid = self.hypotheses.percent(|k| k < FULL_K);
        let (percent, more) = (Unit::Percent, Worse::More);
        to.group("The app")
            .put("cold_start_median", Unit::Seconds, more, cold.percentile(50))
            .put("cold_start_p95", Unit::Seconds, more, cold.percentile(95))
            .put("cold_start_max", Unit::Seconds, more, cold.max())
            .put("no_match", percent, more, self.metrics.no_match_percent().percentile(50))
            .put("thermal_hybrid", percent, more, hybrid)
            .count("tiles_emitted", Worse::Neither, tile(sums.tiles))
            .count("tiles_failed", more, tile(sums.tiles_failed))
            .put("tile_failures", percent, more, {
                tile(sums.tiles_failed).map(|failed| ratio(failed, tiles) * 100.0)
            });
    }

    fn host(&self, to: &mut Figures) {
        let sums = &self.sums;
        let throttled = (sums.samples > 0).then(|| ratio(sums.throttled, sums.samples) * 100.0);
        to.group("Host");
        spread(to, "cpu", Unit::Percent, &sums.cpu_percent);
        spread(to, "gpu", Unit::Percent, &sums.gpu_percent);
        spread(to, "temperature", Unit::Celsius, &sums.temperature_c);
        to.put("throttled", Unit::Percent, Worse::More, throttled)
            .put("ram_used_max", Unit::Bytes, Worse::More, sums.ram_used_bytes.max())
            .put("storage_left_min", Unit::Bytes, Worse::Less, sums.storage_left_bytes.min());
    }
}

fn recording(to: &mut Figures, report: &Report) {
    let duration = report.span_ns.map(|(first, last)| seconds(last.saturating_sub(first)));
    let footer = report.footers.last().filter(|_| report.ended);
    let (neither, more) = (Worse::Neither, Worse::More);
    to.group("Recording")
        .put("duration", Unit::Seconds, neither, duration)
        .count("records", neither, Some(report.records))
        .put("size", Unit::Bytes, neither, Some(float(report.bytes)))
        .count("segments", neither, Some(report.segments))
        .count("records_lost_at_rings", more, Some(report.lost_at_rings()))
        .count("segments_dropped", more, Some(report.dropped))
        .count("footer_records_written", neither, footer.map(|one| one.records_written))
        .count("footer_records_dropped_overrun", more, footer.map(|it| it.records_dropped_overrun))
        .count("footer_records_evicted", more, footer.map(|one| one.records_evicted))
        .count("footer_rollovers", neither, footer.map(|one| one.rollover_count.into()))
        .put("footer_written", Unit::Bytes, neither, footer.map(|one| float(one.bytes_written)))
        .put("footer_torn", Unit::Bytes, more, footer.map(|one| float(one.bytes_torn)));
}

/// The four figures of a spread of which more is worse.
fn spread(to: &mut Figures, stem: &str, unit: Unit, of: &Spread) {
    for (which, value) in [
        ("min", of.min()),
        ("median", of.percentile(50)),
        ("p95", of.percentile(95)),
        ("max", of.max()),
    ] {
        to.put(&format!("{stem}_{which}"), unit, Worse::More, value);
    }
}
