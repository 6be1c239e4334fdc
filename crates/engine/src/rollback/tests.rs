//! Which release, and what becomes of the data, for every history that a person may look back on.

use super::*;
use crate::machine::{KnownBad, Retained, Secured, State, Update, WatchSeen};
use crate::noun::{ConfigHash, Migration, TxnId};
use crate::plan::{Plan, Procedure, Volume};

/// A release; `Some(true)`: it migrates and can undo it.
fn installed(version: &str, migrates: Option<bool>) -> Installed {
    let release = Release {
        version: version.to_owned(),
        digest: format!("sha256:{version}").as_str().into(),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: migrates.map(|reversible| Migration { reversible, timeout_ms: 1 }),
    };
    let volumes = [("data".into(), Volume { path: "/data".to_owned() })].into();
    let procedure = Procedure { volumes, ..Procedure::default() };
    Installed { release, config: ConfigHash::from("then"), procedure }
}

fn now(ms: u64) -> Now {
    let wall_ms = i64::try_from(ms).unwrap();
    Now { wall_ms, uptime_ms: ms, boot: "b".into(), synchronized: true }
}

fn policy() -> Policy {
    let plain = Policy::plain("tiles".into(), ConfigHash::from("now"), Procedure::default());
    Policy { keep_way_backs: 10, retain_ms: 1_000, ..plain }
}

/// An app that ran these one after the other and runs the last.
fn history(ran: &[Installed]) -> App {
    let (running, before) = ran.split_last().unwrap();
    let row = |(number, from): (usize, &Installed)| Retained {
        txn: TxnId(format!("t{number}")),
        from: Some(from.clone()),
        snapshot: Some(SnapshotId(format!("s{number}"))),
        data_went_back: false,
        closed_uptime_ms: 0,
        closed_wall_ms: 0,
    };
    let retained = before.iter().enumerate().map(row).collect();
    App { running: Some(running.clone()), retained, ..App::default() }
}

fn ask(release: Option<&str>, data: DataWish, approved: bool) -> Ask<'_> {
    Ask { release, data, approved, by: "ann" }
}

/// The version and the work on the data, or what is refused.
fn chosen(app: &App, ask: &Ask<'_>) -> Result<(String, DataWork), String> {
    let choice = choose(app, &policy(), ask, &now(7)).map_err(|refused| refused.to_string())?;
    let Way::Order(offer) = choice.way else { panic!("{choice:?}") };
    assert_eq!((offer.via.clone(), &offer.config), (Via::Rollback, &ConfigHash::from("now")));
    let ordered = offer.ordered.unwrap();
    assert_eq!(ordered.to.config, ConfigHash::from("then"), "as it ran then");
    Ok((choice.to, ordered.work))
}

#[test]
fn upd_25_the_release_before_is_meant_and_its_data_stays() {
    let app = history(&[installed("1.0.0", None), installed("1.0.1", None)]);
    let usual = chosen(&app, &ask(None, DataWish::Usual, false));
    assert_eq!(usual, Ok(("1.0.0".to_owned(), DataWork::Nothing)));
    let restored = chosen(&app, &ask(None, DataWish::Restore(None), false));
    assert_eq!(restored, Ok(("1.0.0".to_owned(), DataWork::Restore("s0".into()))));
    let other = chosen(&app, &ask(None, DataWish::Restore(Some("x".into())), false));
    assert_eq!(other, Ok(("1.0.0".to_owned(), DataWork::Restore("x".into()))));
}

#[test]
fn upd_25_a_migration_is_undone_or_must_be_approved() {
    let undoes = history(&[installed("1.0.0", None), installed("1.1.0", Some(true))]);
    let undone = chosen(&undoes, &ask(None, DataWish::Keep, false));
    assert_eq!(undone, Ok(("1.0.0".to_owned(), DataWork::Down)));
    let never = history(&[installed("1.0.0", None), installed("1.1.0", Some(false))]);
    let refused = chosen(&never, &ask(None, DataWish::Keep, false)).unwrap_err();
    assert!(refused.contains("cannot undo it") && refused.contains("--restore-data"), "{refused}");
    let approved = chosen(&never, &ask(None, DataWish::Keep, true));
    assert_eq!(approved, Ok(("1.0.0".to_owned(), DataWork::Nothing)));
    let far = [installed("1.0.0", None), installed("1.1.0", Some(true)), installed("1.2.0", None)];
    let refused = chosen(&history(&far), &ask(Some("1.0.0"), DataWish::Keep, false)).unwrap_err();
    assert!(refused.contains("1.1.0 migrated the data"), "{refused}");
}

