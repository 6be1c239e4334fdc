//! An app's output, followed by a person: over restarts, with and without an agent.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;

/// The lines of a command that goes on.
fn lines(following: &mut Child) -> Receiver<String> {
    let out = following.stdout.take().unwrap();
    let (to, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Takes lines until one has this in it.
fn until(bench: &Bench, lines: &Receiver<String>, wanted: &str) {
    bench.until(wanted, || lines.try_iter().any(|line| line.contains(wanted)));
}

#[test]
fn logs_are_followed_over_a_restart_without_lock_or_agent_until_ctrl_c() {
    let mut bench = Bench::new();
    // A script beside the volume runs before each start, and says so.
    bench.write("srv/on-start", "echo \"begins as $1, on $$\"\n");
    let mut early = bench.spawn(&["logs", "-f", "ledger"]);
    let early_lines = lines(&mut early);
    bench.install("1.0.0");
    until(&bench, &early_lines, "begins as 1.0.0");
    let last = bench.run(&["logs", "ledger", "-n", "1000"]).ends(0).out;
    assert!(last.contains("begins as 1.0.0"), "{last}");

    bench.start_agent();
    let mut later = bench.spawn(&["logs", "--follow", "-n", "0", "ledger", "--json"]);
    let later_lines = lines(&mut later);
    bench.run(&["restart", "ledger"]).ends(0);
    until(&bench, &early_lines, "begins as 1.0.0");
    until(&bench, &later_lines, "{\"app\":\"ledger\",\"line\":\"begins as 1.0.0, on ");
    for (mut following, signal) in [(early, Signal::INT), (later, Signal::TERM)] {
        kill_process(Pid::from_child(&following), signal).unwrap();
        assert_eq!(following.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_what_follows() {
    let bench = Bench::new();
    let mut following = bench.spawn(&["logs", "-f", "ledger"]);
    drop(following.stdout.take());
    let ended = std::cell::RefCell::new(following);
    bench.until("it ends", || ended.borrow_mut().try_wait().unwrap().is_some());
    assert_eq!(ended.into_inner().wait().unwrap().code(), Some(0));
    let wrong = bench.run(&["logs", "leger"]).ends(2);
    assert!(wrong.err.contains("did you mean \"ledger\"?"), "{wrong:?}");
}
