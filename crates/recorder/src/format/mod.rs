//! What lies on the disk, byte by byte; `docs/internals/recorder-format.md` says the same in prose.
//!
//! A flight is a directory of segments. A segment is a header, frames, and, once it is sealed, a
//! trailer that finds its index, which is a frame like any other. All numbers are little-endian,
//! nothing is aligned or padded. Everything here works on slices: no file is opened.

pub mod flight_id;
pub mod frame;
pub mod index;
pub mod segment;

/// The major version; a reader refuses another one.
pub const MAJOR: u16 = 1;
/// The minor version; a reader accepts any and skips what it does not know.
pub const MINOR: u16 = 0;

/// A little-endian number of `N` bytes at `at`, or `None` behind the end.
fn bytes_at<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn u16_at(from: &[u8], at: usize) -> Option<u16> {
    bytes_at(from, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(from: &[u8], at: usize) -> Option<u32> {
    bytes_at(from, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(from: &[u8], at: usize) -> Option<u64> {
    bytes_at(from, at).map(u64::from_le_bytes)
}
