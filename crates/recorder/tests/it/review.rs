//! What a flight was like, of flights whose figures are known because they were made so.

use std::collections::BTreeMap;

use groundcrew_recorder::body::Body;
use groundcrew_recorder::body::types::{
    ComponentLifecycleEvent, Direction, Edge, EmittedExternalPosition, MetricSample,
    MidFlightTileEmitted, MidFlightTileFailed, Promotion, ReceivedMavlinkRaw, Severity,
    SourceLabel, SourceLabelTransition, SpoofingPromotionEvent, SystemHealth,
    ThermalThrottleHybridSwitch, VisualBlackoutEvent,
};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::verify::verify_and;
use groundcrew_recorder::review::{LIMITS, Review, Reviewed, Urgency, compare};
use groundcrew_recorder::writer::{Entry, Policy};

use crate::model::Model;
use crate::world::{POLICY, SOURCE, World};

/// Meters of a degree of latitude.
const DEGREE_M: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;
const ROOM: Policy = Policy { flight_bytes: 1 << 30, ..POLICY };

struct Flown {
    disk: Model,
    world: World<Model>,
    next: u64,
}

impl Flown {
    fn new() -> Self {
        let disk = Model::default();
        let world = World::new(disk.clone(), ROOM);
        Self { disk, world, next: 0 }
    }

    fn give<B: Body>(&mut self, body: &B) {
        let (time_ns, body) = (self.world.now.time_ns, body.to_bytes());
        let (kind, source_seq) = (B::SCHEMA.kind, self.next);
        let entry = Entry { kind, source: SOURCE, time_ns, source_seq, body: &body };
        self.next += 1;
        self.world.writer.append(entry, self.world.now);
    }

    fn position(&mut self, lat_deg: f64, lon_deg: f64, horiz_accuracy_m: f32) {
        self.give(&EmittedExternalPosition {
            lat_deg,
            lon_deg,
            horiz_accuracy_m,
            vert_accuracy_m: f32::NAN,
            label: SourceLabel::SatelliteAnchored,
            last_anchor_age_s: 1.0,
            ..Default::default()
        });
    }

    /// The flight controller says where it is.
    fn truth(&mut self, version: u8, lat_deg: f64, lon_deg: f64) {
        let frame = frame(version, lat_deg, lon_deg);
        let direction = Direction::Received;
        self.give(&ReceivedMavlinkRaw { frame, direction, ..Default::default() });
        // What groundcrew says itself is no truth.
        let (frame, direction) = (self::frame(version, -lat_deg, lon_deg), Direction::Sent);
        self.give(&ReceivedMavlinkRaw { frame, direction, ..Default::default() });
    }

    fn end(mut self) -> Reviewed {
        self.world.writer.finish("landed", self.world.now);
        self.review(false)
    }

    fn review(&self, being_written: bool) -> Reviewed {
        let mut review = Review::new();
        let flight = Flight::open(self.disk.clone()).expect("it was written");
        let report = verify_and(&flight, |_| {}, |record| review.take(record));
        review.end(&report, being_written, &LIMITS)
    }
}

/// `GLOBAL_POSITION_INT` of MAVLink 1 or 2.
fn frame(version: u8, lat_deg: f64, lon_deg: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 180e7")]
    let [lat, lon] =
        [lat_deg, lon_deg].map(|degrees| ((degrees * 1e7).round() as i32).to_le_bytes());
    let mut payload = [[0; 4], lat, lon].concat();
    let mut frame = match version {
        1 => {
            payload.resize(28, 0);
            vec![0xfe, 28, 0, 1, 1, 33]
        }
        // Zeros at the end are left out.
        _ => vec![0xfd, 12, 0, 0, 0, 1, 1, 33, 0, 0],
    };
    frame.extend_from_slice(&payload);
    let check = frame.iter().skip(1).chain(&[104]).fold(0xffff_u16, |check, byte| {
        (0..8).fold(check ^ u16::from(*byte), |check, _| {
            if check & 1 == 1 { (check >> 1) ^ 0x8408 } else { check >> 1 }
        })
    });
    frame.extend_from_slice(&check.to_le_bytes());
    frame
}

fn figures(reviewed: &Reviewed) -> BTreeMap<&str, Option<f64>> {
    reviewed.figures.iter().map(|figure| (figure.name.as_str(), figure.value)).collect()
}

#[track_caller]
fn near(figures: &BTreeMap<&str, Option<f64>>, expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let found = figures[name].unwrap_or_else(|| panic!("{name} is absent"));
        assert!((found - expected).abs() <= expected.abs() * 0.011 + 1e-6, "{name}: {found}");
    }
}

