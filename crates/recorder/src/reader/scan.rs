//! From bytes to records and damage, sans I/O.
//!
//! The caller asks for [`Scanner::space`], reads into it from wherever, says how much arrived with
//! [`Scanner::filled`], and takes what was found until it is asked for more. Behind damage the
//! scanner goes on at the next intact frame, so that nothing intact is given up, wherever it lies.

use std::io::BufRead as _;
use std::ops::ControlFlow;

use crate::format::frame::{self, BODY_MAX, Damage, OVERHEAD, Record, Step};
use crate::format::segment::{TRAILER_LEN, TRAILER_MAGIC, Trailer};

/// Bytes that a scanner holds at most; two frames of the greatest length fit, so one always can be
/// whole.
const BUFFER_MAX: usize = 2 * (BODY_MAX + OVERHEAD).next_power_of_two();
/// Bytes that it holds as long as no frame needs more: few enough for the processor's cache, and
/// quickly made.
const BUFFER_MIN: usize = 512 << 10;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record whose frame begins at `at`.
    Record {
        /// Offset in the file.
        at: u64,
        /// The record.
        record: Record<'a>,
    },
    /// Bytes that are no record.
    Damage(Hole),
    /// The trailer of a sealed segment; nothing follows.
    Trailer(Trailer),
    /// More bytes are needed: fill [`Scanner::space`], or call [`Scanner::end`] if there are none.
    More,
    /// The end.
    End,
}

/// Why [`Scanner::each`] gives no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// More bytes are needed.
    More,
    /// It is the end.
    End,
    /// Whoever was given something wants no more.
    Stopped,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Offset of the first of them in the file.
    pub at: u64,
    /// How many.
    pub len: u64,
    /// Why the first of them is no record.
    pub why: Damage,
}

/// Finds records in the bytes of a segment that follow its header.
#[derive(Debug)]
pub struct Scanner {
    seed: u32,
    buffer: Vec<u8>,
    /// The bytes of the buffer that have arrived and were not yet looked at.
    from: usize,
    to: usize,
    /// Offset in the file of `from`.
    at: u64,
    ended: bool,
    hole: Option<Open>,
    /// Found, and not yet given.
    next: Option<Next>,
}

/// What was found, as a place in the buffer.
#[derive(Debug, Clone, Copy)]
enum Next {
    Record { start: usize, len: usize, at: u64 },
    Hole(Hole),
    Trailer(Trailer),
    More,
    End,
}

/// Damage whose end has not been seen.
#[derive(Debug)]
struct Open {
    at: u64,
    why: Damage,
    zeros: bool,
}

impl Scanner {
    /// A scanner of a segment with this seed, beginning at offset `at`.
    #[must_use]
    pub fn new(seed: u32, at: u64) -> Self {
        let buffer = vec![0; BUFFER_MIN];
        Self { seed, buffer, from: 0, to: 0, at, ended: false, hole: None, next: None }
    }

    /// Where the next bytes of the file belong; never empty after [`Found::More`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        // A long frame, of which there is a part.
        if self.to >= self.buffer.len() / 2 && self.buffer.len() < BUFFER_MAX {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        self.buffer.get_mut(self.to..).unwrap_or_default()
    }

