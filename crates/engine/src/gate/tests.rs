//! Each gate's answers, and the rules between them.

use super::*;
use crate::machine::{App, KnownBad};
use crate::notes::NoteFile;
use crate::noun::{AppName, BootId, ConfigHash, Migration, Now, Offer, Release, Via};
use crate::plan::{Installed, Procedure, Volume};
use crate::policy::{Downgrades, Mode, Policy};
use crate::ports::{Busy, Claim, External, Finding, Neighbor, Place, Room};
use crate::version::VersionForm;
use crate::window::Windows;

/// 2026-11-21 10:00 UTC, a Saturday.
const NOW_MS: i64 = 1_795_255_200_000;

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

/// A question that passes every gate; a test spoils one thing.
struct Question {
    app: App,
    policy: Policy,
    facts: GateFacts,
}

fn question(from: &str, to: &str) -> Question {
    let volumes = [("data".into(), Volume { path: "/data".to_owned() })].into();
    let procedure = Procedure { volumes, ..Procedure::default() };
    let config = ConfigHash::from("c");
    let running =
        Installed { release: release(from), config: config.clone(), procedure: procedure.clone() };
    let policy = Policy::plain(AppName::from("forge"), config.clone(), procedure);
    let place = Place {
        path: "/data".to_owned(),
        free_bytes: 100,
        free_inodes: Some(100),
        need_bytes: 50,
        need_inodes: 50,
    };
    let facts = GateFacts {
        now: Now { wall_ms: NOW_MS, uptime_ms: 1, boot: BootId::from("b"), synchronized: true },
        offer: Offer {
            release: release(to),
            config,
            via: Via::Channel,
            ordered: None,
            serial: None,
            first_seen_ms: NOW_MS,
        },
        current: Some(running.release.clone()),
        busy: Some(Busy::Clear),
        notes: NotesFact::Files(Vec::new()),
        external: Vec::new(),
        neighbors: Vec::new(),
        claim: None,
        room: Some(Ok(Room { places: vec![place] })),
        way_back: Some(Ok(())),
        baseline: Some(Baseline::default()),
    };
    Question { app: App { running: Some(running), ..App::default() }, policy, facts }
}

fn note(version: &str, text: &str) -> NoteFile {
    NoteFile { version: version.to_owned(), bytes: text.as_bytes().to_vec() }
}

impl Question {
    fn with(mut self, spoil: impl FnOnce(&mut Self)) -> Self {
        spoil(&mut self);
        self
    }

    fn ask(&self) -> Vec<Answer> {
        judge(Round::Arm, &self.app, &self.policy, &self.facts)
    }

    /// What the gates say that do not simply pass: `gate: verdict`.
    fn says(&self) -> Vec<String> {
        let say = |answer: &Answer| {
            let verdict = match &answer.verdict {
                Verdict::Pass { .. } => return None,
                Verdict::Defer { until_ms, .. } => {
                    format!("defer{}", if until_ms.is_some() { " until" } else { "" })
                }
                Verdict::Hold { remedy, approvable, .. } => {
                    assert!(!remedy.is_empty(), "a hold says what a person can do");
                    if *approvable { "ask".to_owned() } else { "hold".to_owned() }
                }
            };
            Some(format!("{:?}: {verdict}", answer.gate))
        };
        let mut says: Vec<String> = self.ask().iter().filter_map(say).collect();
        says.dedup();
        says
    }
}

fn check(question: &Question, expected: &[&str]) {
    assert_eq!(question.says(), expected);
}

#[test]
fn a_minor_update_with_all_well_passes_every_gate() {
    check(&question("1.0.0", "1.1.0"), &[]);
    assert!(question("1.0.0", "1.1.0").ask().len() >= 10, "all gates are shown");
}

#[test]
fn gate_1_any_content_of_the_busy_flag_defers() {
    let busy = question("1.0.0", "1.0.1")
        .with(|ask| ask.facts.busy = Some(Busy::Busy("in flight".to_owned())));
    check(&busy, &["Busy: defer"]);
}

