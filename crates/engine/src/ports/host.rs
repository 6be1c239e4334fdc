//! The host: its clock, its busy flag, its room, and the other work on it.
//!
//! Three small traits, because a test or a later role wants one without the others.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::noun::{Fault, Now, Release, VolumeName};
use crate::plan::Volume;

/// What the busy flag says (GATE-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Clear.
    Clear,
    /// Busy: what the flag says, or why it counts as busy.
    Busy(String),
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time passed.
    Time,
    /// Something changed: a person said something, the flag moved. Decide again.
    Nudge,
    /// The agent is to end. The update stays as it is; the next agent resumes it.
    Shutdown,
}

/// Room on the file systems that an update writes to (GATE-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// One entry per file system involved.
    pub places: Vec<Place>,
}

/// Room at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which, for people: a path on it.
    pub path: String,
    /// Free bytes for us.
    pub free_bytes: u64,
    /// Free inodes; `None` where the file system does not count them.
    pub free_inodes: Option<u64>,
    /// Bytes that the update needs here: fetch, snapshot, restore, failed data, journal.
    pub need_bytes: u64,
    /// Inodes that it needs here.
    pub need_inodes: u64,
}

/// An external check to run (GATE-8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalCheck {
    /// Its name.
    pub name: String,
    /// A command, or
    pub command: Option<Vec<String>>,
    /// a URL to GET.
    pub url: Option<String>,
    /// Limit.
    pub timeout_ms: u64,
    /// Told to the check: app, version, digest, revision, as `GROUNDCREW_…` or query parameters.
    pub about: BTreeMap<String, String>,
}

/// How an external check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// The command's exit code.
    Exit(i32),
    /// The HTTP status.
    Status(u16),
    /// It did not end in time, or could not be run or reached.
    Failed(String),
}

/// Another app on this host, as the gates see it (GATE-11, GATE-12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its name.
    pub app: String,
    /// Its exclusion group.
    pub group: String,
    /// It runs and its latest probes passed.
    pub healthy: bool,
    /// An update of it is open and touches it.
    pub updating: bool,
}

/// Something else that must not be disturbed: a claim file in the state directory (GATE-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub who: String,
    /// Since when, for people.
    pub since: String,
}

/// The clock, and the only place where anything waits.
pub trait Clock {
    /// The time.
    fn now(&mut self) -> Now;

    /// Waits, at most so long.
    fn wait(&mut self, at_most: Duration) -> Woken;
}

/// The host.
pub trait Host {
    /// Reads the busy flag; any doubt is busy.
    fn busy(&mut self) -> Busy;

    /// Sets or clears the marker that says "an update is about to stop or start something". Set
    /// *before* the flag is read, so that a launcher which sets its flag and then looks at the
    /// marker cannot miss it. Survives a crash of the agent; a reboot clears it.
    ///
    /// # Errors
    ///
    /// The marker could not be written.
    fn announce(&mut self, updating: bool) -> Result<(), Fault>;

    /// Measures the room for an update with these volumes to this release.
    ///
    /// # Errors
    ///
    /// A file system could not be asked.
    fn room(
        &mut self,
        volumes: &BTreeMap<VolumeName, Volume>,
        release: &Release,
    ) -> Result<Room, Fault>;

    /// Runs an external check.
    fn check(&mut self, check: &ExternalCheck) -> External;

    /// When a progress file was last touched, in wall milliseconds; `None`: it does not exist.
    fn touched_ms(&mut self, path: &str) -> Option<i64>;
}

/// The other work on this host.
pub trait Neighbors {
    /// The other apps.
    fn list(&mut self) -> Vec<Neighbor>;

    /// Takes or gives back the exclusion group for this app's update; `Some`: who has it. Taking
    /// it twice is once; it is given back by itself when the agent dies.
    fn exclude(&mut self, take: bool) -> Option<Claim>;
}

/// What [`contract`] needs of whoever calls it.
#[allow(missing_debug_implementations, reason = "closures have no useful form")]
pub struct Fixture<'f> {
    /// Sets the busy flag, as others do.
    pub set_busy: &'f mut dyn FnMut(bool),
    /// Whether the marker "an update is at work" can be seen, as others see it.
    pub marked: &'f mut dyn FnMut() -> bool,
    /// A release that might be fetched.
    pub release: &'f Release,
}

/// What every host promises, checked through the trait.
///
/// # Panics
///
/// A promise is broken.
pub fn contract(host: &mut dyn Host, fixture: &mut Fixture<'_>) {
    for busy in [false, true, true, false] {
        (fixture.set_busy)(busy);
        assert_eq!(host.busy() != Busy::Clear, busy, "the flag is read anew each time");
    }
    for updating in [false, true, true, false, false] {
        host.announce(updating).expect("the marker is set and cleared, and once more");
        assert_eq!((fixture.marked)(), updating);
    }
    let room = host.room(&BTreeMap::new(), fixture.release).expect("the room is measured");
    assert!(!room.places.is_empty(), "an update writes somewhere");
    assert!(room.places.iter().all(|place| place.need_bytes > 0), "{room:?}");
    assert_eq!(host.touched_ms("/no/such/file/anywhere"), None);
}

/// What every clock promises.
///
/// # Panics
///
/// A promise is broken.
pub fn contract_clock(clock: &mut dyn Clock) {
    let before = clock.now();
    let woken = clock.wait(Duration::from_millis(5));
    let after = clock.now();
    assert_eq!(before.boot, after.boot, "one boot");
    if woken == Woken::Time {
        assert!(after.uptime_ms >= before.uptime_ms.saturating_add(5), "{before:?} {after:?}");
    }
}

/// What everybody promises who knows the other work: two apps of one group, and nobody else's work.
///
/// # Panics
///
/// A promise is broken.
pub fn contract_neighbors(one: &mut dyn Neighbors, other: Option<&mut dyn Neighbors>) {
    assert_eq!(one.exclude(false), None, "nothing to give back");
    assert_eq!(one.exclude(true), None, "nobody has the group");
    assert_eq!(one.exclude(true), None, "taking it twice is once");
    if let Some(other) = other {
        assert!(other.exclude(true).is_some(), "two have the group");
        assert_eq!(other.exclude(false), None, "what one does not have is not given back");
        assert!(other.exclude(true).is_some(), "the group of another was given back");
        one.exclude(false);
        assert_eq!(other.exclude(true), None, "it was given back");
        assert!(one.exclude(true).is_some());
        other.exclude(false);
    }
    one.exclude(false);
}
