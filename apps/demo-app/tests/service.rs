//! The service as a real process on a real socket: what users and groundcrew see of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a loaded machine; reached only when a test fails.
const DEADLINE: Duration = Duration::from_secs(60);

fn ledger(words: &str, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledger"));
    command.args(words.split_whitespace()).arg("--data").arg(data);
    command
}

/// A serving ledger that dies with the test.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    fn start(release: &str, data: &Path) -> Self {
        Self::start_with(release, data, None)
    }

    fn start_with(release: &str, data: &Path, fault_after_ms: Option<u32>) -> Self {
        let mut command = ledger(&format!("--release {release} --port 0"), data);
        if let Some(ms) = fault_after_ms {
            command.env(groundcrew_demo_app::FAULT_AFTER_ENV, ms.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it was piped");
        BufReader::new(out).read_line(&mut line).expect("it says something");
        let address = line.trim_end().strip_prefix("listening on ").expect("it says its port");
        let address = address.parse().expect("it is an address");
        Self { child, address }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        ask(self.address, method, path, body)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "").expect("it answers")
    }

    fn post(&self, row: &str) -> u16 {
        self.ask("POST", "/rows", row).expect("it answers").0
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it can be signaled");
    }

    fn ended(&mut self) -> ExitStatus {
        until("the service has ended", || self.child.try_wait().expect("it is our child"))
    }
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let answer = answer(address, method, path, body)?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn answer(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: ledger\r\nConnection: close\r\n");
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} until {what}");
        thread::yield_now();
    }
}

fn outcome(words: &str, data: &Path) -> Output {
    ledger(words, data).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_answer_says_which_version_gave_it() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start("1.1.1 --as 1.7.3", data.path());
    assert_eq!(served.get("/version"), (200, "1.7.3".into()));
    let taken = answer(served.address, "POST", "/rows", "7").unwrap();
    assert!(taken.contains("\r\nserver: 1.7.3\r\n"), "{taken}");
}

#[test]
fn rows_are_kept_in_order_and_health_and_version_answer() {
    let data = tempfile::tempdir().unwrap();
    let mut served = Served::start("1.0.0", data.path());
    assert_eq!(served.ask("POST", "/rows", "7\n").unwrap(), (200, "7\n".into()));
    assert_eq!(served.post("3"), 200);
    assert_eq!(served.get("/rows"), (200, "7\n3\n".into()));
    let healthy = r#"{"status":"ok","version":"1.0.0"}"#;
    assert_eq!(served.get("/health"), (200, healthy.into()));
    assert_eq!(served.get("/version"), (200, "1.0.0".into()));
    for (body, status) in [("", 400), ("-1", 400), ("7 8", 400), ("18446744073709551616", 400)] {
        assert_eq!(served.post(body), status, "{body:?}");
    }
    assert_eq!(served.post(&"1".repeat(33)), 413);
    assert_eq!(served.get("/rows").1, "7\n3\n");
    served.signal(Signal::TERM);
    assert_eq!(served.ended().code(), Some(0));
}

#[test]
fn kill_during_appends_loses_no_acknowledged_row() {
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0_u64..6 {
        let mut served = Served::start("1.0.0", data.path());
        let address = served.address;
        let (acks, heard) = mpsc::channel();
        let writer = thread::spawn(move || {
            for row in round * 1_000_000.. {
                match ask(address, "POST", "/rows", &row.to_string()) {
                    Some((200, _)) => acks.send(row).expect("the test listens"),
                    _ => return,
                }
            }
        });
        for _ in 0..=round * 17 {
            acknowledged.push(heard.recv_timeout(DEADLINE).expect("rows are acknowledged"));
        }
        served.signal(Signal::KILL);
        assert_eq!(served.ended().signal(), Some(9));
        writer.join().unwrap();
        acknowledged.extend(heard.iter());
    }
    let served = Served::start("1.0.0", data.path());
    let rows: Vec<u64> = served.get("/rows").1.lines().map(|row| row.parse().unwrap()).collect();
    let mut kept = rows.iter();
    for row in acknowledged {
        assert!(kept.any(|kept| *kept == row), "row {row} was acknowledged and is lost");
    }
}

