//! The other work on this host: exclusion groups of our own apps, and claims of others (GATE-11).
//!
//! Groups live in the agent's memory: there is one agent, and when it dies no update goes on.
//! Others, a test run or a shipment, lay a claim: a file in `<run>/claims` whose kernel lock they
//! hold. The lock dies with its owner, so a file without one is nobody's claim.
//!
//! ```text
//! {"schema": 1, "who": "rehearsal of tiles", "since": "2026-11-21T09:00:00Z", "group": null}
//! ```
//!
//! A claim without a group is on the whole host. One that cannot be read is, too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use groundcrew_engine::noun::AppName;
use groundcrew_engine::ports::{Claim, Neighbor, Neighbors};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::causes::causes;
use crate::durable::{self, Site};

/// Version of the claim files.
const SCHEMA: u32 = 1;

/// How long a claim waits for a lock that somebody looks at; looks are short.
const CLAIM_PATIENCE: Duration = Duration::from_secs(2);
const CLAIM_TICK: Duration = Duration::from_millis(5);

/// What all apps of one agent share; clones are the same.
#[derive(Clone, Debug)]
pub struct Groups {
    claims: PathBuf,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Who has a group, and since when.
    held: BTreeMap<String, (AppName, String)>,
    /// How the apps are, as the agent last said.
    apps: BTreeMap<String, Neighbor>,
}

/// One app's place among the others, one per app: dropping it gives the group back.
#[derive(Debug)]
pub struct Seat {
    groups: Groups,
    app: AppName,
    group: String,
}

/// A claim of ours on a group or on the host; dropping it ends it.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClaimFile {
    schema: u32,
    who: String,
    since: String,
    #[serde(default)]
    group: Option<String>,
}

impl Groups {
    /// Nobody has anything yet.
    #[must_use]
    pub fn new(run: &Path) -> Self {
        Self { claims: run.join("claims"), shared: Arc::default() }
    }

    /// The place of an app, which is in this group.
    #[must_use]
    pub fn seat(&self, app: &AppName, group: &str) -> Seat {
        Seat { groups: self.clone(), app: app.clone(), group: group.to_owned() }
    }

    /// Says how an app is, for the others.
    pub fn tell(&self, neighbor: Neighbor) {
        self.lock().apps.insert(neighbor.app.clone(), neighbor);
    }

    /// A thread that panicked leaves a whole table: each change is one insert or removal.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A living claim on this group, or on the host.
    fn claimed(&self, group: &str) -> Option<Claim> {
        let unreadable = |path: &Path, error: &dyn std::fmt::Display| Claim {
            who: format!("{} ({error})", path.display()),
            since: "an unknown time".to_owned(),
        };
        let entries = match fs::read_dir(&self.claims) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(unreadable(&self.claims, &error)),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort();
        paths.iter().find_map(|path| match living(path) {
            Ok(None) => None,
            Ok(Some(claim)) => {
                let concerns = claim.group.as_deref().is_none_or(|claimed| claimed == group);
                concerns.then_some(Claim { who: claim.who, since: claim.since })
            }
            Err(error) => Some(unreadable(path, &error)),
        })
    }
}

/// The claim, if somebody holds its lock.
fn living(path: &Path) -> io::Result<Option<ClaimFile>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(None),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno.into()),
    }
    let claim: ClaimFile = serde_json::from_reader(file)?;
    Ok(Some(claim))
}

/// Lays a claim, for a role that must not be disturbed. `name` names the file, `since` is for
/// people; without a group nothing on this host is updated meanwhile.
///
/// # Errors
/// The file cannot be written, or somebody else has this name.
pub fn claim(
    run: &Path,
    name: &str,
    who: &str,
    since: &str,
    group: Option<&str>,
) -> Result<Held, String> {
    let dir = run.join("claims");
    let path = dir.join(format!("{name}.json"));
    if let Ok(Some(other)) = living(&path) {
        return Err(format!("{} has it since {}", other.who, other.since));
    }
    let (who, since, group) = (who.to_owned(), since.to_owned(), group.map(str::to_owned));
    let file = ClaimFile { schema: SCHEMA, who, since, group };
    durable::create_dir_all(&dir, 0o755, Site::Flag)
        .and_then(|()| durable::write_json(&path, &file, 0o644, Site::Flag))
        .map_err(|error| causes(&error))?;
    let lock = lock(&path).map_err(|error| format!("cannot lock {}: {error}", path.display()))?;
    Ok(Held { path, _lock: lock })
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if started.elapsed() < CLAIM_PATIENCE => {
                std::thread::sleep(CLAIM_TICK);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Left behind, it is nobody's claim: the lock goes with us.
        durable::remove_file(&self.path, Site::Flag).ok();
    }
}

impl Neighbors for Seat {
    fn list(&mut self) -> Vec<Neighbor> {
        let shared = self.groups.lock();
        shared.apps.values().filter(|other| other.app != self.app.as_str()).cloned().collect()
    }

    fn exclude(&mut self, take: bool) -> Option<Claim> {
        // Files are looked at before the table is locked, so a slow disk holds up nobody else.
        let claimed = if take { self.groups.claimed(&self.group) } else { None };
        let mut shared = self.groups.lock();
        let holder = shared.held.get(&self.group);
        if let Some((who, since)) = holder.filter(|(who, _)| *who != self.app) {
            let claim = Claim { who: who.to_string(), since: since.clone() };
            return take.then_some(claim);
        }
        if take && claimed.is_none() {
            let since = || jiff::Timestamp::now().to_string();
            shared.held.entry(self.group.clone()).or_insert_with(|| (self.app.clone(), since()));
        } else if !take {
            shared.held.remove(&self.group);
        }
        claimed
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.exclude(false);
    }
}
