//! Bodies: of every type, and of a program's own.
//!
//! Input: one byte (bit 0: by a schema in the input), two of type; then the body, or a length, a
//! schema of that length, and the body.

use groundcrew_formats::{Row, csv, jsonl};
use groundcrew_recorder::body::types::{self, all};
use groundcrew_recorder::body::{Body, Schema};
use groundcrew_recorder::format::frame::Head;
use groundcrew_recorder::format::index::Index;
use groundcrew_recorder::ring::capacity_for;

use crate::input::Input;

/// Calls a macro with every type.
macro_rules! with_types {
    ($call:ident) => {
        $call!(
            EmittedExternalPosition,
            ImuTrace,
            ReceivedMavlinkRaw,
            ReceivedMsp2Raw,
            SystemHealth,
            SourceLabelTransition,
            MidFlightTileEmitted,
            MidFlightTileFailed,
            MavlinkSigningKeyRotated,
            EkfSourceSetCommand,
            VisualBlackoutEvent,
            SpoofingPromotionEvent,
            ContentHashGateFail,
            ThermalThrottleHybridSwitch,
            ComponentLifecycleEvent,
            Overrun,
            FlightFooter,
            MetricSample,
            LogLine,
            Sync,
            TimeSync,
            SourceAttached,
            SourceEnded,
            TypeSchema,
            UpdateEvent,
            GateDecision,
            ProbeResult,
            WatchVerdict,
            SnapshotEvent,
            ShipEvent,
            RehearsalEvent
        )
    };
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let (flags, kind) = (input.u8(), input.u16());
    if flags & 1 != 0 {
        let len = usize::from(input.u16());
        let text = String::from_utf8_lossy(input.take(len));
        match Schema::from_text(kind, "Mine", &text) {
            Ok(schema) => {
                let again = Schema::from_text(kind, "Mine", &schema.fields_text());
                assert_eq!(again.expect("we wrote it").fields, schema.fields);
                read(&schema, input.0);
            }
            Err(error) => assert!(!groundcrew_recorder::chain(&error).is_empty()),
        }
        return;
    }
    let schemas = all();
    let schema = schemas.get(usize::from(kind) % schemas.len()).expect("there are types");
    read(schema, input.0);
    by_type(schema.kind, input.0);
    if let Some(index) = Index::decode(input.0) {
        assert_eq!(Index::decode(&index.encode()), Some(index));
    }
    let capacity = capacity_for(usize::from(kind) << (flags >> 2));
    assert!(capacity.is_power_of_two());
}

/// As values, as JSON, as a line and as a row of a table.
fn read(schema: &Schema, body: &[u8]) {
    assert_eq!(schema.values(body).len(), schema.fields.len());
    assert!(schema.json_schema().is_object());
    let head = Head { kind: schema.kind, source: 3, time_ns: 5, source_seq: 6, seq: 7 };
    let (schema, utc_ns) = (Some(schema), i64::MAX);
    let row = Row { head, body, schema, source_name: Some("a\"b,\n"), utc_ns };
    let mut line = Vec::new();
    jsonl::write(&row, &mut line).expect("memory takes it");
    let value: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
    assert!(value.get("body").is_some_and(serde_json::Value::is_object));
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "a line is one line");
    let mut table = Vec::new();
    csv::write_head(schema, &mut table).expect("memory takes it");
    csv::write(&row, &mut table).expect("memory takes it");
    assert!(table.ends_with(b"\r\n") || table.ends_with(b"\n"));
}

/// What a type's own decoder makes of a body is encoded, decoded and encoded to the same bytes.
fn by_type(kind: u16, body: &[u8]) {
    fn again<B: Body>(body: &[u8]) {
        let once = B::decode(body).to_bytes();
        assert!(B::decode(&once).to_bytes() == once, "{} changes on the way", B::SCHEMA.name);
        // A whole body is read back by its schema, field by field.
        let absent = B::SCHEMA.values(&once).contains(&groundcrew_recorder::body::Value::Absent);
        assert!(!absent, "{} is not as long as its schema says", B::SCHEMA.name);
    }
    macro_rules! choose {
        ($($name:ident),+) => {
            $(if types::$name::SCHEMA.kind == kind { again::<types::$name>(body); })+
        };
    }
    with_types!(choose);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    macro_rules! defaults {
        ($($name:ident),+) => { $(bodies.push(types::$name::default().to_bytes());)+ };
    }
    with_types!(defaults);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (place, (schema, body)) in (0_u16..).zip(all().iter().zip(&bodies)) {
        let place = place.to_le_bytes();
        seeds.push([&[0], place.as_slice(), body].concat());
        let text = schema.fields_text();
        let len = u16::try_from(text.len()).unwrap_or(0).to_le_bytes();
        seeds.push([&[1, 1, 0x80], len.as_slice(), text.as_bytes(), body].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_decoded_by_its_own_decoder() {
        let mut named = Vec::new();
        macro_rules! kinds {
            ($($name:ident),+) => { $(named.push(types::$name::SCHEMA.kind);)+ };
        }
        with_types!(kinds);
        let mut kinds: Vec<u16> = all().iter().map(|schema| schema.kind).collect();
        named.sort_unstable();
        kinds.sort_unstable();
        assert_eq!(named, kinds);
    }
}
