//! Updates that go well, and one that does not.

use crate::bench::Bench;

/// UPD-8: accepted and proven are two steps.
#[test]
fn a_first_release_is_installed_accepted_and_proven() {
    let bench = Bench::new();
    let digest = bench.publish("1.0.0");
    let ran = bench.run(&["update", "ledger", "--json"]).ends(0);
    let json = ran.json();
    assert_eq!((&json["schema"], &json["outcome"]), (&1.into(), &"accepted".into()));
    assert_eq!(bench.version().as_deref(), Some("1.0.0"));
    let view = bench.view();
    assert_eq!(
        (&view["state"], &view["running"]["version"]),
        (&"watching".into(), &"1.0.0".into())
    );
    assert_eq!(view["last_good"], serde_json::Value::Null, "proven only after its watch");

    let json = bench.run(&["once", "--wait", "proven", "--json"]).ends(0).json();
    assert_eq!(json["updates"][0]["outcome"], "proven");
    let view = bench.view();
    assert_eq!((&view["state"], &view["last_good"]["digest"]), (&"idle".into(), &digest.into()));
    let again = bench.run(&["update", "ledger"]).ends(0);
    assert!(again.out.contains("1.0.0 is what is offered"), "{again:?}");
    for (wanted, code) in [("1.0.0", 0), ("1.0.00123456", 0), ("1.1.0", 1)] {
        bench.run(&["status", "ledger", "--expect", wanted]).ends(code);
    }
}

/// UPD-9, UPD-16.
#[test]
fn an_update_keeps_the_data_and_a_bad_one_brings_release_and_data_back() {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!((1..=40).all(|row| bench.post(row)));
    bench.install("1.1.0");
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!(bench.rows(), Some(all.clone()));
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));

    bench.publish("1.2.0");
    let ran = bench.run(&["update", "ledger", "--json"]).ends(7);
    assert_eq!(ran.json()["outcome"], "rolled-back");
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
    assert_eq!(bench.rows(), Some(all), "the data came back too");
    let view = bench.view();
    assert_eq!(
        (&view["state"], &view["known_bad"][0]["version"]),
        (&"idle".into(), &"1.2.0".into())
    );
    let aside = view["last_update"]["set_aside"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&aside).exists(), "{aside}");
    let mortems = std::fs::read_dir(bench.path("state/postmortems")).unwrap().count();
    assert_eq!(mortems, 1);

    let held = bench.run(&["update", "ledger"]).ends(4);
    assert!(held.out.contains("was rolled back on this host"), "{held:?}");
    assert!(held.out.contains("groundcrew unblock ledger"), "{held:?}");
    let past = bench.run(&["history", "ledger", "--json"]).ends(0).json();
    let endings: Vec<&str> = past["updates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ending"].as_str().unwrap())
        .collect();
    assert_eq!(endings, ["rolled-back", "proven", "proven"]);
    bench.run(&["unblock", "ledger"]).ends(0);
    assert_eq!(bench.view()["known_bad"], serde_json::json!([]));
}

/// Busy forbids to stop a candidate that runs; a pass says so and ends, and the next one goes on.
#[test]
fn a_rollback_that_waits_for_a_busy_host_ends_the_pass_and_is_done_by_the_next() {
    let bench = Bench::new();
    bench.install("1.1.0");
    assert!((1..=40).all(|row| bench.post(row)));
    let flag = bench.path("in-flight");
    let script = format!("[ \"$1\" != 1.2.0 ] || echo flight 7 > {}\n", flag.display());
    bench.write("srv/on-start", &script);
    bench.publish("1.2.0");
    for _ in 0..2 {
        let ran = bench.run(&["once"]).ends(4);
        assert!(ran.out.contains("waits: busy"), "{ran:?}");
        assert_eq!(bench.view()["state"], "rb-stopping");
    }
    std::fs::remove_file(flag).unwrap();
    bench.run(&["once"]).ends(7);
    assert_eq!(bench.version().as_deref(), Some("1.1.0"));
}

#[test]
fn snapshots_are_listed_and_verified_and_a_damaged_one_is_a_loss() {
    let bench = Bench::new();
    bench.install("1.0.0");
    assert!(bench.post(1));
    bench.install("1.1.0");
    let list = bench.run(&["snapshot", "list", "ledger", "--json"]).ends(0).json();
    let of: Vec<&str> = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["version"].as_str())
        .collect();
    assert_eq!(of, ["1.0.0"]);
    bench.run(&["snapshot", "verify", "ledger"]).ends(0);
    let place = list["snapshots"][0]["places"][0].as_str().unwrap().to_owned();
    let id = list["snapshots"][0]["id"].as_str().unwrap().to_owned();
    let refused = bench.run(&["snapshot", "restore", "ledger", &id]).ends(2);
    assert!(refused.err.contains("data is never put under another release"), "{refused:?}");
    let file = std::fs::read_dir(format!("{place}/data")).unwrap().flatten().next().unwrap();
    std::fs::OpenOptions::new()
        .append(true)
        .open(file.path())
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"x"))
        .unwrap();
    let damaged = bench.run(&["snapshot", "verify", "ledger"]).ends(6);
    assert!(damaged.out.contains("damaged"), "{damaged:?}");
}
