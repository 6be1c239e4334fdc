//! The simulated machine: everything that survives the death of an agent, and the truth about it.
//!
//! The world keeps two books. One is what a machine has: processes, data, copies, a journal. The
//! other, [`Truth`], is what really happened, kept by the world itself and never shown to the
//! engine; landings are checked against it first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use groundcrew_engine::machine::{App, Entry};
use groundcrew_engine::noun::{BootId, Digest, Fault, Now, SnapshotId, TxnId};
use groundcrew_engine::plan::Plan;
use groundcrew_engine::ports::{Notice, Summary};

use crate::release::{Health, SimRelease, Starts};
use crate::seeded::Seeded;
use crate::story::{Do, Trigger};
pub use crate::things::{Book, Copy, Lines, Run, Tree, Truth};

/// Milliseconds of wall time at the first boot.
const EPOCH_MS: i64 = 1_800_000_000_000;
/// Rows that the app has before the story begins.
const FIRST_ROWS: u64 = 3;

/// The world, shared by its ports.
pub type Shared = Rc<RefCell<World>>;

/// Thrown where the power goes, or the agent is killed.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

/// The simulated machine.
#[derive(Debug)]
pub struct World {
    /// The wall clock is this far off.
    pub skew_ms: i64,
    /// Milliseconds since the first boot.
    pub elapsed_ms: u64,
    /// Milliseconds since this boot.
    pub uptime_ms: u64,
    /// Boots.
    pub boots: u32,
    /// All releases there are.
    pub releases: Vec<SimRelease>,
    /// What the channel names.
    pub channel: Option<Digest>,
    /// Releases that were fetched.
    pub fetched: BTreeSet<Digest>,
    /// A fetch that was not finished.
    pub partial_fetch: bool,
    /// What is in place, put there by which update, and whether on its way back.
    pub place: Option<(Digest, TxnId, bool)>,
    /// Starts by name, oldest first.
    pub runs: Vec<(String, Run)>,
    /// Live volumes.
    pub volumes: BTreeMap<String, Tree>,
    /// Copies by id.
    pub copies: BTreeMap<String, Copy>,
    /// Restored trees by round and volume.
    pub restored: BTreeMap<(String, u32, String), Tree>,
    /// Data that was set aside, by update and volume, oldest first.
    pub aside: Vec<(String, String, Tree)>,
    /// What the busy flag says.
    pub busy: Option<String>,
    /// The marker "an update is at work".
    pub updating: bool,
    /// The busy flag was read while the marker was set, and said that it is clear.
    pub asked: bool,
    /// Users can reach the app.
    pub traffic_open: bool,
    /// The exclusion group is taken.
    pub excluded: bool,
    /// The journal.
    pub journal: Vec<Entry>,
    /// Plans written beside it.
    pub plan: Option<Plan>,
    /// Reserved room.
    pub ballast: bool,
    /// What people were told.
    pub notices: Vec<Notice>,
    /// Updates that are over.
    pub history: Vec<Summary>,
    /// Post-mortems by update.
    pub post_mortems: BTreeMap<String, String>,
    /// The app as the latest append saw it.
    pub latest: App,
    /// Points left until the cut; `None`: none comes.
    pub fuse: Option<u64>,
    /// Points passed, with their names.
    pub points: Vec<String>,
    /// What the story does to the machine, and when.
    pub triggers: Vec<Trigger>,
    /// Effects that fail, by name, so many times.
    pub failing: BTreeMap<&'static str, (u32, Fault)>,
    /// Appends fail while this is set; freeing the ballast helps if true.
    pub journal_full: Option<bool>,
    /// The engine's own restarts: it starts the release in place when it finds it down.
    pub self_starting: bool,
    /// The engine's own restarts are switched on at present.
    pub auto_start: bool,
    /// A person stopped the app, once.
    pub halted: bool,
    /// The mistake that is built in on purpose.
    pub seeded: Option<Seeded>,
    /// What was in place before a switch that is not durable (a built-in mistake).
    pub undurable_place: Option<Option<(Digest, TxnId, bool)>>,
    /// Entries at the journal's end that a cut loses (a built-in mistake).
    pub undurable_entries: usize,
    /// What really happened.
    pub truth: Truth,
    next_ino: u64,
}

