//! Where recordings lie: the standing one, and a directory for each flight.
//!
//! The claim on the standing recording is the recorder's lock: whoever has it is the only one who
//! writes below this root. What a recorder before did not end is ended at the start; a standing
//! recording that cannot be gone on with is set aside under a name of its own and never removed.

use std::path::{Path, PathBuf};

use groundcrew_recorder::chain;
use groundcrew_recorder::flight_dir::{BadDir, Claim, FlightDir};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::{Manifest, Stamp};
use groundcrew_recorder::reader::flight::{Flight, NoFlight};
use groundcrew_recorder::reader::glance::glance;
use groundcrew_recorder::recorder::{Stopped, now};
use groundcrew_recorder::recover::CannotRecover;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{CannotResume, Moment, Writer, described_last};

use super::clock::{flight_id, this_boot};
use super::recovery;
use crate::config::RecorderSettings;

/// The recording outside flights.
pub(crate) const STANDING: &str = "standing";

/// The recordings below a root.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    settings: RecorderSettings,
    boot: [u8; 16],
    host: String,
    config_digest: String,
}

/// Why the standing recording cannot be written now.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotNow {
    /// Another recorder is at work here.
    #[error("another recorder writes {}", .0.display())]
    Taken(PathBuf),
    /// The disk says no.
    #[error("cannot write the standing recording")]
    Dir(#[from] BadDir),
    /// What was not ended cannot be ended.
    #[error("cannot go on with the standing recording")]
    Recover(#[source] CannotRecover),
    /// What was ended cannot be read.
    #[error(transparent)]
    Resume(#[from] CannotResume),
    /// What cannot be gone on with cannot be set aside either.
    #[error("cannot set {} aside", .0.display())]
    Aside(PathBuf, #[source] std::io::Error),
}

/// The standing recording, ours for as long as this lives.
#[derive(Debug)]
pub(super) struct Standing {
    dir: FlightDir,
    _claim: Claim,
}

/// A flight that is being written.
#[derive(Debug)]
pub(super) struct Flown {
    dir: FlightDir,
    pub(super) manifest: Manifest,
    _claim: Claim,
}

/// What a person should know of the recordings before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// A word for it.
    pub(super) event: &'static str,
    /// What a person should read.
    pub(super) detail: String,
}

impl Shelf {
    /// Below `root`, by these settings.
    pub(super) fn new(root: &Path, settings: RecorderSettings, config_digest: String) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let boot = this_boot().unwrap_or_default();
        Self { root: root.to_owned(), settings, boot, host, config_digest }
    }

    /// Claims the standing recording, and ends what was not ended.
    ///
    /// # Errors
    ///
    /// It is another recorder's, or the disk says no: it is worth another try.
    pub(super) fn standing(&self, found: &mut Vec<Found>) -> Result<Standing, NotNow> {
        let path = self.root.join(STANDING);
        let dir = match FlightDir::open(&path) {
            Ok(dir) => dir,
            Err(_) if !path.exists() => self.make_standing()?,
            Err(error) => {
                self.set_aside(&path, &error, found)?;
                self.make_standing()?
            }
        };
        let standing = Self::claim(dir)?;
        match recovery::segments(&standing.dir.segments()) {
            Ok(recovered) => {
                if recovered.footer {
                    let detail = "the standing recording was not ended; it is now".to_owned();
                    found.push(Found { event: "fdr_recovered", detail });
                }
                Ok(standing)
            }
            Err(CannotRecover::Unreadable(error)) => {
                self.set_aside(&path, &error, found)?;
                Self::claim(self.make_standing()?)
            }
            Err(error) => Err(NotNow::Recover(error)),
        }
    }

    fn claim(dir: FlightDir) -> Result<Standing, NotNow> {
        match dir.claim() {
            Ok(claim) => Ok(Standing { dir, _claim: claim }),
            Err(BadDir::Claimed(path)) => Err(NotNow::Taken(path)),
            Err(error) => Err(error.into()),
        }
    }

    fn make_standing(&self) -> Result<FlightDir, BadDir> {
        let now = now();
        FlightDir::create_at(self.root.join(STANDING), &self.manifest(flight_id(now.utc_ns), now))
    }

    fn set_aside(
        &self,
        path: &Path,
        why: &dyn std::error::Error,
        found: &mut Vec<Found>,
    ) -> Result<(), NotNow> {
        let aside = self.root.join(format!("{STANDING}.bad-{}", flight_id(now().utc_ns)));
        // Where a power cut takes this back, it is done again.
        rustix::fs::rename(path, &aside)
            .map_err(|error| NotNow::Aside(path.to_owned(), error.into()))?;
        let detail = format!("{}; it was set aside as {}", chain(why), aside.display());
        found.push(Found { event: "fdr_standing_set_aside", detail });
        Ok(())
    }

    /// A writer that goes on with the standing recording.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(super) fn go_on(&self, standing: &Standing) -> Result<Writer<Disk>, NotNow> {
        let storage = standing.dir.segments();
        let resume = || Writer::resume(storage.clone(), self.boot, self.settings.standing);
        let mut resumed = resume();
        if let Err(CannotResume::NotEnded(_)) = resumed {
            // A disk that failed when a flight began took its end neither.
            recovery::segments(&storage).map_err(NotNow::Recover)?;
            resumed = resume();
        }
        match resumed {
            Err(CannotResume::NoFlight(NoFlight::Empty)) => {
                let id = flight_id(now().utc_ns);
                Ok(Writer::new(storage, id, self.boot, self.settings.standing))
            }
            resumed => Ok(resumed?),
        }
    }

    /// Begins a flight.
    ///
    /// # Errors
    ///
    /// Its directory cannot be made.
    pub(super) fn begin(&self) -> Result<(Writer<Disk>, Flown), BadDir> {
        let now = now();
        let id = flight_id(now.utc_ns);
        let manifest = self.manifest(id, now);
        let dir = FlightDir::create(&self.root, &manifest)?;
        let claim = dir.claim()?;
        let writer = Writer::new(dir.segments(), id, self.boot, self.settings.flight);
        Ok((writer, Flown { dir, manifest, _claim: claim }))
    }

    fn manifest(&self, flight: FlightId, now: Moment) -> Manifest {
        let (time_ns, utc_ns) = (now.time_ns, now.utc_ns);
        let (boot, number, first_seq) = (self.boot, 0, 0);
        let header = Header { flight, boot, number, first_seq, time_ns, utc_ns };
        let (host, config_digest) = (self.host.clone(), self.config_digest.clone());
        Manifest { host, config_digest, ..Manifest::of(&header) }
    }

    /// Ends every flight that was not ended and that nobody writes; those in which nothing was
    /// recorded go.
    pub(super) fn end_all(&self, found: &mut Vec<Found>) {
        let dirs = match FlightDir::list(&self.root) {
            Ok(dirs) => dirs,
            Err(error) => {
                found.push(Found { event: "fdr_not_recovered", detail: chain(&error) });
                return;
            }
        };
        for dir in dirs {
            let name = dir.name();
            // Those that were set aside are for people.
            if name.starts_with(STANDING) {
                continue;
            }
            match end(dir) {
                Ok(None) => {}
                Ok(Some(what)) => {
                    let detail = format!("flight {name} {what}");
                    found.push(Found { event: "fdr_recovered", detail });
                }
                Err(why) => {
                    let detail = format!("flight {name} was not ended: {why}");
                    found.push(Found { event: "fdr_not_recovered", detail });
                }
            }
        }
    }

    /// The descriptions of users' types in the flight that was written last.
    pub(super) fn described(&self) -> Vec<groundcrew_recorder::body::types::TypeSchema> {
        let dirs = FlightDir::list(&self.root).unwrap_or_default();
        let last = dirs.into_iter().rev().find(|dir| !dir.name().starts_with(STANDING));
        last.and_then(|dir| described_last(&dir.segments()).ok()).unwrap_or_default()
    }
}

