//! Others that keep records, doing what the recorder does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use groundcrew_recorder::writer::Policy;
use mcap::records::MessageHeader;
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use mcap::sans_io::summary_reader::{SummaryReadEvent, SummaryReader};

use super::{BODY, BUFFER};
use crate::Result;

/// Bytes that a message has in an MCAP file: its own and those around it.
const MESSAGE: u64 = 31 + 128;
/// Bytes of a chunk.
const CHUNK: u64 = 1 << 20;

/// A file that is synced as the recorder's are.
struct Synced {
    file: File,
    policy: Policy,
    unsynced: u64,
    since: Instant,
}

impl Write for Synced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += u64::try_from(written).unwrap_or(u64::MAX);
        let waits = self.since.elapsed() >= Duration::from_nanos(self.policy.sync_after_ns);
        if waits || self.unsynced >= self.policy.sync_bytes {
            self.file.sync_data()?;
            (self.unsynced, self.since) = (0, Instant::now());
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Synced {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes records into an MCAP file of chunks that are not compressed.
pub(super) fn chunked(dir: &Path, records: u64) -> Result<()> {
    write(&dir.join("flight.mcap"), records, true, Policy::default())
}

/// Writes records into an MCAP file without chunks.
pub(super) fn unchunked(dir: &Path, records: u64) -> Result<()> {
    write(&dir.join("flight.mcap"), records, false, Policy::default())
}

/// A file of so many bytes; how many they are.
pub(super) fn long_file(path: &Path, bytes: u64) -> Result<u64> {
    let policy = Policy { sync_after_ns: u64::MAX, sync_bytes: 64 << 20, ..Policy::default() };
    write(path, bytes / MESSAGE, true, policy)?;
    Ok(path.metadata()?.len())
}

fn write(path: &Path, records: u64, chunks: bool, policy: Policy) -> Result<()> {
    let file = Synced { file: File::create(path)?, policy, unsynced: 0, since: Instant::now() };
    let options = mcap::WriteOptions::new();
    let options = options.compression(None).use_chunks(chunks).chunk_size(Some(CHUNK));
    let mut writer = options.create(BufWriter::with_capacity(BUFFER, file))?;
    let channel_id = writer.add_channel(0, "/bench", "", &BTreeMap::new())?;
    let (body, begun) = ([0x5a; BODY], Instant::now());
    for sequence in 0..u32::try_from(records).context("fewer records")? {
        // A producer's record has its time.
        let log_time = u64::try_from(begun.elapsed().as_nanos())?;
        let header = MessageHeader { channel_id, sequence, log_time, publish_time: log_time };
        writer.write_to_known_channel(&header, &body)?;
    }
    writer.finish()?;
    let file = writer.into_inner().into_inner().map_err(|error| error.into_error())?;
    file.file.sync_all()?;
    Ok(())
}

/// Reads all of a file, with the checksums of its chunks.
pub(super) fn read(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let options = LinearReaderOptions::default().with_validate_chunk_crcs(true);
    let mut reader = LinearReader::new_with_options(options);
    let mut records = 0_u64;
    while let Some(event) = reader.next_event() {
        match event? {
            LinearReadEvent::ReadRequest(need) => {
                let arrived = file.read(reader.insert(need.max(BUFFER)))?;
                reader.notify_read(arrived);
            }
            LinearReadEvent::Record { .. } => records += 1,
        }
    }
    ensure!(records > 0, "there is no record");
    Ok(())
}

/// Reads the summary of a file.
pub(super) fn summary(path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut reader = SummaryReader::new();
    while let Some(event) = reader.next_event() {
        match event? {
            SummaryReadEvent::ReadRequest(need) => {
                let arrived = file.read(reader.insert(need))?;
                reader.notify_read(arrived);
            }
            SummaryReadEvent::SeekRequest(to) => reader.notify_seeked(file.seek(to)?),
        }
    }
    ensure!(reader.finish().is_some(), "there is no summary");
    Ok(())
}
