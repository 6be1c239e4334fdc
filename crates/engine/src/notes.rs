//! Reads the release notes of every release that an update would skip over (GATE-3).
//!
//! A release may say that a person has to do something by hand. It may say so in a release that the
//! host never ran, so the notes of all releases after the current one, up to the candidate, are read.
//!
//! Two things count as a finding: `manual_migration: true` in the front matter between `---` lines,
//! and the words of a marker anywhere in the text. Text is compared as words: case, punctuation and
//! markup do not matter, a marker may run over a line break, and its last word may go on ("manual
//! step" finds "manual steps"). What is plainly denied is no finding ("no breaking changes", "manual
//! migration is not required", a heading "Breaking changes" over the line "None."). Only a denial
//! that touches the marker counts: a hold too many costs a look, a missed one costs the data.
//!
//! Constraints: bytes come in, nothing is fetched; all limits are named below. What cannot be read
//! is listed in [`Reading::unreadable`], and the gate waits.
//!
//! Layout: this file chooses, decodes and reports; `notes/scan.rs` finds markers in words.

use crate::version::{Version, VersionForm};

mod scan;
#[cfg(test)]
mod tests;

/// Largest notes file, in bytes. Notes are prose; more is a mistake or an attack.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

/// Most notes files of one bundle.
pub const MAX_NOTE_FILES: usize = 500;

/// Most findings that are reported. A person reads the notes themselves after a few.
pub const MAX_FINDINGS: usize = 100;

/// Longest quoted line of a finding, in bytes, with the ellipsis.
pub const MAX_FINDING_BYTES: usize = 200;

/// The front-matter key that asks for a person.
pub const FRONT_MATTER_KEY: &str = "manual_migration";

/// Markers that hold an update unless the app configures its own.
pub const DEFAULT_MARKERS: &[&str] =
    &["manual migration", "breaking", "before upgrading", "action required", "manual step"];

/// One release's notes, as the bundle carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteFile {
    /// The release's version: the file's name without its ending.
    pub version: String,
    /// The file's content.
    pub bytes: Vec<u8>,
}

/// Phrases that ask for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    phrases: Vec<scan::Phrase>,
}

impl Markers {
    /// Markers from the configuration. A phrase without any letter or digit never matches.
    pub fn new<T: AsRef<str>>(phrases: &[T]) -> Self {
        Self { phrases: phrases.iter().map(|text| scan::Phrase::new(text.as_ref())).collect() }
    }
}

impl Default for Markers {
    fn default() -> Self {
        Self::new(DEFAULT_MARKERS)
    }
}

/// One place in the notes that asks for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The release whose notes say it.
    pub version: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// The line, trimmed, at most [`MAX_FINDING_BYTES`] bytes.
    pub text: String,
    /// The marker that was found; [`FRONT_MATTER_KEY`] for the front matter.
    pub marker: String,
}

/// Notes that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The version that names the file; the candidate's if it is about the whole set.
    pub version: String,
    /// Why.
    pub why: NoteError,
}

/// Why notes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The file's name is no version, so it cannot be placed before or after the current one.
    #[error("cannot tell which release the notes belong to")]
    Version(#[source] crate::version::VersionError),
    /// More than [`MAX_NOTE_BYTES`].
    #[error("the notes have {found} bytes, at most {limit} are read")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More than [`MAX_NOTE_FILES`].
    #[error("the bundle has {found} notes files, at most {limit} are read")]
    TooMany {
        /// Files found.
        found: usize,
        /// Files allowed.
        limit: usize,
    },
    /// Neither UTF-8 nor UTF-16 with its mark.
    #[error("the notes are not {encoding} text")]
    Encoding {
        /// What the file looked like.
        encoding: &'static str,
    },
}

/// What the notes between two releases say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Versions whose notes were read, oldest first.
    pub covered: Vec<String>,
    /// The candidate's version if it brings no notes. Which of the releases in between exist is not
    /// known here, so they cannot be missed.
    pub missing: Vec<String>,
    /// Places that ask for a person, in the order of `covered`.
    pub findings: Vec<Finding>,
    /// Findings beyond [`MAX_FINDINGS`].
    pub findings_left_out: usize,
    /// Notes in range, or with an unknown place, that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// True if there is not one word to read: no notes, or only blank ones.
    pub empty: bool,
}

