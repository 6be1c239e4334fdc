//! `flight pull` from a directory: what is called pulled is what was there, whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use groundcrew_recorder::flight_dir::{FlightDir, MANIFEST};
use groundcrew_recorder::writer::Policy;
use serde_json::Value;

use crate::bench::BINARY;
use crate::recorded::{Ran, Recordings, SMALL, segments};

/// Two directories of recordings: one there, one here.
pub(crate) struct Pair {
    pub(crate) there: Recordings,
    pub(crate) here: Recordings,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self { there: Recordings::new(), here: Recordings::new() }
    }

    /// `groundcrew flight pull` of this.
    pub(crate) fn pull(&self, source: &Path, args: &[&str]) -> Ran {
        let mut command = self.here.command(&["pull"]);
        Ran::of(command.arg(source).args(args).output().unwrap())
    }

    /// The same with `--json`, of all that is there.
    fn all(&self, code: i32) -> Vec<Value> {
        let ran = self.pull(self.there.path(), &["--json"]).ends(code);
        ran.json()["flights"].as_array().unwrap().clone()
    }

    /// Fails unless a flight is here as it is there.
    #[track_caller]
    pub(crate) fn same(&self, flight: &FlightDir) {
        let (there, here) = (files(flight.path()), files(&self.here.path().join(flight.name())));
        assert_eq!(there.keys().collect::<Vec<_>>(), here.keys().collect::<Vec<_>>());
        assert!(there == here, "{} is another here than there", flight.name());
    }

    /// Nothing but flights is here.
    #[track_caller]
    pub(crate) fn is_tidy(&self) {
        assert!(!self.here.path().join(".pulling").exists());
    }

    /// What is listed here.
    pub(crate) fn listed(&self) -> Vec<String> {
        let list = self.here.run(&["list", "--json"]).ends(0).json();
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        list["flights"].as_array().unwrap().iter().map(id).collect()
    }
}

/// The files below a directory with what is in them, but for what a pull leaves there.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if !path.ends_with("pulled.json") {
                all.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Turns a byte of a file around.
fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// Under strace, with an option of its; the command's own output is kept.
fn traced(pair: &Pair, options: &[&str]) -> Ran {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null"]).args(options);
    strace.args([BINARY, "flight", "pull"]).arg(pair.there.path());
    strace.env("GROUNDCREW_RECORDINGS", pair.here.path());
    strace.env("GROUNDCREW_CONFIG", pair.here.path().join("none.toml"));
    Ran::of(strace.output().unwrap())
}

#[test]
fn flt_1_flights_that_ended_come_whole_and_those_that_did_not_stay() {
    let pair = Pair::new();
    let first = pair.there.whole(0, 200);
    put(&first.thumbnails().join("tile_1.jpg"), b"a picture");
    let second = pair.there.whole(10, 40);
    fs::remove_file(second.path().join(MANIFEST)).unwrap();
    let mut open = pair.there.begin(20, SMALL);
    open.fly(100);
    open.writer.sync(open.now);
    let claim = open.dir.claim().unwrap();
    fs::create_dir_all(pair.there.path().join("standing/segments")).unwrap();
    fs::create_dir_all(pair.there.path().join("notes/segments")).unwrap();

    let ran = pair.pull(pair.there.path(), &[]).ends(4);
    ran.says(&["pulled, ", "left there, it is still being recorded", "notes: not called as"]);
    pair.same(&first);
    pair.same(&second);
    assert_eq!(pair.listed(), [first.name(), second.name()]);
    pair.here.run(&["verify", &first.name()]).ends(0);
    pair.is_tidy();

    let again = pair.all(4);
    let states: Vec<&Value> = again.iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["same", "same", "recording"]);
    assert!(again.iter().all(|one| one["bytes"] == 0 && one["files"] == 0), "{again:?}");

    drop(claim);
    let ran = pair.pull(open.dir.path(), &[]).ends(4);
    ran.says(&["nobody ended it", "flight recover", "--unended"]);
    pair.pull(open.dir.path(), &["--unended"]).ends(0).says(&["has not ended", "files came"]);
    pair.same(&open.dir);
    open.writer.finish("landed", open.now);
    pair.pull(open.dir.path(), &[]).ends(0).says(&["pulled, "]);
    pair.same(&open.dir);
    pair.here.run(&["verify", &open.dir.name()]).ends(0).says(&["whole"]);
}

