//! `flight report`: what a flight was like, as Markdown or JSON.

use std::collections::BTreeMap;

use groundcrew_formats::utc_text;
use groundcrew_recorder::body::Body;
use groundcrew_recorder::body::types::{SpoofingPromotionEvent, VisualBlackoutEvent};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::segment::SegmentReader;
use groundcrew_recorder::reader::verify::Report;
use groundcrew_recorder::review::{Figure, Finding, LIMITS, Review, Reviewed, Timed};
use serde::Serialize;
use serde_json::Value;

use super::markdown::{self, quoted, table};
use super::place::{Meant, Medium};
use super::verify::{self, Said};
use crate::cli::print::{Printer, said};
use crate::exit::{Exit, Refusal};

/// Lines of one list that a person is shown; JSON has all that were kept.
const LINES_MAX: usize = 20;
/// The group of figures that needs the flight controller's word.
const TRUTH: &str = "Error against ground truth";
/// The figure that is absent without it.
const FIXES: &str = "ground_truth_fixes";

/// A flight that was read.
pub(super) struct Read {
    pub(super) said: Said,
    pub(super) report: Report,
    pub(super) reviewed: Reviewed,
    /// When it began, nanoseconds since 1970; `None`: no segment says so.
    began_ns: Option<i64>,
    being_written: bool,
}

/// What JSON says: what `summarise` says, and more.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    said: &'a Said,
    started: Option<String>,
    being_written: bool,
    /// `null`: the flight does not say.
    figures: BTreeMap<&'a str, Option<f64>>,
    findings: Vec<Found>,
    labels: Vec<Label>,
    blackouts: Vec<Value>,
    spoofing: Vec<Value>,
}

#[derive(Serialize)]
struct Found {
    urgency: &'static str,
    figure: String,
    value: Option<f64>,
    limit: Option<f64>,
}

#[derive(Serialize)]
struct Label {
    label: &'static str,
    from_ns: u64,
    to_ns: u64,
}

/// Reports on a flight.
pub(super) fn run(meant: &Meant, printer: &Printer) -> Result<Exit, Refusal> {
    let read = read(meant)?;
    printer.show(&shown(&read), || text(&read));
    Ok(verify::exit(&read.report, read.report.lost()))
}

/// Reads all of a flight.
///
/// # Errors
///
/// There is none.
pub(super) fn read(meant: &Meant) -> Result<Read, Refusal> {
    let flight = meant.open()?;
    let being_written = meant.is_written();
    let mut review = Review::new();
    let (report, said) = verify::read(meant, &flight, |record| review.take(record));
    let reviewed = review.end(&report, being_written, &LIMITS);
    Ok(Read { said, report, reviewed, began_ns: began_ns(&flight), being_written })
}

fn began_ns(flight: &Flight<Medium>) -> Option<i64> {
    let mut readable = flight
        .segments()
        .iter()
        .filter_map(|one| SegmentReader::open(flight.source(), &one.entry).ok());
    readable.next().map(|reader| reader.header.utc_ns)
}

fn shown(read: &Read) -> Shown<'_> {
    let Read { said, reviewed, began_ns, being_written, .. } = read;
    let found = |one: &Finding| Found {
        urgency: one.urgency.name(),
        figure: one.figure.clone(),
        value: one.value,
        limit: one.limit,
    };
    let labels = reviewed.labels.iter().map(|stay| Label {
        label: stay.state.name(),
        from_ns: stay.from_ns,
        to_ns: stay.to_ns,
    });
    let value = |figure: &'_ Figure| figure.value;
    Shown {
        said,
        started: began_ns.map(utc_text),
        being_written: *being_written,
        figures: reviewed.figures.iter().map(|one| (one.name.as_str(), value(one))).collect(),
        findings: reviewed.findings.iter().map(found).collect(),
        labels: labels.collect(),
        blackouts: reviewed.blackouts.iter().map(json).collect(),
        spoofing: reviewed.spoofing.iter().map(json).collect(),
    }
}

fn json<B: Body>(event: &Timed<B>) -> Value {
    let mut json = B::SCHEMA.json(&event.what.to_bytes());
    if let Some(members) = json.as_object_mut() {
        members.insert("time_ns".to_owned(), event.time_ns.into());
    }
    json
}

fn text(read: &Read) -> String {
    let mut text = format!("# Flight {}\n\n{}\n", said(&read.said.flight, 0), end(read));
    let losses = verify::losses(&read.report);
    if !losses.is_empty() {
        text.push_str("\n## What is damaged or missing\n\n");
        losses.lines().for_each(|line| text.push_str(&format!("- {line}\n")));
    }
    text.push_str(&findings(&read.reviewed.findings));
    let fixes = read.reviewed.figures.iter().find(|figure| figure.name == FIXES);
    let blind = fixes.is_none_or(|figure| figure.value.is_none());
    text.push_str(&markdown::groups(&read.reviewed.figures, |group| {
        (group == TRUTH && blind)
            .then_some("no ground truth: no `GLOBAL_POSITION_INT` (message 33) was recorded")
    }));
    text.push_str(&types(&read.said));
    text.push_str(&happened(&read.reviewed));
    text
}

