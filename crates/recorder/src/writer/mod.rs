//! Writing a flight: segments, syncs, evictions, and going on after every error.
//!
//! The writer is told the time and does nothing by itself; [`Writer::tick`] wants to be called
//! some ten times a second. Nothing here gives up: after a failed write or sync the segment is
//! left as it is, what was not durable in it is written again into a fresh one under the same
//! numbers, and while no segment can be made records wait in memory. What does not fit there any
//! more is counted by source and announced as soon as there is room (REC-4, REC-13).

mod book;
mod evict;
mod open;
mod policy;
mod resume;

use std::collections::VecDeque;
use std::io;

pub use policy::Policy;
pub use resume::{CannotResume, described_last};

use crate::body::types::{
    ComponentLifecycleEvent, FlightFooter, Overrun, Severity, SourceAttached, SourceEnded, Sync,
    TypeSchema,
};
use crate::body::{Body, USER_TYPES};
use crate::format::flight_id::FlightId;
use crate::format::frame::{self, BODY_MAX, Head, Record};
use crate::format::segment::Header;
use crate::names::Name;
use crate::storage::Storage;
use book::Losses;
use evict::Sealed;
use open::Open;

/// The source of what the recorder itself has to say.
pub const RECORDER: u16 = 0;

/// Bytes that wait in memory at most while no segment can be made or written.
const WAITING_MAX: usize = 16 << 20;
/// Types of users that are described again at the beginning of each segment, at most.
pub const SCHEMAS_MAX: usize = 256;
/// Bytes of such a description at most.
pub const SCHEMA_MAX_BYTES: usize = 32 << 10;
/// Between two tries to make a segment.
const RETRY_NS: u64 = 500_000_000;

/// A moment by the two clocks that matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`, nanoseconds; never goes backwards.
    pub time_ns: u64,
    /// Nanoseconds since 1970, as far as the host knows; may jump.
    pub utc_ns: i64,
}

/// What a producer hands over.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// What the body is.
    pub kind: u16,
    /// Who made it.
    pub source: u16,
    /// When it was made, nanoseconds of `CLOCK_BOOTTIME`.
    pub time_ns: u64,
    /// The source's own number of it.
    pub source_seq: u64,
    /// The body, at most [`BODY_MAX`] bytes; a longer one is counted as lost.
    pub body: &'a [u8],
}

/// Writes a flight.
#[derive(Debug)]
pub struct Writer<S: Storage> {
    storage: S,
    policy: Policy,
    flight: FlightId,
    boot: [u8; 16],
    /// The segment that is being written; `None`: none could be made yet.
    open: Option<Open<S::File>>,
    /// Frames of a segment that failed, to be written into the next one.
    waiting: Vec<u8>,
    waiting_seed: u32,
    next_segment: u32,
    next_seq: u64,
    own_seq: u64,
    durable_seq: u64,
    retry_at_ns: u64,
    sealed: VecDeque<Sealed>,
    losses: Losses,
    sources: Vec<SourceAttached>,
    schemas: Vec<TypeSchema>,
    totals: FlightFooter,
    /// What went wrong and is still to be said in the recording.
    troubles: Vec<ComponentLifecycleEvent>,
}

impl<S: Storage> Writer<S> {
    /// A writer of a new flight; its first segment is made with the first record.
    pub fn new(storage: S, flight: FlightId, boot: [u8; 16], policy: Policy) -> Self {
        Self {
            storage,
            policy,
            flight,
            boot,
            open: None,
            waiting: Vec::new(),
            waiting_seed: 0,
            next_segment: 0,
            next_seq: 0,
            own_seq: 0,
            durable_seq: 0,
            retry_at_ns: 0,
            sealed: VecDeque::new(),
            losses: Losses::default(),
            sources: Vec::new(),
            schemas: Vec::new(),
            totals: FlightFooter::default(),
            troubles: Vec::new(),
        }
    }

    /// The number of the first record that a power cut may still take.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// How many records a power cut may still take.
    #[must_use]
    pub fn at_risk(&self) -> u64 {
        self.next_seq - self.durable_seq
    }

    /// What the footer would say now.
    #[must_use]
    pub fn totals(&self) -> &FlightFooter {
        &self.totals
    }

    /// Takes a record in.
    pub fn append(&mut self, entry: Entry<'_>, now: Moment) {
        self.make_room(now);
        if entry.body.len() > BODY_MAX || !self.has_room() {
            self.losses.lost(&entry);
            return;
        }
        if let Some(overrun) = self.losses.found(&entry) {
            self.announce(&overrun, now);
        }
        self.put(entry, now);
    }

    /// A source is there from now on, whose next record has the number `first_seq`.
    pub fn attach(&mut self, source: SourceAttached, first_seq: u64, now: Moment) {
        self.make_room(now);
        self.losses.begin(source.attached, first_seq, now.time_ns);
        self.own(&source, now);
        self.sources.retain(|known| known.attached != source.attached);
        self.sources.push(source);
    }

