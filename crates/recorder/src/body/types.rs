//! Every record type, in one place.
//!
//! 0x0001 to 0x00ff belong to flights, 0x0100 to 0x01ff to groundcrew's own work, 0x8000 and
//! above to users. Numbers are never used again, and fields are only ever added at the end.

use std::borrow::Cow;

pub use super::labels::*;
use super::{Body, Field, Part, Schema};

/// Types with their fields; a field's order is its place in the body.
macro_rules! records {
    ($($(#[doc = $doc:literal])+ $kind:literal $name:ident {
        $($(#[doc = $field_doc:literal])+ $field:ident: $part:ty,)+
    })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Default, PartialEq)]
            pub struct $name {
                $($(#[doc = $field_doc])+ pub $field: $part,)+
            }

            impl Body for $name {
                const SCHEMA: Schema = Schema {
                    kind: $kind,
                    name: Cow::Borrowed(stringify!($name)),
                    doc: Cow::Borrowed(concat!($($doc),+)),
                    fields: Cow::Borrowed(&[$(Field {
                        name: Cow::Borrowed(stringify!($field)),
                        kind: <$part as Part>::KIND,
                        doc: Cow::Borrowed(concat!($($field_doc),+)),
                    }),+]),
                };

                fn encode(&self, to: &mut Vec<u8>) {
                    $(self.$field.put(to);)+
                }

                fn decode(mut from: &[u8]) -> Self {
                    let mut body = Self::default();
                    let mut take = || {
                        $(body.$field = Part::take(&mut from)?;)+
                        Some(())
                    };
                    // Where the body ends early, the rest keeps its zero value.
                    let _whole: Option<()> = take();
                    body
                }
            }
        )+

        /// The schema of every type, by ascending number.
        #[must_use]
        pub fn all() -> Vec<Schema> {
            vec![$($name::SCHEMA),+]
        }
    };
}

records! {
    /// A position that was sent to the flight controller.
    0x0001 EmittedExternalPosition {
        /// Latitude (WGS 84), degrees.
        lat_deg: f64,
        /// Longitude (WGS 84), degrees.
        lon_deg: f64,
        /// Height over the ellipsoid, meters.
        alt_m: f64,
        /// Accuracy in the plane (1 sigma), meters.
        horiz_accuracy_m: f32,
        /// Accuracy in height (1 sigma), meters.
        vert_accuracy_m: f32,
        /// Speed to the north, meters per second.
        vel_n_mps: f32,
        /// Speed to the east, meters per second.
        vel_e_mps: f32,
        /// Speed downwards, meters per second.
        vel_d_mps: f32,
        /// What the position was anchored by.
        label: SourceLabel,
        /// Age of the last anchor, seconds.
        last_anchor_age_s: f32,
    }
    /// A window of the inertial sensors that was handed to the estimator.
    0x0002 ImuTrace {
        /// `CLOCK_BOOTTIME` of the first sample, nanoseconds.
        first_ns: u64,
        /// Samples per second.
        rate_hz: f32,
        /// Angular rates, x, y, z by turns, radians per second.
        gyro_radps: Vec<f32>,
        /// Accelerations, x, y, z by turns, meters per second squared.
        accel_mps2: Vec<f32>,
    }
    /// A MAVLink frame, byte for byte.
    0x0003 ReceivedMavlinkRaw {
        /// Which link.
        link: u8,
        /// Which way.
        direction: Direction,
        /// What became of it.
        verdict: FrameVerdict,
        /// Whether a key was taken out of it.
        redacted: bool,
        /// The frame.
        frame: Vec<u8>,
    }
    /// An MSP2 frame, byte for byte.
    0x0004 ReceivedMsp2Raw {
        /// Which link.
        link: u8,
        /// Which way.
        direction: Direction,
        /// What became of it.
        verdict: FrameVerdict,
        /// The frame.
        frame: Vec<u8>,
    }
    /// How the host is, once a second. A share or a temperature that is unknown is not a number, an
    /// amount of bytes that is unknown is 0.
    0x0005 SystemHealth {
        /// Share of all cores in use since the last sample, percent; not a number in the first one.
        cpu_percent: f32,
        /// Share of the busiest graphics processor in use, percent.
        gpu_percent: f32,
        /// The hottest sensor, degrees Celsius.
        temperature_c: f32,
        /// Whether the host slows itself down; false where it does not say.
        throttled: bool,
        /// Memory in use, bytes.
        ram_used_bytes: u64,
        /// Memory in all, bytes.
        ram_total_bytes: u64,
        /// Graphics memory of all cards in use, bytes.
        vram_used_bytes: u64,
        /// Graphics memory of all cards, bytes; 0 where it is the host's own.
        vram_total_bytes: u64,
        /// Room left where recordings are kept, bytes.
        storage_left_bytes: u64,
    }
    /// Positions are anchored by something else from now on.
    0x0006 SourceLabelTransition {
        /// What they were anchored by.
        from: SourceLabel,
        /// What they are anchored by.
        to: SourceLabel,
        /// Why.
        reason: String,
        /// Age of the last anchor, seconds.
        last_anchor_age_s: f32,
    }
    /// A map tile was made during the flight.
    0x0007 MidFlightTileEmitted {
        /// Which tile.
        tile: String,
        /// How good it is, 0 to 1.
        quality: f32,
        /// Its size, bytes.
        size_bytes: u64,
        /// Its digest.
        digest: String,
    }
    /// A map tile could not be made during the flight.
    0x0008 MidFlightTileFailed {
        /// Which tile.
        tile: String,
        /// Why.
        reason: String,
        /// Name of the picture in `thumbnails/`; empty: there is none.
        thumbnail: String,
    }
    /// The key that signs MAVLink messages is another one from now on.
    0x0009 MavlinkSigningKeyRotated {
        /// Which link.
        link: u8,
        /// The first 8 bytes of the SHA-256 of the key, which is never recorded itself.
        fingerprint: Vec<u8>,
        /// Why.
        reason: String,
    }
    /// The flight controller was told which sources to estimate from.
    0x000A EkfSourceSetCommand {
        /// Which set, as the flight controller numbers them.
        source_set: u8,
        /// Why.
        reason: String,
        /// Whether the flight controller said yes.
        acknowledged: bool,
    }
    /// The cameras saw nothing of use, or do so again.
    0x000B VisualBlackoutEvent {
        /// Whether it began or ended.
        edge: Edge,
        /// Why.
        reason: String,
        /// How long it lasted, seconds; not a number where it began.
        duration_s: f32,
    }
    /// A position of the satellites was doubted, and this is what became of it.
    0x000C SpoofingPromotionEvent {
        /// What became of it.
        outcome: Promotion,
        /// From the first doubt until then, milliseconds.
        latency_ms: f32,
        /// Why.
        reason: String,
    }
    /// A file is not the one that was released.
    0x000D ContentHashGateFail {
        /// Which file.
        path: String,
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        found: String,
    }
    /// Inference does with more or fewer hypotheses because of the heat.
    0x000E ThermalThrottleHybridSwitch {
        /// Hypotheses before.
        from_k: u8,
        /// Hypotheses from now on.
        to_k: u8,
        /// The hottest sensor, degrees Celsius.
        temperature_c: f32,
    }
    /// A component started, stopped, failed, or did something that a person may want to know.
    0x000F ComponentLifecycleEvent {
        /// How much it matters.
        severity: Severity,
        /// Which component.
        component: String,
        /// What happened, as a word (`start`, `stop`, `fail`, `fdr_segment_dropped`, …).
        event: String,
        /// What a person should read.
        detail: String,
        /// The segment that it is about, if it is about one.
        segment: u32,
        /// How many records it is about.
        records: u64,
        /// How many bytes it is about.
        size_bytes: u64,
        /// Time of the first of these records, nanoseconds.
        from_ns: u64,
        /// Time of the last of these records, nanoseconds.
        to_ns: u64,
    }
    /// Records did not fit into a ring, and this is exactly how many.
    0x0010 Overrun {
        /// Whose records.
        lost_source: u16,
        /// How many.
        count: u64,
        /// The source's number of the first of them.
        first_source_seq: u64,
        /// The source's number of the last of them.
        last_source_seq: u64,
        /// Time of the last record before them, nanoseconds.
        from_ns: u64,
        /// Time of the first record behind them, nanoseconds.
        to_ns: u64,
    }
    /// The end of a flight.
    0x0011 FlightFooter {
        /// Whether the recorder ended it itself.
        clean_shutdown: bool,
        /// Why it ended.
        reason: String,
        /// Records that were written.
        records_written: u64,
        /// Records that were lost at rings.
        records_dropped_overrun: u64,
        /// Records that went with the oldest segments.
        records_evicted: u64,
        /// Bytes that were written.
        bytes_written: u64,
        /// Bytes that went with the oldest segments.
        bytes_evicted: u64,
        /// Segments that were begun behind the first.
        rollover_count: u32,
        /// Bytes that recovery set aside, because they were no whole record.
        bytes_torn: u64,
    }
    /// A measured figure.
    0x0012 MetricSample {
        /// Its name.
        name: String,
        /// Its labels: `name=value`, parted by commas.
        labels: String,
        /// How it behaves.
        kind: MetricKind,
        /// Its value; of a histogram the sum.
        value: f64,
        /// Upper bounds of a histogram's buckets.
        bounds: Vec<f64>,
        /// How many values each bucket of a histogram has.
        counts: Vec<u64>,
    }
    /// A line of a log.
    0x0013 LogLine {
        /// How bad.
        level: LogLevel,
        /// Which part of the program.
        target: String,
        /// The line.
        message: String,
    }
    /// Everything before this was on the disk for good when this was written.
    0x0014 Sync {
        /// Bytes of this segment that were durable.
        durable_bytes: u64,
        /// The writer's number of the first record that was not.
        durable_seq: u64,
    }
    /// What time it was elsewhere.
    0x0015 TimeSync {
        /// The host's clock, nanoseconds since 1970 UTC.
        utc_ns: i64,
        /// The satellites' clock, nanoseconds since 1970 UTC; 0: unknown.
        gnss_ns: i64,
        /// How far it may be off, nanoseconds; 0: unknown.
        uncertainty_ns: u64,
    }
    /// A source attached; said again at the beginning of each segment.
    0x0016 SourceAttached {
        /// The number that its records carry.
        attached: u16,
        /// Its name.
        name: String,
        /// Its process; 0: the recorder's own.
        pid: u32,
        /// Whether its ring is the one that bulk data cannot fill.
        critical: bool,
    }
    /// A source will send no more.
    0x0017 SourceEnded {
        /// The number that its records carry.
        ended: u16,
        /// How.
        how: Ending,
        /// Records that it made, those that did not fit among them.
        made: u64,
    }
    /// What a type of a user's own looks like; said again at the beginning of each segment.
    0x0018 TypeSchema {
        /// The type's number.
        described: u16,
        /// The type's name.
        name: String,
        /// Its fields in order, as a JSON list of objects with `name`, `kind` and `doc`.
        fields: String,
    }
    /// Something happened to an app's update.
    0x0100 UpdateEvent {
        /// Which app.
        app: String,
        /// Which update.
        txn: String,
        /// What happened, as in `docs/reference/events.md`.
        event: String,
        /// The state that the update is in from now on.
        state: String,
        /// What the event says beside, as JSON.
        detail: String,
    }
    /// A gate answered something new of a candidate.
    0x0101 GateDecision {
        /// Which app.
        app: String,
        /// Which release.
        candidate: String,
        /// Which gate.
        gate: String,
        /// `pass`; `defer`: not now; `hold`: a person must act; `ask`: a person may let it through.
        answer: String,
        /// Why.
        reason: String,
    }
    /// An app was asked how it is: every answer while an update is open, else every new one.
    0x0102 ProbeResult {
        /// Which app.
        app: String,
        /// Which probe.
        probe: String,
        /// Whether it is well.
        passed: bool,
        /// How long the answer took, milliseconds.
        latency_ms: f32,
        /// What it said.
        detail: String,
    }
    /// The watch over a new release came to an end.
    0x0103 WatchVerdict {
        /// Which app.
        app: String,
        /// Which release.
        release: String,
        /// `HEALTHY`, `DEGRADED` or `INCONCLUSIVE`.
        verdict: String,
        /// The rule that gave it: `window`, `failures-in-row`, `restarts`, `no-start` or
        /// `twice-the-window`.
        rule: String,
        /// What it stands on.
        detail: String,
    }
    /// Something happened to a snapshot.
    0x0104 SnapshotEvent {
        /// Which app.
        app: String,
        /// Which snapshot; empty where other data was removed.
        snapshot: String,
        /// `taken`, `restored` or `removed`.
        event: String,
        /// Its size where it was taken, bytes; else 0.
        size_bytes: u64,
        /// How long it took, milliseconds; 0 where it was removed.
        duration_ms: u64,
        /// What a person should read.
        detail: String,
    }
    /// Something happened to an episode that is sent away.
    0x0105 ShipEvent {
        /// Which episode.
        episode: String,
        /// What happened.
        event: String,
        /// What became of it.
        outcome: String,
        /// Its size, bytes.
        size_bytes: u64,
        /// What a person should read.
        detail: String,
    }
    /// Something happened to a rehearsal.
    0x0106 RehearsalEvent {
        /// Which recipe.
        recipe: String,
        /// What happened.
        event: String,
        /// What became of it.
        outcome: String,
        /// What a person should read.
        detail: String,
    }
}

/// The schema of a type of groundcrew's.
#[must_use]
pub fn schema(kind: u16) -> Option<Schema> {
    all().into_iter().find(|schema| schema.kind == kind)
}
