//! The recorder role: flights by the busy flag, producers over the socket, and what ends it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_recorder::ring::Producer;
use groundcrew_recorder::ring::shared::{Map, attach};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bench::BINARY;
use crate::recorded::Ran;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const KIND: u16 = 0x8007;

/// A host that records.
struct Host {
    dir: tempfile::TempDir,
    recorder: Option<Child>,
}

impl Host {
    fn new(recorder: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Self { dir, recorder: None };
        host.configure(recorder);
        host
    }

    fn configure(&self, recorder: &str) {
        let text = format!("schema = 1\n[recorder]\n{recorder}\n");
        write(&self.dir.path().join("main.toml"), &text);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        let main = self.dir.path().join("main.toml");
        command.arg("--config").arg(main).arg("--state").arg(self.dir.path().join("state"));
        command.args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Starts the recorder and waits until it lets producers in.
    fn start(&mut self) {
        self.start_only();
        let socket = self.path("run/recorder.sock");
        until("the recorder is ready", || socket.exists());
    }

    fn start_only(&mut self) {
        let command = self.command(&["recorder"]);
        self.start_as(command);
    }

    fn start_as(&mut self, mut command: Command) {
        let said = fs::File::create(self.dir.path().join("said")).unwrap();
        self.recorder = Some(command.stderr(said).stdout(Stdio::null()).spawn().unwrap());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap()
    }

    /// Ends the recorder with a signal; its exit code.
    fn end(&mut self, signal: Signal) -> Option<i32> {
        let mut recorder = self.recorder.take().unwrap();
        kill_process(Pid::from_child(&recorder), signal).unwrap();
        recorder.wait().unwrap().code()
    }

    fn set_flag(&self, text: &str) {
        write(&self.path("run/in-flight"), text);
    }

    /// The flights beside the standing recording, by name.
    fn flights(&self) -> Vec<Value> {
        let list = self.run(&["flight", "list", "--json"]).json();
        let flights = list["flights"].as_array().unwrap().clone();
        flights.into_iter().filter(|flight| flight["id"] != "standing").collect()
    }

    fn begins(&self, count: usize) -> Value {
        // Its directory is there before the first record is.
        let begun = |flights: &[Value]| {
            flights.len() == count && flights.iter().all(|one| one["state"] != "unreadable")
        };
        until("a flight has begun", || begun(&self.flights()));
        self.flights().pop().unwrap()
    }

    fn ends(&self, flight: &Value) -> Value {
        let id = flight["id"].as_str().unwrap();
        let manifest = self.path("recordings").join(id).join("manifest.json");
        let read = || -> Value { serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap() };
        until("the flight has ended", || !read()["stopped"].is_null());
        read()
    }

    /// The records of a source in a recording, as `(number, body)`.
    fn records(&self, flight: &str, source: &str) -> Vec<(u64, String)> {
        let all = self.run(&["flight", "cat", flight, "--json"]).ends(0).lines();
        let ours = all.iter().filter(|one| one["source_name"] == source && one["kind"] == KIND);
        ours.map(|record| {
            let number = record["source_seq"].as_u64().unwrap();
            (number, record["body"].to_string())
        })
        .collect()
    }

    /// The events of the recorder itself in a recording.
    fn events(&self, flight: &str) -> Vec<String> {
        let all = self.run(&["flight", "cat", flight, "--json"]).lines();
        let events = all.iter().filter(|record| record["type"] == "ComponentLifecycleEvent");
        events.map(|record| record["body"]["event"].as_str().unwrap().to_owned()).collect()
    }

    fn ring(&self, name: &str) -> Producer<Map> {
        let ring = self.path("run/rings").join(format!("{name}.ring"));
        attach(&ring).unwrap()
    }

    fn python(&self, script: &str, args: &[&Path]) -> Ran {
        let bindings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bindings/python");
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &bindings).arg(bindings.join("tests").join(script)).args(args);
        Ran::of(command.output().expect("python3 is there: apt-get install python3"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut recorder) = self.recorder.take() {
            // One that ended says so.
            recorder.kill().ok();
            recorder.wait().ok();
        }
    }
}

fn write(path: &Path, text: &str) {
    use std::io::Write as _;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn rec_16_the_busy_flag_begins_and_ends_flights_and_nothing_is_lost_between() {
    let mut host = Host::new("");
    host.start();
    let mut ring = host.ring("agent");
    let mut push = |count: usize| {
        for _ in 0..count {
            assert!(ring.push(KIND, ring.made(), b"on"));
        }
    };
    push(5);
    host.set_flag("flying");
    let flight = host.begins(1);
    assert_eq!(flight["state"], "recording");
    push(7);
    // Written anew: it is empty for a moment, and that ends nothing.
    host.set_flag("");
    host.set_flag("still flying");
    push(2);
    fs::remove_file(host.path("run/in-flight")).unwrap();
    let manifest = host.ends(&flight);
    assert_eq!(
        (&manifest["stopped"]["clean"], &manifest["apps"]),
        (&true.into(), &Value::Array(vec![]))
    );
    assert!(manifest["config_digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(manifest["host"], rustix::system::uname().nodename().to_str().unwrap());
    push(3);
    assert_eq!(host.end(Signal::TERM), Some(0), "{}", host.said());
    let id = flight["id"].as_str().unwrap();
    let mut numbers: Vec<u64> = Vec::new();
    for recording in [id, "standing"] {
        host.run(&["flight", "verify", recording]).ends(0).says(&["whole"]);
        numbers.extend(host.records(recording, "agent").iter().map(|(number, _)| *number));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..17).collect::<Vec<u64>>(), "each is in one of the two");
    assert!(!host.records(id, "agent").is_empty());
    host.run(&["flight", "summarise", id, "--require-clean"]).ends(0);
    assert_eq!(host.flights().len(), 1);
    assert_eq!(host.flights()[0]["state"], "clean");
}

#[test]
fn rec_7_a_recorder_that_is_killed_in_a_flight_loses_nothing_that_was_pushed() {
    let mut host = Host::new("");
    host.start();
    let mut ring = host.ring("agent");
    host.set_flag("flying");
    let first = host.begins(1);
    for _ in 0..500 {
        assert!(ring.push(KIND, ring.made(), b"on"));
    }
    host.end(Signal::KILL);
    for _ in 0..500 {
        assert!(ring.push(KIND, ring.made(), b"while nobody records"));
    }
    host.start();
    let second = host.begins(2);
    assert_eq!(host.flights()[0]["state"], "unclean", "the first was ended");
    fs::remove_file(host.path("run/in-flight")).unwrap();
    host.ends(&second);
    assert_eq!(host.end(Signal::TERM), Some(0));
    let mut numbers = Vec::new();
    for recording in [first["id"].as_str().unwrap(), "standing", second["id"].as_str().unwrap()] {
        let ran = host.run(&["flight", "verify", recording, "--json"]).json();
        assert_eq!(ran["damaged"], false, "{ran}");
        numbers.extend(host.records(recording, "agent").iter().map(|(number, _)| *number));
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert!(numbers.iter().copied().eq(0..1000), "{} of 1000", numbers.len());
    assert!(host.events("standing").contains(&"fdr_recovered".to_owned()));
}

#[test]
fn rec_3_producers_in_another_language_send_over_the_socket_or_get_a_ring() {
    let mut host = Host::new("");
    host.start();
    let socket = host.path("run/recorder.sock");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&socket), 0o600);
    host.python("visit.py", &[&socket])
        .ends(0)
        .says(&["is no name of a ring", "record 0 came after record 0"]);
    assert_eq!(host.end(Signal::TERM), Some(0));
    assert!(!socket.exists());
    let nobody = host.python("ask.py", &[&socket, Path::new("late")]).ends(1);
    nobody.says(&["FileNotFoundError", "run/recorder.sock"]);
    let sent = host.records("standing", "sender");
    assert_eq!(sent.len(), 1001);
    assert_eq!(sent.last().unwrap().0, 1003);
    assert_eq!(host.records("standing", "ringer").len(), 10);
    let told = host.run(&["flight", "verify", "standing", "--json"]).ends(6).json();
    assert_eq!((&told["overruns"], &told["damaged"]), (&3.into(), &false.into()));
}

#[test]
fn a_group_may_record_and_one_that_is_not_there_is_named() {
    let mut host = Host::new("group = \"nosuchgroup\"");
    let ran = host.run(&["recorder"]).ends(2);
    ran.says(&["recorder.group", "nosuchgroup", "/etc/group", "groupadd"]);
    host.configure("group = \"daemon\"");
    host.start();
    let meta = |name: &str| fs::metadata(host.path(name)).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    host.python("visit.py", &[&host.path("run/recorder.sock")]).ends(0);
    let all =
        [("run/recorder.sock", 0o660), ("run/rings", 0o750), ("run/rings/ringer.ring", 0o660)];
    for (name, mode) in all {
        let found = meta(name);
        assert_eq!((found.mode() & 0o7777, found.gid()), (mode, 1), "{name}");
    }
    assert_eq!(meta("run").mode() & 0o7777, 0o711, "they can get there");
    assert_eq!(host.end(Signal::TERM), Some(0));
}

#[test]
fn a_group_may_record_also_where_the_recorder_has_no_more_rights_than_its_service() {
    use std::os::unix::fs::MetadataExt as _;
    let unit = include_str!("../../../../dist/systemd/groundcrew-recorder.service");
    let rights = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let rights: Vec<String> =
        rights.split(' ').map(|right| right.replace("CAP_", "+").to_lowercase()).collect();
    let mut host = Host::new("");
    host.start();
    host.python("visit.py", &[&host.path("run/recorder.sock")]).ends(0);
    assert_eq!(host.end(Signal::TERM), Some(0));
    let ring = host.path("run/rings/ringer.ring");
    assert_eq!(fs::metadata(&ring).unwrap().gid(), 0);
    // Now a group is let in, into what is there and into what is made later.
    host.configure("group = \"daemon\"");
    let alone = host.command(&["recorder"]);
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set").arg(format!("-all,{}", rights.join(",")));
    command.arg(alone.get_program()).args(alone.get_args());
    host.start_as(command);
    let socket = host.path("run/recorder.sock");
    until("the group is let in", || fs::metadata(&socket).is_ok_and(|meta| meta.gid() == 1));
    assert_eq!(fs::metadata(&ring).unwrap().gid(), 1, "it was there before");
    let made = host.python("ask.py", &[&socket, Path::new("late")]).ends(0);
    made.says(&["late.ring"]);
    assert_eq!(fs::metadata(host.path("run/rings/late.ring")).unwrap().gid(), 1);
    let agent = fs::metadata(host.path("run/rings/agent.ring")).unwrap();
    assert_eq!((agent.gid(), agent.mode() & 0o7777), (0, 0o600), "nobody else's");
    assert_eq!(host.end(Signal::TERM), Some(0));
}

#[test]
fn a_standing_recording_that_was_removed_in_a_flight_is_made_anew_at_its_end() {
    let mut host = Host::new("");
    host.start();
    host.set_flag("flying");
    let flight = host.begins(1);
    fs::remove_dir_all(host.path("recordings/standing")).unwrap();
    fs::remove_file(host.path("run/in-flight")).unwrap();
    assert_eq!(host.ends(&flight)["stopped"]["clean"], true);
    assert_eq!(host.end(Signal::TERM), Some(0));
    let told = host.events(flight["id"].as_str().unwrap());
    assert!(told.contains(&"fdr_standing_removed".to_owned()), "{told:?}");
    host.run(&["flight", "verify", "standing"]).ends(0).says(&["whole"]);
}

#[test]
fn rec_14_the_host_is_sampled_once_a_second() {
    let mut host = Host::new("");
    host.start();
    let healths = |host: &Host| {
        let all = host.run(&["flight", "cat", "standing", "--json"]).lines();
        all.into_iter().filter(|one| one["type"] == "SystemHealth").collect::<Vec<_>>()
    };
    until("three samples are there", || healths(&host).len() >= 3);
    assert_eq!(host.end(Signal::TERM), Some(0));
    let healths = healths(&host);
    let times: Vec<u64> = healths.iter().map(|one| one["time_ns"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 900_000_000), "{times:?}");
    let last = &healths.last().unwrap()["body"];
    assert!((0.0..=100.0).contains(&last["cpu_percent"].as_f64().unwrap()), "{last}");
    let number = |name: &str| last[name].as_u64().unwrap();
    assert!(
        number("ram_used_bytes") < number("ram_total_bytes") && number("storage_left_bytes") > 0
    );
}

#[test]
fn the_standing_recording_is_followed_through_a_flight_until_its_recorder_ends() {
    let mut host = Host::new("");
    host.start();
    let mut ring = host.ring("agent");
    let heard = host.dir.path().join("heard");
    let mut follow = host.command(&["flight", "tail", "standing", "-f", "--json"]);
    let mut follower = follow.stdout(fs::File::create(&heard).unwrap()).spawn().unwrap();
    let heard = || fs::read_to_string(&heard).unwrap();
    host.set_flag("flying");
    let flight = host.begins(1);
    until("the footer is heard", || heard().contains("FlightFooter"));
    fs::remove_file(host.path("run/in-flight")).unwrap();
    host.ends(&flight);
    assert!(ring.push(KIND, 1, b"behind the flight"));
    until("it goes on", || heard().contains("\"kind\":32775"));
    assert_eq!(host.end(Signal::TERM), Some(0));
    until("that ends it", || follower.try_wait().unwrap().is_some());
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    host.run(&["flight", "tail", flight["id"].as_str().unwrap(), "-f"]).ends(0);
}

#[test]
fn rec_7_a_recorder_ends_though_the_disk_holds_it_up_at_the_beginning_of_a_flight() {
    let mut host = Host::new("");
    host.start();
    let recorder = host.recorder.as_ref().unwrap().id().to_string();
    let mut strace = Command::new("strace");
    // As a dead disk would: the call does not come back.
    let slow = "inject=mkdir,mkdirat:delay_enter=120s";
    let calls = host.dir.path().join("calls");
    strace.args(["-f", "-qq", "-e", "trace=mkdir,mkdirat", "-e", slow, "-p", &recorder, "-o"]);
    let mut strace =
        strace.arg(&calls).stderr(Stdio::null()).spawn().expect("apt-get install strace");
    let is_traced = || {
        let status = fs::read_to_string(format!("/proc/{recorder}/status")).unwrap();
        !status.contains("TracerPid:\t0\n")
    };
    until("it is traced", is_traced);
    host.set_flag("flying");
    let is_held_up = || fs::read_to_string(&calls).unwrap_or_default().contains("recordings");
    until("it is held up", is_held_up);
    let mut recorder = host.recorder.take().unwrap();
    kill_process(Pid::from_child(&recorder), Signal::TERM).unwrap();
    until("it ends", || host.said().contains("the disk holds up the recorder's end"));
    // It has ended, and is kept by who traces it.
    strace.kill().unwrap();
    strace.wait().unwrap();
    assert_eq!(recorder.wait().unwrap().code(), Some(1));
    host.start();
    host.begins(1);
    assert_eq!(host.end(Signal::TERM), Some(0));
}

#[test]
fn a_second_recorder_is_told_that_there_is_one() {
    let mut host = Host::new("");
    host.start();
    host.run(&["recorder"]).ends(75).says(&["another recorder writes", "try later"]);
    assert_eq!(host.end(Signal::TERM), Some(0));
}

#[test]
fn rec_7_a_flight_ends_with_its_recorder_and_a_flag_that_stays_begins_another() {
    let mut host = Host::new("");
    host.start();
    host.set_flag("flying");
    let first = host.begins(1);
    assert_eq!(host.end(Signal::TERM), Some(0));
    assert_eq!(host.ends(&first)["stopped"]["clean"], true);
    host.start();
    host.begins(2);
    assert_eq!(host.end(Signal::INT), Some(0));
    assert!(host.flights().iter().all(|flight| flight["state"] == "clean"));
}

#[test]
fn rec_8_a_standing_recording_that_is_none_is_set_aside_and_kept() {
    let mut host = Host::new("");
    let segments = host.path("recordings/standing/segments");
    fs::create_dir_all(&segments).unwrap();
    write(&segments.join("seg_00000.bin"), "this was never a segment");
    host.start();
    until("it was told", || host.said().contains("set aside as"));
    assert_eq!(host.end(Signal::TERM), Some(0));
    let aside = fs::read_dir(host.path("recordings")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("standing.bad-").then_some(path)
    });
    let kept = fs::read_to_string(aside.unwrap().join("segments/seg_00000.bin")).unwrap();
    assert_eq!(kept, "this was never a segment");
    host.run(&["flight", "verify", "standing"]).ends(0);
    assert!(host.events("standing").contains(&"fdr_standing_set_aside".to_owned()));
}
