//! An app's containers as the engine shows them, and what follows from that.

use std::path::Path;

use groundcrew_engine::machine::Latest;
use groundcrew_engine::noun::{Digest, TxnId};
use groundcrew_engine::ports::Ended;
use jiff::Timestamp;
use serde_json::Value;

use super::api::{Api, quoted};
use super::error::{Blame, Error};
use super::record::Record;
use super::template::{self, array, text};

/// When a container was started that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Seconds around the end of a run in which the engine is asked whether it saw the end.
const END_WINDOW_SECS: i64 = 2;

/// Exit codes with which a program ends as its engine goes down, or that the engine makes up for one that
/// went with the host.
const SHUTDOWN_CODES: [i64; 5] = [0, 130, 137, 143, 255];

/// What a container of an app is for. Its name says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It has the app's name: the one in place.
    InPlace,
    /// It had it, or was to have it.
    Aside,
    /// A migration, which counts as the app running.
    Migration,
    /// A hook.
    Hook,
}

/// A container.
#[derive(Clone, Debug)]
pub(super) struct Container {
    /// As the engine shows it.
    pub(super) shown: Value,
    pub(super) part: Part,
}

/// What stands between the app's name and the part in the names of its other containers.
pub(super) const MARK: &str = ".groundcrew-";

impl Container {
    pub(super) fn id(&self) -> String {
        text(&self.shown, "/Id")
    }

    /// Without the slash before it.
    pub(super) fn name(&self) -> String {
        text(&self.shown, "/Name").trim_start_matches('/').to_owned()
    }

    pub(super) fn image(&self) -> String {
        text(&self.shown, "/Image")
    }

    /// Something of it lives, or the engine is about to start it again.
    pub(super) fn is_alive(&self) -> bool {
        let is = |what| self.shown.pointer(what) == Some(&Value::Bool(true));
        is("/State/Running") || is("/State/Restarting")
    }

    pub(super) fn is_paused(&self) -> bool {
        self.shown.pointer("/State/Paused") == Some(&Value::Bool(true))
    }

    pub(super) fn started_at(&self) -> String {
        text(&self.shown, "/State/StartedAt")
    }

    pub(super) fn was_started(&self) -> bool {
        !matches!(self.started_at().as_str(), "" | NEVER)
    }

    pub(super) fn exit_code(&self) -> i64 {
        self.shown.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or(0)
    }

    fn out_of_memory(&self) -> bool {
        self.shown.pointer("/State/OOMKilled") == Some(&Value::Bool(true))
    }

    /// How its latest run ended, for people.
    pub(super) fn how(&self) -> String {
        let memory = if self.out_of_memory() { ", out of memory" } else { "" };
        let said = text(&self.shown, "/State/Error");
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        format!("exit code {}{memory}{said}", self.exit_code())
    }

    fn label(&self, name: &str) -> Option<String> {
        let labels = self.shown.pointer("/Config/Labels")?.as_object()?;
        Some(labels.get(name)?.as_str()?.to_owned())
    }

    /// What restarts its owner wants.
    pub(super) fn policy(&self, record: &Record) -> Value {
        let remembered = record.policies.get(&self.id()).cloned();
        let labelled = || serde_json::from_str(&self.label(template::POLICY)?).ok();
        let own = || self.shown.pointer("/HostConfig/RestartPolicy").cloned();
        remembered.or_else(labelled).or_else(own).unwrap_or(Value::Null)
    }
}

/// All containers of the app, those that were started first first.
pub(super) fn look(api: &Api, name: &str) -> Result<Vec<Container>, Error> {
    let filter = serde_json::json!({ "name": [format!("^/{}", pattern(name))] }).to_string();
    let path = format!("/containers/json?all=1&filters={}", quoted(&filter));
    let listed = api.get(&path)?.unwrap_or_default();
    let mut all = Vec::new();
    for one in listed.as_array().into_iter().flatten() {
        let names = array(one, "/Names").filter_map(Value::as_str);
        let Some(part) = names.filter_map(|full| part(full.trim_start_matches('/'), name)).next()
        else {
            continue;
        };
        // One that went meanwhile is not there.
        if let Some(shown) = api.get(&format!("/containers/{}/json", text(one, "/Id")))? {
            all.push(Container { shown, part });
        }
    }
    all.sort_by_key(|container| moment(&container.started_at()));
    Ok(all)
}

