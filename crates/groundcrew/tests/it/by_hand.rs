//! What a person does to an app: stop, start, restart, look at its output.

use crate::bench::Bench;

#[test]
fn a_stopped_app_stays_stopped_until_it_is_started() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.run(&["stop", "ledger"]).ends(0);
    assert_eq!(bench.version(), None);
    bench.publish("1.1.0");
    let ran = bench.run(&["once"]).ends(4);
    assert!(ran.out.contains("stopped by hand"), "{ran:?}");
    assert_eq!(bench.version(), None);
    bench.run(&["start", "ledger"]).ends(0);
    bench.until("it serves again", || bench.version().is_some());
    assert_eq!(bench.version().as_deref(), Some("1.0.0"), "a start is no update");
}

#[test]
fn an_app_that_should_run_and_does_not_is_said_to_be_down() {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert_eq!(bench.view()["up"], true);
    rustix::process::kill_process(bench.app_process(), rustix::process::Signal::KILL).unwrap();
    bench.until("it is seen to be down", || bench.view()["up"] == false);
    let ran = bench.run(&["status", "ledger"]).ends(0);
    assert!(ran.out.contains(", down\n"), "{ran:?}");
    bench.run(&["stop", "ledger"]).ends(0);
    let ran = bench.run(&["status", "ledger"]).ends(0);
    assert!(ran.out.contains("stopped by hand") && !ran.out.contains(", down"), "{ran:?}");
}

#[test]
fn a_restart_is_another_process_and_its_output_can_be_read() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.run(&["restart", "ledger"]).ends(0);
    bench.until("it serves again", || bench.version().is_some());
    let logs = bench.run(&["logs", "ledger", "-n", "5", "--json"]).ends(0).json();
    let lines = logs["lines"].as_array().unwrap();
    let listens = |line: &serde_json::Value| line.as_str().unwrap().contains("listening on");
    assert!(lines.iter().any(listens), "{lines:?}");
}

/// A launcher sees the marker before a stop by hand and over a whole restart, and never afterwards.
#[test]
fn gate_1_a_stop_and_a_restart_by_hand_are_announced_to_launchers() {
    let bench = Bench::new();
    bench.configure("");
    let text = std::fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    bench.write("groundcrew.toml", &text.replace("grace = \"5s\"", "grace = \"1s\""));
    bench.install("1.0.0");
    let marker = bench.path("state/run/updating/ledger");
    bench.write("in-flight", "flight 7");
    bench.run(&["stop", "ledger"]).ends(4);
    bench.run(&["restart", "ledger"]).ends(4);
    assert!(!bench.path("state/run/updating").exists(), "a launcher would wait for ever");
    bench.write("in-flight", "");
    for order in ["restart", "stop"] {
        // It takes its whole grace, because it does not hear the signal.
        rustix::process::kill_process(bench.app_process(), rustix::process::Signal::STOP).unwrap();
        let mut command = bench.spawn(&[order, "ledger"]);
        bench.until("it is announced", || marker.exists());
        bench.until("it is announced no more", || !marker.exists());
        if order == "restart" {
            bench.app_process();
        }
        assert!(command.wait().unwrap().success(), "{order}");
        assert!(!bench.path("state/run/updating").exists(), "{order} leaves its marker");
        assert_eq!(bench.version().is_some(), order == "restart");
    }
}

/// Nobody may come after the agent for days, so what a restart took down is up before it ends.
#[test]
fn an_agent_that_is_ended_while_it_restarts_an_app_brings_it_up_first() {
    let mut bench = Bench::new();
    let text = std::fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    bench.write("groundcrew.toml", &text.replace("grace = \"5s\"", "grace = \"2s\""));
    bench.install("1.0.0");
    bench.start_agent();
    let marker = bench.path("state/run/updating/ledger");
    // It takes its whole grace, because it does not hear the signal.
    rustix::process::kill_process(bench.app_process(), rustix::process::Signal::STOP).unwrap();
    let mut command = bench.spawn(&["restart", "ledger"]);
    bench.until("it is announced", || marker.exists());
    assert!(bench.end_agent(rustix::process::Signal::TERM).success());
    command.wait().unwrap();
    assert!(!bench.path("state/run/updating").exists(), "a launcher would wait for ever");
    bench.until("it serves again", || bench.version().is_some());
}

