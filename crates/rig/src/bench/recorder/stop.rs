//! How long a stop takes: what lies in the rings, the footer, and all of it durable.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use groundcrew_recorder::recorder::Recorder;
use groundcrew_recorder::ring::shared::{self, Options as Ring};
use groundcrew_recorder::writer::Policy;

use super::{Amount, BODY, KIND, writer};
use crate::Result;
use crate::bench::{Figure, Options, median};

/// Rings that are full when the recorder is told to stop, each of the size it has by default.
const RINGS: u32 = 16;
const RING_BYTES: usize = 1 << 20;

pub(super) fn figures(options: &Options, amount: &Amount) -> Result<Vec<Figure>> {
    let mut took = Vec::new();
    for round in 0..amount.rounds {
        let rings = super::enqueue::rings_dir(options)?;
        for number in 0..RINGS {
            fill(&rings.path().join(format!("ring-{number}.ring")), number + 1)?;
        }
        let dir = options.dir.join(format!("stop-{round}"));
        let recorder = Recorder::start(writer(&dir, Policy::default())?, Some(rings.path()))?;
        let begun = Instant::now();
        let stopped = recorder.stop("bench")?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(stopped.drained && stopped.durable, "not all is durable: {stopped:?}");
        std::fs::remove_dir_all(&dir)?;
    }
    let name = format!("stop with {RINGS} full rings of {} MiB", RING_BYTES >> 20);
    Ok(vec![Figure::new(name, median(took), "ms").at_most(200.0)])
}

/// A ring as an earlier recorder may have left it, full.
fn fill(path: &Path, generation: u32) -> Result<()> {
    drop(shared::create(path, Ring { bytes: RING_BYTES, critical: false, generation })?);
    let mut producer = shared::attach(path)?;
    while producer.push(KIND, 0, &[0x5a; BODY]) {}
    Ok(())
}
