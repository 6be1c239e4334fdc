//! Groundcrew records itself: what the journal holds is what a flight holds, whoever is killed.
//!
//! The test plays the recorder, with the library that the role is made of.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::PathBuf;

use groundcrew_engine::machine::{App, Entry};
use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::{
    Ending, GateDecision, ProbeResult, SnapshotEvent, SourceAttached, SourceEnded, UpdateEvent,
    WatchVerdict,
};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recorder::{Options, Recorder};
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, RECORDER, Writer};
use groundcrew_rig::journal::Journal;
use rustix::process::Signal;

use crate::bench::Bench;

/// As the role makes it.
const AGENT: Options = Options { bytes: 1 << 20, critical: true };

/// How often the agent is killed during one watch.
const KILLS: usize = 4;

/// The recorder, and the flights that it made.
struct Box {
    dir: tempfile::TempDir,
    rings: PathBuf,
    flights: u8,
    recorder: Option<Recorder>,
}

/// All that the flights hold of the agent's.
#[derive(Debug, Default)]
struct Heard {
    updates: Vec<UpdateEvent>,
    gates: Vec<GateDecision>,
    probes: Vec<ProbeResult>,
    watches: Vec<WatchVerdict>,
    snapshots: Vec<SnapshotEvent>,
    attached: Vec<u32>,
    endings: Vec<Ending>,
}

impl Box {
    fn start(bench: &Bench) -> Self {
        let rings = bench.path("state/run/rings");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&rings).unwrap();
        let mut this =
            Self { dir: tempfile::tempdir().unwrap(), rings, flights: 0, recorder: None };
        this.go_on();
        this
    }

    fn flight(&self, number: u8) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    /// The next flight.
    fn go_on(&mut self) {
        self.flights += 1;
        let flight = self.flight(self.flights);
        fs::create_dir(&flight).unwrap();
        let id = FlightId::new(u64::from(self.flights), [7; 10]);
        let writer = Writer::new(Disk::new(flight), id, [0; 16], Policy::default());
        let recorder = Recorder::start(writer, Some(&self.rings)).unwrap();
        recorder.shared("agent", AGENT).unwrap();
        self.recorder = Some(recorder);
    }

    fn stop(&mut self) {
        let stopped = self.recorder.take().unwrap().stop("test").unwrap();
        assert!(stopped.drained && stopped.durable, "{stopped:?}");
    }

    fn heard(&self) -> Heard {
        let mut heard = Heard::default();
        for number in 1..=self.flights {
            heard.read(&self.flight(number));
        }
        heard
    }
}

impl Heard {
    fn read(&mut self, flight: &std::path::Path) {
        let flight = Flight::open(Disk::new(flight)).unwrap();
        let report = verify(&flight, |_| {});
        assert!(report.clean(), "{report:?}");
        flight.read(&Wanted::default(), |record| {
            let kind = record.head.kind;
            match kind {
                _ if kind == UpdateEvent::SCHEMA.kind => {
                    self.updates.push(UpdateEvent::decode(record.body));
                }
                _ if kind == GateDecision::SCHEMA.kind => {
                    self.gates.push(GateDecision::decode(record.body));
                }
                _ if kind == ProbeResult::SCHEMA.kind => {
                    self.probes.push(ProbeResult::decode(record.body));
                }
                _ if kind == WatchVerdict::SCHEMA.kind => {
                    self.watches.push(WatchVerdict::decode(record.body));
                }
                _ if kind == SnapshotEvent::SCHEMA.kind => {
                    self.snapshots.push(SnapshotEvent::decode(record.body));
                }
                _ if kind == SourceAttached::SCHEMA.kind => {
                    let attached = SourceAttached::decode(record.body);
                    assert!(attached.critical && attached.name == "agent", "{attached:?}");
                    // Said again at the beginning of each segment.
                    if self.attached.last() != Some(&attached.pid) {
                        self.attached.push(attached.pid);
                    }
                }
                _ if kind == SourceEnded::SCHEMA.kind => {
                    self.endings.push(SourceEnded::decode(record.body).how);
                }
                _ => assert_eq!(record.head.source, RECORDER, "type {kind:#06x}"),
            }
            ControlFlow::Continue(())
        });
    }

    /// `txn event state` of every event of an update.
    fn story(&self) -> Vec<String> {
        let line = |event: &UpdateEvent| {
            assert_eq!(event.app, "ledger");
            assert!(event.detail.starts_with('{'), "{event:?}");
            format!("{} {} {}", event.txn, event.event, event.state)
        };
        self.updates.iter().map(line).collect()
    }

    fn snapshots(&self, what: &str) -> Vec<&str> {
        let named = self.snapshots.iter().filter(|event| event.event == what);
        named.map(|event| event.snapshot.as_str()).collect()
    }
}

/// The same of the journal.
fn journal(bench: &Bench) -> Vec<String> {
    let journal = Journal::open(&bench.path("state")).unwrap().unwrap();
    let mut app = App::default();
    let mut story = Vec::new();
    for line in journal.after(0).unwrap() {
        let entry: Entry = serde_json::from_str(&line.body).unwrap();
        app = app.apply(&entry).unwrap();
        let (txn, event) = (line.txn.unwrap_or_default(), entry.event.name());
        story.push(format!("{txn} {event} {}", app.state.name()));
    }
    story
}

