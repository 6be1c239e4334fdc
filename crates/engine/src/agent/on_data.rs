//! The steps that have an app's data in their hands: copied, migrated, brought back.

use std::collections::BTreeMap;

use super::Stage;
use super::perform::Done;
use crate::machine::{Back, Event, Update, WayBack};
use crate::noun::{Fault, SnapshotId, TxnId, VolumeName};
use crate::plan::{DataWork, Installed, Plan, Volume};
use crate::ports::{CommandOrder, Purpose, RestoreOrder, TakeOrder};

pub(super) fn snapshot(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let plan = &update.plan;
    if !plan.has_data() {
        return Ok(Event::Snapshotted { snapshot: None, bytes: 0 });
    }
    let id = SnapshotId(plan.txn.0.clone());
    let volumes = plan.volumes();
    let owner = plan.from.as_ref().map(|from| &from.release);
    let order = TakeOrder { id: &id, txn: &plan.txn, owner, volumes: &volumes };
    let taken = stage.ports.snapshots.take(&order, stage.progress)?;
    Ok(Event::Snapshotted { snapshot: Some(id), bytes: taken.bytes })
}

/// The work on the data that the plan names.
pub(super) fn migrate(update: &Update, stage: &mut Stage<'_, '_>) -> Done {
    let plan = &update.plan;
    match (plan.work(), &plan.from) {
        (DataWork::Up, _) => run_on_data(&plan.to, &plan.txn, Purpose::Migrate, stage)?,
        // The release that shall run is not to blame for what the one that is left cannot do.
        (DataWork::Down, Some(from)) => {
            undo(from, &plan.txn, stage).map_err(|fault| Fault::host(fault.text))?;
        }
        (DataWork::Restore(id), _) => return bring_back(plan, &id, stage),
        (DataWork::Nothing | DataWork::Down, _) => {}
    }
    Ok(Event::Migrated { set_aside: None })
}

pub(super) fn undo(
    installed: &Installed,
    txn: &TxnId,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    run_on_data(installed, txn, Purpose::Undo, stage)
}

fn run_on_data(
    installed: &Installed,
    txn: &TxnId,
    purpose: Purpose,
    stage: &mut Stage<'_, '_>,
) -> Result<(), Fault> {
    let migration = installed.release.migration.as_ref();
    let timeout_ms = migration.map_or(0, |migration| migration.timeout_ms);
    stage.ports.runtime.run(&CommandOrder { installed, txn, purpose, timeout_ms })
}

/// An older copy takes the data's place, as a person ordered. The way back is this update's own.
fn bring_back(plan: &Plan, id: &SnapshotId, stage: &mut Stage<'_, '_>) -> Done {
    let volumes = &plan.to.procedure.volumes;
    let order = RestoreOrder { id, txn: &plan.data_txn(), round: 0, volumes };
    let host = |fault: Fault| Fault::host(fault.text);
    let pairs = stage.ports.snapshots.build(&order, stage.progress).map_err(host)?;
    let set_aside = stage.ports.snapshots.exchange(&order, &pairs).map_err(host)?;
    Ok(Event::Migrated { set_aside })
}

fn restore_order<'a>(
    back: &'a Back,
    volumes: &'a BTreeMap<VolumeName, Volume>,
) -> Result<RestoreOrder<'a>, Fault> {
    match &back.way_back {
        Some(WayBack::Snapshot(id)) => {
            Ok(RestoreOrder { id, txn: &back.update.plan.txn, round: back.round, volumes })
        }
        Some(WayBack::Stateless) | None => Err(Fault::host("this update has no snapshot")),
    }
}

pub(super) fn rb_build(back: &Back, stage: &mut Stage<'_, '_>) -> Done {
    let volumes = back.update.plan.volumes();
    let order = restore_order(back, &volumes)?;
    let pairs = stage.ports.snapshots.build(&order, stage.progress)?;
    Ok(Event::RbBuilt { pairs })
}

pub(super) fn rb_exchange(back: &Back, stage: &mut Stage<'_, '_>) -> Done {
    let volumes = back.update.plan.volumes();
    let order = restore_order(back, &volumes)?;
    let set_aside = stage.ports.snapshots.exchange(&order, &back.built)?;
    Ok(Event::RbRestored { set_aside })
}
