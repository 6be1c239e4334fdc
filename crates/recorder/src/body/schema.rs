//! What a type's body consists of, and a body as values when the type is only known by its schema.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::part::Part;

/// The kind of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// 1 byte, without sign.
    U8,
    /// 2 bytes, without sign.
    U16,
    /// 4 bytes, without sign.
    U32,
    /// 8 bytes, without sign.
    U64,
    /// 8 bytes, two's complement.
    I64,
    /// 4 bytes, IEEE 754; not a number means unknown.
    F32,
    /// 8 bytes, IEEE 754; not a number means unknown.
    F64,
    /// 1 byte, 0 or not.
    Bool,
    /// 2 bytes of length in bytes, then UTF-8.
    Text,
    /// 4 bytes of length, then the bytes.
    Bytes,
    /// 2 bytes of count, then numbers of 4 bytes.
    F32List,
    /// 2 bytes of count, then numbers of 8 bytes.
    F64List,
    /// 2 bytes of count, then numbers of 8 bytes without sign.
    U64List,
    /// 1 byte, the place in this list.
    Label(Cow<'static, [Cow<'static, str>]>),
}

/// A field of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name: lower case, with the unit as ending where there is one.
    pub name: Cow<'static, str>,
    /// Its kind.
    pub kind: Kind,
    /// What it means.
    #[serde(default)]
    pub doc: Cow<'static, str>,
}

/// What a type's body consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The type's number.
    pub kind: u16,
    /// The type's name.
    pub name: Cow<'static, str>,
    /// What it means.
    pub doc: Cow<'static, str>,
    /// Its fields in order.
    pub fields: Cow<'static, [Field]>,
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The body ends before the field.
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A number without sign.
    Unsigned(u64),
    /// A number with a sign.
    Signed(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Numbers.
    List(Vec<Value>),
}

/// A schema that a program wrote into its recording and that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSchema {
    /// The text is not what a list of fields looks like.
    #[error("the fields of type {kind:#06x} cannot be read")]
    Fields {
        /// The type that it would describe.
        kind: u16,
        /// What is wrong with the text.
        source: serde_json::Error,
    },
}

impl Schema {
    /// The schema that a program wrote.
    ///
    /// # Errors
    ///
    /// When the list of fields cannot be read.
    pub fn from_text(kind: u16, name: &str, fields: &str) -> Result<Self, BadSchema> {
        let fields: Vec<Field> =
            serde_json::from_str(fields).map_err(|source| BadSchema::Fields { kind, source })?;
        let (name, doc) = (Cow::Owned(name.to_owned()), Cow::Borrowed(""));
        Ok(Self { kind, name, doc, fields: Cow::Owned(fields) })
    }

    /// The list of fields as a program writes it.
    #[must_use]
    pub fn fields_text(&self) -> String {
        serde_json::to_string(&self.fields).unwrap_or_default()
    }

    /// The values of a body, one for each field.
    #[must_use]
    pub fn values(&self, body: &[u8]) -> Vec<Value> {
        let mut rest = Some(body);
        let value = |field: &Field| {
            let value = rest.as_mut().and_then(|from| take(&field.kind, from));
            // What follows an absent field would be read from the wrong place.
            if value.is_none() {
                rest = None;
            }
            value.unwrap_or(Value::Absent)
        };
        self.fields.iter().map(value).collect()
    }

    /// A body as a JSON object.
    #[must_use]
    pub fn json(&self, body: &[u8]) -> serde_json::Value {
        let names = self.fields.iter().map(|field| field.name.to_string());
        names
            .zip(self.values(body).iter().map(Value::json))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// A JSON Schema (draft 2020-12) of what [`Schema::json`] gives.
    #[must_use]
    pub fn json_schema(&self) -> serde_json::Value {
        let property = |field: &Field| {
            let mut shape = field.kind.json_schema();
            if let Some(shape) = shape.as_object_mut() {
                shape.insert("description".to_owned(), field.doc.trim().into());
            }
            (field.name.to_string(), shape)
        };
        let properties: serde_json::Map<_, _> = self.fields.iter().map(property).collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.name, "description": self.doc.trim(), "type": "object",
            "properties": properties,
        })
    }
}

impl Kind {
    fn json_schema(&self) -> serde_json::Value {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 | Self::I64 => {
                json!({ "type": ["integer", "null"] })
            }
            Self::F32 | Self::F64 => json!({ "type": ["number", "null"] }),
            Self::Bool => json!({ "type": ["boolean", "null"] }),
            Self::Text => json!({ "type": ["string", "null"] }),
            Self::Bytes => json!({ "type": ["string", "null"], "pattern": "^([0-9a-f]{2})*$" }),
            Self::F32List | Self::F64List => {
                json!({ "type": ["array", "null"], "items": { "type": ["number", "null"] } })
            }
            Self::U64List => {
                json!({ "type": ["array", "null"], "items": { "type": "integer" } })
            }
            // A number instead of a name is a label of a later version.
            Self::Label(_) => json!({ "type": ["string", "integer", "null"] }),
        }
    }

    /// Its name in the documentation.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::F32List => "f32 list",
            Self::F64List => "f64 list",
            Self::U64List => "u64 list",
            Self::Label(_) => "label",
        }
    }
}

