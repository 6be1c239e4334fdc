//! How far positions were from where the flight controller was at the same time.
//!
//! The flight controller says where it is some times a second; a position between two of these is
//! compared with the point between them at its time. Both times are those of the records: when a
//! frame was received, and when a position was sent. Positions wait until the next word of the
//! flight controller; records of several producers come in any order within the wait of a ring.

use std::collections::VecDeque;

use super::mavlink::Said;
use super::spread::Spread;

/// Two words of the flight controller further apart than this say nothing about the time between.
const GAP_MAX_NS: u64 = 2_000_000_000;
/// Words of the flight controller that are kept for positions that come late.
const FIXES_MAX: usize = 256;
/// Positions that wait for the next word.
const WAITING_MAX: usize = 8192;
/// The mean radius of the Earth, meters.
const EARTH_M: f64 = 6_371_008.8;
/// From this error on, meters, a position is counted as far off.
const FAR_M: f64 = 1000.0;

/// A point and when somebody was there.
#[derive(Debug, Clone, Copy)]
struct Point {
    time_ns: u64,
    lat_deg: f64,
    lon_deg: f64,
}

/// Compares positions with the truth.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Whose word counts: the first that said where it is.
    sender: Option<(u8, u8)>,
    fixes: VecDeque<Point>,
    waiting: VecDeque<Point>,
    /// Errors, meters.
    pub(super) errors: Spread,
    /// Positions that were far off.
    pub(super) far: u64,
    /// Positions at whose time nothing is known of the truth.
    pub(super) without: u64,
    /// Words of the flight controller.
    pub(super) words: u64,
}

impl Truth {
    /// The flight controller says where it is. Other senders are other vehicles.
    pub(super) fn said(&mut self, time_ns: u64, said: &Said) {
        if *self.sender.get_or_insert(said.sender) != said.sender {
            return;
        }
        self.words += 1;
        if self.fixes.back().is_some_and(|last| time_ns <= last.time_ns) {
            return;
        }
        if self.fixes.len() >= FIXES_MAX {
            self.fixes.pop_front();
        }
        self.fixes.push_back(Point { time_ns, lat_deg: said.lat_deg, lon_deg: said.lon_deg });
        while let Some(position) = self.waiting.pop_front_if(|one| one.time_ns <= time_ns) {
            self.settle(position);
        }
    }

    /// A position was sent.
    pub(super) fn position(&mut self, time_ns: u64, lat_deg: f64, lon_deg: f64) {
        if !(lat_deg.abs() <= 90.0 && lon_deg.is_finite()) {
            self.without += 1;
            return;
        }
        let position = Point { time_ns, lat_deg, lon_deg };
        if self.fixes.back().is_some_and(|last| time_ns <= last.time_ns) {
            return self.settle(position);
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
            self.without += 1;
        }
        self.waiting.push_back(position);
    }

    /// That was all: what still waits has no truth.
    pub(super) fn end(&mut self) {
        self.without += u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        self.waiting.clear();
    }

    fn settle(&mut self, position: Point) {
        let after = self.fixes.partition_point(|fix| fix.time_ns < position.time_ns);
        let truth =
            match (after.checked_sub(1).and_then(|at| self.fixes.get(at)), self.fixes.get(after)) {
                (_, Some(exact)) if exact.time_ns == position.time_ns => Some(*exact),
                (Some(before), Some(after)) => between(before, after, position.time_ns),
                _ => None,
            };
        let Some(truth) = truth else {
            self.without += 1;
            return;
        };
        let error = distance_m(truth, position);
        self.errors.add(error);
        self.far += u64::from(error > FAR_M);
    }
}

/// Where somebody was on the straight way between two points; `None`: they are too far apart.
fn between(before: &Point, after: &Point, time_ns: u64) -> Option<Point> {
    let gap = after.time_ns - before.time_ns;
    if gap > GAP_MAX_NS {
        return None;
    }
    let part = super::ratio(time_ns - before.time_ns, gap);
    let lat_deg = before.lat_deg + (after.lat_deg - before.lat_deg) * part;
    // The short way, which may lead across the date line.
    let way = (after.lon_deg - before.lon_deg + 540.0).rem_euclid(360.0) - 180.0;
    Some(Point { time_ns, lat_deg, lon_deg: before.lon_deg + way * part })
}

