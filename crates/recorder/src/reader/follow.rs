//! A flight that is still being written, read as it grows.
//!
//! Nothing here waits: whoever follows asks again when time has passed. What stands at the end of
//! the last segment and is no whole record yet is looked at again then.

use std::io;
use std::ops::ControlFlow;

use crate::body::Body as _;
use crate::body::types::FlightFooter;
use crate::format::frame::Record;
use crate::format::index;
use crate::format::segment::NotASegment;
use crate::names::Name;
use crate::storage::{Entry, Source};

use super::flight::SegmentHead;
use super::scan::Found;
use super::segment::{SegmentReader, Unreadable};

/// How far a flight has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Follower {
    /// The segment that is being read.
    number: u32,
    /// Offset behind the last record that was read in it.
    at: u64,
    /// Its length when it was read.
    seen_len: u64,
    next_seq: u64,
    ended: bool,
}

impl Follower {
    /// Begins with the segment of this number, or the first behind it.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// Whether the last record that was read is the flight's footer.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Gives the records that have arrived since the last time.
    ///
    /// # Errors
    ///
    /// When the directory or a segment cannot be read; what was read is not given again.
    pub fn poll<S: Source>(
        &mut self,
        source: &S,
        mut each: impl FnMut(&SegmentHead, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), Unreadable> {
        let entries = source.list();
        let name = || "the segments".to_owned();
        let entries = entries.map_err(|source| Unreadable::Io { name: name(), source })?;
        let mut segments: Vec<(Name, Entry)> = entries
            .into_iter()
            .filter_map(|entry| Some((Name::parse(&entry.name)?, entry)))
            .filter(|(name, _)| !matches!(name, Name::Torn(_)) && name.number() >= self.number)
            .collect();
        segments.sort_by_key(|(name, _)| (name.number(), *name));
        let last = segments.last().map_or(0, |(name, _)| name.number());
        for (name, entry) in segments {
            let number = name.number();
            if number > self.number {
                (self.number, self.at, self.seen_len) = (number, 0, 0);
            }
            if entry.len <= self.seen_len {
                continue;
            }
            match self.read(source, &entry, &mut each) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                // It was renamed or removed, or is just being made: the next look tells.
                Err(Unreadable::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Ok(());
                }
                Err(Unreadable::NotASegment { source: NotASegment::Short(_), .. })
                    if number == last =>
                {
                    return Ok(());
                }
                Err(unreadable) => {
                    self.seen_len = entry.len;
                    return Err(unreadable);
                }
            }
        }
        Ok(())
    }

    fn read<S: Source>(
        &mut self,
        source: &S,
        entry: &Entry,
        each: &mut impl FnMut(&SegmentHead, &Record<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unreadable> {
        let mut reader = SegmentReader::open(source, entry)?;
        reader.seek(self.at);
        let header = reader.header;
        loop {
            match reader.next_found()? {
                Found::Record { at, record } => {
                    self.at = at.saturating_add(record.frame_len());
                    if record.head.kind == index::KIND || record.head.seq < self.next_seq {
                        continue;
                    }
                    self.next_seq = record.head.seq.saturating_add(1);
                    self.ended = record.head.kind == FlightFooter::SCHEMA.kind;
                    let flow = each(&header, &record);
                    if flow.is_break() {
                        return Ok(flow);
                    }
                }
                Found::Damage(_) | Found::Trailer(_) => {}
                Found::More | Found::End => break,
            }
        }
        self.seen_len = entry.len;
        Ok(ControlFlow::Continue(()))
    }
}