#[test]
fn a_flight_that_is_being_recorded_gives_what_is_sealed_when_asked_and_the_rest_later() {
    let pair = Pair::new();
    let mut flown = pair.there.begin(0, SMALL);
    flown.fly(300);
    flown.writer.sync(flown.now);
    let claim = flown.dir.claim().unwrap();
    pair.pull(flown.dir.path(), &["--unended"]).ends(0).says(&["has not ended"]);
    let here = FlightDir::open(pair.here.path().join(flown.dir.name())).unwrap();
    let (came, there) = (segments(&here), segments(&flown.dir));
    assert_eq!(came.len(), there.len() - 1);
    assert!(came.iter().all(|path| path.extension().unwrap() == "bin"), "{came:?}");
    flown.fly(100);
    flown.writer.finish("landed", flown.now);
    drop(claim);
    let all = pair.all(0);
    let copied = all[0]["files"].as_u64().unwrap();
    let files = u64::try_from(files(flown.dir.path()).len()).unwrap();
    assert_eq!(all[0]["state"], "pulled");
    assert!(copied < files && copied > 0, "{copied} of {files}");
    pair.same(&flown.dir);
}

/// Its recorder was cut off between two segments: nothing at the source tells it from an end.
#[test]
fn a_flight_without_its_end_is_not_called_pulled_though_all_of_it_is_sealed() {
    let pair = Pair::new();
    let flight = pair.there.left_open(300);
    let last = segments(&flight).pop().unwrap();
    assert!(last.extension().unwrap() == "tmp");
    fs::remove_file(last).unwrap();
    let all = pair.all(4);
    assert_eq!((&all[0]["state"], &all[0]["receipt"]), (&"open".into(), &false.into()));
    assert!(pair.listed().is_empty());
    let ran = pair.pull(pair.there.path(), &["--unended", "--json"]).ends(0);
    let all = ran.json()["flights"].clone();
    assert_eq!((&all[0]["state"], &all[0]["receipt"]), (&"part".into(), &false.into()));
    let manifest = fs::metadata(flight.path().join(MANIFEST)).unwrap().len();
    assert_eq!(all[0]["bytes"], manifest, "the rest had come");
    pair.same(&flight);
}

#[test]
fn the_source_says_that_a_flight_was_pulled_and_need_not_be_read_again() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 200);
    let receipt = flight.path().join("pulled.json");
    assert_eq!(
        pair.pull(flight.path(), &["--no-receipt", "--json"]).ends(0).json()["flights"][0]["receipt"],
        false
    );
    assert!(!receipt.exists());
    assert_eq!(pair.all(0)[0]["receipt"], true);
    let said: Value = serde_json::from_slice(&fs::read(&receipt).unwrap()).unwrap();
    let script = "find manifest.json segments thumbnails -type f | LC_ALL=C sort | xargs sha256sum \
                  | sha256sum";
    let sum = Command::new("sh").args(["-c", script]).current_dir(flight.path()).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(said["sha256"], sum.split(' ').next().unwrap());
    assert_eq!(said["path"], pair.here.path().join(flight.name()).to_str().unwrap());
    assert_eq!(said["bytes"], files(flight.path()).values().map(Vec::len).sum::<usize>());

    // Whoever pulls it to another place leaves the word of the first.
    let other = Recordings::new();
    pair.pull(flight.path(), &[other.path().to_str().unwrap()]).ends(0);
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&receipt).unwrap()).unwrap(), said);
    // Segments are not opened there any more.
    let opened = |pair: &Pair| {
        let log = pair.here.path().join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=openat", "-o"]).arg(&log);
        strace.args([BINARY, "flight", "pull"]).arg(flight.path());
        strace.env("GROUNDCREW_RECORDINGS", pair.here.path());
        Ran::of(strace.output().unwrap()).ends(0).says(&["nothing was copied"]);
        let text = fs::read_to_string(log).unwrap();
        text.lines()
            .filter(|line| line.contains(&format!("{}/segments/seg_", flight.path().display())))
            .count()
    };
    assert_eq!(opened(&pair), 0);
    fs::remove_file(receipt).unwrap();
    assert!(opened(&pair) > 0);
}

