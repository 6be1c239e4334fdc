//! The data file's four formats, as bytes in memory: no file is touched here.
//!
//! ```text
//! ledger 1        ledger 2               ledger 3 and 4
//! row 7           row 7 CHECKSUM         row 1 7 CHECKSUM
//! row 9           row 9 CHECKSUM         row 2 9 CHECKSUM
//! ```
//!
//! A checksum is 16 hexadecimal digits of FNV-1a over the line before it, in format 4 over the
//! previous row's checksum as well.
//! A row counts when its line feed is there: what follows the last one was never acknowledged.
//!
//! Invariants: every cut of a file reads as its first rows or not at all, see
//! `a_file_cut_anywhere_reads_as_its_first_rows`.

use crate::release::Format;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Why bytes are no ledger.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first line is not `ledger N` with a known N.
    #[error("the first line is {found:?} instead of \"ledger 1\" to \"ledger 4\"")]
    Header {
        /// What stands there.
        found: String,
    },
    /// A line is not a row in the file's format.
    #[error("line {line} is no row in {format}")]
    Row {
        /// The line, from 1.
        line: usize,
        /// The file's format.
        format: Format,
    },
    /// A line's checksum is not what its text gives.
    #[error("line {line} has checksum {found}, expected {expected:016x}")]
    Checksum {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
        /// What its text gives.
        expected: u64,
    },
}

/// One row as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its place, from 1; formats 3 and 4 write it down.
    pub(crate) ordinal: u64,
    /// The number that a user gave.
    pub(crate) number: u64,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Its format.
    pub(crate) format: Format,
    /// Its rows, in their order.
    pub(crate) rows: Vec<Row>,
    /// Bytes up to and with the last line feed; what follows is a torn row.
    pub(crate) whole_bytes: usize,
    /// What the next row's checksum is chained to.
    pub(crate) chain: u64,
}

impl Decoded {
    /// The first place that no row has, where one is missing.
    pub(crate) fn first_gap(&self) -> Option<u64> {
        (1..).zip(&self.rows).find(|(place, row)| *place != row.ordinal).map(|(place, _)| place)
    }
}

/// The first line of a file in this format.
pub(crate) fn header(format: Format) -> String {
    format!("ledger {}\n", format.epoch())
}

/// One row's line and the chain after it.
pub(crate) fn line(format: Format, row: Row, chain: u64) -> (String, u64) {
    let text = match format {
        Format::Plain | Format::Summed => format!("row {}", row.number),
        Format::Numbered | Format::Chained => format!("row {} {}", row.ordinal, row.number),
    };
    let sum = checksum(format, &text, chain);
    match format {
        Format::Plain => (format!("{text}\n"), sum),
        Format::Summed | Format::Numbered | Format::Chained => {
            (format!("{text} {sum:016x}\n"), sum)
        }
    }
}

/// A whole file.
pub(crate) fn encode(format: Format, rows: &[Row]) -> Vec<u8> {
    let mut text = header(format);
    let mut chain = 0;
    for row in rows {
        let (line, next) = line(format, *row, chain);
        text.push_str(&line);
        chain = next;
    }
    text.into_bytes()
}

/// Reads a whole file; a torn last line is left out.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let whole_bytes = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let whole = bytes.get(..whole_bytes).expect("the position lies inside");
    let text = String::from_utf8_lossy(whole);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let format = Format::ALL.into_iter().find(|format| header(*format).trim_end() == first);
    let format = format.ok_or_else(|| DecodeError::Header { found: first.into() })?;
    let mut decoded = Decoded { format, rows: Vec::new(), whole_bytes, chain: 0 };
    for (index, text) in lines.enumerate() {
        let place = decoded.rows.len() as u64 + 1;
        let (row, chain) = decode_row(format, text, place, decoded.chain, index + 2)?;
        decoded.rows.push(row);
        decoded.chain = chain;
    }
    Ok(decoded)
}

