//! Migrations and hooks: bounded, told apart from the app, and never left behind.

use std::time::{Duration, Instant};

use groundcrew_engine::noun::FaultKind;

use crate::rig::{Rig, SLEEPS, is_alive};

#[test]
fn a_migration_runs_in_the_release_with_its_environment() {
    let rig = Rig::new();
    let to = rig.migrating(
        "echo \"$GROUNDCREW_TXN $GROUNDCREW_ATTEMPT $GROUNDCREW_APP $GROUNDCREW_RELEASE\" >> \
         {volume.data}/ran; test -f app.sh",
    );
    rig.put_in_place(&to);
    for _ in 0..2 {
        rig.migrate(&to, 20_000).unwrap();
    }
    assert_eq!(rig.read("ran"), "txn-1 migrate-1 app 2.0.0\ntxn-1 migrate-2 app 2.0.0\n");
    let seen = rig.observe();
    assert_eq!((seen.latest, seen.ended, seen.running), (None, None, None), "it is no start");
}

#[test]
fn a_migration_that_fails_is_the_releases_fault_and_its_output_is_kept() {
    let rig = Rig::new();
    let to = rig.migrating("echo one; echo two >&2; exit 5");
    let fault = rig.migrate(&to, 20_000).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Candidate);
    assert!(fault.text.starts_with("migrate-1 failed: exit code 5; its output ends with:\n"));
    assert!(fault.text.contains("one") && fault.text.contains("two"), "{fault}");
    let flood = rig.migrating("yes 0123456789abcdef | head -n 20000; exit 5");
    let fault = rig.migrate(&flood, 20_000).unwrap_err();
    assert!(fault.text.len() < 9 * 1024, "{}", fault.text.len());
    let plain = rig.release("1.0.0", SLEEPS);
    let fault = rig.migrate(&plain, 20_000).unwrap_err();
    assert_eq!(fault.text, "release 1.0.0 has no command for its migration");
}

#[test]
fn a_migration_and_a_hook_that_run_out_of_time_are_killed_with_their_children() {
    let rig = Rig::new();
    let script = "trap '' TERM; sh -c 'echo $$ > \"$DATA/child\"; exec sleep 1000' & \
                  while :; do sleep 0.01; done";
    let to = rig.migrating(script);
    let started = Instant::now();
    for name in ["migrate-1", "hook-1"] {
        let result = match name {
            "hook-1" => rig.hook(&to, &["sh", "-c", script], 500),
            _ => rig.migrate(&to, 500),
        };
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Candidate, "{fault}");
        assert_eq!(fault.text, format!("{name} was not done after 500 ms and was killed"));
        assert!(!is_alive(rig.pid("child")), "{name}");
        assert_eq!(rig.alive(), []);
    }
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_hook_runs_beside_the_app_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let installed = rig.up(SLEEPS);
    let leaves = "sh -c 'echo $$ > \"$DATA/left\"; exec sleep 1000' & \
                  while [ ! -s \"$DATA/left\" ]; do sleep 0.01; done";
    rig.hook(&installed, &["sh", "-c", leaves], 20_000).unwrap();
    assert!(!is_alive(rig.pid("left")));
    assert_eq!(rig.alive().len(), 1, "only the app");
    let fault = rig.hook(&installed, &["bin/none"], 20_000).unwrap_err();
    assert!(fault.text.contains("bin/none: No such file"), "{fault}");
    assert_eq!(rig.observe().running, Some(installed.release.digest));
}
