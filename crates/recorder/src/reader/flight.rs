//! All segments of a flight, as one stream of records.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use crate::format::frame::Record;
use crate::format::index::{self, Index};
use crate::names::Name;
use crate::storage::{Entry, Source};

use super::scan::{Found, Hole};
use super::segment::{HOLES_MAX, SegmentReader, Unreadable};

/// A flight's segments.
#[derive(Debug)]
pub struct Flight<S> {
    source: S,
    segments: Vec<Segment>,
    torn_bytes: u64,
    torn: BTreeSet<u32>,
}

/// A file with a segment.
#[derive(Debug, Clone)]
pub struct Segment {
    /// What the file is.
    pub name: Name,
    /// As it lies in the directory.
    pub entry: Entry,
}

/// Why a directory cannot be read as a flight.
#[derive(Debug, thiserror::Error)]
pub enum NoFlight {
    /// The directory cannot be read.
    #[error("cannot list the segments")]
    Io(#[source] io::Error),
    /// There is no segment in it.
    #[error("there is no segment of a flight in it")]
    Empty,
}

/// Which records are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Types; empty: all.
    pub types: BTreeSet<u16>,
    /// Sources; empty: all.
    pub sources: BTreeSet<u16>,
    /// Not before this time, nanoseconds of the flight's clock.
    pub from_ns: Option<u64>,
    /// Not after this time, nanoseconds of the flight's clock.
    pub to_ns: Option<u64>,
}

impl Wanted {
    /// Whether a record is wanted.
    #[must_use]
    pub fn takes(&self, record: &Record<'_>) -> bool {
        let time = record.head.time_ns;
        (self.types.is_empty() || self.types.contains(&record.head.kind))
            && (self.sources.is_empty() || self.sources.contains(&record.head.source))
            && self.from_ns.is_none_or(|from| from <= time)
            && self.to_ns.is_none_or(|to| time <= to)
    }

    /// Whether a segment may hold a record that is wanted.
    fn may_be_in(&self, index: &Index) -> bool {
        let Some(times) = index.times else { return false };
        self.from_ns.is_none_or(|from| from <= times.last)
            && self.to_ns.is_none_or(|to| times.first <= to)
            && (self.types.is_empty() || index.types.keys().any(|kind| self.types.contains(kind)))
            && (self.sources.is_empty()
                || index.sources.keys().any(|one| self.sources.contains(one)))
    }

    /// Whether everything is wanted.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// What was met beside records.
#[derive(Debug, Default)]
pub struct Met {
    /// Segments that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Bytes that are no record, with the segment; at most [`HOLES_MAX`] are listed.
    pub holes: Vec<(u32, Hole)>,
    /// How many there are in all.
    pub holes_in_all: u64,
    /// Records that were met twice, as they are behind a failed segment.
    pub twice: u64,
}

/// What is met on the way through a flight.
#[derive(Debug)]
pub enum Event<'a> {
    /// A segment begins.
    Segment(&'a Segment, &'a SegmentHead),
    /// A record, at an offset in it.
    Record(u64, &'a Record<'a>),
    /// Bytes that are no record.
    Hole(Hole),
    /// The segment's trailer: it was sealed.
    Sealed,
}

/// What a segment says of itself.
pub type SegmentHead = crate::format::segment::Header;

impl<S: Source> Flight<S> {
    /// The flight in a directory of segments.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or holds no segment.
    pub fn open(source: S) -> Result<Self, NoFlight> {
        let entries = source.list().map_err(NoFlight::Io)?;
        let (mut torn_bytes, mut torn) = (0, BTreeSet::new());
        let mut segments: Vec<Segment> = Vec::new();
        for entry in entries {
            match Name::parse(&entry.name) {
                Some(Name::Torn(number)) => {
                    torn_bytes += entry.len;
                    torn.insert(number);
                }
                Some(name) => segments.push(Segment { name, entry }),
                None => {}
            }
        }
        segments.sort_by_key(|segment| (segment.name.number(), segment.name));
        if segments.is_empty() && torn_bytes == 0 {
            return Err(NoFlight::Empty);
        }
        Ok(Self { source, segments, torn_bytes, torn })
    }

    /// The segments, by number.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Where the segments lie.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Bytes that recovery set aside.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// The segments of which recovery set something aside.
    #[must_use]
    pub fn torn(&self) -> &BTreeSet<u32> {
        &self.torn
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.entry.len).sum()
    }

    /// The index of each segment: from its end, or by a scan where there is none.
    ///
    /// # Errors
    ///
    /// The first segment that cannot be read.
    pub fn indexes(&self) -> Result<Vec<Index>, Unreadable> {
        let index = |segment: &Segment| {
            let reader = SegmentReader::open(&self.source, &segment.entry)?;
            match reader.sealed_index(segment.entry.len)? {
                Some(index) => Ok(index),
                None => super::segment::scan(&self.source, &segment.entry, |_| {})
                    .map(|outline| outline.index),
            }
        };
        self.segments.iter().map(index).collect()
    }

    /// Goes through everything, in the order in which it was written.
    ///
    /// A segment that cannot be read is noted and passed over.
    pub fn walk(&self, each: impl FnMut(Event<'_>) -> ControlFlow<()>) -> Met {
        self.go(&Wanted::default(), each)
    }

    /// Gives the records that are wanted, each once; what an index rules out is not read.
    pub fn read(
        &self,
        wanted: &Wanted,
        mut each: impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Met {
        self.go(wanted, |event| match event {
            Event::Record(_, record) if wanted.takes(record) => each(record),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Goes through all of each segment that may hold a record that is wanted: what describes the
    /// record (its source, its type) may be another that is not.
    pub fn browse(&self, wanted: &Wanted, each: impl FnMut(Event<'_>) -> ControlFlow<()>) -> Met {
        self.go(wanted, each)
    }

    fn go(&self, wanted: &Wanted, mut each: impl FnMut(Event<'_>) -> ControlFlow<()>) -> Met {
        let mut met = Met::default();
        let mut next_seq = 0;
        for segment in &self.segments {
            match self.go_through(segment, wanted, &mut next_seq, &mut met, &mut each) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(unreadable) => met.unreadable.push(unreadable),
            }
        }
        met
    }

    fn go_through(
        &self,
        segment: &Segment,
        wanted: &Wanted,
        next_seq: &mut u64,
        met: &mut Met,
        each: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unreadable> {
        let mut reader = SegmentReader::open(&self.source, &segment.entry)?;
        if !wanted.is_all()
            && let Some(index) = reader.sealed_index(segment.entry.len)?
            && !wanted.may_be_in(&index)
        {
            return Ok(ControlFlow::Continue(()));
        }
        let header = reader.header;
        if each(Event::Segment(segment, &header)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        reader.each(|found| match found {
            Found::Record { record, .. } if record.head.kind == index::KIND => {
                ControlFlow::Continue(())
            }
            Found::Record { record, .. } if record.head.seq < *next_seq => {
                met.twice += 1;
                ControlFlow::Continue(())
            }
            Found::Record { at, record } => {
                *next_seq = record.head.seq.saturating_add(1);
                each(Event::Record(at, &record))
            }
            Found::Damage(hole) => {
                met.holes_in_all += 1;
                if met.holes.len() < HOLES_MAX {
                    met.holes.push((header.number, hole));
                }
                each(Event::Hole(hole))
            }
            Found::Trailer(_) => each(Event::Sealed),
            Found::More | Found::End => ControlFlow::Continue(()),
        })
    }
}
