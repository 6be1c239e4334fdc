//! The agent as a systemd service, on a machine that systemd really booted (decision 10).

use crate::bench::Bench;
use crate::machine::{Machine, PROGRAM};

/// A machine on which the agent was installed and has installed the app.
fn installed() -> Machine {
    let bench = Bench::new();
    bench.publish("1.0.0");
    let machine = Machine::boot(bench);
    machine.run(&[PROGRAM, "install", "--role", "agent"]).ends(0);
    machine.until("the app serves", |machine| machine.bench.version().is_some());
    machine.until("it is proven", |machine| {
        machine.run(&["groundcrew", "status", "ledger"]).out.contains("last-good: 1.0.0")
    });
    machine
}

fn app(machine: &Machine) -> i32 {
    let port = machine.bench.port().to_string();
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&&b"demo-app"[..]) && words.contains(&port.as_bytes())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found: Vec<i32> = pids.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn agent(machine: &Machine) -> String {
    assert_eq!(machine.unit("ActiveState"), "active", "{}", machine.story());
    machine.unit("MainPID")
}

#[test]
fn an_installed_agent_is_restarted_stopped_and_killed_and_its_app_runs_on() {
    let mut machine = installed();
    let (first, app_pid) = (agent(&machine), app(&machine));
    let group = machine.run(&["cat", "/proc/self/cgroup"]).out;
    assert!(!group.contains("groundcrew"), "{group}");
    let scopes = machine.run(&["systemctl", "list-units", "--no-legend", "groundcrew-*.scope"]).out;
    assert!(scopes.contains("groundcrew-ledger-") && scopes.contains("running"), "{scopes}");

    install_again_changes_nothing(&machine, &first);

    machine.run(&["systemctl", "restart", "groundcrew"]).ends(0);
    assert_ne!(agent(&machine), first);
    assert_eq!(app(&machine), app_pid, "it outlives a restart");
    machine.run(&["systemctl", "stop", "groundcrew"]).ends(0);
    assert_eq!(app(&machine), app_pid, "it outlives a stop");
    a_command_in_a_service_that_ends_leaves_the_app_alone(&machine);
    machine.run(&["systemctl", "start", "groundcrew"]).ends(0);

    let app_pid = app(&machine);
    a_frozen_agent_is_killed_and_started_again(&machine);
    assert_eq!(app(&machine), app_pid, "it outlives the watchdog");
    let app_pid = without_a_scope_it_outlives_a_restart_too(&machine);
    a_recorder_beside_it_records_a_flight_and_goes_alone(&machine);
    uninstall_leaves_everything_that_is_not_ours(&machine, app_pid);

    machine.power_off();
    let runs = machine.path("var/lib/groundcrew/runs/ledger");
    let open: Vec<_> = std::fs::read_dir(runs)
        .unwrap()
        .map(|run| run.unwrap().path())
        .filter(|run| run.join("run.json").exists() && !run.join("exit.json").exists())
        .collect();
    assert!(open.is_empty(), "a host that goes down lets every keeper write its end: {open:?}");
}

/// With the agent aboard: the flight says what runs. A flight is open when the service is stopped.
fn a_recorder_beside_it_records_a_flight_and_goes_alone(machine: &Machine) {
    machine.run(&["groundcrew", "install", "--role", "recorder"]).ends(0);
    let is_active = |unit: &str| machine.run(&["systemctl", "is-active", unit]).out;
    assert_eq!(is_active("groundcrew-recorder").trim(), "active", "{}", machine.story());
    let flag = "/run/groundcrew/in-flight";
    machine.run(&["sh", "-c", &format!("echo flying > {flag}")]).ends(0);
    let flight = |machine: &Machine| {
        let list = machine.run(&["groundcrew", "flight", "list", "--json"]).ends(0).json();
        let flights = list["flights"].as_array().unwrap().clone();
        flights.into_iter().find(|flight| flight["id"] != "standing")
    };
    machine.until("a flight is recorded", |machine| flight(machine).is_some());
    let id = flight(machine).unwrap()["id"].as_str().unwrap().to_owned();
    let manifest = machine.path(&format!("var/lib/groundcrew/recordings/{id}/manifest.json"));
    machine.until("it says what runs", |_| {
        let manifest = std::fs::read_to_string(&manifest).unwrap();
        manifest.contains("\"app\": \"ledger\"") && manifest.contains("\"version\": \"1.0.0\"")
    });
    machine.run(&["systemctl", "stop", "groundcrew-recorder"]).ends(0);
    assert_eq!(flight(machine).unwrap()["state"], "clean", "it ended with its recorder");
    machine.run(&["rm", flag]).ends(0);
    machine.run(&["groundcrew", "uninstall", "--role", "recorder"]).ends(0);
    agent(machine);
    machine.run(&["groundcrew", "flight", "verify", &id]).ends(0);
}

