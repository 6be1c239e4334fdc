//! JSON lines: an object per record.

use std::io::{self, Write};

use crate::Row;

/// Writes a record as a line.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(row: &Row<'_>, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &row.json())?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_a_text_holds() {
        crate::row::tests::with_row(1, None, |row| {
            let mut text = Vec::new();
            write(row, &mut text).unwrap();
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        });
    }
}