#[test]
fn gate_1_the_flag_is_asked_before_fetching_where_it_was_gathered() {
    let ask = question("1.0.0", "1.0.1")
        .with(|ask| ask.facts.busy = Some(Busy::Busy("in flight".to_owned())));
    let early = judge(Round::Candidate, &ask.app, &ask.policy, &ask.facts);
    assert!(early.iter().any(|answer| answer.gate == GateId::Busy && !answer.passes()));
}

#[test]
fn gate_2_majors_and_downgrades_ask_and_unreadable_versions_too() {
    for (from, to, expected) in [
        ("1.0.0", "2.0.0", &["Version: ask"][..]),
        ("0.4.0", "0.5.0", &["Version: ask"]),
        ("1.1.0", "1.0.0", &["Version: ask"]),
        ("1.1.0", "1.1.1", &[]),
    ] {
        check(&question(from, to), expected);
    }
    let odd = question("1.0.0", "latest");
    assert!(odd.says().contains(&"Version: ask".to_owned()), "{:?}", odd.says());
    let opaque = odd.with(|ask| ask.policy.version_form = VersionForm::Opaque);
    check(&opaque, &[]);
}

#[test]
fn src_5_a_downgrade_follows_only_to_what_was_proven_here_and_with_a_new_serial() {
    let back = || {
        question("1.1.0", "1.0.0").with(|ask| {
            ask.policy.downgrades = Downgrades::Follow;
            ask.app.proven.push("sha256:1.0.0".into());
            ask.app.serial = Some(7);
            ask.facts.offer.serial = Some(8);
        })
    };
    check(&back(), &[]);
    check(&back().with(|ask| ask.facts.offer.serial = Some(7)), &["Version: ask"]);
    check(&back().with(|ask| ask.app.proven.clear()), &["Version: ask"]);
    check(&back().with(|ask| ask.policy.downgrades = Downgrades::Hold), &["Version: ask"]);
    let pinned = question("1.1.0", "1.0.0").with(|ask| ask.facts.offer.via = Via::Pin);
    check(&pinned, &[]);
}

#[test]
fn gate_3_notes_of_skipped_releases_count_and_unreadable_ones_defer() {
    let noted = |notes: NotesFact| question("1.0.0", "1.3.0").with(|ask| ask.facts.notes = notes);
    let skipped = vec![note("1.2.0", "# Before upgrading\nRun the tool."), note("1.3.0", "Fine.")];
    check(&noted(NotesFact::Files(skipped)), &["ManualMigration: ask"]);
    let old = vec![note("1.0.0", "Manual migration needed."), note("1.3.0", "Fine.")];
    check(&noted(NotesFact::Files(old)), &[]);
    check(&noted(NotesFact::Unreadable("EIO".to_owned())), &["ManualMigration: defer"]);
    let required = noted(NotesFact::Files(Vec::new()));
    check(&required.with(|ask| ask.policy.notes_required = true), &["ManualMigration: ask"]);
}

#[test]
fn gate_4_known_bad_holds_whatever_a_person_approved() {
    let bad = question("1.0.0", "1.0.1").with(|ask| {
        ask.app.known_bad.push(KnownBad {
            digest: "sha256:1.0.1".into(),
            config: ConfigHash::from("c"),
            version: "1.0.1".to_owned(),
            why: "503".to_owned(),
            since_ms: 0,
        });
        ask.app.approved.push("sha256:1.0.1".into());
    });
    check(&bad, &["KnownBad: hold"]);
    let other_config = bad.with(|ask| ask.facts.offer.config = ConfigHash::from("d"));
    check(&other_config, &[]);
}

#[test]
fn gate_5_outside_its_window_it_defers_with_the_next_opening() {
    let tz = jiff::tz::TimeZone::UTC;
    let windowed = |open: &str| {
        let windows = Windows::parse(tz.clone(), &[open], &[]).unwrap();
        question("1.0.0", "1.0.1").with(|ask| ask.policy.windows = Some(windows))
    };
    check(&windowed("Sat 09:00-11:00"), &[]);
    check(&windowed("Mon-Fri 02:00-05:00"), &["Window: defer until"]);
    let unknown = windowed("Sat 09:00-11:00").with(|ask| ask.facts.now.synchronized = false);
    check(&unknown, &["Window: defer"]);
}

