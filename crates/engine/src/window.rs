//! Maintenance windows: may an update start now, and if not, when is the next opening (GATE-5).
//!
//! Windows are written as a person says them, in one time zone:
//!
//! ```text
//! Mon-Fri 02:00-05:00        Sat,Sun 22:00-04:00 (until Sunday and Monday morning)
//! daily 03:00-04:00          daily 00:00-24:00
//! 2026-12-20..2027-01-06     2026-12-24                     blackouts, both ends included
//! ```
//!
//! A window crosses midnight when it ends before it starts; its days are those on which it starts.
//! No window at all means always open; blackouts win over windows.
//!
//! When clocks jump forward, a time that does not exist is the moment of the jump, so a window
//! inside the jump does not open that day. When clocks are set back, the first of the two equal
//! times counts for both ends, so no window is open twice in one night
//! (`windows_follow_the_clock_when_it_jumps`).
//!
//! Invariant: the state agrees with itself, `Open` until just before `closes`, `Closed` until just
//! before `opens` (`every_promised_opening_and_closing_comes_true`).

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

#[cfg(test)]
mod tests;

/// How far ahead the next opening or closing is looked for, in days: a year of blackout and more.
pub const HORIZON_DAYS: i32 = 400;

/// Most windows of one app. A search tries each of them on every day up to the horizon.
pub const MAX_WINDOWS: usize = 32;

/// Most blackouts of one app.
pub const MAX_BLACKOUTS: usize = 64;

const WINDOW_EXAMPLE: &str = "Mon-Fri 02:00-05:00";
const BLACKOUT_EXAMPLE: &str = "2026-12-20..2027-01-06";
const MINUTES_PER_DAY: u16 = 24 * 60;

/// Why a window or blackout cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The text does not have the parts of a window.
    #[error("window {text:?} is not days and times, as in {WINDOW_EXAMPLE:?}")]
    Shape {
        /// The whole text.
        text: String,
    },
    /// An unknown weekday.
    #[error("window {text:?} has the day {piece:?}, days are written as in {WINDOW_EXAMPLE:?}")]
    Day {
        /// The whole text.
        text: String,
        /// What stands where a day has to be.
        piece: String,
    },
    /// A time that is not `HH:MM`, or 24:00 as a start.
    #[error("window {text:?} has the time {piece:?}, times are written as in {WINDOW_EXAMPLE:?}")]
    Time {
        /// The whole text.
        text: String,
        /// What stands where a time has to be.
        piece: String,
    },
    /// Start and end are equal: never and always are both possible readings.
    #[error("window {text:?} starts and ends at {piece}; a whole day is \"daily 00:00-24:00\"")]
    NoLength {
        /// The whole text.
        text: String,
        /// The time that is written twice.
        piece: String,
    },
    /// A blackout that is neither a date nor two of them.
    #[error(
        "blackout {text:?} has the date {piece:?}, dates are written as in {BLACKOUT_EXAMPLE:?}"
    )]
    Date {
        /// The whole text.
        text: String,
        /// What stands where a date has to be.
        piece: String,
    },
    /// A blackout whose last day comes before its first.
    #[error("blackout {text:?} ends before it begins; write it as in {BLACKOUT_EXAMPLE:?}")]
    Backwards {
        /// The whole text.
        text: String,
    },
    /// Too many windows or blackouts.
    #[error("{found} {what} are written, at most {limit} are allowed")]
    TooMany {
        /// `windows` or `blackouts`.
        what: &'static str,
        /// How many were found.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// One opening per chosen weekday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weekly {
    /// Bit 0 is Monday, bit 6 is Sunday: the days on which the window starts.
    days: u8,
    /// Minutes since midnight, 0 to 1439.
    start: u16,
    /// Minutes since midnight, 1 to 1440; not above `start` means the next day.
    end: u16,
}

/// A span of dates, both ends included, on which nothing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Days {
    first: Date,
    last: Date,
}

