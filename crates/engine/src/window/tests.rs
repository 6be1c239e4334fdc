//! Windows against tables of local times, through both clock changes of Central Europe.

use super::*;

/// Central European time, spelled out so that no zone database is needed.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn windows(open: &[&str], blackout: &[&str]) -> Windows {
    Windows::parse(berlin(), open, blackout).unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `open`, `blackout`, now, expected: `open until T`, `closed until T`, without a T for never.
type Row = (&'static [&'static str], &'static [&'static str], &'static str, &'static str);

fn check(rows: &[Row]) {
    for (open, blackout, now, expected) in rows {
        let tz = berlin();
        let local = |t: Timestamp| format!("{}", t.to_zoned(tz.clone()).strftime("%a %F %H:%M %z"));
        let found = match windows(open, blackout).state(at(now)) {
            WindowState::Open { closes } => {
                format!("open until {}", closes.map_or("ever".into(), local))
            }
            WindowState::Closed { opens } => {
                format!("closed until {}", opens.map_or("ever".into(), local))
            }
        };
        assert_eq!(found, *expected, "{open:?} without {blackout:?} at {now}");
    }
}

#[test]
fn a_window_is_open_from_its_start_until_just_before_its_end() {
    const NIGHT: &[&str] = &["Mon-Fri 02:00-05:00"];
    // 2026-11-20 is a Friday; local time is UTC+1.
    check(&[
        (NIGHT, &[], "2026-11-20T00:59:59Z", "closed until Fri 2026-11-20 02:00 +0100"),
        (NIGHT, &[], "2026-11-20T01:00:00Z", "open until Fri 2026-11-20 05:00 +0100"),
        (NIGHT, &[], "2026-11-20T03:59:59.999999999Z", "open until Fri 2026-11-20 05:00 +0100"),
        (NIGHT, &[], "2026-11-20T04:00:00Z", "closed until Mon 2026-11-23 02:00 +0100"),
    ]);
}

#[test]
fn a_window_that_ends_before_it_starts_crosses_midnight() {
    const WEEKEND: &[&str] = &["Sat,Sun 22:00-04:00"];
    check(&[
        (WEEKEND, &[], "2026-11-21T02:00:00Z", "closed until Sat 2026-11-21 22:00 +0100"),
        (WEEKEND, &[], "2026-11-21T21:00:00Z", "open until Sun 2026-11-22 04:00 +0100"),
        (WEEKEND, &[], "2026-11-22T02:59:00Z", "open until Sun 2026-11-22 04:00 +0100"),
        (WEEKEND, &[], "2026-11-22T03:00:00Z", "closed until Sun 2026-11-22 22:00 +0100"),
        (WEEKEND, &[], "2026-11-23T02:59:00Z", "open until Mon 2026-11-23 04:00 +0100"),
        (WEEKEND, &[], "2026-11-23T03:00:00Z", "closed until Sat 2026-11-28 22:00 +0100"),
    ]);
}

#[test]
fn windows_that_touch_or_overlap_are_one() {
    check(&[
        (
            &["daily 20:00-24:00", "daily 00:00-03:00", "Sat 02:00-06:00"],
            &[],
            "2026-11-20T20:00:00Z",
            "open until Sat 2026-11-21 06:00 +0100",
        ),
        (
            &["daily 20:00-00:00"],
            &[],
            "2026-11-20T20:00:00Z",
            "open until Sat 2026-11-21 00:00 +0100",
        ),
        (&["daily 00:00-24:00"], &[], "2026-11-20T20:00:00Z", "open until ever"),
        (
            &["Fri-Mon 00:00-24:00"],
            &[],
            "2026-11-20T20:00:00Z",
            "open until Tue 2026-11-24 00:00 +0100",
        ),
        (&[], &[], "2026-11-20T20:00:00Z", "open until ever"),
    ]);
}