/// Reads the notes of all releases after `current`, up to and with `candidate`.
///
/// With no `current` (its version is not known) everything up to the candidate is read. Opaque
/// versions have no order, so everything but the current release's notes is read. The candidate's
/// own notes are always read, also on the way down to an older release.
pub fn read(
    notes: &[NoteFile],
    current: Option<&Version>,
    candidate: &Version,
    form: VersionForm,
    markers: &Markers,
) -> Reading {
    let mut reading = Reading { empty: true, ..Reading::default() };
    if notes.len() > MAX_NOTE_FILES {
        let why = NoteError::TooMany { found: notes.len(), limit: MAX_NOTE_FILES };
        reading.unreadable.push(Unreadable { version: candidate.as_str().into(), why });
        reading.empty = false;
        return reading;
    }
    let mut in_range = Vec::new();
    for note in notes {
        match Version::parse(&note.version, form) {
            Ok(version) if is_in_range(&version, current, candidate) => {
                in_range.push((version, note));
            }
            Ok(_) => {}
            Err(why) => reading.unreadable(note, NoteError::Version(why)),
        }
    }
    in_range.sort_by(|(a, _), (b, _)| a.cmp(b));
    if !in_range.iter().any(|(version, _)| is_of(version, candidate)) {
        reading.missing.push(candidate.as_str().into());
    }
    for (_, note) in in_range {
        match decode(&note.bytes) {
            Ok(text) => reading.take(note, &text, markers),
            Err(why) => reading.unreadable(note, why),
        }
    }
    reading
}

fn is_in_range(version: &Version, current: Option<&Version>, candidate: &Version) -> bool {
    if version.as_str() == candidate.as_str() {
        return true;
    }
    if version.form() == VersionForm::Opaque {
        return current.is_none_or(|current| current.as_str() != version.as_str());
    }
    current.is_none_or(|current| current.published_order(version).is_lt())
        && version.published_order(candidate).is_le()
}

/// Whether notes named `version` are the candidate's own; notes are often shared by all flavors.
fn is_of(version: &Version, candidate: &Version) -> bool {
    version.as_str() == candidate.as_str()
        || (version.form() != VersionForm::Opaque && version.same_numbers(candidate))
}

impl Reading {
    fn unreadable(&mut self, note: &NoteFile, why: NoteError) {
        self.unreadable.push(Unreadable { version: note.version.clone(), why });
        self.empty = false;
    }

    fn take(&mut self, note: &NoteFile, text: &str, markers: &Markers) {
        self.covered.push(note.version.clone());
        let lines: Vec<&str> = text.lines().collect();
        let (asking_line, front_lines) = front_matter(&lines);
        let mut hits: Vec<(usize, String)> =
            asking_line.map(|line| (line, FRONT_MATTER_KEY.to_owned())).into_iter().collect();
        let found = scan::scan(&lines, front_lines, &markers.phrases);
        self.empty &= !found.has_words;
        hits.extend(found.hits.into_iter().filter(|(line, _)| Some(*line) != asking_line));
        for (at, marker) in hits {
            if self.findings.len() >= MAX_FINDINGS {
                self.findings_left_out += 1;
                continue;
            }
            let line = lines.get(at).copied().unwrap_or_default();
            self.findings.push(Finding {
                version: note.version.clone(),
                line: at + 1,
                text: shorten(line.trim()),
                marker,
            });
        }
    }
}

/// The line of the key if it asks for a person, and how many lines the front matter has.
///
/// Any value but a plain "no" asks. Without a closing line there is no front matter, and all is body.
fn front_matter(lines: &[&str]) -> (Option<usize>, usize) {
    let is_fence = |line: &&str| line.trim_end() == "---";
    if !lines.first().is_some_and(is_fence) {
        return (None, 0);
    }
    let Some(length) = lines.iter().skip(1).position(is_fence) else {
        return (None, 0);
    };
    let asks = |line: &str| {
        line.split_once(':').is_some_and(|(key, value)| {
            let value = value.split('#').next().unwrap_or_default();
            let value = value.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
            key.trim().trim_matches(['"', '\'']).eq_ignore_ascii_case(FRONT_MATTER_KEY)
                && !matches!(value.as_str(), "false" | "no" | "off" | "0")
        })
    };
    let found = lines.iter().skip(1).take(length).position(|line| asks(line));
    (found.map(|at| at + 1), length + 2)
}

/// Text of a notes file: UTF-8, or UTF-16 if it begins with a byte order mark.
fn decode(bytes: &[u8]) -> Result<String, NoteError> {
    if bytes.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLarge { found: bytes.len(), limit: MAX_NOTE_BYTES });
    }
    let (encoding, text) = match bytes {
        [0xff, 0xfe, rest @ ..] => ("UTF-16", utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => ("UTF-16", utf16(rest, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => ("UTF-8", String::from_utf8(rest.into()).ok()),
        all => ("UTF-8", String::from_utf8(all.into()).ok()),
    };
    // A zero character is no prose: UTF-32, or UTF-16 without its mark, would pass as text.
    text.filter(|text| !text.contains('\0')).ok_or(NoteError::Encoding { encoding })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    rest.is_empty().then(|| String::from_utf16(&units).ok())?
}

/// At most [`MAX_FINDING_BYTES`] bytes, cut between characters, with an ellipsis if cut.
fn shorten(text: &str) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= MAX_FINDING_BYTES {
        return text.into();
    }
    let end = text.floor_char_boundary(MAX_FINDING_BYTES - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", text.get(..end).unwrap_or_default())
}
