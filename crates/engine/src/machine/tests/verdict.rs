//! The end of a watch, and the rule that is told of it.

use super::super::verdict::{Rule, Verdict, watch_end};
use super::*;
use crate::plan::OnDegraded;

/// Half a window and two of five rounds are over.
fn watching(on_degraded: OnDegraded) -> App {
    let mut secured = secured();
    secured.update.plan.to.procedure.watch.on_degraded = on_degraded;
    let boot = BootId::from("b");
    let seen = WatchSeen {
        elapsed_ms: 5_000,
        since_boot_ms: 5_000,
        boot: Some(boot.clone()),
        last: Some((boot, 5_000)),
        ..WatchSeen::default()
    };
    app(State::Watching(Watching { secured, seen }))
}

fn tick(uptime_ms: u64, finding: Option<&str>, by_itself: bool) -> Entry {
    let finding = finding.map(str::to_owned);
    let event = Event::Watched { tick: WatchTick { finding, down: by_itself, by_itself } };
    Entry { at: at(uptime_ms), event }
}

#[test]
fn the_rule_that_is_told_is_the_one_that_the_machine_goes_by() {
    let no_start = || Event::Failed { step: Step::WatchStart, fault: Fault::host("no memory") };
    let no_start = || Entry { at: at(6_000), event: no_start() };
    let goes_on = tick(6_000, None, false);
    let healthy = tick(10_000, None, false);
    let late = tick(20_000, Some("503"), false);
    let ill = vec![tick(6_000, Some("503"), false), tick(7_000, Some("503"), false)];
    let ends = vec![tick(6_000, Some("exit 3"), true), tick(7_000, Some("exit 3"), true)];
    let cases = [
        (vec![goes_on], None, "watching"),
        (vec![healthy], Some((Verdict::Healthy, Rule::Window)), "proven"),
        (vec![late], Some((Verdict::Inconclusive, Rule::TwiceTheWindow)), "unproven"),
        (ill, Some((Verdict::Degraded, Rule::FailuresInRow)), "rollback-decided"),
        (ends, Some((Verdict::Degraded, Rule::Restarts)), "rollback-decided"),
        (vec![no_start()], Some((Verdict::Degraded, Rule::NoStart)), "rollback-decided"),
    ];
    for (entries, wanted, state) in cases {
        for (on_degraded, degraded) in
            [(OnDegraded::VersionAndData, "rollback-decided"), (OnDegraded::Alert, "unproven")]
        {
            let mut app = watching(on_degraded);
            let mut end = None;
            for entry in &entries {
                assert_eq!(end, None, "it was over before {entry:?}");
                end = watch_end(&app.state, entry);
                app = app.apply(entry).unwrap();
            }
            assert_eq!(end.map(|end| (end.verdict, end.rule)), wanted, "{entries:?}");
            let state = if state == "rollback-decided" { degraded } else { state };
            assert_eq!(app.state.name(), state, "{entries:?}");
        }
    }
}

#[test]
fn a_person_who_ends_a_watch_gives_no_verdict() {
    let app = watching(OnDegraded::Alert);
    let event = Event::GoBack { by: "ann".to_owned(), data: DataChoice::Restore };
    assert_eq!(watch_end(&app.state, &Entry { at: at(6_000), event }), None);
    let well = tick(10_000, None, false);
    assert_eq!(watch_end(&State::Proven(secured()), &well), None, "it is not watched");
}
