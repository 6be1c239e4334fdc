//! Recordings as the product makes them, small: what seeds are made of.

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::{LogLine, MetricSample, SourceAttached, TypeSchema};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use crate::memory::{Files, Memory};

const SECOND_NS: u64 = 1_000_000_000;

fn moment(records: u64) -> Moment {
    Moment { time_ns: SECOND_NS + records * 40_000_000, utc_ns: 1_700_000_000_000_000_000 }
}

/// A flight of a few segments; `whole`: its recorder ended it.
pub(crate) fn flight(whole: bool) -> Files {
    let memory = Memory::default();
    let policy = Policy { segment_bytes: 900, flight_bytes: 1 << 20, ..Policy::default() };
    let flight = FlightId::new(1_700_000_000_000, [9; 10]);
    let mut writer = Writer::new(memory.clone(), flight, [5; 16], policy);
    let name = "nav".to_owned();
    writer.attach(SourceAttached { attached: 7, name, pid: 1, critical: false }, 0, moment(0));
    let described = TypeSchema {
        described: 0x8001,
        name: "Mine".to_owned(),
        fields: r#"[{"name":"a","kind":"u8"}]"#.to_owned(),
    };
    writer.describe(described, moment(0));
    for number in 0..12 {
        let now = moment(number);
        let line = LogLine { message: "hot".to_owned(), ..LogLine::default() };
        let metric = MetricSample { bounds: vec![1.0], counts: vec![2], ..MetricSample::default() };
        let (kind, body) = match number % 3 {
            0 => (LogLine::SCHEMA.kind, line.to_bytes()),
            1 => (MetricSample::SCHEMA.kind, metric.to_bytes()),
            _ => (0x8001, vec![1]),
        };
        // One number is missing, which is a loss that is announced.
        let source_seq = number + u64::from(number > 8);
        let entry = Entry { kind, source: 7, time_ns: now.time_ns, source_seq, body: &body };
        writer.append(entry, now);
        writer.missed(7, source_seq + 1, now);
        writer.tick(now);
    }
    if whole {
        writer.finish("seed", moment(20));
    } else {
        writer.sync(moment(20));
    }
    memory.files()
}

/// Segments: a first one that is sealed, and a last one with its footer, and one that is open.
pub(crate) fn segments() -> Vec<Vec<u8>> {
    let ends = |files: Files| {
        let mut files = files.into_values();
        [files.next(), files.next_back()]
    };
    let [first, last] = ends(flight(true));
    let [_, open] = ends(flight(false));
    [first, last, open].into_iter().flatten().collect()
}
