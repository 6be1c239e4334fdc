//! The telemetry log as MAVLink's makers read it, with their library from PyPI.

use std::process::Command;

use groundcrew_recorder::body::types::ReceivedMavlinkRaw;
use serde_json::Value;

use crate::mcap::python;
use crate::recorded::{BEGUN_MS, Recordings};

/// The package, with its version.
const PACKAGE: &str = "pymavlink==2.4.50";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/read_tlog.py");

/// A heartbeat of MAVLink 2 (message 0, 9 bytes): <https://mavlink.io/en/messages/common.html>.
fn heartbeat(seq: u8) -> Vec<u8> {
    /// What the message's fields are hashed to, so that both sides know the same ones.
    const EXTRA: u8 = 50;
    let mut frame = vec![0xfd, 9, 0, 0, seq, 1, 191, 0, 0, 0];
    frame.extend_from_slice(&[0, 0, 0, 0, 18, 8, 0, 4, 3]);
    let check = frame[1..].iter().chain(&[EXTRA]).fold(0xffff, |check, byte| x25(check, *byte));
    frame.extend_from_slice(&check.to_le_bytes());
    frame
}

/// CRC-16/MCRF4XX: <https://mavlink.io/en/guide/serialization.html>.
pub(crate) fn x25(check: u16, byte: u8) -> u16 {
    (0..8).fold(check ^ u16::from(byte), |check, _| {
        if check & 1 == 1 { (check >> 1) ^ 0x8408 } else { check >> 1 }
    })
}

#[test]
fn rec_9_a_ground_station_reads_the_frames_with_their_times() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, groundcrew_recorder::writer::Policy::default());
    let mut frames = Vec::new();
    for seq in 0..50 {
        let frame = heartbeat(seq);
        recording.give(7, &ReceivedMavlinkRaw { frame: frame.clone(), ..Default::default() });
        // What was received in part is none, and neither are other records.
        let part = frame[..10].to_vec();
        recording.give(7, &ReceivedMavlinkRaw { frame: part, ..Default::default() });
        frames.push(frame);
        recording.fly(3);
    }
    recording.writer.finish("landed", recording.now);
    let path = recordings.path().join("flight.tlog");
    let path = path.to_str().unwrap();
    recordings.run(&["export", "last", "--tlog", "-o", path]).ends(0).says(&["50 records"]);
    let output = Command::new(python(PACKAGE)).args([SCRIPT, path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read.len(), 50);
    for ((message, frame), number) in read.iter().zip(&frames).zip(0_u32..) {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&message["type"], &message["frame"]), (&"HEARTBEAT".into(), &hex.into()));
        let begun_s = f64::from(u32::try_from(BEGUN_MS / 1000).unwrap());
        let time_s = begun_s + f64::from(number) * 0.03;
        assert!((message["time"].as_f64().unwrap() - time_s).abs() < 1e-3, "{message}");
    }
}
