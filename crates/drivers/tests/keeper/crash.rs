//! The keeper killed at any point of its life.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::keeper::client::{self, Exe, RunState, StartedRun};
use groundcrew_drivers::keeper::spec::StopSignal;
use groundcrew_drivers::keeper::{ExitRecord, Outcome};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::rig::{PATIENCE, Rig, UNTIL_GO, client_process, exe, is_alive, stop, wait_for};

/// How many points are tried, and how far they are apart: over the whole life of a short run.
const POINTS: u32 = 60;
const STEP: Duration = Duration::from_micros(700);

/// Waiting exactly is the point here: sleeping would skip most of the points.
fn spin_until(point: u32) {
    let started = Instant::now();
    while started.elapsed() < STEP * point {
        std::hint::spin_loop();
    }
}

#[test]
fn a_client_killed_at_any_point_of_a_start_leaves_one_copy_at_most() {
    let mut seen = [0; 2];
    for point in 0..POINTS {
        let rig = Rig::new();
        let mut client = client_process(&rig, UNTIL_GO, &exe());
        spin_until(point);
        client.kill().unwrap();
        client.wait().unwrap();
        match client::start(&rig.run_dir(), &rig.spec(UNTIL_GO), &exe()).unwrap() {
            StartedRun::Spawned(_) => seen[0] += 1,
            StartedRun::Adopted(_) => seen[1] += 1,
            other => panic!("point {point}: {other:?}"),
        }
        rig.touch("go");
        assert_eq!(rig.exit().outcome, Outcome::Exited { code: 7 }, "point {point}");
        assert_eq!(rig.read("starts").lines().count(), 1, "point {point}");
    }
    assert!(seen[0] > 0 && seen[1] > 0, "the points do not reach all states: {seen:?}");
}

#[test]
fn a_keeper_killed_at_any_point_leaves_complete_records_and_one_copy_at_most() {
    let mut seen = [0; 3];
    for point in 0..POINTS {
        let rig = Rig::new();
        let (dir, spec) = (rig.run_dir(), rig.spec("echo $$ >> starts; sleep 0.01; exit 5"));
        fs::create_dir_all(&dir).unwrap();
        let spec_path = dir.join("spec.json");
        serde_json::to_writer(fs::File::create(&spec_path).unwrap(), &spec).unwrap();
        let mut keeper = Command::new(exe().program)
            .arg("keep")
            .arg(&spec_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        spin_until(point);
        keeper.kill().unwrap();
        keeper.wait().unwrap();

        // Reading any record that is not complete would be an error here. A child between fork and
        // exec still has the keeper's lock, so the run may look alive for a moment longer.
        let state = wait_for("the lock", || match client::observe(&dir).unwrap() {
            RunState::Starting | RunState::Running(_) => None,
            ended => Some(ended),
        });
        client::stop(&dir, stop(StopSignal::Term, 5_000)).unwrap();
        let starts = rig.read("starts");
        for pid in starts.lines() {
            assert!(!is_alive(pid.parse().unwrap()), "point {point}: {pid} is alive");
        }
        let again = client::start(&dir, &spec, &exe()).unwrap();
        match (&state, again) {
            (RunState::Absent, StartedRun::Spawned(_)) => {
                assert_eq!(starts, "", "point {point}: nothing may run without a record");
                assert_eq!(rig.exit().outcome, Outcome::Exited { code: 5 });
                seen[0] += 1;
            }
            (RunState::Vanished(_), StartedRun::Vanished(after)) => {
                assert_eq!(after.orphans, [], "point {point}");
                seen[1] += 1;
            }
            (RunState::Exited(exit), StartedRun::Exited(after)) => {
                assert_eq!(exit, &after);
                assert_eq!(exit.outcome, Outcome::Exited { code: 5 }, "point {point}");
                seen[2] += 1;
            }
            (state, again) => panic!("point {point}: {state:?}, then {again:?}"),
        }
        assert!(rig.read("starts").lines().count() <= 1, "point {point}");
    }
    assert!(seen[0] > 0 && seen[1] > 0, "the points do not reach all states: {seen:?}");
}

/// The keeper that a killed client left may not have taken the run's lock yet; whoever comes next
/// has to wait for it all the same.
#[test]
fn a_keeper_takes_its_clients_turn_along_until_the_start_is_done() {
    let rig = Rig::new();
    let script = "while [ ! -e begin ]; do sleep 0.01; done; exec \"$1\" keep \"$2\"";
    let (begin, keep) = (rig.path().join("begin"), exe().program);
    let script = script.replace("begin", begin.to_str().unwrap());
    let slow = Exe {
        program: "/bin/sh".into(),
        args: ["-c", &script, "slow", keep.to_str().unwrap()].map(String::from).to_vec(),
    };
    let mut client = client_process(&rig, UNTIL_GO, &slow);
    // Opened before the keeper itself is started, and inherited by it.
    wait_for("the keeper", || rig.run_dir().join("keeper.log").exists().then_some(()));
    wait_for("the keeper's shell", || {
        let children = format!("/proc/{0}/task/{0}/children", client.id());
        fs::read_to_string(children).is_ok_and(|text| !text.is_empty()).then_some(())
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let turn = || {
        let file = fs::File::open(rig.run_dir().join("start.lock")).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive)
    };
    assert_eq!(client::observe(&rig.run_dir()).unwrap(), RunState::Absent);
    assert_eq!(turn(), Err(Errno::WOULDBLOCK), "the keeper has the turn");
    rig.touch("begin");
    let report = client::stop(&rig.run_dir(), stop(StopSignal::Term, 5_000)).unwrap();
    assert!(report.was_running && report.clean, "{report:?}");
    assert_eq!(turn(), Ok(()), "the start is over");
}

#[test]
fn an_exit_record_is_complete_when_it_is_first_seen() {
    // One look may come too late to see a record grow; sixteen do not.
    for _ in 0..16 {
        let rig = Rig::new();
        rig.spawn(UNTIL_GO);
        rig.touch("go");
        let path = rig.run_dir().join("exit.json");
        let started = Instant::now();
        let bytes = loop {
            if let Ok(bytes) = fs::read(&path) {
                break bytes;
            }
            assert!(started.elapsed() < PATIENCE, "no exit record");
        };
        let exit: ExitRecord = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(exit.outcome, Outcome::Exited { code: 7 });
    }
}
