//! What holds an update, what defers it, and what lets it through.

use crate::bench::Bench;

#[test]
fn a_major_version_is_held_with_the_command_that_lets_it_through() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.publish_with("2.0.0", "# Breaking\n\nRead the manual migration first.\n");
    let check = bench.run(&["check", "ledger", "--json"]).ends(4).json();
    let gates = check["checks"][0]["gates"].as_array().unwrap();
    let held: Vec<&str> = gates
        .iter()
        .filter(|answer| answer["verdict"]["verdict"] == "hold")
        .map(|answer| answer["gate"].as_str().unwrap())
        .collect();
    assert_eq!(held, ["version", "manual-migration"]);
    assert_eq!(bench.view()["state"], "idle", "a check records nothing");

    let ran = bench.run(&["update", "ledger"]).ends(4);
    assert!(ran.out.contains("→ groundcrew approve ledger 2.0.0"), "{ran:?}");
    bench.run(&["approve", "ledger", "3.0.0"]).ends(2);
    bench.run(&["approve", "ledger", "2.0.0"]).ends(0);
    let status = bench.run(&["status", "ledger"]).ends(0);
    assert!(status.out.contains("2.0.0, approved, waits since"), "{status:?}");
    assert!(!status.out.contains("→ groundcrew approve"), "{status:?}");
    bench.run(&["update", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("2.0.0"));
}

#[test]
fn a_busy_host_is_not_disturbed_and_a_clear_one_is_updated() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.publish("1.1.0");
    bench.write("in-flight", "flight 7");
    let ran = bench.run(&["update", "ledger"]).ends(4);
    assert!(ran.out.contains("flight 7"), "{ran:?}");
    bench.run(&["stop", "ledger"]).ends(4);
    bench.run(&["restart", "ledger"]).ends(4);
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    std::fs::remove_file(bench.path("in-flight")).unwrap();
    bench.run(&["update", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
}

/// Where nobody is to be told, nobody is waited for.
#[test]
fn a_command_on_a_host_without_channels_ends_at_once() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.publish("2.0.0");
    let begun = std::time::Instant::now();
    bench.run(&["update", "ledger"]).ends(4);
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_pin_beats_the_channel_until_it_is_taken_off() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.run(&["pin", "ledger", "1.0.0"]).ends(0);
    bench.publish("1.1.0");
    let ran = bench.run(&["update", "ledger"]).ends(0);
    assert!(ran.out.contains("1.0.0 is what is offered"), "{ran:?}");
    bench.run(&["update", "ledger", "--version", "1.1.0"]).ends(4);
    bench.run(&["unpin", "ledger"]).ends(0);
    bench.run(&["update", "ledger", "--version", "1.1.0"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
}

/// UPD-15.
#[test]
fn a_dry_run_says_everything_and_does_nothing() {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench.publish("1.1.0");
    let plan = bench.run(&["update", "ledger", "--dry-run", "--json"]).ends(0).json();
    assert_eq!((&plan["schema"], &plan["would_run"]), (&1.into(), &true.into()));
    let steps = plan["steps"].as_array().unwrap();
    assert!(steps[0].as_str().unwrap().starts_with("fetch 1.1.0"), "{steps:?}");
    assert!(steps.iter().any(|step| step == "run its migration"), "{steps:?}");
    assert!(plan["copy_bytes"].as_u64().unwrap() > 0);
    assert_eq!(bench.view()["state"], "idle");
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    let text = bench.run(&["update", "ledger", "--dry-run"]).ends(0).out;
    assert!(text.contains("it would:") && text.contains("to copy:"), "{text}");
}

#[test]
fn paused_updates_wait_and_a_manual_app_is_updated_by_asking() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.run(&["pause", "ledger"]).ends(0);
    bench.publish("1.1.0");
    let ran = bench.run(&["once"]).ends(4);
    assert!(ran.out.contains("paused by hand"), "{ran:?}");
    bench.run(&["resume", "ledger"]).ends(0);
    bench.configure("mode = \"manual\"");
    let ran = bench.run(&["once"]).ends(4);
    assert!(ran.out.contains("not updated without a person"), "{ran:?}");
    bench.run(&["update", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
}

#[test]
fn a_changed_configuration_runs_after_it_is_applied() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.configure("traffic = { open = [\"true\"], close = [\"true\"] }");
    bench.run(&["once"]).ends(0);
    assert_eq!(bench.view()["config_changed"], true);
    bench.run(&["config", "apply", "ledger"]).ends(0);
    assert_eq!(bench.view()["config_changed"], false);
}

#[test]
fn a_new_configuration_is_applied_to_what_runs_whatever_is_offered() {
    let bench = Bench::new();
    bench.install("1.0.0");
    bench.publish("2.0.0");
    bench.run(&["update", "ledger"]).ends(4);
    bench.configure(
        "gates = { min_age = \"0s\" }\ntraffic = { open = [\"true\"], close = [\"true\"] }",
    );
    bench.run(&["config", "apply", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.0.0"), "the major still waits");
    assert_eq!(bench.view()["config_changed"], false);
}

#[test]
fn what_the_host_does_not_have_is_refused_before_anything_is_stopped() {
    let bench = Bench::new();
    let text = std::fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let user = text.replace("kind = \"process\",", "kind = \"process\", user = \"no-such-user\",");
    bench.write("groundcrew.toml", &user);
    let ran = bench.run(&["config", "check"]).ends(2);
    assert!(
        ran.err.contains("apps.ledger.runtime.user") && ran.err.contains("no-such-user"),
        "{ran:?}"
    );
    bench.configure("gates = { external = [{ name = \"ci\", command = [\"/nowhere/ci\"] }] }");
    let ran = bench.run(&["config", "check"]).ends(2);
    assert!(ran.err.contains("there is no program /nowhere/ci"), "{ran:?}");
}
