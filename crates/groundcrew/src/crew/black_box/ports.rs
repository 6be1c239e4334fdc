//! Ports that tell the black box what they did: probes and snapshots.

use std::time::{Duration, Instant};

use groundcrew_engine::machine::TreePair;
use groundcrew_engine::noun::{AppName, Fault, TxnId};
use groundcrew_engine::plan::{Installed, Probe};
use groundcrew_engine::ports::{
    Finding, KeepSet, Probes, Progress, RestoreOrder, Snapshots, TakeOrder, Taken,
};

use super::{BlackBox, tale};

/// Probes whose findings are told.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct RecordedProbes {
    /// What asks.
    pub(crate) probes: Box<dyn Probes>,
    /// Whom.
    pub(crate) app: AppName,
    /// What is told.
    pub(crate) black_box: BlackBox,
}

impl Probes for RecordedProbes {
    fn ask(&mut self, probe: &Probe, of: &Installed) -> Finding {
        let finding = self.probes.ask(probe, of);
        self.black_box.probed(&self.app, &finding);
        finding
    }
}

/// Snapshots whose coming and going is told. An effect that is done once more after a crash is told
/// once more.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub(crate) struct RecordedSnapshots {
    /// What copies.
    pub(crate) snapshots: Box<dyn Snapshots>,
    /// Whose data.
    pub(crate) app: AppName,
    /// What is told.
    pub(crate) black_box: BlackBox,
    /// How long the latest restore took to build.
    built_in: Duration,
}

impl RecordedSnapshots {
    /// Of this app.
    pub(crate) fn new(snapshots: Box<dyn Snapshots>, app: &AppName, black_box: &BlackBox) -> Self {
        let (app, black_box) = (app.clone(), black_box.clone());
        Self { snapshots, app, black_box, built_in: Duration::ZERO }
    }
}

impl Snapshots for RecordedSnapshots {
    fn take(&mut self, order: &TakeOrder<'_>, progress: &mut dyn Progress) -> Result<Taken, Fault> {
        let begun = Instant::now();
        let taken = self.snapshots.take(order, progress)?;
        self.black_box.copied(|| tale::of_take(&self.app, order, &taken, begun.elapsed()));
        Ok(taken)
    }

    fn build(
        &mut self,
        order: &RestoreOrder<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<TreePair>, Fault> {
        let begun = Instant::now();
        let built = self.snapshots.build(order, progress);
        self.built_in = begun.elapsed();
        built
    }

    fn exchange(
        &mut self,
        order: &RestoreOrder<'_>,
        pairs: &[TreePair],
    ) -> Result<Option<String>, Fault> {
        let begun = Instant::now();
        let aside = self.snapshots.exchange(order, pairs)?;
        let took = std::mem::take(&mut self.built_in) + begun.elapsed();
        self.black_box.copied(|| tale::of_restore(&self.app, order, aside.as_deref(), took));
        Ok(aside)
    }

    fn was_exchanged(&mut self, txn: &TxnId) -> Result<bool, Fault> {
        self.snapshots.was_exchanged(txn)
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<String>, Fault> {
        let removed = self.snapshots.keep(set)?;
        if !removed.is_empty() {
            self.black_box.copied(|| tale::of_removal(&self.app, &removed));
        }
        Ok(removed)
    }
}