fn install_again_changes_nothing(machine: &Machine, agent_pid: &str) {
    let again = machine.run(&["groundcrew", "install", "--role", "agent", "--json"]).ends(0).json();
    let steps = again.get("steps").unwrap().as_array().unwrap();
    assert_eq!(again.get("state").unwrap(), "running");
    let fate = |step: &serde_json::Value| {
        step.get("fate").and_then(|fate| fate.as_str().map(str::to_owned))
    };
    let mut fates = steps.iter().filter_map(fate);
    assert!(fates.all(|fate| ["same", "keep"].contains(&fate.as_str())), "{again}");
    assert_eq!(agent(machine), agent_pid);
    // A piece that was changed is put right, and what it belongs to starts again.
    machine.run(&["sh", "-c", "echo '# x' >> /etc/systemd/system/groundcrew.service"]).ends(0);
    let mended = machine.run(&["groundcrew", "install"]).ends(0).out;
    assert!(mended.contains("replaced /etc/systemd/system/groundcrew.service"), "{mended}");
    assert_ne!(agent(machine), agent_pid);
}

/// As a timer that runs `groundcrew once` does it: a service whose end takes its group along.
fn a_command_in_a_service_that_ends_leaves_the_app_alone(machine: &Machine) {
    let before = app(machine);
    let service =
        ["systemd-run", "--quiet", "--wait", "--collect", "groundcrew", "restart", "ledger"];
    machine.run(&service).ends(0);
    machine.until("it serves again", |machine| machine.bench.version().is_some());
    assert_ne!(app(machine), before);
}

fn a_frozen_agent_is_killed_and_started_again(machine: &Machine) {
    let quick = "mkdir -p /run/systemd/system/groundcrew.service.d; \
        printf '[Service]\\nWatchdogSec=2\\nRestartSec=100ms\\n' \
        > /run/systemd/system/groundcrew.service.d/test.conf; systemctl daemon-reload; \
        systemctl restart groundcrew";
    machine.run(&["sh", "-c", quick]).ends(0);
    let before = agent(machine);
    machine.run(&["sleep", "3"]).ends(0);
    assert_eq!(agent(machine), before, "one that turns is left alone");
    machine.run(&["kill", "-STOP", &before]).ends(0);
    machine.until("it was started again", |machine| machine.unit("NRestarts") == "1");
    machine.until("it answers", |machine| machine.run(&["groundcrew", "healthcheck"]).code == 0);
    assert_ne!(agent(machine), before);
}

/// systemd may refuse a scope, or not answer; then the unit's own settings keep the app alive.
fn without_a_scope_it_outlives_a_restart_too(machine: &Machine) -> i32 {
    let hangs = "printf '#!/bin/sh\nexec sleep 600\n' > /run/hangs; chmod 755 /run/hangs";
    machine.run(&["sh", "-c", hangs]).ends(0);
    for instead in ["/run/hangs", "/usr/bin/false"] {
        let before = app(machine);
        machine.run(&["mount", "--bind", instead, "/usr/bin/systemd-run"]).ends(0);
        machine.run(&["timeout", "25", "groundcrew", "restart", "ledger"]).ends(0);
        machine.run(&["umount", "/usr/bin/systemd-run"]).ends(0);
        assert_ne!(app(machine), before, "{instead}");
        let left = machine.run(&["pgrep", "-f", "sleep 600"]);
        assert_eq!(left.out, "", "{instead}: nothing of it is left");
    }
    let pid = app(machine);
    machine.run(&["systemctl", "restart", "groundcrew"]).ends(0);
    machine.run(&["systemctl", "stop", "groundcrew"]).ends(0);
    machine.run(&["systemctl", "start", "groundcrew"]).ends(0);
    assert_eq!(app(machine), pid);
    pid
}