fn proven(bench: &Bench, version: &str) {
    bench.until(version, || bench.view()["last_good"]["version"] == version);
}

/// REC-2 of groundcrew's own types: a good update, one that is rolled back, and one that is held.
#[test]
fn what_the_agent_journals_is_what_the_flight_holds() {
    let mut bench = Bench::new();
    let mut recorder = Box::start(&bench);
    bench.start_agent();
    let pid = bench.agent_pid();
    bench.publish("1.1.0");
    proven(&bench, "1.1.0");
    assert!((1..=40).all(|row| bench.post(row)));
    let names = open_files_and_maps(bench.app_process());
    assert!(!names.contains("agent.ring"), "an app has the ring: {names}");
    assert!(
        open_files_and_maps(rustix::process::Pid::from_raw(pid.cast_signed()).unwrap())
            .contains("agent.ring")
    );
    bench.publish("1.2.0");
    bench.until("1.2.0 is rolled back", || bench.view()["known_bad"][0]["version"] == "1.2.0");
    bench.until("1.1.0 runs again", || bench.view()["state"] == "held");
    bench.publish("2.0.0");
    bench.until("2.0.0 is held", || {
        bench.view()["candidate"]["version"] == "2.0.0" && bench.view()["state"] == "held"
    });
    assert!(bench.end_agent(Signal::TERM).success());
    recorder.stop();

    let heard = recorder.heard();
    assert_eq!(heard.story(), journal(&bench));
    assert_eq!(
        (heard.attached.as_slice(), heard.endings.as_slice()),
        ([pid].as_slice(), [Ending::Detached].as_slice())
    );
    let history = bench.run(&["history", "ledger", "--json"]).ends(0).json();
    for past in history["updates"].as_array().unwrap() {
        let closed = format!("{} closed idle", past["txn"].as_str().unwrap());
        assert_eq!(heard.story().iter().filter(|line| **line == closed).count(), 1, "{closed}");
    }
    let held = heard.gates.iter().find(|gate| gate.candidate == "2.0.0" && gate.answer == "ask");
    let held = held.unwrap();
    assert_eq!((held.app.as_str(), held.gate.as_str()), ("ledger", "version"), "{held:?}");
    assert!(!held.reason.is_empty());
    let bad = |gate: &&GateDecision| gate.candidate == "1.2.0" && gate.gate == "known-bad";
    let bad: Vec<&str> = heard.gates.iter().filter(bad).map(|gate| gate.answer.as_str()).collect();
    assert_eq!(bad, ["pass", "hold"], "news only");
    let ill = heard.probes.iter().filter(|probe| !probe.passed).count();
    assert!(ill > 0 && heard.probes.len() > ill, "{ill} of {}", heard.probes.len());
    let [end] = heard.watches.as_slice() else { panic!("{:?}", heard.watches) };
    let end = (end.release.as_str(), end.verdict.as_str(), end.rule.as_str());
    assert_eq!(end, ("1.1.0", "HEALTHY", "window"));
    let taken = heard.snapshots("taken");
    assert_eq!((taken.len(), heard.snapshots("restored")), (2, vec![taken[1]]));
}

/// What a process has open and has in its memory.
fn open_files_and_maps(pid: rustix::process::Pid) -> String {
    let of = format!("/proc/{}", pid.as_raw_nonzero());
    let links = fs::read_dir(format!("{of}/fd")).unwrap().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let names: Vec<String> = links.map(|path| path.display().to_string()).collect();
    names.join("\n") + &fs::read_to_string(format!("{of}/maps")).unwrap()
}

/// What is published while there is no recorder waits for the next one; a ring that is made anew is
/// used from the next event on.
#[test]
fn a_recorder_that_comes_and_goes_misses_nothing() {
    let mut bench = Bench::new();
    let mut recorder = Box::start(&bench);
    bench.start_agent();
    bench.publish("1.0.0");
    bench.until("it is watched", || bench.view()["state"] == "watching");
    recorder.stop();
    proven(&bench, "1.0.0");
    let events = journal(&bench).len();
    bench.run(&["pause", "ledger"]).ends(0);
    recorder.go_on();
    bench.run(&["resume", "ledger"]).ends(0);
    assert!(journal(&bench).len() >= events + 2);
    recorder.stop();
    assert_eq!(recorder.heard().story(), journal(&bench));

    fs::remove_file(recorder.rings.join("agent.ring")).unwrap();
    recorder.go_on();
    let before = journal(&bench).len();
    bench.run(&["pause", "ledger"]).ends(0);
    bench.run(&["resume", "ledger"]).ends(0);
    assert!(bench.end_agent(Signal::TERM).success());
    recorder.stop();
    let story = recorder.heard().story();
    assert_eq!(story, journal(&bench));
    assert!(story.len() >= before + 2);
}

