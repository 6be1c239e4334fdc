//! A ring that somebody writes into, and one that nobody does.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use groundcrew_recorder::ring::shared::{self, Map, Options, RingFile};
use groundcrew_recorder::ring::{Consumer, Item, Producer};

/// Entries of either ring, bytes: the fewest there can be, so that laps are short.
const CAPACITY: usize = 4096;
/// The ring's own number.
const GENERATION: u32 = 9;
/// Drains until a ring is empty; each takes at least one entry or passes over what is none.
const DRAINS_MAX: usize = 10_000;

fn create(path: &Path) -> Consumer<RingFile> {
    // A run before this one may have failed.
    std::fs::remove_file(path).ok();
    let options = Options { bytes: CAPACITY, critical: false, generation: GENERATION };
    shared::create(path, options).expect("a ring can be made")
}

/// A body that says where it came from.
fn body(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes().iter().copied().cycle().take(len).collect()
}

/// A record that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pushed {
    kind: u16,
    time_ns: u64,
    body: Vec<u8>,
}

/// A ring that somebody writes into.
pub(super) struct Hostile {
    path: PathBuf,
    file: File,
    consumer: Option<Consumer<RingFile>>,
    producer: Option<Producer<Map>>,
    /// By number: a ring that was cut or scribbled may hand out a number again.
    pushed: BTreeMap<u64, Vec<Pushed>>,
    /// Somebody made entries that nobody pushed.
    forged: bool,
    /// Number of the record that came out last, of this consumer.
    last: Option<u64>,
}

impl Hostile {
    pub(super) fn new(path: &Path) -> Self {
        let consumer = Some(create(path));
        let file = OpenOptions::new().read(true).write(true).open(path);
        Self {
            path: path.to_owned(),
            file: file.expect("it was just made"),
            consumer,
            producer: shared::attach(path).ok(),
            pushed: BTreeMap::new(),
            forged: false,
            last: None,
        }
    }

    pub(super) fn push(&mut self, kind: u16, len: usize) {
        let Some(producer) = &mut self.producer else { return };
        let number = producer.made();
        let pushed = Pushed { kind, time_ns: number + 1, body: body(number, len) };
        if producer.push(kind, pushed.time_ns, &pushed.body) {
            self.pushed.entry(number).or_default().push(pushed);
        }
    }

    pub(super) fn drain(&mut self, bytes_max: u64) {
        let Some(consumer) = &mut self.consumer else { return };
        let (pushed, forged, last) = (&self.pushed, self.forged, &mut self.last);
        let drained = consumer.drain(bytes_max, &mut |item| {
            let Item::Record(record) = item else { return };
            assert!(last.is_none_or(|last| record.number > last), "numbers go backwards");
            *last = Some(record.number);
            if forged {
                return;
            }
            let (kind, time_ns, body) = (record.kind, record.time_ns, record.body.to_vec());
            let found = Pushed { kind, time_ns, body };
            let known = pushed.get(&record.number).is_some_and(|known| known.contains(&found));
            assert!(known, "number {} was never pushed so", record.number);
        });
        assert!(drained.settled <= 1 << 56, "more numbers than there can be");
    }

    pub(super) fn release(&mut self) {
        // A file that was cut may have no room for it.
        self.consumer.as_mut().and_then(|consumer| consumer.release().ok());
    }

