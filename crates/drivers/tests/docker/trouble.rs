//! What goes wrong around a container, and what becomes of it.

use groundcrew_engine::noun::{FaultKind, TxnId};
use groundcrew_engine::ports::{
    CommandOrder, Purpose, Runtime as _, StartOrder, StopOrder, SwitchOrder,
};

use crate::rig::{Engine, NAME, SERVES, exchange, wait_for};

#[test]
fn run_2_what_is_taken_from_under_us_is_named_and_the_old_container_comes_back() {
    let engine = Engine::start();
    let old = engine.release("1.0.0", SERVES);
    let new = engine.release("2.0.0", SERVES);
    let txn = &TxnId::from("txn-1");
    engine.docker(&["run", "-d", "--name", NAME, "-p", "127.0.0.1:7000:7000", "app:1.0.0"]);
    let first = engine.inspect(NAME)["Id"].clone();
    let mut runtime = engine.runtime(None);
    let stop = StopOrder { installed: Some(&old), txn };
    let switch = |to, back| SwitchOrder { to: Some(to), txn, back };
    let start = |installed, run| StartOrder { installed, txn, run, attended: true };

    runtime.stop(&stop).unwrap();
    engine.docker(&["rmi", "app:2.0.0"]);
    let fault = runtime.switch(&switch(&new, false)).unwrap_err();
    assert!(fault.text.contains("is not here"), "{fault}");
    runtime.switch(&switch(&old, true)).unwrap();
    runtime.start(&start(&old, "back-0")).unwrap();
    assert_eq!(engine.inspect(NAME)["Id"], first);

    // Its port is taken by somebody else while it is down.
    let new = engine.release("2.0.0", SERVES);
    runtime.stop(&stop).unwrap();
    runtime.switch(&switch(&new, false)).unwrap();
    engine.docker(&["run", "-d", "--name", "thief", "-p", "127.0.0.1:7000:7000", "app:1.0.0"]);
    let fault = runtime.start(&start(&new, "start-1")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Host, "{fault}");
    assert!(fault.text.contains("port is already allocated"), "{fault}");
    let again = runtime.start(&start(&new, "start-1")).unwrap_err();
    assert!(again.text.contains("was started before"), "{again}");
    engine.docker(&["rm", "--force", "thief"]);
    runtime.start(&start(&new, "start-2")).unwrap();

    // Removed by hand: what it was like is on record.
    engine.docker(&["rm", "--force", NAME]);
    assert_eq!(runtime.observe().unwrap().in_place, None);
    runtime.stop(&stop).unwrap();
    runtime.switch(&switch(&new, false)).unwrap();
    runtime.start(&start(&new, "start-3")).unwrap();
    let port = &engine.inspect(NAME)["HostConfig"]["PortBindings"]["7000/tcp"][0]["HostPort"];
    assert_eq!(port, "7000");
}

#[test]
fn run_2_a_container_that_the_engine_removes_is_refused_and_what_never_was_is_named() {
    let engine = Engine::start();
    let good = engine.release("1.0.0", SERVES);
    let mut runtime = engine.runtime(None);
    let txn = &TxnId::from("txn-1");
    let fault = runtime.switch(&SwitchOrder { to: Some(&good), txn, back: false }).unwrap_err();
    assert!(fault.text.contains("make it once by hand"), "{fault}");
    engine.docker(&["run", "-d", "--rm", "--name", NAME, "app:1.0.0"]);
    let fault = runtime.stop(&StopOrder { installed: Some(&good), txn }).unwrap_err();
    assert!(fault.text.contains("(--rm)"), "{fault}");
    assert!(engine.is_running(NAME), "it was left alone");
    let mut nobody = engine.runtime_at(&engine.path("nobody"), None);
    let fault = nobody.observe().unwrap_err();
    assert!(fault.text.contains("is it running"), "{fault}");
}

