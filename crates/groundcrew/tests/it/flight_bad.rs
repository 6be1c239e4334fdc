//! Recordings that nobody made on purpose: each a clear message, never a panic, never a hang.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_recorder::format::frame::checksum;
use groundcrew_recorder::format::segment::Header;

use crate::recorded::{Ran, Recordings, SMALL, segments};

/// Everything that reads.
const READERS: [&[&str]; 9] = [
    &["cat", "last"],
    &["tail", "last"],
    &["verify", "last"],
    &["summarise", "last"],
    &["export", "last", "--jsonl"],
    &["export", "last", "--mcap"],
    &["export", "last", "--parquet", "--type", "Sync"],
    &["report", "last"],
    &["diff", "last", "last"],
];

/// Memory that reading may take, whatever is read.
const MEMORY_KIB: u64 = 64 << 10;

fn put(path: &std::path::Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Every reader ends with this code and says all of this, and none panics.
#[track_caller]
fn all_say(recordings: &Recordings, code: i32, words: &[&str]) {
    for command in READERS {
        let ran = recordings.run(command);
        assert!(!ran.err.contains("panicked"), "{command:?}: {ran:?}");
        let tail_ends_well = command[0] == "tail" && ran.code == Some(0);
        assert!(ran.code == Some(code) || tail_ends_well, "{command:?}: {ran:?}");
        // It looks at the last segments only.
        if !tail_ends_well {
            ran.says(words);
        }
    }
}

#[test]
fn a_recording_from_a_future_version_is_refused_by_its_version() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 3);
    let [path] = segments(&flight).try_into().unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut later = bytes.clone();
    later[8] = 2;
    put(&path, &later);
    all_say(
        &recordings,
        1,
        &[
            "seg_00000.bin cannot be read as a segment: format 2.0, this reader knows 1.x; read it with a newer version",
        ],
    );
    recordings.run(&["recover", "last"]).ends(1).says(&["format 2.0"]);
    recordings.run(&["list"]).ends(0).says(&["unreadable", "format 2.0"]);
    assert_eq!(fs::read(&path).unwrap(), later, "nothing was changed");

    let mut feature = bytes;
    feature[20] = 1;
    let crc = checksum(0, &feature[..92]);
    feature[92..96].copy_from_slice(&crc.to_le_bytes());
    put(&path, &feature);
    all_say(&recordings, 1, &["features 0x00000001 that this reader does not know"]);
}

#[test]
fn a_directory_that_is_no_flight_is_named_as_such() {
    let recordings = Recordings::new();
    let dir = recordings.path().join("photos");
    fs::create_dir(&dir).unwrap();
    put(&dir.join("a.jpg"), b"x");
    let dir = dir.to_str().unwrap();
    for command in ["cat", "verify", "summarise", "recover", "tail"] {
        let ran = recordings.run(&[command, dir]).ends(2);
        ran.says(&[
            "photos is no flight: there is no directory segments/ in it, and no segment either",
        ]);
    }
    let file = format!("{dir}/a.jpg");
    recordings.run(&["cat", &file]).ends(6).says(&["a.jpg cannot be read as a segment"]);
    recordings
        .run(&["cat", "/nonexistent/flight"])
        .ends(2)
        .says(&["/nonexistent/flight", "No such file"]);
    recordings.run(&["cat", "last"]).ends(2).says(&["there are no flights in", "--recordings"]);
    fs::create_dir_all(recordings.path().join("empty/segments")).unwrap();
    recordings
        .run(&["verify", "last"])
        .ends(2)
        .says(&["empty: there is no segment of a flight in it"]);
    recordings.run(&["list"]).ends(0).says(&["empty", "unreadable"]);
}

#[test]
fn a_flight_on_a_read_only_disk_is_read_and_not_repaired() {
    let recordings = Recordings::new();
    recordings.left_open(150);
    // In a namespace of its own, so that nothing stays mounted whatever happens.
    let root = recordings.path().display().to_string();
    let run = |args: &[&str]| {
        let command = recordings.command(args);
        let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", mount, &root]);
        unshare.arg(command.get_program()).args(command.get_args());
        unshare.env("GROUNDCREW_RECORDINGS", recordings.path());
        unshare.env("GROUNDCREW_CONFIG", recordings.path().join("none.toml"));
        Ran::of(unshare.output().unwrap())
    };
    run(&["verify", "last"]).ends(0).says(&["whole"]);
    run(&["summarise", "last"]).ends(0);
    run(&["recover", "last"]).ends(1).says(&["Read-only file system", "mounted read-only"]);
    run(&["slice", "last"]).ends(1).says(&["cannot make", "Read-only file system"]);
    let to = format!("{root}/x.mcap");
    run(&["export", "last", "--mcap", "-o", &to]).ends(1).says(&["x.mcap", "Read-only"]);
    recordings.run(&["recover", "last"]).ends(0);
}

