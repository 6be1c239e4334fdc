//! The side that takes: reads, checks bounds, copies, and only then believes.
//!
//! Whatever stands in a ring, taking from it ends, allocates no more than the longest entry asks
//! for, and tells what it could not use. A head that cannot be true is not gone by: entries carry
//! their own check and are taken one by one until one does not fit.

use std::io;
use std::sync::atomic::{Ordering, fence};

use crate::format::frame::BODY_MAX;

use super::item::{Damage, Drained, Item, Look, Record, Source};
use super::layout::{
    CRITICAL, Fixed, HEADER_BYTES, HEADER_LEN, NUMBER_MAX, Step, at, decode, entry_len, state,
    u32_at, u64_at,
};

/// Bytes that are copied out of a ring at once, unless one entry is longer.
const CHUNK: u64 = 256 << 10;
/// Bytes that are looked at in one [`Consumer::drain`] to find an entry behind damage. What stands
/// behind them is passed over.
const SEARCH_MAX: u64 = 64 << 20;
/// So many times something is read again before it is called damage: eight bytes that are written
/// while they are read may come half old and half new.
const TRIES: u32 = 8;

/// The consumer of a ring; there is never a second one.
#[derive(Debug)]
pub struct Consumer<L: Look> {
    look: L,
    fixed: Fixed,
    /// Up to where was read.
    position: u64,
    /// Up to where the producer knows of it.
    released: u64,
    /// The lowest number that the next record may have.
    next: u64,
    source: Source,
    buf: Vec<u8>,
    to_tell: Option<Damage>,
    head_was_bad: bool,
    given_up: bool,
}

/// What the header says at one look.
struct Seen {
    head: u64,
    refused: u64,
}

/// Why nothing more can be taken from the bytes at hand.
enum Stop {
    /// So many bytes are needed.
    More(u64),
    Bad,
    Enough,
}

/// What one drain adds up before it tells.
#[derive(Default)]
struct Faults {
    entries: Option<(u64, u64)>,
    numbers: Option<(u64, u64)>,
    searched: u64,
}

impl<L: Look> Consumer<L> {
    /// Goes on where the last consumer of this ring ended.
    ///
    /// # Errors
    ///
    /// What is wrong, when nothing can be taken out of it.
    pub fn new(look: L) -> Result<Self, Damage> {
        let mut header = [0; HEADER_BYTES];
        read_all(&look, 0, &mut header)?;
        let fixed = Fixed::decode(&header).ok_or(Damage::Header)?;
        read_all(&look, HEADER_LEN + fixed.capacity - 8, &mut [0; 8])?;
        let field = |at| field(&header, at);
        let (head, tail, check) = (field(at::HEAD), field(at::TAIL), field(at::TAIL_CHECK));
        let possible = |position: u64| position < NUMBER_MAX && position.is_multiple_of(8);
        let mut to_tell = None;
        let position = if check == !tail && possible(tail) {
            tail
        } else if possible(head) {
            to_tell = Some(Damage::Tail { tail, check });
            head.saturating_sub(fixed.capacity)
        } else {
            return Err(Damage::Head { head, taken: tail, capacity: fixed.capacity });
        };
        let (taken, made) = (field(at::TAKEN), field(at::MADE));
        let number_is_known = to_tell.is_none() && taken <= made && made < NUMBER_MAX;
        let mut consumer = Self {
            look,
            fixed,
            position,
            released: position,
            next: if number_is_known { taken } else { 0 },
            source: Source::default(),
            buf: Vec::new(),
            to_tell,
            head_was_bad: false,
            given_up: false,
        };
        let seen = consumer.see()?;
        if !number_is_known {
            consumer.find_first(&seen)?;
        }
        Ok(consumer)
    }

    /// Goes to the first entry there is, and takes its number for the next.
    fn find_first(&mut self, seen: &Seen) -> Result<(), Damage> {
        let (end, mut faults) = (self.end(seen), Faults::default());
        while self.position < end {
            let bytes = self.copy(entry_len(BODY_MAX).min(end - self.position))?;
            let (generation, left) = (self.fixed.generation, end - self.position);
            let first = match decode(&bytes, generation, self.position, left) {
                Step::Entry(head, ..) => Some(head.number).filter(|number| *number < NUMBER_MAX),
                Step::More(_) | Step::Bad => None,
            };
            if let Some(first) = first {
                self.next = first;
                return Ok(());
            }
            self.search(end, &mut faults)?;
        }
        self.next = self.source.made;
        Ok(())
    }

    /// Whether bulk data has rings of its own, so that they cannot fill this one.
    #[must_use]
    pub fn critical(&self) -> bool {
        self.fixed.flags & CRITICAL != 0
    }

