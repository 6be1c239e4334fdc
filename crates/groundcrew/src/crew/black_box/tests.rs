//! What is told of every event, what is news, and which rings are used.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use groundcrew_engine::gate::{Answer, GateId, Round};
use groundcrew_engine::machine::{
    App, DataChoice, Ending, Entry, Event, Secured, State, Step, StopReport, Takeover, Update,
    WatchSeen, WatchTick, Watching, WayBack,
};
use groundcrew_engine::noun::{BootId, Fault, Now, Offer, Release, TxnId, Via};
use groundcrew_engine::plan::{Installed, Plan, Procedure};
use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::UpdateEvent;
use groundcrew_recorder::ring::shared::{self, Options};
use groundcrew_recorder::ring::{Item, Record};

use groundcrew_engine::ports::{Journal, JournalError, PostMortem};

use super::*;
use crate::crew::bell::Bell;
use crate::crew::board::Board;
use crate::crew::record::Shown;

const SECRET: &str = "hunter2";

fn release(version: &str) -> Release {
    Release {
        version: version.to_owned(),
        digest: format!("sha256:{version}").as_str().into(),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    }
}

fn installed(version: &str) -> Installed {
    let launch = serde_json::json!({ "env": { "PASSWORD": SECRET } });
    let procedure = Procedure { launch, ..Procedure::default() };
    Installed { release: release(version), config: "c".into(), procedure }
}

fn offer() -> Offer {
    let ordered = None;
    let (config, via) = ("c".into(), Via::Channel);
    Offer { release: release("2"), config, via, serial: Some(7), first_seen_ms: 0, ordered }
}

fn plan(answers: Vec<Answer>) -> Plan {
    Plan {
        txn: "t".into(),
        from: Some(installed("1")),
        to: installed("2"),
        offer: offer(),
        answers,
        left_out: vec!["http".into()],
        drawn_ms: 0,
        work: None,
        one_way: None,
    }
}

fn update() -> Update {
    let plan = plan(vec![]);
    Update { plan, stop: None, down_ms: None, up_ms: None, resumed: 0, set_aside: None }
}

/// One of every kind.
fn events() -> Vec<Event> {
    let text = || "r".to_owned();
    let answers = || vec![Answer::pass(GateId::Busy), Answer::ask(GateId::Version, "major", "ok")];
    vec![
        Event::Resumed { found: Takeover::default() },
        Event::Intent { step: Step::Stop },
        Event::Adopted { installed: Box::new(installed("1")) },
        Event::Found { offer: offer() },
        Event::Ordered { offer: offer() },
        Event::Withdrawn,
        Event::Judged { round: Round::Arm, answers: answers() },
        Event::Fetched { release: release("2") },
        Event::Armed { plan: Box::new(plan(answers())) },
        Event::Prepared,
        Event::Precopied { bytes: 5 },
        Event::Cleared,
        Event::BusyAgain { reason: text() },
        Event::RanAgain,
        Event::Stopped { report: StopReport::default() },
        Event::Snapshotted { snapshot: Some("s".into()), bytes: 9 },
        Event::Switched,
        Event::Migrated { set_aside: None },
        Event::Started,
        Event::Proved,
        Event::Disproved { finding: text() },
        Event::Opened,
        Event::Watched { tick: WatchTick { finding: None, down: false, by_itself: false } },
        Event::Failed { step: Step::Fetch, fault: Fault::host("full") },
        Event::JournalLost { reason: text() },
        Event::EvidenceKept { ended: Some(text()), output: vec![SECRET.to_owned()] },
        Event::RbStopped { report: StopReport::default() },
        Event::GoBack { by: text(), data: DataChoice::Keep },
        Event::RbMigrated,
        Event::RbBuilt { pairs: vec![] },
        Event::RbRestored { set_aside: Some("/aside".to_owned()) },
        Event::RbSwitched,
        Event::RbStarted,
        Event::RbProved,
        Event::RbDisproved { finding: text() },
        Event::Closed { ending: Ending::RolledBack },
        Event::Revived { ended: None, unwell: true, failure: None },
        Event::LeftUnwell { finding: text() },
        Event::Approved { digest: "sha256:2".into(), by: text() },
        Event::Unblocked { by: text() },
        Event::Pinned { to: text() },
        Event::Unpinned,
        Event::NotNow { by: text(), what: text(), reason: text() },
        Event::Paused,
        Event::Unpaused,
        Event::RestoredByHand { txn: "t".into(), snapshot: "s".into() },
        Event::BackAgain,
        Event::Wanted { up: true },
    ]
}