/// The way along the great circle, meters.
fn distance_m(a: Point, b: Point) -> f64 {
    let [lat_a, lat_b] = [a.lat_deg, b.lat_deg].map(f64::to_radians);
    let lon = (b.lon_deg - a.lon_deg).to_radians();
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon);
    2.0 * EARTH_M * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    /// Meters of a degree of latitude.
    const DEGREE_M: f64 = EARTH_M * std::f64::consts::PI / 180.0;

    fn said(lat_deg: f64, lon_deg: f64) -> Said {
        Said { sender: (1, 1), lat_deg, lon_deg }
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 0.01 * expected + 1e-3, "{found} for {expected}");
    }

    #[test]
    fn distances_are_those_of_the_sphere() {
        let point = |lat_deg, lon_deg| Point { time_ns: 0, lat_deg, lon_deg };
        for (a, b, degrees) in [
            (point(0.0, 0.0), point(0.0, 1.0), 1.0),
            (point(60.0, 10.0), point(61.0, 10.0), 1.0),
            (point(60.0, 10.0), point(60.0, 10.001), 0.0005),
            (point(0.0, 179.5), point(0.0, -179.5), 1.0),
            (point(90.0, 0.0), point(-90.0, 77.0), 180.0),
        ] {
            near(Some(distance_m(a, b)), degrees * DEGREE_M);
        }
        assert_eq!(distance_m(point(47.0, 8.0), point(47.0, 8.0)), 0.0);
    }

    #[test]
    fn a_position_is_compared_with_the_point_between_two_words() {
        let mut truth = Truth::default();
        // North at a hundredth of a degree per second; the position stays behind by a quarter.
        truth.position(0, 50.0, 8.0);
        for second in 0..10_u32 {
            truth.said(u64::from(second) * S, &said(50.0 + f64::from(second) / 100.0, 8.0));
            truth.position(u64::from(second) * S + S / 4, 50.0 + f64::from(second) / 100.0, 8.0);
        }
        // This one came late, and is exact.
        truth.position(5 * S, 50.05, 8.0);
        truth.end();
        assert_eq!((truth.errors.count(), truth.without, truth.words), (11, 1, 10));
        near(truth.errors.max(), DEGREE_M / 400.0);
        near(truth.errors.percentile(50), DEGREE_M / 400.0);
        near(truth.errors.min(), 0.0);
        assert_eq!(truth.far, 0);
    }

    #[test]
    fn what_lies_in_a_gap_or_outside_has_no_truth_and_another_vehicle_is_none() {
        let mut truth = Truth::default();
        truth.position(S, 1.0, 1.0);
        truth.said(2 * S, &said(1.0, 1.0));
        truth.said(2 * S, &Said { sender: (9, 1), ..said(50.0, 50.0) });
        truth.position(3 * S, 1.0, 1.0);
        truth.said(5 * S, &said(1.0, 1.0));
        truth.position(6 * S, f64::NAN, 1.0);
        truth.position(6 * S, 1.0, 1.02);
        truth.said(6 * S + S / 2, &said(1.0, 1.0));
        truth.position(7 * S, 1.0, 1.0);
        truth.end();
        assert_eq!((truth.errors.count(), truth.without, truth.far), (1, 4, 1));
        near(truth.errors.max(), 0.02 * DEGREE_M);
    }

    #[test]
    fn the_way_between_two_words_may_lead_across_the_date_line() {
        let mut truth = Truth::default();
        truth.said(0, &said(0.0, 179.9));
        truth.position(S / 2, 0.0, 180.0);
        truth.said(S, &said(0.0, -179.9));
        near(truth.errors.max(), 0.0);
        assert_eq!(truth.errors.count(), 1);
    }

    #[test]
    fn memory_is_bounded_when_the_flight_controller_is_silent() {
        let mut truth = Truth::default();
        for time in 0..100_000 {
            truth.position(time, 1.0, 1.0);
        }
        assert_eq!(truth.waiting.len(), WAITING_MAX);
        truth.end();
        assert_eq!(truth.without, 100_000);
        for time in 0..100_000 {
            truth.said(time, &said(1.0, 1.0));
        }
        assert_eq!(truth.fixes.len(), FIXES_MAX);
    }
}
