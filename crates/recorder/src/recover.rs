//! Ending a flight that its recorder did not end (REC-7).
//!
//! Every intact record stays where it is. Bytes behind the last of them are set aside in a file of
//! their own, and the flight gets a footer that says `clean_shutdown = false`. May be interrupted
//! anywhere and begun again; a flight that has its footer is left alone.

use std::io;

use crate::body::Body;
use crate::body::types::{FlightFooter, Overrun};
use crate::format::frame::{self, Damage, Head, Record};
use crate::format::index::{self, Index};
use crate::format::segment::{Header, Trailer};
use crate::names::Name;
use crate::reader::segment::{Outline, Unreadable, scan};
use crate::storage::{Entry, SegmentFile as _, Storage, write_all};
use crate::writer::{Moment, RECORDER};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// More zeros than this are cut off and not copied: nobody learns more from gigabytes of them, and
/// the disk may have no room for a copy.
const ZEROS_MAX: u64 = 64 << 20;

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that were ended.
    pub ended: Vec<u32>,
    /// Bytes that were no whole record and were set aside, or were too many zeros.
    pub bytes_torn: u64,
    /// How many of them were zeros that nobody needs to keep.
    pub bytes_zero: u64,
    /// Whether a footer was written.
    pub footer: bool,
}

/// Why a flight could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum CannotRecover {
    /// A segment cannot be read.
    #[error("cannot recover the flight")]
    Unreadable(#[from] Unreadable),
    /// There is no number for another segment.
    #[error("the flight has a segment {0}, there is none behind it for the footer")]
    Full(u32),
    /// The directory cannot be read or written.
    #[error("cannot {doing} {name}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        name: String,
        /// What the file system says.
        source: io::Error,
    },
}

impl CannotRecover {
    fn io(doing: &'static str, name: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_string();
        move |source| Self::Io { doing, name, source }
    }
}

/// Ends a flight that its recorder did not end.
///
/// # Errors
///
/// When a segment cannot be read, or the end cannot be written; nothing was lost then, and trying
/// again goes on.
pub fn recover<S: Storage>(storage: &mut S, now: Moment) -> Result<Recovered, CannotRecover> {
    let mut recovered = Recovered::default();
    let mut flight = Flight::read(storage, &mut recovered)?;
    let Some(last) = flight.last.take() else { return Ok(recovered) };
    if flight.footer {
        if !last.sealed {
            end(storage, last, flight.own_seq, None)?;
        }
        return Ok(recovered);
    }
    let footer = flight.footer(last.torn);
    let file = if last.sealed { next_segment(storage, &last, now)? } else { last };
    end(storage, file, flight.own_seq, Some((footer, now)))?;
    recovered.footer = true;
    Ok(recovered)
}

/// What is known of a flight before it is ended.
#[derive(Debug, Default)]
struct Flight {
    totals: FlightFooter,
    footer: bool,
    /// What the recorder would number its next record: the last segment may have none of its own.
    own_seq: u64,
    last: Option<Last>,
}

/// The last segment of a flight.
#[derive(Debug)]
struct Last {
    outline: Outline,
    /// What it is called, which may be another number than that in its header.
    name: Name,
    /// Whether nothing is written into it any more.
    sealed: bool,
    torn: u64,
}

impl Flight {
    /// Reads all segments, and ends those that are not sealed, but the last.
    fn read<S: Storage>(storage: &mut S, recovered: &mut Recovered) -> Result<Self, CannotRecover> {
        let mut entries = storage.list().map_err(CannotRecover::io("list", "the segments"))?;
        entries.sort_by_key(|entry| Name::parse(&entry.name));
        entries.sort_by_key(|entry| Name::parse(&entry.name).map(Name::number));
        let mut flight = Self::default();
        let mut before = None;
        for entry in entries {
            let Some(name) = Name::parse(&entry.name) else { continue };
            if let Name::Torn(_) = name {
                let torn = &mut flight.totals.bytes_torn;
                *torn = torn.saturating_add(entry.len);
                continue;
            }
            // Two files of a number: the second cannot have the first one's name, and stays.
            let is_second = before == Some(Name::Sealed(name.number()));
            before = Some(name);
            let taken = if is_second {
                take_as_it_is(storage, &entry, name)?
            } else {
                take_in(storage, &entry, name, recovered)?
            };
            let Some(last) = taken else { continue };
            flight.count(&last, entry.len, storage)?;
            let own =
                last.outline.index.sources.get(&RECORDER).map(|own| own.last.saturating_add(1));
            if let Some(before) = flight.last.replace(last).filter(|last| !last.sealed) {
                recovered.ended.push(before.name.number());
                end(storage, before, flight.own_seq, None)?;
            }
            flight.own_seq = flight.own_seq.max(own.unwrap_or(0));
        }
        if let Some(last) = flight.last.as_ref().filter(|last| !last.sealed) {
            recovered.ended.push(last.name.number());
        }
        let torn = &mut flight.totals.bytes_torn;
        *torn = torn.saturating_add(recovered.bytes_torn);
        Ok(flight)
    }

