//! `flight list`: what flights there are, without reading them.

use std::path::{Path, PathBuf};

use groundcrew_formats::utc_text;
use groundcrew_recorder::flight_dir::FlightDir;
use groundcrew_recorder::reader::flight::{Flight, NoFlight};
use groundcrew_recorder::reader::glance::{Glance, glance};
use serde::Serialize;

use crate::chain;
use crate::cli::print::Printer;
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct List {
    recordings: PathBuf,
    flights: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    id: String,
    path: PathBuf,
    /// `clean`, `unclean`, `recording` (it is being written), `open` (its recorder did not end it;
    /// the next one does, or `recover`), `unreadable`.
    state: &'static str,
    started_ms: Option<i64>,
    duration_ms: Option<u64>,
    segments: usize,
    bytes: u64,
    /// Why it is unreadable.
    trouble: Option<String>,
}

/// Lists all flights.
pub(super) fn run(root: &Path, printer: &Printer) -> Result<Exit, Refusal> {
    let dirs = FlightDir::list(root).map_err(|error| Refusal::failed(chain(&error)))?;
    let flights = dirs.iter().map(listed).collect();
    let list = List { recordings: root.to_owned(), flights };
    printer.show(&list, || text(&list));
    Ok(Exit::Done)
}

fn listed(dir: &FlightDir) -> Listed {
    let mut listed = Listed {
        id: dir.name(),
        path: dir.path().to_owned(),
        state: "unreadable",
        started_ms: None,
        duration_ms: None,
        segments: 0,
        bytes: 0,
        trouble: None,
    };
    let flight = match Flight::open(dir.segments()) {
        Ok(flight) => flight,
        // One that has just begun has no segment yet.
        Err(NoFlight::Empty) if dir.is_claimed().unwrap_or(false) => {
            return Listed { state: "recording", ..listed };
        }
        Err(error) => return Listed { trouble: Some(chain(&error)), ..listed },
    };
    (listed.segments, listed.bytes) = (flight.segments().len(), flight.bytes());
    match glance(&flight) {
        Err(error) => listed.trouble = Some(chain(&error)),
        Ok(Glance { first, last_at, footer, .. }) => {
            listed.state = match footer {
                Some(footer) if footer.clean_shutdown => "clean",
                Some(_) => "unclean",
                None if dir.is_claimed().unwrap_or(false) => "recording",
                None => "open",
            };
            listed.started_ms = Some(first.utc_ns.div_euclid(1_000_000));
            listed.duration_ms = Some(last_at.time_ns.saturating_sub(first.time_ns) / 1_000_000);
        }
    }
    listed
}

fn text(list: &List) -> String {
    if list.flights.is_empty() {
        return format!("there are no flights in {}\n", list.recordings.display());
    }
    let line = |one: &Listed| {
        let started = one.started_ms.map_or_else(String::new, |ms| {
            utc_text(ms.saturating_mul(1_000_000)).chars().take(19).chain(['Z']).collect()
        });
        let long = one.duration_ms.map_or_else(String::new, super::duration);
        let size = super::size(one.bytes);
        let why = one.trouble.as_ref().map_or_else(String::new, |why| format!("  {why}"));
        format!("{}  {started:<20} {long:>10} {size:>10}  {}{why}\n", one.id, one.state)
    };
    list.flights.iter().map(line).collect()
}
