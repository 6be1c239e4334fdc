//! `flight`: what a person or a script gets of a recording.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_recorder::flight_dir::MANIFEST;
use groundcrew_recorder::writer::Policy;
use serde_json::{Value, json};

use crate::recorded::{Ran, Recordings, SMALL, segments};

#[test]
fn flights_are_listed_with_how_they_ended_and_named_by_what_is_unambiguous() {
    let recordings = Recordings::new();
    recordings.run(&["list"]).ends(0).says(&["there are no flights in"]);
    let first = recordings.whole(0, 100);
    let mut second = recordings.begin(3600, SMALL);
    second.fly(20);
    second.writer.sync(second.now);
    let list = recordings.run(&["list", "--json"]).ends(0).json();
    let states: Vec<&Value> =
        list["flights"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["clean", "open"]);
    assert_eq!(list["flights"][0]["id"], first.name());
    assert_eq!(list["flights"][0]["duration_ms"], 1000);
    recordings.run(&["list"]).ends(0).says(&["2026-01-31T12:00:00Z", "1.0 s", "clean", "open"]);

    let count = |word: &str| recordings.run(&["cat", word]).ends(0).out.lines().count();
    assert_eq!(count(&first.name()), count(first.name().split_at(11).0));
    assert!(count("last") < count(&first.name()));
    assert_eq!(count(first.path().to_str().unwrap()), count(&first.name()));
    assert_eq!(count(first.segments().path().to_str().unwrap()), count(&first.name()));
    recordings.run(&["cat", "019"]).ends(2).says(&["2 flights begin with \"019\"", "write more"]);
    recordings.run(&["cat", "ffff"]).ends(2).says(&["no flight in", "flight list"]);
}

#[test]
fn cat_gives_the_records_that_are_meant_and_what_is_known_of_them() {
    let recordings = Recordings::new();
    recordings.whole(0, 200);
    let cat = |args: &[&str]| {
        let args = [&["cat", "last", "--json"], args].concat();
        recordings.run(&args).ends(0).lines()
    };
    let poses = cat(&["--type", "pose"]);
    assert_eq!(poses.len(), 20);
    assert_eq!(poses[1]["body"], json!({ "x_m": 10.0, "tag": "ok" }));
    assert_eq!((&poses[1]["kind"], &poses[1]["source_name"]), (&0x8001.into(), &"camera".into()));
    assert_eq!(poses[1]["utc"], "2026-01-31T12:00:00.100000000Z");
    assert_eq!(cat(&["--type", "0x0012", "--type", "LogLine"]).len(), 204);
    assert_eq!(cat(&["--source", "camera"]).len(), 28);
    assert_eq!(cat(&["--source", "8", "--type", "Pose"]).len(), 20);
    let window = ["--type", "MetricSample", "--from", "0.5", "--to", "0.99"];
    let values: Vec<f64> =
        cat(&window).iter().map(|one| one["body"]["value"].as_f64().unwrap()).collect();
    assert_eq!((values.len(), values[0], values[49]), (50, 50.0, 99.0));
    let window =
        ["--type", "18", "--from", "2026-01-31T12:00:01Z", "--to", "2026-01-31T13:00:01.5+01:00"];
    assert_eq!(cat(&window).len(), 51);
    assert_eq!(cat(&["-n", "3"]).len(), 3);

    let strange = recordings.run(&["cat", "last", "--type", "0x8002"]).ends(0);
    strange.says(&["hex=010203", "4 records of type 0x8002, which nobody described"]);
    let text = recordings.run(&["cat", "last", "--type", "LogLine"]).ends(0);
    assert_eq!(text.out.lines().count(), 4, "a line break in a text breaks no line: {text:?}");
    text.says(&["0.500000  camera       LogLine level=warn"]);
    let bad = |args: &[&str]| recordings.run(&[&["cat", "last"], args].concat()).ends(2);
    bad(&["--type", "MetricSampel"]).says(&["did you mean \"MetricSample\"?"]);
    bad(&["--source", "gps"]).says(&["no source called \"gps\"; it has: camera, nav"]);
    bad(&["--from", "5", "--to", "2"]).says(&["--from 5 is behind --to 2"]);
    bad(&["--from", "noon"]).says(&["\"noon\" is no time", "12.5"]);
}