    fn count<S: Storage>(
        &mut self,
        last: &Last,
        len: u64,
        storage: &S,
    ) -> Result<(), CannotRecover> {
        let totals = &mut self.totals;
        // An index may claim anything.
        totals.records_written =
            totals.records_written.saturating_add(last.outline.index.records());
        totals.bytes_written = totals.bytes_written.saturating_add(len);
        totals.rollover_count = last.name.number();
        self.footer = false;
        let kinds = [FlightFooter::SCHEMA.kind, Overrun::SCHEMA.kind];
        if !kinds.iter().any(|kind| last.outline.index.types.contains_key(kind)) {
            return Ok(());
        }
        let entry = Entry { name: last.name.to_string(), len, regular: true };
        scan(storage, &entry, |record| {
            if record.head.kind == FlightFooter::SCHEMA.kind {
                self.footer = true;
            } else if record.head.kind == Overrun::SCHEMA.kind {
                let (dropped, overrun) =
                    (&mut self.totals.records_dropped_overrun, Overrun::decode(record.body));
                *dropped = dropped.saturating_add(overrun.count);
            } else {
                // A recording that goes on behind a footer needs another one.
                self.footer = false;
            }
        })?;
        Ok(())
    }

    fn footer(&self, torn: u64) -> FlightFooter {
        let reason = if torn > 0 {
            "the recorder did not end the flight; its last bytes were torn"
        } else {
            "the recorder did not end the flight"
        };
        FlightFooter {
            clean_shutdown: false,
            reason: reason.to_owned(),
            records_written: self.totals.records_written.saturating_add(1),
            ..self.totals.clone()
        }
    }
}

/// Looks at a segment; what is torn at its end is set aside. `None`: there is no record in it.
fn take_in<S: Storage>(
    storage: &mut S,
    entry: &Entry,
    name: Name,
    recovered: &mut Recovered,
) -> Result<Option<Last>, CannotRecover> {
    let number = name.number();
    if let Name::Sealed(_) = name {
        let reader = crate::reader::segment::SegmentReader::open(storage, entry)?;
        let header = reader.header;
        let outline = match reader.sealed_index(entry.len)? {
            Some(index) => {
                let end = entry.len;
                Outline { header, index, holes: Vec::new(), holes_in_all: 0, end, sealed: true }
            }
            None => scan(storage, entry, |_| {})?,
        };
        return Ok(Some(Last { outline, name, sealed: true, torn: 0 }));
    }
    let outline = match scan(storage, entry, |_| {}) {
        Err(unreadable) if unreadable.is_newer() => return Err(unreadable.into()),
        // A file without a whole header is what a crash leaves of one that was just being made.
        Err(Unreadable::NotASegment { .. }) => {
            return set_all_aside(storage, entry, number, recovered);
        }
        Ok(outline) if outline.end > entry.len => {
            return set_all_aside(storage, entry, number, recovered);
        }
        outline => outline?,
    };
    if outline.sealed {
        let name = Name::Sealed(number);
        rename(storage, &entry.name, &name.to_string())?;
        return Ok(Some(Last { outline, name, sealed: true, torn: 0 }));
    }
    let torn = entry.len.saturating_sub(outline.end);
    if torn > 0 {
        let zeros = torn > ZEROS_MAX
            && outline.holes.last().is_some_and(|hole| {
                hole.why == Damage::Zeros && (hole.at, hole.len) == (outline.end, torn)
            });
        if zeros {
            recovered.bytes_zero += torn;
        } else {
            set_aside(storage, entry, outline.end, number)?;
        }
        recovered.bytes_torn += torn;
    }
    Ok(Some(Last { outline, name, sealed: false, torn }))
}

/// Looks at a segment that nothing is done with. `None`: it is none.
fn take_as_it_is<S: Storage>(
    storage: &S,
    entry: &Entry,
    name: Name,
) -> Result<Option<Last>, CannotRecover> {
    match scan(storage, entry, |_| {}) {
        Ok(outline) => Ok(Some(Last { outline, name, sealed: true, torn: 0 })),
        Err(Unreadable::NotASegment { .. }) => Ok(None),
        Err(unreadable) => Err(unreadable.into()),
    }
}

/// Makes a file that holds no record one that was set aside.
fn set_all_aside<S: Storage>(
    storage: &mut S,
    entry: &Entry,
    number: u32,
    recovered: &mut Recovered,
) -> Result<Option<Last>, CannotRecover> {
    set_aside(storage, entry, 0, number)?;
    recovered.bytes_torn += entry.len;
    storage.remove(&entry.name).map_err(CannotRecover::io("remove", &entry.name))?;
    let synced = storage.sync_dir();
    synced.map_err(CannotRecover::io("sync the directory of", &entry.name))?;
    Ok(None)
}

