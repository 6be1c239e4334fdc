//! Figures and tables as Markdown that a terminal shows well too: columns have the same width in
//! every line.

use groundcrew_recorder::review::{Figure, Unit};

use crate::cli::print::said;

/// What stands where a flight does not say a figure.
pub(super) const ABSENT: &str = "absent";
/// The four figures of a spread, which have one line together.
const SPREAD: [&str; 4] = ["min", "median", "p95", "max"];
/// Characters of what somebody said that a cell has.
const CELL_MAX: usize = 120;

/// A table; the first line is its head.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let cell = |line: &Vec<String>, at: usize| line.get(at).map_or("", String::as_str).to_owned();
    let width = |at: usize| {
        let widths = lines.iter().map(|line| cell(line, at).chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells =
            widths.iter().enumerate().map(|(at, width)| format!("{:width$}", cell(line, at)));
        text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        if number == 0 {
            let rules = widths.iter().map(|width| "-".repeat(width + 2));
            text.push_str(&format!("|{}|\n", rules.collect::<Vec<_>>().join("|")));
        }
    }
    text
}

/// What somebody else said, as a cell: in one line, of a limited length.
pub(super) fn quoted(text: &str) -> String {
    let clean = said(text, 0).replace('\n', " ").replace('|', "\\|");
    match clean.char_indices().nth(CELL_MAX) {
        Some((end, _)) => format!("{}…", clean.split_at(end).0),
        None => clean,
    }
}

/// A value for people, with its unit.
pub(super) fn value(value: Option<f64>, unit: Unit) -> String {
    let Some(value) = value else { return ABSENT.to_owned() };
    match unit {
        Unit::Count => number(value),
        Unit::Percent => format!("{} %", number(value)),
        Unit::Seconds if value >= 60.0 => super::duration(whole(value * 1000.0)),
        Unit::Seconds => format!("{} s", number(value)),
        Unit::Milliseconds => format!("{} ms", number(value)),
        Unit::Meters => format!("{} m", number(value)),
        Unit::Celsius => format!("{} °C", number(value)),
        Unit::Bytes => super::size(whole(value)),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A number with three digits that matter, or all of its integer part.
fn number(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if value.fract() == 0.0 => 0,
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.1 => 3,
        _ if size >= 0.001 => 5,
        _ => return format!("{value:.1e}"),
    };
    format!("{value:.places$}")
}

/// Figures in groups, each a heading and a table; `notes` stand in place of the table of a group.
pub(super) fn groups(figures: &[Figure], note: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut text = String::new();
    for group in figures.chunk_by(|one, next| one.group == next.group) {
        let Some(first) = group.first() else { continue };
        text.push_str(&format!("\n## {}\n\n", first.group));
        if let Some(note) = note(first.group) {
            text.push_str(&format!("{note}\n"));
            continue;
        }
        let mut lines = vec![vec!["figure".to_owned(), "value".to_owned()]];
        let mut rest = group;
        while let Some((figure, behind)) = rest.split_first() {
            let spread = rest.split_at_checked(SPREAD.len()).filter(|(four, _)| is_spread(four));
            if let Some((four, behind)) = spread {
                lines.push(spread_line(four));
                rest = behind;
                continue;
            }
            lines.push(vec![figure.words(), value(figure.value, figure.unit)]);
            rest = behind;
        }
        text.push_str(&table(&lines));
    }
    text
}

fn is_spread(four: &[Figure]) -> bool {
    let ends = |(figure, which): (&Figure, &str)| figure.words().ends_with(&format!(" {which}"));
    four.iter().zip(SPREAD).all(ends)
}

fn spread_line(four: &[Figure]) -> Vec<String> {
    let name = four.first().map_or_else(String::new, Figure::words);
    let name = name.trim_end_matches(" min").to_owned();
    if four.iter().all(|figure| figure.value.is_none()) {
        return vec![name, ABSENT.to_owned()];
    }
    let one =
        |(figure, which): (&Figure, &str)| format!("{which} {}", value(figure.value, figure.unit));
    let all: Vec<String> = four.iter().zip(SPREAD).map(one).collect();
    vec![name, all.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_columns_of_one_width_and_no_cell_breaks_it() {
        let lines = [["a", "figure"], ["long name", "1"], ["ü", &quoted("x|y\nz\u{1b}[2J")]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.iter().map(ToString::to_string).collect()).collect();
        let expected = "\
| a         | figure     |
|-----------|------------|
| long name | 1          |
| ü         | x\\|y z\u{fffd}[2J |
";
        assert_eq!(table(&lines), expected);
        assert_eq!(quoted(&"é".repeat(200)).chars().count(), CELL_MAX + 1);
    }

    #[test]
    fn values_have_their_units_and_what_is_absent_is_no_zero() {
        for (given, unit, expected) in [
            (None, Unit::Count, "absent"),
            (Some(0.0), Unit::Percent, "0 %"),
            (Some(0.0123), Unit::Percent, "0.01230 %"),
            (Some(0.000_02), Unit::Percent, "2.0e-5 %"),
            (Some(1234.56), Unit::Meters, "1235 m"),
            (Some(-12.34), Unit::Celsius, "-12.3 °C"),
            (Some(3.456), Unit::Seconds, "3.46 s"),
            (Some(61.5), Unit::Seconds, "1 min 01 s"),
            (Some(2048.0), Unit::Bytes, "2.0 KiB"),
            (Some(7.0), Unit::Count, "7"),
            (Some(250.0), Unit::Milliseconds, "250 ms"),
        ] {
            assert_eq!(value(given, unit), expected);
        }
    }
}
