//! The long-running agent: one per state directory, asked over its socket, survived by its apps.

use rustix::process::Signal;

use crate::bench::Bench;

#[test]
fn an_agent_updates_by_itself_and_its_apps_outlive_it() {
    let mut bench = Bench::new();
    bench.publish("1.0.0");
    bench.start_agent();
    bench.until("1.0.0 is proven", || bench.view()["last_good"]["version"] == "1.0.0");
    assert!(bench.post(1));
    let status = bench.run(&["status", "--json"]).ends(0).json();
    assert_eq!((&status["schema"], &status["agent"]), (&1.into(), &true.into()));

    let second = bench.run(&["agent"]).ends(75);
    let wanted = format!("the agent (pid {}) has the lock", bench.agent_pid());
    assert!(second.err.contains(&wanted), "{second:?}");

    assert!(bench.end_agent(Signal::TERM).success());
    bench.run(&["healthcheck"]).ends(1);
    assert_eq!(bench.version().as_deref(), Some("1.0.0"), "it outlives its agent");
    bench.publish("1.1.0");
    bench.start_agent();
    bench.run(&["update", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
    assert_eq!(bench.rows(), Some(vec![1]));
}

#[test]
fn an_agent_that_is_killed_is_followed_by_one_that_finishes_the_job() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench.publish("1.1.0");
    bench.start_agent();
    // A migration that was cut is tried again a minute later; that story is the simulator's.
    let past = ["starting", "probing", "accepted", "watching"];
    bench.until("the update is half-way", || {
        past.contains(&bench.view()["state"].as_str().unwrap_or_default())
    });
    bench.end_agent(Signal::KILL);
    bench.start_agent();
    bench.until("it is proven", || bench.view()["last_good"]["version"] == "1.1.0");
    assert_eq!(bench.rows(), Some(vec![1]));
}

/// An end in the middle of an update waits until the app is up.
#[test]
fn an_agent_that_is_asked_to_end_brings_an_app_up_first() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    let stopping = bench.path("stopping");
    let hook = format!(
        "traffic = {{ close = [\"sh\", \"-c\", \"touch {0}; sleep 1\"], open = [\"true\"] }}",
        stopping.display()
    );
    bench.configure(&hook);
    bench.run(&["config", "apply", "ledger", "--wait", "proven"]).ends(0);
    bench.publish("1.1.0");
    bench.start_agent();
    bench.until("it is being stopped", || stopping.exists());
    assert!(bench.end_agent(Signal::TERM).success());
    bench.until("it serves", || bench.version().as_deref() == Some("1.1.0"));
    let log = std::fs::read_to_string(bench.path("agent.log")).unwrap();
    assert!(log.contains("ledger is being brought up before groundcrew ends"), "{log}");
}

#[test]
fn an_app_that_dies_is_started_again() {
    let mut bench = Bench::new();
    bench.install("1.1.0");
    bench.publish("1.1.2");
    bench.run(&["pause", "ledger"]).ends(0);
    bench.start_agent();
    let pid = bench.app_process();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    bench.until("it serves again", || bench.version().as_deref() == Some("1.1.0"));
}

#[test]
fn an_interrupted_wait_detaches_and_the_agent_goes_on() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    bench.publish("1.1.0");
    bench.run(&["pause", "ledger"]).ends(0);
    bench.start_agent();
    bench.run(&["resume", "ledger"]).ends(0);
    let waiting = bench.spawn(&["update", "ledger", "--wait", "proven"]);
    bench.until("it is under way", || bench.view()["running"]["version"] == "1.1.0");
    let pid = rustix::process::Pid::from_child(&waiting);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("detached; the agent goes on"), "{said}");
    bench.until("it is proven", || bench.view()["last_good"]["version"] == "1.1.0");
}

/// UPD-17, without an agent.
#[test]
fn a_pass_tells_people_before_it_ends() {
    let bench = Bench::new();
    let told = bench.path("told");
    bench.write("tell", &format!("#!/bin/sh\ncat >> {}\n", told.display()));
    let script = bench.path("tell");
    let command =
        format!("[notify.ops]\nkind = \"command\"\ncommand = [\"sh\", \"{}\"]", script.display());
    bench.configure_with("", &command);
    bench.publish("1.0.0");
    bench.run(&["once", "--wait", "proven"]).ends(0);
    let said = std::fs::read_to_string(&told).unwrap_or_default();
    assert!(said.contains("ledger: 1.0.0 is proven"), "{said}");
}

/// What nobody is to be told of keeps nobody.
#[test]
fn a_pass_that_has_nobody_to_tell_ends_at_once() {
    let bench = Bench::new();
    bench.publish("1.0.0");
    bench.run(&["update", "ledger"]).ends(0);
    let ended_ms = jiff::Timestamp::now().as_millisecond();
    let journal = groundcrew_rig::journal::Journal::open(&bench.path("state")).unwrap().unwrap();
    let last = journal.after(0).unwrap().pop().unwrap();
    // A channel that is slow would be waited for, for ten seconds.
    let waited_ms = ended_ms - last.wall_ms;
    assert!(waited_ms < 8_000, "{waited_ms} ms");
}

/// UPD-17: a command is told, in the words of the queue.
#[test]
fn people_are_told_what_was_updated_and_what_is_held() {
    let mut bench = Bench::new();
    let told = bench.path("told");
    let script = bench.path("tell");
    bench.write("tell", &format!("#!/bin/sh\ncat >> {}\n", told.display()));
    let command =
        format!("[notify.ops]\nkind = \"command\"\ncommand = [\"sh\", \"{}\"]", script.display());
    bench.configure_with("", &command);
    bench.publish("1.0.0");
    bench.start_agent();
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    bench.until("it is said to be proven", || said().contains("ledger: 1.0.0 is proven"));
    bench.publish("2.0.0");
    bench.until("it is said to be held", || said().contains("ledger: 2.0.0 is held"));
    assert!(said().contains("groundcrew approve ledger 2.0.0"), "{}", said());
}

/// A pass that is ending holds the lock for a moment longer; that is no reason not to begin.
#[test]
fn an_agent_waits_a_while_for_a_lock_that_nobody_answers_for() {
    let bench = Bench::new();
    bench.run(&["once"]).ends(5);
    let lock = std::fs::File::open(bench.path("state/agent.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut agent = bench.spawn(&["agent"]);
    let status = format!("/proc/{}/status", agent.id());
    // Each pause between two tries gives the processor away once.
    bench.until("it has tried several times", || {
        let status = std::fs::read_to_string(&status).unwrap();
        let switches =
            status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches.unwrap().trim().parse::<u32>().unwrap() >= 8
    });
    drop(lock);
    bench.until("it answers", || bench.run(&["healthcheck"]).code == 0);
    rustix::process::kill_process(rustix::process::Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
}
