//! How fast a recording is read: verified as a whole, summarised by its indexes, recovered.

use std::fs::{self, File};
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use groundcrew_recorder::reader::flight::{Event, Flight};
use groundcrew_recorder::reader::verify::verify;
use groundcrew_recorder::recover::recover;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Moment, Policy};

use super::{Amount, BUFFER, FRAME, moment, write};
use crate::Result;
use crate::bench::{Figure, LIMIT, Options, median};

pub(super) fn figures(options: &Options, amount: &Amount) -> Result<Vec<Figure>> {
    let mut figures = vec![reading(&options.dir, amount)?];
    // One after the other: two long files may be more than there is room for.
    #[cfg(feature = "peers")]
    let theirs = mcap_summary(&options.dir.join("long.mcap"), amount)?;
    let dir = options.dir.join("long");
    long_flight(&dir, amount.flight_bytes)?;
    let figure = summary(&dir, amount)?;
    #[cfg(feature = "peers")]
    let figure = figure.beside("mcap, its summary", theirs);
    figures.push(figure);
    figures.push(recovery(&dir, amount)?);
    fs::remove_dir_all(&dir)?;
    Ok(figures)
}

/// A flight of so many bytes that nobody ended.
fn long_flight(dir: &Path, bytes: u64) -> Result<()> {
    let policy = Policy { sync_after_ns: u64::MAX, sync_bytes: 64 << 20, ..Policy::default() };
    let records = bytes / u64::try_from(FRAME)?;
    let mut writer = write(dir, policy, |given| given < records)?;
    writer.sync(moment(Duration::from_secs(3600)));
    Ok(())
}

fn reading(dir: &Path, amount: &Amount) -> Result<Figure> {
    let flight = dir.join("warm");
    long_flight(&flight, amount.warm_bytes)?;
    #[cfg(feature = "peers")]
    let file = dir.join("warm.mcap");
    #[cfg(feature = "peers")]
    let theirs_bytes = super::peers::long_file(&file, amount.warm_bytes)?;
    // Warm: what one round read, the next finds in memory.
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    #[cfg(feature = "peers")]
    let mut theirs = Vec::new();
    for _ in 0..amount.rounds {
        bare.push(speed(amount.warm_bytes, || bare_read(&flight))?);
        ours.push(speed(amount.warm_bytes, || {
            let report = verify(&Flight::open(Disk::new(&flight))?, |_| {});
            ensure!(!report.damaged(), "the flight is damaged: {report:?}");
            Ok(())
        })?);
        #[cfg(feature = "peers")]
        theirs.push(speed(theirs_bytes, || super::peers::read(&file))?);
    }
    fs::remove_dir_all(flight)?;
    let figure = Figure::new("full verify of a recording", median(ours), "GB/s");
    let figure = figure.beside(LIMIT, median(bare)).ratio_at_least(0.8);
    #[cfg(feature = "peers")]
    let figure = {
        fs::remove_file(file)?;
        figure.beside("mcap, chunks read with their checksums", median(theirs))
    };
    Ok(figure)
}

/// Gigabytes per second.
fn speed(bytes: u64, run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    run()?;
    let kilobytes = u32::try_from(bytes / 1000).context("fewer bytes")?;
    Ok(f64::from(kilobytes) / 1e6 / begun.elapsed().as_secs_f64())
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
            for frame in buffer.get(..arrived).unwrap_or_default().chunks(FRAME) {
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

/// Milliseconds that the summary of a file of the same size takes.
#[cfg(feature = "peers")]
fn mcap_summary(file: &Path, amount: &Amount) -> Result<f64> {
    super::peers::long_file(file, amount.flight_bytes)?;
    let took = |_| {
        let begun = Instant::now();
        super::peers::summary(file)?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    let took: Vec<f64> = (0..amount.rounds).map(took).collect::<Result<_>>()?;
    fs::remove_file(file)?;
    Ok(median(took))
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
