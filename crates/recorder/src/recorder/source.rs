//! One ring and what was told about its producer.

use crate::body::types::{
    Ending, FlightFooter, Overrun, SourceAttached, SourceEnded, Sync, TypeSchema,
};
use crate::body::{Body as _, USER_TYPES};
use crate::format::index;
use crate::ring::heap::Heap;
use crate::ring::shared::RingFile;
use crate::ring::{Consumer, Drained, Item, Source};
use crate::storage::Storage;
use crate::writer::{Entry, Moment, Writer};

/// Between two questions whether a producer's process is still there.
const ALIVE_NS: u64 = 500_000_000;
/// Between two lines about damage in the same ring.
const QUIET_NS: u64 = 1_000_000_000;

/// Whether only the recorder writes records of this type: a reader believes them.
fn is_recorders_own(kind: u16) -> bool {
    let own = [
        Overrun::SCHEMA.kind,
        FlightFooter::SCHEMA.kind,
        Sync::SCHEMA.kind,
        SourceAttached::SCHEMA.kind,
        SourceEnded::SCHEMA.kind,
        index::KIND,
    ];
    kind < USER_TYPES && own.contains(&kind)
}

/// Where a ring lies.
#[derive(Debug)]
pub(super) enum Side {
    Heap(Consumer<Heap>),
    Shared(Consumer<RingFile>),
}

/// A ring that is drained.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) number: u16,
    pub(super) name: String,
    side: Side,
    /// The producer that was announced, and not ended since.
    announced: Option<(u64, u64)>,
    /// The producer that was announced last.
    last: Option<(u64, u64)>,
    /// Whether it died: that its header says otherwise is no news.
    dead: bool,
    ask_at_ns: u64,
    tell_at_ns: u64,
    /// What is wrong and was not told yet.
    pub(super) trouble: Trouble,
}

/// What is wrong with a ring.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The first of it.
    pub(super) detail: String,
    /// How often.
    pub(super) count: u64,
}

impl Trouble {
    fn add(&mut self, detail: impl ToString) {
        if self.count == 0 {
            self.detail = detail.to_string();
        }
        self.count += 1;
    }
}

impl Ring {
    pub(super) fn new(number: u16, name: &str, side: Side) -> Self {
        Self {
            number,
            name: name.to_owned(),
            side,
            announced: None,
            last: None,
            dead: false,
            ask_at_ns: 0,
            tell_at_ns: 0,
            trouble: Trouble::default(),
        }
    }

    pub(super) fn critical(&self) -> bool {
        match &self.side {
            Side::Heap(consumer) => consumer.critical(),
            Side::Shared(consumer) => consumer.critical(),
        }
    }

    pub(super) fn given_up(&self) -> bool {
        match &self.side {
            Side::Heap(consumer) => consumer.given_up(),
            Side::Shared(consumer) => consumer.given_up(),
        }
    }

    fn source(&self) -> Source {
        match &self.side {
            Side::Heap(consumer) => consumer.source(),
            Side::Shared(consumer) => consumer.source(),
        }
    }

