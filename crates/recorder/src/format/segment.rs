//! The beginning and the end of a segment.
//!
//! ```text
//! header                                      trailer, the last 32 bytes of a sealed segment
//! offset  size  field                         offset  size  field
//!      0     8  magic "GFDRSEG\0"                  0     8  magic "GFDREND\0"
//!      8     2  major version                      8     8  offset of the index frame
//!     10     2  minor version                     16     8  length of the file
//!     12     4  length of the header              24     4  reserved, 0
//!     16     4  compatible features               28     4  CRC-32 of bytes 0 to 27,
//!     20     4  incompatible features                       begun with the seed
//!     24    16  flight id (UUID)
//!     40    16  boot id (UUID)
//!     56     4  segment number
//!     60     4  reserved, 0
//!     64     8  writer's number of the first record
//!     72     8  CLOCK_BOOTTIME at its opening, ns
//!     80     8  UTC at its opening, ns since 1970
//!     88     4  reserved, 0
//!     92     4  CRC-32 of bytes 0 to 91
//! ```
//!
//! A reader ignores compatible features that it does not know and refuses incompatible ones; the
//! header may grow, so frames begin where the header says that it ends.

use super::flight_id::FlightId;
use super::frame::checksum;
use super::{MAJOR, MINOR, bytes_at, u16_at, u32_at, u64_at};

/// The first bytes of every segment.
pub const MAGIC: [u8; 8] = *b"GFDRSEG\0";
/// The first bytes of every trailer.
pub const TRAILER_MAGIC: [u8; 8] = *b"GFDREND\0";
/// Length of the header as this version writes it.
pub const HEADER_LEN: usize = 96;
/// The longest header of a later version that is read.
pub const HEADER_MAX: usize = 4096;
/// Length of the trailer.
pub const TRAILER_LEN: usize = 32;

/// Who a segment belongs to, and when it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The flight.
    pub flight: FlightId,
    /// The boot in which it was written; times of two boots are not comparable.
    pub boot: [u8; 16],
    /// 0, 1, 2 … of the flight.
    pub number: u32,
    /// The writer's number of the first record.
    pub first_seq: u64,
    /// Nanoseconds of `CLOCK_BOOTTIME` at its opening.
    pub time_ns: u64,
    /// Nanoseconds since 1970, as far as the host knew.
    pub utc_ns: i64,
}

/// Why a file is no segment that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASegment {
    /// Fewer bytes than a header has.
    #[error("{0} bytes, a segment begins with a header of {HEADER_LEN}")]
    Short(usize),
    /// It does not begin like a segment.
    #[error("it does not begin like a segment of a flight")]
    Magic,
    /// It was written by a later or an unknown version.
    #[error("format {major}.{minor}, this reader knows {MAJOR}.x; read it with a newer version")]
    Version {
        /// Its major version.
        major: u16,
        /// Its minor version.
        minor: u16,
    },
    /// It uses a feature without which it cannot be read right.
    #[error(
        "it uses features {0:#010x} that this reader does not know; read it with a newer version"
    )]
    Features(u32),
    /// The header is damaged.
    #[error("its header is damaged: a checksum of {found:08x}, expected {expected:08x}")]
    Checksum {
        /// What the bytes give.
        expected: u32,
        /// What the header says.
        found: u32,
    },
}

impl Header {
    /// The bytes that a segment begins with.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&MAJOR.to_le_bytes());
        bytes.extend_from_slice(&MINOR.to_le_bytes());
        bytes.extend_from_slice(&96_u32.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(self.flight.as_bytes());
        bytes.extend_from_slice(&self.boot);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        bytes.extend_from_slice(&self.time_ns.to_le_bytes());
        bytes.extend_from_slice(&self.utc_ns.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&checksum(0, &bytes).to_le_bytes());
        bytes.try_into().expect("the fields above are 96 bytes")
    }

