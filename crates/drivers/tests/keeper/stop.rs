//! Stopping: nothing is left, and how it went is told truly.

use groundcrew_drivers::keeper::client::{self, RunState};
use groundcrew_drivers::keeper::spec::StopSignal;
use groundcrew_drivers::keeper::{KeeperRecord, Outcome};

use crate::rig::{Rig, is_alive, kill, stop, wait_for};

#[test]
fn an_app_that_ends_on_its_signal_was_stopped_cleanly() {
    let rig = Rig::new();
    rig.spawn("trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.01; done");
    wait_for("the trap", || rig.log().contains("up").then_some(()));
    let report = client::stop(&rig.run_dir(), stop(StopSignal::Int, 20_000)).unwrap();
    let exit = report.exit.unwrap();
    assert_eq!(exit.outcome, Outcome::Exited { code: 3 });
    assert_eq!((report.was_running, report.clean), (true, true));
    assert_eq!((exit.stop_requested, exit.clean, exit.killed), (true, true, false));
    assert_eq!(rig.log(), "up\nbye\n");
    let again = client::stop(&rig.run_dir(), stop(StopSignal::Int, 20_000)).unwrap();
    assert_eq!((again.was_running, again.clean), (false, true));
}

#[test]
fn an_app_that_ignores_its_signal_is_killed_and_that_is_not_clean() {
    let rig = Rig::new();
    let run = rig.spawn("trap '' TERM; echo up; while :; do sleep 0.01; done");
    wait_for("the trap", || rig.log().contains("up").then_some(()));
    let report = client::stop(&rig.run_dir(), stop(StopSignal::Term, 200)).unwrap();
    let exit = report.exit.unwrap();
    assert_eq!(exit.outcome, Outcome::Signaled { signal: 9 });
    assert_eq!((report.was_running, report.clean), (true, false));
    assert_eq!((exit.stop_requested, exit.clean, exit.killed), (true, false, true));
    assert!(!is_alive(run.child.pid));
}

#[test]
fn a_second_request_can_shorten_the_grace() {
    let rig = Rig::new();
    rig.spawn("trap '' TERM; echo up; while :; do sleep 0.01; done");
    wait_for("the trap", || rig.log().contains("up").then_some(()));
    let dir = rig.run_dir();
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| client::stop(&dir, stop(StopSignal::Term, 3_600_000)));
        wait_for("the request", || dir.join("stop.json").exists().then_some(()));
        let report = client::stop(&dir, stop(StopSignal::Term, 0)).unwrap();
        assert!(!report.clean);
        assert!(!patient.join().unwrap().unwrap().clean);
    });
}

/// Daemons in every disguise: in the background, in a session of their own, twice forked, without
/// their environment, deaf to SIGTERM.
const STRAYS: &[(&str, &str)] = &[
    ("background", "sh -c 'echo $$ > stray; exec sleep 1000' &"),
    ("session", "setsid sh -c 'echo $$ > stray; exec sleep 1000' &"),
    ("twice", "(setsid sh -c 'echo $$ > stray; exec sleep 1000' &) &"),
    ("bare", "env -i /bin/sh -c 'echo $$ > stray; exec sleep 1000' &"),
    ("deaf", "(setsid sh -c 'trap \"\" TERM; echo $$ > stray; exec sleep 1000' &) &"),
];

const WAIT_FOR_STRAY: &str = "while [ ! -s stray ]; do sleep 0.01; done;";

#[test]
fn what_outlives_the_main_process_is_ended_by_the_keeper() {
    for (name, stray) in STRAYS {
        let rig = Rig::new();
        rig.spawn(&format!("{stray} {WAIT_FOR_STRAY} exit 3"));
        let exit = rig.exit();
        assert_eq!(exit.outcome, Outcome::Exited { code: 3 }, "{name}");
        assert!(exit.strays > 0, "{name}: {exit:?}");
        assert_eq!(exit.killed, *name == "deaf", "{name}: {exit:?}");
        assert!(!is_alive(rig.pid("stray")), "{name}");
    }
}

#[test]
fn a_stop_leaves_no_descendant_behind() {
    for (name, stray) in STRAYS {
        let rig = Rig::new();
        rig.spawn(&format!("{stray} {WAIT_FOR_STRAY} exec sleep 1000"));
        let pid = rig.pid("stray");
        let report = client::stop(&rig.run_dir(), stop(StopSignal::Term, 20_000)).unwrap();
        assert_eq!(report.clean, *name != "deaf", "{name}: {report:?}");
        assert!(!is_alive(pid), "{name}");
    }
}

#[test]
fn a_stop_ends_what_a_killed_keeper_left_behind() {
    let has_cgroup = |rig: &Rig| {
        let text = std::fs::read_to_string(rig.run_dir().join("keeper.json")).unwrap();
        let record: KeeperRecord = serde_json::from_str(&text).unwrap();
        record.cgroup.is_some_and(|path| path.exists())
    };
    // Without a control group, what left the session and its environment cannot be told from others.
    let hidden = ("hidden", "(setsid env -i /bin/sh -c 'echo $$ > stray; exec sleep 1000' &) &");
    for (name, stray) in STRAYS.iter().chain([&hidden]) {
        let rig = Rig::new();
        let run = rig.spawn(&format!("{stray} {WAIT_FOR_STRAY} exec sleep 1000"));
        let pid = rig.pid("stray");
        let is_known = *name != "hidden" || has_cgroup(&rig);
        kill(run.keeper.pid);
        let dir = rig.run_dir();
        let vanished = wait_for("the keeper's end", || match client::observe(&dir).unwrap() {
            RunState::Vanished(vanished) => Some(vanished),
            _ => None,
        });
        assert!(vanished.orphans.contains(&run.child), "{name}: {vanished:?}");
        let report = client::stop(&dir, stop(StopSignal::Term, 1_000)).unwrap();
        assert_eq!((report.was_running, report.exit), (true, None), "{name}");
        assert_eq!(report.clean, *name != "deaf", "{name}");
        assert!(!is_alive(run.child.pid), "{name}");
        if is_known {
            assert!(!is_alive(pid), "{name}");
        } else {
            kill(pid);
        }
        assert!(!has_cgroup(&rig), "{name}: the control group is removed");
        let after = client::observe(&dir).unwrap();
        assert!(matches!(after, RunState::Vanished(v) if v.orphans.is_empty()), "{name}");
    }
}

#[test]
fn a_keeper_that_does_not_answer_is_killed_with_its_app() {
    let rig = Rig::new();
    let run = rig.spawn("exec sleep 1000");
    let keeper = rustix::process::Pid::from_raw(run.keeper.pid).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::STOP).unwrap();
    let report = client::stop(&rig.run_dir(), stop(StopSignal::Term, 0)).unwrap();
    assert_eq!((report.was_running, report.exit), (true, None));
    assert!(!is_alive(run.child.pid));
}

#[test]
fn stopping_what_was_never_started_is_no_work() {
    let rig = Rig::new();
    let report = client::stop(&rig.run_dir(), stop(StopSignal::Term, 1_000)).unwrap();
    assert_eq!((report.was_running, report.clean, report.exit), (false, true, None));
    assert_eq!(client::observe(&rig.run_dir()).unwrap(), RunState::Absent);
}
