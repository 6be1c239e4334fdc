//! A process that appends is killed, or the power is cut under it, at random moments: every append
//! that it acknowledged is there, and none by half.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::store::{Load, NOTICES_MAX, Store};
use groundcrew_engine::machine::Event;
use rustix::process::{Pid, Signal, kill_process};

/// More than the fifty that make a rare moment likely.
const KILLS: u32 = 60;

/// Power cuts; each one opens a copy.
const CUTS: u32 = 40;

/// How long a level is waited for before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that appends, and the acknowledgments that were read.
struct Appender {
    child: Child,
    said: Vec<u8>,
}

impl Appender {
    fn new(dir: &Path, app: &str) -> Appender {
        let mut command = Command::new(env!("CARGO_BIN_EXE_append-for-tests"));
        let child = command.arg(dir).arg(app).stdout(Stdio::piped()).spawn().unwrap();
        Appender { child, said: Vec::new() }
    }

    /// Reads until so many more appends are acknowledged.
    fn wait_for(&mut self, count: usize) {
        let out = self.child.stdout.as_mut().unwrap();
        let mut lines = 0;
        while lines < count {
            let mut byte = [0];
            out.read_exact(&mut byte).expect("the child appends until it is killed");
            lines += usize::from(byte == *b"\n");
            self.said.extend(byte);
        }
    }

    /// Kills it and reads the rest of what it had said; returns the last number acknowledged.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child.stdout.take().unwrap().read_to_end(&mut self.said).unwrap();
        self.last()
    }

    fn last(&self) -> u64 {
        let said = String::from_utf8(self.said.clone()).unwrap();
        said.lines().last().map_or(0, |line| line.parse().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// Lets some time pass that is shorter than any timer's.
    fn dawdle(&mut self) {
        for _ in 0..self.roll(1 << 19) {
            std::hint::spin_loop();
        }
    }
}

/// All that was acknowledged is there, at most one more, without a gap, and each with its notice.
fn check(dir: &Path, app: &str, acknowledged: u64) -> u64 {
    let opened = Store::open(dir).unwrap();
    assert_eq!(opened.set_aside, None);
    let store = opened.store;
    assert_eq!(store.observe_only().unwrap(), None);
    let name = app.into();
    let mut numbers: Vec<u64> = Vec::new();
    for recorded in store.events(&name, u32::MAX).unwrap() {
        let Some(Event::Pinned { to }) = recorded.entry.map(|entry| entry.event) else {
            panic!("event {} is no pin", recorded.seq);
        };
        numbers.push(to.split(' ').next().unwrap().parse().unwrap());
    }
    numbers.reverse();
    let last = numbers.last().copied().unwrap_or(0);
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "no gap, nothing twice");
    assert!(last == acknowledged || last == acknowledged + 1, "{last} of {acknowledged}");
    let pin = match store.load(&name).unwrap() {
        Load::Fresh => 0,
        Load::App(app) => app.pin.unwrap().split(' ').next().unwrap().parse().unwrap(),
        refused @ Load::Refused { .. } => panic!("{refused:?}"),
    };
    assert_eq!(pin, last, "the checkpoint belongs to the last event");
    let mine = |key: &str| key.starts_with(&format!("{app} "));
    let due = store.due(i64::MAX, u32::MAX).unwrap();
    let told = due.iter().filter(|queued| mine(&queued.notice.key)).count() as u64;
    let dropped = store.dropped(u32::MAX).unwrap();
    let dropped = dropped.iter().filter(|dropped| mine(&dropped.key)).count() as u64;
    if last <= NOTICES_MAX as u64 {
        assert_eq!(told + dropped, last, "every event has its notice");
    }
    last
}

#[test]
fn an_agent_killed_at_any_moment_keeps_every_acknowledged_append() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut last = 0;
    for _ in 0..KILLS {
        let mut appender = Appender::new(dir.path(), "tiles");
        // Now and then before it has said anything at all.
        appender.wait_for(usize::try_from(dice.roll(6)).unwrap());
        dice.dawdle();
        let acknowledged = appender.kill().max(last);
        last = check(dir.path(), "tiles", acknowledged);
    }
    assert!(last > u64::from(KILLS), "only {last} appends");
}

/// What is in the files at one moment is what a power cut may leave, or more; what was not synced may
/// also have become anything.
#[test]
fn a_copy_of_the_files_at_any_moment_has_every_acknowledged_append() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut appender = Appender::new(dir.path(), "tiles");
    for cut in 0..CUTS {
        appender.wait_for(1 + usize::try_from(dice.roll(5)).unwrap());
        dice.dawdle();
        kill_process(appender.pid(), Signal::STOP).unwrap();
        wait_until_stopped(appender.child.id());
        let copy = tempfile::tempdir().unwrap();
        for name in ["journal.db", "journal.db-wal"] {
            std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        if cut % 2 == 0 {
            let log = copy.path().join("journal.db-wal");
            let mut log = std::fs::OpenOptions::new().append(true).open(log).unwrap();
            std::io::Write::write_all(&mut log, &[0xa5; 10_000]).unwrap();
        }
        drain(&mut appender);
        check(copy.path(), "tiles", appender.last());
        kill_process(appender.pid(), Signal::CONT).unwrap();
    }
    let acknowledged = appender.kill();
    check(dir.path(), "tiles", acknowledged);
}

fn wait_until_stopped(pid: u32) {
    let begun = Instant::now();
    let path = format!("/proc/{pid}/stat");
    while !std::fs::read_to_string(&path).unwrap().contains(") T ") {
        assert!(begun.elapsed() < PATIENCE, "the child does not stop");
        std::thread::yield_now();
    }
}

/// Reads what the stopped child has said already.
fn drain(appender: &mut Appender) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = appender.child.stdout.as_mut().unwrap();
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&*out, PollFlags::IN)], Some(&now)).unwrap() == 1 {
        let mut chunk = [0; 512];
        let count = out.read(&mut chunk).unwrap();
        appender.said.extend(&chunk[..count]);
    }
}

#[test]
fn two_processes_that_start_at_once_share_a_fresh_store() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut appenders = ["tiles", "forge"].map(|app| Appender::new(dir.path(), app));
        appenders.iter_mut().for_each(|appender| appender.wait_for(10));
        let [tiles, forge] = appenders.map(Appender::kill);
        check(dir.path(), "tiles", tiles);
        check(dir.path(), "forge", forge);
    }
}