    /// The header at the beginning of `from`, and where the frames begin.
    ///
    /// # Errors
    ///
    /// What makes it no segment that this version can read.
    pub fn decode(from: &[u8]) -> Result<(Self, usize), NotASegment> {
        let known = from.len().min(MAGIC.len());
        if from.get(..known) != MAGIC.get(..known) {
            return Err(NotASegment::Magic);
        }
        let Some(fixed) = from.first_chunk::<HEADER_LEN>() else {
            return Err(NotASegment::Short(from.len()));
        };
        let inside = "within the header";
        let (major, minor) = (u16_at(fixed, 8).expect(inside), u16_at(fixed, 10).expect(inside));
        if major != MAJOR {
            return Err(NotASegment::Version { major, minor });
        }
        let (checked, crc) = fixed.split_last_chunk::<4>().expect(inside);
        let (expected, found) = (checksum(0, checked), u32::from_le_bytes(*crc));
        if expected != found {
            return Err(NotASegment::Checksum { expected, found });
        }
        let features = u32_at(fixed, 20).expect(inside);
        if features != 0 {
            return Err(NotASegment::Features(features));
        }
        let frames = usize::try_from(u32_at(fixed, 12).expect(inside)).unwrap_or(usize::MAX);
        if !(HEADER_LEN..=HEADER_MAX).contains(&frames) {
            return Err(NotASegment::Magic);
        }
        let header = Self {
            flight: FlightId::from_bytes(bytes_at(fixed, 24).expect(inside)),
            boot: bytes_at(fixed, 40).expect(inside),
            number: u32_at(fixed, 56).expect(inside),
            first_seq: u64_at(fixed, 64).expect(inside),
            time_ns: u64_at(fixed, 72).expect(inside),
            utc_ns: u64_at(fixed, 80).expect(inside).cast_signed(),
        };
        Ok((header, frames))
    }

    /// What the checksum of every frame of this segment begins with: the CRC-32 of the flight id
    /// and the segment's number.
    #[must_use]
    pub fn seed(&self) -> u32 {
        checksum(checksum(0, self.flight.as_bytes()), &self.number.to_le_bytes())
    }
}

/// Where a sealed segment has its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Offset of the index frame in the file.
    pub index_at: u64,
    /// Length of the file with the trailer.
    pub file_len: u64,
}

impl Trailer {
    /// Its length, bytes.
    pub const LEN: u64 = 32;

    /// The bytes that a sealed segment ends with.
    #[must_use]
    pub fn encode(&self, seed: u32) -> [u8; TRAILER_LEN] {
        let mut bytes = Vec::with_capacity(TRAILER_LEN);
        bytes.extend_from_slice(&TRAILER_MAGIC);
        bytes.extend_from_slice(&self.index_at.to_le_bytes());
        bytes.extend_from_slice(&self.file_len.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&checksum(seed, &bytes).to_le_bytes());
        bytes.try_into().expect("the fields above are 32 bytes")
    }

    /// The trailer in the last bytes of a file; `None`: there is none, the segment was not sealed.
    #[must_use]
    pub fn decode(from: &[u8], seed: u32) -> Option<Self> {
        let trailer = from.last_chunk::<TRAILER_LEN>()?;
        let (checked, crc) = trailer.split_last_chunk::<4>()?;
        let whole = checked.starts_with(&TRAILER_MAGIC)
            && checksum(seed, checked) == u32::from_le_bytes(*crc);
        let (index_at, file_len) = (u64_at(trailer, 8)?, u64_at(trailer, 16)?);
        whole.then_some(Self { index_at, file_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            flight: FlightId::new(1_700_000_000_000, [9; 10]),
            boot: [5; 16],
            number: 3,
            first_seq: 1000,
            time_ns: 77,
            utc_ns: -1,
        }
    }

    #[test]
    fn a_header_and_a_trailer_come_back_as_they_went_in() {
        let header = sample();
        assert_eq!(Header::decode(&header.encode()), Ok((header, HEADER_LEN)));
        let trailer = Trailer { index_at: 5, file_len: 6 };
        assert_eq!(Trailer::decode(&trailer.encode(1), 1), Some(trailer));
        assert_eq!(Trailer::decode(&trailer.encode(1), 2), None);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_of_a_header_is_refused() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..cut]), Err(NotASegment::Short(cut)));
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_recording_from_the_future_is_refused_by_its_version() {
        let mut bytes = sample().encode();
        bytes[8] = 2;
        let refused = Header::decode(&bytes).unwrap_err().to_string();
        assert_eq!(refused, "format 2.0, this reader knows 1.x; read it with a newer version");
    }

    #[test]
    fn an_unknown_feature_is_refused_if_it_matters() {
        let mut bytes = sample().encode();
        bytes[20] = 4;
        let crc = checksum(0, &bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(NotASegment::Features(4)));
        bytes[16..24].copy_from_slice(&[4, 0, 0, 0, 0, 0, 0, 0]);
        let crc = checksum(0, &bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_le_bytes());
        assert!(Header::decode(&bytes).is_ok());
    }
}