#[test]
fn output_ends_quietly_when_nobody_reads_it_any_more() {
    let recordings = Recordings::new();
    recordings.whole(0, 3000);
    for command in [
        &["cat", "last"][..],
        &["cat", "last", "--json"],
        &["export", "last", "--jsonl"],
        &["export", "last", "--mcap"],
        &["export", "last", "--parquet", "--type", "MetricSample"],
        &["export", "last", "--csv", "--type", "MetricSample"],
    ] {
        let mut child = recordings
            .command(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 100];
        child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
fn a_disk_that_takes_no_output_is_no_success() {
    let recordings = Recordings::new();
    recordings.whole(0, 3);
    for command in [
        &["list"][..],
        &["cat", "last"],
        &["verify", "last"],
        &["report", "last", "--json"],
        &["export", "last", "--jsonl"],
    ] {
        let full = fs::File::create("/dev/full").unwrap();
        let output = recordings.command(command).stdout(full).output().unwrap();
        Ran::of(output).ends(1).says(&["No space left on device"]);
    }
}

#[test]
fn tail_shows_the_end_and_follows_a_flight_until_it_ends() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, SMALL);
    recording.fly(300);
    recording.writer.sync(recording.now);
    let args = ["tail", "last", "--type", "Pose", "-n", "12"];
    let ended = recordings.run(&args).ends(0);
    assert_eq!(ended.out.lines().count(), 12, "{ended:?}");
    ended.says(&["x_m=290.0"]);
    let mut child = recordings
        .command(&["tail", "last", "--json", "--type", "MetricSample", "-n", "2", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut value = || {
        let line = lines.next()?.unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["body"]["value"].as_f64()
    };
    assert_eq!((value(), value()), (Some(298.0), Some(299.0)));
    recording.fly(200);
    recording.writer.finish("landed", recording.now);
    let values: Vec<f64> = std::iter::from_fn(value).collect();
    assert_eq!((values.len(), values[0], values[199]), (200, 0.0, 199.0));
    Ran::of(child.wait_with_output().unwrap()).ends(0);
}

#[test]
fn rec_15_a_bench_can_demand_that_a_flight_ended_clean_and_may_have_bare_files() {
    let recordings = Recordings::new();
    let clean = recordings.whole(0, 300);
    recordings.run(&["summarise", "last", "--require-clean"]).ends(0).says(&[
        "it ended: landed",
        "300  0x0012 MetricSample",
        "30  0x8001 Pose",
    ]);
    let glob = format!("{}/seg_*.bin", clean.segments().path().display());
    let ran = recordings.run(&["summarise", "--segment", &glob, "--require-clean", "--json"]);
    let summary = ran.ends(0).json();
    assert_eq!((&summary["clean"], &summary["sources"]["7"]), (&true.into(), &"nav".into()));
    assert!(summary["footer"]["clean_shutdown"].as_bool().unwrap());
    recordings
        .run(&["summarise", "--segment", "/nonexistent/*"])
        .ends(2)
        .says(&["no file is called"]);

    let mut open = recordings.begin(10, SMALL);
    open.fly(30);
    open.writer.sync(open.now);
    drop(open.writer);
    recordings.run(&["summarise", "last"]).ends(0).says(&["it has no end"]);
    let ran = recordings.run(&["summarise", "last", "--require-clean"]).ends(6);
    ran.says(&["is not clean: it has no end", "flight recover"]);
    recordings.run(&["recover", "last"]).ends(0);
    let ran = recordings.run(&["summarise", "last", "--require-clean"]).ends(6);
    ran.says(&["clean_shutdown = false", "did not end the flight"]);

    let mut overrun = recordings.begin(20, SMALL);
    overrun.fly(10);
    overrun.give_bytes(8, 0x8001, &vec![0; 2 << 20]);
    overrun.fly(10);
    overrun.writer.finish("landed", overrun.now);
    recordings.run(&["summarise", "last"]).ends(0);
    let ran = recordings.run(&["summarise", "last", "--require-clean"]).ends(6);
    ran.says(&["is not clean: 1 records were lost at rings"]);

    // The record that tells of it went with the oldest segments.
    let policy = Policy { flight_bytes: 24_000, ..SMALL };
    let mut overrun = recordings.begin(30, policy);
    overrun.fly(10);
    overrun.give_bytes(8, 0x8001, &vec![0; 2 << 20]);
    overrun.fly(800);
    overrun.writer.finish("landed", overrun.now);
    let report = recordings.run(&["verify", "last", "--json"]).ends(6).json();
    assert_eq!(report["overruns"], 0, "{report}");
    let ran = recordings.run(&["summarise", "last", "--require-clean"]).ends(6);
    ran.says(&[
        "is not clean: 1 records were lost at rings",
        "1 records were lost at rings, and counted, 1 of them by the word of the footer alone",
    ]);
}

#[test]
fn recover_says_what_it_did_and_does_nothing_the_second_time() {
    let recordings = Recordings::new();
    let dir = recordings.left_open(150);
    let last = segments(&dir).pop().unwrap();
    assert!(last.to_str().unwrap().ends_with(".bin.tmp"), "{last:?}");
    let mut file = fs::OpenOptions::new().append(true).open(&last).unwrap();
    std::io::Write::write_all(&mut file, b"GFDR torn").unwrap();
    let claim = dir.claim().unwrap();
    recordings.run(&["recover", "last"]).ends(75).says(&["is being written by a recorder"]);
    drop(claim);
    let records = recordings.run(&["cat", "last"]).ends(0).out.lines().count();
    recordings.run(&["verify", "last"]).ends(6).says(&["9 bytes are no record", "a torn end"]);
    recordings.run(&["recover", "last"]).ends(0).says(&[
        "was ended",
        "9 bytes that are no whole record were set aside in seg_",
        "clean_shutdown = false",
        "the manifest was written anew",
    ]);
    let before = fs::read(dir.path().join(MANIFEST)).unwrap();
    assert!(dir.manifest().unwrap().unwrap().stopped.is_some_and(|stop| !stop.clean));
    recordings.run(&["recover", "last"]).ends(0).says(&["nothing to do, it has its end"]);
    assert_eq!(fs::read(dir.path().join(MANIFEST)).unwrap(), before);
    let after = recordings.run(&["cat", "last"]).ends(0).out.lines().count();
    assert_eq!(after, records + 1, "all records and a footer");
    recordings.run(&["list"]).ends(0).says(&["unclean"]);
    let damaged = recordings.run(&["verify", "last", "--json"]).ends(6).json();
    assert_eq!((&damaged["damaged"], &damaged["set_aside_bytes"]), (&false.into(), &9.into()));

    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    recordings.run(&["verify", "last"]).ends(6);
    recordings.run(&["recover", "last"]).ends(0).says(&["the manifest was written anew"]);

    // Of a later version nothing is known but that it is one.
    let later = String::from_utf8(before).unwrap().replace("\"schema\": 1", "\"schema\": 2");
    let later = later.replace("\"started\"", "\"begun\"");
    let mut file = fs::File::create(dir.path().join(MANIFEST)).unwrap();
    std::io::Write::write_all(&mut file, later.as_bytes()).unwrap();
    recordings.run(&["recover", "last"]).ends(0).says(&["nothing to do"]);
    assert_eq!(fs::read_to_string(dir.path().join(MANIFEST)).unwrap(), later, "it knows more");
}

#[test]
fn a_manifest_and_an_export_are_durable_before_and_after_they_get_their_names() {
    let recordings = Recordings::new();
    let dir = recordings.whole(0, 20);
    let traced = |args: &[&str]| {
        let command = recordings.command(args);
        let mut strace = Command::new("strace");
        strace.args(["-y", "-e", "trace=fsync,rename,renameat,renameat2"]);
        strace.arg(command.get_program()).args(command.get_args());
        strace.env("GROUNDCREW_RECORDINGS", recordings.path());
        Ran::of(strace.output().unwrap()).ends(0).err
    };
    let in_order = |trace: &str, parts: &[&str]| {
        let mut rest = trace;
        for part in parts {
            let found = rest.split_once(part);
            (_, rest) = found.unwrap_or_else(|| panic!("no {part:?} in its place:\n{trace}"));
        }
    };
    let path = |path: &Path| path.display().to_string();
    let trace = traced(&["recover", "last"]);
    let synced = format!("{}>", path(dir.path()));
    in_order(
        &trace,
        &["fsync(", "manifest.json.tmp>", "rename", "manifest.json\"", "fsync(", &synced],
    );
    let file = recordings.path().join("a.jsonl");
    let trace = traced(&["export", "last", "--jsonl", "-o", &path(&file)]);
    let synced = format!("{}>", path(recordings.path()));
    in_order(&trace, &["fsync(", "a.jsonl.part>", "rename", "a.jsonl\"", "fsync(", &synced]);
}

#[test]
fn a_slice_is_a_whole_flight_of_the_records_that_were_chosen() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 400);
    let to = recordings.path().join("elsewhere/slice");
    let to = to.to_str().unwrap();
    let chosen = ["--type", "Pose", "--type", "LogLine", "--from", "1", "--to", "2.999"];
    let lines = |args: &[&str]| {
        let lines = recordings.run(&[args, &["--json"]].concat()).ends(0).lines();
        let of = |line: &Value| {
            (
                line["type"].clone(),
                line["utc_ns"].clone(),
                line["source"].clone(),
                line["body"].clone(),
            )
        };
        lines.iter().map(of).collect::<Vec<_>>()
    };
    let expected = lines(&[&["cat", &flight.name()], &chosen[..]].concat());
    assert_eq!(expected.len(), 24);
    recordings.run(&[&["slice", &flight.name(), "-o", to], &chosen[..]].concat()).ends(0);
    let kinds = ["--type", "Pose", "--type", "LogLine"];
    assert_eq!(lines(&[&["cat", to], &kinds[..]].concat()), expected);
    recordings.run(&["verify", to]).ends(0).says(&["whole"]);
    let said = format!("a slice of flight {}", flight.name());
    recordings.run(&["summarise", to, "--require-clean"]).ends(0).says(&[&said]);
    recordings
        .run(&[&["slice", &flight.name(), "-o", to], &chosen[..]].concat())
        .ends(1)
        .says(&["File exists"]);

    let all = recordings.run(&["slice", &flight.name(), "--json"]).ends(0).json();
    let id = all["flight"].as_str().unwrap();
    recordings.run(&["verify", id]).ends(0);
    assert_eq!(recordings.run(&["cat", id, "--type", "0x8002"]).ends(0).out.lines().count(), 8);
    let none = ["slice", id, "--type", "Pose", "--from", "100"];
    recordings.run(&none).ends(5).says(&["no flight was made"]);
}

