//! File systems that are full, in every step of an update: the app is untouched or brought back
//! with its data, people are told, nothing is left, and with room again everything goes on.
//!
//! State and data lie on small file systems of their own. The steps that run somebody else's
//! commands (hooks, migration, start, health) fill one of them from inside the update.

mod small;

use std::process::Command;

use groundcrew_rig::ledger::NAME;
use groundcrew_rig::subject::Subject as _;

use small::{ON_MIGRATE, ON_START, Refused, Small, Which};

/// Severity, title and reason of a notice.
type Told = (&'static str, &'static str, &'static str);

/// The room that was reserved was enough.
const PROVEN: Told = ("info", "ledger: 1.1.0 is proven", "");

/// Nothing was changed.
const ABORTED: &str = "ledger: the update to 1.1.0 was aborted";
const BACK: &str = "ledger: 1.1.0 was rolled back";

/// A hook or a migration whose end could not be written down.
const NO_END: &str = "could not write down how it ended";

/// Runs the update to 1.1.0 with a step that fills, and everything after. What people are told:
/// severity, title, reason.
#[track_caller]
fn check(tables: &str, scripts: &[&str], which: Which, (severity, title, reason): Told) {
    let mut small = fill_in_a_step(tables, scripts, which, "1.1.0");
    small.until("the app serves", || small.serves(&["1.0.0", "1.1.0"]));
    small.until(&format!("people are told: {severity} {title}: {reason}"), || {
        small.is_told_why(severity, title, reason)
    });
    small.goes_on(which);
}

fn fill_in_a_step(tables: &str, scripts: &[&str], which: Which, offered: &str) -> Small {
    let mut small = Small::new(tables);
    scripts.iter().for_each(|name| small.script(name));
    small.arm(which);
    small.offer(offered);
    small.host.start_agent().unwrap();
    small.until("the step has filled it", || small.path("filled").exists());
    small
}

fn hook(key: &str) -> String {
    let run = "[\"sh\", \"-c\", \"[ ! -e ROOT/fill ] || . ROOT/fill\"]";
    match key {
        "before" => format!("[apps.ledger.stop]\nbefore = {run}\n"),
        _ => format!("[apps.ledger.traffic]\nopen = {run}\nclose = [\"true\"]\n"),
    }
}

#[test]
fn state_full_before_the_stop() {
    check(&hook("before"), &[], Which::State, ("warning", ABORTED, NO_END));
}

#[test]
fn data_full_before_the_stop() {
    check(&hook("before"), &[], Which::Data, ("warning", ABORTED, "No space left"));
}

/// The ballast is for the journal alone: the end of the migration cannot be written down.
#[test]
fn state_full_in_the_migration() {
    check("", &[ON_MIGRATE], Which::State, ("alert", BACK, NO_END));
}

#[test]
fn state_full_at_the_start() {
    check("", &[ON_START], Which::State, PROVEN);
}

#[test]
fn data_full_at_the_start() {
    check("", &[ON_START], Which::Data, PROVEN);
}

#[test]
fn state_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::State, ("alert", BACK, NO_END));
}

#[test]
fn data_full_when_traffic_is_opened() {
    check(&hook("open"), &[], Which::Data, PROVEN);
}

