//! Puts checksums right where bytes look as if they were meant to have one.
//!
//! Written from `docs/internals/recorder-format.md`, and on purpose not with the code that it helps
//! to test.

/// Bytes of a segment's header.
const HEADER: usize = 96;
/// Bytes of a frame's header.
const FRAME_HEADER: usize = 40;
/// Bytes of a trailer.
const TRAILER: usize = 32;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Writes the checksum of all but the last four of `bytes` there.
fn seal(bytes: &mut [u8], seed: u32) {
    if let Some((checked, last)) = bytes.split_last_chunk_mut::<4>() {
        *last = crc(seed, checked).to_le_bytes();
    }
}

/// The segment's seed, from its header.
#[must_use]
pub fn seed(file: &[u8]) -> u32 {
    let part = |at: usize, len: usize| file.get(at..at + len).unwrap_or_default();
    crc(crc(0, part(24, 16)), part(56, 4))
}

/// Puts the checksums of a segment right: header, frames, trailer.
pub fn segment(file: &mut [u8]) {
    if let Some(header) = file.get_mut(..HEADER)
        && header.starts_with(b"GFDRSEG\0")
    {
        seal(header, 0);
    }
    let seed = seed(file);
    frames(file.get_mut(HEADER..).unwrap_or_default(), seed);
}

/// Puts the checksums of frames and trailers right.
pub fn frames(mut bytes: &mut [u8], seed: u32) {
    while !bytes.is_empty() {
        let len = frame_len(bytes).unwrap_or(1);
        let (one, rest) = bytes.split_at_mut(len.min(bytes.len()));
        if len > 1 {
            seal(one, seed);
        }
        bytes = rest;
    }
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"GFDREND\0") {
        return (bytes.len() >= TRAILER).then_some(TRAILER);
    }
    let begins = bytes.starts_with(b"GFDR\x01");
    let body = usize::try_from(u32_at(bytes, 12)?).ok()?;
    let len = body.checked_add(FRAME_HEADER + 4)?;
    (begins && len <= bytes.len()).then_some(len)
}

/// Makes the trailer say how long the file is, and where its index stands.
pub fn trailer(file: &mut [u8]) {
    let len = u64::try_from(file.len()).unwrap_or(u64::MAX);
    let Some(at) = file.len().checked_sub(TRAILER) else { return };
    let index = b"GFDR\x01\x00\xf0\x00";
    let index_at = file.windows(index.len()).rposition(|bytes| bytes == index);
    let Some(index_at) = index_at.and_then(|at| u64::try_from(at).ok()) else { return };
    let seed = seed(file);
    let Some(trailer) = file.get_mut(at..).filter(|end| end.starts_with(b"GFDREND\0")) else {
        return;
    };
    let said = [index_at.to_le_bytes(), len.to_le_bytes()].concat();
    trailer.iter_mut().skip(8).zip(said).for_each(|(to, from)| *to = from);
    seal(trailer, seed);
}

/// Puts the checksum of a ring's header right.
pub fn ring(file: &mut [u8]) {
    if let Some(header) = file.get_mut(..28) {
        seal(header, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_is_whole_stays_and_a_wrong_checksum_becomes_right() {
        for file in sample::segments() {
            let mut mended = file.clone();
            segment(&mut mended);
            trailer(&mut mended);
            assert_eq!(mended, file);
            mended[92] ^= 1;
            mended[HEADER + FRAME_HEADER] ^= 1;
            segment(&mut mended);
            assert_eq!(mended[..HEADER], file[..HEADER]);
            assert_ne!(mended, file, "the body is another one");
            mended[HEADER + FRAME_HEADER] ^= 1;
            segment(&mut mended);
            assert_eq!(mended, file);
        }
    }
}