    /// Records of a source below the number `below` that did not arrive never will.
    pub fn missed(&mut self, source: u16, below: u64, now: Moment) {
        self.losses.missed(source, below);
        if self.has_room()
            && let Some(overrun) = self.losses.of(source, now.time_ns)
        {
            self.announce(&overrun, now);
        }
    }

    /// A source is there no more; what did not arrive of what it made is lost.
    pub fn end(&mut self, source: &SourceEnded, now: Moment) {
        self.make_room(now);
        self.missed(source.ended, source.made, now);
        self.sources.retain(|known| known.attached != source.ended);
        self.own(source, now);
        self.losses.end(source.ended);
    }

    /// A type of a user's is described from now on.
    pub fn describe(&mut self, schema: TypeSchema, now: Moment) {
        self.make_room(now);
        self.own(&schema, now);
        self.remember(schema);
    }

    /// Says at the beginning of each further segment what a type of a user's is. Of more than
    /// [`SCHEMAS_MAX`], and of longer ones than [`SCHEMA_MAX_BYTES`], that is not said again.
    pub fn remember(&mut self, schema: TypeSchema) {
        let users = schema.described >= USER_TYPES;
        if !users || schema.name.len() + schema.fields.len() > SCHEMA_MAX_BYTES {
            return;
        }
        self.schemas.retain(|known| known.described != schema.described);
        if self.schemas.len() < SCHEMAS_MAX {
            self.schemas.push(schema);
        }
    }

    /// The users' types that are described at the beginning of each segment.
    #[must_use]
    pub fn schemas(&self) -> &[TypeSchema] {
        &self.schemas
    }

    /// A record of the recorder's own.
    pub fn own<B: Body>(&mut self, body: &B, now: Moment) {
        self.own_bytes(B::SCHEMA.kind, &body.to_bytes(), now);
    }

    /// The same with a body as it stood in another recording, at most [`BODY_MAX`] bytes.
    pub fn own_bytes(&mut self, kind: u16, body: &[u8], now: Moment) {
        let source_seq = self.own_seq;
        self.own_seq += 1;
        let (source, time_ns) = (RECORDER, now.time_ns);
        self.put(Entry { kind, source, time_ns, source_seq, body }, now);
    }

    fn put(&mut self, entry: Entry<'_>, now: Moment) {
        let Entry { kind, source, time_ns, source_seq, body } = entry;
        let head = Head { kind, source, time_ns, source_seq, seq: self.next_seq };
        let record = Record { head, body };
        self.next_seq += 1;
        self.totals.records_written += 1;
        match &mut self.open {
            Some(open) => open.push(&record, now.time_ns),
            None => {
                frame::encode(&record, self.waiting_seed, &mut self.waiting);
            }
        }
    }

    /// Writes and syncs what is due, and begins a new segment where one is due.
    pub fn tick(&mut self, now: Moment) {
        self.make_room(now);
        let Some(open) = &mut self.open else { return };
        if let Err(error) = open.flush() {
            return self.fail("write", &error, now);
        }
        if open.sync_is_due(&self.policy, now.time_ns) {
            self.sync(now);
        }
    }

    /// Makes everything that was taken in durable; whether it is.
    pub fn sync(&mut self, now: Moment) -> bool {
        let Some(open) = &mut self.open else { return false };
        match open.flush().and_then(|()| open.sync()) {
            Ok(durable_bytes) => {
                self.durable_seq = self.next_seq;
                let own = Sync { durable_bytes, durable_seq: self.durable_seq };
                self.own(&own, now);
                if let Some(open) = &mut self.open {
                    open.is_at_rest();
                }
                true
            }
            Err(error) => {
                self.fail("sync", &error, now);
                false
            }
        }
    }

    /// Whether a record can be taken in.
    fn has_room(&self) -> bool {
        self.open.is_some() || self.waiting.len() < WAITING_MAX
    }

    /// Whether there is a segment with room: begins one, or seals the full one and begins another.
    fn make_room(&mut self, now: Moment) {
        if self.open.as_ref().is_some_and(|open| open.len() >= self.policy.segment_bytes) {
            self.rotate(now);
        }
        if self.open.is_none() && now.time_ns >= self.retry_at_ns {
            self.begin(now);
        }
    }

    fn rotate(&mut self, now: Moment) {
        if self.seal(now) {
            self.begin(now);
        }
    }

    /// Ends the open segment with its index; whether that worked.
    fn seal(&mut self, now: Moment) -> bool {
        let Some(mut open) = self.open.take() else { return true };
        let sealed = open.seal(self.next_seq, self.own_seq, now.time_ns);
        match sealed.and_then(|()| self.name(&open)) {
            Ok(()) => {
                self.durable_seq = self.next_seq;
                self.totals.bytes_written += open.len();
                self.sealed.push_back(open.summary());
                true
            }
            Err(error) => {
                self.open = Some(open);
                self.fail("seal", &error, now);
                false
            }
        }
    }

