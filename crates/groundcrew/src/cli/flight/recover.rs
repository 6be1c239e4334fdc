//! `flight recover`: ends a flight whose recorder could not.

use groundcrew_recorder::flight_dir::{BadDir, FlightDir};
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::{Manifest, Stamp};
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::glance::{Glance, glance};
use groundcrew_recorder::recover::{Recovered, recover};
use groundcrew_recorder::writer::Moment;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::place::{Meant, Medium};
use crate::chain;
use crate::cli::print::Printer;
use crate::exit::{Exit, Refusal};

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
    let flight = meant.open()?;
    let failed = |error: BadDir| {
        let code = if matches!(error, BadDir::Claimed(_)) { Exit::Locked } else { Exit::Failed };
        Refusal::new(code, chain(&error))
    };
    let _claim = meant.dir.as_ref().map(FlightDir::claim).transpose().map_err(failed)?;
    let now = glance(&flight).map_or_else(|_| now(), |glance| moment(&glance));
    let recovered =
        recover(&mut disk.clone(), now).map_err(|error| Refusal::failed(chain(&error)))?;
    let manifest = match &meant.dir {
        Some(dir) => manifest(dir).map_err(failed)?,
        None => false,
    };
    let Recovered { ended: ended_segments, bytes_torn, bytes_zero, footer } = recovered;
    let flight = meant.name.clone();
    let shown = Shown { flight, ended_segments, bytes_torn, bytes_zero, footer, manifest };
    printer.show(&shown, || text(&shown));
    Ok(Exit::Done)
}

/// Now by both clocks, if this is still the boot that recorded; else when the last record was made,
/// because the clocks of two boots do not compare.
fn moment(glance: &Glance) -> Moment {
    let Glance { last: Header { boot, .. }, last_at, .. } = glance;
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).unwrap_or_default();
    let digits = id.trim().replace('-', "");
    let here = u128::from_str_radix(&digits, 16).map(u128::to_be_bytes);
    if here.as_ref() == Ok(boot) {
        return now();
    }
    Moment { time_ns: last_at.time_ns, utc_ns: last_at.utc_ns }
}

fn now() -> Moment {
    let boottime = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boottime.tv_sec).unwrap_or(0);
    let time_ns = seconds * 1_000_000_000 + u64::try_from(boottime.tv_nsec).unwrap_or(0);
    let utc_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    Moment { time_ns, utc_ns }
}

/// Makes the manifest again where it is not there, cannot be read, or does not know the end;
/// whether it was written.
fn manifest(dir: &FlightDir) -> Result<bool, BadDir> {
    let Ok(flight) = Flight::open(dir.segments()) else { return Ok(false) };
    let Ok(Glance { first, last_at, footer, .. }) = glance(&flight) else { return Ok(false) };
    let known = dir.manifest().ok().flatten();
    if known.as_ref().is_some_and(|known| known.stopped.is_some()) {
        return Ok(false);
    }
    let mut manifest = known.unwrap_or_else(|| Manifest::of(&first));
    if let Some(footer) = footer {
        let Stamp { time_ns, utc_ns } = last_at;
        manifest.stop(&footer, Stamp { time_ns, utc_ns });
    }
    dir.write_manifest(&manifest)?;
    Ok(true)
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
