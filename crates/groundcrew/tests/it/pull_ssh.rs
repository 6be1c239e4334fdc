//! `flight pull` from another host: a real `sshd`, its own keys, and a line that is cut.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use groundcrew_recorder::flight_dir::{FlightDir, MANIFEST};
use serde_json::Value;

use crate::pull::{Pair, files, put};
use crate::recorded::{Ran, SMALL, segments};
use crate::sshd::{Behind, Sshd};

/// How long a test waits before it says that a command hangs.
const HANG: Duration = Duration::from_secs(60);

struct Far {
    pair: Pair,
    sshd: Sshd,
}

impl Far {
    fn new(options: &str) -> Self {
        Self { pair: Pair::new(), sshd: Sshd::new(options) }
    }

    fn pull(&self, source: &str, args: &[&str]) -> Ran {
        let mut command = self.pair.here.command(&["pull", source]);
        let begun = Instant::now();
        let ran = Ran::of(self.sshd.used_by(command.args(args)).output().unwrap());
        assert!(begun.elapsed() < HANG, "it hung: {ran:?}");
        ran
    }

    /// All that is there.
    fn root(&self) -> String {
        self.sshd.at(self.pair.there.path())
    }

    fn all(&self, code: i32) -> Vec<Value> {
        let ran = self.pull(&self.root(), &["--json"]).ends(code);
        ran.json()["flights"].as_array().unwrap().clone()
    }
}

#[test]
fn flt_1_flights_come_from_another_host_as_they_are_there() {
    let far = Far::new("");
    let first = far.pair.there.whole(0, 200);
    put(&first.thumbnails().join("tile_1.jpg"), b"a picture");
    put(&first.thumbnails().join("empty.jpg"), b"");
    let second = far.pair.there.whole(10, 40);
    fs::remove_file(second.path().join(MANIFEST)).unwrap();
    let mut open = far.pair.there.begin(20, SMALL);
    open.fly(30);
    open.writer.sync(open.now);
    let claim = open.dir.claim().unwrap();
    fs::create_dir_all(far.pair.there.path().join("standing/segments")).unwrap();
    let all = far.all(4);
    let states: Vec<&Value> = all.iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["pulled", "pulled", "recording"]);
    far.pair.same(&first);
    far.pair.same(&second);
    far.pair.is_tidy();
    assert!(first.path().join("pulled.json").exists() && all[0]["receipt"] == true);

    // The receipts say that all is here: one question, which lists.
    let before = far.sshd.connections();
    far.pull(&far.root(), &[]).ends(4).says(&["is here already", "nothing was copied"]);
    assert_eq!(far.sshd.connections() - before, 1);
    // Without one, what is there is hashed there.
    fs::remove_file(first.path().join("pulled.json")).unwrap();
    let one = far.pull(&far.sshd.at(first.path()), &["--json"]).ends(0).json();
    assert_eq!(
        (&one["flights"][0]["state"], &one["flights"][0]["bytes"]),
        (&"same".into(), &0.into())
    );

    drop(claim);
    far.pull(&far.sshd.at(open.dir.path()), &[]).ends(4).says(&["nobody ended it"]);
    far.pull(&far.sshd.at(open.dir.path()), &["--unended"]).ends(0).says(&["has not ended"]);
    far.pair.same(&open.dir);
}

#[test]
fn a_place_may_be_called_as_it_likes_and_no_shell_sees_it() {
    let far = Far::new("ForceCommand echo Welcome aboard; exec $SSH_ORIGINAL_COMMAND");
    let flight = far.pair.there.whole(0, 100);
    let odd = far.pair.there.path().join("it's a \"$(touch bad)\"; `touch bad` -n \\ dir*");
    fs::create_dir(&odd).unwrap();
    let moved = odd.join(flight.name());
    rustix::fs::rename(flight.path(), &moved).unwrap();
    let moved = FlightDir::open(moved).unwrap();
    let source = format!("plane:{}", odd.display());
    far.pull(&source, &[]).ends(0).says(&["pulled, "]);
    far.pair.same(&moved);
    assert!(!files(far.pair.there.path()).keys().any(|path| path.ends_with("bad")));
    far.pull("plane:/nonexistent", &[]).ends(2).says(&["cannot open plane:/nonexistent", "66"]);
    let empty = tempfile::tempdir().unwrap();
    far.pull(&far.sshd.at(empty.path()), &[]).ends(2).says(&["there are no flights in"]);
}

#[test]
fn a_line_that_is_cut_again_and_again_costs_only_what_it_cut() {
    let far = Far::new("");
    let flights = [far.pair.there.whole(0, 300), far.pair.there.whole(10, 600)];
    let bytes: usize =
        flights.iter().map(|one| files(one.path()).values().map(Vec::len).sum::<usize>()).sum();
    let (mut cuts, mut copied) = (0, 0);
    far.sshd.limit(30_000, Behind::Cut);
    loop {
        let ran = far.pull(&far.root(), &["--json"]);
        let json = ran.json();
        let all = json["flights"].as_array().unwrap();
        let done: Vec<&Value> = all.iter().filter(|one| one["state"] == "pulled").collect();
        copied += done.iter().map(|one| one["bytes"].as_u64().unwrap()).sum::<u64>();
        for flight in &flights {
            if far.pair.listed().contains(&flight.name()) {
                far.pair.same(flight);
            }
        }
        if ran.code == Some(0) {
            break;
        }
        ran.ends(3).says(&["groundcrew: 127.0.0.1 ", "what came is kept"]);
        cuts += 1;
        assert!(cuts < 40, "it does not get on");
    }
    assert!(cuts > 2 && copied < u64::try_from(bytes).unwrap() / 2, "{cuts} cuts, {copied} bytes");
    flights.iter().for_each(|flight| far.pair.same(flight));
    far.pair.is_tidy();
}

