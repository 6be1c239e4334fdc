//! Starting and stopping the container in place.

use std::time::{Duration, Instant};

use groundcrew_engine::machine::StopReport;
use groundcrew_engine::noun::Digest;
use groundcrew_engine::ports::{StartOrder, StopOrder};
use serde_json::{Value, json};

use super::api::{self, ASK_MAX, quoted};
use super::error::{Blame, Error};
use super::look::{self, Container, Part};
use super::record::{Record, Start};
use super::{DockerRuntime, TICK};
use crate::durable::Site;

/// How long a stopped container has where nobody says how it is stopped.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long the engine has to end what it was told to kill.
const KILL_MAX: Duration = Duration::from_secs(30);

/// The signal that the configuration has unless somebody says otherwise; the image knows better.
const ANY_SIGNAL: &str = "SIGTERM";

impl DockerRuntime {
    pub(super) fn start_container(&self, order: &StartOrder<'_>) -> Result<(), Error> {
        let wanted = &order.installed.release.digest;
        let all = self.look()?;
        let mut record = self.record()?;
        let place = self.expect_place(&all, wanted)?;
        let alive = all.iter().find(|one| one.is_alive() && one.part != Part::Hook);
        if let Some(alive) = alive {
            if alive.id() != place.id() {
                return Err(Error::Other { name: alive.name() });
            }
            self.follow(place, &all, &mut record)?;
            return if order.attended { Ok(()) } else { self.hand_over(place, &mut record) };
        }
        refuse_to_repeat(&self.api, order, &all, &record)?;
        self.attend(place, &mut record)?;
        record.starts.push(Start {
            txn: order.txn.clone(),
            run: order.run.to_owned(),
            container: place.id(),
            digest: wanted.clone(),
            before: place.started_at(),
            after: None,
            refused: None,
        });
        record.write(&self.dir, Site::Run)?;
        self.launch(place, &mut record)?;
        self.follow(place, &all, &mut record)?;
        if order.attended { Ok(()) } else { self.hand_over(place, &mut record) }
    }

