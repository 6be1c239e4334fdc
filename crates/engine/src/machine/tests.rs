//! The table of all pairs of state and event, and the rules that are worth a test of their own.

mod by_hand;
mod verdict;
mod ways_back;

use std::fmt::Write as _;

use super::*;
use crate::gate::{Answer, GateId, Round};
use crate::noun::{
    BootId, ConfigHash, Fault, FaultKind, Migration, Now, Offer, Release, SnapshotId, TxnId, Via,
};
use crate::plan::{Installed, Plan, Procedure, Volume, WatchSpec};

fn release(version: &str) -> Release {
    Release {
        version: version.to_owned(),
        digest: format!("sha256:{version}").as_str().into(),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: Some(Migration { reversible: false, timeout_ms: 1_000 }),
    }
}

fn installed(version: &str) -> Installed {
    let watch =
        WatchSpec { window_ms: 10_000, interval_ms: 1_000, failures: 2, ..WatchSpec::default() };
    let volumes = [("data".into(), Volume { path: "/data".to_owned() })].into();
    let procedure = Procedure { watch, volumes, ..Procedure::default() };
    Installed { release: release(version), config: ConfigHash::from("c"), procedure }
}

fn offered() -> Offer {
    let config = ConfigHash::from("c");
    Offer {
        release: release("2"),
        config,
        via: Via::Channel,
        serial: None,
        first_seen_ms: 0,
        ordered: None,
    }
}

fn update() -> Update {
    let plan = Plan {
        txn: TxnId::from("t"),
        from: Some(installed("1")),
        to: installed("2"),
        offer: offered(),
        answers: vec![],
        left_out: vec![],
        drawn_ms: 0,
        work: None,
        one_way: None,
    };
    Update { plan, stop: None, down_ms: None, up_ms: None, resumed: 0, set_aside: None }
}

fn secured() -> Secured {
    Secured { update: update(), way_back: WayBack::Snapshot(SnapshotId::from("s")) }
}

fn back() -> Back {
    forward::step_back(secured(), Cause::Candidate, "ill".to_owned())
}

fn held() -> Waiting {
    let answers = vec![Answer::ask(GateId::Version, "a major", "approve")];
    Waiting { offer: offered(), staged: true, answers, since_ms: 0, not_before_ms: None }
}

fn states() -> Vec<State> {
    vec![
        State::Idle,
        State::Detected(offered()),
        State::Held(held()),
        State::Deferred(held()),
        State::Fetching(offered()),
        State::Staged(offered()),
        State::Armed(update()),
        State::Precopying(Precopy { update: update(), copied: true }),
        State::Draining(Draining { update: update(), copy: None, switched: false }),
        State::Stopped(update()),
        State::Snapshotting(update()),
        State::Snapshotted(secured()),
        State::Applying(secured()),
        State::Migrating(secured()),
        State::Starting(secured()),
        State::Probing(secured()),
        State::Accepted(secured()),
        State::Watching(Watching { secured: secured(), seen: WatchSeen::default() }),
        State::Proven(secured()),
        State::Unproven(Unproven { secured: secured(), why: "ill".to_owned() }),
        State::RollbackDecided(back()),
        State::RbStopping(back()),
        State::RbData(back()),
        State::RbSwitch(back()),
        State::RbStarting(back()),
        State::RbProbing(back()),
        State::RolledBack(back()),
        State::Aborted(back()),
        State::Stuck(back()),
    ]
}

fn plain_events() -> Vec<Event> {
    let report = StopReport::default;
    let reason = || "r".to_owned();
    vec![
        Event::Resumed { found: Takeover::default() },
        Event::Adopted { installed: Box::new(installed("1")) },
        Event::Found { offer: offered() },
        Event::Ordered { offer: offered() },
        Event::Withdrawn,
        Event::Fetched { release: release("2") },
        Event::Armed { plan: Box::new(update().plan) },
        Event::Prepared,
        Event::Precopied { bytes: 0 },
        Event::Cleared,
        Event::BusyAgain { reason: reason() },
        Event::RanAgain,
        Event::BackAgain,
        Event::Stopped { report: report() },
        Event::Snapshotted { snapshot: Some(SnapshotId::from("s")), bytes: 1 },
        Event::Switched,
        Event::Migrated { set_aside: None },
        Event::Started,
        Event::Proved,
        Event::Disproved { finding: reason() },
        Event::Opened,
        Event::JournalLost { reason: reason() },
        Event::EvidenceKept { ended: None, output: vec![] },
        Event::RbStopped { report: report() },
        Event::GoBack { by: reason(), data: DataChoice::Restore },
        Event::RbMigrated,
        Event::RbBuilt { pairs: vec![] },
        Event::RbRestored { set_aside: None },
        Event::RbSwitched,
        Event::RbStarted,
        Event::RbProved,
        Event::RbDisproved { finding: reason() },
        Event::Closed { ending: Ending::Proven },
        Event::Revived { ended: None, unwell: false, failure: None },
        Event::LeftUnwell { finding: reason() },
        Event::Approved { digest: "sha256:2".into(), by: reason() },
        Event::Unblocked { by: reason() },
        Event::Pinned { to: reason() },
        Event::Unpinned,
        Event::NotNow { by: reason(), what: reason(), reason: reason() },
        Event::Paused,
        Event::Unpaused,
        Event::Wanted { up: false },
        Event::RestoredByHand { txn: TxnId::from("r"), snapshot: SnapshotId::from("s") },
    ]
}

