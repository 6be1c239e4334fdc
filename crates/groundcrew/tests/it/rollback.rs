//! Going back by hand (UPD-25), and migrating by hand (UPD-5).

use std::fs;

use rustix::process::Signal;

use crate::bench::Bench;

/// 1.0.0 with row 1, then 1.1.0, which migrates and can undo it, with row 2; proven.
fn two_releases() -> Bench {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench.install("1.1.0");
    assert!(bench.post(2));
    bench
}

#[test]
fn upd_25_a_release_is_left_its_data_stays_and_its_channel_does_not_bring_it_back() {
    let bench = two_releases();
    // The way back needs no source.
    fs::remove_dir_all(bench.path("releases/ledger/1.0.0")).unwrap();
    let said = bench.run(&["rollback", "ledger", "--dry-run", "--json"]).ends(0).json();
    assert_eq!((said["from"].as_str(), said["to"].as_str()), (Some("1.1.0"), Some("1.0.0")));
    assert!(said["data"].as_str().unwrap().contains("1.1.0 undoes its migration"), "{said}");
    assert!(said["instead"].as_str().unwrap().contains("--restore-data"), "{said}");
    assert_eq!(bench.version().as_deref(), Some("1.1.0"), "nothing was done");
    let ran = bench.run(&["rollback", "ledger", "--wait", "proven"]).ends(0);
    assert!(ran.out.contains("1.0.0 runs again and is healthy"), "{ran:?}");
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    assert_eq!(bench.rows(), Some(vec![1, 2]), "nothing was lost");
    let ran = bench.run(&["once"]).ends(4);
    assert!(ran.out.contains("was rolled back on this host: left by"), "{ran:?}");
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    let history = bench.run(&["history", "ledger", "-n", "1", "--json"]).ends(0).json();
    let last = &history["updates"][0];
    assert_eq!((last["via"].as_str(), last["to"].as_str()), (Some("rollback"), Some("1.0.0")));
    let said = bench.run(&["history", "ledger", "-n", "1"]).ends(0).out;
    assert!(said.contains("1.1.0 → 1.0.0  rollback, proven"), "{said}");
    assert!(last["by"].is_string() && last["work"] == "down", "{last}");
    let documents: Vec<_> = fs::read_dir(bench.path("state/postmortems")).unwrap().collect();
    assert_eq!(documents.len(), 1, "a rollback by hand has a post-mortem too");
}

#[test]
fn upd_25_the_data_of_then_comes_back_and_what_was_there_is_kept() {
    let bench = two_releases();
    bench.run(&["rollback", "ledger", "1.0.0", "--restore-data", "--wait", "proven"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    assert_eq!(bench.rows(), Some(vec![1]));
    let history = bench.run(&["history", "ledger", "-n", "1", "--json"]).ends(0).json();
    let aside = history["updates"][0]["set_aside"].as_str().unwrap().to_owned();
    bench.run(&["once"]);
    let files = walk(aside.as_ref());
    let kept = files.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
    assert!(kept.into_iter().any(|text| text.contains("row 2")), "{aside}: {files:?}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn upd_25_busy_and_what_cannot_be_undone_refuse_and_change_nothing() {
    let bench = two_releases();
    bench.publish("2.0.0");
    bench.run(&["update", "ledger"]).ends(4);
    bench.run(&["approve", "ledger", "2.0.0"]).ends(0);
    bench.run(&["update", "ledger", "--wait", "proven"]).ends(0);
    let ran = bench.run(&["rollback", "ledger", "--keep-data"]).ends(4);
    assert!(ran.err.contains("2.0.0 migrates the data and cannot undo it"), "{ran:?}");
    assert!(ran.err.contains("--restore-data"), "{ran:?}");
    bench.write("in-flight", "flight 7");
    let ran = bench.run(&["rollback", "ledger", "--restore-data"]).ends(4);
    assert!(ran.err.contains("not now"), "{ran:?}");
    assert_eq!(bench.version().as_deref(), Some("2.0.0"));
    bench.write("in-flight", "");
    let ran = bench.run(&["rollback", "ledger", "--restore-data=x"]).ends(2);
    assert!(ran.err.contains("ledger has no snapshot \"x\"; `groundcrew snapshot list"), "{ran:?}");
    let ran = bench.run(&["rollback", "ledger", "0.9.0"]).ends(2);
    assert!(ran.err.contains("kept are 1.1.0"), "{ran:?}");
    let copies = bench.run(&["snapshot", "list", "ledger", "--json"]).ends(0).json();
    let of_then = copies["snapshots"].as_array().unwrap().iter().rev();
    let of_then = of_then.clone().find(|copy| copy["version"] == "1.1.0").unwrap();
    let id = of_then["id"].as_str().unwrap();
    bench.run(&["rollback", "ledger", "--restore-data", id]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
    assert_eq!(bench.rows(), Some(vec![1, 2]));
}

#[test]
fn upd_25_an_accepted_update_is_taken_back_while_it_is_watched() {
    let mut bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench.start_agent();
    bench.publish("1.1.0");
    bench.until("it is watched", || bench.view()["state"] == "watching");
    assert!(bench.post(2));
    let ran = bench.run(&["migrate", "ledger", "--yes"]).ends(4);
    assert!(ran.err.contains("`groundcrew once --wait proven`"), "{ran:?}");
    let ran = bench.run(&["rollback", "ledger"]).ends(0);
    assert!(ran.err.contains("what 1.1.0 wrote is set aside"), "{ran:?}");
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    assert_eq!(bench.rows(), Some(vec![1]));
    bench.until("its channel does not bring it back", || bench.view()["state"] == "held");
}

#[test]
fn upd_25_a_rollback_survives_the_agent() {
    let mut bench = two_releases();
    bench.start_agent();
    let mut command = bench.spawn(&["rollback", "ledger", "--restore-data"]);
    bench.until("it is on its way", || {
        !matches!(bench.view()["state"].as_str(), Some("idle" | "held"))
    });
    bench.end_agent(Signal::KILL);
    command.wait().unwrap();
    bench.start_agent();
    bench.until("the older release runs", || bench.version().as_deref() == Some("1.0.0"));
    assert_eq!(bench.rows(), Some(vec![1]));
}

#[test]
fn upd_5_a_migration_is_run_by_hand_and_asks_the_busy_flag() {
    let bench = two_releases();
    bench.write("in-flight", "flight 7");
    let ran = bench.run(&["migrate", "ledger"]).ends(0);
    assert!(ran.out.contains("migrate was not run, the host is busy"), "{ran:?}");
    bench.write("in-flight", "");
    bench.run(&["migrate", "ledger"]).ends(0);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
    bench.run(&["once", "--wait", "proven"]).ends(0);
    let history = bench.run(&["history", "ledger", "-n", "1", "--json"]).ends(0).json();
    assert_eq!(
        (&history["updates"][0]["via"], &history["updates"][0]["work"]),
        (&serde_json::json!("migration"), &serde_json::json!("up"))
    );
    // Undone, the release that runs cannot use its data: it comes back, and nothing is condemned.
    bench.run(&["migrate", "ledger", "--down"]).ends(7);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
    assert_eq!(bench.rows(), Some(vec![1, 2]));
    bench.run(&["once"]).ends(0);
}