impl Value {
    /// The value in JSON: bytes as hexadecimal digits, what is unknown or absent as null.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Absent => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Unsigned(value) => (*value).into(),
            Self::Signed(value) => (*value).into(),
            // Not a number has no JSON, and becomes null.
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::Bytes(value) => hex(value).into(),
            Self::List(values) => values.iter().map(Self::json).collect(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written to");
        text
    })
}

fn take(kind: &Kind, from: &mut &[u8]) -> Option<Value> {
    let unsigned = |number: Option<u64>| number.map(Value::Unsigned);
    match kind {
        Kind::U8 => unsigned(u8::take(from).map(u64::from)),
        Kind::U16 => unsigned(u16::take(from).map(u64::from)),
        Kind::U32 => unsigned(u32::take(from).map(u64::from)),
        Kind::U64 => unsigned(u64::take(from)),
        Kind::I64 => i64::take(from).map(Value::Signed),
        Kind::F32 => f32::take(from).map(|number| Value::Float(number.into())),
        Kind::F64 => f64::take(from).map(Value::Float),
        Kind::Bool => bool::take(from).map(Value::Bool),
        Kind::Text => String::take(from).map(Value::Text),
        Kind::Bytes => Vec::<u8>::take(from).map(Value::Bytes),
        Kind::F32List => Vec::<f32>::take(from).map(floats),
        Kind::F64List => Vec::<f64>::take(from).map(floats),
        Kind::U64List => Vec::<u64>::take(from)
            .map(|list| Value::List(list.into_iter().map(Value::Unsigned).collect())),
        Kind::Label(names) => u8::take(from).map(|place| match names.get(usize::from(place)) {
            Some(name) => Value::Text(name.to_string()),
            None => Value::Unsigned(place.into()),
        }),
    }
}

fn floats<F: Into<f64>>(list: Vec<F>) -> Value {
    Value::List(list.into_iter().map(|number| Value::Float(number.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body as _;
    use crate::body::types::{self, MetricKind, MetricSample};

    fn sample() -> MetricSample {
        MetricSample {
            name: "emit_latency_ms".to_owned(),
            labels: "camera=front".to_owned(),
            kind: MetricKind::Gauge,
            value: 1.5,
            bounds: vec![1.0, 2.0],
            counts: vec![3, 4],
        }
    }

    #[test]
    fn a_body_is_the_same_by_its_schema_and_by_its_type() {
        let bytes = sample().to_bytes();
        assert_eq!(MetricSample::decode(&bytes), sample());
        let json = MetricSample::SCHEMA.json(&bytes);
        let expected = json!({
            "name": "emit_latency_ms", "labels": "camera=front", "kind": "gauge",
            "value": 1.5, "bounds": [1.0, 2.0], "counts": [3, 4],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_body_that_ends_early_has_absent_fields_and_a_longer_one_is_a_later_versions() {
        let mut bytes = sample().to_bytes();
        bytes.extend_from_slice(b"later");
        assert_eq!(MetricSample::decode(&bytes), sample());
        let values = MetricSample::SCHEMA.values(&bytes[..17]);
        assert_eq!(values[0], Value::Text("emit_latency_ms".to_owned()));
        assert!(values[1..].iter().all(|value| *value == Value::Absent), "{values:?}");
    }

    #[test]
    fn a_program_can_say_what_its_types_are() {
        let text = MetricSample::SCHEMA.fields_text();
        let schema = Schema::from_text(0x8001, "Mine", &text).unwrap();
        assert_eq!(schema.fields, MetricSample::SCHEMA.fields);
        assert!(Schema::from_text(0x8001, "Mine", "[{]").is_err());
    }

    #[test]
    fn every_type_has_a_number_and_a_name_of_its_own_and_says_what_it_is() {
        let mut seen = std::collections::BTreeSet::new();
        for schema in types::all() {
            assert!(seen.insert(schema.kind.to_string()), "{:#06x} twice", schema.kind);
            assert!(seen.insert(schema.name.to_string()), "{} twice", schema.name);
            assert!(!schema.doc.is_empty() && schema.kind < crate::body::USER_TYPES);
            let undocumented = schema.fields.iter().find(|field| field.doc.is_empty());
            assert!(undocumented.is_none(), "{}: {undocumented:?}", schema.name);
        }
    }
}