#[test]
fn blackouts_win_over_windows_on_both_their_days() {
    const NIGHT: &[&str] = &["daily 22:00-04:00"];
    const HOLIDAY: &[&str] = &["2026-12-20..2027-01-06"];
    check(&[
        (NIGHT, HOLIDAY, "2026-12-19T22:00:00Z", "open until Sun 2026-12-20 00:00 +0100"),
        (NIGHT, HOLIDAY, "2026-12-19T23:00:00Z", "closed until Thu 2027-01-07 00:00 +0100"),
        (NIGHT, HOLIDAY, "2027-01-06T22:30:00Z", "closed until Thu 2027-01-07 00:00 +0100"),
        (&[], &["2026-11-21"], "2026-11-20T12:00:00Z", "open until Sat 2026-11-21 00:00 +0100"),
        (&[], &["2026-11-21"], "2026-11-21T12:00:00Z", "closed until Sun 2026-11-22 00:00 +0100"),
        (
            &[],
            &["2026-11-21", "2026-11-22..2026-11-23"],
            "2026-11-21T12:00:00Z",
            "closed until Tue 2026-11-24 00:00 +0100",
        ),
        (&[], &["2026-01-01..2028-12-31"], "2026-11-21T12:00:00Z", "closed until ever"),
    ]);
}

/// Clocks jump from 02:00 to 03:00 on 2027-03-28, and are set back from 03:00 to 02:00 on
/// 2026-10-25, both at 01:00 UTC.
#[test]
fn windows_follow_the_clock_when_it_jumps() {
    const NIGHT: &[&str] = &["daily 02:00-05:00"];
    const SKIPPED: &[&str] = &["daily 02:15-02:45"];
    const INTO: &[&str] = &["daily 01:00-02:30"];
    check(&[
        (NIGHT, &[], "2027-03-28T00:59:00Z", "closed until Sun 2027-03-28 03:00 +0200"),
        (NIGHT, &[], "2027-03-28T01:00:00Z", "open until Sun 2027-03-28 05:00 +0200"),
        (INTO, &[], "2027-03-28T00:30:00Z", "open until Sun 2027-03-28 03:00 +0200"),
        (SKIPPED, &[], "2027-03-28T00:30:00Z", "closed until Mon 2027-03-29 02:15 +0200"),
        (SKIPPED, &[], "2027-03-28T01:20:00Z", "closed until Mon 2027-03-29 02:15 +0200"),
        (NIGHT, &[], "2026-10-24T23:59:00Z", "closed until Sun 2026-10-25 02:00 +0200"),
        (NIGHT, &[], "2026-10-25T00:00:00Z", "open until Sun 2026-10-25 05:00 +0100"),
        (SKIPPED, &[], "2026-10-25T00:20:00Z", "open until Sun 2026-10-25 02:45 +0200"),
        (SKIPPED, &[], "2026-10-25T01:20:00Z", "closed until Mon 2026-10-26 02:15 +0100"),
        (INTO, &[], "2026-10-25T00:20:00Z", "open until Sun 2026-10-25 02:30 +0200"),
        (INTO, &[], "2026-10-25T01:20:00Z", "closed until Mon 2026-10-26 01:00 +0100"),
    ]);
}

/// The state looked up minute by minute is the reference.
#[test]
fn every_promised_opening_and_closing_comes_true() {
    let tables: &[(&[&str], &[&str])] = &[
        (&["Mon-Fri 02:00-05:00"], &["2026-10-27"]),
        (&["Sat,Sun 22:00-04:00", "daily 01:00-03:00"], &["2026-10-25"]),
        (&["daily 02:15-02:45", "Sun 00:00-24:00"], &["2026-10-26..2026-10-27"]),
        (&[], &["2026-10-24", "2026-10-26"]),
    ];
    for start in ["2026-10-23T00:00:00Z", "2027-03-26T00:00:00Z"] {
        for (open, blackout) in tables {
            let windows = windows(open, blackout);
            let steps: Vec<(Timestamp, WindowState)> = (0..5 * 24 * 12)
                .map(|step| at(start) + (step * 5).minutes())
                .map(|now| (now, windows.state(now)))
                .collect();
            for pair in steps.windows(2) {
                let ((now, state), (later, next)) = (pair[0], pair[1]);
                let (was_open, change) = match state {
                    WindowState::Open { closes } => (true, closes),
                    WindowState::Closed { opens } => (false, opens),
                };
                assert!(change.is_none_or(|change| change > now), "{open:?} {now}");
                let is_open = matches!(next, WindowState::Open { .. });
                let promised = change.is_some_and(|change| change <= later);
                assert_eq!(was_open != is_open, promised, "{open:?} {blackout:?} {now}");
            }
        }
    }
}

