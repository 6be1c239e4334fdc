//! The index at the end of a sealed segment: what is in it, and where.
//!
//! It is the body of a frame of type [`KIND`], so that a reader which does not know it skips it.
//! It is no record: the frame carries the numbers that the next record will have.
//!
//! ```text
//! u64 records · u64 first and u64 last writer's number · u64 earliest and u64 latest time, ns
//! u32 n, n × (u16 type   · u64 records · u64 earliest · u64 latest time, ns)
//! u32 n, n × (u16 source · u64 records · u64 first and u64 last source's number)
//! u32 n, n × (u64 offset · u64 time, ns · u64 writer's number)     one mark per 64 KiB
//! ```
//!
//! Totals are a cache: a reader that needs to be sure scans, and no segment is refused for them.

use std::collections::BTreeMap;

use super::frame::Head;

/// The type of the index frame.
pub const KIND: u16 = 0x00f0;
/// A mark is set at the first record behind each so many bytes.
pub const MARK_EVERY: u64 = 64 << 10;
/// More rows than a segment of the greatest size can have marks are damage.
const ROWS_MAX: u32 = 1 << 17;

/// How much of something there is, and over which span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Records.
    pub records: u64,
    /// The least of what is spanned.
    pub first: u64,
    /// The greatest of what is spanned.
    pub last: u64,
}

impl Span {
    fn of(at: u64) -> Self {
        Self { records: 1, first: at, last: at }
    }

    fn add(&mut self, at: u64) {
        self.merge(&Self::of(at));
    }

    /// Takes another span in.
    pub fn merge(&mut self, other: &Self) {
        // An index that was read may claim anything.
        self.records = self.records.saturating_add(other.records);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// A place to begin reading at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Offset of a frame in the file.
    pub at: u64,
    /// Its time, nanoseconds.
    pub time_ns: u64,
    /// Its number.
    pub seq: u64,
}

/// What is in a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Writer's numbers.
    pub seqs: Option<Span>,
    /// Times, nanoseconds.
    pub times: Option<Span>,
    /// Times by type, nanoseconds.
    pub types: BTreeMap<u16, Span>,
    /// Sources' own numbers.
    pub sources: BTreeMap<u16, Span>,
    /// Places to begin reading at, ascending.
    pub marks: Vec<Mark>,
}

impl Index {
    /// Takes a record in whose frame begins at `at`.
    pub fn add(&mut self, head: &Head, at: u64) {
        let note = |span: &mut Option<Span>, value| match span {
            Some(span) => span.add(value),
            None => *span = Some(Span::of(value)),
        };
        note(&mut self.seqs, head.seq);
        note(&mut self.times, head.time_ns);
        let time = head.time_ns;
        self.types.entry(head.kind).and_modify(|span| span.add(time)).or_insert(Span::of(time));
        let number = head.source_seq;
        let source = self.sources.entry(head.source);
        source.and_modify(|span| span.add(number)).or_insert(Span::of(number));
        if self.marks.last().is_none_or(|mark| at - mark.at >= MARK_EVERY) {
            self.marks.push(Mark { at, time_ns: time, seq: head.seq });
        }
    }

    /// Records in the segment.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.seqs.map_or(0, |span| span.records)
    }

    /// The body of the index frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        let none = Span { records: 0, first: 0, last: 0 };
        let (seqs, times) = (self.seqs.unwrap_or(none), self.times.unwrap_or(none));
        for number in [seqs.records, seqs.first, seqs.last, times.first, times.last] {
            put(&mut to, number);
        }
        for table in [&self.types, &self.sources] {
            count(&mut to, table.len());
            for (id, span) in table {
                to.extend_from_slice(&id.to_le_bytes());
                for number in [span.records, span.first, span.last] {
                    put(&mut to, number);
                }
            }
        }
        count(&mut to, self.marks.len());
        for mark in &self.marks {
            for number in [mark.at, mark.time_ns, mark.seq] {
                put(&mut to, number);
            }
        }
        to
    }

    /// The index in a frame's body; `None`: it is damaged or of an unknown shape.
    #[must_use]
    pub fn decode(mut from: &[u8]) -> Option<Self> {
        let from = &mut from;
        let records = take(from)?;
        let [first_seq, last_seq] = [take(from)?, take(from)?];
        let [first_ns, last_ns] = [take(from)?, take(from)?];
        let span = |first, last| (records > 0).then_some(Span { records, first, last });
        let types = table(from)?;
        let sources = table(from)?;
        let marks = (0..rows(from)?)
            .map(|_| Some(Mark { at: take(from)?, time_ns: take(from)?, seq: take(from)? }))
            .collect::<Option<_>>()?;
        let (seqs, times) = (span(first_seq, last_seq), span(first_ns, last_ns));
        Some(Self { seqs, times, types, sources, marks })
    }
}

fn put(to: &mut Vec<u8>, number: u64) {
    to.extend_from_slice(&number.to_le_bytes());
}

fn count(to: &mut Vec<u8>, rows: usize) {
    to.extend_from_slice(&u32::try_from(rows).unwrap_or(u32::MAX).to_le_bytes());
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_le_bytes(*number))
}

fn rows(from: &mut &[u8]) -> Option<u32> {
    let (number, rest) = from.split_first_chunk::<4>()?;
    *from = rest;
    Some(u32::from_le_bytes(*number)).filter(|rows| *rows <= ROWS_MAX)
}

fn table(from: &mut &[u8]) -> Option<BTreeMap<u16, Span>> {
    let rows = rows(from)?;
    let row = |_| {
        let (id, rest) = from.split_first_chunk::<2>()?;
        *from = rest;
        let span = Span { records: take(from)?, first: take(from)?, last: take(from)? };
        Some((u16::from_le_bytes(*id), span))
    };
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Index {
        let mut index = Index::default();
        for number in 0..10_u64 {
            let head = Head {
                kind: 1 + u16::try_from(number % 3).unwrap(),
                source: 7,
                time_ns: 100 - number,
                source_seq: number,
                seq: 50 + number,
            };
            index.add(&head, number * (MARK_EVERY / 2));
        }
        index
    }

    #[test]
    fn an_index_comes_back_as_it_went_in_and_an_empty_one_too() {
        assert_eq!(Index::decode(&sample().encode()), Some(sample()));
        assert_eq!(Index::decode(&Index::default().encode()), Some(Index::default()));
    }

    #[test]
    fn spans_are_of_what_was_added_in_whatever_order() {
        let index = sample();
        assert_eq!(index.times, Some(Span { records: 10, first: 91, last: 100 }));
        assert_eq!(index.types[&1], Span { records: 4, first: 91, last: 100 });
        assert_eq!(index.sources[&7], Span { records: 10, first: 0, last: 9 });
        let marks: Vec<u64> = index.marks.iter().map(|mark| mark.at / MARK_EVERY).collect();
        assert_eq!(marks, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn every_cut_of_an_index_is_refused() {
        let body = sample().encode();
        for cut in 0..body.len() {
            assert_eq!(Index::decode(&body[..cut]), None, "cut at {cut}");
        }
    }
}
