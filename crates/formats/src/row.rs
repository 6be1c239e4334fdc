//! A record with all that is known about it.

use groundcrew_recorder::body::Schema;
use groundcrew_recorder::format::frame::Head;
use serde_json::{Map, Value, json};

/// A record with all that is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its header.
    pub head: Head,
    /// Its body.
    pub body: &'a [u8],
    /// What its body consists of; `None`: nobody described it.
    pub schema: Option<&'a Schema>,
    /// What its source is called, if the source said so.
    pub source_name: Option<&'a str>,
    /// Nanoseconds since 1970, from the clocks at the beginning of its segment.
    pub utc_ns: i64,
}

impl Row<'_> {
    /// The name of its type; the number of one that nobody described.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.schema.map_or_else(|| format!("{:#06x}", self.head.kind), |one| one.name.to_string())
    }

    /// The name of its source, or its number.
    #[must_use]
    pub fn source(&self) -> String {
        self.source_name.map_or_else(|| self.head.source.to_string(), str::to_owned)
    }

    /// Its body by its schema; hexadecimal digits of one that nobody described.
    #[must_use]
    pub fn body_json(&self) -> Value {
        match self.schema {
            Some(schema) => schema.json(self.body),
            None => json!({ "hex": hex(self.body) }),
        }
    }

    /// All of it, as one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("type", self.type_name().into());
        put("kind", self.head.kind.into());
        put("time_ns", self.head.time_ns.into());
        put("utc", utc_text(self.utc_ns).into());
        put("utc_ns", self.utc_ns.into());
        put("source", self.head.source.into());
        put("source_name", self.source_name.into());
        put("source_seq", self.head.source_seq.into());
        put("seq", self.head.seq.into());
        put("body", self.body_json());
        object.into()
    }
}

/// A moment as RFC 3339 has it, to the nanosecond.
#[must_use]
pub fn utc_text(utc_ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(utc_ns.into())
        .map_or_else(|_| utc_ns.to_string(), |time| format!("{time:.9}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written to");
        text
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use groundcrew_recorder::body::Body as _;
    use groundcrew_recorder::body::types::LogLine;

    use super::*;

    /// Hands out a row of a log line.
    pub(crate) fn with_row(kind: u16, schema: Option<&Schema>, each: impl FnOnce(&Row<'_>)) {
        let line = LogLine { message: "a \"b\",\nc".to_owned(), ..Default::default() };
        let body = line.to_bytes();
        let head = Head { kind, source: 3, time_ns: 5, source_seq: 6, seq: 7 };
        let utc_ns = 1_700_000_000_000_000_001;
        each(&Row { head, body: &body, schema, source_name: Some("nav"), utc_ns });
    }

    #[test]
    fn a_row_says_all_that_is_known_and_hexadecimal_digits_of_what_is_not() {
        with_row(0x13, Some(&LogLine::SCHEMA), |row| {
            let json = row.json();
            assert_eq!((&json["type"], &json["kind"]), (&"LogLine".into(), &0x13.into()));
            assert_eq!(json["utc"], "2023-11-14T22:13:20.000000001Z");
            assert_eq!(json["body"]["message"], "a \"b\",\nc");
        });
        with_row(0x8001, None, |row| {
            let json = row.json();
            assert_eq!(json["type"], "0x8001");
            assert!(json["body"]["hex"].as_str().unwrap().starts_with("ff0000"));
        });
        assert_eq!(utc_text(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }
}
