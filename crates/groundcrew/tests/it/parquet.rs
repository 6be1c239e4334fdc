//! Parquet as a database reads it: DuckDB, from PyPI, whose reader is no relative of our writer.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;

use groundcrew_recorder::body::types::{
    Direction, FrameVerdict, ImuTrace, ReceivedMavlinkRaw, SystemHealth,
};
use groundcrew_recorder::writer::Policy;
use serde_json::{Value, json};

use crate::mcap::python;
use crate::recorded::Recordings;

/// The package, with its version.
const PACKAGE: &str = "duckdb==2.0.0";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/read_parquet.py");

fn read(dir: &str) -> Value {
    let output = Command::new(python(PACKAGE)).args([SCRIPT, dir]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a table should have of a row of JSON lines.
fn expected(row: &Value) -> Value {
    let mut cells = match row["body"]["hex"].as_str() {
        Some(hex) => json!({ "body": hex }),
        None => row["body"].clone(),
    };
    for name in ["seq", "time_ns", "source", "source_name", "source_seq"] {
        cells[name] = row[name].clone();
    }
    cells["utc"] = row["utc_ns"].clone();
    cells
}

#[test]
fn rec_9_a_database_reads_counts_times_and_values_of_every_type() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, Policy::default());
    for number in 0..40_u8 {
        recording.fly(5);
        let (direction, verdict) = (Direction::Received, FrameVerdict::BadChecksum);
        let frame = vec![0xfe, number];
        let frame = ReceivedMavlinkRaw { frame, direction, verdict, ..Default::default() };
        recording.give(7, &frame);
        let cpu_percent = if number == 0 { f32::NAN } else { f32::from(number) / 3.0 };
        let health = SystemHealth { cpu_percent, ram_used_bytes: u64::MAX, ..Default::default() };
        recording.give(7, &health);
        let gyro_radps = vec![0.5; usize::from(number % 3)];
        recording.give(8, &ImuTrace { gyro_radps, first_ns: 3, ..Default::default() });
    }
    recording.writer.finish("landed", recording.now);
    let dir = recordings.path().join("tables");
    let dir = dir.to_str().unwrap();
    let ran = recordings.run(&["export", "last", "--parquet", "-o", dir, "--json"]).ends(0);
    let rows = recordings.run(&["cat", "last", "--json"]).ends(0).lines();
    assert_eq!(ran.json()["records"], rows.len());
    let tables = read(dir);
    let mut in_all = 0;
    for (file, table) in tables.as_object().unwrap() {
        let name = file.strip_suffix(".parquet").unwrap();
        let name = name.strip_prefix("0x8001_").unwrap_or(name);
        let of_it: Vec<Value> =
            rows.iter().filter(|row| row["type"] == name).map(expected).collect();
        let found = table["rows"].as_array().unwrap();
        assert_eq!(found.len(), of_it.len(), "{file}");
        for (found, expected) in found.iter().zip(&of_it) {
            assert_eq!(found, expected, "{file}");
        }
        in_all += of_it.len();
    }
    assert_eq!(in_all, rows.len());
    let types = |file: &str, columns: [&str; 3]| {
        columns.map(|column| tables[file]["types"][column].as_str().unwrap().to_owned())
    };
    let health = types("SystemHealth.parquet", ["cpu_percent", "throttled", "ram_used_bytes"]);
    assert_eq!(health, ["FLOAT", "BOOLEAN", "UBIGINT"]);
    let imu = types("ImuTrace.parquet", ["gyro_radps", "source", "source_name"]);
    assert_eq!(imu, ["FLOAT[]", "USMALLINT", "VARCHAR"]);
    let pose = types("0x8001_Pose.parquet", ["x_m", "tag", "seq"]);
    assert_eq!(pose, ["DOUBLE", "VARCHAR", "UBIGINT"]);
    let utc = tables["0x8002.parquet"]["types"]["utc"].as_str().unwrap();
    assert!(utc.starts_with("TIMESTAMP"), "{utc}");
}

#[test]
fn tables_of_a_damaged_flight_hold_the_rest_and_no_part_of_a_file_stays() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 300);
    let damaged = crate::recorded::segments(&flight).remove(1);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    File::create(&damaged).unwrap().write_all(&bytes).unwrap();
    let table = recordings.path().join("table");
    let path = table.to_str().unwrap();
    let only = ["--type", "MetricSample", "--from", "0.1"];
    let args = [&["export", "last", "--parquet", "-o", path, "--json"], &only[..]].concat();
    let ran = recordings.run(&args).ends(6).says(&["are no record"]);
    let rows = recordings.run(&[&["cat", "last", "--json"], &only[..]].concat()).ends(6).lines();
    assert_eq!(ran.json()["records"], rows.len());
    // Only one type was asked for, so that the name is a file's.
    let bytes = fs::read(&table).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "it has its end");

    recordings.run(&["export", "last", "--parquet"]).ends(2).says(&["--type names it"]);
    // A directory stands where a table should go.
    let dir = recordings.path().join("tables");
    let path = dir.to_str().unwrap();
    fs::create_dir_all(dir.join("Sync.parquet")).unwrap();
    recordings.run(&["export", "last", "--parquet", "-o", path]).ends(1).says(&["cannot write"]);
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["Sync.parquet"]);
}
