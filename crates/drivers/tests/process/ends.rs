//! Ends: by a stop, by themselves, with the power.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use groundcrew_drivers::keeper::{KeeperRecord, RunRecord};
use groundcrew_engine::noun::FaultKind;
use rustix::process::Signal;

use crate::rig::{Rig, SLEEPS, is_alive, put, signal, wait_for};

fn run_record(rig: &Rig) -> RunRecord {
    let text = fs::read_to_string(rig.runs().join("txn-1-start-0/run.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_app_that_ignores_its_signal_is_killed_and_the_report_says_so() {
    let rig = Rig::new();
    let mut installed = rig.up("trap '' TERM; echo up; while :; do sleep 0.01; done");
    wait_for("the trap", || (!rig.output().is_empty()).then_some(()));
    installed.procedure.stop.grace_ms = 200;
    let report = rig.stop(&installed);
    assert_eq!((report.ran, report.clean, report.exit_code), (true, false, None));
    assert!(report.took_ms >= 200);
    assert_eq!(rig.alive(), []);
}

#[test]
fn an_app_is_stopped_with_its_own_signal() {
    let rig = Rig::new();
    let script = "trap 'exit 9' USR1; echo up; while :; do sleep 0.01; done";
    let mut installed = rig.up(script);
    wait_for("the trap", || (!rig.output().is_empty()).then_some(()));
    installed.procedure.stop.signal = "SIGUSR1".to_owned();
    let report = rig.stop(&installed);
    assert_eq!((report.ran, report.clean, report.exit_code), (true, true, Some(9)));
    installed.procedure.stop.signal = "SIGNAL".to_owned();
    let order = groundcrew_engine::ports::StopOrder { installed: Some(&installed), txn: &rig.txn };
    let fault = groundcrew_engine::ports::Runtime::stop(&mut rig.runtime(), &order).unwrap_err();
    assert_eq!(fault.text, "\"SIGNAL\" is not a signal that stops an app");
}

#[test]
fn a_child_that_left_the_session_does_not_survive_the_stop() {
    let rig = Rig::new();
    let installed = rig.up(
        "(setsid env -i DATA=\"$DATA\" sh -c 'echo $$ > \"$DATA/child\"; exec sleep 1000' &) & \
         exec sleep 1000",
    );
    let child = rig.pid("child");
    let report = rig.stop(&installed);
    assert!(report.ran && report.clean, "{report:?}");
    assert!(!is_alive(child));
}

#[test]
fn what_a_killed_keeper_left_still_runs_until_it_is_stopped() {
    let rig = Rig::new();
    let installed = rig.up(SLEEPS);
    signal(run_record(&rig).keeper.pid, Signal::KILL);
    wait_for("the keeper's end", || (!is_alive(run_record(&rig).keeper.pid)).then_some(()));
    assert_eq!(rig.observe().running, Some(installed.release.digest.clone()));
    rig.start(&installed, "start-1").unwrap();
    assert_eq!(rig.alive().len(), 1, "no second copy");
    assert!(rig.stop(&installed).ran);
    assert_eq!(rig.alive(), []);
    let ended = rig.observe().ended.unwrap();
    assert!(!ended.by_itself, "{ended:?}");
    let fault = rig.start(&installed, "start-0").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Host, "{fault}");
    rig.start(&installed, "start-1").unwrap();
}

/// Ends the app, and then makes its keeper one of an earlier boot.
fn end_in_an_earlier_boot(rig: &Rig, how: impl FnOnce(&RunRecord)) {
    let run = run_record(rig);
    how(&run);
    wait_for("the end", || rig.observe().running.is_none().then_some(()));
    wait_for("the keeper's end", || (!is_alive(run.keeper.pid)).then_some(()));
    let path = rig.runs().join("txn-1-start-0/keeper.json");
    let mut record: KeeperRecord =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    record.boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
    put(&path, &serde_json::to_string(&record).unwrap());
}

#[test]
fn an_end_by_itself_is_told_from_a_stop_a_shutdown_and_a_power_cut() {
    let term = |run: &RunRecord| signal(run.child.pid, Signal::TERM);
    let abort = |run: &RunRecord| signal(run.child.pid, Signal::ABORT);
    let power = |run: &RunRecord| {
        signal(run.keeper.pid, Signal::KILL);
        signal(run.child.pid, Signal::KILL);
    };
    type How<'a> = &'a dyn Fn(&RunRecord);
    let table: [(&str, How<'_>, bool, bool); 5] = [
        ("someone's SIGTERM, this boot", &term, false, true),
        ("SIGTERM as the host went down", &term, true, false),
        ("a crash, this boot", &abort, false, true),
        ("a crash before the boot", &abort, true, true),
        ("the power went", &power, true, false),
    ];
    for (name, how, earlier, by_itself) in table {
        let rig = Rig::new();
        let installed = rig.up(SLEEPS);
        if earlier {
            end_in_an_earlier_boot(&rig, how);
        } else {
            how(&run_record(&rig));
            wait_for("the end", || rig.observe().running.is_none().then_some(()));
        }
        let ended = rig.observe().ended.unwrap();
        assert_eq!(ended.by_itself, by_itself, "{name}: {ended:?}");
        assert_eq!(ended.digest, installed.release.digest);
    }
}

#[test]
fn the_latest_start_is_the_latest_whatever_the_clock_said() {
    let rig = Rig::new();
    let installed = rig.up(SLEEPS);
    rig.stop(&installed);
    let spec = fs::File::open(rig.runs().join("txn-1-start-0/spec.json")).unwrap();
    spec.set_modified(UNIX_EPOCH + Duration::from_secs(4_000_000_000)).unwrap();
    rig.start(&installed, "start-1").unwrap();
    assert_eq!(rig.observe().latest.unwrap().run, "txn-1/start-1");
    assert_eq!(rig.observe().ended, None);
}

#[test]
fn the_end_of_the_output_is_shown_oldest_line_first() {
    let rig = Rig::new();
    let installed = rig
        .release("1.0.0", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i; done; exit 1");
    rig.put_in_place(&installed);
    rig.start(&installed, "start-0").unwrap_err();
    let output = rig.output();
    assert_eq!(output.len(), 50);
    assert_eq!((output[0].as_str(), output[49].as_str()), ("line 151", "line 200"));
}
