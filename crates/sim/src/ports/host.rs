//! Clock, host, neighbors, source and probes of the simulated machine.

use std::collections::BTreeMap;
use std::time::Duration;

use groundcrew_engine::notes::NoteFile;
use groundcrew_engine::noun::{Digest, Fault, Now, Release, VolumeName};
use groundcrew_engine::plan::{Installed, Probe, Volume};
use groundcrew_engine::ports::{
    Busy, Claim, Clock, External, ExternalCheck, Finding, Follow, Found, Host, KeepSet, Neighbor,
    Neighbors, Place, Probes, Progress, Room, Source, SourceError, SourceErrorKind, Woken,
};

use crate::seeded::Seeded;
use crate::world::Shared;

/// The clock; waiting is how time passes.
#[derive(Debug)]
pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&mut self) -> Now {
        self.0.borrow().now()
    }

    fn wait(&mut self, at_most: Duration) -> Woken {
        let ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        self.0.borrow_mut().pass(ms.max(1));
        Woken::Time
    }
}

/// The host.
#[derive(Debug)]
pub struct SimHost(pub Shared);

impl Host for SimHost {
    fn busy(&mut self) -> Busy {
        let mut world = self.0.borrow_mut();
        world.asked = world.updating && world.busy.is_none();
        if world.is_seeded(Seeded::BusyIsIgnored) {
            return Busy::Clear;
        }
        world.busy.clone().map_or(Busy::Clear, Busy::Busy)
    }

    fn announce(&mut self, updating: bool) -> Result<(), Fault> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.failure("announce") {
            return Err(fault);
        }
        if updating && world.is_seeded(Seeded::StopIsNotAnnounced) {
            return Ok(());
        }
        if updating || !world.is_seeded(Seeded::MarkerStays) {
            world.updating = updating;
        }
        world.asked &= updating;
        if updating {
            world.trigger("announced");
        }
        Ok(())
    }

    fn room(
        &mut self,
        _volumes: &BTreeMap<VolumeName, Volume>,
        _release: &Release,
    ) -> Result<Room, Fault> {
        let mut world = self.0.borrow_mut();
        let free_bytes = if world.failure("room").is_some() { 10 } else { 1 << 40 };
        let path = "/".to_owned();
        let place =
            Place { path, free_bytes, free_inodes: None, need_bytes: 1 << 20, need_inodes: 10 };
        Ok(Room { places: vec![place] })
    }

    fn check(&mut self, check: &ExternalCheck) -> External {
        match self.0.borrow_mut().failure("check") {
            Some(_) => External::Exit(75),
            None if check.name == "never" => External::Exit(1),
            None => External::Exit(0),
        }
    }

    fn touched_ms(&mut self, _path: &str) -> Option<i64> {
        None
    }
}

/// The other work on the host.
#[derive(Debug)]
pub struct SimNeighbors(pub Shared);

impl Neighbors for SimNeighbors {
    fn list(&mut self) -> Vec<Neighbor> {
        let mut world = self.0.borrow_mut();
        let healthy = world.failure("neighbor").is_none();
        let (app, group) = ("tiles".to_owned(), "default".to_owned());
        vec![Neighbor { app, group, healthy, updating: false }]
    }

    fn exclude(&mut self, take: bool) -> Option<Claim> {
        let mut world = self.0.borrow_mut();
        if take && world.failure("exclude").is_some() {
            return Some(Claim { who: "tiles".to_owned(), since: "now".to_owned() });
        }
        if take || !world.is_seeded(Seeded::GroupStaysTaken) {
            world.excluded = take;
        }
        None
    }
}

/// The source.
#[derive(Debug)]
pub struct SimSource(pub Shared);

fn refuse(text: &str) -> SourceError {
    SourceError { kind: SourceErrorKind::Refuse, text: text.to_owned() }
}

impl Source for SimSource {
    fn find(&mut self, follow: &Follow) -> Result<Option<Found>, SourceError> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.failure("find") {
            return Err(SourceError { kind: SourceErrorKind::Retry, text: fault.text });
        }
        let release = match follow {
            Follow::Channel => world.channel.clone().and_then(|digest| world.by_digest(&digest)),
            Follow::Pin(to) => {
                let is_meant = |release: &&crate::release::SimRelease| {
                    release.version == to || release.digest().as_str() == to
                };
                world.releases.iter().find(is_meant).cloned()
            }
        };
        Ok(release.map(|release| Found { release: release.release(), serial: None, notes: None }))
    }

    fn fetch(
        &mut self,
        release: &Release,
        progress: &mut dyn Progress,
    ) -> Result<Release, SourceError> {
        let mut world = self.0.borrow_mut();
        world.point("fetch begins");
        if let Some(fault) = world.failure("fetch") {
            return Err(SourceError { kind: SourceErrorKind::Host, text: fault.text });
        }
        let Some(known) = world.by_digest(&release.digest) else {
            return Err(refuse("no such release"));
        };
        if known.refused {
            return Err(refuse("the signature does not verify"));
        }
        if world.is_seeded(Seeded::PartialFetchLooksWhole)
            && !world.fetched.insert(release.digest.clone())
        {
            return Ok(known.release());
        }
        world.partial_fetch = true;
        progress.at(1, 2);
        world.point("fetch, half way");
        world.partial_fetch = false;
        world.fetched.insert(release.digest.clone());
        world.point("fetch is done");
        Ok(known.release())
    }

    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        let known = self.0.borrow().fetched.contains(digest);
        if known { Ok(()) } else { Err(refuse("it is not here")) }
    }

    fn notes(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError> {
        let world = self.0.borrow();
        let note = |release: crate::release::SimRelease| NoteFile {
            version: release.version.to_owned(),
            bytes: release.note.as_bytes().to_vec(),
        };
        Ok(world.by_digest(digest).map(note).into_iter().collect())
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        let mut world = self.0.borrow_mut();
        let careless = world.is_seeded(Seeded::CleanUpDeletesLastGood);
        let running = world.running_digest();
        let spare = |digest: &&Digest| {
            if careless {
                Some(*digest) != running.as_ref()
            } else {
                !set.releases.contains(*digest)
            }
        };
        let gone: Vec<Digest> = world.fetched.iter().filter(spare).cloned().collect();
        for digest in &gone {
            world.fetched.remove(digest);
        }
        if !world.is_seeded(Seeded::PartialsStay) {
            world.partial_fetch = false;
        }
        Ok(gone)
    }
}

/// The probes.
#[derive(Debug)]
pub struct SimProbes(pub Shared);

impl Probes for SimProbes {
    fn ask(&mut self, probe: &Probe, of: &Installed) -> Finding {
        let mut world = self.0.borrow_mut();
        let lied = world.failure("probe").map(|fault| fault.text);
        let cached = world.is_seeded(Seeded::ProbeIsCached);
        let failure = lied.or_else(|| world.illness(&of.release.digest).filter(|_| !cached));
        Finding { probe: probe.name.to_string(), failure, took_ms: 1 }
    }
}
