//! A release's version: how it is read, ordered, and how far apart two of them are (GATE-2).
//!
//! Strict semver refuses much of what people publish (`v1.2`, `2024_11_02`, `10.0.3-rootless`), and
//! reads `-rootless` as a pre-release. This type reads what registries and recipes really carry and
//! refuses what it would have to guess. A refused text is an `Err`; the gate turns it into a hold.
//!
//! ```text
//! v 10.0.3  -rc.1        -rootless      +1.14.3
//!   numbers pre-release  flavor         build (plain) or upstream (double versions)
//! ```
//!
//! - numbers are separated by `.`, `_` or `-`; missing ones are zero, so `1.2` decides like `1.2.0`,
//!   and `1.2.3-1` is a packaging of `1.2.3` that came *after* it;
//! - a suffix is a pre-release only if it begins with a known word ([`PRE_RELEASE_WORDS`]), attached
//!   or behind a separator; any other suffix is a flavor of the build, and another flavor of the
//!   same numbers is another thing (another libc, another user), so it counts as breaking;
//! - in double versions the recipe part decides; the upstream part may hold anything and informs.
//!
//! Invariants: `cmp` is a total order that agrees with `==` (`order_is_total_and_agrees_with_equality`);
//! parsing never panics and keeps the text (`parsing_keeps_the_text_and_never_panics`).

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

mod read;
#[cfg(test)]
mod tests;

/// Longest accepted version text, in bytes. An image tag has at most 128.
pub const MAX_VERSION_BYTES: usize = 128;

/// Most numbers in the deciding part. `2024.11.02.10.30.15` has six.
pub const MAX_NUMBERS: usize = 8;

/// Words that open a pre-release. `a`, `b` and `c` count as well if a digit follows (`1.0b2`).
pub const PRE_RELEASE_WORDS: &[&str] = &[
    "alpha",
    "beta",
    "canary",
    "dev",
    "nightly",
    "pre",
    "prerelease",
    "preview",
    "rc",
    "snapshot",
];

/// How an app's version texts are to be read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum VersionForm {
    /// One version; what follows `+` is build metadata.
    #[default]
    #[serde(rename = "plain")]
    Plain,
    /// `1.0.0+1.14.3`: the part before the first `+` decides. Without a `+` all of it is the recipe.
    #[serde(rename = "recipe+upstream")]
    RecipePlusUpstream,
    /// `1.14.3+1.0.0`: the part behind the last `+` decides. A `+` is required.
    #[serde(rename = "upstream+recipe")]
    UpstreamPlusRecipe,
    /// Any text; versions carry no order and every change passes the version gate.
    #[serde(rename = "opaque")]
    Opaque,
}

impl fmt::Display for VersionForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::RecipePlusUpstream => "recipe+upstream",
            Self::UpstreamPlusRecipe => "upstream+recipe",
            Self::Opaque => "opaque",
        })
    }
}

/// Why a text is no version in the asked form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The text is empty.
    #[error("a version is empty")]
    Empty,
    /// The text is longer than [`MAX_VERSION_BYTES`].
    #[error("a version has {found} bytes, at most {limit} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character that the form does not allow.
    #[error("version {text:?} holds the character {found:?}")]
    Character {
        /// The whole text.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// Something other than a number where a number has to be.
    #[error("version {text:?} has no number at {at:?}")]
    NotANumber {
        /// The whole text.
        text: String,
        /// The rest of the text from the place of the fault on.
        at: String,
    },
    /// A number that does not fit 64 bits.
    #[error("version {text:?} has the number {number}, the largest is {limit}", limit = u64::MAX)]
    NumberTooLarge {
        /// The whole text.
        text: String,
        /// The number's digits.
        number: String,
    },
    /// More than [`MAX_NUMBERS`] numbers.
    #[error("version {text:?} has more than {limit} numbers")]
    TooManyNumbers {
        /// The whole text.
        text: String,
        /// Numbers allowed.
        limit: usize,
    },
    /// A suffix that is neither a pre-release nor a flavor.
    #[error("version {text:?} has the suffix {suffix:?}, which says neither earlier nor later")]
    Suffix {
        /// The whole text.
        text: String,
        /// The part that could not be read.
        suffix: String,
    },
    /// Nothing stands where the deciding part has to be.
    #[error("version {text:?} lacks the part that decides, the form is {form}")]
    NoDecidingPart {
        /// The whole text.
        text: String,
        /// The form that was asked for.
        form: VersionForm,
    },
}

/// How far a candidate is from the running release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing that is part of the version differs (`1.2` and `v1.2.0` are the same).
    Same,
    /// Only what informs differs: the upstream part, build metadata, or an opaque text.
    UpstreamOnly,
    /// Forward to a pre-release, without a breaking step.
    PreRelease,
    /// The third or a later number grew, a flavor's own number grew, or a pre-release became final.
    Patch,
    /// The second number grew (for `0.x` that is [`Change::Breaking`]).
    Minor,
    /// A person should read the notes: the first number grew, the second of `0.x` grew, or the two
    /// cannot be compared (another flavor, one of them opaque).
    Breaking,
    /// The candidate is older.
    Downgrade,
}

/// A version: the text as published, and what was read from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    raw: String,
    form: VersionForm,
    parts: Parts,
    /// Upstream part or build metadata.
    informs: Option<String>,
}

/// The deciding part. An opaque version has no numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Parts {
    numbers: Vec<u64>,
    pre: Vec<Piece>,
    flavor: Vec<Piece>,
}

