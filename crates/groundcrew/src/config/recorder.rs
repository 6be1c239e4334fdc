//! What is valid for the flight recorder.

use std::ops::RangeInclusive;

use groundcrew_recorder::writer::Policy;

use super::settings::Check;
use super::{fragments, units};

/// Least bytes of a recording.
const RECORDING_MIN_BYTES: u64 = 16 << 20;
/// Bounds of the time until a record is synced, milliseconds.
const SYNC_MS: RangeInclusive<u64> = 10..=10_000;
/// A recording has at least so many segments, so that the oldest is a small part of it.
const SEGMENTS_MIN: u64 = 4;

/// The settings of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecorderSettings {
    /// Whose members may record.
    pub(crate) group: Option<String>,
    /// How a flight is written.
    pub(crate) flight: Policy,
    /// How the recording outside flights is written.
    pub(crate) standing: Policy,
}

/// Builds them.
pub(super) fn settings(check: &mut Check<'_>, fragment: &fragments::Recorder) -> RecorderSettings {
    let (mut flight, mut standing) = (Policy::default(), Policy::standing());
    let sync_ns = sync_ns(check, fragment, flight.sync_after_ns);
    for (key, text, policy) in
        [("flight", &fragment.flight, &mut flight), ("standing", &fragment.standing, &mut standing)]
    {
        policy.sync_after_ns = sync_ns;
        let Some(bytes) = check.size(&["recorder", key], text.as_ref()) else { continue };
        if bytes < RECORDING_MIN_BYTES {
            let text = format!("{} is too little for a recording", units::show_bytes(bytes));
            check.wrong(&["recorder", key], text, "make it at least 16MiB");
        }
        policy.flight_bytes = bytes;
        policy.segment_bytes = policy.segment_bytes.min(bytes / SEGMENTS_MIN);
    }
    let group = fragment.group.clone();
    if group.as_ref().is_some_and(String::is_empty) {
        check.wrong(&["recorder", "group"], "the group has no name", "leave it out for root alone");
    }
    RecorderSettings { group, flight, standing }
}

fn sync_ns(check: &mut Check<'_>, fragment: &fragments::Recorder, default_ns: u64) -> u64 {
    let key = ["recorder", "sync"];
    let ms = check.duration(&key, fragment.sync.as_ref(), default_ns / 1_000_000);
    if !SYNC_MS.contains(&ms) {
        let text = format!("{} is not between 10 ms and 10 s", units::show_ms(ms));
        check.wrong(&key, text, "leave it out for 100ms");
    }
    ms.saturating_mul(1_000_000)
}
