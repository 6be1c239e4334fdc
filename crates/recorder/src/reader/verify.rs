//! Whether a flight is whole, and what is missing if it is not.
//!
//! Totals in footers, indexes and side files are never believed: everything is read, and what they
//! say is compared with what is there. Bytes that are no record are a *torn tail* where the last
//! sync had not reached them and the segment was not ended; anywhere else they are *corruption*.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::body::Body as _;
use crate::body::types::{
    ComponentLifecycleEvent, FlightFooter, Overrun, Sync, TypeSchema, schema,
};
use crate::format::frame::{Head, Record};
use crate::storage::Source;
use crate::writer::RECORDER;

use super::flight::{Event, Flight, SegmentHead};
use super::scan::Hole;
use super::segment::Unreadable;

/// Lists in a report are no longer than this; counts are exact.
const LIST_MAX: usize = 1000;

/// What is in a flight, and what is not.
#[derive(Debug, Default)]
pub struct Report {
    /// Segments that were read.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Records by type.
    pub types: BTreeMap<u16, u64>,
    /// Types that nobody described, with their records.
    pub unknown: BTreeMap<u16, u64>,
    /// Earliest and latest time, nanoseconds.
    pub span_ns: Option<(u64, u64)>,
    /// Segments that cannot be read, and why.
    pub unreadable: Vec<String>,
    /// Whether a newer version of the program could read all of them.
    pub newer: bool,
    /// Bytes that are no record although they should be, by segment.
    pub corrupt: Vec<(u32, Hole)>,
    /// Bytes at the end of a segment that no sync had reached, by segment.
    pub torn: Vec<(u32, Hole)>,
    /// Bytes that recovery set aside.
    pub set_aside_bytes: u64,
    /// Segments that are not there, without a word about it in the recording.
    pub missing: Vec<u32>,
    /// How many segments were dropped to make room.
    pub dropped: u64,
    /// Records that are not there although nothing was dropped or damaged: first and last number.
    pub gaps: Vec<(u64, u64)>,
    /// Records that were lost at rings, by the overruns that are still there.
    pub overruns: u64,
    /// Records of a source that are not there, although no overrun was announced: source and how
    /// many.
    pub silent: BTreeMap<u16, u64>,
    /// Footers, in their order.
    pub footers: Vec<FlightFooter>,
    /// How often it was ended and then gone on with in another segment, as the recording outside
    /// flights is.
    pub resumed: u64,
    /// Whether a footer is the last record.
    pub ended: bool,
}

impl Report {
    /// Whether the recorder ended the flight itself.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.ended && self.footers.last().is_some_and(|footer| footer.clean_shutdown)
    }

    /// Records that were lost at rings, also those of which only a footer still tells: the records that
    /// said so may lie in segments that were dropped.
    #[must_use]
    pub fn lost_at_rings(&self) -> u64 {
        let told = self.footers.iter().map(|footer| footer.records_dropped_overrun).max();
        self.overruns.max(told.unwrap_or(0))
    }

    /// Whether something is damaged or missing that the recording does not account for.
    #[must_use]
    pub fn damaged(&self) -> bool {
        !(self.unreadable.is_empty()
            && self.corrupt.is_empty()
            && self.missing.is_empty()
            && self.gaps.is_empty()
            && self.silent.is_empty())
    }

    /// Whether anything at all was lost, accounted for or not.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.damaged()
            || self.lost_at_rings() > 0
            || self.dropped > 0
            || !self.torn.is_empty()
            || self.set_aside_bytes > 0
    }
}

/// Reads a whole flight and says what is missing; `progress` is told the bytes of each segment
/// when it begins.
pub fn verify<S: Source>(flight: &Flight<S>, progress: impl FnMut(u64)) -> Report {
    verify_and(flight, progress, |_| {})
}