/// A run of digits or of letters. The order is semver's: numbers by value and before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    /// Digits without leading zeros; the length comes first so that the derived order is by value.
    Number { length: usize, digits: String },
    /// Letters, lower case.
    Word(String),
}

impl Version {
    /// Reads `text` in the given form.
    ///
    /// # Errors
    /// See [`VersionError`]; only [`VersionForm::Opaque`] takes any printable text.
    pub fn parse(text: &str, form: VersionForm) -> Result<Self, VersionError> {
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        if text.len() > MAX_VERSION_BYTES {
            return Err(VersionError::TooLong { found: text.len(), limit: MAX_VERSION_BYTES });
        }
        if let Some(found) = text.chars().find(|c| c.is_control()) {
            return Err(VersionError::Character { text: text.into(), found });
        }
        let (decides, informs) = match form {
            VersionForm::Opaque => (None, None),
            VersionForm::Plain | VersionForm::RecipePlusUpstream => match text.split_once('+') {
                Some((decides, informs)) => (Some(decides), Some(informs)),
                None => (Some(text), None),
            },
            VersionForm::UpstreamPlusRecipe => match text.rsplit_once('+') {
                Some((informs, decides)) => (Some(decides), Some(informs)),
                None => return Err(VersionError::NoDecidingPart { text: text.into(), form }),
            },
        };
        let parts = match decides {
            Some("") => return Err(VersionError::NoDecidingPart { text: text.into(), form }),
            Some(decides) => read::deciding_part(text, decides)?,
            None => Parts::default(),
        };
        Ok(Self { raw: text.into(), form, parts, informs: informs.map(Into::into) })
    }

    /// The text as published.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The form it was read in.
    pub fn form(&self) -> VersionForm {
        self.form
    }

    /// The part that only informs: upstream of a double version, else build metadata.
    pub fn informs(&self) -> Option<&str> {
        self.informs.as_deref()
    }

    /// True for `1.0-rc.1` and the like.
    pub fn is_pre_release(&self) -> bool {
        !self.parts.pre.is_empty()
    }

    /// How far `to` is from `self`, for the version gate.
    ///
    /// `0.0.3` to `0.0.4` is a [`Change::Patch`]: semver promises nothing there, but holding every
    /// release of such an app would only teach people to approve without reading. An opaque version
    /// has no order, so a change between two of them is [`Change::UpstreamOnly`].
    pub fn change_to(&self, to: &Self) -> Change {
        match (self.form == VersionForm::Opaque, to.form == VersionForm::Opaque) {
            (true, true) if self.raw == to.raw => return Change::Same,
            (true, true) => return Change::UpstreamOnly,
            (false, false) => {}
            (true, false) | (false, true) => return Change::Breaking,
        }
        if self.parts.numbers_order(&to.parts) == Ordering::Greater {
            return Change::Downgrade;
        }
        if !self.parts.flavor_words().eq(to.parts.flavor_words()) {
            return Change::Breaking;
        }
        match self.precedence(to) {
            Ordering::Greater => return Change::Downgrade,
            Ordering::Equal if self.informs == to.informs => return Change::Same,
            Ordering::Equal => return Change::UpstreamOnly,
            Ordering::Less => {}
        }
        let (from_major, from_minor) = (self.parts.number(0), self.parts.number(1));
        let (to_major, to_minor) = (to.parts.number(0), to.parts.number(1));
        if to_major > from_major || (to_major == 0 && to_minor > from_minor) {
            Change::Breaking
        } else if to.is_pre_release() {
            Change::PreRelease
        } else if to_minor > from_minor {
            Change::Minor
        } else {
            Change::Patch
        }
    }

    /// Order by what decides: numbers, then pre-release (none comes last), then the flavor.
    fn precedence(&self, other: &Self) -> Ordering {
        self.parts
            .numbers_order(&other.parts)
            .then_with(|| self.parts.flavor.cmp(&other.parts.flavor))
    }

    /// Order of publication as far as the text tells: what decides, then what informs.
    ///
    /// Unlike `cmp`, spellings of one version are equal. Opaque versions are all equal.
    pub(crate) fn published_order(&self, other: &Self) -> Ordering {
        self.precedence(other).then_with(|| {
            let key = |v: &Self| v.informs.as_deref().map(read::pieces).unwrap_or_default();
            key(self).cmp(&key(other))
        })
    }

    /// True if both name the same numbers and pre-release, whatever the flavor or upstream part.
    pub(crate) fn same_numbers(&self, other: &Self) -> bool {
        self.parts.numbers_order(&other.parts) == Ordering::Equal
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// A total order, for lists: what decides, then what informs, then the text and the form.
///
/// The last two only make it agree with `==`; use [`Version::change_to`] to decide anything.
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.published_order(other)
            .then_with(|| self.raw.cmp(&other.raw))
            .then_with(|| self.form.cmp(&other.form))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Parts {
    /// The number at `place`, zero if it is not written.
    fn number(&self, place: usize) -> u64 {
        self.numbers.get(place).copied().unwrap_or(0)
    }

    fn numbers_order(&self, other: &Self) -> Ordering {
        (0..MAX_NUMBERS)
            .map(|place| self.number(place).cmp(&other.number(place)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
            .then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (true, true) | (false, false) => self.pre.cmp(&other.pre),
            })
    }

    /// The flavor without its numbers: `alpine3.18` and `alpine3.20` are the same flavor.
    fn flavor_words(&self) -> impl Iterator<Item = &str> {
        self.flavor.iter().filter_map(|piece| match piece {
            Piece::Word(word) => Some(word.as_str()),
            Piece::Number { .. } => None,
        })
    }
}
