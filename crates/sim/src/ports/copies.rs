//! The snapshots of the simulated machine.

use std::collections::BTreeMap;

use groundcrew_engine::machine::{TreeId, TreePair};
use groundcrew_engine::noun::{Fault, SnapshotId, TxnId, VolumeName};
use groundcrew_engine::ports::{KeepSet, Progress, RestoreOrder, Snapshots, TakeOrder, Taken};

use crate::seeded::Seeded;
use crate::world::{Copy, Lines, Shared, World};

/// The snapshots.
#[derive(Debug)]
pub struct SimSnapshots(pub Shared);

fn id(ino: u64) -> TreeId {
    TreeId { dev: 1, ino, born: None }
}

impl Snapshots for SimSnapshots {
    fn take(
        &mut self,
        order: &TakeOrder<'_>,
        _progress: &mut dyn Progress,
    ) -> Result<Taken, Fault> {
        let mut world = self.0.borrow_mut();
        world.point("copy begins");
        let key = order.id.0.clone();
        let book = world.truth.book.clone();
        world.truth.at_copy.insert(key.clone(), book);
        let whole = world.copies.get(&key).is_some_and(|copy| copy.complete);
        if whole && world.is_seeded(Seeded::StaleCopyIsKept) {
            return Ok(Taken { bytes: 0 });
        }
        if world.is_seeded(Seeded::PartialCopyLooksWhole) && whole {
            return Ok(Taken { bytes: 0 });
        }
        let early = world.is_seeded(Seeded::PartialCopyLooksWhole);
        world.copies.insert(key.clone(), Copy { complete: early, volumes: BTreeMap::new() });
        for name in order.volumes.keys() {
            if let Some(fault) = world.failure("copy") {
                world.copies.remove(&key);
                return Err(fault);
            }
            let lines: Option<Lines> =
                world.volumes.get(name.as_str()).map(|tree| tree.lines.clone());
            if let Some(copy) = world.copies.get_mut(&key) {
                copy.volumes.insert(name.0.clone(), lines);
            }
            world.point("copy, half way");
        }
        if let Some(copy) = world.copies.get_mut(&key) {
            copy.complete = true;
        }
        world.point("copy is done");
        Ok(Taken { bytes: 100 })
    }

    fn build(
        &mut self,
        order: &RestoreOrder<'_>,
        _progress: &mut dyn Progress,
    ) -> Result<Vec<TreePair>, Fault> {
        let mut world = self.0.borrow_mut();
        world.point("restore begins");
        if let Some(fault) = world.failure("build") {
            return Err(fault);
        }
        let Some(copy) = world.copies.get(&order.id.0).filter(|copy| copy.complete).cloned() else {
            return Err(Fault::host(format!("snapshot {} does not exist", order.id)));
        };
        let mut pairs = Vec::new();
        for (name, lines) in &copy.volumes {
            pairs.push(build_one(&mut world, order, name, lines.as_ref()));
            world.point("restore, half way");
            if world.is_seeded(Seeded::RestoreForgetsAVolume) {
                break;
            }
        }
        world.point("restore is built");
        Ok(pairs)
    }

    fn exchange(
        &mut self,
        order: &RestoreOrder<'_>,
        pairs: &[TreePair],
    ) -> Result<Option<String>, Fault> {
        let mut world = self.0.borrow_mut();
        world.point("exchange begins");
        if let Some(fault) = world.failure("exchange") {
            return Err(fault);
        }
        for pair in pairs {
            exchange_one(&mut world, order, pair)?;
            world.point("exchange, half way");
        }
        world.take_back(order.txn, order.id);
        world.point("exchange is done");
        Ok(Some(format!("failed/{}", order.txn)))
    }

    fn was_exchanged(&mut self, txn: &TxnId) -> Result<bool, Fault> {
        Ok(self.0.borrow().aside.iter().any(|(of, ..)| *of == txn.0))
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<String>, Fault> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.failure("keep") {
            return Err(fault);
        }
        let careless = world.is_seeded(Seeded::CleanUpDeletesTheWayBack);
        let stay = world.is_seeded(Seeded::PartialsStay);
        world.copies.retain(|id, copy| {
            let named = set.snapshots.contains(&SnapshotId(id.clone())) && !careless;
            named && copy.complete || stay && !copy.complete
        });
        let txn = |name: &String| name.as_str().into();
        if !stay {
            world.restored.retain(|(of, ..), _| set.open == Some(txn(of)));
        }
        world.aside.retain(|(of, ..)| set.txns.contains(&txn(of)));
        Ok(Vec::new())
    }
}

fn build_one(
    world: &mut World,
    order: &RestoreOrder<'_>,
    name: &str,
    lines: Option<&Lines>,
) -> TreePair {
    let live = world.volumes.get(name).map(|tree| id(tree.ino));
    let shares = world.is_seeded(Seeded::CopySharesFiles);
    let restored = lines.map(|lines| {
        // A copy that shares its files has seen every write since.
        let live_lines = world.volumes.get(name).map(|tree| tree.lines.clone());
        let lines = live_lines.filter(|_| shares).unwrap_or_else(|| lines.clone());
        let key = (order.txn.0.clone(), order.round, name.to_owned());
        let tree = match world.restored.remove(&key) {
            Some(tree) => tree,
            None => world.tree(lines),
        };
        let ino = tree.ino;
        world.restored.insert(key, tree);
        id(ino)
    });
    TreePair { volume: VolumeName::from(name), live, restored }
}

/// Exchanged: the live tree is the restored one. To do: both lie where they were. Anything else
/// is touched by nobody.
fn exchange_one(world: &mut World, order: &RestoreOrder<'_>, pair: &TreePair) -> Result<(), Fault> {
    let name = pair.volume.0.clone();
    let key = (order.txn.0.clone(), order.round, name.clone());
    let live = world.volumes.get(&name).map(|tree| id(tree.ino));
    let blind = world.is_seeded(Seeded::ExchangeIsBlind);
    if live == pair.restored && !blind {
        return Ok(());
    }
    if live != pair.live && !blind {
        return Err(Fault::host(format!(
            "volume {name} is neither the live nor the restored tree"
        )));
    }
    let restored = world.restored.remove(&key);
    if blind && restored.is_none() {
        // The names were exchanged before: a blind exchange brings the failed data back.
        if let Some(at) = world.aside.iter().rposition(|(_, of, _)| *of == name) {
            let (_, _, tree) = world.aside.remove(at);
            world.volumes.insert(name, tree);
        }
        return Ok(());
    }
    let failed = match restored {
        Some(tree) => world.volumes.insert(name.clone(), tree),
        None => world.volumes.remove(&name),
    };
    if let Some(tree) = failed
        && !world.is_seeded(Seeded::FailedDataIsDeleted)
    {
        world.aside.push((order.txn.0.clone(), name, tree));
    }
    Ok(())
}
