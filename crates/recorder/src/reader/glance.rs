//! What can be said of a flight without reading it: its beginning, and its last record.

use crate::body::Body as _;
use crate::body::types::FlightFooter;
use crate::format::index;
use crate::manifest::Stamp;
use crate::storage::Source;

use super::flight::{Flight, Segment, SegmentHead};
use super::scan::Found;
use super::segment::{SegmentReader, Unreadable};

/// What can be said of a flight without reading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Glance {
    /// The header of its first segment that can be read.
    pub first: SegmentHead,
    /// The header of its last segment that can be read.
    pub last: SegmentHead,
    /// When its last record was made.
    pub last_at: Stamp,
    /// Its footer, if that is the last record.
    pub footer: Option<FlightFooter>,
}

/// Looks at the beginning and the end of a flight; a sealed segment is not read for it.
///
/// # Errors
///
/// When no segment can be read.
pub fn glance<S: Source>(flight: &Flight<S>) -> Result<Glance, Unreadable> {
    let mut why = None;
    let mut open = |segment: &Segment| match SegmentReader::open(flight.source(), &segment.entry) {
        Ok(reader) => Some((segment.clone(), reader.header)),
        Err(unreadable) => {
            why.get_or_insert(unreadable);
            None
        }
    };
    let first = flight.segments().iter().find_map(&mut open);
    let last = flight.segments().iter().rev().find_map(&mut open);
    let (Some((_, first)), Some((segment, last))) = (first, last) else {
        let nothing = Unreadable::NotAFile("a flight without a segment".to_owned());
        return Err(why.unwrap_or(nothing));
    };
    let (last_ns, footer) = end(flight, &segment, &last)?;
    Ok(Glance { first, last, last_at: Stamp::of(&last, last_ns), footer })
}

/// Time of the last record of a segment, and its body if it is a footer.
fn end<S: Source>(
    flight: &Flight<S>,
    segment: &Segment,
    header: &SegmentHead,
) -> Result<(u64, Option<FlightFooter>), Unreadable> {
    let mut reader = SegmentReader::open(flight.source(), &segment.entry)?;
    let index = reader.sealed_index(segment.entry.len)?;
    if let Some(mark) = index.as_ref().and_then(|index| index.marks.last()) {
        reader.seek(mark.at);
    }
    let (mut last_ns, mut footer) = (header.time_ns, None);
    loop {
        match reader.next_found()? {
            Found::Record { record, .. } if record.head.kind != index::KIND => {
                last_ns = last_ns.max(record.head.time_ns);
                let is_footer = record.head.kind == FlightFooter::SCHEMA.kind;
                footer = is_footer.then(|| FlightFooter::decode(record.body));
            }
            Found::Record { .. } | Found::Damage(_) | Found::Trailer(_) => {}
            Found::More | Found::End => return Ok((last_ns, footer)),
        }
    }
}
