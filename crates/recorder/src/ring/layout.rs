//! The layout of a ring as numbers: where fields stand, what an entry's header says.

use std::ops::Range;

use crate::format::frame::BODY_MAX;

/// Bytes before the entries.
pub const HEADER_LEN: u64 = 256;
pub(super) const HEADER_BYTES: usize = 256;
/// The smallest ring, bytes for entries.
pub const CAPACITY_MIN: u64 = 1 << 12;
/// The largest ring, bytes for entries. What claims to be larger is damage.
pub const CAPACITY_MAX: u64 = 1 << 26;

pub(super) const MAGIC: [u8; 8] = *b"GFDRRING";
pub(super) const VERSION: u16 = 1;
pub(super) const CRITICAL: u16 = 1;
/// Bytes of an entry before its body.
pub(super) const ENTRY_HEAD: usize = 32;
/// Positions and numbers stay below; what claims more is damage, and no sum of them overflows.
pub(super) const NUMBER_MAX: u64 = 1 << 56;

/// Places of the fields, bytes.
pub(super) mod at {
    pub(crate) const HEAD: u64 = 64;
    pub(crate) const MADE: u64 = 72;
    pub(crate) const REFUSED: u64 = 80;
    pub(crate) const PID: u64 = 88;
    pub(crate) const START: u64 = 96;
    pub(crate) const STATE: u64 = 104;
    pub(crate) const TAIL: u64 = 128;
    pub(crate) const TAIL_CHECK: u64 = 136;
    pub(crate) const TAKEN: u64 = 144;
    pub(crate) const CLOSED: u64 = 152;
}

/// Values of the state.
pub(super) mod state {
    pub(crate) const ATTACHED: u64 = 1;
    pub(crate) const DETACHED: u64 = 2;
}

/// The capacity of a ring that holds at least so many bytes of entries, within the bounds.
#[must_use]
pub fn capacity_for(bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    bytes.clamp(CAPACITY_MIN, CAPACITY_MAX).next_power_of_two()
}

/// What never changes in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) flags: u16,
    pub(super) generation: u32,
    pub(super) capacity: u64,
}

impl Fixed {
    /// The first 32 bytes of a ring.
    pub(super) fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, &MAGIC);
        put(&mut rest, &VERSION.to_le_bytes());
        put(&mut rest, &self.flags.to_le_bytes());
        put(&mut rest, &self.generation.to_le_bytes());
        put(&mut rest, &self.capacity.to_le_bytes());
        let crc = crc32fast::hash(bytes.first_chunk::<24>().expect("it has 32 bytes"));
        let (_, mut rest) = bytes.split_at_mut(24);
        put(&mut rest, &crc.to_le_bytes());
        bytes
    }

    /// Reads them; `None`: that is no ring, or none of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let checked = bytes.get(..24)?;
        let whole = u32_at(bytes, 24)? == crc32fast::hash(checked);
        let ours = checked.starts_with(&MAGIC) && u16_at(bytes, 8)? == VERSION;
        let fixed = Self {
            flags: u16_at(bytes, 10)?,
            generation: u32_at(bytes, 12)?,
            capacity: u64_at(bytes, 16)?,
        };
        let sane = fixed.capacity.is_power_of_two()
            && (CAPACITY_MIN..=CAPACITY_MAX).contains(&fixed.capacity)
            && fixed.generation != 0;
        (whole && ours && sane).then_some(fixed)
    }
}

/// What stands before an entry's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryHead {
    pub(super) body_len: u32,
    pub(super) kind: u16,
    pub(super) time_ns: u64,
    pub(super) number: u64,
}

impl EntryHead {
    /// The 32 bytes before `body`, which has `body_len` bytes, of the entry at `position`.
    pub(super) fn encode(&self, generation: u32, position: u64, body: &[u8]) -> [u8; ENTRY_HEAD] {
        // What the check begins with stands before the bytes that the entry has of it.
        let mut checked = [0; 12 + ENTRY_HEAD - 4];
        let mut rest = checked.as_mut_slice();
        put(&mut rest, &generation.to_le_bytes());
        put(&mut rest, &position.to_le_bytes());
        put(&mut rest, &self.body_len.to_le_bytes());
        put(&mut rest, &self.kind.to_le_bytes());
        put(&mut rest, &[0; 6]);
        put(&mut rest, &self.time_ns.to_le_bytes());
        put(&mut rest, &self.number.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&checked);
        hasher.update(body);
        let mut bytes = [0; ENTRY_HEAD];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, &hasher.finalize().to_le_bytes());
        put(&mut rest, checked.last_chunk::<28>().expect("it has 40 bytes"));
        bytes
    }
}

/// What stands at the beginning of some bytes of a ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// An entry of so many bytes.
    Entry(EntryHead, &'a [u8], u64),
    /// Nothing can be said with fewer than so many bytes.
    More(u64),
    /// No entry.
    Bad,
}