    /// The lowest number that the next record may have.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// What the ring said of its producer at the last look.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    pub(super) fn look(&self) -> &L {
        &self.look
    }

    /// Whether the ring was given up.
    #[must_use]
    pub fn given_up(&self) -> bool {
        self.given_up
    }

    /// Looks at what the ring says of its producer, and takes nothing.
    pub fn look_again(&mut self) {
        self.has_more();
    }

    /// Whether there is something to take.
    pub fn has_more(&mut self) -> bool {
        if self.given_up {
            return false;
        }
        match self.see() {
            Ok(seen) => !self.head_was_bad && self.position < seen.head,
            Err(damage) => {
                self.to_tell = Some(damage);
                self.given_up = true;
                false
            }
        }
    }

    /// The ring takes nothing any more.
    ///
    /// # Errors
    ///
    /// That cannot be said.
    pub fn close(&self) -> io::Result<()> {
        self.look.write(at::CLOSED, &[1])
    }

    /// Gives the producer the room of what was taken. Whoever has to be sure not to lose it makes
    /// it safe before: a later consumer begins here.
    ///
    /// # Errors
    ///
    /// That cannot be said.
    pub fn release(&mut self) -> io::Result<()> {
        if self.released != self.position && !self.given_up {
            // Everything was copied before the producer may write over it.
            fence(Ordering::SeqCst);
            self.look.write(at::TAIL, &[self.position, !self.position, self.next])?;
            self.released = self.position;
        }
        Ok(())
    }

    /// Takes what is published, until about `bytes_max` bytes were taken.
    pub fn drain(&mut self, bytes_max: u64, each: &mut dyn FnMut(Item<'_>)) -> Drained {
        let mut drained = Drained { settled: self.next, ..Drained::default() };
        let mut faults = Faults::default();
        let outcome = if self.given_up {
            Ok(())
        } else {
            self.take(bytes_max, each, &mut drained, &mut faults)
        };
        let told = [
            self.to_tell.take(),
            faults.entries.map(|(at, bytes)| Damage::Entries { at, bytes }),
            faults.numbers.map(|(first, count)| Damage::Numbers { count, first }),
            outcome.err(),
        ];
        self.given_up |= outcome.is_err();
        told.into_iter().flatten().for_each(|damage| each(Item::Damage(damage)));
        drained
    }

    fn take(
        &mut self,
        bytes_max: u64,
        each: &mut dyn FnMut(Item<'_>),
        drained: &mut Drained,
        faults: &mut Faults,
    ) -> Result<(), Damage> {
        let mut seen = self.see()?;
        let (mut want, mut tries) = (CHUNK, 0);
        let start = self.position;
        loop {
            let end = self.end(&seen);
            let taken = self.position - start;
            drained.more = self.position < end;
            if !drained.more || taken >= bytes_max {
                break;
            }
            let at = self.position;
            let bytes = self.copy(want.min(end - at))?;
            let stop = self.go_through(&bytes, end, bytes_max - taken, each, drained, faults);
            self.buf = bytes;
            want = CHUNK;
            tries = if self.position > at { 0 } else { tries };
            match stop {
                Stop::Enough => {}
                Stop::More(need) => want = need.max(CHUNK),
                Stop::Bad if self.head_was_bad => {
                    drained.more = false;
                    break;
                }
                Stop::Bad if tries < TRIES => {
                    tries += 1;
                    seen = self.see()?;
                }
                Stop::Bad => self.search(end, faults)?,
            }
        }
        drained.bytes = self.position - start;
        if !drained.more && !self.head_was_bad {
            self.next = self.next.max(seen.refused);
        }
        drained.settled = self.next;
        Ok(())
    }

    /// Up to where entries may stand.
    fn end(&self, seen: &Seen) -> u64 {
        if self.head_was_bad { self.position + self.fixed.capacity } else { seen.head }
    }

    fn go_through(
        &mut self,
        bytes: &[u8],
        end: u64,
        bytes_max: u64,
        each: &mut dyn FnMut(Item<'_>),
        drained: &mut Drained,
        faults: &mut Faults,
    ) -> Stop {
        let first = self.position;
        let mut rest = bytes;
        while self.position - first < bytes_max && !rest.is_empty() {
            let left = end - self.position;
            let (head, body, len) = match decode(rest, self.fixed.generation, self.position, left) {
                Step::Entry(head, body, len) => (head, body, len),
                Step::More(need) => return Stop::More(need),
                Step::Bad => return Stop::Bad,
            };
            self.position += len;
            rest = usize::try_from(len).ok().and_then(|len| rest.get(len..)).unwrap_or_default();
            if head.number < self.next || head.number >= NUMBER_MAX {
                faults.numbers.get_or_insert((head.number, 0)).1 += 1;
                continue;
            }
            self.next = head.number + 1;
            drained.records += 1;
            let (kind, time_ns, number) = (head.kind, head.time_ns, head.number);
            each(Item::Record(Record { kind, time_ns, number, body }));
        }
        Stop::Enough
    }

    /// Goes to the next entry behind bytes that are none, or as far as was looked.
    fn search(&mut self, end: u64, faults: &mut Faults) -> Result<(), Damage> {
        let start = self.position;
        let window = (entry_len(BODY_MAX) * 2).min(end - start);
        let bytes = self.copy(window)?;
        faults.searched += window;
        self.position += 8;
        let mut rest = bytes.get(8..).unwrap_or_default();
        // The last entry that is whole in the window may begin at its middle at the latest.
        let last = if start + window == end { end } else { start + window / 2 };
        while self.position < last && faults.searched < SEARCH_MAX {
            let said = u32_at(rest, 4).and_then(|len| usize::try_from(len).ok());
            let len = said.map_or(u64::MAX, entry_len);
            let left = end - self.position;
            if len <= left && said.is_some_and(|said| said <= BODY_MAX) {
                faults.searched += len;
                let step = decode(rest, self.fixed.generation, self.position, left);
                if matches!(step, Step::Entry(..)) {
                    break;
                }
            }
            self.position += 8;
            rest = rest.get(8..).unwrap_or_default();
        }
        if faults.searched >= SEARCH_MAX {
            self.position = end;
        }
        self.buf = bytes;
        faults.entries.get_or_insert((start, 0)).1 += self.position - start;
        Ok(())
    }

    /// Copies bytes from the position on out of the ring.
    fn copy(&mut self, len: u64) -> Result<Vec<u8>, Damage> {
        let mut bytes = std::mem::take(&mut self.buf);
        let len = usize::try_from(len).expect("a capacity fits");
        bytes.resize(len, 0);
        let place = self.position & (self.fixed.capacity - 1);
        let up_to_wrap = usize::try_from(self.fixed.capacity - place).expect("a capacity fits");
        let (here, wrapped) = bytes.split_at_mut(len.min(up_to_wrap));
        read_all(&self.look, HEADER_LEN + place, here)?;
        read_all(&self.look, HEADER_LEN, wrapped)?;
        Ok(bytes)
    }

    /// Looks at the header, several times if the head cannot be true.
    fn see(&mut self) -> Result<Seen, Damage> {
        let mut seen = self.see_once()?;
        for _ in 0..TRIES {
            if self.believable(seen.head) {
                break;
            }
            seen = self.see_once()?;
        }
        let bad = !self.believable(seen.head);
        if bad && !self.head_was_bad {
            let (taken, capacity) = (self.position, self.fixed.capacity);
            self.to_tell.get_or_insert(Damage::Head { head: seen.head, taken, capacity });
        }
        self.head_was_bad = bad;
        Ok(seen)
    }

    fn believable(&self, head: u64) -> bool {
        let ahead = head.checked_sub(self.position);
        head < NUMBER_MAX
            && head.is_multiple_of(8)
            && ahead.is_some_and(|ahead| ahead <= self.fixed.capacity)
    }

    fn see_once(&mut self) -> Result<Seen, Damage> {
        let mut header = [0; HEADER_BYTES];
        read_all(&self.look, 0, &mut header)?;
        if Fixed::decode(&header) != Some(self.fixed) {
            return Err(Damage::Header);
        }
        // Records below `refused` were published before it was written, so that a head which is
        // read later covers them.
        fence(Ordering::Acquire);
        let mut head = [0; 8];
        read_all(&self.look, at::HEAD, &mut head)?;
        fence(Ordering::Acquire);
        let field = |at| field(&header, at);
        self.source = Source {
            pid: field(at::PID),
            start: field(at::START),
            attached: field(at::STATE) == state::ATTACHED,
            detached: field(at::STATE) == state::DETACHED,
            made: field(at::MADE).min(NUMBER_MAX),
        };
        let refused = field(at::REFUSED);
        let refused = if refused <= NUMBER_MAX { refused } else { 0 };
        Ok(Seen { head: u64::from_le_bytes(head), refused })
    }
}

fn field(header: &[u8], at: u64) -> u64 {
    usize::try_from(at).ok().and_then(|at| u64_at(header, at)).unwrap_or(0)
}

fn read_all(look: &impl Look, mut at: u64, mut to: &mut [u8]) -> Result<(), Damage> {
    while !to.is_empty() {
        match look.read(at, to) {
            Ok(0) => return Err(Damage::Short),
            Ok(len) => {
                at += u64::try_from(len).unwrap_or(u64::MAX);
                to = to.get_mut(len..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Damage::Unreadable(error.kind())),
        }
    }
    Ok(())
}