/// design.md: the ballast is freed first, the way back needs no record, what happened is recorded
/// afterwards, and no update begins until the store was opened anew.
#[test]
fn a_journal_that_cannot_be_written_in_the_migration_is_caught_up_with_after_the_way_back() {
    let mut small = Small::new("");
    let (here, go) = (small.path("here"), small.path("go"));
    let script = format!(
        "[ \"$1\" != 1.1.0 ] || {{ : > {}; until [ -e {} ]; do sleep 0.02; done; }}\n",
        here.display(),
        go.display()
    );
    small.host.write(ON_MIGRATE, &script).unwrap();
    small.host.start_agent().unwrap();
    let since = small.last_event();
    small.offer("1.1.0");
    small.until("the migration is at work", || here.exists());
    let ballast = small.host.places().state.join("plans/ledger.ballast");
    assert!(ballast.exists(), "room is kept for the journal");

    let refused = Refused::new(&small);
    small.host.write("go", "").unwrap();
    small.until("1.0.0 serves its data again", || small.serves(&["1.0.0"]));
    assert!(!ballast.exists(), "the room was given to the journal");
    let last = || small.events_after(since).last().map(|line| line.phase.clone());
    assert_eq!(last().as_deref(), Some("intent migrate"), "it took the way back without a record");
    small.offer("1.1.1");
    small.until("it is said that the journal cannot be written", || {
        let view = small.host.view(NAME).unwrap_or_default();
        view.get("trouble").is_some_and(|said| said.to_string().contains("cannot be written"))
    });
    assert_eq!(last().as_deref(), Some("intent migrate"));
    assert!(small.serves(&["1.0.0"]), "no update begins meanwhile");
    let view = small.host.view(NAME).unwrap();
    assert_eq!(view.pointer("/running/version"), Some(&"1.0.0".into()), "{view:#}");
    assert_eq!(view.get("state"), Some(&"rolled-back".into()), "the truth is shown: {view:#}");
    drop(refused);

    small.goes_on(Which::State);
    let events = small.events_after(since);
    let place = |phase: &str| events.iter().position(|event| event.phase == phase);
    let in_order = ["intent migrate", "migrated", "journal-lost", "rb-restored", "rb-started"];
    let places: Vec<_> = in_order.iter().map(|phase| place(phase).expect(phase)).collect();
    assert!(places.is_sorted(), "what happened was recorded afterwards: {events:#?}");
    let found = events.iter().rposition(|event| event.phase == "found");
    assert!(place("closed") < found, "the next one came after the record: {events:#?}");
    let (title, reason) = ("ledger: 1.1.0 was rolled back", "the journal cannot be written");
    assert!(small.is_told_why("alert", title, reason), "{:#?}", small.told());
}

/// Fills both file systems, one after the other, at an event of an update; what people are told then
/// (severity, title, reason).
#[track_caller]
fn check_at(plays: &str, event: &str, told: [Told; 2]) {
    for (which, (severity, title, reason)) in [Which::State, Which::Data].into_iter().zip(told) {
        let mut small = Small::new("");
        small.host.start_agent().unwrap();
        let version = small.fill_at(plays, event, which);
        let title = title.replace("VERSION", &version);
        small.until(&format!("people are told: {severity} {title}: {reason}"), || {
            small.is_told_why(severity, &title, reason)
        });
        if severity == "page" {
            small.make_room(which);
        }
        small.until("1.0.0 serves its data", || {
            small.ledger.version().is_some_and(|serves| serves != version)
                && small.ledger.rows() == Some((1..=40).collect())
        });
        small.goes_on(which);
    }
}

/// Nothing is touched; what is missing is shown, because without room nobody's notice can be kept.
#[test]
fn full_while_it_is_fetched() {
    for (which, reason) in [(Which::State, "database or disk is full"), (Which::Data, "needed")] {
        let mut small = Small::new("");
        small.host.start_agent().unwrap();
        small.fill_at("1.1.1", "intent fetch", which);
        small.until("the reason is shown", || {
            let view = small.host.view(NAME).unwrap_or_default();
            let shown = [view.get("gates"), view.get("trouble")].map(|part| format!("{part:?}"));
            shown.iter().any(|text| text.contains(reason))
        });
        assert!(small.ledger.rows().is_some(), "the app was not touched");
        small.goes_on(which);
    }
}

#[test]
fn full_while_the_data_is_copied() {
    let aborted = ("warning", "ledger: the update to VERSION was aborted", "No space left");
    check_at("1.1.1", "intent snapshot", [aborted; 2]);
}

/// A place that was labeled before the file system was full needs no more room, and the update goes
/// on: to its end, or to the migration, which needs some.
#[test]
fn full_while_the_releases_are_switched() {
    for which in [Which::State, Which::Data] {
        let mut small = Small::new("");
        small.host.start_agent().unwrap();
        let version = small.fill_at("1.1.1", "intent switch", which);
        let aborted = format!("ledger: the update to {version} was aborted");
        let back = format!("ledger: {version} was rolled back");
        let proven = format!("ledger: {version} is proven");
        // Without room for the journal it is given up; the migration alone needs room for data.
        let old = match which {
            Which::State => ("warning", aborted),
            Which::Data => ("alert", back),
        };
        small.until("people are told", || {
            small.is_told_why(old.0, &old.1, "No space left") || small.is_told("info", &proven)
        });
        let is_new = small.is_told("info", &proven);
        assert!(!small.is_told("page", "ledger: stuck"), "{:#?}", small.told());
        // The old one may be a release that was proven before a switch was caught.
        small.until("it serves its data", || {
            let serves = small.ledger.version().unwrap_or_default();
            (serves == version) == is_new && small.serves(&[&serves])
        });
        small.goes_on(which);
    }
}

#[test]
fn full_while_the_restore_is_built() {
    let back = ("alert", "ledger: VERSION was rolled back", "status 503");
    check_at("1.2.0", "intent rb-build", [back; 2]);
}

