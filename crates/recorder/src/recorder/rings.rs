//! Which ring is drained when.

use std::error::Error;

use crate::body::types::{ComponentLifecycleEvent, Severity};
use crate::chain;
use crate::storage::Storage;
use crate::writer::{Moment, Writer};

use super::source::Ring;
use super::{DRAIN_MAX, Stopped};

/// Bytes that are taken from one ring in a row, unless it is critical.
const TURN_BYTES: u64 = 512 << 10;
/// Bytes that are taken from bulk rings before the writer gets its turn.
const ROUND_BYTES: u64 = 4 << 20;

/// All rings, and where their records go.
pub(super) struct Rings<S: Storage> {
    writer: Writer<S>,
    critical: Vec<Ring>,
    bulk: Vec<Ring>,
    /// The bulk ring whose turn it is.
    turn: usize,
}

impl<S: Storage> Rings<S> {
    pub(super) fn new(writer: Writer<S>) -> Self {
        Self { writer, critical: Vec::new(), bulk: Vec::new(), turn: 0 }
    }

    pub(super) fn add(&mut self, ring: Ring) {
        let rings = if ring.critical() { &mut self.critical } else { &mut self.bulk };
        rings.push(ring);
    }

    /// A ring was there that cannot be used.
    pub(super) fn refuse(&mut self, name: &str, error: &dyn Error, now: Moment) {
        let event = lifecycle(Severity::Error, name, "fdr_ring_refused", chain(error), 1);
        self.writer.own(&event, now);
    }

    /// Takes a part of what is there, and gives the writer its turn; whether there is more.
    pub(super) fn round(&mut self, now: Moment) -> bool {
        let mut more = false;
        self.drain_critical(now);
        let (mut bytes, count) = (0, self.bulk.len());
        for _ in 0..count {
            if bytes >= ROUND_BYTES {
                more = true;
                break;
            }
            self.turn = (self.turn + 1) % count;
            if let Some(ring) = self.bulk.get_mut(self.turn) {
                let drained = ring.drain(TURN_BYTES, &mut self.writer, now);
                bytes += drained.bytes;
                more |= drained.more;
            }
        }
        self.tell(now);
        self.writer.tick(now);
        self.release();
        self.critical.retain(|ring| !ring.is_over());
        self.bulk.retain(|ring| !ring.is_over());
        more
    }

    /// Each critical ring up to where it is now.
    fn drain_critical(&mut self, now: Moment) {
        for ring in &mut self.critical {
            ring.drain(u64::MAX, &mut self.writer, now);
        }
    }

    fn release(&mut self) {
        self.all().for_each(Ring::release);
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Ring> {
        self.critical.iter_mut().chain(&mut self.bulk)
    }

    /// Says what is wrong with rings, at most once a second of each.
    fn tell(&mut self, now: Moment) {
        for ring in self.critical.iter_mut().chain(&mut self.bulk) {
            let given_up = ring.given_up();
            if let Some(trouble) = ring.tell(now) {
                let event = if given_up { "fdr_ring_given_up" } else { "fdr_ring_damaged" };
                let severity = if given_up { Severity::Error } else { Severity::Warning };
                let event = lifecycle(severity, &ring.name, event, trouble.detail, trouble.count);
                self.writer.own(&event, now);
            }
        }
    }

    /// Drains within [`DRAIN_MAX`] and ends the flight.
    pub(super) fn stop(mut self, reason: &str, clock: impl Fn() -> Moment) -> Stopped {
        self.all().for_each(Ring::close);
        let now = clock();
        let until_ns = now.time_ns.saturating_add(u64::try_from(DRAIN_MAX.as_nanos()).unwrap_or(0));
        let mut drained = true;
        self.drain_critical(now);
        let mut now = clock();
        for at in 0..self.bulk.len() {
            // What a producer elsewhere publishes from now on is the next recorder's.
            loop {
                now = clock();
                let Some(ring) = self.bulk.get_mut(at) else { break };
                let more = ring.drain(TURN_BYTES, &mut self.writer, now).more;
                if now.time_ns >= until_ns {
                    drained &= !more;
                    break;
                }
                if !more {
                    break;
                }
            }
        }
        now = self.wait_for_own(now, until_ns, &clock);
        for ring in self.critical.iter_mut().chain(&mut self.bulk) {
            drained &= ring.at_rest();
            ring.end_own(&mut self.writer, now);
        }
        self.tell(now);
        let (footer, durable) = self.writer.finish(reason, clock());
        self.release();
        Stopped { footer, durable, drained }
    }

    /// A thread may have found its ring open and not yet published.
    fn wait_for_own(
        &mut self,
        mut now: Moment,
        until_ns: u64,
        clock: impl Fn() -> Moment,
    ) -> Moment {
        // Once in any case: what it did just before the ring was closed shows a moment later.
        loop {
            let mut rest = true;
            for ring in self.critical.iter_mut().chain(&mut self.bulk).filter(|ring| ring.own()) {
                ring.drain(u64::MAX, &mut self.writer, now);
                rest &= ring.at_rest();
            }
            now = clock();
            if rest || now.time_ns >= until_ns {
                break;
            }
            std::thread::yield_now();
        }
        now
    }
}

fn lifecycle(
    severity: Severity,
    component: &str,
    event: &str,
    detail: String,
    records: u64,
) -> ComponentLifecycleEvent {
    let (component, event) = (component.to_owned(), event.to_owned());
    ComponentLifecycleEvent { severity, component, event, detail, records, ..Default::default() }
}