fn entry(event: Event) -> Entry {
    let at = Now { wall_ms: 1, uptime_ms: 10_000, boot: BootId::from("b"), synchronized: true };
    Entry { at, event }
}

fn told(tale: &mut Tale, before: State, event: Event, after: State) -> Vec<Told> {
    let app = |state| App { state, ..App::default() };
    let (before, after, name) = (app(before), app(after), "tiles".into());
    let (txn, entry): (TxnId, _) = ("t".into(), entry(event));
    let append = Append {
        app: &name,
        txn: Some(&txn),
        entry: &entry,
        notices: &[],
        before: &before,
        after: &after,
        closed: None,
    };
    tale.of_append(&append, true)
}

#[test]
fn every_event_is_one_record_that_says_what_it_says_and_no_secret() {
    let documented = include_str!("../../../../../docs/reference/events.md");
    let kinds = documented.split("## Steps").next().unwrap().lines();
    let kinds = kinds.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut missing: BTreeSet<&str> = kinds.collect();
    let mut all = String::new();
    for event in events() {
        let kind = event.name();
        let told = told(&mut Tale::default(), State::Idle, event, State::Armed(update()));
        let Some(Told::Update(update)) = told.first() else { panic!("{kind}: {told:?}") };
        let UpdateEvent { app, txn, event, state, detail } = update;
        assert_eq!(
            (app.as_str(), txn.as_str(), event, state.as_str()),
            ("tiles", "t", &kind, "armed")
        );
        assert!(serde_json::from_str::<serde_json::Value>(detail).unwrap().is_object());
        writeln!(all, "{kind} {detail}").unwrap();
        missing.remove(kind.as_str());
    }
    assert!(missing.is_empty(), "not tried: {missing:?}");
    assert!(!all.contains(SECRET), "{all}");
    let golden = include_str!("details.txt");
    assert!(all == golden, "details.txt is to be:\n{all}");
}