/// The engine takes names as patterns.
fn pattern(name: &str) -> String {
    name.chars()
        .flat_map(|c| (!c.is_alphanumeric()).then_some('\\').into_iter().chain([c]))
        .collect()
}

fn part(full: &str, name: &str) -> Option<Part> {
    let rest = full.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(Part::InPlace);
    }
    let what = rest.strip_prefix(MARK)?;
    Some(match what {
        _ if what.starts_with("migrate-") => Part::Migration,
        _ if what.starts_with("hook-") => Part::Hook,
        _ => Part::Aside,
    })
}

/// Moments of the engine in the order of time.
pub(super) fn moment(at: &str) -> Option<Timestamp> {
    at.parse().ok()
}

/// The container in place.
pub(super) fn in_place(all: &[Container]) -> Option<&Container> {
    all.iter().find(|container| container.part == Part::InPlace)
}

/// The app's own containers, in place or aside.
pub(super) fn apps(all: &[Container]) -> impl Iterator<Item = &Container> {
    all.iter().filter(|one| matches!(one.part, Part::InPlace | Part::Aside))
}

/// The release that a container was made of: its label, or what its image is called in the registry.
pub(super) fn digest(api: &Api, container: &Container) -> Result<Digest, Error> {
    if let Some(digest) = container.label(template::RELEASE) {
        return Ok(Digest(digest));
    }
    let image = container.image();
    let known = api.get(&format!("/images/{}/json", quoted(&image)))?;
    let wanted = text(&container.shown, "/Config/Image");
    let names: Vec<String> = known
        .iter()
        .flat_map(|known| array(known, "/RepoDigests"))
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let repository = repository(&wanted);
    let same = names.iter().find(|name| name.split('@').next() == Some(repository));
    let of = |name: &String| name.split_once('@').map(|(_, digest)| digest.to_owned());
    Ok(Digest(same.or(names.first()).and_then(of).unwrap_or(image)))
}

/// An image's name without tag and digest.
#[must_use]
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // What follows the colon of a port has a slash in it.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// The latest run of the app. What runs is the latest, whatever the clock said meanwhile; else the
/// latest start that we know of, if nobody started anything since.
pub(super) fn latest<'a>(all: &'a [Container], record: &Record) -> Option<&'a Container> {
    let begun = || apps(all).filter(|container| container.was_started());
    if let Some(alive) = begun().find(|container| container.is_alive()) {
        return Some(alive);
    }
    let last = record.starts.last();
    let ours = last.and_then(|last| begun().find(|one| one.id() == last.container));
    let newest = begun().last();
    match (ours, newest) {
        (Some(ours), Some(newest))
            if record.start_of(&newest.id(), &newest.started_at()).is_some() =>
        {
            Some(ours)
        }
        (_, newest) => newest,
    }
}

pub(super) fn as_latest(api: &Api, container: &Container) -> Result<Latest, Error> {
    let run = format!("{}@{}", container.id(), container.started_at());
    Ok(Latest { run, digest: digest(api, container)? })
}

