//! SIGKILL of the agent in every phase of an update and of a way back.
//!
//! The agent is held still when the journal shows the phase, and killed before it does anything
//! else. `status` is asked afterwards, and has to name the phase. One that was over between two
//! looks at the journal, or at the kill, is tried again with another release.

use groundcrew_rig::hold::hold;
use groundcrew_rig::journal::Journal;
use rustix::process::Signal;

use crate::host::{Dump, Host};
use crate::made::{self, expects, pay};

/// How many releases are offered for the phases of one test.
const TRIES: usize = 6;

/// How often an agent is killed in another phase than it was held in. One that died too often puts
/// its update off.
const MISSES_MAX: usize = 8;

/// The last event of the journal while the app is in a phase.
const PHASES: [(&str, &[&str]); 22] = [
    ("detected", &["found"]),
    ("fetching", &["intent fetch"]),
    ("staged", &["fetched"]),
    ("armed", &["armed", "intent prepare"]),
    ("precopying", &["prepared", "precopied"]),
    ("draining", &["cleared", "intent stop"]),
    ("stopped", &["stopped"]),
    ("snapshotting", &["intent snapshot"]),
    ("snapshotted", &["snapshotted"]),
    ("applying", &["intent switch"]),
    ("starting", &["migrated", "intent start"]),
    ("probing", &["started"]),
    ("accepted", &["proved", "intent open"]),
    ("watching", &["opened", "watched"]),
    ("proven", &["intent close"]),
    ("rollback-decided", &["disproved"]),
    ("rb-stopping", &["evidence-kept", "intent rb-stop"]),
    ("rb-data", &["rb-stopped", "intent rb-build", "rb-built", "intent rb-exchange"]),
    ("rb-switch", &["rb-restored", "intent rb-switch"]),
    ("rb-starting", &["rb-switched", "intent rb-start"]),
    ("rb-probing", &["rb-started"]),
    ("rolled-back", &["rb-proved", "intent close"]),
];

fn last_event(host: &Host) -> i64 {
    Journal::open(&host.path("state")).unwrap().unwrap().last().unwrap()
}

/// Kills the agent while the app is in the phase; false: the update that follows an event was over
/// before the agent was seen in it.
fn kill_in(host: &mut Host, phase: &str, since: i64) -> bool {
    let (_, events) = PHASES.iter().find(|(name, _)| *name == phase).unwrap();
    let mut others = Vec::new();
    while hold(host.agent_pid(), &host.path("state"), since, events).unwrap() {
        host.kill_agent(Signal::KILL);
        let state = host.view()["state"].clone();
        if state == phase {
            return true;
        }
        // It was held in the middle of a commit, which nobody could see yet and which is whole.
        others.push(state);
        assert!(others.len() < MISSES_MAX, "held in {phase}, found in {others:?}");
        host.start_agent();
    }
    false
}

/// Lets an agent die in each phase of a good update; the next one finishes it, and each step has
/// run exactly once. Phases of one group die in one update, one after the other.
fn die_forward(groups: &[&[&str]]) {
    let mut host = Host::new(1);
    host.install("1.0.0");
    host.start_agent();
    let mut steps = Vec::new();
    for group in groups {
        let mut left = *group;
        for _ in 0..TRIES {
            let version = steps.len() + 1;
            let name = format!("1{version:02}-pay");
            steps.push(pay(&name));
            let release = format!("1.0.{version}");
            let since = last_event(&host);
            made::publish(&host, &release, &steps, &expects(&name));
            while let [phase, rest @ ..] = left
                && kill_in(&mut host, phase, since)
            {
                host.start_agent();
                left = rest;
            }
            host.until(&format!("{release} is proven, {left:?} of {group:?} are left"), || {
                let view = host.view();
                view["last_good"]["version"] == release.as_str() && view["state"] == "idle"
            });
            let paid = host.ask("select min(tbalance), max(tbalance) from pgbench_tellers");
            assert_eq!(paid, Some(format!("{version}|{version}")), "after kills in {group:?}");
            if left.is_empty() {
                break;
            }
        }
        assert!(left.is_empty(), "{left:?} were never seen");
    }
    host.leave();
}

#[test]
fn an_agent_that_is_killed_before_the_stop_is_followed_by_one_that_finishes() {
    die_forward(&[&["detected", "fetching", "staged", "armed", "precopying"]]);
}

#[test]
fn an_agent_that_is_killed_on_the_way_down_is_followed_by_one_that_finishes() {
    die_forward(&[&["draining"], &["stopped", "snapshotting"], &["snapshotted", "applying"]]);
}

#[test]
fn an_agent_that_is_killed_on_the_way_up_is_followed_by_one_that_finishes() {
    die_forward(&[&["starting"], &["probing"], &["accepted", "watching", "proven"]]);
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
    host.kill_agent(Signal::KILL);
    assert_eq!(host.view()["state"], "migrating");
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
    let phases = [
        "rollback-decided",
        "rb-stopping",
        "rb-data",
        "rb-switch",
        "rb-starting",
        "rb-probing",
        "rolled-back",
    ];
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
            let since = last_event(&host);
            made::publish_damaging(&host, &release);
            seen = kill_in(&mut host, phase, since);
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
