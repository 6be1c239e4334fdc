//! Making room: the oldest segment goes, and the recording says so before it does (REC-5).

use std::io;

use crate::body::types::{ComponentLifecycleEvent, Severity};
use crate::format::index::Index;
use crate::names::Name;
use crate::storage::Storage;

use super::{Moment, Writer};

/// A segment that is written no more.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) number: u32,
    pub(super) bytes: u64,
    /// Records that stand in no later segment again, as those do that a failed one had not durable.
    pub(super) records: u64,
    pub(super) index: Index,
}

impl Sealed {
    /// The next segment begins with this number: what failed here stands there again.
    pub(super) fn stands_again_from(&mut self, seq: u64) {
        if let Some(seqs) = self.index.seqs {
            let again = seqs.last.saturating_add(1).saturating_sub(seq.max(seqs.first));
            self.records = self.records.saturating_sub(again);
        }
    }
}

impl<S: Storage> Writer<S> {
    /// Evicts the oldest segments until the flight holds no more than it may.
    pub(super) fn evict_to_bound(&mut self, now: Moment) {
        let held = |sealed: &Sealed| sealed.bytes;
        while self.sealed.iter().map(held).sum::<u64>() + self.policy.segment_bytes
            > self.policy.flight_bytes
        {
            let Some(oldest) = self.sealed.pop_front() else { return };
            self.say_evicted(&oldest, now);
            if !self.sync(now) {
                // It stays until its loss is known to be on the disk.
                self.sealed.push_front(oldest);
                return;
            }
            self.remove(&oldest);
        }
    }

    /// Where the disk is full, the oldest segment goes at once: without it nothing can be said.
    pub(super) fn evict_for_room(&mut self, error: &io::Error, now: Moment) {
        if error.kind() != io::ErrorKind::StorageFull {
            return;
        }
        let Some(oldest) = self.sealed.pop_front() else { return };
        self.remove(&oldest);
        self.troubles.push(dropped(&oldest));
        // There may be room at once.
        self.retry_at_ns = now.time_ns;
    }

    fn say_evicted(&mut self, oldest: &Sealed, now: Moment) {
        self.own(&dropped(oldest), now);
    }

    fn remove(&mut self, oldest: &Sealed) {
        self.totals.records_evicted += oldest.records;
        self.totals.bytes_evicted += oldest.bytes;
        for name in [Name::Sealed(oldest.number), Name::Open(oldest.number)] {
            // One that cannot be removed is read once more; that is no loss.
            self.storage.remove(&name.to_string()).ok();
        }
    }
}

fn dropped(oldest: &Sealed) -> ComponentLifecycleEvent {
    let Sealed { number, bytes, records, index } = oldest;
    let (from_ns, to_ns) = index.times.map_or((0, 0), |times| (times.first, times.last));
    ComponentLifecycleEvent {
        severity: Severity::Warning,
        component: "recorder".to_owned(),
        event: "fdr_segment_dropped".to_owned(),
        detail: format!("segment {number} was dropped to make room"),
        segment: *number,
        records: *records,
        size_bytes: *bytes,
        from_ns,
        to_ns,
    }
}
