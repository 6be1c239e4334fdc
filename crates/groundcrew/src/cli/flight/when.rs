//! Moments as people name them on the command line.

use groundcrew_recorder::format::segment::Header;

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

/// A moment as a person names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    /// Nanoseconds since the flight began.
    Since(i128),
    /// Nanoseconds since 1970.
    Utc(i64),
}

impl When {
    /// Understands seconds since the flight began, or a moment.
    ///
    /// # Errors
    ///
    /// What would be understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(seconds) = text.trim_end_matches('s').parse::<f64>()
            && seconds.is_finite()
            && seconds.abs() < 1e9
        {
            #[expect(clippy::cast_possible_truncation, reason = "less than 1e18")]
            return Ok(Self::Since((seconds * SECOND_NS) as i128));
        }
        let moment: Result<jiff::Timestamp, _> = text.parse();
        let ns = moment.ok().and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
        ns.map(Self::Utc).ok_or_else(|| {
            format!(
                "{text:?} is no time: expected seconds since the flight began (12.5) or a moment \
                 (2026-01-31T12:00:00Z)"
            )
        })
    }

    /// The same by the clock of the flight, whose segments have these headers. A moment is taken
    /// by the clocks at the beginning of the last segment that began before it.
    pub(super) fn flight_ns(self, headers: &[Header]) -> u64 {
        let Some(first) = headers.first() else { return 0 };
        let ns = match self {
            Self::Since(ns) => i128::from(first.time_ns) + ns,
            Self::Utc(utc_ns) => {
                let before = headers.iter().rev().find(|header| header.utc_ns <= utc_ns);
                let header = before.unwrap_or(first);
                i128::from(header.time_ns) + i128::from(utc_ns) - i128::from(header.utc_ns)
            }
        };
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use groundcrew_recorder::format::flight_id::FlightId;

    use super::*;

    fn header(time_ns: u64, utc_ns: i64) -> Header {
        let flight = FlightId::new(0, [0; 10]);
        Header { flight, boot: [0; 16], number: 0, first_seq: 0, time_ns, utc_ns }
    }

    #[test]
    fn seconds_and_moments_are_understood_and_other_words_refused() {
        assert_eq!(When::parse("1.5"), Ok(When::Since(1_500_000_000)));
        assert_eq!(When::parse("2s"), Ok(When::Since(2_000_000_000)));
        assert_eq!(When::parse("1970-01-01T00:00:01Z"), Ok(When::Utc(1_000_000_000)));
        assert_eq!(When::parse("1970-01-01T01:00:01+01:00"), Ok(When::Utc(1_000_000_000)));
        for text in ["", "noon", "nan", "1e300", "9999-12-31T00:00:00Z"] {
            assert!(When::parse(text).unwrap_err().contains("is no time"), "{text}");
        }
    }

    #[test]
    fn a_moment_is_taken_by_the_clocks_of_the_segment_before_it() {
        // The host's clock jumped ahead by 1000 between the segments.
        let headers = [header(100, 5000), header(200, 6100)];
        let at = |when: When| when.flight_ns(&headers);
        assert_eq!((at(When::Since(50)), at(When::Since(-500))), (150, 0));
        assert_eq!((at(When::Utc(5050)), at(When::Utc(6150)), at(When::Utc(4990))), (150, 250, 90));
        assert_eq!(When::Since(5).flight_ns(&[]), 0);
    }
}