    pub(super) fn scribble(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at % self.len().max(1)).expect("the file is ours");
    }

    pub(super) fn set_field(&self, field: u8, value: u64) {
        let at = 64 + u64::from(field) * 8;
        if at + 8 <= self.len() {
            self.file.write_all_at(&value.to_le_bytes(), at).expect("the file is ours");
        }
    }

    /// An entry with the checksum that it should have, as the documentation says.
    pub(super) fn forge(&mut self, position: u64, number: u64, kind: u16, len: usize) {
        self.forged = true;
        let body = body(number, len);
        let mut entry = u32::try_from(len).unwrap_or(0).to_le_bytes().to_vec();
        entry.extend(kind.to_le_bytes());
        entry.extend([0; 6]);
        entry.extend(7_u64.to_le_bytes());
        entry.extend(number.to_le_bytes());
        entry.extend(body);
        let (generation, place) = (GENERATION.to_le_bytes(), position.to_le_bytes());
        let crc = crc32fast::hash(&[&generation, place.as_slice(), &entry].concat()).to_le_bytes();
        let bytes = [crc.as_slice(), &entry].concat();
        for (offset, byte) in (0..).zip(bytes) {
            let at = 256 + (position + offset) % 4096;
            if at < self.len() {
                self.file.write_all_at(&[byte], at).expect("the file is ours");
            }
        }
    }

    /// A header that fits itself, and says something else.
    pub(super) fn forge_header(&mut self, flags: u16, generation: u32, capacity: u64) {
        self.forged = true;
        let mut header = b"GFDRRING\x01\x00".to_vec();
        header.extend(flags.to_le_bytes());
        header.extend(generation.to_le_bytes());
        header.extend(capacity.to_le_bytes());
        header.extend(crc32fast::hash(&header).to_le_bytes());
        if self.len() >= 256 {
            self.file.write_all_at(&header, 0).expect("the file is ours");
        }
    }

    /// Whoever has it mapped would be killed, so the producer goes before.
    pub(super) fn truncate(&mut self, len: u64) {
        self.producer = None;
        if len < self.len() {
            self.file.set_len(len).expect("the file is ours");
        }
    }

    pub(super) fn consume_anew(&mut self) {
        self.consumer = shared::open_existing(&self.path).ok();
        self.last = None;
    }

    pub(super) fn produce_anew(&mut self) {
        self.producer = None;
        self.producer = shared::attach(&self.path).ok();
    }

    pub(super) fn close(&self) {
        // A file that was cut may have no room for it.
        self.consumer.as_ref().and_then(|consumer| consumer.close().ok());
    }

    pub(super) fn end(mut self) {
        for _ in 0..3 {
            self.drain(u64::MAX);
        }
    }

    fn len(&self) -> u64 {
        self.file.metadata().expect("the file is open").len()
    }
}

/// A ring that nobody writes into but its two sides.
pub(super) struct Neighbor {
    path: PathBuf,
    consumer: Consumer<RingFile>,
    producer: Option<Producer<Map>>,
    /// What was taken up, by number.
    pushed: BTreeMap<u64, Pushed>,
    /// What has come out, of this consumer and of those before it.
    given: BTreeMap<u64, Pushed>,
    /// Number behind the last record that came out of this consumer.
    next: u64,
    /// The same when it was released.
    released: u64,
}

impl Neighbor {
    pub(super) fn new(path: &Path) -> Self {
        let consumer = create(path);
        let producer = Some(shared::attach(path).expect("a new ring takes a producer"));
        let (pushed, given) = (BTreeMap::new(), BTreeMap::new());
        Self { path: path.to_owned(), consumer, producer, pushed, given, next: 0, released: 0 }
    }

    pub(super) fn push(&mut self, kind: u16, len: usize) {
        let producer = self.producer.as_mut().expect("it is always attached again");
        let number = producer.made();
        let pushed = Pushed { kind, time_ns: number + 1, body: body(number, len) };
        if producer.push(kind, pushed.time_ns, &pushed.body) {
            self.pushed.insert(number, pushed);
        }
    }

    pub(super) fn drain(&mut self, bytes_max: u64) -> bool {
        let (given, next) = (&mut self.given, &mut self.next);
        let drained = self.consumer.drain(bytes_max, &mut |item| match item {
            Item::Record(record) => {
                let (kind, time_ns, body) = (record.kind, record.time_ns, record.body.to_vec());
                assert!(record.number >= *next, "numbers go backwards");
                *next = record.number + 1;
                given.insert(record.number, Pushed { kind, time_ns, body });
            }
            Item::Damage(damage) => panic!("nobody wrote into it: {damage}"),
        });
        drained.more
    }

    pub(super) fn release(&mut self) {
        self.consumer.release().expect("the file is there");
        self.released = self.next;
    }

    pub(super) fn consume_anew(&mut self) {
        self.consumer = shared::open_existing(&self.path).expect("nobody wrote into it");
        self.next = self.released;
    }

    pub(super) fn produce_anew(&mut self) {
        self.producer = None;
        let attached = shared::attach(&self.path);
        self.producer = Some(attached.expect("nobody wrote into it"));
    }

    pub(super) fn end(mut self) {
        let drains = (0..DRAINS_MAX).take_while(|_| self.drain(u64::MAX)).count();
        assert!(drains < DRAINS_MAX, "a ring of {CAPACITY} bytes never gets empty");
        let made = self.producer.as_ref().map_or(0, Producer::made);
        assert!(self.given == self.pushed, "what came out is not what went in");
        assert_eq!(self.consumer.next_number(), made, "what was refused is not counted");
    }
}