#[test]
fn a_term_during_appends_answers_the_request_at_hand() {
    let data = tempfile::tempdir().unwrap();
    let mut served = Served::start("1.1.0", data.path());
    let mut open = TcpStream::connect(served.address).unwrap();
    open.write_all(b"POST /rows HTTP/1.1\r\nHost: ledger\r\nContent-Length: 2\r\n\r\n4").unwrap();
    until("the request is at hand", || (served.get("/version").0 == 200).then_some(()));
    served.signal(Signal::TERM);
    until("the port is closed", || TcpStream::connect(served.address).is_err().then_some(()));
    open.write_all(b"2").unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert_eq!(served.ended().code(), Some(0));
    assert_eq!(Served::start("1.1.0", data.path()).get("/rows").1, "42\n");
}

#[test]
fn a_release_serves_only_its_own_format() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Served::start("1.0.0", data.path()).post("1"), 200);
    let unmigrated = outcome("--release 1.1.0 --port 0", data.path());
    assert_eq!(unmigrated.status.code(), Some(1));
    assert!(said(&unmigrated).contains("is in format 1, release 1.1.0 serves format 2 only"));
    assert!(!outcome("check --release 1.1.0", data.path()).status.success());
    assert!(outcome("migrate --release 1.1.0", data.path()).status.success());
    for words in ["--release 1.0.0 --port 0", "migrate --release 1.0.0", "check --release 1.0.0"] {
        let refused = outcome(words, data.path());
        assert_eq!(refused.status.code(), Some(1), "{words}");
        assert!(said(&refused).contains("is in format 2, release 1.0.0 reads nothing above"));
    }
    assert_eq!(outcome("--release 1.1.0", data.path()).status.code(), Some(2));
}

#[test]
fn migrating_keeps_every_row_and_twice_is_once() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start("1.0.0", data.path());
    for row in 1..=7 {
        assert_eq!(served.post(&row.to_string()), 200);
    }
    drop(served);
    for release in ["1.1.0", "1.1.0", "1.1.1", "2.0.0", "2.0.0"] {
        let migrated = outcome(&format!("migrate --release {release}"), data.path());
        assert!(migrated.status.success(), "{release}: {}", said(&migrated));
        assert!(String::from_utf8_lossy(&migrated.stdout).contains("7 rows"), "{release}");
        let served = Served::start(release, data.path());
        assert_eq!(served.get("/rows").1, "1\n2\n3\n4\n5\n6\n7\n", "{release}");
        assert_eq!(served.get("/health").0, 200, "{release}");
    }
}

#[test]
fn release_1_2_0_loses_every_third_row_and_its_health_says_failing() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start("1.1.0", data.path());
    for row in 1..=6 {
        assert_eq!(served.post(&row.to_string()), 200);
    }
    drop(served);
    assert!(outcome("migrate --release 1.2.0", data.path()).status.success());
    assert!(said(&outcome("check --release 1.2.0", data.path())).contains("row 3 is missing"));
    let served = Served::start("1.2.0", data.path());
    assert_eq!(served.get("/rows").1, "1\n2\n4\n5\n");
    let failing = r#"{"status":"failing","version":"1.2.0","detail":"row 3 is missing"}"#;
    assert_eq!(served.get("/health"), (503, failing.into()));
    assert_eq!(served.post("7"), 200);
}

#[test]
fn release_1_1_2_crashes_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let mut served = Served::start_with("1.1.2", data.path(), Some(50));
    let code = served.ended().code();
    assert_eq!(code, Some(i32::from(groundcrew_demo_app::CRASH_EXIT_CODE)));
}

#[test]
fn release_1_1_3_is_healthy_at_first_and_sours() {
    let data = tempfile::tempdir().unwrap();
    let served = Served::start("1.1.3", data.path());
    assert_eq!(served.get("/health").0, 200);
    drop(served);
    let served = Served::start_with("1.1.3", data.path(), Some(50));
    until("health fails", || (served.get("/health").0 == 503).then_some(()));
    assert_eq!(served.post("1"), 200);
}

#[test]
fn release_1_1_4_outlives_a_term() {
    let data = tempfile::tempdir().unwrap();
    let mut served = Served::start("1.1.4", data.path());
    served.signal(Signal::TERM);
    for _ in 0..20 {
        assert_eq!(served.get("/health").0, 200);
    }
    assert!(served.child.try_wait().unwrap().is_none());
    served.signal(Signal::KILL);
    assert_eq!(served.ended().signal(), Some(9));
}

#[test]
fn release_1_1_5_waits_for_ever_and_never_opens_its_port() {
    let data = tempfile::tempdir().unwrap();
    let mut command = ledger("--release 1.1.5 --port 0", data.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("waiting"), "{line}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
}

#[test]
fn a_second_ledger_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let _first = Served::start("1.0.0", data.path());
    let second = outcome("--release 1.0.0 --port 0", data.path());
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("in use by another ledger"));
}
