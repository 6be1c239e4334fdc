//! Starting: at most one copy, whoever asks and whoever dies.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use groundcrew_drivers::keeper::client::{self, RunState, StartedRun};
use groundcrew_drivers::keeper::spec::{KeepSpec, Limit, Limited, User};
use groundcrew_drivers::keeper::{Error, Outcome};

use crate::rig::{Rig, UNTIL_GO, client_process, exe, is_alive, kill, wait_for};

/// A client that has started the run.
fn started_client(rig: &Rig) -> Child {
    let mut client = client_process(rig, UNTIL_GO, &exe());
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    client
}

#[test]
fn an_exit_code_is_kept_after_the_client_is_gone() {
    let rig = Rig::new();
    let mut client = started_client(&rig);
    client.kill().unwrap();
    client.wait().unwrap();
    rig.touch("go");
    let exit = rig.exit();
    assert_eq!(exit.outcome, Outcome::Exited { code: 7 });
    assert_eq!(
        (exit.stop_requested, exit.clean, exit.killed, exit.strays),
        (false, false, false, 0)
    );
    assert_eq!(rig.log(), "bye\n");
}

#[test]
fn a_killed_client_leaves_the_app_running_and_the_next_one_adopts_it() {
    let rig = Rig::new();
    let mut client = started_client(&rig);
    client.kill().unwrap();
    client.wait().unwrap();
    let pid = rig.pid("starts");
    let found = client::start(&rig.run_dir(), &rig.spec(UNTIL_GO), &exe()).unwrap();
    let StartedRun::Adopted(run) = found else { panic!("not adopted: {found:?}") };
    assert_eq!(run.child.pid, pid);
    assert!(is_alive(pid));
    assert_eq!(rig.read("starts"), format!("{pid}\n"));
}