#[test]
fn a_detail_that_is_too_long_says_how_long_it_was() {
    let event = Event::Pinned { to: "x".repeat(100_000) };
    let told = told(&mut Tale::default(), State::Idle, event, State::Idle);
    let Some(Told::Update(update)) = told.first() else { panic!("{told:?}") };
    assert_eq!(update.detail, r#"{"left_out_bytes":100009}"#);
}

/// `gate answer reason` of every gate that is told of.
fn gates(told: &[Told]) -> Vec<String> {
    let gate = |told: &Told| match told {
        Told::Gate(gate) => Some(format!("{} {} {}", gate.gate, gate.answer, gate.reason)),
        _ => None,
    };
    told.iter().filter_map(gate).collect()
}

#[test]
fn a_gate_is_told_of_when_it_says_something_new_of_a_candidate() {
    let mut tale = Tale::default();
    let mut ask = |answers: Vec<Answer>, version: &str| {
        let offer = Offer { release: release(version), ..offer() };
        let before = State::Staged(offer);
        gates(&told(&mut tale, before, Event::Judged { round: Round::Arm, answers }, State::Idle))
    };
    let busy = |why: &str| Answer::defer(GateId::Busy, why, None);
    let major = || Answer::ask(GateId::Version, "`groundcrew approve APP VERSION`", "do");
    let ci = |name: &str| Answer::pass(GateId::External).named(name);
    assert_eq!(
        ask(vec![busy("flight 1"), major(), ci("a"), ci("b")], "2"),
        [
            "busy defer flight 1",
            "version ask `groundcrew approve tiles 2`",
            "external:a pass ",
            "external:b pass "
        ]
    );
    assert_eq!(ask(vec![busy("flight 1"), major(), ci("a"), ci("b")], "2"), [""; 0], "no news");
    assert_eq!(ask(vec![busy("flight 2"), major()], "2"), ["busy defer flight 2"]);
    assert_eq!(ask(vec![Answer::pass(GateId::Busy)], "2"), ["busy pass "]);
    let hold = Answer::hold(GateId::Data, "made by 3", "do");
    assert_eq!(
        ask(vec![busy("flight 2"), hold], "3"),
        ["busy defer flight 2", "data hold made by 3"]
    );
    let armed = Event::Armed { plan: Box::new(plan(vec![Answer::pass(GateId::Busy)])) };
    let told = told(&mut tale, State::Staged(offer()), armed, State::Armed(update()));
    assert_eq!(gates(&told), ["busy pass "], "another candidate begins anew");
}

#[test]
fn a_probe_is_told_of_in_every_round_of_an_update_and_else_when_its_answer_changes() {
    let mut tale = Tale::default();
    let finding = |well: bool| Finding {
        probe: "http".to_owned(),
        failure: (!well).then(|| "503".to_owned()),
        took_ms: 12,
    };
    let app = AppName::from("tiles");
    let said = |tale: &mut Tale, well| tale.of_finding(&app, &finding(well)).is_some();
    let at_rest: Vec<bool> =
        [true, true, false, false, true].map(|well| said(&mut tale, well)).into();
    assert_eq!(at_rest, [true, false, true, false, true]);
    told(&mut tale, State::Idle, Event::Prepared, State::Armed(update()));
    assert!(said(&mut tale, true) && said(&mut tale, true), "an update is open");
    told(&mut tale, State::Armed(update()), Event::Closed { ending: Ending::Aborted }, State::Idle);
    assert!(!said(&mut tale, true));
    tale.forget();
    let Some(Told::Probe(probe)) = tale.of_finding(&app, &finding(false)) else { panic!() };
    assert_eq!((probe.app.as_str(), probe.probe.as_str(), probe.passed), ("tiles", "http", false));
    assert_eq!((probe.latency_ms.round(), probe.detail.as_str()), (12.0, "503"));
}

#[test]
fn the_end_of_a_watch_is_told_with_its_rule() {
    let secured = Secured { update: update(), way_back: WayBack::Snapshot("s".into()) };
    let watching =
        State::Watching(Watching { secured: secured.clone(), seen: WatchSeen::default() });
    let tick = |finding: Option<&str>| Event::Watched {
        tick: WatchTick { finding: finding.map(str::to_owned), down: true, by_itself: true },
    };
    let goes_on = told(&mut Tale::default(), watching.clone(), tick(None), watching);
    assert_eq!(goes_on.len(), 1, "{goes_on:?}");
    let seen = WatchSeen { restarts: 1, ..WatchSeen::default() };
    let watching = State::Watching(Watching { secured: secured.clone(), seen });
    let over = told(&mut Tale::default(), watching, tick(Some("exit 3")), State::Proven(secured));
    let [_, Told::Watch(end)] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!((end.release.as_str(), end.verdict.as_str()), ("2", "DEGRADED"));
    assert_eq!(end.rule, "restarts");
    assert!(end.detail.contains("exit 3"), "{}", end.detail);
}

#[test]
fn what_clean_up_removed_is_told_with_the_name_of_the_snapshot() {
    let removed = ["snapshot /srv/.groundcrew/tiles/snapshots/s1", "failed data /srv/x"];
    let told = tale::of_removal(&"tiles".into(), &removed.map(str::to_owned));
    let name = |told: &Told| match told {
        Told::Snapshot(event) => (event.snapshot.clone(), event.detail.clone()),
        other => panic!("{other:?}"),
    };
    let names: Vec<_> = told.iter().map(name).collect();
    let wanted = [("s1", removed[0]), ("", removed[1])];
    assert_eq!(names, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

const OPTIONS: Options = Options { bytes: 0, critical: true, generation: 1 };

/// Records that are in a ring, by their type and number.
fn taken(ring: &mut groundcrew_recorder::ring::Consumer<shared::RingFile>) -> Vec<(u16, u64)> {
    let mut all = Vec::new();
    ring.drain(u64::MAX, &mut |item| match item {
        Item::Record(Record { kind, number, .. }) => all.push((kind, number)),
        Item::Damage(damage) => panic!("{damage}"),
    });
    all
}

fn wanted(black_box: &BlackBox) {
    black_box.copied(|| tale::of_removal(&"tiles".into(), &["snapshot /s".to_owned()]));
}

#[test]
fn a_ring_that_appears_is_used_and_one_that_takes_its_place_too() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join(RING);
    let black_box = BlackBox::new(run.path());
    wanted(&black_box);
    assert!(black_box.lock().said.is_none(), "no recorder is no news");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut first = shared::create(&path, OPTIONS).unwrap();
    wanted(&black_box);
    assert!(taken(&mut first).is_empty(), "it was looked for a moment ago");
    black_box.lock().looked = None;
    wanted(&black_box);
    let kind = groundcrew_recorder::body::types::SnapshotEvent::SCHEMA.kind;
    assert_eq!(taken(&mut first), [(kind, 0)]);
    fs::remove_file(&path).unwrap();
    let mut second = shared::create(&path, Options { generation: 2, ..OPTIONS }).unwrap();
    wanted(&black_box);
    assert_eq!((taken(&mut first), taken(&mut second)), (vec![], vec![(kind, 0)]));
    assert!(second.source().attached);
    black_box.end();
    wanted(&black_box);
    assert!(taken(&mut second).is_empty() && !second.source().attached);
}

#[test]
fn what_is_no_ring_of_ours_is_refused_once() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join(RING);
    fs::create_dir(path.parent().unwrap()).unwrap();
    let elsewhere = run.path().join("elsewhere.ring");
    let mut ring = shared::create(&elsewhere, OPTIONS).unwrap();
    let black_box = BlackBox::new(run.path());
    let refused = |words: &str| {
        black_box.lock().looked = None;
        wanted(&black_box);
        let said = black_box.lock().said.clone().unwrap_or_default();
        assert!(said.contains(words), "{words}: {said}");
        fs::remove_file(&path).unwrap();
    };
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    refused("symbolic link");
    fs::File::create(&path).unwrap().set_len(8192).unwrap();
    refused("its header is not one of a ring");
    drop(shared::create(&path, OPTIONS).unwrap());
    std::os::unix::fs::chown(&path, Some(4_000_001), None).unwrap();
    refused("of user 4000001");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    refused("invalid input");
    assert!(taken(&mut ring).is_empty());
}

#[test]
fn a_ring_that_is_full_counts_what_it_refused() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join(RING);
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut ring = shared::create(&path, OPTIONS).unwrap();
    let black_box = BlackBox::new(run.path());
    for _ in 0..1_000 {
        wanted(&black_box);
    }
    let kept = taken(&mut ring).len();
    assert!((10..1_000).contains(&kept), "{kept}");
    assert_eq!(ring.source().made, 1_000);
}

