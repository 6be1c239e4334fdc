//! `flight slice`: a flight of some of a flight's records.
//!
//! A slice is a flight like any other, with an id of its own: verified, exported and sliced again.
//! Types, times, sources and bodies stay as they were; the writer's and the sources' numbers are
//! counted anew, so that a gap in a slice is a loss of the slice. What its flight had lost stays
//! told by the overruns that were selected. The recorder's own talk about its files (syncs, dropped
//! segments, footer) is not taken over, because the slice has files of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use groundcrew_formats::Row;
use groundcrew_recorder::body::types::{
    ComponentLifecycleEvent, FlightFooter, Severity, SourceAttached, Sync, TypeSchema,
};
use groundcrew_recorder::body::{Body as _, USER_TYPES};
use groundcrew_recorder::flight_dir::{BadDir, Claim, FlightDir};
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::{Manifest, Stamp};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Entry, Moment, Policy, RECORDER, Writer};
use serde::Serialize;

use super::place::{Meant, Medium};
use super::progress::Progress;
use super::select::Selection;
use crate::chain;
use crate::cli::args::Filter;
use crate::cli::print::{self, Printer};
use crate::exit::{Exit, Refusal};
use crate::recorder::clock::flight_id;

/// Nothing is at risk while a slice is made: it can be made again. So it is synced with its
/// segments only, and nothing of it is dropped to make room.
const POLICY: Policy = Policy {
    sync_after_ns: u64::MAX,
    sync_bytes: u64::MAX,
    segment_bytes: 64 << 20,
    flight_bytes: u64::MAX,
};

/// Where the slice goes.
pub(super) enum To {
    /// Into this directory, which is made.
    Dir(PathBuf),
    /// Below this one, by its id.
    Root(PathBuf),
}

#[derive(Serialize)]
struct Shown {
    flight: String,
    path: PathBuf,
    records: u64,
    bytes: u64,
}

