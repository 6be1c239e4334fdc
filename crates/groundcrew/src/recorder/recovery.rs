//! Ending what a recorder did not end: the segments, and then what the manifest says of them.

use groundcrew_recorder::flight_dir::{BadDir, FlightDir};
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::{Manifest, Stamp};
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::glance::{Glance, glance};
use groundcrew_recorder::recorder::now;
use groundcrew_recorder::recover::{CannotRecover, Recovered, recover};
use groundcrew_recorder::storage::Storage;
use groundcrew_recorder::writer::Moment;

use super::clock::this_boot;

/// Ends the segments of a flight that nobody writes any more.
///
/// # Errors
///
/// They cannot be read or written; nothing was lost then.
pub(crate) fn segments<S: Storage + Clone>(storage: &S) -> Result<Recovered, CannotRecover> {
    let glance = Flight::open(storage.clone()).ok().and_then(|flight| glance(&flight).ok());
    let at = glance.map_or_else(now, |glance| moment(&glance));
    recover(&mut storage.clone(), at)
}

/// Now by both clocks, if this is still the boot that recorded; else when the last record was made,
/// because the clocks of two boots do not compare.
fn moment(glance: &Glance) -> Moment {
    let Glance { last: Header { boot, .. }, last_at, .. } = glance;
    if this_boot().as_ref() == Some(boot) {
        return now();
    }
    Moment { time_ns: last_at.time_ns, utc_ns: last_at.utc_ns }
}

/// Makes the manifest again where it is not there, is garbage, or does not know the end; whether it was
/// written.
///
/// # Errors
///
/// It cannot be written.
pub(crate) fn manifest(dir: &FlightDir) -> Result<bool, BadDir> {
    let Ok(flight) = Flight::open(dir.segments()) else { return Ok(false) };
    let Ok(Glance { first, last_at, footer, .. }) = glance(&flight) else { return Ok(false) };
    let known = match dir.manifest() {
        // What a later version wrote knows more than we could make again.
        Err(BadDir::NewerManifest { .. }) => return Ok(false),
        known => known.ok().flatten(),
    };
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
