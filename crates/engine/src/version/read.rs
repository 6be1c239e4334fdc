//! Reads the deciding part of a version into numbers, pre-release and flavor.
//!
//! The grammar is in the parent's module doc; its faults are in the table of
//! `refused_texts_say_what_is_wrong_with_them`.

use super::{MAX_NUMBERS, PRE_RELEASE_WORDS, Parts, Piece, VersionError};

/// Reads `decides`, the deciding part of `text`.
pub(super) fn deciding_part(text: &str, decides: &str) -> Result<Parts, VersionError> {
    Reader { text }.parts(decides)
}

/// Holds the whole text, for errors.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn parts(&self, decides: &str) -> Result<Parts, VersionError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(found) = decides.chars().find(|c| !allowed(*c)) {
            return Err(VersionError::Character { text: self.text.into(), found });
        }
        let mut rest = decides.strip_prefix(['v', 'V']).unwrap_or(decides);
        let mut parts = Parts::default();
        loop {
            let (digits, after) = take_while(rest, |c| c.is_ascii_digit());
            parts.numbers.push(self.number(digits, rest)?);
            if parts.numbers.len() > MAX_NUMBERS {
                return Err(VersionError::TooManyNumbers {
                    text: self.text.into(),
                    limit: MAX_NUMBERS,
                });
            }
            let next = after.strip_prefix(['.', '_', '-']);
            match next {
                _ if after.is_empty() => return Ok(parts),
                Some(next) if after.starts_with('.') && !opens_pre_release(next) => rest = next,
                Some(next) if is_numbers(first_segment(next)) => rest = next,
                Some(next) => return self.suffixes(next, parts),
                None if opens_pre_release(after) => return self.suffixes(after, parts),
                None => return Err(self.suffix(after)),
            }
        }
    }

    fn number(&self, digits: &str, at: &str) -> Result<u64, VersionError> {
        if digits.is_empty() {
            return Err(VersionError::NotANumber { text: self.text.into(), at: at.into() });
        }
        digits.parse().map_err(|_| VersionError::NumberTooLarge {
            text: self.text.into(),
            number: digits.into(),
        })
    }

    /// Sorts what follows the numbers into pre-release and flavor.
    fn suffixes(&self, rest: &str, mut parts: Parts) -> Result<Parts, VersionError> {
        for segment in rest.split(['-', '_']) {
            if segment.split('.').any(str::is_empty) {
                return Err(self.suffix(rest));
            }
            let goes_on = is_numbers(segment) && parts.flavor.is_empty() && !parts.pre.is_empty();
            if opens_pre_release(segment) || goes_on {
                parts.pre.extend(pieces(segment));
            } else {
                parts.flavor.extend(pieces(segment));
            }
        }
        Ok(parts)
    }

    fn suffix(&self, suffix: &str) -> VersionError {
        VersionError::Suffix { text: self.text.into(), suffix: suffix.into() }
    }
}

/// Splits at the first character that does not match.
fn take_while(text: &str, matches: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !matches(c)).unwrap_or(text.len()))
}

/// The text up to the next `-` or `_`.
fn first_segment(text: &str) -> &str {
    take_while(text, |c| !matches!(c, '-' | '_')).0
}

fn is_numbers(segment: &str) -> bool {
    segment.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn opens_pre_release(text: &str) -> bool {
    let (word, after) = take_while(text, |c| c.is_ascii_alphabetic());
    let word = word.to_ascii_lowercase();
    PRE_RELEASE_WORDS.contains(&word.as_str())
        || (matches!(word.as_str(), "a" | "b" | "c")
            && after.starts_with(|c: char| c.is_ascii_digit()))
}

/// Runs of digits and runs of letters; everything else separates. `rc10` and `rc.10` are equal.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let kind = |c: char| if digits { c.is_ascii_digit() } else { c.is_alphabetic() };
        let (run, after) = take_while(rest, kind);
        if digits {
            let digits = run.trim_start_matches('0').to_owned();
            found.push(Piece::Number { length: digits.len(), digits });
        } else if !run.is_empty() {
            found.push(Piece::Word(run.to_lowercase()));
        }
        rest = if run.is_empty() { after.strip_prefix(first).unwrap_or_default() } else { after };
    }
    found
}
