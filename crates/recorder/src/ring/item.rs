//! What is read from a ring, and what may be wrong with it.

use std::io;

/// The bytes of a ring as its consumer sees them. Places and lengths are multiples of 8.
pub trait Look {
    /// Copies from `at` on; fewer bytes than asked for are the end.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<usize>;

    /// Writes words at `at`.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    fn write(&self, at: u64, words: &[u64]) -> io::Result<()>;
}

/// A record as it lay in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the body is.
    pub kind: u16,
    /// When it was made, as its producer says, nanoseconds of `CLOCK_BOOTTIME`.
    pub time_ns: u64,
    /// The producer's number of it; each is above the one before.
    pub number: u64,
    /// The body.
    pub body: &'a [u8],
}

/// What a drain meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// Something that cannot be used.
    Damage(Damage),
}

/// What is wrong with a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It cannot be read any more; the ring is given up.
    #[error("the ring cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file ends before the ring does; the ring is given up.
    #[error("the file ends before the ring does")]
    Short,
    /// The header is not that of a ring, or not of this one; the ring is given up.
    #[error("the header is not that of this ring")]
    Header,
    /// The head cannot be true. Entries are taken while they fit.
    #[error("the head says {head}, taken is {taken} of a ring of {capacity}")]
    Head {
        /// What it says.
        head: u64,
        /// What was taken.
        taken: u64,
        /// What fits between the two at most.
        capacity: u64,
    },
    /// The tail of an earlier consumer cannot be true. What lies in the ring is taken, even if it
    /// was taken before.
    #[error("the tail says {tail} and its complement {check}")]
    Tail {
        /// What it says.
        tail: u64,
        /// What its complement says.
        check: u64,
    },
    /// Bytes that are no entry were passed over.
    #[error("{bytes} bytes from {at} on were no entries")]
    Entries {
        /// Position of the first.
        at: u64,
        /// How many, in this drain.
        bytes: u64,
    },
    /// Records with numbers that cannot be theirs were left out.
    #[error("{count} records had numbers that were not theirs, the first {first}")]
    Numbers {
        /// How many, in this drain.
        count: u64,
        /// Number of the first.
        first: u64,
    },
}

impl Damage {
    /// Whether nothing more will come out of the ring.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Short | Self::Header)
    }
}

/// What a ring says of its producer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// Its process; 0: there never was one.
    pub pid: u64,
    /// When that was started, clock ticks since boot.
    pub start: u64,
    /// Whether there is one, unless its process died.
    pub attached: bool,
    /// Whether the last one said that it ended.
    pub detached: bool,
    /// Records that were made, those that were refused among them.
    pub made: u64,
}

/// What came out of a ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Bytes of the ring.
    pub bytes: u64,
    /// Whether more is published.
    pub more: bool,
    /// Records with numbers below that did not come out never will.
    pub settled: u64,
}