/// Looks at the entry at `position`, of which `from` has the first bytes; `left` bytes are
/// published from there on.
pub(super) fn decode(from: &[u8], generation: u32, position: u64, left: u64) -> Step<'_> {
    let head = || {
        let head = EntryHead {
            body_len: u32_at(from, 4)?,
            kind: u16_at(from, 8)?,
            time_ns: u64_at(from, 16)?,
            number: u64_at(from, 24)?,
        };
        Some((u32_at(from, 0)?, head))
    };
    let Some((crc, head)) = head() else {
        let need = u64::try_from(ENTRY_HEAD).unwrap_or(u64::MAX);
        return if left < need { Step::Bad } else { Step::More(need) };
    };
    let body_len = usize::try_from(head.body_len).unwrap_or(usize::MAX);
    let len = entry_len(body_len);
    if body_len > BODY_MAX || len > left {
        return Step::Bad;
    }
    let Some((checked, body)) = within(from, 4..ENTRY_HEAD).zip(body_of(from, body_len)) else {
        return Step::More(len);
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(&position.to_le_bytes());
    hasher.update(checked);
    hasher.update(body);
    if hasher.finalize() == crc { Step::Entry(head, body, len) } else { Step::Bad }
}

/// Bytes that an entry with such a body takes.
pub(super) fn entry_len(body: usize) -> u64 {
    u64::try_from(body.saturating_add(ENTRY_HEAD).next_multiple_of(8)).unwrap_or(u64::MAX)
}

fn body_of(from: &[u8], len: usize) -> Option<&[u8]> {
    within(from, ENTRY_HEAD..ENTRY_HEAD.checked_add(len)?)
}

fn within(from: &[u8], range: Range<usize>) -> Option<&[u8]> {
    from.get(range)
}

fn put(to: &mut &mut [u8], bytes: &[u8]) {
    let (here, behind) = std::mem::take(to).split_at_mut(bytes.len());
    here.copy_from_slice(bytes);
    *to = behind;
}

pub(super) use crate::format::{u16_at, u32_at, u64_at};

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: EntryHead = EntryHead { body_len: 5, kind: 0x8001, time_ns: 77, number: 3 };

    fn entry() -> Vec<u8> {
        let mut entry = HEAD.encode(9, 4096, b"hello").to_vec();
        entry.extend_from_slice(b"hello\0\0\0");
        entry
    }

    #[test]
    fn an_entry_reads_back_only_where_and_when_it_was_written() {
        let entry = entry();
        assert_eq!(decode(&entry, 9, 4096, 40), Step::Entry(HEAD, b"hello", 40));
        assert_eq!(decode(&entry, 9, 8192, 40), Step::Bad, "another lap");
        assert_eq!(decode(&entry, 10, 4096, 40), Step::Bad, "another ring");
        assert_eq!(decode(&entry, 9, 4096, 32), Step::Bad, "more than was published");
    }

    #[test]
    fn the_example_in_the_documentation_is_this_entry() {
        let page = include_str!("../../../../docs/internals/recorder-ring.md");
        let (_, behind) = page.split_once("of generation 9:\n\n```text\n").unwrap();
        let (example, _) = behind.split_once("```").unwrap();
        let bytes = example.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
        assert_eq!(bytes.collect::<Vec<_>>(), entry());
    }

    #[test]
    fn every_cut_asks_for_more_and_every_flipped_bit_is_seen() {
        let whole = entry();
        for cut in 0..37 {
            let need = if cut < 32 { 32 } else { 40 };
            assert_eq!(decode(&whole[..cut], 9, 4096, 40), Step::More(need), "cut at {cut}");
        }
        // The two reserved fields are checked, and their values mean nothing.
        for bit in 0..37 * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let step = decode(&flipped, 9, 4096, 4096);
            assert!(!matches!(step, Step::Entry(..)), "bit {bit}: {step:?}");
        }
    }

    #[test]
    fn a_header_of_anything_else_is_refused() {
        let fixed = Fixed { flags: CRITICAL, generation: 7, capacity: 1 << 16 };
        assert_eq!(Fixed::decode(&fixed.encode()), Some(fixed));
        for bit in 0..28 * 8 {
            let mut flipped = fixed.encode();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Fixed::decode(&flipped), None, "bit {bit}");
        }
        for capacity in [0, 8, 4095, CAPACITY_MAX * 2, u64::MAX] {
            assert_eq!(Fixed::decode(&Fixed { capacity, ..fixed }.encode()), None, "{capacity}");
        }
        assert_eq!(Fixed::decode(&Fixed { generation: 0, ..fixed }.encode()), None);
    }

    #[test]
    fn capacities_are_powers_of_two_within_the_bounds() {
        let asked = [0, 4096, 4097, 1 << 20, usize::MAX];
        assert_eq!(asked.map(capacity_for), [4096, 4096, 8192, 1 << 20, CAPACITY_MAX]);
    }
}
