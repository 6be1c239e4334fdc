//! `flight verify` and `flight summarise`: what is in a flight, and what is not.

use std::collections::BTreeMap;

use groundcrew_recorder::body::types::{
    self, ComponentLifecycleEvent, FlightFooter, Severity, SourceAttached, TypeSchema,
};
use groundcrew_recorder::body::{Body as _, Schema};
use groundcrew_recorder::format::frame::Record;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::scan::Hole;
use groundcrew_recorder::reader::verify::{Report, verify_and};
use serde::Serialize;
use serde_json::Value;

use super::place::{Meant, Medium};
use super::progress::Progress;
use super::select::hole_text;
use crate::cli::print::{Printer, said};
use crate::exit::{Exit, Refusal};

/// Lines of one kind that a person is shown; JSON has all that were kept.
const LINES_MAX: usize = 20;
/// Events that are kept.
const EVENTS_MAX: usize = 1000;

/// What JSON says of a flight.
#[derive(Serialize)]
pub(super) struct Said {
    pub(super) flight: String,
    /// The recorder ended it, and no ring overran, and nothing is damaged.
    clean: bool,
    pub(super) damaged: bool,
    pub(super) lost: bool,
    segments: u64,
    records: u64,
    bytes: u64,
    duration_ms: u64,
    pub(super) types: Vec<Type>,
    sources: BTreeMap<u16, String>,
    footer: Option<Value>,
    footers: usize,
    resumed: u64,
    unreadable: Vec<String>,
    corrupt: Vec<Damage>,
    torn: Vec<Damage>,
    set_aside_bytes: u64,
    missing_segments: Vec<u32>,
    dropped_segments: u64,
    missing_records: Vec<[u64; 2]>,
    overruns: u64,
    silent: BTreeMap<u16, u64>,
    events: Vec<Value>,
}

/// A type that the flight has records of.
#[derive(Serialize)]
pub(super) struct Type {
    pub(super) kind: u16,
    pub(super) name: Option<String>,
    pub(super) records: u64,
}

/// Bytes that are no record.
#[derive(Serialize)]
struct Damage {
    segment: u32,
    at: u64,
    bytes: u64,
    why: String,
}

/// Reads all of a flight and says what is damaged or missing.
pub(super) fn run(meant: &Meant, printer: &Printer) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let (report, said) = read(meant, &flight, |_| {});
    printer.show(&said, || {
        let mut text = losses(&report);
        let (records, segments) = (report.records, report.segments);
        let size = super::size(report.bytes);
        text.push_str(&format!("{records} records in {segments} segments, {size}: "));
        text.push_str(match (report.damaged(), report.lost()) {
            (true, _) => "damaged\n",
            (false, true) => "whole but for what is accounted for above\n",
            (false, false) => "whole\n",
        });
        text
    });
    Ok(exit(&report, report.lost()))
}

/// Says what is in a flight.
pub(super) fn summarise(
    meant: &Meant,
    require_clean: bool,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let (report, said) = read(meant, &flight, |_| {});
    let unclean = require_clean && !said.clean;
    printer.show(&said, || summary(&report, &said));
    if unclean {
        let why = match report.footers.last() {
            _ if report.damaged() => "it is damaged".to_owned(),
            Some(footer) if report.ended && !footer.clean_shutdown => {
                format!("its footer says clean_shutdown = false: {}", footer.reason)
            }
            Some(_) if report.ended => {
                format!("{} records were lost at rings", report.lost_at_rings())
            }
            _ => "it has no end; `groundcrew flight recover` writes one".to_owned(),
        };
        crate::cli::print::talk(&format!("groundcrew: {} is not clean: {why}", meant.name));
    }
    Ok(exit(&report, report.damaged() || unclean))
}

/// What a command that has read all of a flight ends with.
pub(super) fn exit(report: &Report, lost: bool) -> Exit {
    let only_newer = report.newer && !report.unreadable.is_empty() && report.records == 0;
    match lost {
        true if only_newer => Exit::Failed,
        true => Exit::Lost,
        false => Exit::Done,
    }
}

