//! What was lost on the way in, by source, until it is announced.
//!
//! A source numbers its records, those among them that its ring had no room for. A gap in the
//! numbers that arrive is therefore the exact loss.

use std::collections::BTreeMap;

use crate::body::types::Overrun;

use super::Entry;

/// What is known of a source.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// The number that comes next if nothing is lost.
    next: u64,
    /// Time of the last record that was taken in.
    time_ns: u64,
    /// The first number that was lost in here and not yet announced.
    missing_from: u64,
}

/// What was lost and not yet announced.
#[derive(Debug, Default)]
pub(super) struct Losses {
    sources: BTreeMap<u16, Heard>,
}

impl Losses {
    /// A source is heard from now on, beginning with this number.
    pub(super) fn begin(&mut self, source: u16, first_seq: u64, time_ns: u64) {
        let first = Heard { next: first_seq, time_ns, missing_from: first_seq };
        // One that was there before may have lost something that is not announced yet.
        let heard = self.sources.entry(source).or_insert(first);
        heard.next = heard.next.max(first_seq);
    }

    /// A source is there no more: its number may be another one's. What was lost of it and could
    /// not be announced yet still is.
    pub(super) fn end(&mut self, source: u16) {
        if self.sources.get(&source).is_some_and(|heard| heard.missing_from == heard.next) {
            self.sources.remove(&source);
        }
    }

    /// A record that arrived and could not be kept.
    pub(super) fn lost(&mut self, entry: &Entry<'_>) {
        let heard = self.heard(entry);
        heard.next = heard.next.max(entry.source_seq.saturating_add(1));
    }

    fn heard(&mut self, entry: &Entry<'_>) -> &mut Heard {
        let (seq, time_ns) = (entry.source_seq, entry.time_ns);
        let first = Heard { next: seq, time_ns, missing_from: seq };
        self.sources.entry(entry.source).or_insert(first)
    }

    /// A record that arrived and will be kept; what was lost before it.
    pub(super) fn found(&mut self, entry: &Entry<'_>) -> Option<Overrun> {
        let heard = self.heard(entry);
        let (from, to) = (heard.missing_from, entry.source_seq);
        let lost = (to > from).then(|| Overrun {
            lost_source: entry.source,
            count: to - from,
            first_source_seq: from,
            last_source_seq: to - 1,
            from_ns: heard.time_ns,
            to_ns: entry.time_ns,
        });
        heard.next = heard.next.max(entry.source_seq.saturating_add(1));
        heard.missing_from = heard.next;
        heard.time_ns = entry.time_ns;
        lost
    }

    /// Records of a source below this number that did not arrive never will.
    pub(super) fn missed(&mut self, source: u16, below: u64) {
        if let Some(heard) = self.sources.get_mut(&source) {
            heard.next = heard.next.max(below);
        }
    }

    /// What was lost of a source, without waiting for what follows it.
    pub(super) fn of(&mut self, source: u16, now_ns: u64) -> Option<Overrun> {
        let heard = self.sources.get_mut(&source)?;
        let (from, to) = (heard.missing_from, heard.next);
        heard.missing_from = to;
        (to > from).then(|| Overrun {
            lost_source: source,
            count: to - from,
            first_source_seq: from,
            last_source_seq: to - 1,
            from_ns: heard.time_ns,
            to_ns: now_ns,
        })
    }

    /// All that was lost, without waiting for what follows it.
    pub(super) fn all(&mut self, now_ns: u64) -> Vec<Overrun> {
        let sources: Vec<u16> = self.sources.keys().copied().collect();
        sources.into_iter().filter_map(|source| self.of(source, now_ns)).collect()
    }
}
