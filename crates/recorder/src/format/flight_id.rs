//! Which flight this is: a UUID of version 7 (RFC 9562), so that names sort by time.

use std::fmt;
use std::str::FromStr;

/// A flight's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId([u8; 16]);

/// A text that is no flight id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no flight id: expected 32 hexadecimal digits in groups of 8-4-4-4-12")]
pub struct NotAFlightId(pub String);

impl FlightId {
    /// The id of a flight that begins `utc_ms` milliseconds after 1970, made unlike any other by
    /// `chance`.
    #[must_use]
    pub fn new(utc_ms: u64, chance: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        let (time, rest) = bytes.split_at_mut(6);
        time.copy_from_slice(utc_ms.to_be_bytes().last_chunk::<6>().expect("8 bytes hold 6"));
        rest.copy_from_slice(&chance);
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = 0x70 | (*version & 0x0f);
        *variant = 0x80 | (*variant & 0x3f);
        Self(bytes)
    }

    /// The id as it stands in a segment header.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it stands in a segment header.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlightId({self})")
    }
}

impl FromStr for FlightId {
    type Err = NotAFlightId;

    fn from_str(text: &str) -> Result<Self, NotAFlightId> {
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        let digits = text.replace('-', "");
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(&digits, 16).ok();
        let number = number.filter(|_| hexadecimal && groups == [8, 4, 4, 4, 12]);
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| NotAFlightId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_its_time_version_and_variant_and_reads_back() {
        let id = FlightId::new(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "standing",
            "0123456789ab7fffbfffffffffffffff",
            "+1234567-89ab-7fff-bfff-ffffffffffff",
        ] {
            assert_eq!(text.parse::<FlightId>(), Err(NotAFlightId(text.to_owned())));
        }
    }

    #[test]
    fn later_flights_sort_behind_earlier_ones() {
        assert!(FlightId::new(1000, [0xff; 10]) < FlightId::new(1001, [0; 10]));
    }
}