/// 100 s: north at 0.001 degrees per second, with everything that a review is about.
fn eventful() -> Reviewed {
    let mut flown = Flown::new();
    for second in 0..100_u32 {
        let lat = 50.0 + f64::from(second) / 1000.0;
        let version = if second % 2 == 0 { 1 } else { 2 };
        flown.truth(version, lat, 8.0);
        // East by 10 m per second of flight, but for one that is 3 km off.
        let off_m = if second == 60 { 3000.0 } else { f64::from(second) * 10.0 };
        let lon = 8.0 + off_m / (DEGREE_M * lat.to_radians().cos());
        #[expect(clippy::cast_possible_truncation, reason = "a small number")]
        flown.position(lat, lon, (off_m / 2.0) as f32);
        happen(&mut flown, second);
        flown.world.pass(500);
        // Between two words of the flight controller.
        flown.position(lat + 0.0005, lon, 1.0);
        flown.world.pass(500);
    }
    flown.end()
}

fn happen(flown: &mut Flown, second: u32) {
    use SourceLabel::{DeadReckoned, SatelliteAnchored, VisualPropagated};
    let change = |from, to| SourceLabelTransition { from, to, ..Default::default() };
    let switch = |from_k, to_k| ThermalThrottleHybridSwitch { from_k, to_k, temperature_c: 80.0 };
    let health = SystemHealth {
        cpu_percent: 50.0,
        gpu_percent: f32::NAN,
        temperature_c: if second < 95 { -10.0 } else { 90.0 },
        throttled: second >= 75,
        storage_left_bytes: 5000 - u64::from(second),
        ..Default::default()
    };
    flown.give(&health);
    match second {
        20 => flown.give(&change(SatelliteAnchored, VisualPropagated)),
        50 => flown.give(&change(VisualPropagated, DeadReckoned)),
        70 => flown.give(&change(DeadReckoned, SatelliteAnchored)),
        30 => flown.give(&switch(3, 2)),
        60 => flown.give(&switch(2, 3)),
        40 => {
            let duration_s = f32::NAN;
            let entry = VisualBlackoutEvent { edge: Edge::Entry, duration_s, ..Default::default() };
            flown.give(&entry);
        }
        45 => {
            let duration_s = f32::NAN;
            let exit = VisualBlackoutEvent { edge: Edge::Exit, duration_s, ..Default::default() };
            flown.give(&exit);
            let reason = "jump".to_owned();
            let outcome = Promotion::Promoted;
            flown.give(&SpoofingPromotionEvent { outcome, latency_ms: 3500.0, reason });
        }
        46 => {
            let (name, value) = ("cold_start_seconds".to_owned(), 31.0);
            flown.give(&MetricSample { name, value, ..Default::default() });
            let (name, value) = ("vpr_match_rate".to_owned(), 0.25);
            flown.give(&MetricSample { name, value, ..Default::default() });
        }
        47 => {
            let (severity, event) = (Severity::Critical, "fail".to_owned());
            let component = "camera".to_owned();
            let fail = ComponentLifecycleEvent { severity, event, component, ..Default::default() };
            flown.give(&fail);
            flown.give(&ComponentLifecycleEvent::default());
        }
        80..90 => flown.give(&MidFlightTileEmitted::default()),
        90 => flown.give(&MidFlightTileFailed::default()),
        _ => {}
    }
}