#[test]
fn gate_6_too_little_room_defers_and_inodes_count() {
    let room = |spoil: fn(&mut Place)| {
        question("1.0.0", "1.0.1").with(|ask| {
            if let Some(Ok(room)) = &mut ask.facts.room {
                room.places.iter_mut().for_each(spoil);
            }
        })
    };
    check(&room(|place| place.free_bytes = 49), &["Room: defer"]);
    check(&room(|place| place.free_inodes = Some(49)), &["Room: defer"]);
    check(&room(|place| place.free_inodes = None), &[]);
    let unknown = question("1.0.0", "1.0.1").with(|ask| ask.facts.room = Some(Err("EIO".into())));
    check(&unknown, &["Room: defer"]);
}

#[test]
fn gate_7_without_a_way_back_it_holds() {
    let gone =
        question("1.0.0", "1.0.1").with(|ask| ask.facts.way_back = Some(Err("missing".to_owned())));
    check(&gone, &["WayBack: hold"]);
}

#[test]
fn gate_8_external_checks_pass_defer_or_hold_by_their_code() {
    for (outcome, expected) in [
        (External::Exit(0), &[][..]),
        (External::Status(204), &[]),
        (External::Exit(75), &["External: defer"]),
        (External::Status(503), &["External: defer"]),
        (External::Exit(1), &["External: hold"]),
        (External::Status(302), &["External: hold"]),
        (External::Failed("timed out".to_owned()), &["External: hold"]),
    ] {
        let asked = question("1.0.0", "1.0.1")
            .with(|ask| ask.facts.external = vec![("ci".to_owned(), outcome)]);
        check(&asked, expected);
    }
}

#[test]
fn gate_11_other_work_in_the_group_defers() {
    let claim = Claim { who: "tiles".to_owned(), since: "10:00".to_owned() };
    let busy = question("1.0.0", "1.0.1").with(|ask| ask.facts.claim = Some(claim));
    check(&busy, &["OtherWork: defer"]);
}

#[test]
fn gate_12_dependencies_must_be_here_healthy_and_at_rest() {
    let depends = |healthy, updating| {
        question("1.0.0", "1.0.1").with(|ask| {
            ask.policy.after = vec!["tiles".to_owned()];
            ask.facts.neighbors = vec![Neighbor {
                app: "tiles".to_owned(),
                group: "default".to_owned(),
                healthy,
                updating,
            }];
        })
    };
    check(&depends(true, false), &[]);
    check(&depends(true, true), &["Dependencies: defer"]);
    check(&depends(false, false), &["Dependencies: defer"]);
    let absent = depends(true, false).with(|ask| ask.facts.neighbors.clear());
    check(&absent, &["Dependencies: hold"]);
}

#[test]
fn upd_7_a_probe_that_is_red_before_asks_and_an_app_about_to_start_defers() {
    let red = Finding { probe: "http".to_owned(), failure: Some("503".to_owned()), took_ms: 1 };
    let ill = Baseline { about_to_start: false, findings: vec![red] };
    let asked = question("1.0.0", "1.0.1").with(|ask| ask.facts.baseline = Some(ill.clone()));
    check(&asked, &["Baseline: ask"]);
    let starting = Baseline { about_to_start: true, ..ill };
    let asked = question("1.0.0", "1.0.1").with(|ask| {
        ask.facts.baseline = Some(starting);
        ask.app.approved.push("sha256:1.0.1".into());
    });
    check(&asked, &["Baseline: defer"]);
}

