//! `flight report` and `flight diff`: what a person reads after a flight.

use std::fs::{self, File};
use std::io::Write as _;

use groundcrew_recorder::body::types::{
    ComponentLifecycleEvent, Direction, Edge, EmittedExternalPosition, FrameVerdict,
    ReceivedMavlinkRaw, Severity, SourceLabel, SourceLabelTransition, SystemHealth,
    VisualBlackoutEvent,
};
use groundcrew_recorder::flight_dir::FlightDir;
use groundcrew_recorder::writer::Policy;
use serde_json::Value;

use crate::recorded::{Recording, Recordings, SMALL, segments};
use crate::tlog::x25;

/// Meters of a degree of latitude, and of longitude where the flight is.
const DEGREE_M: f64 = 6_371_008.8 * std::f64::consts::PI / 180.0;
const LAT_DEG: f64 = 60.0;

/// `GLOBAL_POSITION_INT` (message 33) of MAVLink 2, whose zeros at the end are left out.
fn global_position_int(lat_deg: f64, lon_deg: f64) -> ReceivedMavlinkRaw {
    /// What the message's fields are hashed to.
    const EXTRA: u8 = 104;
    let mut frame = vec![0xfd, 12, 0, 0, 0, 1, 1, 33, 0, 0, 0, 0, 0, 0];
    for degrees in [lat_deg, lon_deg] {
        #[expect(clippy::cast_possible_truncation, reason = "at most 180e7")]
        frame.extend_from_slice(&((degrees * 1e7).round() as i32).to_le_bytes());
    }
    let check = frame[1..].iter().chain(&[EXTRA]).fold(0xffff, |check, byte| x25(check, *byte));
    frame.extend_from_slice(&check.to_le_bytes());
    let (direction, verdict) = (Direction::Received, FrameVerdict::Ok);
    ReceivedMavlinkRaw { frame, direction, verdict, ..Default::default() }
}

fn pass(recording: &mut Recording, ms: u32) {
    (0..ms / 10).for_each(|_| recording.pass());
}

/// So many seconds to the north, with positions that are so many meters off to the east.
fn fly(recording: &mut Recording, seconds: u32, off_m: f64) {
    let off_deg = off_m / (DEGREE_M * LAT_DEG.to_radians().cos());
    for second in 0..seconds {
        let lat_deg = LAT_DEG + f64::from(second) / 10_000.0;
        recording.give(7, &global_position_int(lat_deg, 10.0));
        let position = EmittedExternalPosition {
            lat_deg,
            lon_deg: 10.0 + off_deg,
            horiz_accuracy_m: 5.0,
            vert_accuracy_m: f32::NAN,
            label: SourceLabel::SatelliteAnchored,
            ..Default::default()
        };
        recording.give(7, &position);
        recording.give(8, &SystemHealth { cpu_percent: 40.0, ..Default::default() });
        pass(recording, 500);
        // Between two words of the flight controller.
        recording.give(7, &EmittedExternalPosition { lat_deg: lat_deg + 0.000_05, ..position });
        pass(recording, 500);
    }
}

fn land(mut recording: Recording) {
    recording.writer.finish("landed", recording.now);
}

/// A record in the middle is none any more.
fn damage(flight: &FlightDir) {
    let path = segments(flight).remove(1);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    File::create(&path).unwrap().write_all(&bytes).unwrap();
}

#[track_caller]
fn near(figures: &Value, expected: &[(&str, f64)]) {
    for (name, expected) in expected {
        let found = figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
        assert!((found - expected).abs() <= expected.abs() * 0.01, "{name}: {found}");
    }
}

