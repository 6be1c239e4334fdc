//! The end of a flight: its footer, which is its last record, and the seal (REC-7).

use crate::body::types::FlightFooter;
use crate::storage::Storage;

use super::open::Open;
use super::{Moment, Writer};

/// A failing disk gets one more chance.
const TRIES: u32 = 2;

impl<S: Storage> Writer<S> {
    /// Ends the flight; what the footer says, and whether all of it is durable.
    pub fn finish(&mut self, reason: &str, now: Moment) -> (FlightFooter, bool) {
        self.make_room(now);
        let mut ended = (FlightFooter::default(), false);
        // With all that is not durable in a fresh segment. What that says of itself stands behind a
        // footer that failed, so another one ends it.
        for _ in 0..TRIES {
            if self.open.is_none() {
                self.begin(now);
            }
            ended = self.end_with_footer(reason, now);
            if ended.1 {
                break;
            }
        }
        // The last name may be lost in a crash where this fails; what it names is not.
        self.storage.sync_dir().ok();
        ended
    }

    fn end_with_footer(&mut self, reason: &str, now: Moment) -> (FlightFooter, bool) {
        self.announce_losses(now);
        let open = self.open.as_ref().map_or(0, Open::len);
        let footer = FlightFooter {
            clean_shutdown: true,
            reason: reason.to_owned(),
            records_written: self.totals.records_written + 1,
            bytes_written: self.totals.bytes_written + open,
            ..self.totals.clone()
        };
        if self.open.is_none() {
            return (footer, false);
        }
        self.own(&footer, now);
        let sealed = self.seal(now);
        (footer, sealed && self.waiting.is_empty())
    }
}