#[test]
fn a_host_that_falls_silent_is_given_up_in_time() {
    let far = Far::new("");
    let flight = far.pair.there.whole(0, 300);
    for bytes in [10, 20_000] {
        far.sshd.limit(bytes, Behind::Silence);
        let begun = Instant::now();
        let ran = far.pull(&far.root(), &["--timeout", "1s"]).ends(3);
        ran.says(&["said nothing for 1 s"]);
        assert!(begun.elapsed() < HANG);
    }
    far.sshd.limit(0, Behind::Cut);
    assert_eq!(far.all(0)[0]["state"], "pulled");
    far.pair.same(&flight);
}

#[test]
fn a_host_that_cannot_be_asked_is_code_3_and_says_why() {
    let far = Far::new("");
    let flight = far.pair.there.whole(0, 20);
    far.sshd.client("stranger");
    far.pull(&far.root(), &[]).ends(3).says(&["127.0.0.1 cannot be asked", "Permission denied"]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ran =
        far.pull(&format!("ssh://127.0.0.1:{nobody}{}", flight.path().display()), &[]).ends(3);
    ran.says(&["cannot be asked", "Connection refused"]);
    let sftp = Far::new("ForceCommand internal-sftp\nSubsystem sftp internal-sftp");
    sftp.pull(&sftp.root(), &["--timeout", "2s"]).ends(3);
    let mut command = far.pair.here.command(&["pull", "plane:/x"]);
    let ran = Ran::of(command.env("PATH", "/nonexistent").output().unwrap()).ends(3);
    ran.says(&["cannot run `ssh`"]);
}

#[test]
fn damage_there_is_compared_there_before_it_is_believed() {
    let far = Far::new("");
    let flight = far.pair.there.whole(0, 200);
    let path = &segments(&flight)[1];
    let mut bytes = fs::read(path).unwrap();
    bytes[700] ^= 0xff;
    put(path, &bytes);
    let all = far.all(6);
    assert!(all[0]["damage"].to_string().contains("are no record"), "{all:?}");
    far.pair.same(&flight);
    far.pair.here.run(&["verify", &flight.name()]).ends(6);
    assert!(Path::new(&flight.path().join("pulled.json")).exists());
}

/// A `PATH` with an `ssh` before all others that is this script.
fn ssh_that(bin: &Path, script: &str) -> String {
    let ssh = bin.join("ssh");
    put(&ssh, format!("#!/bin/sh\n{script}\n").as_bytes());
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn an_answer_without_its_end_or_of_another_kind_is_not_believed() {
    let (pair, bin) = (Pair::new(), tempfile::tempdir().unwrap());
    let flight = "flight 019c13ec-9e00-7000-8000-000000000000\nclaim free";
    for (answer, said) in [
        (format!("groundcrew-pull 1\n{flight}"), "went away in the middle of its answer"),
        (format!("groundcrew-pull 1\n{flight}\nsure\nend"), "answers strangely: sure"),
        (format!("groundcrew-pull 2\n{flight}\nend"), "answers otherwise than a shell does"),
        ("x".repeat(100_000), "answers otherwise than a shell does"),
    ] {
        let path = ssh_that(bin.path(), &format!("cat <<E\n{answer}\nE"));
        let mut command = pair.here.command(&["pull", "plane:/x"]);
        let ran = Ran::of(command.env("PATH", path).output().unwrap()).ends(3);
        ran.says(&["plane ", said]);
    }
    let path = ssh_that(bin.path(), "for word; do echo \"$word\" >&2; done; exit 255");
    let mut command = pair.here.command(&["pull", "ssh://ops@plane:2222/x"]);
    let ran = Ran::of(command.env("PATH", path).output().unwrap()).ends(3);
    ran.says(&["ops; --; plane; sh"]);
}

/// Many small hosts have BusyBox and nothing else.
#[test]
fn a_host_with_nothing_but_busybox_will_do() {
    let (pair, bin) = (Pair::new(), tempfile::tempdir().unwrap());
    let flight = pair.there.whole(0, 300);
    put(&flight.thumbnails().join("tile.jpg"), b"a picture");
    let tools = bin.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let made = Command::new("busybox").arg("--install").arg("-s").arg(&tools).status();
    assert!(made.expect("apt-get install busybox-static").success());
    let path = ssh_that(bin.path(), &format!("PATH={} exec sh", tools.display()));
    let pull = |code: i32| {
        let source = format!("plane:{}", pair.there.path().display());
        let mut command = pair.here.command(&["pull", "--json", &source]);
        let ran = Ran::of(command.env("PATH", &path).output().unwrap()).ends(code);
        ran.json()["flights"][0].clone()
    };
    let partial = format!("{}/segments/seg_00001.bin", flight.name());
    let begun = pair.here.path().join(".pulling").join(format!("{partial}.partial"));
    fs::create_dir_all(begun.parent().unwrap()).unwrap();
    put(&begun, &fs::read(&segments(&flight)[1]).unwrap()[..1000]);
    let all: usize = files(flight.path()).values().map(Vec::len).sum();
    let pulled = pull(0);
    assert_eq!((&pulled["state"], &pulled["receipt"]), (&"pulled".into(), &true.into()));
    assert_eq!(pulled["bytes"], all - 1000);
    pair.same(&flight);
    fs::remove_file(flight.path().join("pulled.json")).unwrap();
    assert_eq!(pull(0)["state"], "same");

    // Nobody there can tell whether it is being written.
    fs::remove_dir_all(flight.path()).unwrap();
    let mut open = pair.there.begin(10, SMALL);
    open.fly(300);
    open.writer.sync(open.now);
    assert_eq!(pull(4)["state"], "open");
}
