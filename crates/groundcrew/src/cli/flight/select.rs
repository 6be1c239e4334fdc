//! Which records are meant, and what is known about them.
//!
//! Names of sources and of users' types stand in the recording itself, before the records that need
//! them and again at the beginning of each segment; so they are learned on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use groundcrew_formats::Row;
use groundcrew_recorder::body::types::{self, SourceAttached, TypeSchema};
use groundcrew_recorder::body::{Body as _, Schema};
use groundcrew_recorder::format::frame::Record;
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::Stamp;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::{Event, Flight, Met, Wanted};
use groundcrew_recorder::reader::scan::Hole;
use groundcrew_recorder::reader::segment::SegmentReader;
use groundcrew_recorder::writer::RECORDER;

use super::place::Medium;
use super::progress::Progress;
use super::when::When;
use crate::cli::args::Filter;
use crate::cli::print;
use crate::config::nearest;
use crate::exit::{Exit, Refusal};

/// Trouble is listed up to so many lines; what is more is counted.
const LINES_MAX: usize = 20;

/// Which records are meant, and what has been learned about them.
pub(super) struct Selection {
    wanted: Wanted,
    /// Names of types that are not groundcrew's, until they are seen.
    names: BTreeSet<String>,
    seen_names: BTreeSet<String>,
    source_names: BTreeSet<String>,
    kinds: BTreeSet<u16>,
    source_ids: BTreeSet<u16>,
    schemas: BTreeMap<u16, Schema>,
    sources: BTreeMap<u16, String>,
    header: Option<Header>,
    /// Types that nobody described, with their records.
    undescribed: BTreeMap<u16, u64>,
    bad_schemas: BTreeMap<u16, String>,
    /// When the flight began.
    pub(super) start_ns: u64,
}

impl Selection {
    /// What a filter means in a flight.
    ///
    /// # Errors
    ///
    /// A time that cannot be understood.
    pub(super) fn new(filter: &Filter, flight: &Flight<Medium>) -> Result<Self, Refusal> {
        let headers: Vec<Header> = flight
            .segments()
            .iter()
            .filter_map(|one| SegmentReader::open(flight.source(), &one.entry).ok())
            .map(|reader| reader.header)
            .collect();
        let time = |text: &Option<String>| {
            let when = text.as_deref().map(When::parse).transpose().map_err(Refusal::usage)?;
            Ok::<_, Refusal>(when.map(|when| when.flight_ns(&headers)))
        };
        let (from_ns, to_ns) = (time(&filter.from)?, time(&filter.to)?);
        if let (Some(from), Some(to), true) = (&filter.from, &filter.to, from_ns > to_ns) {
            let text = format!("--from {from} is behind --to {to}: there is nothing between them");
            return Err(Refusal::usage(text));
        }
        let schemas: BTreeMap<u16, Schema> =
            types::all().into_iter().map(|schema| (schema.kind, schema)).collect();
        let mut selection = Self {
            wanted: Wanted { from_ns, to_ns, ..Wanted::default() },
            names: BTreeSet::new(),
            seen_names: BTreeSet::new(),
            source_names: BTreeSet::new(),
            kinds: BTreeSet::new(),
            source_ids: BTreeSet::new(),
            schemas,
            sources: BTreeMap::new(),
            header: None,
            undescribed: BTreeMap::new(),
            bad_schemas: BTreeMap::new(),
            start_ns: headers.first().map_or(0, |header| header.time_ns),
        };
        selection.name(filter);
        Ok(selection)
    }

    fn name(&mut self, filter: &Filter) {
        for word in &filter.types {
            let known = self.schemas.values().find(|one| one.name.eq_ignore_ascii_case(word));
            match number(word).or(known.map(|schema| schema.kind)) {
                Some(kind) => drop(self.kinds.insert(kind)),
                None => drop(self.names.insert(word.to_lowercase())),
            }
        }
        for word in &filter.sources {
            match number(word) {
                Some(source) => drop(self.source_ids.insert(source)),
                None => drop(self.source_names.insert(word.clone())),
            }
        }
        // A name may turn out to be any number.
        if self.names.is_empty() {
            self.wanted.types = self.kinds.clone();
        }
        if self.source_names.is_empty() {
            self.wanted.sources = self.source_ids.clone();
        }
    }