fn events() -> Vec<(String, Event)> {
    let reason = || "r".to_owned();
    let pass = vec![Answer::pass(GateId::Busy)];
    let red = vec![Answer::defer(GateId::Busy, "busy", None)];
    let judged = |round, answers: &[Answer]| Event::Judged { round, answers: answers.to_vec() };
    let tick = |finding: Option<String>| Event::Watched {
        tick: WatchTick { finding, down: false, by_itself: false },
    };
    let mut events: Vec<(String, Event)> = vec![
        ("Judged candidate pass".into(), judged(Round::Candidate, &pass)),
        ("Judged candidate defer".into(), judged(Round::Candidate, &red)),
        ("Judged arm defer".into(), judged(Round::Arm, &red)),
        ("Judged volatile defer".into(), judged(Round::Volatile, &red)),
        ("Watched well".into(), tick(None)),
        ("Watched ill".into(), tick(Some(reason()))),
    ];
    let name = |event: &Event| {
        let text = format!("{event:?}");
        text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
    };
    events.extend(plain_events().into_iter().map(|event| (name(&event), event)));
    let fault = |kind| Fault { kind, text: reason() };
    for step in STEPS {
        for kind in [FaultKind::Candidate, FaultKind::Host, FaultKind::Refused] {
            let event = Event::Failed { step: *step, fault: fault(kind) };
            events.push((format!("Failed {step:?} {kind:?}"), event));
        }
    }
    events
}

const STEPS: &[Step] = &[
    Step::Fetch,
    Step::Prepare,
    Step::Precopy,
    Step::Stop,
    Step::Snapshot,
    Step::Switch,
    Step::Migrate,
    Step::Start,
    Step::Prove,
    Step::Open,
    Step::Watch,
    Step::WatchStart,
    Step::KeepEvidence,
    Step::RbStop,
    Step::RbBuild,
    Step::RbExchange,
    Step::RbMigrate,
    Step::RbSwitch,
    Step::RbStart,
    Step::RbProve,
    Step::Close,
    Step::Revive,
    Step::Restart,
];

fn at(uptime_ms: u64) -> Now {
    Now { wall_ms: 1_000, uptime_ms, boot: BootId::from("b"), synchronized: true }
}

fn app(state: State) -> App {
    App { state, running: Some(installed("1")), ..App::default() }
}

