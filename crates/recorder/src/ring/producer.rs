//! The side that pushes: no lock, no allocation, no system call, no wait.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::format::frame::BODY_MAX;

use super::layout::{ENTRY_HEAD, EntryHead, Fixed, HEADER_LEN, NUMBER_MAX, at, entry_len, state};
use super::words::Words;

/// The producer of a ring; there is never a second one.
#[derive(Debug)]
pub struct Producer<W: Words> {
    words: W,
    generation: u32,
    capacity: u64,
    /// Kept here, so that nobody who writes into the memory can lead it astray.
    head: u64,
    made: u64,
    /// The last tail that was read; the true one is not before it.
    tail: u64,
}

/// Why a ring takes no producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Its length is not what its header says, or the header says nothing.
    #[error("its header is not one of a ring")]
    Header,
    /// Its counters contradict each other.
    #[error("its head {head} and tail {tail} do not fit its capacity {capacity}")]
    Counters {
        /// Bytes ever published.
        head: u64,
        /// Bytes ever taken.
        tail: u64,
        /// Bytes for entries.
        capacity: u64,
    },
}

pub(super) const fn index(at: u64) -> usize {
    // Positions are reduced to the capacity before, and fields stand below 256.
    #[expect(clippy::cast_possible_truncation, reason = "at most CAPACITY_MAX + HEADER_LEN")]
    let at = at as usize;
    at / 8
}

impl<W: Words> Producer<W> {
    /// Goes on where the last producer of this ring ended, as the process `pid` that was started
    /// at `start` clock ticks.
    pub(super) fn new(words: W, pid: u64, start: u64) -> Result<Self, NotUsable> {
        let fixed = fixed(&words).ok_or(NotUsable::Header)?;
        let load = |field| words.load(index(field), Acquire);
        let (head, tail, made) = (load(at::HEAD), load(at::TAIL), load(at::MADE));
        let capacity = fixed.capacity;
        let sane = load(at::TAIL_CHECK) == !tail
            && head < NUMBER_MAX
            && head.is_multiple_of(8)
            && tail.is_multiple_of(8)
            && head.checked_sub(tail).is_some_and(|used| used <= capacity)
            && made < NUMBER_MAX;
        if !sane {
            return Err(NotUsable::Counters { head, tail, capacity });
        }
        words.store(index(at::PID), pid, Relaxed);
        words.store(index(at::START), start, Relaxed);
        words.store(index(at::STATE), state::ATTACHED, Release);
        Ok(Self { words, generation: fixed.generation, capacity, head, made, tail })
    }

    /// Hands a record over, made at `time_ns` of `CLOCK_BOOTTIME`; whether there was room. One
    /// that is refused, as is every body beyond [`BODY_MAX`], has used up its number.
    pub fn push(&mut self, kind: u16, time_ns: u64, body: &[u8]) -> bool {
        let number = self.made;
        self.made += 1;
        self.words.store(index(at::MADE), self.made, Relaxed);
        let len = entry_len(body.len());
        let body_len = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_MAX);
        let Some(body_len) = body_len.filter(|_| self.has_room(len)) else {
            self.words.store(index(at::REFUSED), self.made, Release);
            return false;
        };
        let head = EntryHead { body_len, kind, time_ns, number };
        self.write(&head.encode(self.generation, self.head, body), body);
        self.head += len;
        self.words.store(index(at::HEAD), self.head, Release);
        true
    }

    pub(super) fn words(&self) -> &W {
        &self.words
    }

    /// So many records were made elsewhere and will not come: they use up their numbers.
    pub fn skip(&mut self, count: u64) {
        self.made = self.made.saturating_add(count).min(NUMBER_MAX);
        self.words.store(index(at::MADE), self.made, Relaxed);
        self.words.store(index(at::REFUSED), self.made, Release);
    }

    /// Whether there is room for a body of this length now. For whoever would rather wait a while
    /// than lose a record.
    pub fn fits(&mut self, body_len: usize) -> bool {
        body_len <= BODY_MAX && self.has_room(entry_len(body_len))
    }

    /// Records that were made, those refused among them.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    fn has_room(&mut self, len: u64) -> bool {
        if self.words.load(index(at::CLOSED), Relaxed) != 0 || self.made >= NUMBER_MAX {
            return false;
        }
        if self.head - self.tail + len <= self.capacity {
            return true;
        }
        let tail = self.words.load(index(at::TAIL), Acquire);
        let whole = self.words.load(index(at::TAIL_CHECK), Acquire) == !tail;
        // A tail that is half written, or was written by somebody else, is not the one to go by.
        if whole && tail.is_multiple_of(8) && (self.tail..=self.head).contains(&tail) {
            self.tail = tail;
        }
        self.head - self.tail + len <= self.capacity
    }

    fn write(&self, head: &[u8; ENTRY_HEAD], body: &[u8]) {
        let mut position = self.head;
        let mut put = |bytes: [u8; 8]| {
            let place = HEADER_LEN + (position & (self.capacity - 1));
            self.words.store(index(place), u64::from_le_bytes(bytes), Relaxed);
            position += 8;
        };
        let (words, _) = head.as_chunks::<8>();
        words.iter().for_each(|word| put(*word));
        let (words, rest) = body.as_chunks::<8>();
        words.iter().for_each(|word| put(*word));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            put(last);
        }
    }
}

impl<W: Words> Drop for Producer<W> {
    fn drop(&mut self) {
        self.words.store(index(at::STATE), state::DETACHED, Release);
    }
}

/// What never changes in the ring, if that fits the memory.
fn fixed(words: &impl Words) -> Option<Fixed> {
    let mut bytes = [0; 32];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    if words.count() < index(HEADER_LEN) {
        return None;
    }
    for (place, chunk) in chunks.iter_mut().enumerate() {
        *chunk = words.load(place, Relaxed).to_le_bytes();
    }
    let fixed = Fixed::decode(&bytes)?;
    (words.count() == index(HEADER_LEN + fixed.capacity)).then_some(fixed)
}
