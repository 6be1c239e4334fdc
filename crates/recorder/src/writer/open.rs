//! The segment that is being written.
//!
//! Frames that are not durable stay in memory until they are: after a failed sync nobody knows
//! which of them reached the disk, and asking again would say yes without writing them. Those of the
//! last sync stay until the next one: a file system that gives up in the middle of a sync may say
//! yes to it and keep nothing, as ext4 does, and only what follows fails.

use std::io;

use crate::body::Body as _;
use crate::body::types::Sync;
use crate::format::frame::{self, Head, Record};
use crate::format::index::{self, Index};
use crate::format::segment::{Header, Trailer};
use crate::names::Name;
use crate::storage::{SegmentFile, Storage, write_all};

use super::evict::Sealed;
use super::policy::Policy;

/// Bytes that are gathered before they are handed to the file.
const FLUSH_BYTES: usize = 256 << 10;

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Open<F> {
    pub(super) header: Header,
    file: F,
    seed: u32,
    index: Index,
    /// Bytes of the segment, those in `tail` among them.
    len: u64,
    /// Frames that are not durable; the first `handed` bytes of them were handed to the file.
    tail: Vec<u8>,
    handed: usize,
    /// Frames that the last sync made durable.
    last: Vec<u8>,
    /// When the first record was taken in here that is not durable and worth a sync.
    waiting_since_ns: Option<u64>,
    /// A write failed before; what stands at the end of the file is not known.
    broken: Option<io::ErrorKind>,
}

impl<F: SegmentFile> Open<F> {
    /// Makes the file; its name is durable, its header with the first record.
    pub(super) fn begin<S: Storage<File = F>>(
        storage: &mut S,
        header: Header,
        now_ns: u64,
    ) -> io::Result<Self> {
        let mut file = storage.create(&Name::Open(header.number).to_string())?;
        let bytes = header.encode();
        write_all(&mut file, &bytes)?;
        storage.sync_dir()?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Self {
            header,
            file,
            seed: header.seed(),
            index: Index::default(),
            len,
            tail: Vec::with_capacity(FLUSH_BYTES * 2),
            handed: 0,
            last: Vec::new(),
            waiting_since_ns: Some(now_ns),
            broken: None,
        })
    }

    /// Takes a record in, and hands a good portion of them to the file.
    pub(super) fn push(&mut self, record: &Record<'_>, now_ns: u64) {
        self.index.add(&record.head, self.len);
        let len = frame::encode(record, self.seed, &mut self.tail);
        self.len += u64::try_from(len).unwrap_or(u64::MAX);
        // What a producer takes for the time decides nothing here.
        self.waiting_since_ns.get_or_insert(now_ns);
        if self.tail.len() - self.handed >= FLUSH_BYTES
            && let Err(error) = self.flush()
        {
            // The next tick hears of it from `flush`.
            self.broken = Some(error.kind());
        }
    }

    /// Takes in what was not durable in a segment that failed, under the same numbers.
    pub(super) fn push_again(&mut self, mut frames: &[u8], seed: u32, now_ns: u64) {
        while let frame::Step::Record { record, len } = frame::decode(frames, seed) {
            if record.head.kind == Sync::SCHEMA.kind && record.head.source == super::RECORDER {
                // How much of the other one was durable says nothing about this one.
                let sync = Sync { durable_bytes: 0, ..Sync::decode(record.body) };
                self.push(&Record { head: record.head, body: &sync.to_bytes() }, now_ns);
            } else {
                self.push(&record, now_ns);
            }
            frames = frames.get(len..).unwrap_or_default();
        }
    }

    /// Hands everything to the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        let rest = self.tail.get(self.handed..).unwrap_or_default();
        write_all(&mut self.file, rest)?;
        self.handed = self.tail.len();
        Ok(())
    }

    pub(super) fn sync_is_due(&self, policy: &Policy, now_ns: u64) -> bool {
        let waits = |since: u64| now_ns.saturating_sub(since) >= policy.sync_after_ns;
        let many = u64::try_from(self.tail.len()).unwrap_or(u64::MAX) >= policy.sync_bytes;
        many || self.waiting_since_ns.is_some_and(waits)
    }

    /// Makes durable what was handed to the file; how many bytes of it are.
    pub(super) fn sync(&mut self) -> io::Result<u64> {
        self.file.sync()?;
        // Both keep their memory.
        std::mem::swap(&mut self.last, &mut self.tail);
        self.tail.clear();
        self.tail.extend_from_slice(self.last.get(self.handed..).unwrap_or_default());
        self.last.truncate(self.handed);
        self.handed = 0;
        self.waiting_since_ns = None;
        Ok(self.len - u64::try_from(self.tail.len()).unwrap_or(u64::MAX))
    }

    /// What was taken in last is worth no sync of its own.
    pub(super) fn is_at_rest(&mut self) {
        self.waiting_since_ns = None;
    }

    /// Ends the segment with index and trailer, and makes it durable. The index is no record: it
    /// carries the numbers that the next record will have.
    pub(super) fn seal(&mut self, seq: u64, source_seq: u64, time_ns: u64) -> io::Result<()> {
        let index_at = self.len;
        let head = Head { kind: index::KIND, source: super::RECORDER, time_ns, source_seq, seq };
        let body = self.index.encode();
        let len = frame::encode(&Record { head, body: &body }, self.seed, &mut self.tail);
        let trailer = Trailer::LEN + u64::try_from(len).unwrap_or(u64::MAX);
        self.len += trailer;
        let trailer = Trailer { index_at, file_len: self.len };
        self.tail.extend_from_slice(&trailer.encode(self.seed));
        self.flush()?;
        self.sync()?;
        Ok(())
    }

    /// Bytes that the segment has.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn summary(&self) -> Sealed {
        let (number, bytes, index) = (self.header.number, self.len, self.index.clone());
        Sealed { number, bytes, records: index.records(), index }
    }

    /// What is left of a segment that failed: the frames that may not be on the disk, which the next
    /// segment takes, and the seed that they were made with.
    pub(super) fn give_up(self) -> (Sealed, Vec<u8>, u32) {
        let mut sealed = self.summary();
        let mut kept = Vec::with_capacity(self.last.len() + self.tail.len());
        for mut rest in [self.last.as_slice(), &self.tail] {
            while let frame::Step::Record { record, len } = frame::decode(rest, self.seed) {
                let (frame, behind) = rest.split_at(len);
                // The next segment has an index of its own.
                if record.head.kind != index::KIND {
                    kept.extend_from_slice(frame);
                    sealed.records = sealed.records.saturating_sub(1);
                }
                rest = behind;
            }
        }
        (sealed, kept, self.seed)
    }
}
