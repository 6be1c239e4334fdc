//! How many records per second are written, with nothing more than 200 ms old at risk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use groundcrew_recorder::format::frame::{Head, Record, encode};
use groundcrew_recorder::writer::Policy;

use super::{Amount, BODY, BUFFER, KIND, moment, write};
use crate::Result;
use crate::bench::{Figure, LIMIT, Options, median};

pub(super) fn figures(options: &Options, amount: &Amount) -> Result<Vec<Figure>> {
    type Run = fn(&Path, u64) -> Result<()>;
    let peers: Vec<(&str, u64, Run)> =
        vec![(LIMIT, 1, bare_loop), ("SQLite, WAL, 100 ms", 10, with_sqlite)];
    #[cfg(feature = "peers")]
    let peers = {
        let (chunks, none): (Run, Run) = (super::peers::chunked, super::peers::unchunked);
        [peers, vec![("mcap, chunks", 1, chunks), ("mcap, no chunks", 1, none)]].concat()
    };
    let mut ours = Vec::new();
    let mut theirs: Vec<Vec<f64>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..amount.rounds {
        for ((_, fewer, run), rates) in peers.iter().zip(&mut theirs) {
            rates.push(rate(&options.dir, amount.records / fewer, run)?);
        }
        ours.push(rate(&options.dir, amount.records, with_recorder)?);
    }
    let mut figure = Figure::new("sustained write of 128 B records, 100 ms", median(ours), "M/s");
    for ((name, ..), rates) in peers.iter().zip(theirs) {
        figure = figure.beside(name, median(rates));
    }
    Ok(vec![figure.ratio_at_least(0.95)])
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

fn with_recorder(dir: &Path, records: u64) -> Result<()> {
    let mut writer = write(dir, Policy::default(), |given| given < records)?;
    let (_, durable) = writer.finish("bench", moment(Duration::from_secs(3600)));
    ensure!(durable, "the flight is not durable");
    Ok(())
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