#[test]
fn run_2_a_program_that_is_not_in_the_image_is_the_releases_fault() {
    let engine = Engine::start();
    let old = engine.release("1.0.0", SERVES);
    let bad = crate::rig::installed("2.0.0", engine.image("app:2.0.0", &[r#"CMD ["nothing"]"#]));
    engine.docker(&["run", "-d", "--name", NAME, "app:1.0.0"]);
    let mut runtime = engine.runtime(None);
    let txn = &TxnId::from("txn-1");
    runtime.stop(&StopOrder { installed: Some(&old), txn }).unwrap();
    runtime.switch(&SwitchOrder { to: Some(&bad), txn, back: false }).unwrap();
    let order = StartOrder { installed: &bad, txn, run: "start-0", attended: true };
    let fault = runtime.start(&order).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Candidate, "{fault}");
    exchange(&mut runtime, &bad, &old, "txn-1", true);
    assert_eq!(engine.alive(), [old.release.digest]);
}

#[test]
fn run_2_what_its_owner_changed_after_a_failed_update_is_in_the_next_one() {
    let engine = Engine::start();
    let old = engine.release("1.0.0", SERVES);
    let new = engine.release("2.0.0", SERVES);
    let lent = engine.path("lent");
    std::fs::create_dir(&lent).unwrap();
    std::fs::write(lent.join("row"), "precious").unwrap();
    let volume = format!("{}:/lent", lent.display());
    engine.docker(&["create", "--name", "lender", "-v", &volume, "app:1.0.0"]);
    engine.docker(&["run", "-d", "--name", NAME, "app:1.0.0"]);
    let mut runtime = engine.runtime(None);
    exchange(&mut runtime, &old, &new, "txn-1", false);
    exchange(&mut runtime, &new, &old, "txn-1", true);
    // A person sees that the new release needs something that the container does not have.
    engine.docker(&["rm", "--force", NAME]);
    let changed = ["--volumes-from", "lender", "-v", "named:/data/", "-e", "MINE=2", "app:1.0.0"];
    engine.docker(&[&["run", "-d", "--name", NAME], &changed[..]].concat());
    exchange(&mut runtime, &old, &new, "txn-2", false);
    assert_eq!(engine.alive(), std::slice::from_ref(&new.release.digest));
    let said = engine.docker(&["exec", NAME, "sh", "-c", "echo $MINE; cat /lent/row"]);
    assert_eq!(said, "2\nprecious");
    exchange(&mut runtime, &new, &old, "txn-2", true);
    assert_eq!(engine.docker(&["exec", NAME, "cat", "/lent/row"]), "precious");
    let aside = "name=^/app.groundcrew-";
    let aside = engine.docker(&["ps", "--all", "--quiet", "--filter", aside]);
    assert_eq!(aside.lines().count(), 2, "one of each try: {aside}");
}

/// The commands of one release, with its data.
#[test]
fn run_2_hooks_run_in_the_container_and_migrations_beside_it() {
    let engine = Engine::start();
    let up = r#"LABEL groundcrew.migrate.up='["sh","-c","cat /data/row >>/data/moved; exit ${CODE:-0}"]'"#;
    let command = format!("CMD {}", serde_json::json!(["sh", "-c", SERVES]));
    let digest = engine.image("app:2.0.0", &[&command, up]);
    let new = crate::rig::installed("2.0.0", digest);
    engine.app_image("1.0.0", SERVES);
    let words =
        ["run", "-d", "--name", NAME, "-v", "/data", "-p", "127.0.0.1:7000:7000", "app:1.0.0"];
    engine.docker(&words);
    engine.docker(&["exec", NAME, "sh", "-c", "echo precious > /data/row"]);
    let mut runtime = engine.runtime(None);
    let txn = &TxnId::from("txn-1");
    let order = |purpose, timeout_ms| CommandOrder { installed: &new, txn, purpose, timeout_ms };
    let hook = |script: &str| Purpose::Hook(vec!["sh".into(), "-c".into(), script.into()]);
    runtime.stop(&StopOrder { installed: None, txn }).unwrap();

    runtime.run(&order(Purpose::Migrate, 20_000)).unwrap();
    let fault = runtime.run(&order(Purpose::Undo, 20_000)).unwrap_err();
    assert!(fault.text.contains("no label groundcrew.migrate.down"), "{fault}");
    let fault = runtime.run(&order(hook("echo why; exit 7"), 20_000)).unwrap_err();
    assert!(fault.text.contains("exit code 7; its output ends with:\nwhy"), "{fault}");
    let fault = runtime.run(&order(hook("sleep 1000"), 300)).unwrap_err();
    assert!(fault.text.contains("was not done after 300 ms"), "{fault}");
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]).lines().count(), 1, "nothing is left");

    runtime.switch(&SwitchOrder { to: Some(&new), txn, back: false }).unwrap();
    runtime.start(&StartOrder { installed: &new, txn, run: "start-0", attended: true }).unwrap();
    assert_eq!(engine.docker(&["exec", NAME, "cat", "/data/moved"]), "precious", "once");
    runtime.run(&order(hook("echo $GROUNDCREW_TXN $HOSTNAME > /data/hook"), 20_000)).unwrap();
    let id = engine.inspect(NAME)["Id"].as_str().unwrap().get(..12).unwrap().to_owned();
    assert_eq!(engine.docker(&["exec", NAME, "cat", "/data/hook"]), format!("txn-1 {id}"));
    let fault = runtime.run(&order(hook("echo why; exit 7"), 20_000)).unwrap_err();
    assert!(fault.text.contains("exit code 7; its output ends with:\nwhy"), "{fault}");
}

#[test]
fn run_2_a_crash_is_by_itself_and_the_end_of_the_engine_is_not() {
    let mut engine = Engine::start();
    let good = engine.release("1.0.0", SERVES);
    engine.docker(&["run", "-d", "--name", NAME, "app:1.0.0"]);
    let mut runtime = engine.runtime(None);
    let seen = runtime.observe().unwrap();
    assert_eq!(seen.running.as_ref(), Some(&good.release.digest));
    engine.docker(&["kill", NAME]);
    wait_for("its end", || !engine.is_running(NAME));
    let ended = runtime.observe().unwrap().ended.unwrap();
    assert!(ended.by_itself && ended.how == "exit code 137", "{ended:?}");
    engine.docker(&["start", NAME]);
    engine.restart();
    wait_for("its end", || !engine.is_running(NAME));
    let ended = runtime.observe().unwrap().ended.unwrap();
    assert!(!ended.by_itself, "{ended:?}");
}

