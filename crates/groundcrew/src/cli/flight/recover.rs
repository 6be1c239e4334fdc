//! `flight recover`: ends a flight whose recorder could not.

use groundcrew_recorder::flight_dir::{BadDir, FlightDir};
use groundcrew_recorder::names::Name;
use groundcrew_recorder::recover::Recovered;
use serde::Serialize;

use super::place::{Meant, Medium};
use crate::chain;
use crate::cli::print::Printer;
use crate::exit::{Exit, Refusal};
use crate::recorder::recovery;

#[derive(Serialize)]
struct Shown {
    flight: String,
    ended_segments: Vec<u32>,
    bytes_torn: u64,
    bytes_zero: u64,
    footer: bool,
    manifest: bool,
}

/// Ends a flight.
pub(super) fn run(meant: &Meant, printer: &Printer) -> Result<Exit, Refusal> {
    let Medium::Disk(disk) = &meant.medium else {
        let text = "segment files alone cannot be recovered; name the flight's directory";
        return Err(Refusal::usage(text));
    };
    meant.open()?;
    let failed = |error: BadDir| {
        let code = if matches!(error, BadDir::Claimed(_)) { Exit::Locked } else { Exit::Failed };
        Refusal::new(code, chain(&error))
    };
    let _claim = meant.dir.as_ref().map(FlightDir::claim).transpose().map_err(failed)?;
    let recovered = recovery::segments(disk).map_err(|error| Refusal::failed(chain(&error)))?;
    let manifest = match &meant.dir {
        Some(dir) => recovery::manifest(dir).map_err(failed)?,
        None => false,
    };
    let Recovered { ended: ended_segments, bytes_torn, bytes_zero, footer } = recovered;
    let flight = meant.name.clone();
    let shown = Shown { flight, ended_segments, bytes_torn, bytes_zero, footer, manifest };
    printer.show(&shown, || text(&shown));
    Ok(Exit::Done)
}

fn text(shown: &Shown) -> String {
    let Shown { flight, ended_segments, bytes_torn, bytes_zero, footer, manifest } = shown;
    let mut done: Vec<String> = Vec::new();
    done.extend(ended_segments.iter().map(|number| format!("segment {number} was ended")));
    if *bytes_zero > 0 {
        done.push(format!("{bytes_zero} bytes of zeros were cut off, which no data had reached"));
    }
    let bytes_torn = bytes_torn.saturating_sub(*bytes_zero);
    if bytes_torn > 0 {
        let name = ended_segments
            .last()
            .map_or_else(String::new, |number| format!(" in {}", Name::Torn(*number)));
        done.push(format!("{bytes_torn} bytes that are no whole record were set aside{name}"));
    }
    if *footer {
        done.push("a footer was written that says clean_shutdown = false".to_owned());
    }
    if *manifest {
        done.push("the manifest was written anew".to_owned());
    }
    if done.is_empty() {
        return format!("{flight}: nothing to do, it has its end\n");
    }
    format!("{flight}:\n{}", done.iter().map(|line| format!("  {line}\n")).collect::<String>())
}