/// Copies the bytes behind `from` into a file of their own, durably.
fn set_aside<S: Storage>(
    storage: &mut S,
    entry: &Entry,
    from: u64,
    number: u32,
) -> Result<(), CannotRecover> {
    let name = Name::Torn(number).to_string();
    if is_there(storage, &name)? {
        // An interrupted recovery did this; what is torn now is the end that it was writing.
        return Ok(());
    }
    let part = format!("{name}.tmp");
    storage.remove(&part).map_err(CannotRecover::io("remove", &part))?;
    let mut file = storage.create(&part).map_err(CannotRecover::io("create", &part))?;
    let (mut at, mut piece) = (from, vec![0; PIECE]);
    loop {
        let arrived = storage
            .read_at(&entry.name, at, &mut piece)
            .map_err(CannotRecover::io("read", &entry.name))?;
        if arrived == 0 {
            break;
        }
        let bytes = piece.get(..arrived).unwrap_or_default();
        write_all(&mut file, bytes).map_err(CannotRecover::io("write", &part))?;
        at += u64::try_from(arrived).unwrap_or(u64::MAX);
    }
    file.sync().map_err(CannotRecover::io("sync", &part))?;
    rename(storage, &part, &name)
}

fn is_there<S: Storage>(storage: &S, name: &str) -> Result<bool, CannotRecover> {
    let list = storage.list().map_err(CannotRecover::io("list", "the segments"))?;
    Ok(list.iter().any(|entry| entry.name == name))
}

fn rename<S: Storage>(storage: &mut S, from: &str, to: &str) -> Result<(), CannotRecover> {
    storage.rename(from, to).map_err(CannotRecover::io("rename", from))?;
    storage.sync_dir().map_err(CannotRecover::io("sync the directory of", to))
}
/// An empty segment behind the last one, for the footer.
fn next_segment<S: Storage>(
    storage: &mut S,
    last: &Last,
    now: Moment,
) -> Result<Last, CannotRecover> {
    let (before, number) = (&last.outline, last.name.number());
    let header = Header {
        number: number.checked_add(1).ok_or(CannotRecover::Full(number))?,
        first_seq: next_seq(before),
        time_ns: now.time_ns,
        utc_ns: now.utc_ns,
        ..before.header
    };
    let name = Name::Open(header.number);
    let called = name.to_string();
    let mut file = storage.create(&called).map_err(CannotRecover::io("create", &called))?;
    let bytes = header.encode();
    write_all(&mut file, &bytes).map_err(CannotRecover::io("write", &called))?;
    let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let index = Index::default();
    let outline = Outline { header, index, holes: Vec::new(), holes_in_all: 0, end, sealed: false };
    Ok(Last { outline, name, sealed: false, torn: 0 })
}

fn next_seq(outline: &Outline) -> u64 {
    outline.index.seqs.map_or(outline.header.first_seq, |seqs| seqs.last.saturating_add(1))
}

/// Writes footer, index and trailer behind the last intact record, and gives the file its name.
fn end<S: Storage>(
    storage: &mut S,
    last: Last,
    mut own_seq: u64,
    footer: Option<(FlightFooter, Moment)>,
) -> Result<(), CannotRecover> {
    let Last { outline, name, .. } = last;
    let (header, seed) = (outline.header, outline.header.seed());
    let mut seq = next_seq(&outline);
    let mut index = if outline.index.seqs.is_some() { outline.index } else { Index::default() };
    let (mut tail, mut at) = (Vec::new(), outline.end);
    let time_ns = index.times.map_or(header.time_ns, |times| times.last);
    if let Some((footer, now)) = footer {
        let time_ns = if now.time_ns > time_ns { now.time_ns } else { time_ns };
        let kind = FlightFooter::SCHEMA.kind;
        let head = Head { kind, source: RECORDER, time_ns, source_seq: own_seq, seq };
        let body = footer.to_bytes();
        index.add(&head, at);
        let len = frame::encode(&Record { head, body: &body }, seed, &mut tail);
        at += u64::try_from(len).unwrap_or(u64::MAX);
        (seq, own_seq) = (seq.saturating_add(1), own_seq.saturating_add(1));
    }
    let head = Head { kind: index::KIND, source: RECORDER, time_ns, source_seq: own_seq, seq };
    let body = index.encode();
    let len = frame::encode(&Record { head, body: &body }, seed, &mut tail);
    let file_len = at + u64::try_from(len).unwrap_or(u64::MAX) + Trailer::LEN;
    tail.extend_from_slice(&Trailer { index_at: at, file_len }.encode(seed));
    let open = name.to_string();
    let file = storage.reopen(&open, outline.end);
    let mut file = file.map_err(CannotRecover::io("write on", &open))?;
    write_all(&mut file, &tail).map_err(CannotRecover::io("write", &open))?;
    file.sync().map_err(CannotRecover::io("sync", &open))?;
    rename(storage, &open, &Name::Sealed(name.number()).to_string())
}
