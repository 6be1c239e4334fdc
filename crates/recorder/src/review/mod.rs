//! What a flight was like: its figures, computed record by record in bounded memory.
//!
//! [`Review::take`] is given every record, in any order that producers may have made them, and
//! [`Review::end`] the verifier's report; out come [figures](Figure), lists of what happened, and
//! [findings](Finding). What no record says is absent, never 0. Nothing here reads or prints.
//!
//! A share of time is of the time in which the state was known: from the first record that says it
//! to the end of the flight. Quantiles are right to 0.5 % ([`Spread`]). Lists end after
//! [`LIST_MAX`] entries; their figures count all.

mod course;
mod figures;
mod findings;
mod mavlink;
mod metrics;
mod spread;
mod sums;
mod truth;

pub use course::Stay;
pub use figures::{Compared, Figure, REGRESSION_PERCENT, Unit, Worse, compare};
pub use findings::{Finding, LIMITS, Limit, Urgency};
pub use spread::Spread;

use crate::body::Body;
use crate::body::types::{
    ComponentLifecycleEvent, Direction, Edge, EmittedExternalPosition, MetricSample,
    MidFlightTileEmitted, MidFlightTileFailed, Promotion, ReceivedMavlinkRaw, Severity,
    SourceLabel, SourceLabelTransition, SpoofingPromotionEvent, SystemHealth,
    ThermalThrottleHybridSwitch, VisualBlackoutEvent,
};
use crate::format::frame::Record;
use crate::reader::verify::Report;
use course::Course;
use metrics::Metrics;
use truth::Truth;

/// Lists are no longer than this.
pub const LIST_MAX: usize = 1000;
/// What a component says when it failed.
const FAIL: &str = "fail";
const NS_PER_S: f64 = 1e9;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed<T> {
    /// When, nanoseconds.
    pub time_ns: u64,
    /// What.
    pub what: T,
}

/// What a flight was like.
#[derive(Debug)]
pub struct Reviewed {
    /// When the first record was made, nanoseconds; 0: there is none.
    pub start_ns: u64,
    /// All figures, absent ones too, always in the same order.
    pub figures: Vec<Figure>,
    /// What a person should look at, the most urgent first.
    pub findings: Vec<Finding>,
    /// What positions were anchored by, one after the other.
    pub labels: Vec<Stay<SourceLabel>>,
    /// When the cameras saw nothing of use, and when they did again.
    pub blackouts: Vec<Timed<VisualBlackoutEvent>>,
    /// What became of doubtful positions of the satellites.
    pub spoofing: Vec<Timed<SpoofingPromotionEvent>>,
    /// What components said, from a warning on.
    pub events: Vec<Timed<ComponentLifecycleEvent>>,
}

/// Takes a flight in, record by record.
#[derive(Debug, Default)]
pub struct Review {
    start_ns: Option<u64>,
    sums: sums::Sums,
    truth: Truth,
    metrics: Metrics,
    /// By what was said when it changed.
    told: Course<SourceLabel>,
    /// By what each position says.
    carried: Course<SourceLabel>,
    hypotheses: Course<u8>,
    blackouts: Vec<Timed<VisualBlackoutEvent>>,
    blackout_since_ns: Option<u64>,
    spoofing: Vec<Timed<SpoofingPromotionEvent>>,
    events: Vec<Timed<ComponentLifecycleEvent>>,
}

impl Review {
    /// A review of a flight of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record in.
    pub fn take(&mut self, record: &Record<'_>) {
        let time_ns = record.head.time_ns;
        self.start_ns.get_or_insert(time_ns);
        if let Some(body) = decoded::<EmittedExternalPosition>(record) {
            self.position(time_ns, &body);
        } else if let Some(body) = decoded::<ReceivedMavlinkRaw>(record) {
            if body.direction != Direction::Sent
                && let Some(said) = mavlink::position(&body.frame)
            {
                self.truth.said(time_ns, &said);
            }
        } else if let Some(body) = decoded::<SystemHealth>(record) {
            self.sums.health(&body);
        } else if let Some(body) = decoded::<MetricSample>(record) {
            self.metrics.sample(record.head.source, body);
        } else if let Some(body) = decoded::<ComponentLifecycleEvent>(record) {
            self.event(time_ns, body);
        } else if record.head.kind == MidFlightTileEmitted::SCHEMA.kind {
            self.sums.tiles += 1;
        } else if record.head.kind == MidFlightTileFailed::SCHEMA.kind {
            self.sums.tiles_failed += 1;
        } else {
            self.rare(record);
        }
    }