    /// Takes what is there, about `bytes_max` bytes of it, and tells whose it is.
    pub(super) fn drain<S: Storage>(
        &mut self,
        bytes_max: u64,
        writer: &mut Writer<S>,
        now: Moment,
    ) -> Drained {
        self.greet(writer, now);
        let (source, trouble) = (self.number, &mut self.trouble);
        let mut each = |item: Item<'_>| match item {
            Item::Record(record) if is_recorders_own(record.kind) => {
                trouble.add(format!("a record of type {:#06x} from a producer", record.kind));
            }
            Item::Record(record) => {
                let (kind, time_ns, source_seq) = (record.kind, record.time_ns, record.number);
                writer.append(Entry { kind, source, time_ns, source_seq, body: record.body }, now);
                if kind == TypeSchema::SCHEMA.kind {
                    writer.remember(TypeSchema::decode(record.body));
                }
            }
            Item::Damage(damage) => trouble.add(damage),
        };
        let drained = match &mut self.side {
            Side::Heap(consumer) => consumer.drain(bytes_max, &mut each),
            Side::Shared(consumer) => consumer.drain(bytes_max, &mut each),
        };
        writer.missed(self.number, drained.settled, now);
        self.greet(writer, now);
        if !drained.more {
            self.say_goodbye(writer, now);
        }
        drained
    }

    /// Announces a producer that was not there before.
    fn greet<S: Storage>(&mut self, writer: &mut Writer<S>, now: Moment) {
        // Before the first record it has to be known who makes it.
        if let Side::Shared(consumer) = &mut self.side
            && self.last.is_none()
        {
            consumer.look_again();
        }
        let source = self.source();
        let who = (source.pid, source.start);
        // One that came and went since the last look was there all the same.
        let other = source.pid != 0 && self.last != Some(who);
        let again = self.announced.is_none() && source.attached && !self.dead;
        if !other && !again {
            return;
        }
        if self.announced.is_some() {
            // Another one is there, so that one is not.
            self.end(Ending::Died, 0, writer, now);
        }
        let pid = u32::try_from(source.pid).ok().filter(|_| !self.own()).unwrap_or(0);
        let (number, name, critical) = (self.number, self.name.clone(), self.critical());
        let attached = SourceAttached { attached: number, name, pid, critical };
        writer.attach(attached, self.next_number(), now);
        (self.announced, self.last, self.dead) = (Some(who), Some(who), false);
    }

    /// Ends the announced producer, if it is there no more and the ring is empty.
    fn say_goodbye<S: Storage>(&mut self, writer: &mut Writer<S>, now: Moment) {
        if self.announced.is_none() {
            return;
        }
        // It may have pushed and ended since the ring was drained: that is taken first.
        if self.source().detached && self.has_more() {
            return;
        }
        let source = self.source();
        if source.detached {
            self.end(Ending::Detached, source.made, writer, now);
        } else if self.given_up() || self.died(now) {
            self.end(Ending::Died, source.made, writer, now);
        }
    }

    fn died(&mut self, now: Moment) -> bool {
        let Side::Shared(consumer) = &mut self.side else { return false };
        if now.time_ns < self.ask_at_ns {
            return false;
        }
        self.ask_at_ns = now.time_ns + ALIVE_NS;
        // A process of which nothing can be found out is not said to have died. Where it published
        // until it died, that is taken first.
        consumer.producer_died().unwrap_or(false) && !consumer.has_more()
    }

    fn end<S: Storage>(&mut self, how: Ending, made: u64, writer: &mut Writer<S>, now: Moment) {
        let made = made.max(self.next_number());
        writer.end(&SourceEnded { ended: self.number, how, made }, now);
        self.announced = None;
        self.dead = how == Ending::Died;
    }

    fn has_more(&mut self) -> bool {
        match &mut self.side {
            Side::Heap(consumer) => consumer.has_more(),
            Side::Shared(consumer) => consumer.has_more(),
        }
    }

    fn next_number(&self) -> u64 {
        match &self.side {
            Side::Heap(consumer) => consumer.next_number(),
            Side::Shared(consumer) => consumer.next_number(),
        }
    }

    /// What comes from now on belongs to another flight, which has not heard of its producer.
    pub(super) fn change_flights<S: Storage>(&mut self, next: &mut Writer<S>, now: Moment) {
        self.announced = None;
        self.greet(next, now);
    }

    /// Nothing more comes from this process.
    pub(super) fn close(&mut self) {
        if let Side::Heap(consumer) = &self.side
            && let Err(error) = consumer.close()
        {
            self.trouble.add(error);
        }
    }

    /// Whether it is of this process.
    pub(super) fn own(&self) -> bool {
        matches!(self.side, Side::Heap(_))
    }

    /// Whether nothing that was made before it was closed is still on its way.
    pub(super) fn at_rest(&self) -> bool {
        !self.own() || self.source().made <= self.next_number()
    }

    /// Ends what only this process had.
    pub(super) fn end_own<S: Storage>(&mut self, writer: &mut Writer<S>, now: Moment) {
        if self.own() && self.announced.is_some() {
            self.end(Ending::Detached, self.source().made, writer, now);
        }
    }

    /// Gives back the room of what was taken.
    pub(super) fn release(&mut self) {
        let released = match &mut self.side {
            Side::Heap(consumer) => consumer.release(),
            Side::Shared(consumer) => consumer.release(),
        };
        if let Err(error) = released {
            self.trouble.add(error);
        }
    }

    /// Whether nothing will ever come out of it.
    pub(super) fn is_over(&self) -> bool {
        let gone = self.own() && self.last.is_some() && self.announced.is_none();
        gone || self.given_up()
    }

    /// What is to be told now of what is wrong.
    pub(super) fn tell(&mut self, now: Moment) -> Option<Trouble> {
        let due = self.trouble.count > 0 && (now.time_ns >= self.tell_at_ns || self.given_up());
        due.then(|| {
            self.tell_at_ns = now.time_ns + QUIET_NS;
            std::mem::take(&mut self.trouble)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::flight_id::FlightId;
    use crate::reader::flight::Flight;
    use crate::reader::verify::verify;
    use crate::ring::shared;
    use crate::storage::Disk;
    use crate::writer::Policy;

    #[test]
    fn rec_4_who_ends_while_nobody_looks_has_lost_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nav.ring");
        let options = shared::Options { bytes: 4096, critical: false, generation: 9 };
        let consumer = shared::create(&path, options).unwrap();
        let mut ring = Ring::new(1, "nav", Side::Shared(consumer));
        let (disk, flight) = (Disk::new(dir.path()), FlightId::new(1, [1; 10]));
        let mut writer = Writer::new(disk.clone(), flight, [1; 16], Policy::default());
        let now = Moment { time_ns: 1, utc_ns: 0 };
        ring.drain(u64::MAX, &mut writer, now);
        let mut producer = shared::attach(&path).unwrap();
        for number in 0..5 {
            assert!(producer.push(0x8001, number, b"body"));
        }
        drop(producer);
        // What a drain does behind the taking, where all of it happens just before.
        ring.greet(&mut writer, now);
        ring.say_goodbye(&mut writer, now);
        assert_eq!(ring.drain(u64::MAX, &mut writer, now).records, 5);
        writer.finish("test", now);
        let report = verify(&Flight::open(disk).unwrap(), |_| {});
        assert_eq!((report.types[&0x8001], report.overruns), (5, 0));
        assert_eq!(report.types[&SourceEnded::SCHEMA.kind], 1);
    }
}
