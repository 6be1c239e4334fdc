//! A day at 5,000 records per second in accelerated time: memory stays flat, losses are counted.
//!
//! Ring, writer, segments and evictions are the real ones; only the clock is not, and the files lie
//! in memory, because a day has 864,000 syncs. Twelve times an hour nobody takes from the ring for
//! five seconds, so that it has to refuse.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::ring::heap::{self, Heap};
use groundcrew_recorder::ring::{Consumer, Item};
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use super::{Amount, BODY, KIND, writer};
use crate::Result;
use crate::bench::{Figure, Options};

/// Records of a second.
const PER_SECOND: u64 = 5_000;
/// Between two looks at the ring, nanoseconds and records.
const STEP_NS: u64 = 100_000_000;
const PER_STEP: u64 = PER_SECOND / 10;
/// Every so many steps nobody takes anything for some steps: twelve times an hour for five seconds.
const PAUSE_EVERY: u64 = 3000;
const PAUSE: u64 = 50;
/// Bytes of the ring and of the flight, which both have to be reached.
const RING_BYTES: usize = 1 << 20;
const FLIGHT_BYTES: u64 = 512 << 20;
/// Samples of the resident memory.
const SAMPLES: u64 = 48;
/// The only source.
const SOURCE: u16 = 1;

pub(super) fn figures(options: &Options, amount: &Amount) -> Result<Vec<Figure>> {
    let place = super::enqueue::rings_dir(options)?;
    let dir = place.path().join("day");
    let policy = Policy { flight_bytes: FLIGHT_BYTES, ..Policy::default() };
    let mut writer = writer(&dir, policy)?;
    let (mut producer, mut consumer) = heap::ring(RING_BYTES, false);
    let steps = amount.seconds * 10;
    let (mut refused, mut given, mut resident) = (0, 0, Vec::new());
    let begun = Instant::now();
    for step in 1..=steps {
        let now = Moment { time_ns: step * STEP_NS, utc_ns: 0 };
        for _ in 0..PER_STEP {
            refused += u64::from(!producer.push(KIND, now.time_ns, &[0x5a; BODY]));
        }
        if step % PAUSE_EVERY >= PAUSE {
            given += take(&mut consumer, &mut writer, now)?;
        }
        if step % (steps / SAMPLES) == 0 {
            resident.push(resident_megabytes()?);
        }
    }
    let end = Moment { time_ns: (steps + 1) * STEP_NS, utc_ns: 0 };
    given += take(&mut consumer, &mut writer, end)?;
    let (footer, durable) = writer.finish("bench", end);
    let rate = f64::from(u32::try_from(given / 1000)?) / 1e3 / begun.elapsed().as_secs_f64();
    ensure!(durable && refused > 0, "nothing was refused, or not all is durable");
    let report = verify(&Flight::open(Disk::new(&dir))?, |_| {});
    ensure!(!report.damaged() && report.dropped > 0, "{report:?}");
    let kept = footer.records_written.saturating_sub(footer.records_evicted);
    ensure!(report.records == kept, "{kept} records in {report:?}");
    fs::remove_dir_all(&dir)?;
    // The first quarter fills buffers that it has from then on.
    let quarter = resident.len() / 4;
    let most = |from: usize| resident.iter().skip(from).take(quarter).copied().fold(0.0, f64::max);
    let grown = most(3 * quarter) - most(quarter);
    let silent = producer.made() - given - footer.records_dropped_overrun;
    ensure!(footer.records_dropped_overrun == refused, "{refused} were refused: {footer:?}");
    let hours =
        format!("{:.1} h at 5,000 records/s", f64::from(u32::try_from(amount.seconds)?) / 3600.0);
    let made = f64::from(u32::try_from(producer.made() / 1000)?) / 1e3;
    Ok(vec![
        Figure::new(format!("{hours}, accelerated: records made"), made, "M"),
        Figure::new("… written", rate, "M/s"),
        Figure::new("… resident memory", most(3 * quarter), "MB"),
        Figure::new("… grown from the second quarter to the last", grown, "MB").at_most(1.0),
        Figure::new("… lost at the ring and told", thousands(refused)?, "k"),
        Figure::new("… lost and not told", thousands(silent)?, "k").at_most(0.0),
    ])
}

fn thousands(records: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(records).context("fewer records")?) / 1e3)
}

/// Takes all that is published, as the recorder's thread does.
fn take(consumer: &mut Consumer<Heap>, writer: &mut Writer<Disk>, now: Moment) -> Result<u64> {
    let mut damage = None;
    let drained = consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => {
            let (source, time_ns, source_seq) = (SOURCE, record.time_ns, record.number);
            let entry = Entry { kind: record.kind, source, time_ns, source_seq, body: record.body };
            writer.append(entry, now);
        }
        Item::Damage(found) => damage = Some(found),
    });
    ensure!(damage.is_none(), "the ring is damaged: {damage:?}");
    writer.missed(SOURCE, drained.settled, now);
    writer.tick(now);
    consumer.release()?;
    Ok(drained.records)
}

/// Memory of this process that is resident, megabytes.
fn resident_megabytes() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: u32 = kilobytes.context("the kernel does not say")?.parse()?;
    Ok(f64::from(kilobytes) / 1024.0)
}
