//! The host's clock beside the one that counts. A reader knows the time of day of a segment's
//! beginning and counts on from there, so that the recording says when the host's clock jumped.

use crate::body::types::TimeSync;

use super::Moment;

/// A clock that is this far from where it should be has jumped; a slow correction gets there, too.
const JUMP_NS: u128 = 1_000_000_000;
/// Between two words about it.
const QUIET_NS: u64 = 1_000_000_000;

/// What a reader believes of the host's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// From the time that counts to UTC.
    offset_ns: i128,
    quiet_until_ns: u64,
}

fn offset_ns(now: Moment) -> i128 {
    i128::from(now.utc_ns) - i128::from(now.time_ns)
}

impl Clock {
    /// A segment begins: its header tells both clocks.
    pub(super) fn set(&mut self, now: Moment) {
        self.offset_ns = offset_ns(now);
    }

    /// What is to be told, if the host's clock is not where it was.
    pub(super) fn jumped(&mut self, now: Moment) -> Option<TimeSync> {
        let jumped = offset_ns(now).abs_diff(self.offset_ns) >= JUMP_NS;
        if !jumped || now.time_ns < self.quiet_until_ns {
            return None;
        }
        self.set(now);
        self.quiet_until_ns = now.time_ns.saturating_add(QUIET_NS);
        Some(TimeSync { utc_ns: now.utc_ns, ..TimeSync::default() })
    }
}