    /// So many bytes have arrived in [`Scanner::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.to = (self.to + bytes).min(self.buffer.len());
    }

    /// No more bytes will arrive.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Offset in the file of the first byte that was not taken.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.hole.as_ref().map_or(self.at, |hole| hole.at)
    }

    /// The next thing that stands in the bytes that have arrived.
    pub fn find(&mut self) -> Found<'_> {
        let next = self.next.take().unwrap_or_else(|| self.advance());
        match next {
            Next::More => Found::More,
            Next::End => Found::End,
            Next::Hole(hole) => Found::Damage(hole),
            Next::Trailer(trailer) => Found::Trailer(trailer),
            Next::Record { start, len, at } => {
                let bytes = self.buffer.get(start..start + len).unwrap_or_default();
                frame::parts(bytes).map_or(Found::End, |record| Found::Record { at, record })
            }
        }
    }

    /// Gives all that stands in the bytes that have arrived, which is quicker than one by one.
    pub fn each(&mut self, mut give: impl FnMut(Found<'_>) -> ControlFlow<()>) -> Pause {
        loop {
            if self.hole.is_none() && self.next.is_none() {
                let (mut from, mut at, mut flow) = (self.from, self.at, ControlFlow::Continue(()));
                while flow.is_continue()
                    && let Some(rest) = self.buffer.get(from..self.to)
                    && let Step::Record { record, len } = frame::decode(rest, self.seed)
                {
                    flow = give(Found::Record { at, record });
                    from += len;
                    at += record.frame_len();
                }
                (self.from, self.at) = (from, at);
                if flow.is_break() {
                    return Pause::Stopped;
                }
            }
            match self.find() {
                Found::More => return Pause::More,
                Found::End => return Pause::End,
                found => {
                    if give(found).is_break() {
                        return Pause::Stopped;
                    }
                }
            }
        }
    }

    /// Whether [`Scanner::find`] would ask for more; what it finds otherwise is not lost.
    pub(crate) fn wants_more(&mut self) -> bool {
        let next = self.next.take().unwrap_or_else(|| self.advance());
        if matches!(next, Next::More) {
            return true;
        }
        self.next = Some(next);
        false
    }

    /// Goes to the next thing that stands in the bytes that have arrived.
    fn advance(&mut self) -> Next {
        loop {
            let rest = self.buffer.get(self.from..self.to).unwrap_or_default();
            if rest.is_empty() {
                if !self.ended {
                    return Next::More;
                }
                return self.close_hole().map_or(Next::End, Next::Hole);
            }
            match look(rest, self.seed) {
                Seen::Record(len) => {
                    if let Some(hole) = self.close_hole() {
                        return Next::Hole(hole);
                    }
                    let next = Next::Record { start: self.from, len, at: self.at };
                    self.skip(len);
                    return next;
                }
                Seen::Trailer(trailer) if rest.len() == TRAILER_LEN && self.ended => {
                    if let Some(hole) = self.close_hole() {
                        return Next::Hole(hole);
                    }
                    self.skip(TRAILER_LEN);
                    return Next::Trailer(trailer);
                }
                Seen::Trailer(_) | Seen::More if !self.ended => return Next::More,
                Seen::Damage(why) => self.step_over(why),
                Seen::More | Seen::Trailer(_) => self.step_over(Damage::CutShort),
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.from += bytes;
        self.at += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    fn close_hole(&mut self) -> Option<Hole> {
        let Open { at, why, zeros } = self.hole.take()?;
        let why = if zeros { Damage::Zeros } else { why };
        Some(Hole { at, len: self.at - at, why })
    }

    /// Goes on behind the first byte, at what may be the beginning of a frame.
    fn step_over(&mut self, why: Damage) {
        let rest = self.buffer.get(self.from..self.to).unwrap_or_default();
        let [_, behind @ ..] = rest else { return };
        let [begin, ..] = frame::MAGIC;
        let next = position_of(behind, begin).map_or(rest.len(), |at| at + 1);
        let zeros = rest.get(..next).is_some_and(are_zeros);
        let at = self.at;
        let hole = self.hole.get_or_insert(Open { at, why, zeros: true });
        hole.zeros &= zeros;
        self.skip(next);
    }
}

/// Where a byte first is. Gigabytes of damage are gone through with this, also in a build that is
/// not optimized, so it is left to the library that the system has for it.
fn position_of(within: &[u8], byte: u8) -> Option<usize> {
    let mut rest = within;
    let passed = rest.skip_until(byte).ok()?;
    let last = passed.checked_sub(1)?;
    (within.get(last) == Some(&byte)).then_some(last)
}

fn are_zeros(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|piece| ZEROS.get(..piece.len()) == Some(piece))
}

enum Seen {
    Record(usize),
    Trailer(Trailer),
    More,
    Damage(Damage),
}

fn look(rest: &[u8], seed: u32) -> Seen {
    let known = rest.len().min(TRAILER_MAGIC.len());
    if known > frame::MAGIC.len() && rest.get(..known) == TRAILER_MAGIC.get(..known) {
        return match rest.first_chunk::<TRAILER_LEN>() {
            None => Seen::More,
            Some(bytes) => match Trailer::decode(bytes, seed) {
                Some(trailer) => Seen::Trailer(trailer),
                None => Seen::Damage(Damage::Magic),
            },
        };
    }
    match frame::decode(rest, seed) {
        Step::Record { len, .. } => Seen::Record(len),
        Step::More { .. } => Seen::More,
        Step::Damage(why) => Seen::Damage(why),
    }
}

#[cfg(test)]
mod tests;
