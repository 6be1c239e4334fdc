//! The engine's ports on the simulated machine.
//!
//! Each effect passes three points where the power may go: as it begins, in its middle, and at its
//! end; each append passes one before and one after. The fakes run the same contracts as the
//! drivers.

mod copies;
mod host;
mod process;
mod records;

pub use copies::SimSnapshots;
pub use host::{SimClock, SimHost, SimNeighbors, SimProbes, SimSource};
pub use process::SimRuntime;
pub use records::SimJournal;

use groundcrew_engine::ports::Ports;

use crate::world::Shared;

/// All ports of one app.
#[derive(Debug)]
pub struct SimPorts {
    clock: SimClock,
    host: SimHost,
    neighbors: SimNeighbors,
    source: SimSource,
    runtime: SimRuntime,
    snapshots: SimSnapshots,
    probes: SimProbes,
    journal: SimJournal,
}

impl SimPorts {
    /// Ports on this machine.
    #[must_use]
    pub fn new(world: &Shared) -> Self {
        Self {
            clock: SimClock(world.clone()),
            host: SimHost(world.clone()),
            neighbors: SimNeighbors(world.clone()),
            source: SimSource(world.clone()),
            runtime: SimRuntime(world.clone()),
            snapshots: SimSnapshots(world.clone()),
            probes: SimProbes(world.clone()),
            journal: SimJournal(world.clone()),
        }
    }

    /// Composed for the engine.
    pub fn compose(&mut self) -> Ports<'_> {
        Ports {
            clock: &mut self.clock,
            host: &mut self.host,
            neighbors: &mut self.neighbors,
            source: &mut self.source,
            runtime: &mut self.runtime,
            snapshots: &mut self.snapshots,
            probes: &mut self.probes,
            journal: &mut self.journal,
        }
    }
}