#[test]
fn flt_2_a_flight_has_the_figures_that_it_was_made_with() {
    let reviewed = eventful();
    let figures = figures(&reviewed);
    near(
        &figures,
        &[
            ("duration_s", 100.0),
            ("positions", 200.0),
            ("satellite_anchored_percent", 50.0),
            ("visual_propagated_percent", 30.0),
            ("dead_reckoned_percent", 20.0),
            ("dead_reckoned_longest_s", 20.0),
            ("label_changes", 3.0),
            ("horiz_accuracy_max_m", 1500.0),
            ("last_anchor_age_p95_s", 1.0),
            ("blackouts", 1.0),
            ("blackout_longest_s", 5.0),
            ("spoofing_promoted", 1.0),
            ("spoofing_rejected", 0.0),
            ("spoofing_promotion_latency_max_ms", 3500.0),
            ("component_errors", 1.0),
            ("component_failures", 1.0),
            ("cold_start_p95_s", 31.0),
            ("no_match_percent", 75.0),
            ("thermal_hybrid_percent", 30.0),
            ("tiles_emitted", 10.0),
            ("tiles_failed", 1.0),
            ("tile_failures_percent", 100.0 / 11.0),
            ("cpu_max_percent", 50.0),
            ("temperature_min_c", -10.0),
            ("temperature_max_c", 90.0),
            ("throttled_percent", 25.0),
            ("storage_left_min_bytes", 4901.0),
            ("segments_dropped", 0.0),
            ("records_lost_at_rings", 0.0),
        ],
    );
    for absent in ["vert_accuracy_max_m", "gpu_max_percent", "ram_used_max_bytes"] {
        assert_eq!(figures[absent], None, "{absent}");
    }
    assert_eq!(figures["footer_records_written"], figures["records"]);
    assert_eq!(reviewed.labels.len(), 4);
    assert_eq!(reviewed.blackouts.len(), 2);
    assert!((reviewed.blackouts[1].what.duration_s - 5.0).abs() < 1e-3);
    assert_eq!((reviewed.spoofing.len(), reviewed.events.len()), (1, 1));
    assert_eq!(reviewed.events[0].time_ns - reviewed.start_ns, 47_000_000_000);
}

#[test]
fn flt_2_errors_are_those_that_the_positions_were_given() {
    let reviewed = eventful();
    let figures = figures(&reviewed);
    near(
        &figures,
        &[
            ("ground_truth_fixes", 100.0),
            // Behind the last word there is one more.
            ("positions_with_truth", 199.0),
            ("positions_without_truth", 1.0),
            // Two at each of 0, 10, … 980 m but 600, one at 990 m, and two at 3000 m.
            ("error_p50_m", 490.0),
            ("error_p95_m", 950.0),
            ("error_p99_m", 3000.0),
            ("error_max_m", 3000.0),
            ("error_over_1_km_percent", 200.0 / 199.0),
        ],
    );
}

#[test]
fn findings_name_what_exceeds_its_limit_and_the_most_urgent_come_first() {
    let reviewed = eventful();
    let found: Vec<(Urgency, &str)> =
        reviewed.findings.iter().map(|one| (one.urgency, one.figure.as_str())).collect();
    use Urgency::{Critical, High, Medium};
    assert_eq!(
        found,
        [
            (Critical, "component_failures"),
            (Critical, "spoofing_promotion_latency_max_ms"),
            (Critical, "error_over_1_km_percent"),
            (High, "cold_start_p95_s"),
            (High, "thermal_hybrid_percent"),
            (Medium, "tile_failures_percent"),
            (Medium, "no_match_percent"),
            (Medium, "dead_reckoned_longest_s"),
        ]
    );
    assert_eq!(
        (reviewed.findings[1].value, reviewed.findings[1].limit),
        (Some(3500.0), Some(3000.0))
    );
    // Every limit is that of a figure.
    let figures = figures(&reviewed);
    assert!(LIMITS.iter().all(|limit| figures.contains_key(limit.figure)), "{figures:?}");
}

#[test]
fn what_a_flight_does_not_say_is_absent_and_nothing_to_find() {
    let mut flown = Flown::new();
    flown.world.pass(10);
    let open = flown.review(true);
    assert!(open.findings.is_empty(), "{:?}", open.findings);
    let cut = flown.review(false);
    assert_eq!(cut.findings[0].figure, "clean_shutdown");
    let reviewed = flown.end();
    assert!(reviewed.findings.is_empty(), "{:?}", reviewed.findings);
    let said: Vec<&str> = reviewed
        .figures
        .iter()
        .filter(|figure| figure.value.is_some())
        .map(|figure| figure.name.as_str())
        .collect();
    let of_the_recording = ["duration_s", "records", "size_bytes", "segments", "segments_dropped"];
    assert!(of_the_recording.iter().all(|name| said.contains(name)), "{said:?}");
    let rest = said.iter().filter(|name| {
        !of_the_recording.contains(name)
            && !name.starts_with("footer_")
            && !name.starts_with("component_")
    });
    assert_eq!(rest.collect::<Vec<_>>(), [&"records_lost_at_rings"]);
}

#[test]
fn flt_6_a_flight_beside_itself_has_no_change() {
    let reviewed = eventful();
    let compared = compare(&reviewed.figures, &reviewed.figures);
    assert_eq!(compared.len(), reviewed.figures.len());
    for one in compared {
        assert!(!one.regression, "{one:?}");
        assert_eq!(one.change_percent, one.figure.value.map(|_| 0.0), "{one:?}");
    }
}