#[test]
fn a_second_start_of_one_attempt_never_makes_a_second_copy() {
    let rig = Rig::new();
    let (dir, spec) = (rig.run_dir(), rig.spec(UNTIL_GO));
    let found: Vec<StartedRun> = std::thread::scope(|scope| {
        let starters: Vec<_> =
            (0..8).map(|_| scope.spawn(|| client::start(&dir, &spec, &exe()).unwrap())).collect();
        // Looking takes the lock for a moment; that must not keep the keeper from it.
        let looker = scope.spawn(|| {
            wait_for("the run", || match client::observe(&dir).unwrap() {
                RunState::Running(_) => Some(()),
                _ => None,
            });
        });
        looker.join().unwrap();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    let spawned = found.iter().filter(|found| matches!(found, StartedRun::Spawned(_))).count();
    let adopted = found.iter().filter(|found| matches!(found, StartedRun::Adopted(_))).count();
    assert_eq!((spawned, adopted), (1, 7));
    rig.touch("go");
    let exit = rig.exit();
    for _ in 0..2 {
        let found = client::start(&dir, &spec, &exe()).unwrap();
        assert_eq!(found, StartedRun::Exited(exit.clone()), "it ran, and never runs again");
    }
    assert_eq!(rig.read("starts").lines().count(), 1);
}

#[test]
fn keepers_that_race_for_one_run_start_one_app() {
    let rig = Rig::new();
    let dir = rig.run_dir();
    fs::create_dir_all(&dir).unwrap();
    let spec = dir.join("spec.json");
    serde_json::to_writer(fs::File::create(&spec).unwrap(), &rig.spec(UNTIL_GO)).unwrap();
    let mut keepers: Vec<Child> = (0..4)
        .map(|_| {
            let mut keeper = Command::new(exe().program);
            keeper.arg("keep").arg(&spec).stdin(Stdio::null()).stdout(Stdio::null());
            keeper.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    rig.pid("starts");
    rig.touch("go");
    let codes: Vec<_> = keepers.iter_mut().map(|k| k.wait().unwrap().code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(rig.read("starts").lines().count(), 1);
    assert_eq!(rig.exit().outcome, Outcome::Exited { code: 7 });
}

#[test]
fn an_app_that_cannot_be_started_says_why_and_is_not_tried_again() {
    type Change = fn(&mut KeepSpec);
    let table: &[(&str, Change)] = &[
        ("cannot start /no/such/program: No such file", |spec| {
            spec.argv = vec!["/no/such/program".into()];
        }),
        ("cannot change to /no/such/dir: No such file", |spec| spec.cwd = "/no/such/dir".into()),
        ("cannot run the app as \"no-such-user\": there is no", |spec| {
            spec.user = Some(User { name: "no-such-user".into(), group: None, groups: Vec::new() });
        }),
        ("cannot set a resource limit: Invalid argument", |spec| {
            spec.limits = vec![Limit { resource: Limited::Nofile, soft: Some(9), hard: Some(8) }];
        }),
    ];
    for (expected, change) in table {
        let rig = Rig::new();
        let mut spec = rig.spec("exit 0");
        change(&mut spec);
        for _ in 0..2 {
            let found = client::start(&rig.run_dir(), &spec, &exe()).unwrap();
            let StartedRun::Exited(exit) = found else { panic!("{found:?}") };
            let Outcome::NotStarted { why, by_program } = &exit.outcome else { panic!("{exit:?}") };
            assert_eq!(*by_program, expected.contains("no/such/program"), "{why}");
            assert!(why.starts_with(expected), "{why}");
        }
    }
}

#[test]
fn a_spec_that_cannot_be_is_refused_before_anything_is_written() {
    let rig = Rig::new();
    let mut spec = rig.spec("exit 0");
    spec.txn = "../elsewhere".into();
    let error = client::start(&rig.run_dir(), &spec, &exe()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run's txn is \"../elsewhere\": it has to be a short file name"
    );
    assert!(!rig.run_dir().exists());
}

#[test]
fn a_directory_of_another_run_is_refused() {
    let rig = Rig::new();
    rig.spawn(UNTIL_GO);
    let mut other = rig.spec(UNTIL_GO);
    other.attempt = "start-1".into();
    let error = client::start(&rig.run_dir(), &other, &exe()).unwrap_err();
    assert!(matches!(error, Error::OtherRun { .. }), "{error}");
}

#[test]
fn the_environment_is_what_the_spec_says_and_nothing_else() {
    let rig = Rig::new();
    let mut spec = rig.spec("env; echo \"limit $(ulimit -n)\"; umask; pwd");
    spec.env.insert("ANSWER".into(), "a b=c".into());
    spec.limits = vec![Limit { resource: Limited::Nofile, soft: Some(77), hard: Some(88) }];
    client::start(&rig.run_dir(), &spec, &exe()).unwrap();
    rig.exit();
    let log = rig.log();
    let names: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        // The shell's own.
        .filter(|name| !matches!(*name, "_" | "OLDPWD" | "PWD" | "SHLVL"))
        .collect();
    let expected = [
        "ANSWER",
        "GROUNDCREW_APP",
        "GROUNDCREW_ATTEMPT",
        "GROUNDCREW_RUN",
        "GROUNDCREW_TXN",
        "PATH",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for line in
        ["ANSWER=a b=c", "GROUNDCREW_TXN=txn-1", "GROUNDCREW_ATTEMPT=start-0", "limit 77", "0022"]
    {
        assert!(log.lines().any(|found| found == line), "{line:?} is not in {log}");
    }
    let dir = fs::canonicalize(rig.path()).unwrap();
    assert!(log.lines().any(|line| line == dir.to_str().unwrap()), "{log}");
}

/// Needs root, to become somebody else.
#[test]
fn an_app_runs_as_the_user_and_groups_of_its_spec() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let rig = Rig::new();
    let mut spec = rig.spec("id -u; id -g; id -G; echo $HOME; echo $USER");
    spec.cwd = "/".into();
    spec.user = Some(User { name: "65534".into(), group: None, groups: vec!["44".into()] });
    client::start(&rig.run_dir(), &spec, &exe()).unwrap();
    assert_eq!(rig.exit().outcome, Outcome::Exited { code: 0 });
    let log = rig.log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "65534");
    assert_eq!(lines[2].split(' ').collect::<BTreeSet<_>>(), BTreeSet::from(["44", lines[1]]));
    assert_eq!(lines[4], "nobody");
}

#[test]
fn runs_are_listed_oldest_first_with_what_they_run() {
    let rig = Rig::new();
    assert_eq!(client::runs(&rig.app_dir()).unwrap(), []);
    let begun = [("start-1", "sha256:aa", 1_000), ("back-0", "sha256:bb", 2_000)];
    for (attempt, release, begun_ms) in begun {
        let mut spec = rig.spec("exit 0");
        (spec.attempt, spec.release) = (attempt.into(), release.into());
        let dir = rig.app_dir().join(attempt);
        client::start(&dir, &spec, &exe()).unwrap();
        // File times are coarse; two quick starts may have the same.
        let written = UNIX_EPOCH + Duration::from_millis(begun_ms);
        fs::File::open(dir.join("spec.json")).unwrap().set_modified(written).unwrap();
    }
    fs::create_dir_all(rig.app_dir().join("never-begun")).unwrap();
    let found = client::runs(&rig.app_dir()).unwrap();
    let names: Vec<_> =
        found.iter().map(|r| (r.attempt.as_str(), r.release.as_str(), r.begun_ms)).collect();
    assert_eq!(names, begun);
    assert!(found.iter().all(|run| run.txn == "txn-1"));
}

#[test]
fn a_killed_keeper_is_not_replaced() {
    let rig = Rig::new();
    let run = rig.spawn(UNTIL_GO);
    kill(run.keeper.pid);
    let dir = rig.run_dir();
    let found = wait_for("the keeper's end", || match client::observe(&dir).unwrap() {
        RunState::Vanished(vanished) => Some(vanished),
        _ => None,
    });
    let again = client::start(&dir, &rig.spec(UNTIL_GO), &exe()).unwrap();
    let StartedRun::Vanished(again) = again else { panic!("{again:?}") };
    assert_eq!(again.run, found.run);
    assert!(again.orphans.contains(&run.child), "{again:?}");
}
