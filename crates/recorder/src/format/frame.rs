//! A record in its frame: 40 bytes of header, the body, and a CRC-32 over both.
//!
//! ```text
//! offset  size  field
//!      0     4  magic           47 46 44 52 ("GFDR")
//!      4     1  version         1
//!      5     1  flags           0; ignored on read
//!      6     2  type            what the body is
//!      8     2  source          who made the record
//!     10     2  reserved        0; ignored on read
//!     12     4  body length     at most 1 MiB
//!     16     8  time            nanoseconds of CLOCK_BOOTTIME at which the producer made it
//!     24     8  source's number 0, 1, 2 … of this source; a gap is a loss at the ring
//!     32     8  writer's number 0, 1, 2 … of this flight; a gap is a loss on the disk
//!     40     n  body
//!   40+n     4  CRC-32
//! ```
//!
//! The CRC is CRC-32/ISO-HDLC (the one of zlib: reflected 0xEDB88320, all ones in and out). It
//! begins with the segment's seed, so that what an older file left in the same blocks of the disk
//! is never taken for a record of this one.

use super::{u16_at, u32_at, u64_at};

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"GFDR";
/// The version of the frame; another one is damage.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEADER_LEN: usize = 40;
/// Bytes behind the body.
pub const CRC_LEN: usize = 4;
/// Bytes that a frame has beside its body.
pub const OVERHEAD: usize = HEADER_LEN + CRC_LEN;
/// The longest body. What claims to be longer is damage, so a reader never allocates on trust.
pub const BODY_MAX: usize = 1 << 20;

/// The fields of a frame's header that are not the same in every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the body is.
    pub kind: u16,
    /// Who made the record.
    pub source: u16,
    /// Nanoseconds of `CLOCK_BOOTTIME` at which the producer made it.
    pub time_ns: u64,
    /// The source's own number of it.
    pub source_seq: u64,
    /// The writer's number of it.
    pub seq: u64,
}

/// A record as it lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The header.
    pub head: Head,
    /// The body.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes that its frame takes.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        u64::try_from(self.body.len() + OVERHEAD).unwrap_or(u64::MAX)
    }
}

/// What stands at the beginning of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A whole record, whose frame takes `len` bytes.
    Record {
        /// The record.
        record: Record<'a>,
        /// Bytes that its frame takes.
        len: usize,
    },
    /// It may be a frame, but `need` bytes are needed to tell and there are fewer.
    More {
        /// Bytes that are needed from the beginning of the slice.
        need: usize,
    },
    /// It is no frame.
    Damage(Damage),
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Damage {
    /// The four bytes are not the magic.
    #[error("no frame begins here")]
    Magic,
    /// The frame has a version that this reader does not know.
    #[error("a frame of version {0}, this reader knows version {VERSION}")]
    Version(u8),
    /// The body would be longer than [`BODY_MAX`].
    #[error("a body of {0} bytes, the longest has {BODY_MAX}")]
    Length(u32),
    /// The check does not fit.
    #[error("a checksum of {found:08x}, expected {expected:08x}")]
    Checksum {
        /// What the bytes give.
        expected: u32,
        /// What the frame says.
        found: u32,
    },
    /// The file ends within a frame.
    #[error("the file ends within a frame")]
    CutShort,
    /// Nothing but zeros, as a file system leaves them where data never arrived.
    #[error("nothing but zeros")]
    Zeros,
}