/// All windows and blackouts of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// The zone in which times and dates are meant.
    pub tz: TimeZone,
    /// Openings; none means always open.
    pub open: Vec<Weekly>,
    /// Days on which nothing starts, whatever `open` says.
    pub blackout: Vec<Days>,
}

/// Whether an update may start, and until or from when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// Open; `closes` is the first moment at which it is not, if that is within the horizon.
    Open {
        /// First closed moment.
        closes: Option<Timestamp>,
    },
    /// Closed; `opens` is the first moment at which it is not, if that is within the horizon.
    Closed {
        /// First open moment.
        opens: Option<Timestamp>,
    },
}

impl Windows {
    /// Reads the texts of the configuration.
    ///
    /// # Errors
    /// The first text that cannot be read, or too many of them.
    pub fn parse<T: AsRef<str>>(
        tz: TimeZone,
        open: &[T],
        blackout: &[T],
    ) -> Result<Self, WindowError> {
        let counts =
            [("windows", open.len(), MAX_WINDOWS), ("blackouts", blackout.len(), MAX_BLACKOUTS)];
        for (what, found, limit) in counts {
            if found > limit {
                return Err(WindowError::TooMany { what, found, limit });
            }
        }
        Ok(Self {
            tz,
            open: open.iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>()?,
            blackout: blackout
                .iter()
                .map(|text| text.as_ref().parse())
                .collect::<Result<_, _>>()?,
        })
    }

    /// The state at `now`, and when it changes.
    pub fn state(&self, now: Timestamp) -> WindowState {
        let dark: Vec<Span> = self.blackout.iter().filter_map(|d| d.span(&self.tz)).collect();
        if self.is_open(&dark, now) {
            WindowState::Open { closes: self.first_change(&dark, now, false) }
        } else {
            WindowState::Closed { opens: self.first_change(&dark, now, true) }
        }
    }

    fn is_open(&self, dark: &[Span], at: Timestamp) -> bool {
        let inside = |(start, end): &Span| *start <= at && at < *end;
        if dark.iter().any(inside) {
            return false;
        }
        self.open.is_empty() || self.spans_over(self.tz.to_datetime(at).date()).any(|s| inside(&s))
    }

    /// The first moment after `now` at which being open is `wanted`.
    ///
    /// The state can change only at an edge of a window or a blackout, so only edges are tried, one
    /// day after the other.
    fn first_change(&self, dark: &[Span], now: Timestamp, wanted: bool) -> Option<Timestamp> {
        let today = self.tz.to_datetime(now).date();
        let mut after = now;
        for ahead in 0..=HORIZON_DAYS {
            let day = today.checked_add(ahead.days()).ok()?;
            let until = instant(&self.tz, day, MINUTES_PER_DAY)?;
            let spans = self.spans_over(day).chain(dark.iter().copied());
            let mut edges: Vec<Timestamp> = spans
                .flat_map(|(start, end)| [start, end])
                .filter(|edge| *edge > now && after <= *edge && *edge < until)
                .collect();
            edges.sort_unstable();
            if let Some(edge) = edges.into_iter().find(|e| self.is_open(dark, *e) == wanted) {
                return Some(edge);
            }
            after = until;
        }
        None
    }

    /// The openings that can reach into `day`: those of that day and of the day before.
    fn spans_over(&self, day: Date) -> impl Iterator<Item = Span> {
        [day.yesterday().ok(), Some(day)].into_iter().flatten().flat_map(move |start_day| {
            self.open.iter().filter_map(move |weekly| weekly.span_on(start_day, &self.tz))
        })
    }
}

/// From the first moment (included) to the last (excluded).
type Span = (Timestamp, Timestamp);

impl Weekly {
    /// The opening that starts on `day`; `None` if there is none or the clock jumps over it.
    fn span_on(&self, day: Date, tz: &TimeZone) -> Option<Span> {
        if self.days & day_bit(day.weekday()) == 0 {
            return None;
        }
        let last = if self.end > self.start { day } else { day.tomorrow().ok()? };
        let span = (instant(tz, day, self.start)?, instant(tz, last, self.end)?);
        (span.0 < span.1).then_some(span)
    }
}