/// Ends a flight that nobody writes; what was done.
fn end(dir: FlightDir) -> Result<Option<&'static str>, String> {
    let Ok(_claim) = dir.claim() else { return Ok(None) };
    let flight = match Flight::open(dir.segments()) {
        Ok(flight) => flight,
        Err(NoFlight::Empty) => {
            let gone = dir.remove_empty().map_err(|error| chain(&error))?;
            return Ok(gone.then_some("had nothing recorded and was removed"));
        }
        Err(error) => return Err(chain(&error)),
    };
    let ended = glance(&flight).is_ok_and(|glance| glance.footer.is_some());
    if !ended {
        recovery::segments(&dir.segments()).map_err(|error| chain(&error))?;
    }
    recovery::manifest(&dir).map_err(|error| chain(&error))?;
    Ok((!ended).then_some("was not ended by its recorder; it is now"))
}

impl Standing {
    /// Whether nobody has removed it.
    pub(super) fn is_there(&self) -> bool {
        FlightDir::open(self.dir.path()).is_ok()
    }
}

impl Flown {
    /// Takes it away again: nothing was recorded in it.
    pub(super) fn discard(self) {
        // What stays is removed at the next start.
        self.dir.remove_empty().ok();
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.manifest.flight
    }

    /// Writes the manifest as it is now.
    ///
    /// # Errors
    ///
    /// It cannot be written; the flight can be read nevertheless.
    pub(super) fn write(&self) -> Result<(), BadDir> {
        self.dir.write_manifest(&self.manifest)
    }

    /// Notes how it ended.
    ///
    /// # Errors
    ///
    /// As [`Flown::write`].
    pub(super) fn end(mut self, stopped: &Stopped, at: Moment) -> Result<(), BadDir> {
        let Moment { time_ns, utc_ns } = at;
        self.manifest.stop(&stopped.footer, Stamp { time_ns, utc_ns });
        self.write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groundcrew_recorder::writer::Policy;

    #[test]
    fn rec_8_a_standing_recording_whose_end_the_disk_did_not_take_is_gone_on_with() {
        let root = tempfile::tempdir().unwrap();
        let settings = RecorderSettings {
            group: None,
            flight: Policy::default(),
            standing: Policy::standing(),
        };
        let shelf = Shelf::new(root.path(), settings, String::new());
        let standing = shelf.standing(&mut Vec::new()).unwrap();
        let schema = |described| groundcrew_recorder::body::types::TypeSchema {
            described,
            ..Default::default()
        };
        for round in 0..3 {
            let mut writer = shelf.go_on(&standing).unwrap();
            assert_eq!(writer.schemas().len(), round, "what was said before is known");
            writer.describe(schema(0x8000 + u16::try_from(round).unwrap()), now());
            assert!(writer.sync(now()));
            // No end was written.
        }
    }
}