fn uninstall_leaves_everything_that_is_not_ours(machine: &Machine, app_pid: i32) {
    let dry = machine.run(&["groundcrew", "uninstall", "--dry-run"]).ends(0).out;
    assert!(dry.contains("would remove /usr/local/bin/groundcrew"), "{dry}");
    agent(machine);
    machine.run(&["groundcrew", "uninstall"]).ends(0);
    assert_eq!(machine.unit("ActiveState"), "inactive");
    assert_eq!(machine.unit("LoadState"), "not-found");
    assert_eq!(app(machine), app_pid);
    for (name, there) in [
        ("local/bin/groundcrew", false),
        ("etc/systemd/system/groundcrew.service", false),
        ("etc/systemd/system/multi-user.target.wants/groundcrew.service", false),
        ("etc/groundcrew/groundcrew.toml", true),
        ("var/lib/groundcrew/journal.db", true),
    ] {
        assert_eq!(machine.path(name).symlink_metadata().is_ok(), there, "{name}");
    }
    let again = machine.run(&[PROGRAM, "uninstall"]).ends(0).out;
    assert!(!again.contains("removed"), "{again}");
}

/// An update that the agent's stop falls into: what it had begun is brought up before it ends, or is
/// finished by the next agent.
#[test]
fn an_agent_that_is_stopped_in_the_middle_of_an_update_leaves_the_app_up_and_the_next_one_finishes()
{
    let mut machine = installed();
    assert!(machine.bench.post(1));
    let script = "[ \"$1\" != 1.1.0 ] || { : > \"$2/../migrating\"; sleep 2; }\n";
    machine.bench.write("srv/on-migrate", script);
    machine.bench.publish("1.1.0");
    machine
        .until("the migration is at work", |machine| machine.bench.path("srv/migrating").exists());
    machine.run(&["systemctl", "stop", "groundcrew"]).ends(0);
    assert_eq!(machine.unit("ActiveState"), "inactive");
    assert_eq!(machine.unit("Result"), "success", "{}", machine.story());
    app(&machine);
    machine.until("the app serves with no agent", |machine| machine.bench.version().is_some());
    assert_eq!(machine.bench.rows(), Some(vec![1]));
    let proven = "last-good: 1.1.0";
    let status = machine.run(&["groundcrew", "status", "ledger"]).ends(0).out;
    assert!(!status.contains(proven), "it was stopped in the middle: {status}");

    // Killed in the middle of its next try at the latest: the app outlives that too.
    machine.run(&["systemctl", "start", "groundcrew"]).ends(0);
    let pid = app(&machine);
    machine.run(&["systemctl", "kill", "--kill-whom=main", "-s", "KILL", "groundcrew"]).ends(0);
    assert_eq!(app(&machine), pid, "it outlives a kill");
    machine.until("the next agent finishes", |machine| {
        machine.run(&["groundcrew", "status", "ledger"]).out.contains(proven)
    });
    assert_eq!(machine.bench.version().as_deref(), Some("1.1.0"));
    assert_eq!(machine.bench.rows(), Some(vec![1]));
    machine.power_off();
}

#[test]
fn somebody_who_is_not_root_is_told_why_status_is_not_for_them() {
    let mut machine = installed();
    let ask = |machine: &Machine| {
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        machine.run(&[&nobody[..], &["groundcrew", "status"]].concat())
    };
    let way_out = "→ run it as root, or as the user whose state directory it is";
    // A volume that they may not look at, then one that they may, and the state that they may not.
    let said = ask(&machine).ends(2).err;
    assert!(said.contains("/srv/bench/srv/data: Permission denied"), "{said}");
    assert!(said.contains(way_out), "{said}");
    machine.run(&["chmod", "755", "/srv/bench", "/srv/bench/srv", "/srv/bench/srv/data"]).ends(0);
    let said = ask(&machine).ends(1).err;
    assert!(said.contains("/var/lib/groundcrew/journal.db: Permission denied"), "{said}");
    assert!(said.contains(way_out), "{said}");
    let modes = ["stat", "-c", "%a %U", "/var/lib/groundcrew", "/run/groundcrew"];
    assert_eq!(machine.run(&modes).ends(0).out, "711 root\n711 root\n");
    machine.power_off();
}