impl Days {
    fn span(&self, tz: &TimeZone) -> Option<Span> {
        Some((instant(tz, self.first, 0)?, instant(tz, self.last, MINUTES_PER_DAY)?))
    }
}

/// When the clock in `tz` shows `minutes` past midnight of `day` for the first time, or jumps over
/// it. `None` only at the end of representable time.
fn instant(tz: &TimeZone, day: Date, minutes: u16) -> Option<Timestamp> {
    let (day, minutes) =
        if minutes < MINUTES_PER_DAY { (day, minutes) } else { (day.tomorrow().ok()?, 0) };
    let hour = i8::try_from(minutes / 60).ok()?;
    let minute = i8::try_from(minutes % 60).ok()?;
    let local = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
    match tz.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // With the later offset a skipped time lies just before the jump.
            let before_jump = after.to_timestamp(local).ok()?;
            tz.following(before_jump).next().map(|jump| jump.timestamp())
        }
    }
}

fn day_bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset().clamp(0, 6)
}

impl FromStr for Weekly {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let shape = || WindowError::Shape { text: text.into() };
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[days, times] = words.as_slice() else {
            return Err(shape());
        };
        let (from, to) = times.split_once('-').ok_or_else(shape)?;
        let time = |piece: &str, limit: u16| {
            minutes(piece, limit)
                .ok_or_else(|| WindowError::Time { text: text.into(), piece: piece.into() })
        };
        let start = time(from, MINUTES_PER_DAY - 1)?;
        let end = time(to, MINUTES_PER_DAY)?;
        if start == end {
            return Err(WindowError::NoLength { text: text.into(), piece: from.into() });
        }
        // An end at midnight is the end of the same day.
        let end = if end == 0 { MINUTES_PER_DAY } else { end };
        let mut set = 0;
        for piece in days.split(',') {
            set |= day_set(piece)
                .ok_or_else(|| WindowError::Day { text: text.into(), piece: piece.into() })?;
        }
        Ok(Self { days: set, start, end })
    }
}

/// `HH:MM` in minutes since midnight, at most `limit`.
fn minutes(piece: &str, limit: u16) -> Option<u16> {
    let two_digits = |text: &str| -> Option<u16> {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hour, minute) = piece.split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= limit).then_some(total)
}

/// `Mon`, `Mon-Fri`, `Fri-Mon` (over the weekend) or `daily`, whatever the case.
fn day_set(piece: &str) -> Option<u8> {
    if piece.eq_ignore_ascii_case("daily") {
        return Some(0b111_1111);
    }
    let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
    let (first, last) = (weekday(first)?, weekday(last)?);
    let mut set = 0;
    for day in first.cycle_forward().take(7) {
        set |= day_bit(day);
        if day == last {
            break;
        }
    }
    Some(set)
}

fn weekday(name: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    NAMES.iter().find(|(short, _)| name.eq_ignore_ascii_case(short)).map(|(_, day)| *day)
}

impl FromStr for Days {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let date = |piece: &str| {
            // The library also reads dates with times; only `YYYY-MM-DD` is meant here.
            let short = piece.len() == "2026-12-24".len();
            short
                .then(|| piece.parse::<Date>().ok())
                .flatten()
                .ok_or_else(|| WindowError::Date { text: text.into(), piece: piece.into() })
        };
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (date(first)?, date(last)?);
        if last < first {
            return Err(WindowError::Backwards { text: text.into() });
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| self.days & (1 << bit) != 0)
            .map(|(_, name)| name)
            .collect();
        let days = if days.len() == 7 { "daily".to_owned() } else { days.join(",") };
        let (start, end) = (self.start, self.end);
        write!(f, "{days} {:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}..{}", self.first, self.last)
        }
    }
}