    /// Goes through a flight and gives each record that is meant.
    pub(super) fn rows(
        &mut self,
        flight: &Flight<Medium>,
        progress: &Progress,
        mut each: impl FnMut(&Row<'_>, &Header) -> ControlFlow<()>,
    ) -> Met {
        let wanted = self.wanted.clone();
        let mut reading = 0;
        let mut met = flight.browse(&wanted, |event| match event {
            Event::Segment(segment, header) => {
                progress.add(std::mem::replace(&mut reading, segment.entry.len));
                self.begin(header);
                ControlFlow::Continue(())
            }
            Event::Record(_, record) => self.give(record, &mut each),
            Event::Hole(_) | Event::Sealed => ControlFlow::Continue(()),
        });
        pass_over_the_end(flight, &mut met);
        met
    }

    /// The records that follow are of a segment with this header.
    pub(super) fn begin(&mut self, header: &Header) {
        self.header = Some(*header);
    }

    /// Learns from a record, and gives it if it is meant.
    pub(super) fn give(
        &mut self,
        record: &Record<'_>,
        each: &mut impl FnMut(&Row<'_>, &Header) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.learn(record);
        let Some(header) = self.header.filter(|_| self.takes(record)) else {
            return ControlFlow::Continue(());
        };
        let head = record.head;
        let schema = self.schemas.get(&head.kind);
        if schema.is_none() {
            *self.undescribed.entry(head.kind).or_default() += 1;
        }
        let utc_ns = Stamp::of(&header, head.time_ns).utc_ns;
        let source_name = self.sources.get(&head.source).map(String::as_str);
        each(&Row { head, body: record.body, schema, source_name, utc_ns }, &header)
    }

    fn takes(&self, record: &Record<'_>) -> bool {
        let (kind, source) = (record.head.kind, record.head.source);
        let any_type = self.kinds.is_empty() && self.names.is_empty();
        let named = || {
            let name = self.schemas.get(&kind).map(|schema| schema.name.to_lowercase());
            name.is_some_and(|name| self.names.contains(&name))
        };
        let any_source = self.source_ids.is_empty() && self.source_names.is_empty();
        let source_named =
            || self.sources.get(&source).is_some_and(|name| self.source_names.contains(name));
        (any_type || self.kinds.contains(&kind) || named())
            && (any_source || self.source_ids.contains(&source) || source_named())
            && self.wanted.takes(record)
    }

    /// Takes in what the recorder says about sources and types.
    fn learn(&mut self, record: &Record<'_>) {
        let kind = record.head.kind;
        if record.head.source != RECORDER {
            return;
        }
        if kind == SourceAttached::SCHEMA.kind {
            let source = SourceAttached::decode(record.body);
            self.sources.insert(source.attached, source.name);
        } else if kind == TypeSchema::SCHEMA.kind {
            let TypeSchema { described, name, fields } = TypeSchema::decode(record.body);
            // Nobody redefines what groundcrew itself says.
            if described < groundcrew_recorder::body::USER_TYPES {
                return;
            }
            self.seen_names.insert(name.clone());
            match Schema::from_text(described, &name, &fields) {
                Ok(schema) => drop(self.schemas.insert(described, schema)),
                Err(error) => drop(self.bad_schemas.insert(described, crate::chain(&error))),
            }
        }
    }

    /// Says what was odd on the way, and what the command ends with.
    ///
    /// # Errors
    ///
    /// A type or a source was named that the flight does not have.
    pub(super) fn end(&mut self, met: &Met, flight: &Flight<Medium>) -> Result<Exit, Refusal> {
        for bad in self.bad_schemas.values() {
            print::talk(&format!("groundcrew: {bad}; its records are hexadecimal digits"));
        }
        for (kind, records) in &self.undescribed {
            print::talk(&format!(
                "groundcrew: {records} records of type {kind:#06x}, which nobody described, are \
                 hexadecimal digits"
            ));
        }
        if self.check_names().is_err() {
            // They may stand in segments that a window of time left out.
            let described = [TypeSchema::SCHEMA.kind, SourceAttached::SCHEMA.kind];
            let wanted = Wanted { types: described.into(), ..Wanted::default() };
            flight.read(&wanted, |record| {
                self.learn(record);
                ControlFlow::Continue(())
            });
        }
        self.check_names()?;
        let (missing, exit) = (missing(flight), trouble(met));
        Ok(if missing { Exit::Lost } else { exit })
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let seen: BTreeSet<String> = self.seen_names.iter().map(|one| one.to_lowercase()).collect();
        if let Some(word) = self.names.iter().find(|name| !seen.contains(*name)) {
            let known: Vec<String> =
                self.schemas.values().map(|schema| schema.name.to_string()).collect();
            let near = nearest(word, known.iter().map(String::as_str));
            let help = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            return Err(Refusal::usage(format!("the flight has no type called {word:?}{help}")));
        }
        let known = || self.sources.values().map(String::as_str);
        let missing = self.source_names.iter().find(|name| !known().any(|known| known == *name));
        missing.map_or(Ok(()), |word| {
            let names: BTreeSet<&str> = known().collect();
            let names: Vec<&str> = names.into_iter().collect();
            let text = format!("the flight has no source called {word:?}");
            Err(Refusal::usage(format!("{text}; it has: {}", names.join(", "))))
        })
    }
}

/// Says which segments are missing between others; the first ones may have gone to make room, and one
/// that recovery set aside altogether had no record.
fn missing(flight: &Flight<Medium>) -> bool {
    let there = flight.segments().iter().map(|one| one.name.number());
    let numbers: BTreeSet<u32> = there.chain(flight.torn().iter().copied()).collect();
    let mut gaps = numbers.iter().zip(numbers.iter().skip(1)).filter_map(|(before, after)| {
        let first = before.saturating_add(1);
        (first < *after).then_some((first, after - 1))
    });
    let some: Vec<(u32, u32)> = gaps.by_ref().take(LINES_MAX).collect();
    for (first, last) in &some {
        print::talk(&match first == last {
            true => format!("groundcrew: segment {first} is missing"),
            false => format!("groundcrew: segments {first} to {last} are missing"),
        });
    }
    !some.is_empty()
}

/// What stands at the end of a segment that is being written may become a record.
fn pass_over_the_end(flight: &Flight<Medium>, met: &mut Met) {
    let Some(last) = flight.segments().last() else { return };
    let Name::Open(number) = last.name else { return };
    let at_the_end = |(segment, hole): &mut (u32, Hole)| {
        *segment == number && hole.at.saturating_add(hole.len) >= last.entry.len
    };
    if let Some((_, hole)) = met.holes.pop_if(at_the_end) {
        met.holes_in_all -= 1;
        print::talk(&format!(
            "groundcrew: the last {} bytes of segment {number} are no whole record: it is being \
             written, or `groundcrew flight recover` ends it",
            hole.len
        ));
    }
}

/// Says what could not be read, and what a command that reads ends with.
pub(super) fn trouble(met: &Met) -> Exit {
    for unreadable in &met.unreadable {
        print::talk(&format!("groundcrew: {}", crate::chain(unreadable)));
    }
    for (segment, hole) in met.holes.iter().take(LINES_MAX) {
        print::talk(&format!("groundcrew: {}", hole_text(*segment, hole)));
    }
    let more = met.holes_in_all.saturating_sub(u64::try_from(LINES_MAX).unwrap_or(0));
    if more > 0 {
        print::talk(&format!("groundcrew: and {more} more; `groundcrew flight verify` counts"));
    }
    let newer = met.unreadable.iter().all(|one| one.is_newer());
    match (met.unreadable.is_empty(), met.holes_in_all) {
        (true, 0) => Exit::Done,
        (false, 0) if newer => Exit::Failed,
        _ => Exit::Lost,
    }
}

/// Where something is damaged, and what is there instead.
pub(super) fn hole_text(segment: u32, hole: &Hole) -> String {
    let Hole { at, len, why } = hole;
    format!("segment {segment}: at offset {at}, {len} bytes are no record: {why}")
}

/// A number as people write numbers of types and sources.
fn number(word: &str) -> Option<u16> {
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}