/// Appends a record's frame to `to`; gives its length.
///
/// # Panics
///
/// With a body longer than [`BODY_MAX`], which every producer refuses before.
pub fn encode(record: &Record<'_>, seed: u32, to: &mut Vec<u8>) -> usize {
    assert!(record.body.len() <= BODY_MAX, "producers refuse longer bodies");
    let body_len = u32::try_from(record.body.len()).expect("BODY_MAX fits");
    let mut header = [0; HEADER_LEN];
    let mut rest = header.as_mut_slice();
    let Head { kind, source, time_ns, source_seq, seq } = record.head;
    let mut put = |bytes: &[u8]| {
        let (here, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        rest = behind;
    };
    put(&MAGIC);
    put(&[VERSION, 0]);
    put(&kind.to_le_bytes());
    put(&source.to_le_bytes());
    put(&[0, 0]);
    put(&body_len.to_le_bytes());
    put(&time_ns.to_le_bytes());
    put(&source_seq.to_le_bytes());
    put(&seq.to_le_bytes());
    let start = to.len();
    to.extend_from_slice(&header);
    to.extend_from_slice(record.body);
    let crc = checksum(seed, to.get(start..).unwrap_or_default());
    to.extend_from_slice(&crc.to_le_bytes());
    to.len() - start
}

/// CRC-32 over `bytes`, beginning with `seed`.
#[must_use]
pub fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// What stands at the beginning of `from`.
#[must_use]
pub fn decode(from: &[u8], seed: u32) -> Step<'_> {
    // Most of what is ever looked at is a whole frame of some hundred bytes, so what is compared
    // and taken out of it has a length that the compiler knows.
    let Some(header) = from.first_chunk::<HEADER_LEN>() else {
        let known = from.len().min(MAGIC.len());
        let may_begin = from.get(..known) == MAGIC.get(..known);
        let more = Step::More { need: HEADER_LEN };
        return if may_begin { more } else { Step::Damage(Damage::Magic) };
    };
    if !header.starts_with(&MAGIC) {
        return Step::Damage(Damage::Magic);
    }
    let [_, _, _, _, version, ..] = *header;
    if version != VERSION {
        return Step::Damage(Damage::Version(version));
    }
    let said = u32_at(header, 12).expect("within the header");
    let body_len = usize::try_from(said).unwrap_or(usize::MAX);
    if body_len > BODY_MAX {
        return Step::Damage(Damage::Length(said));
    }
    let len = body_len + OVERHEAD;
    let parted = from.get(..len).and_then(|frame| frame.split_last_chunk());
    let Some((checked, crc)) = parted else { return Step::More { need: len } };
    let (expected, found) = (checksum(seed, checked), u32::from_le_bytes(*crc));
    if expected != found {
        return Step::Damage(Damage::Checksum { expected, found });
    }
    let body = checked.get(HEADER_LEN..).unwrap_or_default();
    Step::Record { record: Record { head: head(header), body }, len }
}

fn head(header: &[u8; HEADER_LEN]) -> Head {
    let inside = "within the header";
    Head {
        kind: u16_at(header, 6).expect(inside),
        source: u16_at(header, 8).expect(inside),
        time_ns: u64_at(header, 16).expect(inside),
        source_seq: u64_at(header, 24).expect(inside),
        seq: u64_at(header, 32).expect(inside),
    }
}

/// The record in a frame that was already found whole; `None`: there are too few bytes for one.
pub(crate) fn parts(frame: &[u8]) -> Option<Record<'_>> {
    let body = frame.get(HEADER_LEN..frame.len().checked_sub(CRC_LEN)?)?;
    Some(Record { head: head(frame.first_chunk()?), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head =
        Head { kind: 0x8001, source: 3, time_ns: 1_000_000_007, source_seq: 41, seq: 42 };

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&Record { head: HEAD, body: b"hello" }, 7, &mut bytes);
        bytes
    }

    #[test]
    fn rec_2_a_record_comes_back_as_it_went_in() {
        let bytes = sample();
        let record = Record { head: HEAD, body: b"hello" };
        assert_eq!(decode(&bytes, 7), Step::Record { record, len: bytes.len() });
    }

    #[test]
    fn a_frame_of_another_segment_is_no_frame_here() {
        assert!(matches!(decode(&sample(), 8), Step::Damage(Damage::Checksum { .. })));
    }

    #[test]
    fn every_cut_asks_for_more_and_no_cut_is_a_record() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            let Step::More { need } = decode(&bytes[..cut], 7) else { panic!("cut at {cut}") };
            assert!(need > cut, "cut at {cut} asks for {need}");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = sample();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&damaged, 7), Step::Record { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_body_longer_than_the_longest_is_damage_before_it_is_read() {
        let mut bytes = sample();
        bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&bytes, 7), Step::Damage(Damage::Length(u32::MAX)));
    }

    #[test]
    fn the_check_is_the_one_that_everybody_has() {
        assert_eq!(checksum(0, b"123456789"), 0xcbf4_3926);
    }
}
