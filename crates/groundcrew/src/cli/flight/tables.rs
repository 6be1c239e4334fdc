//! The tables of `flight export`: one per type, as CSV or Parquet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use groundcrew_formats::{Row, csv, parquet};
use groundcrew_recorder::body::Schema;

use super::export::Stop;
use super::out::{Out, cannot};
use crate::exit::Refusal;

/// Tables that are written at once: each is an open file.
const TABLES_MAX: usize = 500;
/// Bytes of all tables that wait in memory at most, where a format gathers rows.
const WAITING_MAX: usize = 64 << 20;

/// What a table looks like.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    Csv,
    Parquet,
}

/// A table per type.
pub(super) struct Tables {
    layout: Layout,
    to: To,
    open: BTreeMap<u16, Table>,
    /// Bytes that wait in memory, and how many may.
    waiting: usize,
    waiting_max: usize,
}

/// A directory for all of them, or a file or standard output for the only one.
enum To {
    Stdout,
    File(PathBuf),
    Dir(PathBuf),
}

struct Table {
    body: Body,
    path: Option<PathBuf>,
}

enum Body {
    /// What the first record was described by; all lines have its columns.
    Csv(Option<Schema>, Out),
    Parquet(Box<parquet::Table<Out>>),
}

impl Tables {
    /// No table yet; so many types are asked for.
    ///
    /// # Errors
    ///
    /// There may be several and only one has a place, or their directory cannot be made.
    pub(super) fn new(
        layout: Layout,
        types: usize,
        path: Option<PathBuf>,
    ) -> Result<Self, Refusal> {
        let to = match (path, types) {
            (Some(path), 1) if !path.is_dir() => To::File(path),
            (Some(path), _) => {
                std::fs::create_dir_all(&path).map_err(|error| cannot("make", &path, &error))?;
                To::Dir(path)
            }
            (None, 1) => To::Stdout,
            (None, _) => {
                let text = "a table has one type: --type names it, or -o a directory for all";
                return Err(Refusal::usage(text));
            }
        };
        Ok(Self { layout, to, open: BTreeMap::new(), waiting: 0, waiting_max: WAITING_MAX })
    }

    /// Writes a record to its type's table.
    pub(super) fn write(&mut self, row: &Row<'_>) -> Result<(), Stop> {
        if !self.open.contains_key(&row.head.kind) {
            let table = self.begin(row)?;
            self.open.insert(row.head.kind, table);
        }
        let Some(table) = self.open.get_mut(&row.head.kind) else { return Ok(()) };
        match &mut table.body {
            Body::Csv(schema, out) => {
                csv::write(&Row { schema: schema.as_ref(), ..*row }, out)?;
            }
            Body::Parquet(body) => {
                let before = body.waiting();
                body.write(row)?;
                self.waiting = self.waiting - before + body.waiting();
            }
        }
        if self.waiting > self.waiting_max { self.make_room() } else { Ok(()) }
    }

    /// Has the table with the most bytes that wait write them.
    fn make_room(&mut self) -> Result<(), Stop> {
        let tables = self.open.values_mut().filter_map(|table| match &mut table.body {
            Body::Parquet(body) => Some(body),
            Body::Csv(..) => None,
        });
        if let Some(largest) = tables.max_by_key(|table| table.waiting()) {
            self.waiting -= largest.waiting();
            largest.flush()?;
        }
        Ok(())
    }

    fn begin(&self, row: &Row<'_>) -> Result<Table, Stop> {
        let ending = match self.layout {
            Layout::Csv => "csv",
            Layout::Parquet => "parquet",
        };
        let path = match &self.to {
            To::Dir(dir) => Some(dir.join(format!("{}.{ending}", file_name(row)))),
            To::File(path) => Some(path.clone()),
            To::Stdout => None,
        };
        let one = !matches!(self.to, To::Dir(_));
        if one && !self.open.is_empty() {
            let text = format!("two types are called {}; name one by its number", row.type_name());
            return Err(Stop::Failed(Refusal::usage(text)));
        }
        if self.open.len() >= TABLES_MAX {
            let text = format!("more than {TABLES_MAX} types; choose some with --type");
            return Err(Stop::Failed(Refusal::usage(text)));
        }
        let out = path.as_deref().map_or_else(|| Ok(Out::stdout()), Out::file);
        let mut out = out.map_err(Stop::Failed)?;
        let body = match self.layout {
            Layout::Csv => {
                csv::write_head(row.schema, &mut out)?;
                Body::Csv(row.schema.cloned(), out)
            }
            Layout::Parquet => Body::Parquet(Box::new(parquet::Table::new(row.schema, out)?)),
        };
        Ok(Table { body, path })
    }

    /// All was written: the files.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>, Stop> {
        let mut paths = Vec::new();
        for table in self.open.into_values() {
            Stop::unless_whole(match table.body {
                Body::Csv(_, out) => out,
                Body::Parquet(body) => body.finish()?,
            })?;
            paths.extend(table.path);
        }
        Ok(paths)
    }
}

/// A type's name, made fit for a file. What users call their types may be anything, and twice.
fn file_name(row: &Row<'_>) -> String {
    let name = row.type_name();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let number = format!("{:#06x}", row.head.kind);
    match row.head.kind >= groundcrew_recorder::body::USER_TYPES {
        true if !name.is_empty() && name.len() <= 64 && name.chars().all(fits) => {
            if name == number { name } else { format!("{number}_{name}") }
        }
        true => number,
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use groundcrew_recorder::format::frame::Head;

    use super::*;

    #[test]
    fn all_tables_together_hold_a_limited_number_of_bytes() {
        const MAX: usize = 50_000;
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("tables");
        let mut tables = Tables::new(Layout::Parquet, 0, Some(to)).ok().unwrap();
        tables.waiting_max = MAX;
        let body = [7; 1000];
        for seq in 0..1000 {
            // One type has nearly all records.
            let kind =
                if seq % 10 == 0 { 0x8010 + u16::try_from(seq % 7).unwrap() } else { 0x8002 };
            let head = Head { kind, source: 1, time_ns: seq, source_seq: seq, seq };
            let row = Row { head, body: &body, schema: None, source_name: None, utc_ns: 0 };
            assert!(tables.write(&row).is_ok());
            let held = tables.open.values().map(|table| match &table.body {
                Body::Parquet(body) => body.waiting(),
                Body::Csv(..) => 0,
            });
            assert_eq!(held.sum::<usize>(), tables.waiting);
            assert!(tables.waiting <= MAX, "{}", tables.waiting);
        }
        assert_eq!(tables.finish().ok().unwrap().len(), 8);
    }
}