#[test]
fn damage_at_the_source_is_taken_over_and_named_and_code_6() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 300);
    let whole = pair.there.whole(10, 20);
    let path = &segments(&flight)[1];
    flip(path, fs::metadata(path).unwrap().len() / 2);
    fs::remove_file(&segments(&flight)[2]).unwrap();
    for state in ["pulled", "same"] {
        let all = pair.all(6);
        assert_eq!((&all[0]["state"], &all[1]["state"]), (&state.into(), &state.into()));
        let damage = all[0]["damage"].to_string();
        assert!(
            damage.contains("are no record") && damage.contains("segment 2 is missing"),
            "{damage}"
        );
        assert!(all[1]["damage"].as_array().unwrap().is_empty());
    }
    pair.pull(flight.path(), &[]).ends(6).says(&["damaged at the source, and so it is here"]);
    pair.same(&flight);
    pair.same(&whole);
}

#[test]
fn a_copy_that_was_damaged_here_is_mended_and_one_that_is_whole_and_another_is_not_touched() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 300);
    put(&flight.thumbnails().join("tile.jpg"), b"a picture");
    pair.all(0);
    let here = FlightDir::open(pair.here.path().join(flight.name())).unwrap();
    let path = &segments(&here)[1];
    for hurt in [
        |path: &Path| flip(path, 700),
        |path: &Path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(900).unwrap();
        },
    ] {
        hurt(path);
        fs::remove_file(flight.path().join("pulled.json")).ok();
        let all = pair.all(0);
        assert_eq!((&all[0]["state"], &all[0]["files"]), (&"pulled".into(), &1.into()));
        pair.same(&flight);
    }
    // Damage that the receipt does not know of, of the same length.
    flip(path, 700);
    assert_eq!(pair.all(0)[0]["files"], 1);
    pair.same(&flight);

    // So is what no verifier knows: the manifest is the source's, a picture is a person's to judge.
    let manifest = here.path().join(MANIFEST);
    flip(&manifest, 5);
    assert_eq!(pair.all(0)[0]["files"], 1);
    pair.same(&flight);
    let picture = here.thumbnails().join("tile.jpg");
    flip(&picture, 2);
    pair.pull(flight.path(), &[]).ends(1).says(&["tile.jpg is whole, and another than at"]);
    flip(&picture, 2);

    // Both are whole, and not the same.
    let other = Recordings::new();
    let mut another = other.begin(0, SMALL);
    another.fly(290);
    another.writer.finish("landed elsewhere", another.now);
    let last = segments(&flight).pop().unwrap();
    let theirs = segments(&another.dir).pop().unwrap();
    let here_last = here.segments().path().join(last.file_name().unwrap());
    fs::copy(&theirs, here.segments().path().join(theirs.file_name().unwrap())).unwrap();
    if theirs.file_name() != last.file_name() {
        fs::copy(&theirs, &here_last).unwrap();
    }
    let before = files(here.path());
    let ran = pair.pull(flight.path(), &[]).ends(1);
    ran.says(&["is whole, and another than at the source", "move one of the flights aside"]);
    assert!(files(here.path()) == before);
}

