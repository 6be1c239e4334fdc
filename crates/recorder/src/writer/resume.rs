//! Going on with a recording that was ended, as the standing one is at each start.

use crate::body::Body as _;
use crate::body::types::TypeSchema;
use crate::names::Name;
use crate::reader::flight::NoFlight;
use crate::reader::segment::{SegmentReader, Unreadable, scan};
use crate::storage::{Entry, Storage};

use super::evict::Sealed;
use super::{Policy, RECORDER, SCHEMAS_MAX, Writer};

/// Records are not numbered beyond; what claims more is damage, and no sum of them overflows.
const NUMBER_MAX: u64 = 1 << 62;
/// The same of segments.
const SEGMENT_MAX: u32 = 1 << 31;

/// Why a recording cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum CannotResume {
    /// It is no flight.
    #[error("cannot go on with the recording")]
    NoFlight(#[from] NoFlight),
    /// A segment cannot be read.
    #[error("cannot go on with the recording")]
    Unreadable(#[from] Unreadable),
    /// It was not ended, and has to be recovered first.
    #[error("{0} was not ended; recover the recording first")]
    NotEnded(Name),
    /// It says that it has more records or segments than there can be.
    #[error("the recording's numbers are at their end")]
    Full,
}

impl<S: Storage> Writer<S> {
    /// A writer that goes on with a recording that was ended: the numbers go on, and what lies
    /// there counts for the bound.
    ///
    /// # Errors
    ///
    /// When it is none, cannot be read, or was not ended.
    pub fn resume(storage: S, boot: [u8; 16], policy: Policy) -> Result<Self, CannotResume> {
        let mut sealed: Vec<Sealed> = Vec::new();
        let (mut last, mut next_seq, mut own_seq) = (None, 0, 0);
        for (name, entry) in segments(&storage)? {
            if let Name::Open(_) = name {
                return Err(CannotResume::NotEnded(name));
            }
            let reader = SegmentReader::open(&storage, &entry)?;
            let index = match reader.sealed_index(entry.len)? {
                Some(index) => index,
                None => scan(&storage, &entry, |_| {})?.index,
            };
            next_seq =
                index.seqs.map_or(next_seq, |seqs| next_seq.max(seqs.last.saturating_add(1)));
            own_seq = index
                .sources
                .get(&RECORDER)
                .map_or(own_seq, |own| own_seq.max(own.last.saturating_add(1)));
            last = Some((reader.header, name.number(), entry.clone()));
            if let (Some(seqs), Some(before)) = (index.seqs, sealed.last_mut()) {
                before.stands_again_from(seqs.first);
            }
            let records = index.records();
            sealed.push(Sealed { number: name.number(), bytes: entry.len, records, index });
        }
        let (header, number, entry) = last.ok_or(NoFlight::Empty)?;
        if next_seq.max(own_seq) > NUMBER_MAX || number > SEGMENT_MAX {
            return Err(CannotResume::Full);
        }
        let described = described(&storage, &entry)?;
        let mut writer = Self::new(storage, header.flight, boot, policy);
        (writer.next_seq, writer.durable_seq, writer.own_seq) = (next_seq, next_seq, own_seq);
        writer.next_segment = number + 1;
        writer.sealed = sealed.into();
        described.into_iter().for_each(|schema| writer.remember(schema));
        Ok(writer)
    }
}

/// What the types of users are that records of a recording's last segment may have. Segments say it
/// at their beginning, so that none before has to be read.
///
/// # Errors
///
/// When there is no segment, or it cannot be read.
pub fn described_last(storage: &impl Storage) -> Result<Vec<TypeSchema>, CannotResume> {
    let (_, last) = segments(storage)?.pop().ok_or(NoFlight::Empty)?;
    Ok(described(storage, &last)?)
}

fn described(storage: &impl Storage, segment: &Entry) -> Result<Vec<TypeSchema>, Unreadable> {
    let index = SegmentReader::open(storage, segment)?.sealed_index(segment.len)?;
    let kind = TypeSchema::SCHEMA.kind;
    let mut schemas = Vec::new();
    // A segment that was not sealed has to be read to know.
    if index.is_none_or(|index| index.types.contains_key(&kind)) {
        scan(storage, segment, |record| {
            if record.head.kind == kind && schemas.len() < SCHEMAS_MAX {
                schemas.push(TypeSchema::decode(record.body));
            }
        })?;
    }
    Ok(schemas)
}

/// The segments, by number.
fn segments(storage: &impl Storage) -> Result<Vec<(Name, Entry)>, NoFlight> {
    let entries = storage.list().map_err(NoFlight::Io)?;
    let named = entries.into_iter().filter_map(|entry| Some((Name::parse(&entry.name)?, entry)));
    let mut segments: Vec<_> = named.filter(|(name, _)| !matches!(name, Name::Torn(_))).collect();
    segments.sort_by_key(|(name, _)| (name.number(), *name));
    Ok(segments)
}
