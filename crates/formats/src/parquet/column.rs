//! A column of a table: what a field is in Parquet, and its values until they are written.

use std::sync::Arc;

use groundcrew_recorder::body::{Kind, Value};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{Type, TypePtr};

/// How deep a value lies that is there: in a list, or by itself.
const IN_LIST: i16 = 3;
const ALONE: i16 = 1;
/// How deep a list without values lies, and a value in it that is not a number.
const EMPTY_LIST: i16 = 1;
const NOTHING_IN_LIST: i16 = 2;
/// Nothing is there.
const ABSENT: i16 = 0;
/// What a value takes beside its bytes: its levels, and its place.
const VALUE_BYTES: usize = 12;

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    physical: Physical,
    meaning: Meaning,
    list: bool,
    required: bool,
}

/// What Parquet is told about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Plain,
    /// An integer without sign of so many bits.
    Unsigned(i8),
    Text,
    /// Nanoseconds since 1970, UTC.
    Moment,
}

impl Shape {
    const fn of(physical: Physical, meaning: Meaning) -> Self {
        Self { physical, meaning, list: false, required: false }
    }

    /// Nanoseconds since 1970, in every row.
    pub(super) const MOMENT: Self =
        Self { required: true, ..Self::of(Physical::INT64, Meaning::Moment) };

    /// A field of this kind, which any body may lack.
    pub(super) fn of_kind(kind: &Kind) -> Self {
        let unsigned = |physical, bits| Self::of(physical, Meaning::Unsigned(bits));
        let plain = |physical| Self::of(physical, Meaning::Plain);
        let list = |shape: Self| Self { list: true, ..shape };
        match kind {
            Kind::U8 => unsigned(Physical::INT32, 8),
            Kind::U16 => unsigned(Physical::INT32, 16),
            Kind::U32 => unsigned(Physical::INT32, 32),
            Kind::U64 => unsigned(Physical::INT64, 64),
            Kind::I64 => plain(Physical::INT64),
            Kind::F32 => plain(Physical::FLOAT),
            Kind::F64 => plain(Physical::DOUBLE),
            Kind::Bool => plain(Physical::BOOLEAN),
            Kind::Text | Kind::Label(_) => Self::of(Physical::BYTE_ARRAY, Meaning::Text),
            Kind::F32List => list(plain(Physical::FLOAT)),
            Kind::F64List => list(plain(Physical::DOUBLE)),
            Kind::U64List => list(unsigned(Physical::INT64, 64)),
            // What a later kind is, is not known; its bytes are kept.
            _ => plain(Physical::BYTE_ARRAY),
        }
    }

    /// The same in every row.
    pub(super) fn always(self) -> Self {
        Self { required: true, ..self }
    }

    fn one(self, name: &str, repetition: Repetition) -> Result<Type> {
        let logical = match self.meaning {
            Meaning::Plain => None,
            Meaning::Unsigned(bits) => Some(LogicalType::integer(bits, false)),
            Meaning::Text => Some(LogicalType::String),
            Meaning::Moment => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
        };
        Type::primitive_type_builder(name, self.physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
    }

    /// Its place in the file's schema.
    pub(super) fn named(self, name: &str) -> Result<TypePtr> {
        let repetition = if self.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        if !self.list {
            return self.one(name, repetition).map(Arc::new);
        }
        let element = Arc::new(self.one("element", Repetition::OPTIONAL)?);
        let list = Type::group_type_builder("list")
            .with_repetition(Repetition::REPEATED)
            .with_fields(vec![element])
            .build()?;
        let whole = Type::group_type_builder(name)
            .with_repetition(repetition)
            .with_logical_type(Some(LogicalType::List))
            .with_fields(vec![Arc::new(list)])
            .build()?;
        Ok(Arc::new(whole))
    }
}

/// A column's values until they are written.
#[derive(Debug)]
pub(super) struct Column {
    shape: Shape,
    values: Values,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

#[derive(Debug)]
enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

impl Column {
    pub(super) fn new(shape: Shape) -> Self {
        let values = match shape.physical {
            Physical::BOOLEAN => Values::Bool(Vec::new()),
            Physical::INT32 => Values::Int32(Vec::new()),
            Physical::INT64 => Values::Int64(Vec::new()),
            Physical::FLOAT => Values::Float(Vec::new()),
            Physical::DOUBLE => Values::Double(Vec::new()),
            _ => Values::Bytes(Vec::new()),
        };
        Self { shape, values, definition: Vec::new(), repetition: Vec::new() }
    }

