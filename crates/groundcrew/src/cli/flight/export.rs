//! `flight export`: records as JSON lines, tables, MCAP or a telemetry log.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use groundcrew_formats::mcap::{CannotWrite, Writer};
use groundcrew_formats::{Row, csv, jsonl, tlog};
use groundcrew_recorder::body::Schema;
use serde::Serialize;

use super::out::{Out, cannot, unless_gone};
use super::place::Meant;
use super::progress::Progress;
use super::select::Selection;
use crate::chain;
use crate::cli::args::{Filter, Form};
use crate::cli::print::{self, Printer};
use crate::exit::{Exit, Refusal};

/// Tables that are written at once: each is an open file.
const TABLES_MAX: usize = 500;

#[derive(Serialize)]
struct Shown {
    records: u64,
    paths: Vec<PathBuf>,
}

/// Why writing ended early.
enum Stop {
    /// Nobody reads any more.
    Gone,
    /// It cannot be written.
    Failed(Refusal),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        unless_gone(&error).map_or_else(Self::Failed, |()| Self::Gone)
    }
}

impl From<CannotWrite> for Stop {
    fn from(error: CannotWrite) -> Self {
        match error.is_closed_pipe() {
            true => Self::Gone,
            false => Self::Failed(Refusal::failed(chain(&error))),
        }
    }
}

/// Exports records.
pub(super) fn run(
    meant: &Meant,
    filter: &Filter,
    form: Form,
    output: Option<&Path>,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let flight = meant.open()?;
    let mut selection = Selection::new(filter, &flight)?;
    let mut sink = Sink::new(form, filter, output)?;
    let progress = Progress::new("exporting", flight.bytes());
    let (mut records, mut stop) = (0_u64, None);
    let met = selection.rows(&flight, &progress, |row, _| match sink.write(row) {
        Ok(written) => {
            records += u64::from(written);
            ControlFlow::Continue(())
        }
        Err(why) => {
            stop = Some(why);
            ControlFlow::Break(())
        }
    });
    drop(progress);
    let ended = match stop {
        Some(why) => Err(why),
        None => sink.finish(),
    };
    let paths = match ended {
        Ok(paths) => paths,
        Err(Stop::Gone) => return Ok(Exit::Done),
        Err(Stop::Failed(refusal)) => return Err(refusal),
    };
    let exit = selection.end(&met, &flight)?;
    if output.is_some() {
        let shown = Shown { records, paths };
        printer.show(&shown, || {
            let path = |path: &PathBuf| format!("{}\n", path.display());
            shown.paths.iter().map(path).collect()
        });
    }
    print::talk(&format!("groundcrew: {records} records"));
    Ok(exit)
}

/// What is written.
enum Sink {
    Lines(Out, Option<PathBuf>),
    Frames(Out, Option<PathBuf>),
    Tables(Tables),
    Mcap(Box<Writer<Out>>, Option<PathBuf>),
}

/// A table per type.
struct Tables {
    /// A directory for all of them, or a file or standard output for the only one.
    to: To,
    open: BTreeMap<u16, Table>,
}

enum To {
    Stdout,
    File(PathBuf),
    Dir(PathBuf),
}

struct Table {
    /// What the first record was described by; all lines have its columns.
    schema: Option<Schema>,
    out: Out,
    path: Option<PathBuf>,
}

impl Sink {
    fn new(form: Form, filter: &Filter, output: Option<&Path>) -> Result<Self, Refusal> {
        let path = output.map(Path::to_owned);
        if form.csv {
            let to = match (path, filter.types.len()) {
                (Some(path), 1) if !path.is_dir() => To::File(path),
                (Some(path), _) => {
                    std::fs::create_dir_all(&path)
                        .map_err(|error| cannot("make", &path, &error))?;
                    To::Dir(path)
                }
                (None, 1) => To::Stdout,
                (None, _) => {
                    let text = "a table has one type: --type names it, or -o a directory for all";
                    return Err(Refusal::usage(text));
                }
            };
            return Ok(Self::Tables(Tables { to, open: BTreeMap::new() }));
        }
        let out = output.map_or_else(|| Ok(Out::stdout()), Out::file)?;
        if form.jsonl {
            return Ok(Self::Lines(out, path));
        }
        if form.tlog {
            return Ok(Self::Frames(out, path));
        }
        match Writer::new(out) {
            Ok(writer) => Ok(Self::Mcap(Box::new(writer), path)),
            Err(error) => Err(Refusal::failed(chain(&error))),
        }
    }

    /// Writes a record; whether it has a place in this format.
    fn write(&mut self, row: &Row<'_>) -> Result<bool, Stop> {
        match self {
            Self::Frames(out, _) => return Ok(tlog::write(row, out)?),
            Self::Lines(out, _) => jsonl::write(row, out)?,
            Self::Tables(tables) => tables.write(row)?,
            Self::Mcap(writer, _) => writer.write(row)?,
        }
        Ok(true)
    }

    /// All was written: the files.
    fn finish(self) -> Result<Vec<PathBuf>, Stop> {
        let finish = |out: Out| match out.finish() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Gone),
            Err(refusal) => Err(Stop::Failed(refusal)),
        };
        match self {
            Self::Lines(out, path) | Self::Frames(out, path) => {
                finish(out)?;
                Ok(path.into_iter().collect())
            }
            Self::Mcap(writer, path) => {
                finish(writer.finish()?)?;
                Ok(path.into_iter().collect())
            }
            Self::Tables(tables) => {
                let mut paths = Vec::new();
                for table in tables.open.into_values() {
                    finish(table.out)?;
                    paths.extend(table.path);
                }
                Ok(paths)
            }
        }
    }
}

impl Tables {
    fn write(&mut self, row: &Row<'_>) -> Result<(), Stop> {
        if !self.open.contains_key(&row.head.kind) {
            let table = self.begin(row)?;
            self.open.insert(row.head.kind, table);
        }
        let Some(table) = self.open.get_mut(&row.head.kind) else { return Ok(()) };
        let row = Row { schema: table.schema.as_ref(), ..*row };
        Ok(csv::write(&row, &mut table.out)?)
    }

    fn begin(&self, row: &Row<'_>) -> Result<Table, Stop> {
        let path = match &self.to {
            To::Dir(dir) => Some(dir.join(format!("{}.csv", file_name(row)))),
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
        csv::write_head(row.schema, &mut out)?;
        Ok(Table { schema: row.schema.cloned(), out, path })
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
