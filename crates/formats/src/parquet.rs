//! Apache Parquet: a table per type, a typed column per field.
//!
//! Every table has the columns that CSV has in front (`seq`, `time_ns`, `utc`, `source`,
//! `source_name`, `source_seq`); `utc` is a moment with nanoseconds. Numbers keep their width and
//! sign, texts and labels are strings, bytes are bytes, lists are lists. What is absent and what
//! is not a number is null. A type that nobody described, or one with more than [`FIELDS_MAX`]
//! fields, has the column `body` with its bytes.
//!
//! Rows wait in memory until there are [`ROWS_MAX`] of them or they have [`WAITING_MAX`] bytes,
//! and then become a row group; whoever writes many tables at once calls [`Table::flush`] before.
//! A page is compressed with Snappy.

mod column;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use groundcrew_recorder::body::{Kind, Schema, Value};
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::Row;
use crate::csv::COMMON;
use column::{Column, Shape};

/// Rows of a row group at most.
pub const ROWS_MAX: usize = 65_536;
/// Bytes of one table that wait in memory at most.
pub const WAITING_MAX: usize = 16 << 20;
/// Fields that get columns of their own.
pub const FIELDS_MAX: usize = 1000;

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write Parquet")]
pub struct CannotWrite(#[source] ParquetError);

impl CannotWrite {
    /// Whether whoever read the file went away.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        let ParquetError::External(source) = &self.0 else { return false };
        let error = source.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes a file with the records of one type.
#[expect(missing_debug_implementations, reason = "the library's writer has none")]
pub struct Table<W: Write + Send> {
    file: SerializedFileWriter<Target<W>>,
    /// What all rows are described by; `None`: nobody described them.
    schema: Option<Schema>,
    columns: Vec<Column>,
    rows: usize,
    waiting: usize,
}

impl<W: Write + Send> Table<W> {
    /// Begins a table, which may go to a pipe.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(schema: Option<&Schema>, to: W) -> std::result::Result<Self, CannotWrite> {
        let schema = schema.filter(|schema| schema.fields.len() <= FIELDS_MAX);
        let shapes = shapes(schema);
        let name = schema.map_or("record", |schema| &schema.name);
        let begin = || {
            let fields = shapes.iter().map(|(name, shape)| shape.named(name));
            let fields = fields.collect::<Result<Vec<_>>>()?;
            let root = Type::group_type_builder(name).with_fields(fields).build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .set_created_by(concat!("groundcrew ", env!("CARGO_PKG_VERSION")).to_owned())
                .build();
            SerializedFileWriter::new(Target(Some(to)), Arc::new(root), Arc::new(properties))
        };
        let file = begin().map_err(CannotWrite)?;
        let columns = shapes.iter().map(|(_, shape)| Column::new(*shape)).collect();
        Ok(Self { file, schema: schema.cloned(), columns, rows: 0, waiting: 0 })
    }

    /// Writes a record.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&mut self, row: &Row<'_>) -> std::result::Result<(), CannotWrite> {
        let head = row.head;
        let common = [
            Value::Unsigned(head.seq),
            Value::Unsigned(head.time_ns),
            Value::Signed(row.utc_ns),
            Value::Unsigned(head.source.into()),
            row.source_name.map_or(Value::Absent, |name| Value::Text(name.to_owned())),
            Value::Unsigned(head.source_seq),
        ];
        let fields = match &self.schema {
            Some(schema) => schema.values(row.body),
            None => vec![Value::Bytes(row.body.to_vec())],
        };
        for (column, value) in self.columns.iter_mut().zip(common.into_iter().chain(fields)) {
            self.waiting += column.push(value);
        }
        self.rows += 1;
        match self.rows >= ROWS_MAX || self.waiting >= WAITING_MAX {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Bytes that wait in memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Makes a row group of what waits.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn flush(&mut self) -> std::result::Result<(), CannotWrite> {
        self.write_group().map_err(CannotWrite)
    }

    fn write_group(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.waiting) = (0, 0);
        Ok(())
    }

    /// Ends the file, and gives back where it was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> std::result::Result<W, CannotWrite> {
        self.flush()?;
        self.file.finish().map_err(CannotWrite)?;
        Ok(self.file.inner_mut().0.take().expect("it is taken out once, here"))
    }
}

/// Where a file goes, until it has its end. The library gives it back too, but what kind of error
/// kept it from that is then a text.
struct Target<W>(Option<W>);

impl<W: Write> Write for Target<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Err(io::ErrorKind::NotConnected.into()), |to| to.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// The columns of a type, with names that are no other's.
fn shapes(schema: Option<&Schema>) -> Vec<(String, Shape)> {
    let [u16, u64] = [Kind::U16, Kind::U64].map(|kind| Shape::of_kind(&kind).always());
    let name = Shape::of_kind(&Kind::Text);
    let common = COMMON.map(str::to_owned);
    let mut shapes: Vec<_> =
        common.into_iter().zip([u64, u64, Shape::MOMENT, u16, name, u64]).collect();
    let mut taken: BTreeSet<String> = COMMON.map(str::to_owned).into();
    let Some(schema) = schema else {
        shapes.push(("body".to_owned(), Shape::of_kind(&Kind::Bytes)));
        return shapes;
    };
    for field in schema.fields.iter() {
        let mut name = field.name.to_string();
        if COMMON.contains(&name.as_str()) || name.is_empty() {
            name.insert_str(0, "body_");
        }
        // Users may call two fields the same; readers of Parquet do not like that, and some take
        // capitals for small letters.
        let mut number = 2;
        let mut unique = name.clone();
        while !taken.insert(unique.to_lowercase()) {
            unique = format!("{name}_{number}");
            number += 1;
        }
        shapes.push((unique, Shape::of_kind(&field.kind)));
    }
    shapes
}

#[cfg(test)]
mod tests;