/// A journal that takes nothing, or everything.
struct Takes(bool);

impl Journal for Takes {
    fn append(&mut self, _append: &Append<'_>) -> Result<(), JournalError> {
        if self.0 { Ok(()) } else { Err(JournalError { text: "full".to_owned() }) }
    }

    fn reserve(&mut self, _app: &AppName, _plan: Option<&Plan>) -> Result<(), JournalError> {
        Ok(())
    }

    fn relieve(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn file(&mut self, _post_mortem: &PostMortem<'_>) -> Result<(), JournalError> {
        Ok(())
    }

    fn timeline(&mut self, _app: &AppName) -> Result<Vec<Entry>, JournalError> {
        Ok(Vec::new())
    }
}

#[test]
fn what_the_journal_did_not_take_is_not_told() {
    let run = tempfile::tempdir().unwrap();
    let path = run.path().join(RING);
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut ring = shared::create(&path, OPTIONS).unwrap();
    let black_box = BlackBox::new(run.path());
    for takes in [false, true] {
        let mut shown = Shown {
            journal: Box::new(Takes(takes)),
            board: Board::default(),
            config: String::new(),
            told: Bell::default(),
            black_box: black_box.clone(),
        };
        let (app, name, entry) = (App::default(), "tiles".into(), entry(Event::Paused));
        let append = Append {
            app: &name,
            txn: None,
            entry: &entry,
            notices: &[],
            before: &app,
            after: &app,
            closed: None,
        };
        assert_eq!(shown.append(&append).is_ok(), takes);
        assert_eq!(taken(&mut ring).len(), usize::from(takes));
    }
}