/// The role itself, killed twice: what it had not written it finds in the ring again, so a record may
/// come twice, and carries the same number then.
#[test]
fn rec_16_a_recorder_that_is_killed_misses_nothing_in_the_standing_recording() {
    let mut bench = Bench::new();
    let mut recorder = bench.spawn(&["recorder"]);
    bench.until("there is a ring", || bench.path("state/run/rings/agent.ring").exists());
    bench.start_agent();
    bench.publish("1.0.0");
    for _ in 0..2 {
        let before = journal(&bench).len();
        bench.until("the update goes on", || journal(&bench).len() > before + 5);
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        let before = journal(&bench).len();
        bench.until("it goes on alone", || journal(&bench).len() > before + 5);
        recorder = bench.spawn(&["recorder"]);
    }
    proven(&bench, "1.0.0");
    assert!(bench.end_agent(Signal::TERM).success());
    rustix::process::kill_process(rustix::process::Pid::from_child(&recorder), Signal::TERM)
        .unwrap();
    assert!(recorder.wait().unwrap().success());
    assert_eq!(standing(&bench), journal(&bench));
}

/// The story as the standing recording has it, each number once.
fn standing(bench: &Bench) -> Vec<String> {
    let segments = bench.path("state/recordings/standing/segments");
    let flight = Flight::open(Disk::new(segments)).unwrap();
    let mut by_number = BTreeMap::new();
    flight.read(&Wanted::default(), |record| {
        if record.head.kind == UpdateEvent::SCHEMA.kind {
            let event = UpdateEvent::decode(record.body);
            let before = by_number.insert(record.head.source_seq, event.clone());
            assert!(
                before.is_none_or(|before| before == event),
                "{event:?} has a number of others"
            );
        }
        ControlFlow::Continue(())
    });
    Heard { updates: by_number.into_values().collect(), ..Heard::default() }.story()
}

/// Whoever may record could else end the agent by cutting its ring off.
#[test]
fn a_group_that_may_record_gets_its_hands_on_every_ring_but_the_agents() {
    let mut bench = Bench::new();
    bench.configure_with("", "[recorder]\ngroup = \"daemon\"");
    let mut recorder = bench.spawn(&["recorder"]);
    bench.until("it is ready", || bench.path("state/run/recorder.sock").exists());
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("state/run/rings"), mode("state/run/rings/agent.ring")), (0o750, 0o600));
    bench.start_agent();
    bench.run(&["pause", "ledger"]).ends(0);
    assert!(bench.end_agent(Signal::TERM).success());
    rustix::process::kill_process(rustix::process::Pid::from_child(&recorder), Signal::TERM)
        .unwrap();
    assert!(recorder.wait().unwrap().success());
    assert_eq!(standing(&bench), journal(&bench));
}

#[test]
fn without_a_recorder_nothing_is_missing_and_nothing_is_said() {
    let mut bench = Bench::new();
    bench.start_agent();
    bench.publish("1.0.0");
    proven(&bench, "1.0.0");
    // Somebody else's file is said once, and is no reason to do less.
    let rings = bench.path("state/run/rings");
    fs::create_dir(&rings).unwrap();
    let log = || fs::read_to_string(bench.path("agent.log")).unwrap();
    assert!(!log().contains("recorded in flights"), "{}", log());
    std::os::unix::fs::symlink("/etc/passwd", rings.join("agent.ring")).unwrap();
    bench.publish("1.1.0");
    proven(&bench, "1.1.0");
    assert_eq!(log().matches("updates are not recorded in flights").count(), 1, "{}", log());
    let history = bench.run(&["history", "ledger", "--json"]).ends(0).json();
    assert_eq!(history["updates"].as_array().unwrap().len(), 2);
    assert!(bench.end_agent(Signal::TERM).success());
}

/// A journaled event may be missing where its agent was killed before it told of it; there is at most
/// one for each agent, and it is the last one of that agent.
#[test]
fn an_agent_that_is_killed_loses_nothing_that_it_published() {
    let mut bench = Bench::new();
    let mut recorder = Box::start(&bench);
    bench.start_agent();
    bench.publish("1.0.0");
    let mut kills = Vec::new();
    bench.until("it is watched", || bench.view()["state"] == "watching");
    for _ in 0..KILLS {
        let before = journal(&bench).len();
        bench.until("the watch goes on", || journal(&bench).len() > before + 3);
        bench.end_agent(Signal::KILL);
        kills.push(journal(&bench).len());
        bench.start_agent();
    }
    proven(&bench, "1.0.0");
    assert!(bench.end_agent(Signal::TERM).success());
    recorder.stop();
    let heard = recorder.heard();
    let (story, journal) = (heard.story(), journal(&bench));
    let mut said = story.iter().peekable();
    for (place, line) in journal.iter().enumerate() {
        let told = said.next_if_eq(&line).is_some();
        assert!(told || kills.contains(&(place + 1)), "{line} is missing: {story:#?}");
    }
    assert_eq!(said.next(), None, "nothing is told that the journal does not hold");
    let mut endings = vec![Ending::Died; KILLS];
    endings.push(Ending::Detached);
    assert_eq!((heard.endings, heard.attached.len()), (endings, KILLS + 1));
}
