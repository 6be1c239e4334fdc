//! `flight export`: records as JSON lines, tables, MCAP or a telemetry log.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use groundcrew_formats::mcap::Writer;
use groundcrew_formats::{Row, jsonl, mcap, parquet, tlog};
use serde::Serialize;

use super::out::{Out, unless_gone};
use super::place::Meant;
use super::progress::Progress;
use super::select::Selection;
use super::tables::{Layout, Tables};
use crate::chain;
use crate::cli::args::{Filter, Form};
use crate::cli::print::{self, Printer};
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Shown {
    records: u64,
    paths: Vec<PathBuf>,
}

/// Why writing ended early.
pub(super) enum Stop {
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

impl From<mcap::CannotWrite> for Stop {
    fn from(error: mcap::CannotWrite) -> Self {
        Self::of(error.is_closed_pipe(), &error)
    }
}

impl From<parquet::CannotWrite> for Stop {
    fn from(error: parquet::CannotWrite) -> Self {
        Self::of(error.is_closed_pipe(), &error)
    }
}

impl Stop {
    fn of(gone: bool, error: &(dyn std::error::Error + 'static)) -> Self {
        if gone { Self::Gone } else { Self::Failed(Refusal::failed(chain(error))) }
    }

    /// All of a file was written.
    pub(super) fn unless_whole(out: Out) -> Result<(), Self> {
        match out.finish() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Self::Gone),
            Err(refusal) => Err(Self::Failed(refusal)),
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

impl Sink {
    fn new(form: Form, filter: &Filter, output: Option<&Path>) -> Result<Self, Refusal> {
        let path = output.map(Path::to_owned);
        let layout = match form {
            Form { csv: true, .. } => Some(Layout::Csv),
            Form { parquet: true, .. } => Some(Layout::Parquet),
            _ => None,
        };
        if let Some(layout) = layout {
            return Ok(Self::Tables(Tables::new(layout, filter.types.len(), path)?));
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
        match self {
            Self::Lines(out, path) | Self::Frames(out, path) => {
                Stop::unless_whole(out)?;
                Ok(path.into_iter().collect())
            }
            Self::Mcap(writer, path) => {
                Stop::unless_whole(writer.finish()?)?;
                Ok(path.into_iter().collect())
            }
            Self::Tables(tables) => tables.finish(),
        }
    }
}