fn decode_row(
    format: Format,
    text: &str,
    place: u64,
    chain: u64,
    line: usize,
) -> Result<(Row, u64), DecodeError> {
    let no_row = || DecodeError::Row { line, format };
    let (body, found) = match format {
        Format::Plain => (text, None),
        Format::Summed | Format::Numbered | Format::Chained => {
            let (body, sum) = text.rsplit_once(' ').ok_or_else(no_row)?;
            (body, Some(sum))
        }
    };
    let expected = checksum(format, body, chain);
    if let Some(found) = found.filter(|found| **found != *format!("{expected:016x}")) {
        return Err(DecodeError::Checksum { line, found: found.into(), expected });
    }
    let numbers = body.strip_prefix("row ").ok_or_else(no_row)?;
    let (ordinal, number) = match format {
        Format::Plain | Format::Summed => (place, numbers),
        Format::Numbered | Format::Chained => {
            let (ordinal, number) = numbers.split_once(' ').ok_or_else(no_row)?;
            (decimal(ordinal).ok_or_else(no_row)?, number)
        }
    };
    Ok((Row { ordinal, number: decimal(number).ok_or_else(no_row)? }, expected))
}

/// A number in plain digits; a sign, a space or an overflow is none.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn checksum(format: Format, text: &str, chain: u64) -> u64 {
    let before = match format {
        Format::Plain | Format::Summed | Format::Numbered => 0_u64,
        Format::Chained => chain,
    };
    let bytes = before.to_le_bytes().into_iter().chain(text.bytes());
    bytes.fold(FNV_OFFSET, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(numbers: &[u64]) -> Vec<Row> {
        (1..).zip(numbers).map(|(ordinal, number)| Row { ordinal, number: *number }).collect()
    }

    #[test]
    fn every_format_reads_back_what_it_wrote() {
        for format in Format::ALL {
            let written = rows(&[7, 7, 0, u64::MAX]);
            let read = decode(&encode(format, &written)).unwrap();
            assert_eq!((read.format, read.rows), (format, written));
        }
    }

    #[test]
    fn the_formats_look_as_documented() {
        let of = |format| String::from_utf8(encode(format, &rows(&[7, 9]))).unwrap();
        assert_eq!(of(Format::Plain), "ledger 1\nrow 7\nrow 9\n");
        assert!(of(Format::Summed).starts_with("ledger 2\nrow 7 "));
        assert!(of(Format::Numbered).contains("\nrow 2 9 "));
    }

    #[test]
    fn a_file_cut_anywhere_reads_as_its_first_rows() {
        for format in Format::ALL {
            let all = rows(&[10, 200, 3]);
            let bytes = encode(format, &all);
            for cut in header(format).len()..=bytes.len() {
                let read = decode(&bytes[..cut]).unwrap();
                assert!(all.starts_with(&read.rows), "{format} cut at {cut}");
                assert_eq!(bytes[..read.whole_bytes], encode(format, &read.rows));
            }
            let cut = decode(&bytes[..4]).unwrap_err();
            assert_eq!(cut, DecodeError::Header { found: String::new() });
        }
    }

    #[test]
    fn a_flipped_bit_is_found_by_every_format_with_checksums() {
        for format in [Format::Summed, Format::Numbered, Format::Chained] {
            let bytes = encode(format, &rows(&[10, 200, 3]));
            for place in header(format).len()..bytes.len() - 1 {
                let mut bad = bytes.clone();
                bad[place] ^= 1;
                assert!(decode(&bad).is_err(), "{format} byte {place}");
            }
        }
    }

    #[test]
    fn only_the_chain_sees_a_row_taken_out_and_the_numbering_names_it() {
        let without_second = |format| {
            let text = String::from_utf8(encode(format, &rows(&[10, 20, 30]))).unwrap();
            let kept = text.lines().enumerate().filter(|(index, _)| *index != 2);
            decode(kept.map(|(_, line)| format!("{line}\n")).collect::<String>().as_bytes())
        };
        assert_eq!(without_second(Format::Summed).unwrap().first_gap(), None);
        assert_eq!(without_second(Format::Numbered).unwrap().first_gap(), Some(2));
        assert!(matches!(
            without_second(Format::Chained),
            Err(DecodeError::Checksum { line: 3, .. })
        ));
    }
}