#[test]
fn run_2_who_lives_in_the_network_of_a_container_follows_it_and_comes_back_with_it() {
    let engine = Engine::start();
    let old = engine.release("1.0.0", SERVES);
    let new = engine.release("2.0.0", SERVES);
    engine.docker(&["run", "-d", "--name", NAME, "--hostname", "shared", "app:1.0.0"]);
    let network = "container:app";
    for (name, restart) in [("side", "always"), ("idle", "no")] {
        let words = ["run", "-d", "--network", network, "--restart", restart, "-e", "MINE=1"];
        engine.docker(&[&words[..], &["--name", name, "app:1.0.0"]].concat());
    }
    engine.docker(&["stop", "--time", "0", "idle"]);
    let first = [engine.inspect("side"), engine.inspect("idle")];
    let mut runtime = engine.runtime(None);

    exchange(&mut runtime, &old, &new, "txn-1", false);
    let id = engine.inspect(NAME)["Id"].as_str().unwrap().to_owned();
    for (name, runs, restart) in [("side", true, "always"), ("idle", false, "no")] {
        let shown = engine.inspect(name);
        assert_eq!(shown["HostConfig"]["NetworkMode"], format!("container:{id}"), "{name}");
        assert_eq!(shown["State"]["Running"], runs, "{name}");
        assert_eq!(shown["HostConfig"]["RestartPolicy"]["Name"], restart, "{name}");
        assert!(shown["Config"]["Env"].as_array().unwrap().contains(&"MINE=1".into()), "{name}");
    }
    assert_eq!(engine.docker(&["exec", "side", "hostname"]), "shared");

    exchange(&mut runtime, &new, &old, "txn-1", true);
    for (name, before) in ["side", "idle"].into_iter().zip(&first) {
        let shown = engine.inspect(name);
        assert_eq!(shown["Id"], before["Id"], "{name}: the very container comes back");
        assert_eq!(shown["State"]["Running"], name == "side", "{name}");
        let policy = |shown: &serde_json::Value| shown["HostConfig"]["RestartPolicy"].clone();
        assert_eq!(policy(&shown), policy(before), "{name}");
    }

    // The same container once more: its network is a new one all the same.
    let before = engine.inspect("side")["State"]["StartedAt"].clone();
    exchange(&mut runtime, &old, &old, "txn-2", false);
    assert_ne!(engine.inspect("side")["State"]["StartedAt"], before);
    exchange(&mut runtime, &old, &new, "txn-3", false);
    assert_ne!(engine.inspect(NAME)["Id"], id, "what the first try left is not tried once more");
    assert_eq!(engine.docker(&["exec", "side", "hostname"]), "shared");
}

#[test]
fn run_2_what_is_aside_does_not_pile_up_and_what_people_made_stays() {
    let engine = Engine::start();
    let mut old = engine.release("1.0.0", SERVES);
    engine.docker(&["run", "-d", "--name", NAME, "app:1.0.0"]);
    let made = engine.inspect(NAME)["Id"].as_str().unwrap().to_owned();
    let mut runtime = engine.runtime(None);
    let kept = groundcrew_drivers::runtimes::docker::kept(&engine.path("state"), NAME);
    std::fs::create_dir_all(&kept).unwrap();
    for number in 0..30 {
        std::fs::File::create(kept.join(format!("gone-{number}.json"))).unwrap();
    }
    for number in 2..=5 {
        let new = engine.release(&format!("{number}.0.0"), SERVES);
        // The agent is interrupted before it starts it, and goes back.
        let txn = &TxnId::from(format!("cut-{number}").as_str());
        runtime.stop(&StopOrder { installed: Some(&old), txn }).unwrap();
        runtime.switch(&SwitchOrder { to: Some(&new), txn, back: false }).unwrap();
        runtime.switch(&SwitchOrder { to: Some(&old), txn, back: true }).unwrap();
        let order = StartOrder { installed: &old, txn, run: "back-0", attended: false };
        runtime.start(&order).unwrap();
        exchange(&mut runtime, &old, &new, &format!("txn-{number}"), false);
        // What is in place, what it came from, one more, and what somebody made.
        let all = engine.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
        assert!(all.lines().count() <= 4, "{number}: {all}");
        assert!(all.contains(&made), "{number}: {all}");
        let is_old = |id: &str| engine.inspect(id)["Image"] == old.release.digest.as_str();
        assert!(all.lines().any(is_old), "{number}: there is a way back");
        old = new;
    }
    let kept: Vec<String> = std::fs::read_dir(kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(kept.len() <= 16 + 4, "{kept:?}");
    assert!(kept.contains(&format!("{made}.json")), "{kept:?}");
    assert_eq!(engine.alive(), [old.release.digest]);
}
