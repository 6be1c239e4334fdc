//! SIGKILL of the agent in every phase of an update and of a way back.
//!
//! The phase is seen over the control socket and the kill follows within a fraction of a
//! millisecond; a phase that was over before it was seen is tried again with another release.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::{Dump, Host};
use crate::made::{self, expects, pay};

/// How often a phase that was too short to be seen is tried again.
const TRIES: u32 = 6;

/// How long a phase is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// Kills the agent as soon as the app is in the phase; false: `over` came first.
fn kill_in(host: &mut Host, phase: &str, over: &str) -> bool {
    let mut line = host.line().unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut last = String::new();
    loop {
        let view = line.view().unwrap();
        let state = view["state"].as_str().unwrap();
        if state == phase {
            host.kill_agent(Signal::KILL);
            return true;
        }
        if state == over && !last.is_empty() && last != over {
            return false;
        }
        if state != "idle" && state != "detected" {
            last = state.to_owned();
        }
        assert!(Instant::now() < deadline, "{phase} was not seen, the latest is {state}: {view:#}");
    }
}

/// Lets an agent die in each phase of a good update; the next one finishes it, and each step has
/// run exactly once.
fn die_forward(phases: &[&str]) {
    let mut host = Host::new(1);
    host.install("1.0.0");
    host.start_agent();
    let mut steps = Vec::new();
    let mut version = 0;
    for phase in phases {
        let mut seen = false;
        for _ in 0..TRIES {
            version += 1;
            let name = format!("1{version:02}-pay");
            steps.push(pay(&name));
            let release = format!("1.0.{version}");
            made::publish(&host, &release, &steps, &expects(&name));
            seen =
                kill_in(&mut host, phase, if *phase == "watching" { "idle" } else { "watching" });
            if seen {
                host.start_agent();
            }
            host.until(&format!("{release} is proven after a kill in {phase}"), || {
                host.view()["last_good"]["version"] == release.as_str()
            });
            let paid = host.ask("select min(tbalance), max(tbalance) from pgbench_tellers");
            assert_eq!(paid, Some(format!("{version}|{version}")), "after a kill in {phase}");
            if seen {
                break;
            }
        }
        assert!(seen, "{phase} was never seen");
    }
    host.leave();
}

#[test]
fn an_agent_that_is_killed_on_the_way_down_is_followed_by_one_that_finishes() {
    die_forward(&["draining", "snapshotting", "applying"]);
}

#[test]
fn an_agent_that_is_killed_on_the_way_up_is_followed_by_one_that_finishes() {
    die_forward(&["starting", "probing", "watching"]);
}

/// The first step is in the database, the second is at work.
#[test]
fn a_migration_that_is_killed_half_way_leads_back_and_is_not_run_again() {
    let mut host = Host::new(1);
    host.install("1.0.0");
    host.work(50);
    let whole = host.dump();
    let here = host.path("sockets/half-way");
    let wait = format!(
        "update pgbench_tellers set tbalance = 7;\n\\! touch {} && exec sleep 60\n",
        here.display()
    );
    let steps = [pay("002-first"), ("003-second".to_owned(), wait)];
    made::publish(&host, "1.0.1", &steps, &expects("003-second"));
    host.start_agent();
    host.until("the second step is at work", || here.exists());
    assert_eq!(host.view()["state"], "migrating");
    host.kill_agent(Signal::KILL);
    std::fs::remove_file(&here).unwrap();
    host.start_agent();
    host.until("it went back", || host.view()["state"] == "deferred");
    let view = host.view();
    assert_eq!(view["running"]["version"], "1.0.0");
    let why = view["gates"].to_string();
    assert!(why.contains("the agent died while the migration ran"), "{why}");
    assert_same(&host, &whole, "migrating");
    assert!(!here.exists(), "it was run again on data that it had touched");
    let runs = std::fs::read_dir(host.path("state/runs/postgres")).unwrap().flatten();
    let names = runs.filter_map(|run| run.file_name().into_string().ok());
    let migrations = names.filter(|name| name.contains("-migrate-")).count();
    assert_eq!(migrations, 2, "one of 1.0.0 and one of 1.0.1");
    host.leave();
}

#[track_caller]
fn assert_same(host: &Host, whole: &Dump, phase: &str) {
    assert_eq!(host.dump(), *whole, "after a kill in {phase}");
    let row = "insert into pgbench_history (delta) values (0) returning 1";
    assert_eq!(host.ask(&format!("begin; {row}; rollback")).as_deref(), Some("1"), "users are in");
}

#[test]
fn an_agent_that_is_killed_on_the_way_back_is_followed_by_one_that_brings_the_data_back() {
    let phases =
        ["rollback-decided", "rb-stopping", "rb-data", "rb-switch", "rb-starting", "rb-probing"];
    let mut host = Host::new(1);
    host.install("1.0.0");
    host.work(50);
    let whole = host.dump();
    host.start_agent();
    let mut version = 0;
    for phase in phases {
        let mut seen = false;
        for _ in 0..TRIES {
            version += 1;
            let release = format!("1.0.{version}");
            made::publish_damaging(&host, &release);
            seen = kill_in(&mut host, phase, "held");
            if seen {
                host.start_agent();
            }
            host.until(&format!("{release} is known as bad after a kill in {phase}"), || {
                let view = host.view();
                view["state"] == "held" && view["last_update"]["to"] == release.as_str()
            });
            let view = host.view();
            assert_eq!(view["running"]["version"], "1.0.0", "after a kill in {phase}");
            assert_same(&host, &whole, phase);
            if seen {
                break;
            }
        }
        assert!(seen, "{phase} was never seen");
    }
    host.leave();
}