#[test]
fn what_is_no_file_of_a_flight_stays_there_and_is_told() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 100);
    let (segments, pictures) = (flight.segments().path().to_owned(), flight.thumbnails());
    let sealed = files(flight.path()).into_keys().filter(|path| path.starts_with("segments"));
    let sealed: Vec<PathBuf> = sealed.collect();
    put(&pictures.join("tile.jpg"), b"a picture");
    symlink("/etc/passwd", pictures.join("link.jpg")).unwrap();
    symlink("/etc/passwd", segments.join("seg_00090.bin")).unwrap();
    put(&segments.join("seg_00001.bin.old"), b"old");
    put(&pictures.join("two words.jpg"), b"x");
    put(&pictures.join("line\nbreak.jpg"), b"x");
    put(&pictures.join(".hidden"), b"x");
    fs::create_dir(pictures.join("more")).unwrap();
    File::create(pictures.join("huge.jpg")).unwrap().set_len(17 << 20).unwrap();
    let fifo = Command::new("mkfifo").arg(pictures.join("pipe")).status().unwrap();
    assert!(fifo.success());
    let ran = pair.pull(flight.path(), &["--json"]).ends(6);
    let json = ran.json();
    let left: Vec<&str> = json["flights"][0]["left"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    assert_eq!(left.len(), 9, "{left:?}");
    for name in ["thumbnails/link.jpg", "segments/seg_00090.bin", "thumbnails/pipe"] {
        assert!(left.contains(&name), "{name}: {left:?}");
    }
    assert!(!flight.path().join("pulled.json").exists(), "not all of it is somewhere else");
    let here: Vec<PathBuf> = files(&pair.here.path().join(flight.name())).into_keys().collect();
    let wanted = [&sealed[..], &[MANIFEST.into(), "thumbnails/tile.jpg".into()]].concat();
    assert_eq!(here.iter().collect::<BTreeSet<_>>(), wanted.iter().collect());

    // A link in the place of a directory.
    let linked = pair.there.whole(10, 20);
    fs::remove_dir(linked.thumbnails()).unwrap();
    symlink("/etc", linked.thumbnails()).unwrap();
    pair.pull(linked.path(), &[]).ends(6).says(&["left there:\n  thumbnails"]);
}

#[test]
fn places_that_cannot_be_are_refused_by_name() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 20);
    let empty = tempfile::tempdir().unwrap();
    pair.pull(empty.path(), &[]).ends(2).says(&["there are no flights in"]);
    pair.pull(Path::new("/nonexistent"), &[]).ends(2).says(&["cannot open /nonexistent"]);
    pair.pull(Path::new("-oProxyCommand=id:/x"), &[]).ends(2);
    let there = pair.there.path().to_str().unwrap();
    pair.pull(flight.path(), &[there]).ends(2).says(&["is where the flights are already"]);
    pair.pull(flight.path(), &["--timeout", "0s"]).ends(2).says(&["from 1s to 24h"]);
    let renamed = pair.there.path().join("the-good-one");
    rustix::fs::rename(flight.path(), &renamed).unwrap();
    pair.pull(&renamed, &[]).ends(2).says(&["the-good-one is not called by a flight's id"]);
    assert!(pair.listed().is_empty());
    pair.is_tidy();
}

#[test]
fn two_pulls_into_one_place_do_not_meet() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 20);
    let pulling = pair.here.path().join(".pulling");
    fs::create_dir(&pulling).unwrap();
    let lock = File::open(&pulling).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    pair.pull(flight.path(), &[]).ends(75).says(&["another `flight pull` is at work"]);
    drop(lock);
    pair.pull(flight.path(), &[]).ends(0);
    let here = FlightDir::open(pair.here.path().join(flight.name())).unwrap();
    let claim = here.claim().unwrap();
    pair.pull(flight.path(), &[]).ends(75).says(&["being written by a recorder"]);
    drop(claim);
    pair.pull(flight.path(), &[]).ends(0);
}

