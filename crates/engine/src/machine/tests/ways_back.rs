//! The way back: what is taken back, what is not, and where it ends.

use super::*;

#[test]
fn what_the_old_release_wrote_since_it_was_back_is_not_taken_back() {
    let latest = |run: &str| Some(Latest { run: run.to_owned(), digest: "sha256:1".into() });
    let stuck = Back {
        restored: true,
        exchange_begun: true,
        switched: true,
        proven_down: true,
        latest: latest("candidate"),
        ..back()
    };
    let again = after(app(State::Stuck(stuck)), Event::Unblocked { by: "ann".to_owned() });
    let report = StopReport { ran: true, latest: latest("old"), ..StopReport::default() };
    let stopped = after(again, Event::RbStopped { report });
    assert_eq!(stopped.state.name(), "rb-switch", "the data is the old release's own");
}

#[test]
fn a_tree_that_a_candidate_ran_on_after_the_exchange_is_restored_once_more() {
    let latest = |run: &str| Some(Latest { run: run.to_owned(), digest: "sha256:2".into() });
    let half = Back {
        exchange_begun: true,
        proven_down: true,
        latest: latest("before"),
        built: vec![],
        ..back()
    };
    let report = StopReport { ran: false, latest: latest("since"), ..StopReport::default() };
    let stopped = after(app(State::RbStopping(half)), Event::RbStopped { report });
    let State::RbData(back) = stopped.state else { panic!("{}", stopped.state.name()) };
    assert_eq!((back.round, back.exchange_begun), (2, false));
}

#[test]
fn upd_9_known_bad_is_durable_before_the_first_step_back() {
    let probing = app(State::Probing(secured()));
    let decided = after(probing, Event::Disproved { finding: "503".to_owned() });
    assert_eq!(decided.state.name(), "rollback-decided");
    assert!(decided.is_known_bad(&"sha256:2".into(), &ConfigHash::from("c")));
}

#[test]
fn upd_9_a_fault_of_the_host_condemns_no_release_and_is_tried_again_three_times() {
    let fault = Fault::host("no space left on device");
    let mut app = app(State::Probing(secured()));
    for round in 1..=RETRIES_MAX + 1 {
        app.state = State::Probing(secured());
        app = after(app, Event::Failed { step: Step::Prove, fault: fault.clone() });
        assert!(app.known_bad.is_empty());
        app.state = State::RolledBack(Back { cause: Cause::Host, ..back() });
        app = after(app, Event::Closed { ending: Ending::RolledBack });
        let expected = if round > RETRIES_MAX { "held" } else { "deferred" };
        assert_eq!(app.state.name(), expected, "round {round}");
    }
}

#[test]
fn unblock_takes_a_stuck_update_up_again_and_forgets_known_bad() {
    let mut stuck = app(State::Stuck(back()));
    stuck.known_bad.push(KnownBad {
        digest: "sha256:2".into(),
        config: ConfigHash::from("c"),
        version: "2".to_owned(),
        why: "ill".to_owned(),
        since_ms: 0,
    });
    let again = after(stuck, Event::Unblocked { by: "ann".to_owned() });
    assert_eq!(again.state.name(), "rb-stopping");
    assert!(again.known_bad.is_empty());
}

/// UPD-9: there is no loop with a release that is not well, but a full disk does not stop an app for good.
#[test]
fn a_way_back_that_the_host_stopped_is_walked_again_while_nothing_runs() {
    let stuck_by = |kind| {
        let fault = Fault { kind, text: "no space left".to_owned() };
        let failed = Event::Failed { step: Step::RbBuild, fault };
        let tried = (0..BACK_ATTEMPTS)
            .fold(app(State::RbData(back())), |app, _| after(app, failed.clone()));
        assert_eq!(tried.state.name(), "stuck");
        tried
    };
    let stuck = stuck_by(FaultKind::Host);
    assert_eq!(stuck.action(&facts(false, false)), Action::Record(Event::BackAgain));
    let waits = Action::Wait("stuck: a person is needed");
    assert_eq!(stuck.action(&facts(false, true)), waits, "something runs");
    assert_eq!(
        stuck.action(&Facts { due: false, ..facts(false, false) }),
        waits,
        "not all the time"
    );
    let again = after(stuck, Event::BackAgain);
    let State::RbStopping(back) = &again.state else { panic!("{}", again.state.name()) };
    assert_eq!((back.again, back.round, back.stuck_at.clone()), (1, 2, None));

    assert_eq!(stuck_by(FaultKind::Candidate).action(&facts(false, false)), waits);
}

#[test]
fn a_healthy_watch_before_a_way_back_is_no_downtime() {
    let mut watched = back();
    (watched.update.down_ms, watched.update.up_ms) = (Some(1_000), Some(1_300));
    let now = |wall_ms| Now { wall_ms, ..at(0) };
    let stopped = Event::RbStopped { report: StopReport::default() };
    let state = back::apply(State::RbStopping(watched), &stopped, &now(60_000)).unwrap();
    let update = state.update().unwrap();
    assert_eq!((update.down_ms, update.up_ms), (Some(59_700), None));
    // Stopped once more: it was down in between.
    let State::RbData(again) = state else { panic!("{state:?}") };
    let state = back::apply(State::RbStopping(again), &stopped, &now(61_000)).unwrap();
    assert_eq!(state.update().unwrap().down_ms, Some(59_700));
}
