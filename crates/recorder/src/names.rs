//! What the files of a flight are called.

/// The directory of the segments in that of the flight.
pub const SEGMENTS: &str = "segments";

/// What a file in the directory of the segments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A segment that was sealed.
    Sealed(u32),
    /// A segment that is, or was, being written.
    Open(u32),
    /// Bytes that recovery set aside from a segment.
    Torn(u32),
}

impl Name {
    /// What the file is that is called so; `None`: none of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("seg_")?;
        let (digits, ending) = rest.split_once('.')?;
        // One number has one name, so that a name follows from its number.
        let padded = digits.len() == 5 || (digits.len() > 5 && !digits.starts_with('0'));
        let plain = padded && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| plain)?;
        match ending {
            "bin" => Some(Self::Sealed(number)),
            "bin.tmp" => Some(Self::Open(number)),
            "torn" => Some(Self::Torn(number)),
            _ => None,
        }
    }

    /// The segment's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Sealed(number) | Self::Open(number) | Self::Torn(number) => number,
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sealed(number) => write!(f, "seg_{number:05}.bin"),
            Self::Open(number) => write!(f, "seg_{number:05}.bin.tmp"),
            Self::Torn(number) => write!(f, "seg_{number:05}.torn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_strangers_are_none_of_ours() {
        for name in [Name::Sealed(0), Name::Open(99_999), Name::Torn(100_000)] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for name in [
            "seg_1.bin",
            "seg_0000x.bin",
            "seg_00001.bin.old",
            "seg_+0001.bin",
            "seg_000001.bin",
            "x",
            "",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
