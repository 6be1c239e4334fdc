//! Which release behaves how: one table, so that a new misbehavior is one row.

use std::fmt;
use std::time::Duration;

/// The data file's format, as its first line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `row N`.
    Plain,
    /// `row N CHECKSUM`.
    Summed,
    /// `row ORDINAL N CHECKSUM`, ordinals from 1 without a gap.
    Numbered,
    /// `row ORDINAL N CHECKSUM`, each checksum covering the one before.
    Chained,
}

impl Format {
    /// Every format, oldest first.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Summed, Self::Numbered, Self::Chained];

    /// The number in the file's first line, from 1.
    #[must_use]
    pub fn epoch(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Summed => 2,
            Self::Numbered => 3,
            Self::Chained => 4,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format {}", self.epoch())
    }
}

/// How a release rewrites an older file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// Every row is kept.
    Faithful,
    /// Rows are collected in batches, and the row that finds its batch full is lost.
    LosesTheRowThatFillsABatch,
}

/// What a release does wrong while it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Exits with [`crate::CRASH_EXIT_CODE`] this long after its start.
    Crashes(Duration),
    /// Its health turns to `failing` this long after its start, and stays so.
    Sours(Duration),
    /// SIGTERM does nothing.
    IgnoresTerm,
    /// It waits for something that never comes and never opens its port.
    NeverListens,
}

impl Fault {
    /// The same fault, at another time where it has one.
    #[must_use]
    pub(crate) fn after(self, other: Option<Duration>) -> Self {
        match self {
            Self::Crashes(own) => Self::Crashes(other.unwrap_or(own)),
            Self::Sours(own) => Self::Sours(other.unwrap_or(own)),
            Self::None | Self::IgnoresTerm | Self::NeverListens => self,
        }
    }
}

/// All that sets one release apart from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behavior {
    /// The release's version.
    pub version: &'static str,
    /// The only format that it serves.
    pub format: Format,
    /// How it migrates.
    pub migration: Migration,
    /// What it does wrong.
    pub fault: Fault,
}

const GOOD: Behavior = Behavior {
    version: "1.0.0",
    format: Format::Plain,
    migration: Migration::Faithful,
    fault: Fault::None,
};
const SUMMED: Behavior = Behavior { version: "1.1.0", format: Format::Summed, ..GOOD };

impl Behavior {
    /// The same with the format that its migration came from.
    pub(crate) fn before(self) -> Self {
        let older = Format::ALL.into_iter().rev().find(|format| *format < self.format);
        Self { format: older.unwrap_or(Format::Plain), ..self }
    }
}

/// Every release there is, in order.
pub const RELEASES: [Behavior; 9] = [
    GOOD,
    SUMMED,
    Behavior { version: "1.1.1", ..SUMMED },
    Behavior { version: "1.1.2", fault: Fault::Crashes(Duration::from_secs(2)), ..SUMMED },
    Behavior { version: "1.1.3", fault: Fault::Sours(Duration::from_secs(20)), ..SUMMED },
    Behavior { version: "1.1.4", fault: Fault::IgnoresTerm, ..SUMMED },
    Behavior { version: "1.1.5", fault: Fault::NeverListens, ..SUMMED },
    Behavior {
        version: "1.2.0",
        format: Format::Numbered,
        migration: Migration::LosesTheRowThatFillsABatch,
        ..GOOD
    },
    Behavior { version: "2.0.0", format: Format::Chained, ..GOOD },
];

/// How this release behaves; `None` where there is no such release.
#[must_use]
pub fn behavior(release: &str) -> Option<Behavior> {
    RELEASES.into_iter().find(|known| known.version == release)
}
