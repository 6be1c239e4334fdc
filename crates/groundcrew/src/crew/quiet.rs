//! Nothing goes out in flight: on an aircraft no registry is asked while the busy flag is set.
//!
//! What needs no network is done as ever. Who asks is told so, and asks again later.

use groundcrew_engine::notes::NoteFile;
use groundcrew_engine::noun::{AppName, Digest, Release};
use groundcrew_engine::policy::Profile;
use groundcrew_engine::ports::{
    Busy, Follow, Found, Host, KeepSet, Progress, Source, SourceError, SourceErrorKind,
};

use super::world::host;
use crate::config::Settings;
use crate::exit::{Exit, Refusal};

/// A source on the network, of an app on an aircraft.
pub(super) struct Quiet {
    source: Box<dyn Source>,
    host: Box<dyn Host>,
}

/// The source, which is not asked in flight where the host is an aircraft.
pub(super) fn quiet(
    source: Box<dyn Source>,
    settings: &Settings,
    app: &AppName,
) -> Box<dyn Source> {
    match settings.profile {
        Profile::Airborne => Box::new(Quiet { source, host: host(settings, app) }),
        Profile::Workstation | Profile::Lab | Profile::Server => source,
    }
}

/// Refuses a command that would ask a registry in flight.
///
/// # Errors
///
/// `Waiting`: the host is an aircraft, and busy.
pub(crate) fn may_ask(settings: &Settings, app: &AppName) -> Result<(), Refusal> {
    if settings.profile != Profile::Airborne {
        return Ok(());
    }
    may(host(settings, app).as_mut())
        .map_err(|error| Refusal::new(Exit::Waiting, format!("{app}: {}", error.text)))
}

fn may(host: &mut dyn Host) -> Result<(), SourceError> {
    match host.busy() {
        Busy::Clear => Ok(()),
        Busy::Busy(reason) => {
            let text = format!("no registry is asked in flight: {reason}");
            Err(SourceError { kind: SourceErrorKind::Retry, text })
        }
    }
}

impl Source for Quiet {
    fn find(&mut self, follow: &Follow) -> Result<Option<Found>, SourceError> {
        may(self.host.as_mut())?;
        self.source.find(follow)
    }

    fn fetch(
        &mut self,
        release: &Release,
        progress: &mut dyn Progress,
    ) -> Result<Release, SourceError> {
        may(self.host.as_mut())?;
        self.source.fetch(release, progress)
    }

    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        self.source.verify(digest)
    }

    fn notes(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError> {
        may(self.host.as_mut())?;
        self.source.notes(digest)
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        self.source.keep(set)
    }
}