/// The same, and gives each record to whoever wants to know more than the report says.
pub fn verify_and<S: Source>(
    flight: &Flight<S>,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(&Record<'_>),
) -> Report {
    let mut auditor = Auditor { set_aside: flight.torn().clone(), ..Auditor::default() };
    let met = flight.walk(|event| {
        match event {
            Event::Segment(segment, header) => {
                auditor.segment(header);
                progress(segment.entry.len);
            }
            Event::Record(_, record) => {
                auditor.record(record);
                each(record);
            }
            Event::Hole(hole) => auditor.hole(hole),
            Event::Sealed => auditor.sealed = true,
        }
        ControlFlow::Continue(())
    });
    auditor.close_run();
    auditor.close_segment();
    auditor.close_sources();
    auditor.close_kinds();
    let mut report = auditor.report;
    report.bytes = flight.bytes();
    report.set_aside_bytes = flight.torn_bytes();
    report.unreadable = met.unreadable.iter().map(|unreadable| crate::chain(unreadable)).collect();
    report.newer = met.unreadable.iter().all(Unreadable::is_newer);
    let there: BTreeSet<u32> = flight.segments().iter().map(|one| one.name.number()).collect();
    let last = there.last().copied().unwrap_or(0);
    // The oldest goes first, so one that was dropped says that all before it were.
    let first_kept = auditor.dropped_last.map_or(0, |last| last.saturating_add(1));
    let kept_before = u64::try_from(there.range(..first_kept).count()).unwrap_or(u64::MAX);
    report.dropped = u64::from(first_kept).saturating_sub(kept_before);
    // One that was set aside altogether had no record; a gap in the numbers would tell of one.
    let missing =
        (first_kept..last).filter(|at| !there.contains(at) && !flight.torn().contains(at));
    report.missing = missing.take(LIST_MAX).collect();
    report
}

/// What is known on the way.
#[derive(Debug, Default)]
struct Auditor {
    report: Report,
    number: Option<u32>,
    /// Segments of which recovery set something aside.
    set_aside: BTreeSet<u32>,
    sealed: bool,
    holes: Vec<Hole>,
    durable_bytes: u64,
    next_seq: Option<u64>,
    /// Something between this record and the one before explains a gap.
    excused: bool,
    /// What follows one another; most of a flight is.
    run: Option<Run>,
    /// By number: a tree would cost more than everything else.
    sources: Vec<SourceAudit>,
    kinds: Vec<KindAudit>,
    described: BTreeSet<u16>,
    /// The last segment that was dropped to make room.
    dropped_last: Option<u32>,
}

/// Records of one source and type in unbroken order, which are counted together.
#[derive(Debug)]
struct Run {
    kind: u16,
    source: u16,
    /// The source's number of the next one.
    next: u64,
    count: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Run {
    /// Takes a record that goes on with it; whether it does.
    #[inline]
    fn takes(&mut self, head: &Head) -> bool {
        let Head { kind, source, time_ns, source_seq, .. } = *head;
        if (kind, source, source_seq) != (self.kind, self.source, self.next) {
            return false;
        }
        self.count += 1;
        self.next = source_seq.saturating_add(1);
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
        true
    }
}

/// What is known of a type.
#[derive(Debug, Default, Clone)]
struct KindAudit {
    records: u64,
    /// Records that came before anything described the type.
    unknown: u64,
    known: bool,
}

/// What is known of a source: numbers that did not come, and those that were announced as lost.
#[derive(Debug, Default, Clone)]
struct SourceAudit {
    next: Option<u64>,
    absent: u64,
    announced: u64,
}

impl Auditor {
    #[inline(never)]
    fn segment(&mut self, header: &SegmentHead) {
        self.close_run();
        self.close_segment();
        let next = self.number.map_or(0, |number| number.saturating_add(1));
        let was_set_aside = |number: u32| self.set_aside.contains(&number);
        let begins = self.number.is_none() && header.number == 0;
        let follows = !begins && (next..header.number).all(was_set_aside);
        if follows && self.number.is_none() {
            self.next_seq = Some(0);
        }
        self.excused |= !follows;
        self.report.resumed += u64::from(self.report.ended);
        if !follows || self.report.ended {
            // What a source said in segments that are not there is not known, and what it said
            // between two parts of a recording went elsewhere.
            self.sources.iter_mut().for_each(|source| source.next = None);
        }
        self.number = Some(header.number);
        self.report.segments += 1;
    }

    /// Tells the torn tail from corruption, now that the end of the segment is known.
    fn close_segment(&mut self) {
        let Some(number) = self.number else { return };
        for hole in std::mem::take(&mut self.holes) {
            let expected = !self.sealed && hole.at >= self.durable_bytes;
            let list = if expected { &mut self.report.torn } else { &mut self.report.corrupt };
            if list.len() < LIST_MAX {
                list.push((number, hole));
            }
        }
        (self.sealed, self.durable_bytes) = (false, 0);
    }

    #[inline(never)]
    fn hole(&mut self, hole: Hole) {
        self.close_run();
        self.excused = true;
        self.sources.iter_mut().for_each(|source| source.next = None);
        if self.holes.len() < LIST_MAX {
            self.holes.push(hole);
        }
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>) {
        let seq = record.head.seq;
        if self.next_seq == Some(seq)
            && let Some(run) = &mut self.run
            && run.takes(&record.head)
        {
            self.next_seq = Some(seq.saturating_add(1));
            return;
        }
        self.out_of_run(record);
    }

    /// A record that does not go on with the run, and maybe begins one. Apart, so that what nearly
    /// every record takes stays short enough to be part of the loop that finds it.
    #[inline(never)]
    fn out_of_run(&mut self, record: &Record<'_>) {
        self.close_run();
        let Head { kind, source, time_ns, source_seq, seq } = record.head;
        let audit = at(&mut self.kinds, kind);
        if audit.records == 0 {
            audit.known = self.described.contains(&kind) || schema(kind).is_some();
        }
        let expected = self.next_seq.unwrap_or(seq);
        if seq > expected && !self.excused && self.report.gaps.len() < LIST_MAX {
            self.report.gaps.push((expected, seq - 1));
        }
        (self.next_seq, self.excused) = (Some(seq.saturating_add(1)), false);
        let audit = at(&mut self.sources, source);
        if let Some(next) = audit.next {
            audit.absent = audit.absent.saturating_add(source_seq.saturating_sub(next));
        }
        self.report.ended = kind == FlightFooter::SCHEMA.kind;
        let next = source_seq.saturating_add(1);
        let (first_ns, last_ns) = (time_ns, time_ns);
        self.run = Some(Run { kind, source, next, count: 1, first_ns, last_ns });
        if source == RECORDER {
            self.close_run();
            self.told(record);
        }
    }

    /// Counts what followed one another.
    fn close_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let Run { kind, source, next, count, first_ns, last_ns } = run;
        self.report.records += count;
        let audit = at(&mut self.kinds, kind);
        audit.records += count;
        if !audit.known {
            audit.unknown += count;
        }
        at(&mut self.sources, source).next = Some(next);
        let (first, last) = self.report.span_ns.unwrap_or((first_ns, last_ns));
        self.report.span_ns = Some((first.min(first_ns), last.max(last_ns)));
    }

    /// What the recorder itself says.
    fn told(&mut self, record: &Record<'_>) {
        let (kind, body) = (record.head.kind, record.body);
        if kind == FlightFooter::SCHEMA.kind {
            self.report.footers.push(FlightFooter::decode(body));
        } else if kind == Sync::SCHEMA.kind {
            self.durable_bytes = Sync::decode(body).durable_bytes;
        } else if kind == Overrun::SCHEMA.kind {
            let overrun = Overrun::decode(body);
            self.report.overruns = self.report.overruns.saturating_add(overrun.count);
            let source = at(&mut self.sources, overrun.lost_source);
            source.announced = source.announced.saturating_add(overrun.count);
        } else if kind == TypeSchema::SCHEMA.kind {
            let described = TypeSchema::decode(body).described;
            self.described.insert(described);
            at(&mut self.kinds, described).known = true;
        } else if kind == ComponentLifecycleEvent::SCHEMA.kind {
            let event = ComponentLifecycleEvent::decode(body);
            if event.event == "fdr_segment_dropped" {
                self.dropped_last = self.dropped_last.max(Some(event.segment));
            }
        }
    }

    fn close_sources(&mut self) {
        for (source, SourceAudit { absent, announced, .. }) in (0..=u16::MAX).zip(&self.sources) {
            if absent > announced {
                self.report.silent.insert(source, absent - announced);
            }
        }
    }

    fn close_kinds(&mut self) {
        for (kind, KindAudit { records, unknown, .. }) in (0..=u16::MAX).zip(&self.kinds) {
            if *records > 0 {
                self.report.types.insert(kind, *records);
            }
            if *unknown > 0 {
                self.report.unknown.insert(kind, *unknown);
            }
        }
    }
}

/// The row with this number; the table grows to it.
fn at<T: Default + Clone>(table: &mut Vec<T>, number: u16) -> &mut T {
    let at = usize::from(number);
    if table.len() <= at {
        table.resize(at + 1, T::default());
    }
    table.get_mut(at).expect("the table was made long enough")
}
