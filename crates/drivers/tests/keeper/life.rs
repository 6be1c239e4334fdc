//! While the app lives: its output, and a file system that is full.

use std::fs;

use groundcrew_drivers::keeper::Outcome;
use groundcrew_drivers::keeper::client;
use groundcrew_drivers::keeper::spec::LogLimits;

use crate::rig::{Rig, exe};

#[test]
fn output_is_kept_within_its_bounds_and_its_end_is_complete() {
    let rig = Rig::new();
    let mut spec =
        rig.spec("i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo line $i; done; exit 4");
    spec.log = LogLimits { bytes: 64 * 1024, files: 3 };
    client::start(&rig.run_dir(), &spec, &exe()).unwrap();
    let exit = rig.exit();
    assert_eq!((exit.outcome, exit.log_lost_bytes), (Outcome::Exited { code: 4 }, 0));
    let mut all = String::new();
    let mut files = 0;
    for name in ["log.3", "log.2", "log.1", "log"] {
        if let Ok(text) = fs::read_to_string(rig.run_dir().join(name)) {
            assert!(text.len() <= 64 * 1024, "{name} has {} bytes", text.len());
            all.push_str(&text);
            files += 1;
        }
    }
    assert_eq!(files, 3);
    let numbers: Vec<u32> = all
        .lines()
        .skip(1)
        .map(|line| line.strip_prefix("line ").unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers.last(), Some(&40_000));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "no line is missing");
}

#[test]
fn both_streams_end_up_in_the_log() {
    let rig = Rig::new();
    rig.spawn("echo out; echo err >&2; cat; exit 0");
    assert_eq!(rig.exit().outcome, Outcome::Exited { code: 0 });
    let log = rig.log();
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "out"]);
}