#[test]
fn exports_are_whole_files_or_none() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 200);
    let id = flight.name();
    let file = |name: &str| recordings.path().join(name).display().to_string();
    recordings.run(&["export", &id, "--jsonl", "-o", &file("a.jsonl")]).ends(0).says(&["a.jsonl"]);
    let exported = fs::read_to_string(file("a.jsonl")).unwrap();
    assert_eq!(exported, recordings.run(&["cat", &id, "--json"]).ends(0).out);
    let tables = recordings.run(&["export", &id, "--csv", "-o", &file("tables"), "--json"]);
    let tables = tables.ends(0).json();
    assert!(tables["paths"].as_array().unwrap().len() > 5, "{tables}");
    let table = fs::read_to_string(file("tables/0x8001_Pose.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[0], "seq,time_ns,utc,source,source_name,source_seq,x_m,tag");
    assert!(lines[2].ends_with(",2026-01-31T12:00:00.100000000Z,8,camera,3,10,ok"), "{}", lines[2]);
    let one = recordings.run(&["export", &id, "--csv", "--type", "Pose"]).ends(0);
    assert_eq!(one.out, table);
    recordings.run(&["export", &id, "--csv"]).ends(2).says(&["--type names it, or -o a directory"]);
    recordings.run(&["export", &id]).ends(2).says(&["--jsonl", "--mcap"]);
    let nowhere = file("none/a.mcap");
    recordings.run(&["export", &id, "--mcap", "-o", &nowhere]).ends(1).says(&["none/a.mcap"]);
    let left: Vec<_> =
        fs::read_dir(recordings.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().ends_with(".part")), "{left:?}");
}