#[test]
fn upd_25_a_release_is_named_and_one_that_is_known_as_bad_is_not_meant() {
    let ran = [installed("1.0.0", None), installed("1.0.1", None), installed("1.0.2", None)];
    let mut app = history(&ran);
    let named = chosen(&app, &ask(Some("1.0.0"), DataWish::Usual, false));
    assert_eq!(named.map(|(version, _)| version), Ok("1.0.0".to_owned()));
    let refused = chosen(&app, &ask(Some("0.9.0"), DataWish::Usual, false)).unwrap_err();
    assert!(refused.contains("kept are 1.0.1, 1.0.0"), "{refused}");
    app.known_bad.push(KnownBad {
        digest: "sha256:1.0.1".into(),
        config: ConfigHash::from("then"),
        version: "1.0.1".to_owned(),
        why: "503".to_owned(),
        since_ms: 0,
    });
    let skipped = chosen(&app, &ask(None, DataWish::Usual, false));
    assert_eq!(skipped.map(|(version, _)| version), Ok("1.0.0".to_owned()));
    let refused = chosen(&app, &ask(Some("1.0.1"), DataWish::Usual, false)).unwrap_err();
    assert!(refused.contains("known as bad on this host: 503"), "{refused}");
    let approved = chosen(&app, &ask(Some("1.0.1"), DataWish::Usual, true));
    assert_eq!(approved.map(|(version, _)| version), Ok("1.0.1".to_owned()));
}

#[test]
fn upd_25_without_a_way_back_the_reason_is_said() {
    let alone = history(&[installed("1.0.0", None)]);
    let refused = chosen(&alone, &ask(None, DataWish::Usual, false)).unwrap_err();
    assert!(refused.contains("no update of it is kept"), "{refused}");
    let refused = chosen(&App::default(), &ask(None, DataWish::Usual, false)).unwrap_err();
    assert_eq!(refused, "nothing of tiles is installed");
    let mut stopped = history(&[installed("1.0.0", None), installed("1.0.1", None)]);
    stopped.wanted_up = false;
    let refused = chosen(&stopped, &ask(None, DataWish::Usual, false)).unwrap_err();
    assert!(refused.contains("groundcrew start tiles"), "{refused}");
}

#[test]
fn upd_5_a_migration_is_ordered_only_where_the_release_has_the_command() {
    let order = |migrates, down| {
        let app = history(&[installed("1.0.0", migrates)]);
        migrate(&app, &policy(), down, "ann", 0).map(|offer| offer.ordered.unwrap().work)
    };
    assert_eq!(order(Some(true), false), Ok(DataWork::Up));
    assert_eq!(order(Some(true), true), Ok(DataWork::Down));
    assert!(matches!(order(Some(false), true), Err(Refused::NoCommand { down: true, .. })));
    assert!(matches!(order(None, false), Err(Refused::NoCommand { down: false, .. })));
}

fn watching(migrates: Option<bool>) -> App {
    let mut app = history(&[installed("1.0.0", None), installed("1.1.0", migrates)]);
    let to = app.running.clone().unwrap();
    let offer = Offer {
        release: to.release.clone(),
        config: to.config.clone(),
        via: Via::Channel,
        serial: None,
        first_seen_ms: 0,
        ordered: None,
    };
    let from = Some(installed("1.0.0", None));
    let one_way = (migrates == Some(false)).then(|| "it cannot undo it".to_owned());
    let (txn, answers, left_out) = (TxnId::from("t"), Vec::new(), Vec::new());
    let plan = Plan { txn, from, to, offer, answers, left_out, drawn_ms: 0, work: None, one_way };
    let (stop, down_ms, up_ms, set_aside) = (None, None, None, None);
    let update = Update { plan, stop, down_ms, up_ms, resumed: 0, set_aside };
    let secured = Secured { update, way_back: WayBack::Snapshot("s".into()) };
    app.state = State::Watching(Watching { secured, seen: WatchSeen::default() });
    app
}