#[test]
fn refused_windows_name_the_bad_piece_and_show_a_good_one() {
    let day = "days are written as in \"Mon-Fri 02:00-05:00\"";
    let time = "times are written as in \"Mon-Fri 02:00-05:00\"";
    let table = [
        ("", "window \"\" is not days and times, as in \"Mon-Fri 02:00-05:00\"".to_owned()),
        (
            "02:00-05:00",
            "window \"02:00-05:00\" is not days and times, as in \"Mon-Fri 02:00-05:00\"".into(),
        ),
        (
            "Mon 02:00",
            "window \"Mon 02:00\" is not days and times, as in \"Mon-Fri 02:00-05:00\"".into(),
        ),
        ("Mo 02:00-05:00", format!("window \"Mo 02:00-05:00\" has the day \"Mo\", {day}")),
        ("Mon, 02:00-05:00", format!("window \"Mon, 02:00-05:00\" has the day \"\", {day}")),
        ("Mon 2:00-05:00", format!("window \"Mon 2:00-05:00\" has the time \"2:00\", {time}")),
        ("Mon 02:60-05:00", format!("window \"Mon 02:60-05:00\" has the time \"02:60\", {time}")),
        ("Mon 24:00-05:00", format!("window \"Mon 24:00-05:00\" has the time \"24:00\", {time}")),
        ("Mon 02:00-24:01", format!("window \"Mon 02:00-24:01\" has the time \"24:01\", {time}")),
        ("Mon +2:00-05:00", format!("window \"Mon +2:00-05:00\" has the time \"+2:00\", {time}")),
        (
            "Mon 02:00-02:00",
            "window \"Mon 02:00-02:00\" starts and ends at 02:00; a whole day is \"daily 00:00-24:00\"".into(),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<Weekly>().expect_err(text).to_string(), expected);
    }
}

#[test]
fn refused_blackouts_name_the_bad_piece_and_show_a_good_one() {
    let example = "\"2026-12-20..2027-01-06\"";
    let table = [
        (
            "Xmas",
            format!("blackout \"Xmas\" has the date \"Xmas\", dates are written as in {example}"),
        ),
        (
            "2026-12-20..",
            format!(
                "blackout \"2026-12-20..\" has the date \"\", dates are written as in {example}"
            ),
        ),
        (
            "2026-02-30",
            format!(
                "blackout \"2026-02-30\" has the date \"2026-02-30\", dates are written as in {example}"
            ),
        ),
        (
            "2026-12-20T10:00",
            format!(
                "blackout \"2026-12-20T10:00\" has the date \"2026-12-20T10:00\", dates are written as in {example}"
            ),
        ),
        (
            "2027-01-06..2026-12-20",
            format!(
                "blackout \"2027-01-06..2026-12-20\" ends before it begins; write it as in {example}"
            ),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(text.parse::<Days>().expect_err(text).to_string(), expected);
    }
}

#[test]
fn too_many_windows_are_refused_with_both_numbers() {
    let many = vec!["daily 02:00-03:00"; MAX_WINDOWS + 1];
    let error = Windows::parse(berlin(), &many, &[]).expect_err("33 windows");
    assert_eq!(error.to_string(), "33 windows are written, at most 32 are allowed");
}

#[test]
fn windows_are_shown_as_they_are_written() {
    for text in ["Mon,Tue,Wed 02:00-05:00", "Sun 22:00-04:00", "daily 00:00-24:00"] {
        assert_eq!(text.parse::<Weekly>().unwrap().to_string(), text);
    }
    assert_eq!(
        "fri-SUN 22:00-04:00".parse::<Weekly>().unwrap().to_string(),
        "Fri,Sat,Sun 22:00-04:00"
    );
    for text in ["2026-12-24", "2026-12-20..2027-01-06"] {
        assert_eq!(text.parse::<Days>().unwrap().to_string(), text);
    }
}

#[test]
fn the_end_of_representable_time_is_no_panic() {
    let windows = windows(&["daily 22:00-04:00"], &["9999-12-30..9999-12-31"]);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(matches!(
            windows.state(now),
            WindowState::Closed { .. } | WindowState::Open { .. }
        ));
    }
}
