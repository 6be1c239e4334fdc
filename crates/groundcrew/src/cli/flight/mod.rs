//! `flight`: what was recorded, for people and for other programs.
//!
//! Nothing here needs an agent, and only a name that is no path needs a configuration. What is
//! damaged never ends the work: the rest is given, and the exit code is 6.

mod cat;
mod diff;
mod export;
mod glob;
mod list;
mod markdown;
mod out;
mod place;
mod progress;
mod pull;
mod recover;
mod report;
mod select;
mod slice;
mod tables;
mod verify;
mod when;

use super::args::FlightCommand;
use super::print::Printer;
use crate::config::Overrides;
use crate::exit::{Exit, Refusal};

/// Runs one of them.
pub(super) fn run(
    command: FlightCommand,
    overrides: &Overrides,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    match command {
        FlightCommand::List { root } => list::run(&place::root(&root, overrides)?, printer),
        FlightCommand::Cat { which, filter, n } => {
            cat::cat(&place::find(&which, overrides)?, &filter, n, printer)
        }
        FlightCommand::Tail { which, filter, n, follow } => {
            cat::tail(&place::find(&which, overrides)?, &filter, n, follow, printer)
        }
        FlightCommand::Verify { which } => verify::run(&place::find(&which, overrides)?, printer),
        FlightCommand::Pull(args) => {
            let to = match &args.dest {
                Some(dest) => dest.clone(),
                None => place::root(&args.root, overrides)?,
            };
            pull::run(&args, &to, printer)
        }
        FlightCommand::Recover { flight, root } => {
            recover::run(&place::one(&flight, &root, overrides)?, printer)
        }
        FlightCommand::Summarise { which, require_clean } => {
            verify::summarise(&place::find(&which, overrides)?, require_clean, printer)
        }
        FlightCommand::Report { which } => report::run(&place::find(&which, overrides)?, printer),
        FlightCommand::Diff { first, second, root } => {
            let [first, second] = [first, second].map(|one| place::one(&one, &root, overrides));
            diff::run(&first?, &second?, printer)
        }
        FlightCommand::Slice { which, filter, output } => {
            let meant = place::find(&which, overrides)?;
            let to = match output {
                Some(dir) => slice::To::Dir(dir),
                None => slice::To::Root(place::root(&which.root, overrides)?),
            };
            slice::run(&meant, &filter, &to, printer)
        }
        FlightCommand::Export { which, filter, form, output } => {
            let meant = place::find(&which, overrides)?;
            export::run(&meant, &filter, form, output.as_deref(), printer)
        }
    }
}

/// A duration for people.
fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s}.{:01} s", ms % 1000 / 100),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| {
            let tenths = (u128::from(bytes) * 10) / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        },
    )
}
