//! Tests of the store: what a fold gives back, what a kill, a full disk and damage leave, what people
//! are told.

mod damage;
mod disk;
mod fixture;
mod queue;
mod records;

use std::fs;
use std::path::{Path, PathBuf};

use groundcrew_engine::agent::{notices, summary};
use groundcrew_engine::gate::Round;
use groundcrew_engine::machine::{App, Ending, Entry, Event, Step, StopReport, WatchTick};
use groundcrew_engine::noun::{
    AppName, BootId, ConfigHash, Digest, Now, Offer, Release, SnapshotId, TxnId, Via,
};
use groundcrew_engine::plan::{Installed, Plan, Procedure, Volume, WatchSpec};
use groundcrew_engine::ports::{Append, Journal as _, JournalError, Notice};

use super::{Load, Store};

const NOON: i64 = 1_800_000_000_000;

/// The time, one second later with every entry.
fn at(count: u64) -> Now {
    let ms = count * 1000;
    let wall_ms = NOON + i64::try_from(ms).unwrap();
    Now { wall_ms, uptime_ms: 5000 + ms, boot: BootId::from("boot1"), synchronized: true }
}

fn open(dir: &Path) -> Store {
    let opened = Store::open(dir).unwrap();
    assert_eq!(opened.set_aside, None);
    opened.store
}

/// One app as its agent knows it, and the store that should know the same.
struct Teller {
    store: Store,
    name: AppName,
    app: App,
    count: u64,
}

impl Teller {
    fn new(store: &Store, name: &str) -> Teller {
        Teller { store: store.clone(), name: name.into(), app: App::default(), count: 0 }
    }

    fn tell(&mut self, event: Event) {
        self.try_tell(event).unwrap();
    }

    /// Appends as the agent does; on an error nothing is believed.
    fn try_tell(&mut self, event: Event) -> Result<(), JournalError> {
        let entry = Entry { at: at(self.count + 1), event };
        let after = self.app.clone().apply(&entry).unwrap();
        let txn = |app: &App| app.state.update().map(|update| update.plan.txn.clone());
        let txn = txn(&self.app).or_else(|| txn(&after));
        let told = notices(&self.name, &self.app, &after, &entry);
        let closed = summary(&self.app, &entry);
        self.store.journal(&self.name).append(&Append {
            app: &self.name,
            txn: txn.as_ref(),
            entry: &entry,
            notices: &told,
            before: &self.app,
            after: &after,
            closed: closed.as_ref(),
        })?;
        (self.app, self.count) = (after, self.count + 1);
        Ok(())
    }

    fn tell_all(&mut self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// A whole update, from being found to its end; every third goes back.
    fn update(&mut self, number: u64) {
        let version = format!("1.{number}.0");
        let events =
            if number % 3 == 2 { failing(&version, self) } else { proving(&version, self) };
        self.tell_all(events);
        assert!(self.app.state.update().is_none());
    }

    fn plan(&self, version: &str) -> Plan {
        let config = ConfigHash::from("config");
        let watch = WatchSpec { window_ms: 1000, ..WatchSpec::default() };
        let volume = ("data".into(), Volume { path: "/srv/tiles/data".to_owned() });
        let procedure = Procedure { watch, volumes: [volume].into(), ..Procedure::default() };
        let release = release(version);
        let now = at(self.count);
        let offer = Offer {
            release: release.clone(),
            config: config.clone(),
            via: Via::Channel,
            ordered: None,
            serial: Some(7),
            first_seen_ms: now.wall_ms,
        };
        Plan {
            txn: TxnId::at(&now),
            from: self.app.running.clone(),
            to: Installed { release, config, procedure },
            offer,
            answers: Vec::new(),
            left_out: Vec::new(),
            work: None,
            one_way: None,
            drawn_ms: now.wall_ms,
        }
    }

    fn check(&self) {
        assert_eq!(load(&self.store, self.name.as_str()), Some(self.app.clone()));
    }
}

fn load(store: &Store, name: &str) -> Option<App> {
    match store.load(&name.into()).unwrap() {
        Load::App(app) => Some(*app),
        Load::Fresh => None,
        Load::Refused { app, why } => panic!("{app} is refused: {why}"),
    }
}

fn refused(store: &Store, name: &str) -> String {
    match store.load(&name.into()).unwrap() {
        Load::Refused { app, why } => {
            assert_eq!(app.as_str(), name);
            why
        }
        other => panic!("{other:?}"),
    }
}

fn release(version: &str) -> Release {
    Release {
        version: version.to_owned(),
        digest: Digest(format!("sha256:{version}")),
        revision: Some("abcdef".to_owned()),
        published_ms: None,
        data_epoch: Some(1),
        data_compatible_from: None,
        migration: None,
    }
}

/// Up to the plan.
fn arming(plan: &Plan) -> Vec<Event> {
    vec![
        Event::Found { offer: plan.offer.clone() },
        Event::Judged { round: Round::Candidate, answers: Vec::new() },
        Event::Intent { step: Step::Fetch },
        Event::Fetched { release: plan.to.release.clone() },
        Event::Armed { plan: Box::new(plan.clone()) },
    ]
}

/// Up to the candidate's start.
fn starting(plan: &Plan) -> Vec<Event> {
    let report = StopReport::default;
    let snapshot = Some(SnapshotId(plan.txn.0.clone()));
    let mut events = arming(plan);
    events.extend([
        Event::Intent { step: Step::Prepare },
        Event::Prepared,
        Event::Precopied { bytes: 0 },
        Event::Cleared,
        Event::Intent { step: Step::Stop },
        Event::Stopped { report: report() },
        Event::Intent { step: Step::Snapshot },
        Event::Snapshotted { snapshot, bytes: 9 },
        Event::Intent { step: Step::Switch },
        Event::Switched,
        Event::Intent { step: Step::Start },
        Event::Started,
    ]);
    events
}

fn proving(version: &str, teller: &Teller) -> Vec<Event> {
    let tick = || WatchTick { finding: None, down: false, by_itself: false };
    let mut events = starting(&teller.plan(version));
    events.extend([
        Event::Proved,
        Event::Intent { step: Step::Open },
        Event::Opened,
        Event::Watched { tick: tick() },
        Event::Watched { tick: tick() },
        Event::Intent { step: Step::Close },
        Event::Closed { ending: Ending::Proven },
    ]);
    events
}

fn failing(version: &str, teller: &Teller) -> Vec<Event> {
    let report = StopReport::default;
    let mut events = starting(&teller.plan(version));
    events.extend([
        Event::Disproved { finding: "health: 503".to_owned() },
        Event::EvidenceKept { ended: None, output: vec!["a line".to_owned()] },
        Event::Intent { step: Step::RbStop },
        Event::RbStopped { report: report() },
        Event::Intent { step: Step::RbBuild },
        Event::RbBuilt { pairs: Vec::new() },
        Event::Intent { step: Step::RbExchange },
        Event::RbRestored { set_aside: Some("/srv/failed".to_owned()) },
        Event::Intent { step: Step::RbSwitch },
        Event::RbSwitched,
        Event::Intent { step: Step::RbStart },
        Event::RbStarted,
        Event::RbProved,
        Event::Intent { step: Step::Close },
        Event::Closed { ending: Ending::RolledBack },
    ]);
    events
}

fn sql(dir: &Path, statements: &str) {
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    db.execute_batch(statements).unwrap();
}

fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read("count", |db| db.query_row(&sql, [], |row| row.get(0))).unwrap()
}