impl World {
    /// A machine with these releases on offer.
    #[must_use]
    pub fn new(releases: Vec<SimRelease>, volumes: usize) -> Self {
        let mut world = Self {
            skew_ms: 0,
            elapsed_ms: 0,
            uptime_ms: 1_000,
            boots: 1,
            releases,
            channel: None,
            fetched: BTreeSet::new(),
            partial_fetch: false,
            place: None,
            runs: Vec::new(),
            volumes: BTreeMap::new(),
            copies: BTreeMap::new(),
            restored: BTreeMap::new(),
            aside: Vec::new(),
            busy: None,
            updating: false,
            asked: false,
            traffic_open: true,
            excluded: false,
            journal: Vec::new(),
            plan: None,
            ballast: false,
            notices: Vec::new(),
            history: Vec::new(),
            post_mortems: BTreeMap::new(),
            latest: App::default(),
            fuse: None,
            points: Vec::new(),
            triggers: Vec::new(),
            failing: BTreeMap::new(),
            journal_full: None,
            self_starting: false,
            auto_start: true,
            halted: false,
            seeded: None,
            undurable_place: None,
            undurable_entries: 0,
            truth: Truth::default(),
            next_ino: 100,
        };
        for number in 0..volumes {
            let tree = world.tree(vec!["epoch 1".to_owned()]);
            world.volumes.insert(format!("v{number}"), tree);
        }
        world
    }

    /// Puts a release in place and lets it write its first rows, as a person would have.
    pub fn install_by_hand(&mut self, version: &'static str) {
        let digest = self.by_version(version).digest();
        self.fetched.insert(digest.clone());
        self.place = Some((digest.clone(), TxnId::from("by-hand"), false));
        self.runs.push(("by-hand/start".to_owned(), Run { digest, ended: None, age: 0 }));
        for _ in 0..FIRST_ROWS {
            self.tick();
        }
    }

    /// A new directory.
    pub fn tree(&mut self, lines: Lines) -> Tree {
        self.next_ino += 1;
        Tree { ino: self.next_ino, lines }
    }

    /// The release with this version.
    ///
    /// # Panics
    ///
    /// The story names a release that it does not have.
    #[must_use]
    pub fn by_version(&self, version: &str) -> SimRelease {
        let found = self.releases.iter().find(|release| release.version == version);
        found.expect("a story names only releases that it has").clone()
    }

    /// The release with this digest.
    #[must_use]
    pub fn by_digest(&self, digest: &Digest) -> Option<SimRelease> {
        self.releases.iter().find(|release| release.digest() == *digest).cloned()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = i64::try_from(self.elapsed_ms).unwrap_or(i64::MAX);
        Now {
            wall_ms: EPOCH_MS + elapsed + self.skew_ms,
            uptime_ms: self.uptime_ms,
            boot: BootId(format!("boot{}", self.boots)),
            synchronized: true,
        }
    }

    /// Time passes; what runs, lives.
    pub fn pass(&mut self, ms: u64) {
        self.elapsed_ms += ms;
        self.uptime_ms += ms;
        self.tick();
    }

    /// What runs, writes a row, and may die of itself; an engine may start what is down.
    pub fn tick(&mut self) {
        if self.alive().is_none() && self.self_starting && self.auto_start {
            self.start_behind_our_back();
        }
        let Some(run) = self.alive_mut() else { return };
        run.age += 1;
        let (digest, age) = (run.digest.clone(), run.age);
        let Some(release) = self.by_digest(&digest) else { return };
        if let Starts::DiesAfter(ticks) = release.starts
            && age > ticks
        {
            self.end_run("exit code 1");
            return;
        }
        self.write_row(release.version);
    }

    /// Whatever runs ends like this.
    pub fn end_run(&mut self, how: &str) {
        if let Some(run) = self.alive_mut() {
            run.ended = Some(how.to_owned());
        }
    }

    fn write_row(&mut self, version: &str) {
        let rows = self.truth.book.rows.entry(version.to_owned()).or_default();
        let row = format!("row {} by {version}", rows.len());
        rows.push(row.clone());
        for tree in self.volumes.values_mut() {
            tree.lines.push(row.clone());
        }
    }

    /// An engine with a restart policy of its own.
    fn start_behind_our_back(&mut self) {
        let Some((digest, ..)) = self.place.clone() else { return };
        let name = format!("engine/{}", self.runs.len());
        let Some(release) = self.by_digest(&digest) else { return };
        let want = format!("epoch {}", release.epoch);
        let refuses = self.volumes.values().any(|tree| tree.lines.first() != Some(&want));
        if refuses || release.starts == Starts::Exits {
            // A real app refuses data that it cannot read.
            let ended = Some("exit code 1".to_owned());
            self.runs.push((name, Run { digest, ended, age: 0 }));
            return;
        }
        self.begin_run(name, digest);
    }

    /// Starts a process and checks what a real app would die of.
    pub fn begin_run(&mut self, name: String, digest: Digest) {
        if self.alive().is_some() {
            self.violation(format!("a second copy was started: {name}"));
        }
        if let Some(release) = self.by_digest(&digest) {
            let want = format!("epoch {}", release.epoch);
            let wrong = self.volumes.values().any(|tree| tree.lines.first() != Some(&want));
            if wrong {
                let version = release.version;
                self.violation(format!("{version} was started on data that is not {want}"));
            }
        }
        self.runs.push((name, Run { digest, ended: None, age: 0 }));
    }