    /// What happens some times in a flight.
    fn rare(&mut self, record: &Record<'_>) {
        let time_ns = record.head.time_ns;
        let start_ns = self.start_ns.unwrap_or(time_ns);
        if let Some(body) = decoded::<SourceLabelTransition>(record) {
            self.sums.estimates = true;
            if !self.told.is_known() {
                self.told.at(start_ns, body.from);
            }
            self.told.at(time_ns, body.to);
        } else if let Some(body) = decoded::<VisualBlackoutEvent>(record) {
            self.blackout(time_ns, body);
        } else if let Some(body) = decoded::<SpoofingPromotionEvent>(record) {
            self.sums.estimates = true;
            match body.outcome {
                Promotion::Promoted => {
                    self.sums.promoted += 1;
                    self.sums.promotion_ms.add(body.latency_ms.into());
                }
                Promotion::Rejected => self.sums.rejected += 1,
                _ => {}
            }
            keep(&mut self.spoofing, time_ns, body);
        } else if let Some(body) = decoded::<ThermalThrottleHybridSwitch>(record) {
            if !self.hypotheses.is_known() {
                self.hypotheses.at(start_ns, body.from_k);
            }
            self.hypotheses.at(time_ns, body.to_k);
        }
    }

    fn position(&mut self, time_ns: u64, body: &EmittedExternalPosition) {
        self.sums.position(body);
        self.carried.at(time_ns, body.label);
        self.truth.position(time_ns, body.lat_deg, body.lon_deg);
    }

    fn blackout(&mut self, time_ns: u64, mut body: VisualBlackoutEvent) {
        self.sums.estimates = true;
        match body.edge {
            Edge::Entry => {
                self.sums.blackouts += 1;
                self.blackout_since_ns = Some(time_ns);
            }
            Edge::Exit => {
                let since_ns = self.blackout_since_ns.take();
                if body.duration_s.is_nan()
                    && let Some(since_ns) = since_ns
                {
                    #[expect(clippy::cast_possible_truncation, reason = "seconds, rounded")]
                    let lasted = seconds(time_ns.saturating_sub(since_ns)) as f32;
                    body.duration_s = lasted;
                }
                // One whose beginning is not in the recording.
                self.sums.blackouts += u64::from(since_ns.is_none());
                self.sums.blackout_s.add(body.duration_s.into());
            }
            _ => {}
        }
        keep(&mut self.blackouts, time_ns, body);
    }

    fn event(&mut self, time_ns: u64, body: ComponentLifecycleEvent) {
        match body.severity {
            Severity::Warning => self.sums.warnings += 1,
            Severity::Error | Severity::Critical => self.sums.errors += 1,
            _ => {}
        }
        self.sums.failures += u64::from(body.event == FAIL);
        if matches!(body.severity, Severity::Warning | Severity::Error | Severity::Critical)
            || body.event == FAIL
        {
            keep(&mut self.events, time_ns, body);
        }
    }

    /// That was all. A flight that is `being_written` has no end yet, which is then nothing to
    /// find.
    #[must_use]
    pub fn end(mut self, report: &Report, being_written: bool, limits: &[Limit]) -> Reviewed {
        let end_ns = report.span_ns.map_or(0, |(_, last)| last);
        self.truth.end();
        for course in [&mut self.told, &mut self.carried] {
            course.end(end_ns);
        }
        self.hypotheses.end(end_ns);
        let figures = self.figures(report);
        let clean = report.clean() || being_written && !report.ended;
        let findings = findings::findings(&figures, clean, limits);
        let start_ns = report.span_ns.map_or(0, |(first, _)| first);
        let labels = if self.told.is_known() { self.told.stays } else { self.carried.stays };
        let Self { blackouts, spoofing, events, .. } = self;
        Reviewed { start_ns, figures, findings, labels, blackouts, spoofing, events }
    }
}

/// A record's body, if it is of this type.
fn decoded<B: Body>(record: &Record<'_>) -> Option<B> {
    (record.head.kind == B::SCHEMA.kind).then(|| B::decode(record.body))
}

fn keep<T>(list: &mut Vec<Timed<T>>, time_ns: u64, what: T) {
    if list.len() < LIST_MAX {
        list.push(Timed { time_ns, what });
    }
}

/// A count as a number with a fraction.
#[expect(clippy::cast_precision_loss, reason = "53 bits are enough for a figure")]
fn float(count: u64) -> f64 {
    count as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    float(part) / float(whole)
}

fn seconds(ns: u64) -> f64 {
    float(ns) / NS_PER_S
}
