//! What copies an app's data volumes, and brings them back.

use std::collections::BTreeMap;

use super::{KeepSet, Progress, Silent};
use crate::machine::TreePair;
use crate::noun::{Digest, Fault, Release, SnapshotId, TxnId, VolumeName};
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

/// What a contract is tried on: volumes, and somebody who writes to them.
#[allow(missing_debug_implementations, reason = "closures have no useful form")]
pub struct Trial<'a> {
    /// At least one volume.
    pub volumes: BTreeMap<VolumeName, Volume>,
    /// Replaces the content of every volume by this text, without replacing the directory; `None`
    /// removes the volumes.
    pub write: &'a mut dyn FnMut(Option<&str>),
    /// The text in every volume; `None` for one that does not exist.
    pub read: &'a mut dyn FnMut() -> Vec<Option<String>>,
}

/// Tries the promises above on snapshots that hold no copy yet.
///
/// # Panics
///
/// At the first promise that is broken.
pub fn contract(snapshots: &mut dyn Snapshots, trial: &mut Trial<'_>) {
    let (id, txn) = (SnapshotId::from("s1"), TxnId::from("t1"));
    trial.expect_build_fails(snapshots, &id, &txn, "there is no copy yet");
    trial.set(Some("one"));
    trial.take(snapshots, &id, &txn);
    trial.expect(Some("one"), "a copy leaves the live data alone");
    trial.set(Some("two"));
    trial.take(snapshots, &id, &txn);
    trial.set(Some("three"));
    assert_eq!(snapshots.was_exchanged(&txn), Ok(false), "nothing was set aside");

    let first = trial.go_back(snapshots, &id, &txn, 1);
    trial.expect(Some("two"), "the copy that was taken last is live");
    trial.set(Some("dirty"));
    let second = trial.go_back(snapshots, &id, &txn, 2);
    trial.expect(Some("two"), "a tree that somebody wrote to is not used again");
    let order = RestoreOrder { id: &id, txn: &txn, round: 1, volumes: &trial.volumes };
    assert!(snapshots.exchange(&order, &first).is_err(), "neither of the two lies there");
    assert_ne!(first, second, "each round has trees of its own");
    trial.expect(Some("two"), "what is not known is not touched");

    let mut set = KeepSet::default();
    set.snapshots.insert(id.clone());
    set.txns.insert(txn.clone());
    snapshots.keep(&set).expect("clean-up succeeds");
    assert_eq!(snapshots.was_exchanged(&txn), Ok(true), "what is in the set stays");
    trial.set(Some("four"));
    trial.go_back(snapshots, &id, &txn, 3);
    trial.expect(Some("two"), "the copy in the set stays");
    for _ in 0..2 {
        snapshots.keep(&KeepSet::default()).expect("clean-up succeeds twice");
        assert_eq!(snapshots.was_exchanged(&txn), Ok(false), "failed data went");
        trial.expect_build_fails(snapshots, &id, &txn, "the copy went");
        trial.expect(Some("two"), "clean-up leaves the live data alone");
    }

    let (id, txn) = (SnapshotId::from("s2"), TxnId::from("t2"));
    trial.set(None);
    trial.take(snapshots, &id, &txn);
    trial.set(Some("new"));
    let pairs = trial.go_back(snapshots, &id, &txn, 1);
    assert!(pairs.iter().all(|pair| pair.restored.is_none()), "it was recorded as absent");
    trial.expect(None, "what was not there is taken away again");
}

impl Trial<'_> {
    fn set(&mut self, text: Option<&str>) {
        (self.write)(text);
    }

    fn expect(&mut self, text: Option<&str>, why: &str) {
        let found = (self.read)();
        assert_eq!(found, vec![text.map(str::to_owned); self.volumes.len()], "{why}");
    }

    fn take(&self, snapshots: &mut dyn Snapshots, id: &SnapshotId, txn: &TxnId) {
        let owner = Release {
            version: "1.0.0".to_owned(),
            digest: Digest(format!("sha256:{}", "1".repeat(64))),
            revision: None,
            published_ms: None,
            data_epoch: None,
            data_compatible_from: None,
            migration: None,
        };
        let order = TakeOrder { id, txn, owner: Some(&owner), volumes: &self.volumes };
        snapshots.take(&order, &mut Silent).expect("the copy succeeds");
    }

    fn expect_build_fails(
        &self,
        snapshots: &mut dyn Snapshots,
        id: &SnapshotId,
        txn: &TxnId,
        why: &str,
    ) {
        let order = RestoreOrder { id, txn, round: 9, volumes: &self.volumes };
        assert!(snapshots.build(&order, &mut Silent).is_err(), "{why}");
    }

    /// Builds and exchanges, each twice.
    fn go_back(
        &mut self,
        snapshots: &mut dyn Snapshots,
        id: &SnapshotId,
        txn: &TxnId,
        round: u32,
    ) -> Vec<TreePair> {
        let before = (self.read)();
        let order = RestoreOrder { id, txn, round, volumes: &self.volumes };
        let pairs = snapshots.build(&order, &mut Silent).expect("the old data is built");
        assert_eq!(pairs.len(), self.volumes.len(), "every volume has its pair");
        let again = snapshots.build(&order, &mut Silent).expect("building twice is harmless");
        assert_eq!(again, pairs, "building twice is building once");
        assert_eq!((self.read)(), before, "building leaves the live data alone");
        let aside = snapshots.exchange(&order, &pairs).expect("the trees are exchanged");
        assert!(aside.is_some(), "the failed data is kept");
        let after = (self.read)();
        let repeated = snapshots.exchange(&order, &pairs).expect("asking twice is harmless");
        assert_eq!(repeated, aside, "it lies where it was put the first time");
        assert_eq!((self.read)(), after, "exchanging twice is exchanging once");
        assert_eq!(snapshots.was_exchanged(txn), Ok(true), "that can be found out later");
        let stranger = snapshots.was_exchanged(&TxnId::from("t"));
        assert_eq!(stranger, Ok(false), "another update is another one");
        pairs
    }
}
