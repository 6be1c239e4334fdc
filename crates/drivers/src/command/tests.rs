//! Commands that hang, flood, leave children behind or cannot be run.

use super::*;

fn sh(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

fn run_with(argv: &[String], input: &[u8], timeout: Duration) -> Result<Report, Error> {
    let env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    run(&Order { argv, cwd: Path::new("/"), env: &env, input, user: None, timeout })
}

fn check(script: &str, end: End, output: &str) {
    let report = run_with(&sh(script), b"", Duration::from_secs(20)).unwrap();
    assert_eq!((report.end, report.output.as_str()), (end, output), "{script}");
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}

/// A killed process may take a moment; one that is not killed here lives for a quarter of an hour.
fn wait_for_end(pid: &str) {
    assert!(pid.trim().parse::<u32>().is_ok(), "{pid:?}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "{pid} is alive");
        std::thread::yield_now();
    }
}

#[test]
fn the_end_and_both_streams_are_reported() {
    check("echo out; echo err >&2", End::Code(0), "out\nerr\n");
    check("exit 75", End::Code(75), "");
    check("kill -TERM $$", End::Signal(15), "");
    check("exec >&- 2>&-; sleep 0.05; exit 3", End::Code(3), "");
}

#[test]
fn nothing_is_inherited() {
    let report = run_with(&sh("env | cut -d= -f1 | sort"), b"", Duration::from_secs(20)).unwrap();
    assert_eq!(report.output, "PATH\nPWD\n");
}

#[test]
fn input_that_nobody_reads_does_not_block() {
    let large = vec![b'x'; 1 << 20];
    let report = run_with(&sh("exit 0"), &large, Duration::from_secs(20)).unwrap();
    assert_eq!(report.end, End::Code(0));
    let report = run_with(&sh("wc -c"), &large, Duration::from_secs(20)).unwrap();
    assert_eq!(report.output.trim(), "1048576");
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let script = "sh -c 'echo $$; exec sleep 1000' & trap '' TERM; wait; sleep 1000";
    let report = run_with(&sh(script), b"", Duration::from_millis(1_000)).unwrap();
    assert_eq!(report.end, End::TimedOut);
    assert!(report.took < Duration::from_secs(20), "{:?}", report.took);
    wait_for_end(&report.output);
    assert!(report.failure().unwrap().starts_with("not done after"), "{report:?}");
}

#[test]
fn a_child_that_outlives_the_command_is_killed() {
    let script = "sh -c 'echo $$; exec sleep 1000' & read -r line < /dev/null; sleep 0.1; exit 4";
    let report = run_with(&sh(script), b"", Duration::from_secs(20)).unwrap();
    assert_eq!(report.end, End::Code(4));
    wait_for_end(&report.output);
}

#[test]
fn a_flood_is_cut_to_its_end() {
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done";
    let report = run_with(&sh(script), b"", Duration::from_secs(60)).unwrap();
    assert_eq!(report.output.len(), OUTPUT_MAX_BYTES);
    assert!(report.output.ends_with("line 20000\n"));
}

#[test]
fn a_command_that_cannot_be_started_is_an_error() {
    for argv in [vec![], vec![String::new()]] {
        assert!(matches!(run_with(&argv, b"", Duration::from_secs(1)), Err(Error::Empty)));
    }
    let error = run_with(&["/no/such".to_owned()], b"", Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/such");
}

/// Needs root, to become somebody else.
#[test]
fn a_command_runs_as_its_user_without_our_groups() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let (argv, user) = (sh("id -u; id -g; id -G"), Some((65534, 65533)));
    let timeout = Duration::from_secs(20);
    let order = Order { argv: &argv, cwd: Path::new("/"), env: &env, input: b"", user, timeout };
    assert_eq!(run(&order).unwrap().output, "65534\n65533\n65533\n");
}
