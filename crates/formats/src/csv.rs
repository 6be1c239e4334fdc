//! CSV as RFC 4180 has it: a table per type, a column per field.
//!
//! Absent values are empty, lists are JSON, bytes are hexadecimal digits. A type that nobody
//! described has the column `hex`.

use std::borrow::Cow;
use std::io::{self, Write};

use groundcrew_recorder::body::{Schema, Value};

use crate::Row;
use crate::row::hex;

/// The columns that every type has.
pub(crate) const COMMON: [&str; 6] =
    ["seq", "time_ns", "utc", "source", "source_name", "source_seq"];

/// Writes the first line of a type's table.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_head(schema: Option<&Schema>, to: &mut impl Write) -> io::Result<()> {
    let common = COMMON.map(Cow::Borrowed).into_iter();
    let fields: Vec<Cow<'_, str>> = match schema {
        // A field's name may be one of the common ones.
        Some(schema) => schema
            .fields
            .iter()
            .map(|field| match COMMON.contains(&field.name.as_ref()) {
                true => format!("body_{}", field.name).into(),
                false => field.name.as_ref().into(),
            })
            .collect(),
        None => vec!["hex".into()],
    };
    line(common.chain(fields), to)
}

/// Writes a record as a line of its type's table.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(row: &Row<'_>, to: &mut impl Write) -> io::Result<()> {
    let head = row.head;
    let common = [
        head.seq.to_string().into(),
        head.time_ns.to_string().into(),
        crate::utc_text(row.utc_ns).into(),
        head.source.to_string().into(),
        row.source_name.unwrap_or_default().into(),
        head.source_seq.to_string().into(),
    ];
    let fields = match row.schema {
        Some(schema) => schema.values(row.body).iter().map(cell).collect(),
        None => vec![hex(row.body).into()],
    };
    line(common.into_iter().chain(fields), to)
}

fn cell(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Absent => "".into(),
        Value::Bool(value) => value.to_string().into(),
        Value::Unsigned(value) => value.to_string().into(),
        Value::Signed(value) => value.to_string().into(),
        Value::Float(value) if value.is_nan() => "".into(),
        Value::Float(value) => value.to_string().into(),
        Value::Text(value) => value.clone().into(),
        Value::Bytes(value) => hex(value).into(),
        Value::List(_) => value.json().to_string().into(),
    }
}

fn line<'a>(cells: impl Iterator<Item = Cow<'a, str>>, to: &mut impl Write) -> io::Result<()> {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        if cell.contains([',', '"', '\n', '\r']) {
            write!(to, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            to.write_all(cell.as_bytes())?;
        }
    }
    to.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use groundcrew_recorder::body::Body as _;
    use groundcrew_recorder::body::types::LogLine;

    use super::*;

    #[test]
    fn a_table_has_a_column_per_field_and_quotes_what_needs_it() {
        let mut text = Vec::new();
        write_head(Some(&LogLine::SCHEMA), &mut text).unwrap();
        crate::row::tests::with_row(0x13, Some(&LogLine::SCHEMA), |row| {
            write(row, &mut text).unwrap();
        });
        let expected = "seq,time_ns,utc,source,source_name,source_seq,level,target,message\r\n\
            7,5,2023-11-14T22:13:20.000000001Z,3,nav,6,255,,\"a \"\"b\"\",\nc\"\r\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_nobody_described_and_what_is_unknown_has_a_place_too() {
        let mut text = Vec::new();
        write_head(None, &mut text).unwrap();
        assert!(text.ends_with(b"source_seq,hex\r\n"));
        assert_eq!(cell(&Value::Float(f64::NAN)), "");
        let list = Value::List(vec![Value::Float(1.5), Value::Float(f64::NAN)]);
        assert_eq!(cell(&list), "[1.5,null]");
        assert_eq!(cell(&Value::Bytes(vec![0, 255])), "00ff");
    }
}