/// Makes a slice.
pub(super) fn run(
    meant: &Meant,
    filter: &Filter,
    to: &To,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let mut selection = Selection::new(filter, &flight)?;
    let progress = Progress::new("slicing", flight.bytes());
    let (mut cut, mut failed) = (None, None);
    let met = selection.rows(&flight, &progress, |row, header| {
        if is_about_files(row) {
            return ControlFlow::Continue(());
        }
        if cut.is_none() {
            match Cut::begin(meant, to, row, header) {
                Ok(begun) => cut = Some(begun),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        if let Some(cut) = &mut cut {
            cut.take(row);
        }
        ControlFlow::Continue(())
    });
    drop(progress);
    if let Some(error) = failed {
        return Err(Refusal::failed(chain(&error)));
    }
    let exit = selection.end(&met, &flight);
    let Some(cut) = cut else {
        let exit = exit?;
        print::talk("groundcrew: no record is selected, so no flight was made");
        return Ok(if exit == Exit::Done { Exit::Vacuous } else { exit });
    };
    let shown = cut.end()?;
    printer.show(&shown, || {
        let Shown { path, records, bytes, .. } = &shown;
        format!("{}: {records} records, {}\n", path.display(), super::size(*bytes))
    });
    exit
}

/// Whether it is the recorder's talk about the files that it stands in.
fn is_about_files(row: &Row<'_>) -> bool {
    let kinds = [
        Sync::SCHEMA.kind,
        FlightFooter::SCHEMA.kind,
        SourceAttached::SCHEMA.kind,
        TypeSchema::SCHEMA.kind,
    ];
    let dropped = || {
        row.head.kind == ComponentLifecycleEvent::SCHEMA.kind
            && ComponentLifecycleEvent::decode(row.body).event == "fdr_segment_dropped"
    };
    kinds.contains(&row.head.kind) || row.head.source == RECORDER && dropped()
}

/// A slice that is being made.
struct Cut {
    writer: Writer<Disk>,
    dir: FlightDir,
    manifest: Manifest,
    reason: String,
    last: Moment,
    records: u64,
    /// The next number of each source.
    next: BTreeMap<u16, u64>,
    described: BTreeSet<u16>,
    _claim: Claim,
}

impl Cut {
    fn begin(meant: &Meant, to: &To, row: &Row<'_>, header: &Header) -> Result<Self, BadDir> {
        let last = Moment { time_ns: row.head.time_ns, utc_ns: row.utc_ns };
        let flight = flight_id(row.utc_ns);
        let known = meant.dir.as_ref().and_then(|dir| dir.manifest().ok().flatten());
        let manifest = Manifest {
            flight: flight.to_string(),
            started: Stamp { time_ns: last.time_ns, utc_ns: last.utc_ns },
            stopped: None,
            ..known.unwrap_or_else(|| Manifest::of(header))
        };
        let dir = match to {
            To::Dir(path) => FlightDir::create_at(path.clone(), &manifest)?,
            To::Root(root) => FlightDir::create(root, &manifest)?,
        };
        let claim = dir.claim()?;
        let mut writer = Writer::new(dir.segments(), flight, header.boot, POLICY);
        let reason = format!("a slice of flight {}", header.flight);
        let event = ComponentLifecycleEvent {
            severity: Severity::Info,
            component: "recorder".to_owned(),
            event: "fdr_slice".to_owned(),
            detail: reason.clone(),
            ..Default::default()
        };
        writer.own(&event, last);
        let (next, described) = (BTreeMap::new(), BTreeSet::new());
        let _claim = claim;
        Ok(Self { writer, dir, manifest, reason, last, records: 0, next, described, _claim })
    }

    fn take(&mut self, row: &Row<'_>) {
        let head = row.head;
        self.last = Moment { time_ns: head.time_ns, utc_ns: row.utc_ns };
        self.records += 1;
        self.describe(row);
        if head.source == RECORDER {
            self.writer.own_bytes(head.kind, row.body, self.last);
            return;
        }
        if let (Some(name), false) = (row.source_name, self.next.contains_key(&head.source)) {
            let name = name.to_owned();
            let source = SourceAttached { attached: head.source, name, ..Default::default() };
            self.writer.attach(source, 0, self.last);
        }
        let next = self.next.entry(head.source).or_default();
        let entry = Entry {
            kind: head.kind,
            source: head.source,
            time_ns: head.time_ns,
            source_seq: *next,
            body: row.body,
        };
        *next += 1;
        self.writer.append(entry, self.last);
    }

    fn describe(&mut self, row: &Row<'_>) {
        let Some(schema) = row.schema.filter(|schema| schema.kind >= USER_TYPES) else { return };
        if self.described.insert(schema.kind) {
            let (name, fields) = (schema.name.to_string(), schema.fields_text());
            self.writer.describe(TypeSchema { described: schema.kind, name, fields }, self.last);
        }
    }

    fn end(mut self) -> Result<Shown, Refusal> {
        let (footer, durable) = self.writer.finish(&self.reason, self.last);
        let path = self.dir.path().to_owned();
        if !durable || footer.records_evicted > 0 || footer.records_dropped_overrun > 0 {
            let shown = path.display();
            let text =
                format!("the slice in {shown} could not be written whole: is the disk full?");
            return Err(Refusal::failed(format!("{text}\n  → remove it, make room, try again")));
        }
        let Moment { time_ns, utc_ns } = self.last;
        self.manifest.stop(&footer, Stamp { time_ns, utc_ns });
        let written = self.dir.write_manifest(&self.manifest);
        written.map_err(|error| Refusal::failed(chain(&error)))?;
        let flight = self.manifest.flight.clone();
        let bytes = Flight::open(Medium::Disk(self.dir.segments())).map_or(0, |one| one.bytes());
        Ok(Shown { flight, path, records: self.records, bytes })
    }
}
