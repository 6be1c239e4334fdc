//! A recorder on a model disk, and the truth about what it was given.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use groundcrew_recorder::body::USER_TYPES;
use groundcrew_recorder::body::types::SourceAttached;
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::reader::verify::{Report, verify};
use groundcrew_recorder::storage::Storage;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use crate::model::{Chance, Model};

/// The type of the records that are told apart.
pub(crate) const MINE: u16 = USER_TYPES + 1;
/// Their source.
pub(crate) const SOURCE: u16 = 7;

/// Small, so that a few hundred records see everything.
pub(crate) const POLICY: Policy = Policy {
    sync_after_ns: 10_000_000,
    sync_bytes: 3000,
    segment_bytes: 8000,
    flight_bytes: 60_000,
};

/// A recorder and what it was given.
pub(crate) struct World<S: Storage> {
    pub(crate) writer: Writer<S>,
    pub(crate) now: Moment,
    pub(crate) given: u64,
    /// How many of the records given are durable, as the writer said.
    pub(crate) promised: u64,
}

/// The body of the record with this number, of a length that depends on it.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let mut chance = Chance::new(number + 1);
    let len = chance.below(200);
    let mut body = number.to_le_bytes().to_vec();
    body.extend((0..len).map(|_| u8::try_from(chance.below(256)).unwrap()));
    body
}

pub(crate) fn flight_id() -> FlightId {
    FlightId::new(1_800_000_000_000, [3; 10])
}

impl<S: Storage> World<S> {
    pub(crate) fn new(storage: S, policy: Policy) -> Self {
        let writer = Writer::new(storage, flight_id(), [9; 16], policy);
        Self::with(writer, 0)
    }

    /// Goes on with a recording to which so many records were given.
    pub(crate) fn resume(storage: S, policy: Policy, given: u64) -> Self {
        let writer = Writer::resume(storage, [9; 16], policy).map_err(|why| why.to_string());
        Self::with(writer.unwrap(), given)
    }

    fn with(mut writer: Writer<S>, given: u64) -> Self {
        let now =
            Moment { time_ns: 1_000 + given * 1_000_000_000, utc_ns: 1_800_000_000_000_000_000 };
        let source =
            SourceAttached { attached: SOURCE, name: "test".to_owned(), pid: 1, critical: false };
        writer.attach(source, given, now);
        Self { writer, now, given, promised: 0 }
    }

    /// Gives one record.
    pub(crate) fn give(&mut self) {
        let body = body(self.given);
        let entry = Entry {
            kind: MINE,
            source: SOURCE,
            time_ns: self.now.time_ns,
            source_seq: self.given,
            body: &body,
        };
        self.writer.append(entry, self.now);
        self.given += 1;
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.time_ns += ms * 1_000_000;
        self.now.utc_ns += i64::try_from(ms).unwrap() * 1_000_000;
        self.writer.tick(self.now);
    }

    /// Syncs, and keeps the promise in mind if there is one.
    pub(crate) fn sync(&mut self) {
        let given = self.given;
        if self.writer.sync(self.now) {
            self.promised = given;
        }
    }

    /// Records and time by chance.
    pub(crate) fn live(&mut self, chance: &mut Chance, records: u64) {
        for _ in 0..records {
            self.give();
            if chance.below(6) == 0 {
                self.pass(chance.below(15));
            }
            if chance.below(20) == 0 {
                self.sync();
            }
        }
    }
}

/// What a reader gets of the records that are told apart, and what a verifier says.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) numbers: BTreeSet<u64>,
    pub(crate) report: Report,
}

/// Reads a flight; panics where a record is not the one that was given.
pub(crate) fn read(disk: &Model) -> Read {
    let flight = Flight::open(disk.clone()).expect("there is a flight");
    let mut numbers = BTreeSet::new();
    flight.read(&Wanted::default(), |record| {
        if record.head.kind == MINE {
            let number = u64::from_le_bytes(record.body[..8].try_into().unwrap());
            assert_eq!(record.body, body(number), "record {number} was changed");
            assert_eq!(record.head.source_seq, number);
            assert!(numbers.insert(number), "record {number} twice");
            assert_eq!(numbers.last(), Some(&number), "record {number} out of order");
        }
        ControlFlow::Continue(())
    });
    let report = verify(&flight, |_| {});
    Read { numbers, report }
}