/// Neither we, nor the engine or the host as it went down, ended its latest run.
pub(super) fn by_itself(api: &Api, one: &Container, record: &Record) -> Result<bool, Error> {
    if record.stopped(&one.id(), &one.started_at()) {
        return Ok(false);
    }
    if one.out_of_memory() || !SHUTDOWN_CODES.contains(&one.exit_code()) {
        return Ok(true);
    }
    // An engine remembers the ends that it lived through, and none from before its own start.
    let finished = text(&one.shown, "/State/FinishedAt");
    let Some(at) = moment(&finished) else { return Ok(true) };
    let (since, until) = (at.as_second() - END_WINDOW_SECS, at.as_second() + END_WINDOW_SECS);
    let filter = serde_json::json!({ "container": [one.id()], "event": ["die"] }).to_string();
    let path = format!("/events?since={since}&until={until}&filters={}", quoted(&filter));
    Ok(!api.read(&path)?.is_empty())
}

pub(super) fn ended(api: &Api, one: &Container, record: &Record) -> Result<Option<Ended>, Error> {
    if one.is_alive() || !one.was_started() {
        return Ok(None);
    }
    let start = record.start_of(&one.id(), &one.started_at());
    let run = start.map(|start| (start.txn.clone(), start.run.clone()));
    let by_itself = by_itself(api, one, record)?;
    Ok(Some(Ended { digest: digest(api, one)?, run, how: one.how(), by_itself }))
}

/// Whom to blame for the end of a run.
pub(super) fn blame(by_itself: bool) -> Blame {
    if by_itself { Blame::Release } else { Blame::Host }
}

/// The update that put what is in place there, and whether it put it back.
pub(super) fn placed_by(record: &Record, container: Option<&str>) -> Option<(TxnId, bool)> {
    let place = record.place.as_ref()?;
    (place.container.as_deref() == container).then(|| (place.txn.clone(), place.back))
}

/// Where an app's record lies.
pub(super) fn records(state: &Path, app: &str) -> std::path::PathBuf {
    state.join("runs").join(app)
}

/// What the engine keeps of a program's output, oldest line first.
pub(super) fn lines(bytes: &[u8], terminal: bool, max: usize) -> Vec<String> {
    let plain = if terminal { bytes.to_vec() } else { frames(bytes).flatten().copied().collect() };
    let text = String::from_utf8_lossy(&plain);
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(max);
    lines.into_iter().skip(skip).map(str::to_owned).collect()
}

/// Output of a container without a terminal comes in frames: eight bytes of head, the last four of which
/// are the length.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(8)?;
        let length = head.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(behind.len());
        let (text, next) = behind.split_at(length);
        rest = next;
        Some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_name_a_tag_and_a_digest_and_a_registry_may_have_a_port() {
        for image in ["app", "app:1", "app@sha256:1", "app:1@sha256:1"] {
            assert_eq!(repository(image), "app", "{image}");
        }
        for image in ["host:5000/app", "host:5000/app:1", "host:5000/app@sha256:1"] {
            assert_eq!(repository(image), "host:5000/app", "{image}");
        }
    }

    #[test]
    fn the_name_of_a_container_says_what_it_is_for() {
        let cases = [
            ("app", Some(Part::InPlace)),
            ("app.groundcrew-1ecc75666251", Some(Part::Aside)),
            ("app.groundcrew-migrate-t", Some(Part::Migration)),
            ("app.groundcrew-hook-t", Some(Part::Hook)),
            ("app2", None),
            ("app.other", None),
            ("my-app", None),
        ];
        for (full, expected) in cases {
            assert_eq!(part(full, "app"), expected, "{full}");
        }
    }

    #[test]
    fn output_comes_in_frames_or_as_it_is() {
        let frame = |text: &str| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [&[1, 0, 0, 0], length.as_slice(), text.as_bytes()].concat()
        };
        let framed = [frame("one\ntw"), frame("o\nthree\n")].concat();
        assert_eq!(lines(&framed, false, 9), ["one", "two", "three"]);
        assert_eq!(lines(&framed, false, 2), ["two", "three"]);
        assert_eq!(lines(&framed[..framed.len() - 3], false, 9), ["one", "two", "thr"], "cut");
        assert_eq!(lines(b"as it is\n", true, 9), ["as it is"]);
        assert!(lines(&[0; 7], false, 9).is_empty());
    }
}
