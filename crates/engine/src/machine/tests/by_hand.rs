//! What a person orders, the migration that a way back undoes, and an app at rest that is not well.

use super::*;
use crate::plan::{DataWork, Ordered};

fn reversible() -> Secured {
    let mut secured = secured();
    secured.update.plan.to.release.migration =
        Some(Migration { reversible: true, timeout_ms: 1_000 });
    secured
}

/// Undoing a migration, up to where it is begun.
fn undoing() -> App {
    let watching = Watching { secured: reversible(), seen: WatchSeen::default() };
    let go = Event::GoBack { by: "ann".to_owned(), data: DataChoice::Keep };
    let decided = after(app(State::Watching(watching)), go);
    assert!(decided.is_known_bad(&"sha256:2".into(), &ConfigHash::from("c")));
    let stopping = after(decided, Event::EvidenceKept { ended: None, output: vec![] });
    let undoing = after(stopping, Event::RbStopped { report: StopReport::default() });
    assert_eq!(undoing.action(&facts(false, false)), Action::Do(Step::RbMigrate));
    after(undoing, Event::Intent { step: Step::RbMigrate })
}

#[test]
fn upd_5_a_version_that_goes_back_alone_lets_the_candidate_undo_its_migration_once() {
    let undone = after(undoing(), Event::RbMigrated);
    assert_eq!(undone.state.name(), "rb-switch");
    let killed = after(undone, Event::Resumed { found: Takeover::default() });
    let stopped = after(killed, Event::RbStopped { report: StopReport::default() });
    assert_eq!(stopped.state.name(), "rb-switch", "it is not undone twice");
}

#[test]
fn upd_5_a_migration_that_was_half_undone_brings_the_old_data_back() {
    let fault = Fault::candidate("exit code 1");
    let ways = [
        Event::Resumed { found: Takeover::default() },
        Event::Failed { step: Step::RbMigrate, fault },
    ];
    for event in ways {
        let name = event.name();
        let again = after(undoing(), event);
        let stopped = after(again, Event::RbStopped { report: StopReport::default() });
        let State::RbData(back) = &stopped.state else { panic!("{name}") };
        assert_eq!(back.data, DataChoice::Restore, "{name}");
        assert_eq!(stopped.action(&facts(false, false)), Action::Do(Step::RbBuild), "{name}");
    }
    let mut unwritten = undoing();
    unwritten.intent = None;
    let lost = after(unwritten, Event::JournalLost { reason: "full".to_owned() });
    assert_eq!(lost.state.name(), "rb-stopping");
}

#[test]
fn upd_5_a_version_does_not_go_back_alone_from_data_that_it_cannot_read() {
    let mut watching = Watching { secured: secured(), seen: WatchSeen::default() };
    let plan = &mut watching.secured.update.plan;
    plan.one_way = Some("2 migrates the data and cannot undo it".to_owned());
    plan.to.procedure.watch.on_degraded = crate::plan::OnDegraded::Version;
    let ill = || WatchTick { finding: Some("503".to_owned()), down: false, by_itself: false };
    let mut state = app(State::Watching(watching));
    for _ in 0..2 {
        state = after(state, Event::Watched { tick: ill() });
    }
    let State::Unproven(unproven) = &state.state else { panic!("{}", state.state.name()) };
    assert!(unproven.why.contains("cannot undo"), "{}", unproven.why);
}

/// An update to an older release that a person ordered.
fn ordered() -> Offer {
    let to = installed("1");
    let ordered = Ordered { by: "ann".to_owned(), to: to.clone(), work: DataWork::Nothing };
    Offer {
        release: to.release,
        via: Via::Rollback,
        config: ConfigHash::from("now"),
        ordered: Some(Box::new(ordered)),
        ..offered()
    }
}

#[test]
fn upd_25_what_a_person_orders_does_not_wait_at_a_gate() {
    let fetching = after(app(State::Held(held())), Event::Ordered { offer: ordered() });
    assert_eq!(fetching.state.name(), "fetching");
    let staged = after(fetching, Event::Fetched { release: release("1") });
    let busy = vec![Answer::defer(GateId::Busy, "in flight", None)];
    let judged = after(staged, Event::Judged { round: Round::Arm, answers: busy });
    assert_eq!(judged.state, State::Idle);
}

#[test]
fn upd_25_the_release_that_was_left_is_known_as_bad_with_the_configuration_of_now_too() {
    let mut secured = secured();
    let plan = &mut secured.update.plan;
    (plan.from, plan.to, plan.offer) = (Some(installed("2")), installed("1"), ordered());
    let closed = after(app(State::Proven(secured)), Event::Closed { ending: Ending::Proven });
    for config in ["c", "now"] {
        assert!(closed.is_known_bad(&"sha256:2".into(), &ConfigHash::from(config)), "{config}");
    }
    let good = closed.last_good.map(|good| good.installed.release.version);
    assert_eq!(good.as_deref(), Some("1"));
}

#[test]
fn run_7_an_unwell_app_is_restarted_unless_busy_and_a_dead_one_is_started_though_busy() {
    let act = |busy, runs, wanted| {
        let facts = Facts { unwell: true, ..facts(busy, runs) };
        App { wanted_up: wanted, ..app(State::Idle) }.action(&facts)
    };
    assert_eq!(act(false, true, true), Action::Do(Step::Restart));
    assert!(matches!(act(true, true, true), Action::Wait(_)), "busy: what runs is not stopped");
    assert_eq!(act(true, false, true), Action::Do(Step::Revive), "what is down is started");
    assert!(matches!(act(false, true, false), Action::Wait(_)), "a person wants it down");
}