#[test]
fn flt_2_a_report_has_the_errors_that_the_flight_was_made_with() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, Policy::default());
    fly(&mut recording, 20, 250.0);
    land(recording);
    let report = recordings.run(&["report", "last", "--json"]).ends(0).json();
    let figures = &report["figures"];
    near(
        figures,
        &[
            ("duration_s", 20.0),
            ("positions", 40.0),
            ("ground_truth_fixes", 20.0),
            ("positions_with_truth", 39.0),
            ("error_p50_m", 250.0),
            ("error_p95_m", 250.0),
            ("error_p99_m", 250.0),
            ("error_max_m", 250.0),
            ("satellite_anchored_percent", 100.0),
            ("horiz_accuracy_p95_m", 5.0),
            ("cpu_median_percent", 40.0),
        ],
    );
    assert_eq!(figures["error_over_1_km_percent"], 0.0);
    for absent in ["vert_accuracy_max_m", "cold_start_p95_s", "thermal_hybrid_percent"] {
        assert!(figures[absent].is_null(), "{absent}: {figures}");
    }
    assert_eq!((&report["clean"], &report["damaged"]), (&true.into(), &false.into()));
    assert_eq!(report["started"], "2026-01-31T12:00:00.000000000Z");
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    assert_eq!(report["labels"][0]["label"], "satellite_anchored");
    recordings.run(&["report", "last"]).ends(0).says(&[
        "It began 2026-01-31T12:00:00Z and ended: landed.",
        "nothing: no figure that the flight says exceeds its limit",
        "| duration                       | 20 s ",
        "| horiz accuracy        | min 5 m, median 5 m, p95 5 m, max 5 m",
        "| vert accuracy         | absent",
        "| error p95               | 250 m",
        "| cold start p95    | absent",
        "| 0x0003 | ReceivedMavlinkRaw",
    ]);
}

#[test]
fn a_report_says_what_to_look_at_and_where_the_flight_was_cut_off() {
    use SourceLabel::{DeadReckoned, SatelliteAnchored};
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, Policy::default());
    fly(&mut recording, 5, 2000.0);
    let reason = "clouds | fog".to_owned();
    let (from, to) = (SatelliteAnchored, DeadReckoned);
    recording.give(7, &SourceLabelTransition { from, to, reason, last_anchor_age_s: 3.0 });
    let (edge, duration_s, reason) = (Edge::Entry, f32::NAN, "clouds | fog".to_owned());
    recording.give(7, &VisualBlackoutEvent { edge, reason, duration_s });
    recording.give(
        8,
        &ComponentLifecycleEvent {
            severity: Severity::Critical,
            component: "camera".to_owned(),
            event: "fail".to_owned(),
            detail: "no frame\nfor 3 s".to_owned(),
            ..Default::default()
        },
    );
    pass(&mut recording, 12_000);
    recording.give(8, &SystemHealth { cpu_percent: f32::NAN, ..Default::default() });
    recording.writer.sync(recording.now);
    let claim = recording.dir.claim().unwrap();
    recordings.run(&["report", "last"]).ends(0).says(&["is being written"]);
    drop(claim);
    drop(recording);
    let report = recordings.run(&["report", "last", "--json"]).ends(0).json();
    let found: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["figure"].as_str().unwrap())
        .collect();
    let expected = [
        "clean_shutdown",
        "component_failures",
        "error_over_1_km_percent",
        "dead_reckoned_longest_s",
    ];
    assert_eq!(found, expected);
    assert_eq!(report["findings"][2]["value"], 100.0);
    assert_eq!(report["findings"][2]["limit"], 0.01);
    assert_eq!(report["blackouts"][0]["reason"], "clouds | fog");
    recordings.run(&["report", "last"]).ends(0).says(&[
        "has no end; `groundcrew flight recover` writes one",
        "| critical | clean_shutdown          | no",
        "| medium   | dead_reckoned_longest_s | 12 s  | 10 s",
        "| 5.0 s | dead_reckoned      | 12.0 s |",
        "| entry | clouds \\| fog |",
        "| critical | camera    | fail  | no frame for 3 s |",
    ]);
}

