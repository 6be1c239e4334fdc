//! Figures of the flight recorder, beside bare loops over the same bytes and beside others that
//! keep records.
//!
//! The others come with the feature `peers`, so that nobody else has to build them.

mod day;
mod enqueue;
#[cfg(feature = "peers")]
mod peers;
mod read;
mod stop;
mod sustained;

use std::path::Path;
use std::time::{Duration, Instant};

use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use super::{Figure, Options};
use crate::Result;

pub use enqueue::push_and_end;

/// Bytes of the body of each record.
const BODY: usize = 128;
/// Bytes that a record has in a segment.
const FRAME: usize = BODY + 44;
/// What the bare loop hands to the file at once, as the writer does.
const BUFFER: usize = 256 << 10;
/// A user's type.
const KIND: u16 = 0x8001;

/// How much is written and read.
struct Amount {
    rounds: u32,
    /// Records of one round of writing.
    records: u64,
    /// Records of one round of enqueuing.
    pushes: u32,
    /// Bytes of the flight that is read as a whole, which memory keeps.
    warm_bytes: u64,
    /// Bytes of the long flight.
    flight_bytes: u64,
    /// Seconds that are recorded in accelerated time.
    seconds: u64,
}

const WHOLE: Amount = Amount {
    rounds: 5,
    records: 4_000_000,
    pushes: 200_000,
    warm_bytes: 2 << 30,
    flight_bytes: 10 << 30,
    seconds: 24 * 3600,
};

const QUICK: Amount = Amount {
    rounds: 3,
    records: 500_000,
    pushes: 50_000,
    warm_bytes: 1 << 30,
    flight_bytes: 1 << 30,
    seconds: 1800,
};

/// All figures of `bench recorder`, or those of one part.
pub(super) fn figures(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Vec<Figure>> {
    type Part = fn(&Options, &Amount) -> Result<Vec<Figure>>;
    let parts: [(&str, Part); 5] = [
        ("enqueue", enqueue::figures),
        ("sustained", sustained::figures),
        ("read", read::figures),
        ("stop", stop::figures),
        ("day", day::figures),
    ];
    let amount = if options.quick { QUICK } else { WHOLE };
    let mut figures = Vec::new();
    for (name, measure) in parts {
        if options.only.as_deref().is_none_or(|only| only == name) {
            say(&format!("{name} …"));
            figures.extend(measure(options, &amount)?);
        }
    }
    Ok(figures)
}

/// A writer of a new flight.
fn writer(dir: &Path, policy: Policy) -> Result<Writer<Disk>> {
    std::fs::create_dir_all(dir)?;
    Ok(Writer::new(Disk::new(dir), FlightId::new(1, [1; 10]), [1; 16], policy))
}

/// Writes records for as long as it is told to; gives the writer back.
fn write(dir: &Path, policy: Policy, mut more: impl FnMut(u64) -> bool) -> Result<Writer<Disk>> {
    let mut writer = writer(dir, policy)?;
    let begun = Instant::now();
    let body = [0x5a; BODY];
    let mut source_seq = 0;
    while more(source_seq) {
        let now = moment(begun.elapsed());
        let entry = Entry { kind: KIND, source: 1, time_ns: now.time_ns, source_seq, body: &body };
        writer.append(entry, now);
        source_seq += 1;
        if source_seq.is_multiple_of(256) {
            writer.tick(now);
        }
    }
    Ok(writer)
}

fn moment(since: Duration) -> Moment {
    let time_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    Moment { time_ns, utc_ns: 0 }
}