#[test]
fn a_pipe_that_is_there_is_written_to_and_a_file_behind_a_link_is_replaced() {
    let recordings = Recordings::new();
    recordings.whole(0, 200);
    let only = ["--type", "Pose"];
    let cat = recordings.run(&[&["cat", "last", "--json"], &only[..]].concat());
    let expected = cat.ends(0).out;
    let path = |name: &str| recordings.path().join(name);
    let export = |to: &str| {
        let to = path(to).display().to_string();
        recordings.run(&[&["export", "last", "--jsonl", "-o", &to], &only[..]].concat()).ends(0);
    };
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    // All of it fits into the pipe.
    let mut pipe = fs::OpenOptions::new().read(true).write(true).open(path("pipe")).unwrap();
    export("pipe");
    assert!(!fs::metadata(path("pipe")).unwrap().is_file(), "it is the pipe that it was");
    let mut arrived = vec![0; expected.len()];
    pipe.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, expected.as_bytes());
    fs::File::create(path("file")).unwrap();
    std::os::unix::fs::symlink("file", path("link")).unwrap();
    export("link");
    assert!(path("link").is_symlink());
    assert_eq!(fs::read_to_string(path("file")).unwrap(), expected);
}

#[test]
fn a_long_flight_is_cut_to_a_window_without_reading_what_is_outside() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, Policy { segment_bytes: 1 << 20, ..SMALL });
    for _ in 0..40 {
        for _ in 0..20 {
            recording.give_bytes(7, 0x8002, &[7; 50_000]);
        }
        recording.fly(10);
    }
    recording.writer.finish("landed", recording.now);
    let segments = segments(&recording.dir);
    assert!(segments.len() > 35);
    // What is outside is not even looked at: it is damaged, and nobody says so.
    let mut bytes = fs::read(&segments[20]).unwrap();
    bytes[60_000] ^= 1;
    std::io::Write::write_all(&mut fs::File::create(&segments[20]).unwrap(), &bytes).unwrap();
    let begun = Instant::now();
    let ran = recordings.run(&["cat", "last", "--from", "3.5", "--type", "MetricSample"]).ends(0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(ran.out.lines().count(), 50);
    recordings.run(&["verify", "last"]).ends(6).says(&[
        "segment 20: at offset",
        "a checksum of",
        "expected",
    ]);
}

