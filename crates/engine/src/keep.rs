//! What clean-up must keep. Pure; the caller observed, and deletes nothing if observing failed.

use crate::machine::{App, DataChoice, Retained, State, WayBack};
use crate::noun::{Now, SnapshotId};
use crate::plan::DataWork;
use crate::policy::Policy;
use crate::ports::{KeepSet, Observed};

/// Everything that is in use or that a person may still return to (UPD-20, F2).
///
/// Retention is counted in accumulated uptime; the wall clock only lengthens it, and while it is
/// not known to be right, nothing expires.
#[must_use]
pub fn keep_set(app: &App, policy: &Policy, observed: &Observed, now: &Now) -> KeepSet {
    let mut set = KeepSet::default();
    let observed_digests = observed.in_place.iter().chain(&observed.running);
    set.releases.extend(observed_digests.cloned());
    set.releases.extend(app.running.iter().map(|running| running.release.digest.clone()));
    set.releases.extend(app.last_good.iter().map(|good| good.installed.release.digest.clone()));
    set.releases.extend(app.state.offer().map(|offer| offer.release.digest.clone()));
    set.txns.extend(app.running_txn.clone());
    set.txns.extend(app.last_restored.clone());
    if let Some(failed) = &app.last_failed {
        set.txns.insert(failed.txn.clone());
        set.snapshots.extend(failed.snapshot.clone());
    }
    set.txns.extend(observed.placed_by.iter().map(|(txn, _)| txn.clone()));
    if let Some(update) = app.state.update() {
        set.txns.insert(update.plan.txn.clone());
        set.open = Some(update.plan.txn.clone());
        set.txns.insert(update.plan.data_txn());
        if let DataWork::Restore(id) = update.plan.work() {
            set.snapshots.insert(id);
        }
        set.releases.extend(update.plan.from.iter().map(|from| from.release.digest.clone()));
    }
    set.snapshots.extend(open_snapshot(&app.state));
    for row in app.retained.iter().enumerate().filter(|row| is_kept(app, policy, *row, now)) {
        let (_, row) = row;
        set.snapshots.extend(row.snapshot.clone());
        set.releases.extend(row.from.iter().map(|from| from.release.digest.clone()));
        set.txns.insert(row.txn.clone());
    }
    set
}

/// Whether the way back of a closed update, with its number among all, is still kept.
#[must_use]
pub fn is_kept(app: &App, policy: &Policy, (index, row): (usize, &Retained), now: &Now) -> bool {
    let newest = app.retained.len().saturating_sub(policy.keep_way_backs);
    let expired = now.synchronized && is_expired(app, policy, row, now);
    index >= newest && !expired
}

fn is_expired(app: &App, policy: &Policy, row: &Retained, now: &Now) -> bool {
    let up_ms = app.uptime.at(now).saturating_sub(row.closed_uptime_ms);
    let wall_ms = u64::try_from(now.wall_ms.saturating_sub(row.closed_wall_ms)).unwrap_or(0);
    up_ms.min(wall_ms) >= policy.retain_ms
}

/// The snapshot that the open update would return to.
fn open_snapshot(state: &State) -> Option<SnapshotId> {
    let way_back = match state {
        State::Snapshotted(secured)
        | State::Applying(secured)
        | State::Migrating(secured)
        | State::Starting(secured)
        | State::Probing(secured)
        | State::Accepted(secured)
        | State::Proven(secured) => Some(&secured.way_back),
        State::Watching(watching) => Some(&watching.secured.way_back),
        State::Unproven(unproven) => Some(&unproven.secured.way_back),
        State::Draining(draining) => draining.copy.as_ref(),
        State::RollbackDecided(back)
        | State::RbStopping(back)
        | State::RbData(back)
        | State::RbSwitch(back)
        | State::RbStarting(back)
        | State::RbProbing(back)
        | State::Stuck(back) => back.way_back.as_ref(),
        State::RolledBack(back) | State::Aborted(back) => {
            back.way_back.as_ref().filter(|_| back.data != DataChoice::Untouched)
        }
        State::Idle
        | State::Detected(_)
        | State::Held(_)
        | State::Deferred(_)
        | State::Fetching(_)
        | State::Staged(_)
        | State::Armed(_)
        | State::Precopying(_)
        | State::Stopped(_)
        | State::Snapshotting(_) => None,
    };
    match way_back {
        Some(WayBack::Snapshot(id)) => Some(id.clone()),
        Some(WayBack::Stateless) | None => None,
    }
}