#[test]
fn a_way_back_that_began_under_watch_and_could_not_be_recorded_is_found_again() {
    let watching = || State::Watching(Watching { secured: secured(), seen: WatchSeen::default() });
    let back = Takeover { switched_back: true, exchanged: true, ..Takeover::default() };
    let resumed = after(app(watching()), Event::Resumed { found: back });
    assert_eq!(resumed.state.name(), "rb-starting");
    let half = Takeover { exchanged: true, ..Takeover::default() };
    let resumed = after(app(watching()), Event::Resumed { found: half });
    assert_eq!(resumed.state.name(), "rb-stopping");
}

/// The command that lets users in may need the app, which ended by itself with its agent alive.
#[test]
fn upd_9_what_ends_before_its_users_are_let_in_is_started_again_now_and_then_for_ever() {
    let untouched = Back { data: DataChoice::Untouched, ..back() };
    let restored = Back { restored: true, switched: true, ..back() };
    for proven in [State::Aborted(untouched), State::RolledBack(restored)] {
        let mut app = app(proven);
        let (name, down, up) = (app.state.name(), facts(false, false), facts(false, true));
        for fallen in 1..=BACK_PROVES {
            assert_eq!(app.state.name(), name);
            assert_eq!(app.action(&down), Action::Do(Step::Close), "users may be let in without");
            let fault = Fault::host("no answer");
            app = after(app, Event::Failed { step: Step::Close, fault });
            assert_eq!(app.action(&up), Action::Do(Step::Close), "it runs");
            let unseen = Facts { observed: false, ..down.clone() };
            assert_eq!(app.action(&unseen), Action::Do(Step::Close), "it may run");
            let Action::Record(fell) = app.action(&down) else { panic!("{name} {fallen}") };
            app = after(app, fell);
            app = if fallen < BACK_PROVES { proven_again(app) } else { app };
        }
        assert_eq!(app.state.name(), "stuck");
        assert_eq!(app.action(&down), Action::Record(Event::BackAgain));
    }
}

/// From the stop to the proof of the old release.
fn proven_again(app: App) -> App {
    let report = StopReport::default();
    let events =
        [Event::RbStopped { report }, Event::RbSwitched, Event::RbStarted, Event::RbProved];
    events.into_iter().fold(app, after)
}

/// The command that lets users in may need the app, so it would fail for ever.
#[test]
fn upd_9_an_app_that_is_down_when_its_users_are_to_be_let_in_is_started_again() {
    for (down, names) in [(false, ["accepted", "rolled-back", "aborted"]), (true, ["starting"; 3])]
    {
        let states = [
            State::Accepted(secured()),
            State::RolledBack(Back { cause: Cause::Host, ..back() }),
            State::Aborted(Back { cause: Cause::Host, ..back() }),
        ];
        for (state, name) in states.into_iter().zip(names) {
            let found = Takeover { down, ..Takeover::default() };
            let resumed = after(app(state), Event::Resumed { found });
            assert!(resumed.state.name().ends_with(name), "{}", resumed.state.name());
        }
    }
    let mut first = back();
    first.update.plan.from = None;
    let found = Takeover { down: true, ..Takeover::default() };
    let resumed = after(app(State::RolledBack(first)), Event::Resumed { found });
    assert_eq!(resumed.state.name(), "rolled-back", "nothing ran before");
}

/// Nobody waits at a gate for an order, so the reason is kept for the command and for `status`.
#[test]
fn upd_25_why_an_order_came_to_nothing_is_kept_until_the_next_one() {
    let offer = || {
        let ordered = Ordered { by: "ann".to_owned(), to: installed("1"), work: DataWork::Nothing };
        Offer { via: Via::Rollback, ordered: Some(Box::new(ordered)), ..offered() }
    };
    let ordered = || after(app(State::Idle), Event::Ordered { offer: offer() });
    let why = |app: &App| app.unserved.as_ref().map(|order| order.why.clone());
    for kind in [FaultKind::Host, FaultKind::Refused] {
        let fault = Fault { kind, text: "no space left".to_owned() };
        let failed = after(ordered(), Event::Failed { step: Step::Fetch, fault });
        assert_eq!(failed.state, State::Idle);
        assert_eq!(why(&failed).as_deref(), Some("no space left"), "{kind:?}");
        let again = after(failed, Event::Ordered { offer: offer() });
        assert_eq!(why(&again), None, "it may be done this time");
    }
    let staged = after(ordered(), Event::Fetched { release: release("2") });
    let answers = vec![Answer::pass(GateId::Room), Answer::defer(GateId::Busy, "in flight", None)];
    let judged = Event::Judged { round: Round::Arm, answers };
    assert_eq!(why(&after(staged, judged)).as_deref(), Some("in flight"));
    let plan = Plan { offer: offer(), ..update().plan };
    let armed = app(State::Armed(Update { plan, ..update() }));
    let fault = Fault::host("read-only");
    let unwritten = after(armed, Event::Failed { step: Step::Prepare, fault });
    assert_eq!(why(&unwritten).as_deref(), Some("read-only"));
    let candidate = app(State::Fetching(offered()));
    let fault = Fault::host("no space left");
    let waits = after(candidate, Event::Failed { step: Step::Fetch, fault });
    assert_eq!(why(&waits), None, "nobody ordered it");
}