#[test]
fn an_empty_segment_and_one_cut_in_its_header_are_named_and_recovery_sets_them_aside() {
    let recordings = Recordings::new();
    let dir = recordings.left_open(150);
    let count = segments(&dir).len();
    let records = recordings.run(&["cat", "last"]).ends(0).out.lines().count();
    let path = dir.segments().path().join(format!("seg_{count:05}.bin.tmp"));
    for bytes in [&b""[..], b"GFDRSEG\0\x01\0\0\0"] {
        put(&path, bytes);
        let said = format!(
            "seg_{count:05}.bin.tmp cannot be read as a segment: {} bytes, a segment begins with a header of 96",
            bytes.len()
        );
        for command in READERS.iter().filter(|command| command[0] != "tail") {
            recordings.run(command).ends(6).says(&[&said]);
        }
        let ran = recordings.run(&["cat", "last"]);
        assert_eq!(ran.out.lines().count(), records, "the rest is given: {ran:?}");
    }
    recordings.run(&["recover", "last"]).ends(0).says(&["12 bytes that are no whole record"]);
    assert!(!path.exists());
    assert_eq!(recordings.run(&["cat", "last"]).ends(0).out.lines().count(), records + 1);
}

#[test]
fn of_two_footers_the_last_counts_and_it_is_said() {
    let recordings = Recordings::new();
    let mut recording = recordings.begin(0, SMALL);
    recording.fly(10);
    recording.writer.finish("landed", recording.now);
    recording.fly(10);
    recording.writer.finish("landed again", recording.now);
    recordings.run(&["summarise", "last", "--require-clean"]).ends(0).says(&[
        "it ended: landed again",
        "there are 2 footers (it was gone on with once); the last",
    ]);
    recordings.run(&["verify", "last"]).ends(0).says(&["there are 2 footers", "whole"]);
    recordings.run(&["recover", "last"]).ends(0).says(&["the manifest was written anew"]);
    recordings.run(&["recover", "last"]).ends(0).says(&["nothing to do"]);
    let mut recording = recordings.begin(10, SMALL);
    recording.fly(10);
    recording.writer.finish("landed", recording.now);
    recording.fly(10);
    recording.writer.sync(recording.now);
    drop(recording);
    let ran = recordings.run(&["summarise", "last", "--require-clean"]).ends(6);
    ran.says(&["is not clean: it has no end"]);
    recordings.run(&["recover", "last"]).ends(0).says(&["a footer was written"]);
    recordings.run(&["verify", "last"]).ends(0).says(&["there are 2 footers"]);
}

#[test]
fn segments_missing_in_the_middle_are_named_and_the_rest_is_given() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 600);
    let paths = segments(&flight);
    assert!(paths.len() > 6, "{paths:?}");
    let records = recordings.run(&["cat", "last"]).ends(0).out.lines().count();
    fs::remove_file(&paths[2]).unwrap();
    fs::remove_file(&paths[4]).unwrap();
    recordings.run(&["verify", "last"]).ends(6).says(&[
        "segment 2 is missing",
        "segment 4 is missing",
        "damaged",
    ]);
    let report = recordings.run(&["summarise", "last", "--json"]).ends(6).json();
    assert_eq!(report["missing_segments"], serde_json::json!([2, 4]));
    let ran = recordings.run(&["cat", "last"]).ends(6);
    let left = ran.out.lines().count();
    assert!(left > records / 2 && left < records, "{left} of {records}");
    ran.says(&["segment 2 is missing", "segment 4 is missing"]);
    fs::remove_file(&paths[3]).unwrap();
    let ran = recordings.run(&["export", "last", "--mcap"]).ends(6);
    ran.says(&["segments 2 to 4 are missing"]);
}

