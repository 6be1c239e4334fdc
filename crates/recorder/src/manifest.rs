//! What a flight's manifest says: who was flown, with what, and when.
//!
//! It is a convenience that can be made again, never a condition: a flight is read from its
//! segments alone. What only the recorder knew (the apps, the configuration) is empty in one that
//! was made again. Members are only ever added, and a reader passes over those that it does not
//! know.

use serde::{Deserialize, Serialize};

use crate::body::types::FlightFooter;
use crate::format::segment::Header;

/// The version of the manifest's shape.
pub const SCHEMA: u32 = 1;

/// A flight's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of its shape; 1.
    pub schema: u32,
    /// The flight's id.
    pub flight: String,
    /// The host's name.
    #[serde(default)]
    pub host: String,
    /// The releases of the apps that ran.
    #[serde(default)]
    pub apps: Vec<AppRelease>,
    /// The revision of what was flown, as whoever deploys calls it.
    #[serde(default)]
    pub revision: String,
    /// The digest of the host's configuration.
    #[serde(default)]
    pub config_digest: String,
    /// What the times of the records count from.
    pub time_base: TimeBase,
    /// When it began.
    pub started: Stamp,
    /// How it ended; none: it goes on, or nobody could say so any more.
    #[serde(default)]
    pub stopped: Option<Stop>,
}

/// The release of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRelease {
    /// The app.
    pub app: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: String,
}

/// What the times of the records count from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// The clock; always `CLOCK_BOOTTIME`.
    pub clock: String,
    /// The boot that it counts from, as 32 hexadecimal digits.
    pub boot: String,
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Nanoseconds of the time base.
    pub time_ns: u64,
    /// Nanoseconds since 1970, as far as the host knew.
    pub utc_ns: i64,
}

/// How a flight ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// When.
    pub at: Stamp,
    /// Whether the recorder ended it itself.
    pub clean: bool,
    /// Why it ended.
    pub reason: String,
}

impl Manifest {
    /// What the first segment of a flight says of it.
    #[must_use]
    pub fn of(first: &Header) -> Self {
        Self {
            schema: SCHEMA,
            flight: first.flight.to_string(),
            host: String::new(),
            apps: Vec::new(),
            revision: String::new(),
            config_digest: String::new(),
            time_base: TimeBase { clock: "CLOCK_BOOTTIME".to_owned(), boot: hex(&first.boot) },
            started: Stamp { time_ns: first.time_ns, utc_ns: first.utc_ns },
            stopped: None,
        }
    }

    /// Notes the end that a footer tells of, whose record has this time.
    pub fn stop(&mut self, footer: &FlightFooter, at: Stamp) {
        let FlightFooter { clean_shutdown: clean, reason, .. } = footer.clone();
        self.stopped = Some(Stop { at, clean, reason });
    }
}

impl Stamp {
    /// The moment of a record, by the clocks at the beginning of its segment.
    #[must_use]
    pub fn of(header: &Header, time_ns: u64) -> Self {
        let since = i128::from(time_ns) - i128::from(header.time_ns);
        let utc_ns = i128::from(header.utc_ns) + since;
        let bound = if utc_ns < 0 { i64::MIN } else { i64::MAX };
        Self { time_ns, utc_ns: i64::try_from(utc_ns).unwrap_or(bound) }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written to");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::flight_id::FlightId;

    fn header(time_ns: u64, utc_ns: i64) -> Header {
        let flight = FlightId::new(1000, [1; 10]);
        Header { flight, boot: [0xab; 16], number: 0, first_seq: 0, time_ns, utc_ns }
    }

    #[test]
    fn a_manifest_of_a_later_version_is_read_and_a_short_one_too() {
        let text = r#"{"schema": 1, "flight": "x", "later": {"a": 1},
            "time_base": {"clock": "CLOCK_BOOTTIME", "boot": "00"},
            "started": {"time_ns": 5, "utc_ns": -6}}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.started, Stamp { time_ns: 5, utc_ns: -6 });
        assert!(manifest.stopped.is_none() && manifest.apps.is_empty());
    }

    #[test]
    fn utc_follows_from_the_segments_two_clocks_and_never_wraps() {
        let utc = |header: &Header, time_ns| Stamp::of(header, time_ns).utc_ns;
        assert_eq!(utc(&header(100, 5000), 130), 5030);
        assert_eq!(utc(&header(100, 5000), 70), 4970);
        assert_eq!(utc(&header(0, 5000), u64::MAX), i64::MAX);
        assert_eq!(utc(&header(u64::MAX, i64::MIN), 0), i64::MIN);
        assert_eq!(Manifest::of(&header(1, 2)).time_base.boot, "ab".repeat(16));
    }
}