#[test]
fn a_full_disk_and_a_source_that_goes_away_are_told_and_what_is_whole_stays() {
    let pair = Pair::new();
    let first = pair.there.whole(0, 200);
    let second = pair.there.whole(10, 300);
    let segment = segments(&second)[2].file_name().unwrap().to_str().unwrap().to_owned();
    let partial = format!(
        "{}/.pulling/{}/segments/{segment}.partial",
        pair.here.path().display(),
        second.name()
    );
    let there = segments(&second)[2].to_str().unwrap().to_owned();
    let kept = pair.here.path().join(".pulling").join(second.name()).join("segments");
    for (path, inject, code, said) in [
        (&partial, "inject=write:error=ENOSPC", 1, "No space left on device"),
        (&partial, "inject=fsync:error=EIO", 1, "Input/output error"),
        (&there, "inject=read:error=EIO", 3, "the source cannot be read any more"),
        (&there, "inject=openat:error=ENOENT", 3, "the source cannot be read any more"),
    ] {
        let ran = traced(&pair, &["-P", path, "-e", inject]).ends(code);
        ran.says(&[said, &segment, "what came is kept; the same command goes on"]);
        assert_eq!(pair.listed(), [first.name()], "{inject}");
        assert!(kept.join("seg_00001.bin").exists(), "{inject}");
        assert!(!kept.join(&segment).exists(), "{inject}");
    }
    let all = pair.all(0);
    assert_eq!(all[1]["state"], "pulled");
    let copied = usize::try_from(all[1]["files"].as_u64().unwrap()).unwrap();
    assert_eq!(copied, files(second.path()).len() - 2, "two were kept");
    pair.same(&first);
    pair.same(&second);
    pair.is_tidy();
}

/// A copy that is not what was read: the disk says that it wrote, and wrote something else.
#[test]
fn a_flight_that_arrives_damaged_is_not_called_pulled() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 200);
    let segment = segments(&flight)[1].file_name().unwrap().to_str().unwrap().to_owned();
    let path = format!(
        "{}/.pulling/{}/segments/{segment}.partial",
        pair.here.path().display(),
        flight.name()
    );
    // What is read back ends at once, as if it were not there.
    let ran = traced(&pair, &["-P", &path, "-e", "inject=read:retval=0"]).ends(1);
    ran.says(&["is not as it was read from the source"]);
    assert!(pair.listed().is_empty());
    // What went wrong while it was resumed is found by the source's own digest.
    put(Path::new(&path), &vec![0; 1000]);
    assert_eq!(pair.all(0)[0]["state"], "pulled");
    pair.same(&flight);
}

/// The disk it comes from gives other bytes once, and the right ones when it is asked again.
#[test]
fn damage_that_is_not_at_the_source_is_copied_anew_or_refused() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 200);
    let there = segments(&flight)[1].to_str().unwrap().to_owned();
    // The segment is read to be copied, to be compared, and so once more.
    let misread = |which: &str| {
        let inject = format!("inject=read:poke_exit=@arg2=ffffffff:when={which}");
        traced(&pair, &["-P", &there, "-e", &inject])
    };
    misread("1+2").ends(1).says(&["seg_00001.bin is not as it was read from the source"]);
    assert!(pair.listed().is_empty());
    misread("1").ends(0).says(&["pulled, "]);
    pair.same(&flight);
}