#[test]
fn a_snapshot_of_the_running_release_is_put_back_by_hand() {
    let bench = Bench::new();
    bench.install("1.1.0");
    assert!(bench.post(1));
    bench.configure(
        "gates = { min_age = \"0s\" }\ntraffic = { open = [\"true\"], close = [\"true\"] }",
    );
    bench.run(&["config", "apply", "ledger", "--wait", "proven"]).ends(0);
    assert!(bench.post(2));
    let list = bench.run(&["snapshot", "list", "ledger", "--json"]).ends(0).json();
    let id = list["snapshots"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(list["snapshots"][0]["version"], "1.1.0");
    bench.write("in-flight", "flight 7");
    bench.run(&["snapshot", "restore", "ledger", &id]).ends(4);
    std::fs::remove_file(bench.path("in-flight")).unwrap();
    let ran = bench.run(&["snapshot", "restore", "ledger", &id]).ends(0);
    assert!(ran.out.contains("what was there is kept at /"), "{ran:?}");
    bench.until("it serves again", || bench.rows().is_some());
    assert_eq!(bench.rows(), Some(vec![1]));
    let kept = ran
        .out
        .split("what was there is kept at ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    bench.configure("gates = { min_age = \"0s\" }");
    bench.run(&["config", "apply", "ledger", "--wait", "proven"]).ends(0);
    assert!(std::path::Path::new(&kept).exists(), "a later update's clean-up removed {kept}");
    let list = bench.run(&["snapshot", "list", "ledger", "--json"]).ends(0).json();
    let id = list["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let place = list["snapshots"][0]["places"][0].as_str().unwrap();
    let file = std::fs::read_dir(format!("{place}/data")).unwrap().flatten().next().unwrap();
    std::fs::File::create(file.path()).unwrap().set_len(7).unwrap();
    let ran = bench.run(&["snapshot", "restore", "ledger", &id]).ends(6);
    assert!(ran.err.contains("ledger was not stopped"), "{ran:?}");
    assert_eq!(bench.rows(), Some(vec![1]), "it serves");
    bench.run(&["snapshot", "restore", "ledger", "no-such"]).ends(2);
}

/// UPD-26.
#[test]
fn a_lost_store_adopts_what_runs() {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(7));
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        std::fs::remove_file(bench.path("state").join(file)).ok();
    }
    let refused = bench.run(&["update", "ledger"]).ends(1);
    assert!(refused.err.contains("groundcrew unblock --store"), "{refused:?}");
    assert_eq!(bench.version().as_deref(), Some("1.0.0"), "nothing is touched");
    bench.run(&["unblock", "--store"]).ends(0);
    bench.run(&["once"]).ends(0);
    let view = bench.view();
    assert_eq!(view["last_good"]["merit"], "adopted", "{view:#}");
    assert_eq!(view["running"]["version"], "1.0.0");
    assert_eq!(bench.rows(), Some(vec![7]));
}

/// What a killed groundcrew left is cleaned up by the next one, without another update.
#[test]
fn what_a_killed_predecessor_left_unfinished_is_removed_at_the_next_start() {
    let bench = Bench::new();
    bench.install("1.0.0");
    let make = |name: &str| {
        std::fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        bench.write(name, "torn");
    };
    let files = [
        "state/.groundcrew-7-1.tmp",
        "state/plans/.groundcrew-7-2.tmp",
        "state/runs/ledger/.groundcrew-7-3.tmp",
        "state/snapshots/ledger/.groundcrew-7-4.tmp",
        "state/secrets/ledger/.groundcrew-7-5.tmp",
        "state/releases/ledger/aa.partial/file",
        "state/snapshots/ledger/never-taken.json",
        "srv/.groundcrew/ledger/snapshots/s.partial/file",
        "srv/.groundcrew/ledger/restore/t.1.partial/file",
    ];
    files.iter().for_each(|name| make(name));
    bench.run(&["once"]).ends(0);
    let left: Vec<&&str> = files.iter().filter(|name| bench.path(name).exists()).collect();
    assert_eq!(left, Vec::<&&str>::new());
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
}
