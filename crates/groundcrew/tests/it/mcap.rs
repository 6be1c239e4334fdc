//! MCAP as another implementation reads it: that of the format's makers, from PyPI.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::recorded::Recordings;

/// The package, with its version.
const PACKAGE: &str = "mcap==1.6.0";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/read_mcap.py");

/// A Python that has the package `name==version`; made once below `target/`.
pub(crate) fn python(package: &str) -> PathBuf {
    let name = package.split("==").next().unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let (python, whole) = (home.join("bin/python"), home.join("whole"));
    if fs::read_to_string(&whole).is_ok_and(|there| there == package) {
        return python;
    }
    // What an interrupted run left.
    fs::remove_dir_all(&home).ok();
    let run = |command: &mut Command| {
        let output = command.output().expect("apt-get install python3-venv");
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&home));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]));
    std::io::Write::write_all(&mut fs::File::create(whole).unwrap(), package.as_bytes()).unwrap();
    python
}

#[test]
fn the_makers_of_mcap_read_counts_times_and_payloads() {
    let recordings = Recordings::new();
    recordings.whole(0, 300);
    let path = recordings.path().join("flight.mcap");
    let path = path.to_str().unwrap();
    recordings.run(&["export", "last", "--mcap", "-o", path]).ends(0);
    let output = Command::new(python(PACKAGE)).args([SCRIPT, path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let messages = read["messages"].as_array().unwrap();
    let rows = recordings.run(&["cat", "last", "--json"]).ends(0).lines();
    assert_eq!(messages.len(), rows.len());
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (message, row) in messages.iter().zip(&rows) {
        let source = match &row["source_name"] {
            Value::String(name) => name.clone(),
            _ => row["source"].to_string(),
        };
        let topic = format!("/{source}/{}", row["type"].as_str().unwrap());
        assert_eq!(message["topic"], topic);
        assert_eq!(message["schema"], row["type"]);
        assert_eq!(message["encoding"], json!(["jsonschema", "json"]));
        assert_eq!(
            (&message["log_time"], &message["publish_time"]),
            (&row["utc_ns"], &row["utc_ns"])
        );
        assert_eq!(message["sequence"], row["source_seq"]);
        let mut payload = row["body"].clone();
        for member in ["time_ns", "source_seq", "seq"] {
            payload[format!("_{member}")] = row[member].clone();
        }
        assert_eq!(message["payload"], payload);
        let members: Vec<&String> = payload.as_object().unwrap().keys().collect();
        assert_eq!(message["properties"], json!(members), "{topic}");
        *counts.entry(topic).or_default() += 1;
    }
    assert_eq!(read["counts"], json!(counts));
    assert_eq!(counts["/nav/MetricSample"], 300);
    assert_eq!(counts["/camera/Pose"], 30);
}
