//! What copies an app's data volumes, and brings them back.

use std::collections::BTreeMap;

use super::{KeepSet, Progress};
use crate::machine::TreePair;
use crate::noun::{Fault, Release, SnapshotId, TxnId, VolumeName};
use crate::plan::Volume;

/// What to copy.
#[derive(Clone, Debug)]
pub struct TakeOrder<'a> {
    /// Names the copy together with its txn.
    pub id: &'a SnapshotId,
    /// The update on whose behalf.
    pub txn: &'a TxnId,
    /// The release that owned the data when the app was stopped; `None` before a first
    /// installation.
    pub owner: Option<&'a Release>,
    /// The volumes.
    pub volumes: &'a BTreeMap<VolumeName, Volume>,
}

/// A finished copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes copied.
    pub bytes: u64,
}

/// What to bring back.
#[derive(Clone, Debug)]
pub struct RestoreOrder<'a> {
    /// The copy.
    pub id: &'a SnapshotId,
    /// The update that goes back.
    pub txn: &'a TxnId,
    /// Which try; names the restored trees, so that a dirty one is never used again.
    pub round: u32,
    /// The volumes.
    pub volumes: &'a BTreeMap<VolumeName, Volume>,
}

/// What copies the volumes of one app.
pub trait Snapshots {
    /// Copies the volumes of the stopped app. A complete copy of this id is **replaced**: the
    /// caller asks again only when somebody ran since. A volume that does not exist is recorded as
    /// absent. On return the copy is whole, verified and durable; a copy that is not whole never
    /// looks so.
    ///
    /// # Errors
    ///
    /// Nothing that looks whole is left, the live data is untouched.
    fn take(&mut self, order: &TakeOrder<'_>, progress: &mut dyn Progress) -> Result<Taken, Fault>;

    /// Builds the old data beside the live data, verified against the manifest, and names both
    /// trees. Built before for this round: done. The live data is untouched.
    ///
    /// # Errors
    ///
    /// The copy is missing or damaged, or the host failed.
    fn build(
        &mut self,
        order: &RestoreOrder<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<TreePair>, Fault>;

    /// Exchanges live and restored trees by identity and sets the live ones aside. Exchanged
    /// before: done. Returns where the trees were set aside; durable on return for all volumes.
    ///
    /// # Errors
    ///
    /// What lies there is neither of the two: nothing was touched.
    fn exchange(
        &mut self,
        order: &RestoreOrder<'_>,
        pairs: &[TreePair],
    ) -> Result<Option<String>, Fault>;

    /// Whether an exchange of this update was begun: data of it was set aside. It is how a new
    /// agent finds out about a way back that could not be recorded.
    ///
    /// # Errors
    ///
    /// It cannot be told; the caller touches nothing.
    fn was_exchanged(&mut self, txn: &TxnId) -> Result<bool, Fault>;

    /// Removes copies, restore trees and failed data that are not in the set, and whatever an
    /// interrupted copy left. Returns what was removed, for the record.
    ///
    /// # Errors
    ///
    /// Something could not be removed; the rest was.
    fn keep(&mut self, set: &KeepSet) -> Result<Vec<String>, Fault>;
}