#[test]
fn full_while_the_restore_takes_the_place_of_the_data() {
    let back = ("alert", "ledger: VERSION was rolled back", "status 503");
    check_at("1.2.0", "intent rb-exchange", [back; 2]);
}

/// No room for the migration: the room that was kept for the way back is enough for it.
#[test]
fn data_full_in_the_migration_is_taken_back_though_there_is_no_room() {
    let mut small = fill_in_a_step("", &[ON_MIGRATE], Which::Data, "1.1.0");
    small.until("1.0.0 serves its data", || small.serves(&["1.0.0"]));
    small.until("people are told", || small.is_told("alert", "ledger: 1.1.0 was rolled back"));
    assert!(!small.is_told("page", "ledger: stuck"), "{:#?}", small.told());
    small.make_room(Which::Data);
    small.goes_on(Which::Data);
}

/// Nothing is begun where the room is known to be missing, and it is when there is room again.
#[test]
fn a_full_disk_defers_the_update_and_the_app_is_not_touched() {
    for which in [Which::State, Which::Data] {
        let mut small = Small::new("");
        small.host.start_agent().unwrap();
        small.fill(which);
        small.offer("1.1.0");
        small.until("the lack of room is shown", || {
            let view = small.host.view(NAME).unwrap_or_default();
            let shown = [view.get("gates"), view.get("trouble")].map(|part| format!("{part:?}"));
            shown.iter().any(|text| text.contains("needed") || text.contains("full"))
        });
        assert!(small.serves(&["1.0.0"]));
        small.goes_on(which);
    }
}

#[test]
fn an_agent_on_a_read_only_state_says_so_and_the_app_runs_on_until_it_is_writable() {
    let mut small = Small::new("");
    // A mount over it that is read-only from its birth: a keeper has files open for writing.
    let at = small.path("small-state").display().to_string();
    let mount = |args: &[&str]| {
        assert!(Command::new("mount").args(args).arg(&at).status().unwrap().success(), "{args:?}");
    };
    mount(&["--bind", &at]);
    mount(&["-o", "remount,bind,ro"]);
    small.offer("1.1.0");
    for command in [&["agent"][..], &["once"], &["update", NAME]] {
        let ran = small.host.run(command).unwrap().ends(1);
        assert!(ran.err.contains("Read-only file system"), "{ran:?}");
    }
    assert!(small.serves(&["1.0.0"]));
    assert!(Command::new("umount").arg(&at).status().unwrap().success());
    small.host.start_agent().unwrap();
    small.goes_on(Which::State);
}

/// The n-th sync of every thread fails once, the way a dying disk makes it.
#[test]
fn a_sync_that_fails_in_an_update_leaves_old_with_old_or_new_with_new() {
    let mut small = Small::new("");
    for (version, failing) in (1..).zip([1, 2, 3, 5, 7]) {
        small.offer_as(&format!("1.1.{version}"), "1.1.1");
        let said = small.update_with_failing_sync(failing);
        let plain = small.host.run(&["once"]).unwrap();
        small.until(&format!("it serves after sync {failing}: {said}{plain:?}"), || {
            small.ledger.version().is_some() && small.ledger.rows() == Some((1..=40).collect())
        });
    }
    small.offer_as("1.1.99", "1.1.1");
    small.host.start_agent().unwrap();
    small.until("on a healthy disk it goes on", || {
        small.host.view(NAME).unwrap_or_default().pointer("/last_good/version")
            == Some(&"1.1.99".into())
    });
    small.leaves_nothing();
}

/// An app at rest records nothing, so nothing else would open the store again.
#[test]
fn a_journal_that_cannot_be_written_is_no_health_and_is_written_again_without_an_event() {
    let mut small = Small::new("");
    small.host.start_agent().unwrap();
    small.host.run(&["healthcheck"]).unwrap().ends(0);
    let refused = Refused::new(&small);
    let ran = small.host.run(&["healthcheck"]).unwrap().ends(1);
    assert!(ran.err.contains("the journal cannot be written"), "{ran:?}");
    drop(refused);
    std::fs::remove_dir_all(small.path("releases")).unwrap();
    let error = |small: &Small| small.host.view(NAME).unwrap()["last_check"]["error"].clone();
    small.until("the source cannot be asked", || error(&small).is_string());
    small.host.end_agent(rustix::process::Signal::TERM).unwrap();
    assert!(error(&small).is_string(), "the look was remembered");
    small.host.start_agent().unwrap();
    small.host.run(&["healthcheck"]).unwrap().ends(0);
}
