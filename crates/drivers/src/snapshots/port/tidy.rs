//! Clean-up of one app's copies, restored trees and failed data. Lists an area whole before it
//! removes anything of it.

use super::*;

impl VolumeSnapshots {
    /// Removes what is not in the set. One area that fails does not stop the others.
    pub(super) fn tidy(&self, set: &KeepSet) -> Result<Vec<String>, Fault> {
        let mut removed = Vec::new();
        let mut failed = None;
        for area in self.areas().map_err(fault)? {
            if let Err(error) = tidy_area(&area, set, &mut removed) {
                failed.get_or_insert(fault(error));
            }
        }
        // A row outlives its parts only until nothing of them can be left.
        if failed.is_none() {
            failed = self.tidy_rows(set).map_err(fault).err();
        }
        failed.map_or(Ok(removed), Err)
    }

    fn tidy_rows(&self, set: &KeepSet) -> Result<(), Error> {
        for id in self.rows.ids()? {
            if !set.snapshots.iter().any(|kept| kept.as_str() == id) {
                self.rows.remove(&id)?;
            }
        }
        Ok(())
    }
}

fn tidy_area(area: &Area, set: &KeepSet, removed: &mut Vec<String>) -> Result<(), Error> {
    match kind_at(&area.path())? {
        None => return Ok(()),
        Some(_) => area.check()?,
    }
    let snapshots = names_in(&area.snapshots())?;
    let restores = names_in(&area.restores())?;
    let failed = names_in(&area.failed())?;
    let is_kept = |name: &str| set.txns.iter().any(|txn| belongs(name, txn));
    // Only an open update goes back by itself.
    let needs_room =
        |id: &str| set.open.is_some() && set.snapshots.iter().any(|kept| kept.as_str() == id);
    let mut first = None;
    let mut note = |done: Result<(), Error>, what: String| match done {
        Ok(()) => removed.push(what),
        Err(error) => drop(first.get_or_insert(error)),
    };
    for name in &snapshots {
        let path = area.snapshots().join(name);
        if name.ends_with(PARTIAL) {
            note(remove(&path), format!("unfinished {}", path.display()));
        } else if !set.snapshots.iter().any(|kept| kept.as_str() == name) {
            note(discard(area, name), format!("snapshot {}", path.display()));
        }
    }
    for name in &restores {
        let path = area.restores().join(name);
        if name.ends_with(PARTIAL) {
            note(remove(&path), format!("unfinished {}", path.display()));
        } else if let Some(id) = room::kept_for(name) {
            if !needs_room(id) {
                note(remove(&path), format!("room that was kept for the way back to {id}"));
            }
        } else if !is_kept(name) {
            note(remove(&path), format!("restored tree {}", path.display()));
        }
    }
    for name in failed.iter().filter(|name| !is_kept(name)) {
        let path = area.failed().join(name);
        note(remove(&path), format!("failed data {}", path.display()));
    }
    first.map_or(Ok(()), Err)
}