#[test]
fn a_report_of_a_flight_that_says_little_or_is_damaged_says_so() {
    let recordings = Recordings::new();
    let empty = recordings.begin(0, SMALL);
    let nothing = recordings.run(&["report", "last", "--json"]).ends(0).json();
    assert_eq!(nothing["records"], 0);
    assert!(nothing["figures"]["duration_s"].is_null(), "{nothing}");
    land(empty);
    let report = recordings.run(&["report", "last", "--json"]).ends(0).json();
    assert!(report["figures"]["positions"].is_null() && report["figures"]["error_max_m"].is_null());
    assert_eq!(report["figures"]["segments_dropped"], 0.0);
    recordings
        .run(&["report", "last"])
        .ends(0)
        .says(&["no ground truth: no `GLOBAL_POSITION_INT`"]);

    let flight = recordings.whole(10, 300);
    damage(&flight);
    let report = recordings.run(&["report", "last", "--json"]).ends(6).json();
    assert_eq!((&report["damaged"], &report["lost"]), (&true.into(), &true.into()));
    recordings
        .run(&["report", "last"])
        .ends(6)
        .says(&["## What is damaged or missing", "are no record"]);

    let mut overrun = recordings.begin(20, SMALL);
    overrun.give_bytes(8, 0x8001, &vec![0; 2 << 20]);
    fly(&mut overrun, 2, 0.0);
    land(overrun);
    let ran = recordings.run(&["report", "last"]).ends(6);
    ran.says(&["| records lost at rings          | 1 ", "- 1 records were lost at rings"]);
    recordings.run(&["report", "/"]).ends(2).says(&["no segment either"]);
    for segment in segments(&flight) {
        fs::remove_file(segment).unwrap();
    }
    recordings.run(&["report", &flight.name()]).ends(2).says(&[&flight.name()]);
}

#[test]
fn flt_6_a_comparison_marks_what_became_worse_by_over_a_tenth() {
    let recordings = Recordings::new();
    for (after_s, off_m) in [(0, 100.0), (60, 150.0)] {
        let mut recording = recordings.begin(after_s, Policy::default());
        fly(&mut recording, 10, off_m);
        if after_s == 60 {
            let health =
                SystemHealth { temperature_c: 50.0, cpu_percent: 1.0, ..Default::default() };
            recording.give(8, &SystemHealth { gpu_percent: 9.0, ..health });
        }
        land(recording);
    }
    let list = recordings.run(&["list", "--json"]).ends(0).json();
    let [first, second] =
        [0, 1].map(|at: usize| list["flights"][at]["id"].as_str().unwrap().to_owned());
    let diff = recordings.run(&["diff", &first, &second, "--json"]).ends(0).json();
    let figure = |name: &str| {
        let all = diff["figures"].as_array().unwrap();
        all.iter().find(|one| one["figure"] == name).unwrap().clone()
    };
    let error = figure("error_p95_m");
    near(&error, &[("first", 100.0), ("second", 150.0), ("change_percent", 50.0)]);
    assert_eq!(error["regression"], true);
    assert_eq!(figure("duration_s")["regression"], false);
    assert_eq!(figure("cpu_max_percent")["regression"], false, "it fell");
    assert!(figure("cold_start_p95_s")["first"].is_null());
    assert!(diff["regressions"].as_u64().unwrap() >= 4, "{diff}");
    recordings.run(&["diff", &first, &second]).ends(0).says(&[
        "figures became worse by more than 10 %",
        "| error p95               | 100",
        "| +50",
        "| worse |",
        "| same",
        "absent in both: ",
    ]);
    let back = recordings.run(&["diff", &second, &first, "--json"]).ends(0).json();
    let error =
        back["figures"].as_array().unwrap().iter().find(|one| one["figure"] == "error_p95_m");
    assert_eq!(error.unwrap()["regression"], false, "it became better");
    recordings.run(&["diff", &first, "ffff"]).ends(2).says(&["no flight in"]);
    recordings.run(&["diff", &first]).ends(2).says(&["<SECOND>"]);
    let damaged = recordings.whole(90, 300);
    damage(&damaged);
    for flights in [["last", &first], [&first, "last"]] {
        let ran = recordings.run(&["diff", flights[0], flights[1]]).ends(6);
        ran.says(&["only in the", "is damaged or lacks something"]);
    }
}