#[test]
fn upd_25_an_open_update_is_taken_back_with_its_data_unless_it_is_to_stay() {
    let way = |migrates, data: DataWish, approved| {
        let choice = choose(&watching(migrates), &policy(), &ask(None, data, approved), &now(0))?;
        Ok::<Way, Refused>(choice.way)
    };
    assert_eq!(way(None, DataWish::Usual, false), Ok(Way::TakeBack(DataChoice::Restore)));
    assert_eq!(way(None, DataWish::Keep, false), Ok(Way::TakeBack(DataChoice::Keep)));
    assert_eq!(way(Some(true), DataWish::Keep, false), Ok(Way::TakeBack(DataChoice::Keep)));
    assert!(matches!(way(Some(false), DataWish::Keep, false), Err(Refused::OneWay { .. })));
    assert_eq!(way(Some(false), DataWish::Keep, true), Ok(Way::TakeBack(DataChoice::Keep)));
    let another = way(None, DataWish::Restore(Some("x".into())), false);
    assert!(matches!(another, Err(Refused::NoCopy { .. })), "{another:?}");
}

#[test]
fn upd_25_the_same_release_with_an_older_configuration_has_its_data_left_alone() {
    let mut older = installed("1.1.0", Some(true));
    older.config = ConfigHash::from("older");
    let app = history(&[older, installed("1.1.0", Some(true))]);
    let choice = choose(&app, &policy(), &ask(None, DataWish::Usual, false), &now(0)).unwrap();
    let Way::Order(offer) = choice.way else { panic!("an order") };
    assert_eq!(offer.ordered.unwrap().work, DataWork::Nothing);
}

#[test]
fn upd_25_a_newer_release_is_migrated_up_to_and_nothing_is_undone_twice() {
    let reversible = |version| installed(version, Some(true));
    let newer = history(&[reversible("1.1.0"), reversible("1.0.0")]);
    let up = chosen(&newer, &ask(Some("1.1.0"), DataWish::Usual, true));
    assert_eq!(up, Ok(("1.1.0".to_owned(), DataWork::Up)));
    let mut undone = history(&[installed("1.0.0", None), reversible("1.1.0")]);
    undone.undone = Some("sha256:1.1.0".into());
    let way = chosen(&undone, &ask(None, DataWish::Usual, false));
    assert_eq!(way, Ok(("1.0.0".to_owned(), DataWork::Nothing)));
}

#[test]
fn upd_25_an_older_copy_never_stays_under_the_newer_release() {
    let mut app = watching(None);
    if let State::Watching(watching) = &mut app.state {
        let plan = &mut watching.secured.update.plan;
        plan.work = Some(DataWork::Restore("old".into()));
        plan.one_way = Some("it did not own it".to_owned());
    }
    let kept = choose(&app, &policy(), &ask(None, DataWish::Keep, true), &now(0));
    assert!(matches!(kept, Err(Refused::OneWay { .. })), "{kept:?}");
}

#[test]
fn upd_25_a_migration_that_a_first_way_back_undid_is_no_hurdle_for_a_second_one() {
    let (first, second) = (installed("1.0.0", None), installed("1.0.1", None));
    let undone = installed("1.1.0", Some(true));
    let mut app = history(&[first.clone(), second.clone(), undone.clone(), second.clone()]);
    let ask = ask(Some("1.0.0"), DataWish::Keep, false);
    let refused = chosen(&app, &ask).unwrap_err();
    assert!(refused.contains("1.1.0 migrated the data"), "it stayed migrated: {refused}");
    app.retained.last_mut().unwrap().data_went_back = true;
    assert_eq!(chosen(&app, &ask), Ok(("1.0.0".to_owned(), DataWork::Nothing)));
    let mut never = history(&[first.clone(), installed("1.1.0", Some(false)), undone, second]);
    never.retained.last_mut().unwrap().data_went_back = true;
    assert!(chosen(&never, &ask).is_ok(), "all that ran before 1.0.1 came back is gone");
}

#[test]
fn upd_25_only_what_clean_up_keeps_is_named() {
    let mut app =
        history(&[installed("1.0.0", None), installed("1.0.1", None), installed("1.0.2", None)]);
    let kept = policy().retain_ms;
    app.retained[1].closed_wall_ms = i64::try_from(kept).unwrap();
    app.retained[1].closed_uptime_ms = kept;
    app.uptime = crate::machine::Uptime { boot: Some("b".into()), at_ms: kept, total_ms: kept };
    let ask = ask(Some("1.0.0"), DataWish::Usual, false);
    let refused = choose(&app, &policy(), &ask, &now(kept)).unwrap_err().to_string();
    assert!(refused.ends_with("kept are 1.0.1"), "{refused}");
    let early = choose(&app, &policy(), &ask, &now(kept - 1));
    assert!(early.is_ok(), "{early:?}");
}