/// When it began and how it ended.
fn end(read: &Read) -> String {
    let began = read.began_ns.map_or_else(
        || "when it began is not known".to_owned(),
        |ns| {
            format!(
                "began {}",
                utc_text(ns).get(..19).map_or_else(String::new, |at| format!("{at}Z"))
            )
        },
    );
    let end = match read.report.footers.last().filter(|_| read.report.ended) {
        Some(footer) if footer.clean_shutdown => format!("ended: {}", quoted(&footer.reason)),
        Some(footer) => format!("was cut off: {}", quoted(&footer.reason)),
        None if read.being_written => "is being written".to_owned(),
        None => "has no end; `groundcrew flight recover` writes one".to_owned(),
    };
    format!("It {began} and {end}.")
}

fn findings(findings: &[Finding]) -> String {
    let mut text = "\n## To look at\n\n".to_owned();
    if findings.is_empty() {
        text.push_str("nothing: no figure that the flight says exceeds its limit\n");
        return text;
    }
    let mut lines = vec![["urgency", "figure", "value", "limit"].map(str::to_owned).to_vec()];
    lines.extend(findings.iter().map(|one| {
        let (value, limit) = match one.limit {
            Some(_) => (markdown::value(one.value, one.unit), markdown::value(one.limit, one.unit)),
            None => ("no".to_owned(), String::new()),
        };
        vec![one.urgency.name().to_owned(), one.figure.clone(), value, limit]
    }));
    text.push_str(&table(&lines));
    text
}

fn types(said: &Said) -> String {
    let mut lines = vec![["type", "name", "records"].map(str::to_owned).to_vec()];
    lines.extend(said.types.iter().map(|one| {
        let name = one.name.as_deref().map_or_else(|| "(nobody described it)".into(), quoted);
        vec![format!("{:#06x}", one.kind), name, one.records.to_string()]
    }));
    format!("\n## Records by type\n\n{}", table(&lines))
}

/// The lists of what happened, each where there is something in it.
fn happened(reviewed: &Reviewed) -> String {
    let start_ns = reviewed.start_ns;
    let since = |ns: u64| super::duration(ns.saturating_sub(start_ns) / 1_000_000);
    let labels = reviewed.labels.iter().map(|stay| {
        vec![
            since(stay.from_ns),
            stay.state.name().to_owned(),
            super::duration(stay.ns() / 1_000_000),
        ]
    });
    let blackout = |one: &Timed<VisualBlackoutEvent>| {
        let duration = Some(f64::from(one.what.duration_s)).filter(|duration| !duration.is_nan());
        let lasted = duration.map_or_else(String::new, |duration| {
            markdown::value(Some(duration), groundcrew_recorder::review::Unit::Seconds)
        });
        vec![since(one.time_ns), one.what.edge.name().into(), quoted(&one.what.reason), lasted]
    };
    let spoofing = |one: &Timed<SpoofingPromotionEvent>| {
        let latency = format!("{:.0} ms", one.what.latency_ms);
        let what = &one.what;
        vec![since(one.time_ns), what.outcome.name().into(), quoted(&what.reason), latency]
    };
    let events = reviewed.events.iter().map(|one| {
        let what = &one.what;
        let [component, event, detail] =
            [&what.component, &what.event, &what.detail].map(|text| quoted(text));
        vec![since(one.time_ns), what.severity.name().to_owned(), component, event, detail]
    });
    let mut text = list("What positions were anchored by", &["at", "label", "for"], labels);
    let head = ["at", "edge", "reason", "lasted"];
    text += &list("Visual blackouts", &head, reviewed.blackouts.iter().map(blackout));
    let head = ["at", "outcome", "reason", "latency"];
    text += &list("Spoofing", &head, reviewed.spoofing.iter().map(spoofing));
    let head = ["at", "severity", "component", "event", "detail"];
    text + &list("Events from a warning on", &head, events)
}

fn list(heading: &str, head: &[&str], lines: impl ExactSizeIterator<Item = Vec<String>>) -> String {
    if lines.len() == 0 {
        return String::new();
    }
    let more = lines.len().saturating_sub(LINES_MAX);
    let mut all = vec![head.iter().map(ToString::to_string).collect()];
    all.extend(lines.take(LINES_MAX));
    let mut text = format!("\n## {heading}\n\n{}", table(&all));
    if more > 0 {
        text.push_str(&format!("\nand {more} more; --json lists them\n"));
    }
    text
}
