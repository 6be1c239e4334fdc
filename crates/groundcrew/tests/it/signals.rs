//! Ctrl-C and SIGTERM: the first asks, the second ends at once; what was begun is finished later.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;

/// A host with 1.0.0, whose next update waits in a hook, with users kept out, while a file is there.
fn held() -> Bench {
    let bench = Bench::new();
    bench.install("1.0.0");
    let (hold, stopping) = (bench.path("hold"), bench.path("stopping"));
    let hook = format!(
        "traffic = {{ close = [\"sh\", \"-c\", \"touch {}; while [ -e {} ]; do sleep 0.05; done\"], open = [\"true\"] }}",
        stopping.display(),
        hold.display()
    );
    bench.configure(&hook);
    bench.run(&["config", "apply", "ledger", "--wait", "proven"]).ends(0);
    std::fs::remove_file(&stopping).ok();
    bench.write("hold", "");
    bench.publish("1.1.0");
    bench
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn let_go(bench: &Bench) {
    std::fs::remove_file(bench.path("hold")).unwrap();
}

#[test]
fn a_second_signal_ends_an_agent_at_once_and_the_next_one_goes_on() {
    let mut bench = held();
    bench.start_agent();
    bench.until("it is being stopped", || bench.path("stopping").exists());
    let agent = Pid::from_raw(i32::try_from(bench.agent_pid()).unwrap()).unwrap();
    kill_process(agent, Signal::TERM).unwrap();
    let log = || std::fs::read_to_string(bench.path("agent.log")).unwrap();
    bench.until("it took the first", || log().contains("agent is asked to end"));
    let ended = bench.end_agent(Signal::TERM);
    assert_eq!(ended.code(), Some(1), "the second ends it, whatever it was doing");
    assert!(!bench.run(&["status"]).ends(0).out.contains("idle"));
    let_go(&bench);
    bench.start_agent();
    bench.until("it serves", || bench.version().as_deref() == Some("1.1.0"));
}

#[test]
fn ctrl_c_without_an_agent_brings_the_app_up_first_and_a_second_one_does_not_wait() {
    let bench = held();
    let first = bench.spawn(&["update", "ledger"]);
    bench.until("it is being stopped", || bench.path("stopping").exists());
    signal(&first, Signal::INT);
    let said = "ending as soon as the app is up";
    // The hook still waits, so the command does.
    let lines = std::cell::RefCell::new(first);
    bench.until("it goes on", || lines.borrow_mut().try_wait().unwrap().is_none());
    let_go(&bench);
    let output = lines.into_inner().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(said), "{output:?}");
    assert!(bench.version().is_some(), "it is up before the command ends");
    // Proven, or brought back by a machine that is too busy to serve in time: it is over.
    bench.until("the next pass finishes it", || {
        bench.run(&["once", "--wait", "proven"]);
        ["idle", "held"].contains(&bench.view()["state"].as_str().unwrap())
    });

    std::fs::remove_file(bench.path("stopping")).unwrap();
    bench.write("hold", "");
    bench.publish("1.1.1");
    let mut second = bench.spawn(&["update", "ledger"]);
    bench.until("it is being stopped", || bench.path("stopping").exists());
    signal(&second, Signal::INT);
    let mut out = second.stdout.take().unwrap();
    let mut line = [0; 16];
    // It has said that it ends, so it has taken the first one.
    std::io::Read::read_exact(&mut out, &mut line).unwrap();
    signal(&second, Signal::INT);
    assert_eq!(second.wait().unwrap().code(), Some(1));
    let_go(&bench);
    bench.run(&["once"]);
    bench.until("the next pass brings it up", || bench.version().is_some());
}
