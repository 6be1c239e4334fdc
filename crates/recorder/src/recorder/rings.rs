//! Which ring is drained when.

use std::error::Error;
use std::sync::mpsc::Sender;

use crate::body::types::{ComponentLifecycleEvent, Severity};
use crate::chain;
use crate::storage::Storage;
use crate::writer::{Moment, Writer};

use super::source::Ring;
use super::{DRAIN_MAX_NS, Stopped};

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
    /// Who is told the numbers of rings that are over.
    over: Sender<u16>,
}

impl<S: Storage> Rings<S> {
    pub(super) fn new(writer: Writer<S>, over: Sender<u16>) -> Self {
        Self { writer, critical: Vec::new(), bulk: Vec::new(), turn: 0, over }
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
        for rings in [&mut self.critical, &mut self.bulk] {
            rings.retain(|ring| {
                let over = ring.is_over();
                if over {
                    // Nobody makes rings any more where nobody hears it.
                    self.over.send(ring.number).ok();
                }
                !over
            });
        }
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

    /// Ends the flight with what lies in the rings now, within [`DRAIN_MAX`](super::DRAIN_MAX), and goes on with the
    /// one that `next` writes. What it takes in until then belongs to the flight that ends. `None`:
    /// the disk does not take all of it, and the flight goes on.
    pub(super) fn change_flights(
        &mut self,
        next: Writer<S>,
        reason: &str,
        clock: impl Fn() -> Moment,
    ) -> Option<Stopped> {
        let begun = clock();
        let until_ns = begun.time_ns.saturating_add(DRAIN_MAX_NS);
        self.drain_critical(begun);
        let (_, drained) = self.drain_bulk(until_ns, &clock);
        self.tell(clock());
        if self.writer.at_risk() > 0 && !self.writer.sync(clock()) {
            return None;
        }
        let schemas = self.writer.schemas().to_vec();
        let (footer, durable) = self.writer.finish(reason, clock());
        self.release();
        let at_risk = self.writer.at_risk();
        self.writer = next;
        let now = clock();
        schemas.into_iter().for_each(|schema| self.writer.describe(schema, now));
        for ring in self.critical.iter_mut().chain(&mut self.bulk) {
            ring.change_flights(&mut self.writer, now);
        }
        if !durable {
            let detail = "what the disk did not take in time is lost with its memory".to_owned();
            let event = "fdr_flight_not_durable";
            let event = lifecycle(Severity::Error, "recorder", event, detail, at_risk);
            self.writer.own(&event, now);
        }
        Some(Stopped { footer, durable, drained })
    }

    /// Drains the bulk rings; the time when that was over, and whether all was taken.
    fn drain_bulk(&mut self, until_ns: u64, clock: impl Fn() -> Moment) -> (Moment, bool) {
        let (mut now, mut drained) = (clock(), true);
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
        (now, drained)
    }

    /// Drains within [`DRAIN_MAX`](super::DRAIN_MAX) and ends the flight.
    pub(super) fn stop(mut self, reason: &str, clock: impl Fn() -> Moment) -> Stopped {
        self.all().for_each(Ring::close);
        let now = clock();
        let until_ns = now.time_ns.saturating_add(DRAIN_MAX_NS);
        self.drain_critical(now);
        let (now, mut drained) = self.drain_bulk(until_ns, &clock);
        let now = self.wait_for_own(now, until_ns, &clock);
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