#[test]
fn a_damaged_record_is_named_with_offset_expected_and_found_and_the_rest_is_given() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 300);
    let paths = segments(&flight);
    let records = recordings.run(&["cat", "last"]).ends(0).out.lines().count();
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[200] ^= 0x10;
    put(&paths[1], &bytes);
    all_say(&recordings, 6, &[]);
    for command in [&["cat", "last"][..], &["verify", "last"], &["export", "last", "--mcap"]] {
        let ran = recordings.run(command).ends(6);
        ran.says(&["segment 1: at offset ", " bytes are no record: a checksum of ", ", expected "]);
    }
    assert_eq!(recordings.run(&["cat", "last"]).out.lines().count(), records - 1);
    let report = recordings.run(&["verify", "last", "--json"]).ends(6).json();
    assert_eq!(report["corrupt"][0]["segment"], 1);
    let at = report["corrupt"][0]["at"].as_u64().unwrap();
    assert!((96..=200).contains(&at), "{report}");
}

#[test]
fn a_link_where_a_segment_should_be_is_not_followed() {
    let recordings = Recordings::new();
    let flight = recordings.whole(0, 300);
    let paths = segments(&flight);
    let elsewhere = recordings.path().join("elsewhere.bin");
    fs::copy(&paths[1], &elsewhere).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    symlink(&elsewhere, &paths[1]).unwrap();
    all_say(&recordings, 6, &["seg_00001.bin is no regular file (a link, a directory, a device?)"]);
    recordings.run(&["recover", "last"]).ends(1).says(&["seg_00001.bin is no regular file"]);
    let link = paths[1].to_str().unwrap();
    recordings.run(&["cat", link]).ends(6).says(&["is no regular file"]);
    assert!(paths[1].is_symlink() && elsewhere.exists());
    fs::remove_file(&paths[1]).unwrap();
    Command::new("mkfifo").arg(&paths[1]).status().unwrap();
    all_say(&recordings, 6, &["seg_00001.bin is no regular file"]);
}

/// Runs a command, and says how long it took and how much memory, KiB.
fn measured(recordings: &Recordings, args: &[&str]) -> (Ran, Duration, u64) {
    let mut command = recordings.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak = std::thread::spawn(move || {
        let mut peak = 0;
        // Until it is a zombie, which has no memory.
        while let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(line) = line else { break };
            let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
            peak = std::cmp::max(peak, kib);
            std::thread::yield_now();
        }
        peak
    });
    let ran = Ran::of(child.wait_with_output().unwrap());
    (ran, begun.elapsed(), peak.join().unwrap())
}

#[test]
fn five_gigabytes_of_zeros_take_seconds_and_little_memory() {
    const ZEROS: u64 = 5_000_000_000;
    let recordings = Recordings::new();
    let dir = recordings.left_open(20);
    let path = segments(&dir).pop().unwrap();
    let len = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(len + ZEROS).unwrap();
    for command in [&["verify", "last"][..], &["cat", "last"], &["recover", "last"]] {
        let (ran, took, memory_kib) = measured(&recordings, command);
        println!("{command:?}: {took:?}, {memory_kib} KiB");
        assert!(took < Duration::from_secs(120), "{command:?} took {took:?}");
        assert!((1..MEMORY_KIB).contains(&memory_kib), "{command:?}: {memory_kib} KiB");
        match command[0] {
            "verify" => {
                ran.ends(6).says(&["5000000000 bytes are no record: nothing but zeros (a torn end"])
            }
            "cat" => {
                ran.ends(0).says(&["the last 5000000000 bytes of segment 0 are no whole record"])
            }
            _ => ran
                .ends(0)
                .says(&["5000000000 bytes of zeros were cut off", "a footer was written"]),
        };
    }
    recordings.run(&["verify", "last"]).ends(0);

    // And zeros from the first byte on.
    let [path] = segments(&dir).try_into().unwrap();
    let header = fs::read(&path).unwrap();
    Header::decode(&header).unwrap();
    File::create(&path).unwrap().set_len(ZEROS).unwrap();
    let (ran, took, _) = measured(&recordings, &["verify", "last"]);
    assert!(took < Duration::from_secs(60), "{took:?}");
    ran.ends(6).says(&["it does not begin like a segment of a flight"]);

    // And what looks like a frame at every turn, but is none.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&header[..96], 0).unwrap();
    let mut bait = b"GFDR\x01\0\0\0\0\0\0\0".to_vec();
    bait.extend_from_slice(&1_000_000_u32.to_le_bytes());
    file.write_all_at(&bait.repeat(40_000), 96).unwrap();
    let (ran, took, memory_kib) = measured(&recordings, &["verify", "last"]);
    println!("bait: {took:?}, {memory_kib} KiB");
    assert!(took < Duration::from_secs(120), "{took:?}");
    ran.ends(6).says(&["bytes are no record"]);
}
