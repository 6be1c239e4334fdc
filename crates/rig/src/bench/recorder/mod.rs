//! Figures of the flight recorder, beside a bare loop over the same bytes and beside SQLite.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::frame::{Head, Record, encode};
use groundcrew_recorder::reader::flight::{Event, Flight};
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recover::recover;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Entry, Moment, Policy, Writer};

use super::{Figure, LIMIT, Options, median};
use crate::Result;

/// Bytes of the body of each record.
const BODY: usize = 128;
/// What the bare loop hands to the file at once, as the writer does.
const BUFFER: usize = 256 << 10;
/// A user's type.
const KIND: u16 = 0x8001;

/// How much is written and read.
struct Amount {
    rounds: u32,
    /// Records of one round of writing.
    records: u64,
    /// Bytes of the long flight.
    flight_bytes: u64,
}

/// All figures of `bench recorder`.
pub(super) fn figures(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Vec<Figure>> {
    let amount = if options.quick {
        Amount { rounds: 3, records: 500_000, flight_bytes: 1 << 30 }
    } else {
        Amount { rounds: 5, records: 4_000_000, flight_bytes: 10 << 30 }
    };
    say("sustained write …");
    let mut figures = vec![sustained(options, &amount)?];
    say(&format!("a flight of {} GiB …", amount.flight_bytes >> 30));
    let dir = options.dir.join("long");
    long_flight(&dir, amount.flight_bytes)?;
    figures.push(reading(&dir, &amount)?);
    figures.push(summary(&dir, &amount)?);
    figures.push(recovery(&dir, &amount)?);
    fs::remove_dir_all(&dir)?;
    Ok(figures)
}

/// Writes records for as long as it is told to; gives the writer back.
fn write(dir: &Path, policy: Policy, mut more: impl FnMut(u64) -> bool) -> Result<Writer<Disk>> {
    fs::create_dir_all(dir)?;
    let begun = Instant::now();
    let flight = FlightId::new(1, [1; 10]);
    let mut writer = Writer::new(Disk::new(dir), flight, [1; 16], policy);
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

fn sustained(options: &Options, amount: &Amount) -> Result<Figure> {
    let (mut ours, mut bare, mut sqlite) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..amount.rounds {
        bare.push(rate(&options.dir, amount.records, bare_loop)?);
        ours.push(rate(&options.dir, amount.records, |dir, records| {
            let mut writer = write(dir, Policy::default(), |given| given < records)?;
            let (_, durable) = writer.finish("bench", moment(Duration::from_secs(3600)));
            ensure!(durable, "the flight is not durable");
            Ok(())
        })?);
        sqlite.push(rate(&options.dir, amount.records / 10, with_sqlite)?);
    }
    let figure = Figure::new("sustained write of 128 B records, 100 ms", median(ours), "M/s");
    let figure = figure.beside(LIMIT, median(bare)).beside("SQLite, WAL, 100 ms", median(sqlite));
    Ok(figure.ratio_at_least(0.95))
}

/// Millions of records per second.
fn rate(dir: &Path, records: u64, run: impl FnOnce(&Path, u64) -> Result<()>) -> Result<f64> {
    let dir = dir.join("rate");
    fs::create_dir_all(&dir)?;
    let begun = Instant::now();
    run(&dir, records)?;
    let took = begun.elapsed().as_secs_f64();
    fs::remove_dir_all(&dir)?;
    let records = u32::try_from(records).context("fewer records")?;
    Ok(f64::from(records) / 1e6 / took)
}

/// The same bytes with the same syncs and checksums, and nothing else.
fn bare_loop(dir: &Path, records: u64) -> Result<()> {
    let policy = Policy::default();
    let body = [0x5a; BODY];
    let (mut number, mut seq) = (0, 0);
    while seq < records {
        let mut file = File::create(dir.join(format!("{number}.tmp")))?;
        let (mut buffer, mut written, mut unsynced) = (Vec::with_capacity(2 * BUFFER), 0, 0);
        let mut synced = Instant::now();
        while seq < records && written < policy.segment_bytes {
            let head = Head { kind: KIND, source: 1, time_ns: seq, source_seq: seq, seq };
            encode(&Record { head, body: &body }, 1, &mut buffer);
            seq += 1;
            // A producer's record has its time.
            std::hint::black_box(Instant::now());
            if buffer.len() >= BUFFER {
                file.write_all(&buffer)?;
                let bytes = u64::try_from(buffer.len())?;
                (written, unsynced) = (written + bytes, unsynced + bytes);
                buffer.clear();
            }
            let due = unsynced >= policy.sync_bytes;
            if due || u128::from(policy.sync_after_ns) <= synced.elapsed().as_nanos() {
                file.sync_data()?;
                (unsynced, synced) = (0, Instant::now());
            }
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        rustix::fs::rename(dir.join(format!("{number}.tmp")), dir.join(format!("{number}.bin")))?;
        File::open(dir)?.sync_all()?;
        number += 1;
    }
    Ok(())
}

fn with_sqlite(dir: &Path, records: u64) -> Result<()> {
    let mut db = rusqlite::Connection::open(dir.join("flight.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE records (seq INTEGER PRIMARY KEY, kind INTEGER, source INTEGER,
                               time INTEGER, body BLOB) STRICT;",
    )?;
    let body = [0x5a_u8; BODY];
    let mut seq = 0;
    while seq < records {
        let begun = Instant::now();
        let tx = db.transaction()?;
        {
            let mut insert = tx.prepare("INSERT INTO records VALUES (?1, 1, 1, ?1, ?2)")?;
            while seq < records && begun.elapsed() < Duration::from_millis(100) {
                insert.execute((seq.cast_signed(), body))?;
                seq += 1;
            }
        }
        tx.commit()?;
    }
    Ok(())
}

/// A flight of so many bytes that nobody ended.
fn long_flight(dir: &Path, bytes: u64) -> Result<()> {
    let policy = Policy { sync_after_ns: u64::MAX, sync_bytes: 64 << 20, ..Policy::default() };
    let records = bytes / u64::try_from(BODY + 44)?;
    let mut writer = write(dir, policy, |given| given < records)?;
    writer.sync(moment(Duration::from_secs(3600)));
    Ok(())
}

fn reading(dir: &Path, amount: &Amount) -> Result<Figure> {
    let gigabytes = f64::from(u32::try_from(amount.flight_bytes >> 20)?) / 1024.0 * 1.073_741_824;
    // Warm: what one round read, the next finds in memory.
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..amount.rounds {
        let begun = Instant::now();
        bare_read(dir)?;
        bare.push(gigabytes / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let flight = Flight::open(Disk::new(dir))?;
        let report = verify(&flight, |_| {});
        ensure!(!report.damaged(), "the flight is damaged: {report:?}");
        ours.push(gigabytes / begun.elapsed().as_secs_f64());
    }
    let figure = Figure::new("full verify of a recording", median(ours), "GB/s");
    Ok(figure.beside(LIMIT, median(bare)).ratio_at_least(0.8))
}

/// Reads and sums each record's bytes, and nothing else.
fn bare_read(dir: &Path) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    for entry in fs::read_dir(dir)? {
        let mut file = File::open(entry?.path())?;
        loop {
            let arrived = file.read(&mut buffer)?;
            if arrived == 0 {
                break;
            }
            for frame in buffer.get(..arrived).unwrap_or_default().chunks(BODY + 44) {
                std::hint::black_box(crc32fast::hash(frame));
            }
        }
    }
    Ok(())
}

fn summary(dir: &Path, amount: &Amount) -> Result<Figure> {
    let mut ours = Vec::new();
    // The last segment has no index before it was recovered.
    recover(&mut Disk::new(dir), Moment::default())?;
    for _ in 0..amount.rounds {
        let begun = Instant::now();
        let flight = Flight::open(Disk::new(dir))?;
        let records: u64 = flight.indexes()?.iter().map(|index| index.records()).sum();
        ensure!(records > 0, "there is no record");
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let name = format!("open and summarise a flight of {} GiB", amount.flight_bytes >> 30);
    Ok(Figure::new(name, median(ours), "ms").at_most(100.0))
}

fn recovery(dir: &Path, amount: &Amount) -> Result<Figure> {
    let mut ours = Vec::new();
    for _ in 0..amount.rounds {
        break_last(dir)?;
        let begun = Instant::now();
        let recovered = recover(&mut Disk::new(dir), Moment::default())?;
        ours.push(begun.elapsed().as_secs_f64());
        ensure!(recovered.footer, "there was nothing to recover");
    }
    let name = format!("recovery of a flight of {} GiB", amount.flight_bytes >> 30);
    Ok(Figure::new(name, median(ours), "s").at_most(1.0))
}

/// Leaves the last segment as a crash would: without its end, and with a torn record.
fn break_last(dir: &Path) -> Result<()> {
    let flight = Flight::open(Disk::new(dir))?;
    let last = flight.segments().last().context("there is a segment")?.clone();
    let mut footer_at = None;
    flight.walk(|event| {
        if let Event::Record(at, record) = event
            && record.head.kind == 0x0011
        {
            footer_at = Some(at);
        }
        ControlFlow::Continue(())
    });
    let path = dir.join(&last.entry.name);
    let file = fs::OpenOptions::new().write(true).open(&path)?;
    file.set_len(footer_at.context("it was ended before")?)?;
    let open = groundcrew_recorder::names::Name::Open(last.name.number());
    rustix::fs::rename(&path, dir.join(open.to_string()))?;
    Ok(())
}
