//! What the agent does for an app at rest: restarts it when it is not well (RUN-7), tells people when
//! nothing is updated (UPD-19).

use std::fs;

use serde_json::Value;

use crate::bench::Bench;

/// A host whose notices are appended to a file.
fn telling(bench: &Bench, extra: &str) {
    let file = bench.path("notices");
    let tables = format!(
        "[notify.file]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n",
        file.display()
    );
    bench.configure_with(extra, &tables);
}

fn told(bench: &Bench, part: &str) -> bool {
    fs::read_to_string(bench.path("notices")).unwrap_or_default().contains(part)
}

/// The app answers 503 while this file is there; a marker of the demo app's own fault is not
/// needed, because its data file is made unreadable for it instead.
fn make_ill(bench: &Bench) -> u32 {
    let pid = bench.app_process().as_raw_nonzero().get();
    // Stopped, it answers nobody; a restart is what helps.
    rustix::process::kill_process(bench.app_process(), rustix::process::Signal::STOP).unwrap();
    u32::try_from(pid).unwrap()
}

#[test]
fn run_7_an_app_that_is_not_well_is_restarted_but_not_while_busy() {
    let mut bench = Bench::new();
    telling(&bench, "");
    bench.install("1.0.0");
    bench.start_agent();
    bench.write("in-flight", "flight 7");
    let pid = make_ill(&bench);
    bench.until("it is seen", || bench.view()["unwell"].is_string());
    let text = bench.run(&["status", "ledger"]).ends(0).out;
    assert!(text.contains("not well: "), "{text}");
    assert!(fs::exists(format!("/proc/{pid}")).unwrap(), "nothing that runs is stopped while busy");
    bench.write("in-flight", "");
    bench.until("it serves again", || bench.version().is_some());
    assert_ne!(bench.app_process().as_raw_nonzero().get().unsigned_abs(), pid);
    bench.until("people are told why", || told(&bench, "was not well and was restarted"));
    assert!(told(&bench, "probe rounds failed in a row"));
    bench.until("it is well", || bench.view()["unwell"] == Value::Null);
}

#[test]
fn upd_19_a_source_that_stays_silent_is_told_of_and_shown() {
    let mut bench = Bench::new();
    telling(&bench, "stale = { source = \"0s\", waiting = \"0s\" }");
    bench.install("1.0.0");
    fs::remove_dir_all(bench.path("releases")).unwrap();
    bench.start_agent();
    bench.until("it is told", || told(&bench, "its source has not answered since"));
    let text = bench.run(&["status", "ledger"]).ends(0).out;
    assert!(text.contains("in vain (it answered last "), "{text}");
    let times = || fs::read_to_string(bench.path("notices")).unwrap().matches("/silent/").count();
    assert_eq!(times(), 1, "once");
}

#[test]
fn upd_23_secrets_are_made_once_and_survive_updates_and_ways_back() {
    let bench = Bench::new();
    let program = crate::bench::BINARY;
    let port = bench.port();
    let env = format!(
        "env = {{ LEDGER = \"{program}\", PORT = \"{port}\", DB_FILE = \"{{secret.db}}\" }}"
    );
    bench.configure("");
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with("runtime")).unwrap().to_owned();
    let with = format!("runtime = {{ kind = \"process\", secrets = [\"db\"], {env} }}");
    bench.write("groundcrew.toml", &text.replace(&line, &with));
    bench.install("1.0.0");
    let path = bench.path("state/secrets/ledger/db");
    let secret = fs::read_to_string(&path).unwrap();
    let environ = format!("/proc/{}/environ", bench.app_process().as_raw_nonzero());
    let environ = String::from_utf8_lossy(&fs::read(environ).unwrap()).into_owned();
    assert!(environ.contains(&format!("DB_FILE={}", path.display())), "{environ}");
    assert!(!environ.contains(&secret), "the path, never the value");
    for row in 1..=7 {
        assert!(bench.post(row));
    }
    bench.publish("1.2.0");
    bench.run(&["update", "ledger"]).ends(7);
    bench.run(&["restart", "ledger"]).ends(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    bench.write("groundcrew.toml", &text.replace(&line, &with.replace("[\"db\"]", "[]")));
    let ran = bench.run(&["config", "check"]).ends(2);
    assert!(ran.err.contains("there is no secret \"db\" for DB_FILE"), "{ran:?}");
}
