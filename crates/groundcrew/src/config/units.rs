//! Durations and sizes as a person writes them: `"5m"`, `"1h30m"`, `"150ms"`, `"64MiB"`.

/// Longest duration that is accepted: a hundred years, so that sums never overflow.
const DURATION_MAX_MS: u64 = 100 * 365 * 24 * 3_600_000;

const TIMES: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration into milliseconds.
///
/// # Errors
///
/// What is wrong with the text, for people.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration; write it as in \"90s\", \"5m\", \"1h30m\"");
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, unit, tail) = split(rest).ok_or_else(wrong)?;
        let factor = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let part = number.checked_mul(factor).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if total > DURATION_MAX_MS {
        return Err(format!("{text:?} is longer than a hundred years"));
    }
    Ok(total)
}

/// Reads a size into bytes.
///
/// # Errors
///
/// What is wrong with the text, for people.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write it as in \"512KiB\", \"64MiB\", \"2GB\"");
    let (number, unit, tail) = split(text.trim()).ok_or_else(wrong)?;
    let factor = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
    if !tail.is_empty() {
        return Err(wrong());
    }
    number.checked_mul(factor).ok_or_else(wrong)
}

/// The first number, its unit, and what follows.
fn split(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, tail))
}

/// A duration for people: the two largest units that say something.
#[must_use]
pub(crate) fn show_ms(ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    let mut left = ms;
    let mut parts = Vec::new();
    for (name, factor) in TIMES.iter().rev() {
        if left >= *factor {
            parts.push(format!("{}{name}", left / factor));
            left %= factor;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// A size for people.
#[must_use]
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        Some((name, factor)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_a_person_writes_them() {
        for (text, ms) in
            [("150ms", 150), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5m", "5min", "99999999999999999999s", "40000d"] {
            assert!(duration_ms(text).is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn sizes_are_read_with_both_families_of_units() {
        for (text, bytes) in
            [("10B", 10), ("1kB", 1_000), ("64MiB", 64 << 20), ("2GB", 2_000_000_000)]
        {
            assert_eq!(size_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "10", "MiB", "1MiB2KiB", "99999999999TiB"] {
            assert!(size_bytes(text).is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn lengths_and_sizes_are_shown_in_their_largest_units() {
        for (ms, text) in [(12, "12 ms"), (61_000, "1m 1s"), (90_061_000, "1d 1h")] {
            assert_eq!(show_ms(ms), text);
        }
        assert_eq!((show_bytes(1_536), show_bytes(7)), ("1.5 KiB".into(), "7 bytes".into()));
    }
}
