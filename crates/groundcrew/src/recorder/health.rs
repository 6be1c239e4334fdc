//! How the host is, once a second (REC-14).
//!
//! In a thread of its own, because a sensor or a dead mount may hold up whoever asks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use groundcrew_drivers::host::health::Sampler;
use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::SystemHealth;
use groundcrew_recorder::recorder::{Options, now};

use super::visitors::Desk;
use super::{spawn, with};
use crate::chain;
use crate::exit::Refusal;

/// What it is called in recordings.
pub(super) const NAME: &str = "host";
/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);

/// A sensor that takes long is left alone for so long at least.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Samples until the process ends; `recordings` is where the room that is left is looked at.
///
/// # Errors
///
/// There is no ring or no thread for it.
pub(super) fn watch(desk: &Desk, recordings: PathBuf) -> Result<(), Refusal> {
    let producer = with(desk, |recorder| {
        let options = Options { bytes: 1 << 14, critical: false };
        recorder.producer(NAME, options).map_err(|error| chain(&error))
    });
    let mut producer = producer.and_then(|made| made).map_err(Refusal::failed)?;
    spawn("health", move || {
        let mut sampler = Sampler::new(Path::new("/"), &recordings);
        let mut at = Instant::now();
        loop {
            let health = sampler.sample();
            // A ring that is full or closed counts it.
            producer.push(SystemHealth::SCHEMA.kind, now().time_ns, &health.to_bytes());
            // One that took long is followed by the next full second, not by all that were missed.
            at = (at + EVERY).max(Instant::now());
            std::thread::sleep(at.saturating_duration_since(Instant::now()).max(PAUSE_MIN));
        }
    })
}
