//! The content of one regular file: read once, hashed, and written on with its holes kept.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::durable::step;

/// How much is read at once: large enough for a disk, small enough to stop soon when asked.
const CHUNK_BYTES: usize = 256 * 1024;

/// Told after each chunk how many bytes of the file are done since the last call; holes count.
pub(super) type Advance<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Why a content could not be read or written on.
pub(super) enum Failure {
    /// The source.
    Read(io::Error),
    /// The copy.
    Write(io::Error),
    /// The source ended before its size.
    Short,
    /// `advance` said so.
    Stopped,
}

/// Hashes the `size` bytes of `from`; with `to`, a new and empty file, writes them there and leaves
/// holes where `from` has holes or space that was never written.
pub(super) fn copy_content(
    from: &File,
    to: Option<&File>,
    size: u64,
    advance: &mut Advance<'_>,
) -> Result<blake3::Hash, Failure> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < size {
        let (data, hole) = next_data(from, at, size).map_err(Failure::Read)?;
        hash_zeros(&mut hasher, at, data, advance)?;
        at = data;
        while at < hole {
            let want = usize::try_from(hole - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let chunk = buffer.get_mut(..want).expect("a chunk is at most the buffer");
            let count = read_at(from, chunk, at).map_err(Failure::Read)?;
            let chunk = chunk.get(..count).expect("a read fills at most the chunk");
            if chunk.is_empty() {
                return Err(Failure::Short);
            }
            hasher.update(chunk);
            if let Some(to) = to {
                write_at(to, chunk, at).map_err(Failure::Write)?;
            }
            at += u64::try_from(count).expect("a chunk length fits");
            report(advance, u64::try_from(count).expect("a chunk length fits"))?;
        }
    }
    if let Some(to) = to {
        let sized = step().and_then(|()| to.set_len(size));
        sized.map_err(Failure::Write)?;
    }
    Ok(hasher.finalize())
}

/// The next range of data at or after `at`, below `size`; empty at the end.
fn next_data(file: &File, at: u64, size: u64) -> io::Result<(u64, u64)> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.min(size),
        Err(Errno::NXIO) => return Ok((size, size)),
        // This file system does not tell: all of it is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at, size)),
        Err(error) => return Err(error.into()),
    };
    match rustix::fs::seek(file, SeekFrom::Hole(data)) {
        Ok(hole) => Ok((data, hole.min(size))),
        // It was cut short in between; the read will notice.
        Err(Errno::NXIO) => Ok((data, size)),
        Err(error) => Err(error.into()),
    }
}

fn hash_zeros(
    hasher: &mut blake3::Hasher,
    from: u64,
    to: u64,
    advance: &mut Advance<'_>,
) -> Result<(), Failure> {
    const ZEROS: &[u8; CHUNK_BYTES] = &[0; CHUNK_BYTES];
    let mut left = to - from;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        hasher.update(ZEROS.get(..count).expect("a chunk is at most the buffer"));
        let done = u64::try_from(count).expect("a chunk length fits");
        left -= done;
        report(advance, done)?;
    }
    Ok(())
}

fn report(advance: &mut Advance<'_>, bytes: u64) -> Result<(), Failure> {
    match advance(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Failure::Stopped),
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *buffer, at))?)
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    step()?;
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}