#[test]
fn what_has_its_name_is_durable() {
    let pair = Pair::new();
    let flight = pair.there.whole(0, 20);
    let log = pair.there.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,/^rename", "-o"]).arg(&log);
    strace.args([BINARY, "flight", "pull"]).arg(flight.path());
    strace.env("GROUNDCREW_RECORDINGS", pair.here.path());
    Ran::of(strace.output().unwrap()).ends(0);
    let (trace, here) = (fs::read_to_string(log).unwrap(), pair.here.path().display());
    let gathered = format!("{here}/.pulling/{}", flight.name());
    let mut rest = trace.as_str();
    for (call, what) in [
        ("fsync(", format!("{gathered}/segments/seg_00000.bin.partial>")),
        ("rename", format!("\"{gathered}/segments/seg_00000.bin\"")),
        ("fsync(", format!("{gathered}/segments>")),
        ("rename", format!("\"{gathered}/manifest.json\"")),
        ("fsync(", format!("{gathered}>")),
        ("rename", format!("\"{here}/{}\"", flight.name())),
        ("fsync(", format!("{here}>")),
    ] {
        let is_it = |line: &&str| line.contains(call) && line.contains(&what);
        let found = rest.lines().find(is_it);
        let line = found.unwrap_or_else(|| panic!("no {call} {what} in its place:\n{trace}"));
        (_, rest) = rest.split_once(line).unwrap();
    }
    let manifest = format!("{gathered}/manifest.json.partial>");
    assert!(trace.lines().any(|line| line.contains("fsync(") && line.contains(&manifest)));
}

#[test]
fn killed_at_twenty_points_it_goes_on_to_what_was_there() {
    let pair = Pair::new();
    let flights = [pair.there.whole(0, 400), pair.there.whole(10, 50), pair.there.whole(20, 500)];
    put(&flights[2].thumbnails().join("tile.jpg"), &[7; 5000]);
    let calls = "write,fsync,ftruncate,openat,mkdir,rename,renameat,renameat2,unlink,read";
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    for kill in 0..20 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let inject = format!("inject={calls}:signal=KILL:when={}", 60 + chance % 400);
        let ran = traced(&pair, &["-e", &inject]);
        for flight in &flights {
            let is_listed = pair.here.path().join(flight.name()).exists();
            if is_listed {
                pair.same(flight);
            }
        }
        if ran.code == Some(0) {
            // It was through before: once more from the beginning.
            assert!(kill > 0);
            for entry in fs::read_dir(pair.here.path()).unwrap() {
                fs::remove_dir_all(entry.unwrap().path()).unwrap();
            }
        }
    }
    pair.pull(pair.there.path(), &[]).ends(0);
    flights.iter().for_each(|flight| pair.same(flight));
    pair.is_tidy();
    let there = pair.there.path();
    let mut diff = Command::new("diff");
    diff.args(["-r", "-x", "pulled.json"]).arg(there).arg(pair.here.path());
    let ran = Ran::of(diff.output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""));
}

#[test]
fn a_large_file_goes_on_where_it_was_cut_off() {
    let pair = Pair::new();
    let policy = Policy { segment_bytes: 4 << 20, ..SMALL };
    let mut flown = pair.there.begin(0, policy);
    for _ in 0..40 {
        flown.give_bytes(8, 0x8002, &vec![9; 50_000]);
        flown.pass();
    }
    flown.writer.finish("landed", flown.now);
    let [path] = segments(&flown.dir).try_into().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let pulling = pair.here.path().join(".pulling").join(flown.dir.name()).join("segments");
    let whole = fs::read(&path).unwrap();
    let resume = |came: &[u8]| {
        fs::remove_dir_all(pair.here.path().join(flown.dir.name())).ok();
        fs::create_dir_all(&pulling).unwrap();
        put(&pulling.join(format!("{name}.partial")), came);
        let bytes = pair.all(0)[0]["bytes"].as_u64().unwrap();
        pair.same(&flown.dir);
        usize::try_from(bytes).unwrap()
    };
    let manifest = fs::read(flown.dir.path().join(MANIFEST)).unwrap().len();
    let came = whole.len() - 1000;
    assert_eq!(resume(&whole[..came]), 1000 + manifest);
    // Its length alone says nothing: what came is another file's, or zeros.
    assert_eq!(resume(&vec![0; came]), 1000 + whole.len() + manifest);
    assert_eq!(resume(&vec![1; whole.len() + 5]), whole.len() + manifest);
}
