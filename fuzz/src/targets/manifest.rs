//! A manifest: refused, or it reads back as it was written.
//!
//! Input: the file.

use std::fs::File;
use std::io::Write as _;

use groundcrew_recorder::flight_dir::{FlightDir, MANIFEST};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::{AppRelease, Manifest, Stamp, Stop};

pub(super) fn run(data: &[u8]) {
    with_flight(|flight| {
        let put =
            File::create(flight.path().join(MANIFEST)).and_then(|mut file| file.write_all(data));
        put.expect("the directory is ours");
        match flight.manifest() {
            Ok(found) => {
                let manifest = found.expect("there is a file");
                let text = serde_json::to_vec(&manifest).expect("it has no other keys than texts");
                let again: Manifest = serde_json::from_slice(&text).expect("we wrote it");
                assert_eq!(again, manifest);
            }
            Err(error) => assert!(!groundcrew_recorder::chain(&error).is_empty()),
        }
    });
}

/// A directory per thread: making one takes longer than all the rest.
fn with_flight(run: impl FnOnce(&FlightDir)) {
    thread_local! {
        static DIR: (tempfile::TempDir, FlightDir) = {
            let dir = super::ring::directory();
            let made = FlightDir::create(dir.path(), &sample());
            (dir, made.expect("the directory is ours"))
        };
    }
    DIR.with(|(_, flight)| run(flight));
}

fn sample() -> Manifest {
    let flight = FlightId::new(1_700_000_000_000, [9; 10]);
    let header = Header { flight, boot: [5; 16], number: 0, first_seq: 0, time_ns: 77, utc_ns: -1 };
    Manifest::of(&header)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let release = |app: &str| AppRelease {
        app: app.to_owned(),
        version: "1.2.3".to_owned(),
        digest: "sha256:00".to_owned(),
    };
    let at = Stamp { time_ns: 78, utc_ns: 1 };
    let full = Manifest {
        host: "bench".to_owned(),
        apps: vec![release("nav"), release("cam\u{e9}ra")],
        stopped: Some(Stop { at, clean: true, reason: "landed".to_owned() }),
        ..sample()
    };
    let later = br#"{"schema": 1, "flight": "x", "later": {"a": [1, null, 1e3]},
        "time_base": {"clock": "CLOCK_BOOTTIME", "boot": "00"},
        "started": {"time_ns": 5, "utc_ns": -6}}"#;
    let text = |manifest: &Manifest| serde_json::to_vec_pretty(manifest).unwrap_or_default();
    vec![text(&sample()), text(&full), later.to_vec()]
}
