//! Wrong input: each refusal names the place and a way out, and has its own code.

use std::process::Command;

use crate::bench::{BINARY, Bench};

#[test]
fn a_name_that_is_wrong_is_told_with_the_nearest_one_by_every_command() {
    let bench = Bench::new();
    let file = bench.path("groundcrew.toml").display().to_string();
    for command in [
        &["status", "leger"][..],
        &["history", "leger"],
        &["check", "leger"],
        &["update", "leger"],
        &["update", "leger", "--dry-run"],
        &["config", "apply", "leger"],
        &["pin", "leger", "1"],
        &["unpin", "leger"],
        &["approve", "leger", "1"],
        &["unblock", "leger"],
        &["rollback", "leger"],
        &["migrate", "leger"],
        &["pause", "leger"],
        &["resume", "leger"],
        &["start", "leger"],
        &["stop", "leger"],
        &["restart", "leger"],
        &["logs", "leger"],
        &["snapshot", "list", "leger"],
        &["snapshot", "verify", "leger"],
        &["snapshot", "restore", "leger", "x"],
    ] {
        let ran = bench.run(command).ends(2);
        let wanted = format!("there is no app \"leger\" in {file}; did you mean \"ledger\"?");
        assert!(ran.err.contains(&wanted) && ran.out.is_empty(), "{command:?}: {ran:?}");
    }
    assert!(!bench.path("state").exists(), "a wrong name makes nothing");
    let far = bench.run(&["status", "zzzzzz"]).ends(2);
    assert!(far.err.contains("; there are: ledger"), "{far:?}");
}

#[test]
fn what_is_not_there_is_told_with_what_is_and_how_to_get_it() {
    let bench = Bench::new();
    for version in ["1.0.0", "1.1.0"] {
        bench.publish(version);
    }
    for (command, code, wanted) in [
        (&["pin", "ledger", "1.10"][..], 2, "did you mean \"1.1.0\"? there are: 1.0.0, 1.1.0"),
        (&["pin", "ledger", "sha256:00"], 2, "nobody offers \"sha256:00\" of ledger"),
        (&["pin", "ledger", "1.1.0"], 0, ""),
        (&["approve", "ledger", "9"], 2, "has no candidate 9"),
        (&["start", "ledger"], 2, "`groundcrew update ledger` installs it"),
        (&["snapshot", "verify", "ledger", "x"], 2, "`groundcrew snapshot list ledger`"),
        (&["postmortem", "show", "x"], 2, "there are none at all"),
        (&["logs", "ledger"], 0, "has said nothing yet"),
        (&["logs", "ledger", "-n", "0"], 0, ""),
        (&["update", "ledger", "--version", "9"], 2, "nobody offers \"9\" of ledger"),
        (&["update", "ledger", "--version", "1.0.0"], 4, "1.1.0 is offered, not 1.0.0"),
        (&["healthcheck"], 1, "systemctl start groundcrew"),
        (&["status", "--expect", "1.1.0"], 1, "ledger does not run 1.1.0, but nothing"),
    ] {
        let ran = bench.run(command).ends(code);
        assert!(ran.err.contains(wanted), "{command:?}: {ran:?}");
    }
    std::fs::remove_dir_all(bench.path("releases")).unwrap();
    let ran = bench.run(&["pin", "ledger", "1.0.0"]).ends(3);
    assert!(ran.err.contains("it cannot be told whether \"1.0.0\" is offered"), "{ran:?}");
    let path = bench.path("groundcrew.toml").display().to_string();
    std::fs::remove_file(bench.path("groundcrew.toml")).unwrap();
    for command in [&["status"][..], &["agent"], &["logs", "ledger"]] {
        let ran = bench.run(command).ends(2);
        assert!(ran.err.contains(&path) && ran.err.contains("`groundcrew init`"), "{ran:?}");
    }
}

#[test]
fn a_state_directory_that_is_not_there_is_no_empty_host() {
    let bench = Bench::new();
    bench.publish("1.0.0");
    let whole = std::env::current_dir().unwrap().join("not-there").display().to_string();
    for command in [&["status"][..], &["history"], &["logs", "ledger"], &["postmortem", "list"]] {
        let ran = bench.run(&[command, &["--state", "not-there"]].concat()).ends(2);
        assert!(ran.err.contains(&format!("there is no state directory {whole}")), "{ran:?}");
    }
    assert!(!std::path::Path::new(&whole).exists());
}

/// Whoever only asks needs no lock, no agent, and no disk that can be written.
#[test]
fn reading_works_beside_a_pass_and_on_a_disk_that_became_read_only() {
    let bench = Bench::new();
    bench.install("1.0.0");
    let lock = std::fs::File::open(bench.path("state/agent.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let read = [&["status"][..], &["history"], &["logs", "ledger"], &["postmortem", "list"]];
    for command in read {
        bench.run(command).ends(0);
    }
    bench.run(&["pause", "ledger"]).ends(75);
    drop(lock);
    let state = bench.path("state").display().to_string();
    for command in read {
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, &state, BINARY])
            .args(command)
            .env("GROUNDCREW_CONFIG", bench.path("groundcrew.toml"))
            .env("GROUNDCREW_STATE", &state)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        if command == ["status"] {
            assert!(
                String::from_utf8_lossy(&output.stdout).contains("ledger: 1.0.0"),
                "{output:?}"
            );
        }
    }
}

#[test]
fn a_lost_journal_is_told_as_unknown_and_not_as_empty() {
    let bench = Bench::new();
    bench.install("1.0.0");
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        std::fs::remove_file(bench.path("state").join(name)).ok();
    }
    let view = bench.view();
    assert_eq!((&view["state"], &view["up"]), (&"unknown".into(), &true.into()));
    let ran = bench.run(&["status"]).ends(0);
    assert!(ran.out.contains("a process of it runs; of which release is not known"), "{ran:?}");
    assert!(ran.out.contains("`groundcrew unblock --store`"), "{ran:?}");
    assert!(!bench.path("state/journal.db").exists(), "a look makes no journal");
}

/// What an app says may have many lines; none of them is taken for one of ours.
#[test]
fn what_an_app_said_is_indented_below_its_line() {
    let bench = Bench::new();
    bench.write("srv/on-start", "printf 'one\\ntwo\\033[2J\\n' >&2; exit 3\n");
    bench.publish("1.0.0");
    bench.run(&["update", "ledger"]);
    for command in [&["status"][..], &["history"]] {
        let text = bench.run(command).ends(0).out;
        let two: Vec<&str> = text.lines().filter(|line| line.contains("two")).collect();
        assert!(!two.is_empty() && !text.contains('\u{1b}'), "{text}");
        assert!(two.iter().all(|line| line.starts_with("    ")), "{text}");
    }
    bench.run(&["pause", "ledger"]).ends(0);
    bench.run(&["once"]).ends(4);
    let json = bench.run(&["status", "--json"]).ends(0).out;
    assert!(json.contains("`groundcrew resume ledger` ends it"), "{json}");
}
