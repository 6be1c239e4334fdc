//! Agents that were killed in the middle, and what the next one finds.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use groundcrew_drivers::keeper::client::Exe;
use groundcrew_drivers::keeper::spec::{KeepSpec, Kind};
use groundcrew_engine::noun::FaultKind;

use crate::rig::{Rig, SLEEPS, exe, is_alive, put, wait_for};

/// An agent that starts a run and waits; it says so when the start is done.
fn agent(rig: &Rig, spec: &KeepSpec, keeper: &Exe) -> Child {
    let path = rig.path().join("spec.json");
    put(&path, &serde_json::to_string(spec).unwrap());
    let dir = rig.runs().join(format!("{}-{}", spec.txn, spec.attempt));
    let mut agent = Command::new(exe().program);
    agent.arg("start").arg(dir).arg(path).arg(&keeper.program).args(&keeper.args);
    agent.stdout(Stdio::piped()).spawn().unwrap()
}

fn kill_when_started(mut agent: Child) {
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    kill(agent);
}

fn kill(mut agent: Child) {
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn an_app_whose_agent_was_killed_is_adopted() {
    let rig = Rig::new();
    let installed = rig.release("1.0.0", SLEEPS);
    rig.put_in_place(&installed);
    let spec = rig.spec(&installed, "start-0", "exec sleep 1000");
    kill_when_started(agent(&rig, &spec, &exe()));
    let seen = rig.observe();
    assert_eq!(seen.running, Some(installed.release.digest.clone()));
    assert_eq!(seen.latest.unwrap().run, "txn-1/start-0");
    for run in ["start-0", "start-1"] {
        rig.start(&installed, run).unwrap();
    }
    assert_eq!(rig.alive().len(), 1);
    assert!(rig.stop(&installed).clean);
}

/// The agent is gone, its keeper has no record yet: that start is seen, waited for, and not doubled.
#[test]
fn a_start_that_a_killed_agent_began_is_not_begun_again() {
    let rig = Rig::new();
    let installed = rig.release("1.0.0", SLEEPS);
    rig.put_in_place(&installed);
    let begin = rig.path().join("begin");
    let script =
        format!("while [ ! -e {} ]; do sleep 0.01; done; exec \"$1\" keep \"$2\"", begin.display());
    let program = exe().program;
    let args = ["-c", &script, "slow", program.to_str().unwrap()].map(str::to_owned).to_vec();
    let slow = Exe { program: "/bin/sh".into(), args };
    let agent = agent(&rig, &rig.spec(&installed, "start-0", "exec sleep 1000"), &slow);
    wait_for("the keeper's shell", || {
        let children = format!("/proc/{0}/task/{0}/children", agent.id());
        fs::read_to_string(children).is_ok_and(|text| !text.is_empty()).then_some(())
    });
    wait_for("its turn", || rig.observe().running.is_some().then_some(()));
    kill(agent);
    assert_eq!(rig.alive(), []);
    assert_eq!(rig.observe().running, Some(installed.release.digest.clone()));
    std::thread::scope(|scope| {
        let next = scope.spawn(|| rig.start(&installed, "start-1"));
        put(&begin, "");
        next.join().unwrap().unwrap();
    });
    assert_eq!(rig.alive().len(), 1, "one copy");
    assert_eq!(rig.observe().latest.unwrap().run, "txn-1/start-0");
}

/// Recovery proves that nobody works on the data before it touches it.
#[test]
fn a_migration_whose_agent_was_killed_is_seen_and_ended_by_the_next_stop() {
    let rig = Rig::new();
    let installed = rig.release("2.0.0", SLEEPS);
    rig.put_in_place(&installed);
    let script = "echo half > \"$DATA/rows\"; echo $$ > \"$DATA/pid\"; sleep 1000";
    let mut spec = rig.spec(&installed, "migrate-1", script);
    (spec.kind, spec.stray_grace_ms) = (Kind::Migration, 0);
    kill_when_started(agent(&rig, &spec, &exe()));
    let pid = rig.pid("pid");
    let seen = rig.observe();
    assert_eq!(seen.running, Some(installed.release.digest.clone()));
    assert_eq!(seen.latest, None);
    let fault = rig.start(&installed, "start-0").unwrap_err();
    assert_eq!(fault.kind, FaultKind::Host);
    assert!(fault.text.starts_with("something else of the app runs: migrate-1"), "{fault}");
    let report = rig.stop(&installed);
    assert!(report.ran && report.latest.is_none(), "{report:?}");
    assert!(!is_alive(pid));
    assert_eq!((rig.alive(), rig.observe().running), (vec![], None));
    rig.start(&installed, "start-0").unwrap();
}

#[test]
fn a_hook_whose_agent_was_killed_does_not_count_as_the_app_and_ends_in_time() {
    let rig = Rig::new();
    let installed = rig.release("1.0.0", SLEEPS);
    rig.put_in_place(&installed);
    let mut spec = rig.spec(&installed, "hook-1", "echo $$ > \"$DATA/pid\"; exec sleep 1000");
    (spec.kind, spec.limit_ms) = (Kind::Hook, Some(1_500));
    kill_when_started(agent(&rig, &spec, &exe()));
    let pid = rig.pid("pid");
    assert_eq!(rig.observe().running, None);
    rig.start(&installed, "start-0").unwrap();
    wait_for("the keeper to end it", || (!is_alive(pid)).then_some(()));
    assert_eq!(rig.observe().running, Some(installed.release.digest));
}
