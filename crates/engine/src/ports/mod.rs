//! What the engine needs of a machine: small blocking traits in our nouns.
//!
//! `drivers` implements them on a host, `sim` in memory; neither knows the other. Beside each trait
//! stands a `contract` function with its promises, which every implementation runs. Every method
//! may be asked for twice: its doc says how it notices that it is done. A port decides nothing.

pub mod host;
pub mod journal;
pub mod probes;
pub mod runtime;
pub mod snapshots;
pub mod source;

pub use host::{
    Busy, Claim, Clock, External, ExternalCheck, Host, Neighbor, Neighbors, Place, Room, Woken,
};
pub use journal::{Append, Journal, JournalError, Notice, PostMortem, Severity, Summary};
pub use probes::{Finding, Probes};
pub use runtime::{
    CommandOrder, Ended, Observed, Purpose, Runtime, StartOrder, StopOrder, SwitchOrder,
};
pub use snapshots::{RestoreOrder, Snapshots, TakeOrder, Taken};
pub use source::{Follow, Found, Source, SourceError, SourceErrorKind};

use std::collections::BTreeSet;

use crate::noun::{Digest, SnapshotId, TxnId};

/// Told how far a long effect is; the receiver must not fail.
pub trait Progress {
    /// So much of `total` is done; `total` is 0 where it is not known. Units: bytes.
    fn at(&mut self, done: u64, total: u64);
}

/// For callers who do not care.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn at(&mut self, _done: u64, _total: u64) {}
}

/// What clean-up must not touch: everything observed to be in use, and everything a person may
/// still return to. Keys are digests and ids that never change, never a runtime's own names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepSet {
    /// Releases.
    pub releases: BTreeSet<Digest>,
    /// Snapshots.
    pub snapshots: BTreeSet<SnapshotId>,
    /// Updates whose runs and failed data are still needed.
    pub txns: BTreeSet<TxnId>,
    /// The open update: only its restore trees may still be needed.
    pub open: Option<TxnId>,
}

/// The ports of one app, composed.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub struct Ports<'w> {
    /// The clock.
    pub clock: &'w mut dyn Clock,
    /// The host.
    pub host: &'w mut dyn Host,
    /// The other work on it.
    pub neighbors: &'w mut dyn Neighbors,
    /// Where releases come from.
    pub source: &'w mut dyn Source,
    /// What runs the app.
    pub runtime: &'w mut dyn Runtime,
    /// What copies its data.
    pub snapshots: &'w mut dyn Snapshots,
    /// What asks it.
    pub probes: &'w mut dyn Probes,
    /// What remembers.
    pub journal: &'w mut dyn Journal,
}