    /// The run that is alive.
    #[must_use]
    pub fn alive(&self) -> Option<&Run> {
        self.runs.iter().map(|(_, run)| run).find(|run| run.ended.is_none())
    }

    fn alive_mut(&mut self) -> Option<&mut Run> {
        self.runs.iter_mut().map(|(_, run)| run).find(|run| run.ended.is_none())
    }

    /// The release of the run that is alive.
    #[must_use]
    pub fn running_digest(&self) -> Option<Digest> {
        self.alive().map(|run| run.digest.clone())
    }

    /// What a probe of the running release says; `None`: it is well.
    #[must_use]
    pub fn illness(&self, of: &Digest) -> Option<String> {
        let Some(run) = self.alive() else { return Some("connection refused".to_owned()) };
        if run.digest != *of {
            return Some(format!("answered by {}", run.digest));
        }
        let ill = match self.by_digest(of).map(|release| release.health) {
            Some(Health::Well) | None => false,
            Some(Health::Ill) => true,
            Some(Health::IllAfter(ticks)) => run.age > ticks,
            Some(Health::Glitch(ticks)) => run.age > 6 && run.age <= 6 + ticks,
        };
        ill.then(|| "503".to_owned())
    }

    /// A point where the power may go. The name says where for the report.
    pub fn point(&mut self, name: &str) {
        let state = self.latest.state.name();
        self.points.push(format!("{state}: {name}"));
        match &mut self.fuse {
            Some(0) => std::panic::panic_any(Cut),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// A promise was broken.
    pub fn violation(&mut self, what: String) {
        self.truth.violations.push(what);
    }

    /// A copy was brought back: what was written since it was taken is no longer in the data.
    pub fn take_back(&mut self, txn: &TxnId, copy: &SnapshotId) {
        // Once the old release is back in its place, the data is its own.
        if !matches!(self.place, Some((.., false))) {
            return;
        }
        let then = self.truth.at_copy.get(&copy.0).cloned().unwrap_or_default();
        let before = std::mem::replace(&mut self.truth.book, then);
        if self.truth.taken_back.0 != txn.0 {
            self.truth.taken_back = (txn.0.clone(), Vec::new());
        }
        let stays = |row: &String| self.truth.book.rows.values().any(|rows| rows.contains(row));
        let gone =
            before.rows.into_values().flatten().filter(|row| !stays(row)).collect::<Vec<_>>();
        self.truth.taken_back.1.extend(gone);
    }

    /// The power was gone: everything that was not on a disk is lost.
    pub fn reboot(&mut self) {
        self.boots += 1;
        self.uptime_ms = 5_000;
        self.elapsed_ms += 60_000;
        (self.updating, self.asked) = (false, false);
        self.kill_agent();
        if let Some(before) = self.undurable_place.take() {
            self.place = before;
        }
        let durable = self.journal.len().saturating_sub(self.undurable_entries);
        self.journal.truncate(durable);
        self.undurable_entries = 0;
        for (_, run) in &mut self.runs {
            run.ended.get_or_insert_with(|| "power loss".to_owned());
        }
        if self.self_starting && self.auto_start {
            self.start_behind_our_back();
        }
    }

    /// The agent died: its locks are free, everything else goes on.
    pub fn kill_agent(&mut self) {
        self.excluded = false;
        self.fuse = None;
    }

    /// What the story has in store for this moment.
    pub fn trigger(&mut self, event: &str) {
        let mut due = Vec::new();
        for trigger in &mut self.triggers {
            if trigger.fired || trigger.on != event {
                continue;
            }
            if trigger.skip > 0 {
                trigger.skip -= 1;
            } else {
                trigger.fired = true;
                due.push(trigger.then.clone());
            }
        }
        due.into_iter().for_each(|then| self.happen(then));
    }

    fn happen(&mut self, then: Do) {
        match then {
            Do::Busy(reason) => self.busy = reason.map(str::to_owned),
            Do::Channel(version) => self.channel = Some(self.by_version(version).digest()),
            Do::JournalFull { ballast_helps } => self.journal_full = Some(ballast_helps),
            Do::StepTheClock(ms) => self.skew_ms += ms,
            Do::Fail(effect, times, fault) => {
                self.failing.insert(effect, (times, fault));
            }
            Do::StartBehindOurBack => {
                if self.alive().is_none() {
                    self.start_behind_our_back();
                    self.tick();
                }
            }
            Do::KillTheApp => self.end_run("killed"),
            Do::DeleteVolume => {
                self.volumes.remove("v0");
            }
        }
    }

    /// Whether this effect fails now.
    pub fn failure(&mut self, effect: &'static str) -> Option<Fault> {
        let (left, fault) = self.failing.get_mut(effect)?;
        if *left == 0 {
            return None;
        }
        *left -= 1;
        Some(fault.clone())
    }

    /// The mistake is built in.
    #[must_use]
    pub fn is_seeded(&self, seeded: Seeded) -> bool {
        self.seeded == Some(seeded)
    }
}