#[test]
fn upd_18_data_that_could_not_be_read_again_holds() {
    let floor = question("1.1.0", "1.0.5").with(|ask| {
        ask.facts.offer.via = Via::Pin;
        if let Some(current) = &mut ask.facts.current {
            current.data_compatible_from = Some("1.1.0".to_owned());
        }
    });
    check(&floor, &["Data: hold"]);
    let epoch = question("1.0.0", "1.0.1").with(|ask| {
        ask.facts.offer.release.data_epoch = Some(1);
        if let Some(current) = &mut ask.facts.current {
            current.data_epoch = Some(2);
        }
    });
    check(&epoch, &["Data: hold"]);
    let external = question("1.0.0", "1.0.1").with(|ask| {
        ask.policy.procedure.volumes.clear();
        let migration = Migration { reversible: false, timeout_ms: 1 };
        ask.facts.offer.release.migration = Some(migration);
    });
    check(&external, &["Data: ask"]);
    let elsewhere = question("1.0.0", "1.0.1").with(|ask| ask.policy.external_data = true);
    check(&elsewhere, &[]);
    let migrates = elsewhere.with(|ask| {
        let migration = Migration { reversible: true, timeout_ms: 1 };
        ask.facts.offer.release.migration = Some(migration);
    });
    check(&migrates, &["Data: ask"]);
    let moves = question("1.0.0", "1.0.1").with(|ask| {
        ask.policy.external_data = true;
        ask.facts.offer.release.data_epoch = Some(2);
        if let Some(current) = &mut ask.facts.current {
            current.data_epoch = Some(1);
        }
    });
    check(&moves, &["Data: ask"]);
}

/// UPD-5: what the running release could not read again is a person's decision.
#[test]
fn upd_5_data_that_the_running_release_cannot_read_asks_a_person() {
    let plain = VersionForm::Plain;
    let cases = [
        (plain, "1.2.0", "1.0.0", &[][..]),
        (plain, "1.2.0", "1.2.0", &[]),
        (plain, "1.2.0", "v1.2.0", &[]),
        (plain, "1.2.0", "1.2.1", &["Data: ask"]),
        (plain, "1.2.0", "1.3.0", &["Data: ask"]),
        (plain, "1.2.0", "spring", &["Data: ask"]),
        (VersionForm::Opaque, "1.2.0", "1.2.0", &[]),
        (VersionForm::Opaque, "1.2.0", "1.0.0", &["Data: ask"]),
    ];
    for (form, running, floor, wanted) in cases {
        let asked = question(running, "1.3.0").with(|ask| {
            ask.policy.version_form = form;
            ask.facts.offer.release.data_compatible_from = Some(floor.to_owned());
        });
        check(&asked, wanted);
        check(&asked.with(|ask| ask.app.approved.push("sha256:1.3.0".into())), &[]);
    }
}

#[test]
fn upd_21_a_release_must_be_old_enough() {
    let young = question("1.0.0", "1.0.1").with(|ask| ask.policy.min_age_ms = 86_400_000);
    check(&young, &["Age: defer until"]);
    let old = young.with(|ask| ask.facts.offer.release.published_ms = Some(NOW_MS - 90_000_000));
    check(&old, &[]);
}

#[test]
fn upd_24_notify_and_manual_ask_a_person_and_a_pause_defers() {
    for mode in [Mode::Notify, Mode::Manual] {
        let asked = question("1.0.0", "1.0.1").with(|ask| ask.policy.mode = mode);
        check(&asked, &["Mode: ask"]);
    }
    let paused = question("1.0.0", "1.0.1").with(|ask| ask.app.paused = true);
    check(&paused, &["Mode: defer"]);
    let stopped = question("1.0.0", "1.0.1").with(|ask| ask.app.wanted_up = false);
    check(&stopped, &["Mode: defer"]);
}

#[test]
fn approving_passes_what_asks_and_nothing_that_holds() {
    let major = question("1.0.0", "2.0.0").with(|ask| {
        ask.app.approved.push("sha256:2.0.0".into());
        ask.policy.mode = Mode::Manual;
        ask.facts.way_back = Some(Err("missing".to_owned()));
    });
    check(&major, &["WayBack: hold"]);
}

#[test]
fn commands_in_an_answer_name_the_app_and_the_candidate() {
    for (said, wanted) in [
        ("`groundcrew start APP` ends it", "`groundcrew start tiles` ends it"),
        (
            "heal it, or `groundcrew approve APP VERSION`",
            "heal it, or `groundcrew approve tiles 2.0.0`",
        ),
        ("the check says: APP VERSION `APP`", "the check says: APP VERSION `APP`"),
    ] {
        let held = Answer::hold(GateId::Version, said, said).spelled("tiles", "2.0.0");
        assert_eq!(held, Answer::hold(GateId::Version, wanted, wanted));
        let deferred = Answer::defer(GateId::Version, said, None).spelled("tiles", "2.0.0");
        assert_eq!(deferred, Answer::defer(GateId::Version, wanted, None));
    }
}