    /// Takes the next row's value in; the bytes that it takes.
    pub(super) fn push(&mut self, value: Value) -> usize {
        if !self.shape.list {
            let bytes = self.values.push(value);
            self.level(if bytes.is_some() { ALONE } else { ABSENT }, 0);
            return VALUE_BYTES + bytes.unwrap_or(0);
        }
        let Value::List(items) = value else {
            self.level(ABSENT, 0);
            return VALUE_BYTES;
        };
        if items.is_empty() {
            self.level(EMPTY_LIST, 0);
        }
        let mut taken = VALUE_BYTES;
        for (at, item) in items.into_iter().enumerate() {
            let bytes = self.values.push(item);
            let depth = if bytes.is_some() { IN_LIST } else { NOTHING_IN_LIST };
            self.level(depth, i16::from(at > 0));
            taken += VALUE_BYTES + bytes.unwrap_or(0);
        }
        taken
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.definition.push(definition);
        if self.shape.list {
            self.repetition.push(repetition);
        }
    }

    /// Writes what was taken in, and is empty again.
    pub(super) fn write(&mut self, to: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let definition = (!self.shape.required).then_some(self.definition.as_slice());
        let repetition = self.shape.list.then_some(self.repetition.as_slice());
        match &self.values {
            Values::Bool(all) => to.typed::<BoolType>().write_batch(all, definition, repetition),
            Values::Int32(all) => to.typed::<Int32Type>().write_batch(all, definition, repetition),
            Values::Int64(all) => to.typed::<Int64Type>().write_batch(all, definition, repetition),
            Values::Float(all) => to.typed::<FloatType>().write_batch(all, definition, repetition),
            Values::Double(all) => {
                to.typed::<DoubleType>().write_batch(all, definition, repetition)
            }
            Values::Bytes(all) => {
                to.typed::<ByteArrayType>().write_batch(all, definition, repetition)
            }
        }?;
        // The room that they had goes too: some types come in bursts.
        *self = Self::new(self.shape);
        Ok(())
    }
}

impl Values {
    /// Takes a value in and says how many bytes it has; `None`: it is absent, or not a number.
    fn push(&mut self, value: Value) -> Option<usize> {
        match (self, value) {
            (Self::Bool(all), Value::Bool(value)) => all.push(value),
            (Self::Int32(all), Value::Unsigned(value)) => {
                all.push(u32::try_from(value).ok()?.cast_signed());
            }
            (Self::Int64(all), Value::Unsigned(value)) => all.push(value.cast_signed()),
            (Self::Int64(all), Value::Signed(value)) => all.push(value),
            (Self::Float(all), Value::Float(value)) if !value.is_nan() => {
                #[expect(clippy::cast_possible_truncation, reason = "it had 4 bytes in the body")]
                all.push(value as f32);
            }
            (Self::Double(all), Value::Float(value)) if !value.is_nan() => all.push(value),
            (Self::Bytes(all), value) => {
                let bytes = match value {
                    Value::Text(text) => text.into_bytes(),
                    Value::Bytes(bytes) => bytes,
                    // A label of a later version.
                    Value::Unsigned(number) => number.to_string().into_bytes(),
                    _ => return None,
                };
                let len = bytes.len();
                all.push(bytes.into());
                return Some(len);
            }
            _ => return None,
        }
        Some(0)
    }
}