    fn expect_place<'a>(
        &self,
        all: &'a [Container],
        wanted: &Digest,
    ) -> Result<&'a Container, Error> {
        let name = || self.settings.container.clone();
        let place = look::in_place(all);
        let found = place.map(|one| look::digest(&self.api, one)).transpose()?;
        match (place, found) {
            (Some(place), Some(found)) if found == *wanted => Ok(place),
            (_, found) => {
                let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
                Err(Error::Place { name: name(), found, wanted: wanted.clone() })
            }
        }
    }

    /// Starts a container whose start is on record, and waits a moment whether it stays.
    fn launch(&self, place: &Container, record: &mut Record) -> Result<(), Error> {
        let path = format!("/containers/{}/start", place.id());
        let begun = Instant::now();
        let started = self.api.post(&path, &Value::Null, KILL_MAX);
        if let (Err(api::Error::Refused { said, .. }), Some(start)) =
            (&started, record.starts.last_mut())
        {
            start.refused = Some(said.clone());
            record.write(&self.dir, Site::Run)?;
            let blame = blame_of_refusal(said);
            return Err(Error::NotStarted { said: said.clone(), blame });
        }
        started?;
        let mut now = self.again(place)?;
        if let Some(start) = record.starts.last_mut() {
            start.after = Some(now.started_at());
        }
        record.write(&self.dir, Site::Run)?;
        while now.is_alive() {
            if begun.elapsed() >= self.settle {
                return Ok(());
            }
            std::thread::sleep(TICK);
            now = self.again(place)?;
        }
        let blame = look::blame(look::by_itself(&self.api, &now, record)?);
        Err(Error::EndedAtOnce { how: now.how(), blame, said: self.said(&now).join("\n") })
    }

    /// From here on nobody but us starts it; what its owner wants is written down first.
    pub(super) fn attend(&self, one: &Container, record: &mut Record) -> Result<(), Error> {
        self.keep(one)?;
        if one.shown.pointer("/HostConfig/RestartPolicy/Name") == Some(&"no".into()) {
            return Ok(());
        }
        let policy = one.policy(record);
        record.policies.insert(one.id(), policy);
        record.write(&self.dir, Site::Run)?;
        self.restarts(one, &json!({ "Name": "no", "MaximumRetryCount": 0 }))
    }

    /// The engine cares for it again as its owner wants.
    pub(super) fn hand_over(&self, one: &Container, record: &mut Record) -> Result<(), Error> {
        let policy = one.policy(record);
        if policy.is_object() && one.shown.pointer("/HostConfig/RestartPolicy") != Some(&policy) {
            self.restarts(one, &policy)?;
        }
        if record.policies.remove(&one.id()).is_some() {
            record.write(&self.dir, Site::Run)?;
        }
        Ok(())
    }

    fn restarts(&self, one: &Container, policy: &Value) -> Result<(), Error> {
        let path = format!("/containers/{}/update", one.id());
        self.api.order(&path, &json!({ "RestartPolicy": policy }))?;
        Ok(())
    }

    pub(super) fn stop_all(&self, order: &StopOrder<'_>) -> Result<StopReport, Error> {
        let begun = Instant::now();
        let mut report = StopReport { clean: true, ..StopReport::default() };
        let mut all = self.look()?;
        // What works beside the app ends first; nobody is left who would ask it for anything.
        all.sort_by_key(|one| matches!(one.part, Part::InPlace | Part::Aside));
        let mut record = self.record()?;
        for one in &all {
            match one.part {
                Part::Hook | Part::Migration => {
                    report.ran |= one.is_alive() && one.part == Part::Migration;
                    self.remove(&one.id())?;
                }
                Part::InPlace | Part::Aside => {
                    self.attend(one, &mut record)?;
                    let now = self.again(one)?;
                    if now.is_alive() {
                        self.stop_one(&now, order, &mut record, &mut report)?;
                    }
                }
            }
        }
        report.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // After the stop: a start that was under way has a moment by now.
        let all = self.look()?;
        let latest = look::latest(&all, &record);
        report.latest = latest.map(|one| look::as_latest(&self.api, one)).transpose()?;
        Ok(report)
    }

    fn stop_one(
        &self,
        one: &Container,
        order: &StopOrder<'_>,
        record: &mut Record,
        report: &mut StopReport,
    ) -> Result<(), Error> {
        record.stops.push((one.id(), one.started_at()));
        record.write(&self.dir, Site::Run)?;
        if one.is_paused() {
            self.api.post(&format!("/containers/{}/unpause", one.id()), &Value::Null, ASK_MAX)?;
        }
        let how = order.installed.map(|installed| &installed.procedure.stop);
        let grace = how.map_or(DEFAULT_GRACE, |how| Duration::from_millis(how.grace_ms));
        let own = one.shown.pointer("/Config/StopSignal").and_then(Value::as_str);
        let signal = match how.map(|how| how.signal.as_str()) {
            Some(asked) if asked != ANY_SIGNAL => asked,
            _ => own.unwrap_or(ANY_SIGNAL),
        };
        self.signal(one, signal)?;
        let mut ended = self.wait_for_end(one, grace)?;
        let clean = ended.is_some();
        if ended.is_none() {
            self.signal(one, "SIGKILL")?;
            ended = self.wait_for_end(one, KILL_MAX)?;
        }
        let Some(ended) = ended else {
            let waited_ms = KILL_MAX.as_millis();
            return Err(Error::StillRuns { name: one.name(), waited_ms });
        };
        report.ran = true;
        report.clean &= clean;
        report.exit_code = i32::try_from(ended.exit_code()).ok();
        // It may have been started anew between the look and the signal.
        if ended.started_at() != one.started_at() {
            record.stops.push((ended.id(), ended.started_at()));
            record.write(&self.dir, Site::Run)?;
        }
        Ok(())
    }

    /// One that ended meanwhile needs no signal.
    fn signal(&self, one: &Container, signal: &str) -> Result<(), Error> {
        let path = format!("/containers/{}/kill?signal={}", one.id(), quoted(signal));
        match self.api.post(&path, &Value::Null, ASK_MAX) {
            Ok(_) | Err(api::Error::Refused { status: 409, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The container once it ended; `None`: it did not in time.
    pub(super) fn wait_for_end(
        &self,
        one: &Container,
        limit: Duration,
    ) -> Result<Option<Container>, Error> {
        let begun = Instant::now();
        loop {
            let now = self.again(one)?;
            if !now.is_alive() {
                return Ok(Some(now));
            }
            if begun.elapsed() >= limit {
                return Ok(None);
            }
            std::thread::sleep(TICK);
        }
    }
}

/// A run that was begun is not begun again.
fn refuse_to_repeat(
    api: &api::Api,
    order: &StartOrder<'_>,
    all: &[Container],
    record: &Record,
) -> Result<(), Error> {
    let Some(start) = record.start(order.txn, order.run) else { return Ok(()) };
    let run = format!("{} of update {}", order.run, order.txn);
    if let Some(said) = &start.refused {
        return Err(Error::Ended { run, how: said.clone(), blame: blame_of_refusal(said) });
    }
    let Some(one) = all.iter().find(|one| one.id() == start.container) else {
        let how = "its container is gone".to_owned();
        return Err(Error::Ended { run, how, blame: Blame::Host });
    };
    if start.after.is_none() && one.started_at() == start.before {
        // Written down, and not done.
        return Ok(());
    }
    let blame = look::blame(look::by_itself(api, one, record)?);
    Err(Error::Ended { run, how: one.how(), blame })
}

/// The program of a release that cannot be run is the release's fault, whatever else fails the host's.
fn blame_of_refusal(said: &str) -> Blame {
    let program =
        ["executable file not found", "exec format error", "no such file or directory: unknown"];
    let exec = said.contains("starting container process caused") || said.contains("exec:");
    if exec && program.iter().any(|what| said.contains(what)) {
        Blame::Release
    } else {
        Blame::Host
    }
}