/// Reads all of a flight, and gives each record to whoever wants to know more.
pub(super) fn read(
    meant: &Meant,
    flight: &Flight<Medium>,
    mut each: impl FnMut(&Record<'_>),
) -> (Report, Said) {
    let progress = Progress::new("reading", flight.bytes());
    let mut reading = 0;
    let mut told = Told::new();
    let begin = |bytes| progress.add(std::mem::replace(&mut reading, bytes));
    let report = verify_and(flight, begin, |record| {
        told.hear(record);
        each(record);
    });
    drop(progress);
    let Told { names, sources, events } = told;
    let types = report.types.iter().map(|(kind, records)| Type {
        kind: *kind,
        name: names.get(kind).cloned(),
        records: *records,
    });
    let damage =
        |list: &[(u32, Hole)]| list.iter().map(|(at, hole)| Damage::of(*at, hole)).collect();
    let (first_ns, last_ns) = report.span_ns.unwrap_or((0, 0));
    let said = Said {
        flight: meant.name.clone(),
        clean: report.clean() && report.lost_at_rings() == 0 && !report.damaged(),
        damaged: report.damaged(),
        lost: report.lost(),
        segments: report.segments,
        records: report.records,
        bytes: report.bytes,
        duration_ms: (last_ns - first_ns) / 1_000_000,
        types: types.collect(),
        sources,
        footer: report.footers.last().map(|footer| FlightFooter::SCHEMA.json(&footer.to_bytes())),
        footers: report.footers.len(),
        resumed: report.resumed,
        unreadable: report.unreadable.clone(),
        corrupt: damage(&report.corrupt),
        torn: damage(&report.torn),
        set_aside_bytes: report.set_aside_bytes,
        missing_segments: report.missing.clone(),
        dropped_segments: report.dropped,
        missing_records: report.gaps.iter().map(|(first, last)| [*first, *last]).collect(),
        overruns: report.overruns,
        silent: report.silent.clone(),
        events,
    };
    (report, said)
}

impl Damage {
    fn of(segment: u32, hole: &Hole) -> Self {
        Self { segment, at: hole.at, bytes: hole.len, why: hole.why.to_string() }
    }
}

/// What a recording says about itself.
struct Told {
    /// Names of types.
    names: BTreeMap<u16, String>,
    /// Names of sources.
    sources: BTreeMap<u16, String>,
    /// Events from a warning on.
    events: Vec<Value>,
}

impl Told {
    fn new() -> Self {
        let name = |schema: Schema| (schema.kind, schema.name.to_string());
        let names = types::all().into_iter().map(name).collect();
        Self { names, sources: BTreeMap::new(), events: Vec::new() }
    }

    fn hear(&mut self, record: &Record<'_>) {
        let (kind, body) = (record.head.kind, record.body);
        if kind == SourceAttached::SCHEMA.kind {
            let source = SourceAttached::decode(body);
            self.sources.insert(source.attached, source.name);
        } else if kind == TypeSchema::SCHEMA.kind {
            let schema = TypeSchema::decode(body);
            self.names.entry(schema.described).or_insert(schema.name);
        } else if kind == ComponentLifecycleEvent::SCHEMA.kind
            && self.events.len() < EVENTS_MAX
            && ComponentLifecycleEvent::decode(body).severity != Severity::Info
        {
            let mut event = ComponentLifecycleEvent::SCHEMA.json(body);
            if let Some(event) = event.as_object_mut() {
                event.insert("time_ns".to_owned(), record.head.time_ns.into());
            }
            self.events.push(event);
        }
    }
}

/// What is damaged or missing, a line for each.
pub(super) fn losses(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(report.unreadable.iter().cloned());
    lines.extend(report.corrupt.iter().map(|(at, hole)| hole_text(*at, hole)));
    let torn = |(at, hole): &(u32, Hole)| {
        format!("{} (a torn end, which no sync had reached)", hole_text(*at, hole))
    };
    lines.extend(report.torn.iter().map(torn));
    let missing = report.missing.iter();
    lines.extend(missing.map(|number| format!("segment {number} is missing")));
    let gap = |(first, last): &(u64, u64)| {
        let count = (last - first).saturating_add(1);
        format!("{count} records are missing: numbers {first} to {last}")
    };
    lines.extend(report.gaps.iter().map(gap));
    let silent = |(source, count): (&u16, &u64)| {
        format!("{count} records of source {source} are missing, and no overrun tells of them")
    };
    lines.extend(report.silent.iter().map(silent));
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more; --json lists them"));
    }
    let lost = report.lost_at_rings();
    if lost > 0 {
        let gone = match lost - report.overruns {
            0 => String::new(),
            gone => format!(", {gone} of them by the word of the footer alone"),
        };
        lines.push(format!("{lost} records were lost at rings, and counted{gone}"));
    }
    if report.dropped > 0 {
        lines.push(format!("{} segments were dropped to make room", report.dropped));
    }
    if report.set_aside_bytes > 0 {
        let bytes = report.set_aside_bytes;
        lines.push(format!("{bytes} bytes were set aside by recovery, because they were torn"));
    }
    if report.footers.len() > 1 {
        let again = match report.resumed {
            0 => String::new(),
            1 => " (it was gone on with once)".to_owned(),
            times => format!(" (it was gone on with {times} times)"),
        };
        lines.push(format!(
            "there are {} footers{again}; the last one counts",
            report.footers.len()
        ));
    }
    lines.iter().map(|line| format!("{}\n", said(line, 0))).collect()
}

fn summary(report: &Report, said_of_it: &Said) -> String {
    let Said { flight, duration_ms, records, segments, bytes, .. } = said_of_it;
    let mut text = format!(
        "{flight}: {records} records in {segments} segments, {}, {}\n",
        super::size(*bytes),
        super::duration(*duration_ms)
    );
    text.push_str(&match report.footers.last() {
        Some(footer) if report.ended => {
            let how = if footer.clean_shutdown { "ended" } else { "was cut off" };
            format!("it {how}: {}\n", said(&footer.reason, 0))
        }
        _ => "it has no end: it is being written, or `groundcrew flight recover` ends it\n".into(),
    });
    for Type { kind, name, records } in &said_of_it.types {
        let name = name.as_deref().map_or("(nobody described it)".into(), |name| said(name, 0));
        text.push_str(&format!("  {records:>12}  {kind:#06x} {name}\n"));
    }
    text.push_str(&losses(report));
    for event in said_of_it.events.iter().take(LINES_MAX) {
        let member = |name: &str| said(event.get(name).and_then(Value::as_str).unwrap_or(""), 2);
        let [severity, component, event, detail] =
            ["severity", "component", "event", "detail"].map(member);
        text.push_str(&format!("{severity}: {component}: {event}: {detail}\n"));
    }
    text
}