#[test]
fn rec_8_a_flight_whose_clock_jumped_is_shown_in_order_with_what_the_clock_said() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, SMALL);
    let years = 10 * 365 * 86_400 * 1_000_000_000;
    recording.fly(100);
    for jump in [-years, years] {
        recording.now.utc_ns += jump;
        recording.fly(100);
    }
    recording.writer.finish("landed", recording.now);
    recordings.run(&["verify", "last"]).ends(0).says(&["whole"]);
    let lines =
        recordings.run(&["cat", "last", "--type", "MetricSample", "--json"]).ends(0).lines();
    let times: Vec<u64> = lines.iter().map(|line| line["time_ns"].as_u64().unwrap()).collect();
    assert_eq!(times.len(), 300);
    assert!(times.windows(2).all(|two| two[1] - two[0] == 10_000_000), "{times:?}");
    let told = recordings.run(&["cat", "last", "--type", "TimeSync", "--json"]).ends(0).lines();
    let at: Vec<i64> = told.iter().map(|line| line["body"]["utc_ns"].as_i64().unwrap()).collect();
    assert!(at.len() == 2 && at[1] - at[0] > years, "there and back: {at:?}");
    // Seconds since the beginning are those of the clock that counts.
    let span = ["cat", "last", "--type", "MetricSample", "--from", "1.5", "--to", "1.99", "--json"];
    assert_eq!(recordings.run(&span).ends(0).out.lines().count(), 50);
    recordings.run(&["summarise", "last"]).ends(0).says(&["3.0"]);
}