    fn name(&mut self, open: &Open<S::File>) -> io::Result<()> {
        let number = open.header.number;
        let [from, to] = [Name::Open(number), Name::Sealed(number)].map(|name| name.to_string());
        // A crash may leave the old name, under which the segment is as good; the next segment
        // makes this one durable with its own.
        self.storage.rename(&from, &to)
    }

    /// Makes the next segment, with what waits for it; where that fails, tries again later.
    fn begin(&mut self, now: Moment) {
        let number = self.next_segment;
        let header = Header {
            flight: self.flight,
            boot: self.boot,
            number,
            first_seq: self.next_seq,
            time_ns: now.time_ns,
            utc_ns: now.utc_ns,
        };
        // A number is used once: a file of a failed try may hold anything.
        self.next_segment += 1;
        let begun = Open::begin(&mut self.storage, header, now.time_ns);
        match begun {
            Ok(open) => self.take_up(open, now),
            Err(error) => {
                let name = Name::Open(number).to_string();
                self.storage.remove(&name).ok();
                self.next_segment = number;
                self.retry_at_ns = now.time_ns + RETRY_NS;
                self.trouble(Severity::Error, "fdr_no_segment", number, &error);
                self.evict_for_room(&error, now);
            }
        }
    }

    /// What a fresh segment begins with: what waited, who there is, what was lost and went wrong.
    fn take_up(&mut self, open: Open<S::File>, now: Moment) {
        if open.header.number > 0 {
            self.totals.rollover_count += 1;
        }
        let (waiting, seed) = (std::mem::take(&mut self.waiting), self.waiting_seed);
        let mut rest = waiting.as_slice();
        let open = self.open.insert(open);
        while let frame::Step::Record { record, len } = frame::decode(rest, seed) {
            open.push(&record, now.time_ns);
            rest = rest.get(len..).unwrap_or_default();
        }
        for source in self.sources.clone() {
            self.own(&source, now);
        }
        for schema in self.schemas.clone() {
            self.own(&schema, now);
        }
        for trouble in std::mem::take(&mut self.troubles) {
            self.own(&trouble, now);
        }
        self.announce_losses(now);
        self.evict_to_bound(now);
    }

    fn announce_losses(&mut self, now: Moment) {
        for overrun in self.losses.all(now.time_ns) {
            self.announce(&overrun, now);
        }
    }

    fn announce(&mut self, overrun: &Overrun, now: Moment) {
        let dropped = &mut self.totals.records_dropped_overrun;
        *dropped = dropped.saturating_add(overrun.count);
        self.own(overrun, now);
    }

    /// Leaves the segment as it is; what is not durable in it waits for the next one.
    fn fail(&mut self, what: &str, error: &io::Error, now: Moment) {
        let Some(open) = self.open.take() else { return };
        let number = open.header.number;
        self.trouble(Severity::Error, &format!("fdr_{what}_failed"), number, error);
        self.totals.bytes_written += open.len();
        self.sealed.push_back(open.summary());
        (self.waiting, self.waiting_seed) = open.not_durable();
        // Readers take an unsealed segment as it is, so that this name may stay is no harm.
        let [from, to] = [Name::Open(number), Name::Sealed(number)].map(|name| name.to_string());
        self.storage.rename(&from, &to).ok();
        self.evict_for_room(error, now);
        // A disk that fails again at once is given time; records wait in memory until then.
        if now.time_ns >= self.retry_at_ns {
            self.retry_at_ns = now.time_ns + RETRY_NS;
            self.begin(now);
        }
    }

    fn trouble(&mut self, severity: Severity, event: &str, segment: u32, error: &io::Error) {
        // One line per kind of trouble: a disk that stays broken is tried twice a second.
        if self.troubles.iter().any(|known| known.event == event) {
            return;
        }
        self.troubles.push(ComponentLifecycleEvent {
            severity,
            component: "recorder".to_owned(),
            event: event.to_owned(),
            detail: error.to_string(),
            segment,
            ..Default::default()
        });
    }

    /// Ends the flight; what the footer says, and whether all of it is durable.
    pub fn finish(&mut self, reason: &str, now: Moment) -> (FlightFooter, bool) {
        self.make_room(now);
        self.announce_losses(now);
        let open = self.open.as_ref().map_or(0, Open::len);
        let footer = FlightFooter {
            clean_shutdown: true,
            reason: reason.to_owned(),
            records_written: self.totals.records_written + 1,
            bytes_written: self.totals.bytes_written + open,
            ..self.totals.clone()
        };
        self.own(&footer, now);
        // A failing disk gets one more chance, with all that is not durable in a fresh segment.
        let sealed = self.open.is_some() && self.seal(now) || {
            if self.open.is_none() {
                self.begin(now);
            }
            self.open.is_some() && self.seal(now)
        };
        // The last name may be lost in a crash where this fails; what it names is not.
        self.storage.sync_dir().ok();
        (footer, sealed && self.waiting.is_empty())
    }
}