fn after(app: App, event: Event) -> App {
    let name = event.name();
    app.apply(&Entry { at: at(5_000), event }).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every pair of state and event, decided on purpose. Change `transitions.txt` together with the
/// code: the failing test prints the whole table.
#[test]
fn transition_table() {
    let mut table = String::new();
    for state in states() {
        for (name, event) in events() {
            let from = state.name();
            if let Ok(next) = app(state.clone()).apply(&Entry { at: at(5_000), event }) {
                writeln!(table, "{from} + {name} -> {}", next.state.name()).unwrap();
            }
        }
    }
    let golden = include_str!("transitions.txt");
    if table != golden {
        println!("{table}");
        let line = table.lines().zip(golden.lines()).find(|(is, was)| is != was);
        panic!("the table changed, first at {line:?}; the whole new table is printed above");
    }
}

fn facts(busy: bool, runs: bool) -> Facts {
    Facts {
        now: at(5_000),
        busy: busy.then(|| "in flight".to_owned()),
        running: runs.then(|| "sha256:1".into()),
        latest: None,
        observed: true,
        due: true,
        may_revive: true,
        unwell: false,
    }
}

/// What is done in every state, with a clear and a busy flag. The app runs where it may.
#[test]
fn action_table() {
    let mut table = String::new();
    for state in states() {
        let down =
            state.touches_app() && !matches!(state, State::Draining(_) | State::RbStopping(_));
        let name = state.name();
        let app = app(state);
        let say = |busy| match app.action(&facts(busy, !down)) {
            Action::Record(event) => format!("Record {}", event.name()),
            Action::Wait(_) => "Wait".to_owned(),
            action => format!("{action:?}"),
        };
        let (clear, busy) = (say(false), say(true));
        let busy = if busy == clear { String::new() } else { format!("; busy: {busy}") };
        writeln!(table, "{name}: {clear}{busy}").unwrap();
    }
    assert_eq!(table, include_str!("actions.txt"));
}

#[test]
fn upd_8_last_good_moves_at_proven_and_not_before() {
    let mut app = app(State::Probing(secured()));
    app = after(app, Event::Proved);
    app = after(app, Event::Opened);
    assert_eq!(app.last_good, None, "accepted is not proven");
    for uptime_ms in [5_000, 10_000, 15_000] {
        let tick = WatchTick { finding: None, down: false, by_itself: false };
        let entry = Entry { at: at(uptime_ms), event: Event::Watched { tick } };
        app = app.apply(&entry).unwrap();
    }
    assert_eq!(app.state.name(), "proven");
    assert_eq!(app.last_good, None);
    app = after(app, Event::Closed { ending: Ending::Proven });
    assert_eq!(app.last_good.unwrap().installed.release.version, "2");
}

#[test]
fn wch_16_a_reboot_neither_ends_nor_shortens_a_watch() {
    let spec = WatchSpec { window_ms: 10_000, ..installed("2").procedure.watch };
    let mut secured = secured();
    secured.update.plan.to.procedure.watch = spec;
    let seen = WatchSeen::default();
    let mut app = app(State::Watching(Watching { secured, seen }));
    let tick = |boot: &str, uptime_ms| Entry {
        at: Now { boot: BootId::from(boot), ..at(uptime_ms) },
        event: Event::Watched { tick: WatchTick { finding: None, down: false, by_itself: false } },
    };
    for entry in [tick("b", 1_000), tick("b", 9_000), tick("c", 500_000), tick("c", 503_000)] {
        app = app.apply(&entry).unwrap();
        assert_eq!(app.state.name(), "watching", "{entry:?}");
    }
    let clean = [tick("c", 512_000)];
    app = clean.into_iter().fold(app, |app, entry| app.apply(&entry).unwrap());
    assert_eq!(app.state.name(), "proven");
}

#[test]
fn an_interrupted_migration_goes_back_and_one_that_never_began_goes_on() {
    let resumed = || Event::Resumed { found: Takeover::default() };
    let mut begun = app(State::Migrating(secured()));
    begun = after(begun, Event::Intent { step: Step::Migrate });
    assert_eq!(after(begun, resumed()).state.name(), "rollback-decided");
    let waiting = app(State::Migrating(secured()));
    assert_eq!(after(waiting, resumed()).state.name(), "draining");
}

#[test]
fn a_watch_neither_starts_nor_counts_what_a_person_stopped() {
    let watching = Watching { secured: secured(), seen: WatchSeen::default() };
    let stopped = after(app(State::Watching(watching)), Event::Wanted { up: false });
    assert!(matches!(stopped.action(&facts(false, false)), Action::Wait(_)));
    let started = after(stopped, Event::Wanted { up: true });
    assert_eq!(started.action(&facts(false, false)), Action::Do(Step::Watch));
}

#[test]
fn unblock_forgets_a_held_candidate_so_that_the_source_is_asked_again() {
    let freed = after(app(State::Held(held())), Event::Unblocked { by: "ann".to_owned() });
    assert_eq!(freed.state, State::Idle);
}

#[test]
fn what_is_kept_of_closed_updates_is_bounded() {
    let mut app = app(State::Proven(secured()));
    for _ in 0..30 {
        app.state = State::Proven(secured());
        app = after(app, Event::Closed { ending: Ending::Proven });
    }
    assert_eq!(app.retained.len(), 20);
}

#[test]
fn uptime_accumulates_over_boots_and_ignores_the_wall_clock() {
    let mut app = app(State::Idle);
    for (boot, uptime_ms, total_ms) in [("a", 500, 0), ("a", 900, 400), ("b", 50, 450)] {
        let now = Now { boot: BootId::from(boot), wall_ms: -1, ..at(uptime_ms) };
        app = app.apply(&Entry { at: now, event: Event::Paused }).unwrap();
        assert_eq!(app.uptime.total_ms, total_ms);
    }
}
