//! An app's snapshots as they lie on the disk: listed, verified, and whose they are.
//!
//! Reading them needs neither agent nor store: a snapshot is complete if and only if it has its
//! name. One that spans several parent directories has one part in each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use groundcrew_drivers::snapshots::{self, Area, Snapshot};
use serde::Serialize;

use crate::chain;
use crate::config::Settings;
use crate::exit::Refusal;

/// A snapshot, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Copy {
    /// Its name.
    pub(crate) id: String,
    /// The version of the release that owned the data; `None` before a first installation.
    pub(crate) version: Option<String>,
    /// That release's content.
    pub(crate) digest: Option<String>,
    /// When it was taken, milliseconds since 1970.
    pub(crate) taken_ms: i64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// Where its parts lie.
    pub(crate) places: Vec<String>,
}

/// What reading a whole snapshot found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verified {
    /// Its name.
    pub(crate) id: String,
    /// Every way in which it is not what was copied; empty: it is whole.
    pub(crate) differences: Vec<String>,
}

fn areas(settings: &Settings, app: &str) -> Result<BTreeSet<Area>, Refusal> {
    let Some(of) = settings.apps.get(app) else {
        return Err(Refusal::usage(format!("there is no app {app:?} in the configuration")));
    };
    let volumes = of.policy.procedure.volumes.values();
    let areas = volumes.map(|volume| Area::of(Path::new(&volume.path), app));
    areas.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

fn failed(error: &snapshots::Error) -> Refusal {
    Refusal::failed(chain(error))
}

/// Each snapshot with its parts.
fn parts(settings: &Settings, app: &str) -> Result<BTreeMap<String, Vec<Snapshot>>, Refusal> {
    let mut found: BTreeMap<String, Vec<Snapshot>> = BTreeMap::new();
    for area in areas(settings, app)? {
        for id in snapshots::list(&area).map_err(|error| failed(&error))? {
            let part = snapshots::load(&area, &id).map_err(|error| failed(&error))?;
            found.entry(id).or_default().push(part);
        }
    }
    Ok(found)
}

/// The complete snapshots of an app, oldest first.
///
/// # Errors
///
/// They cannot be read.
pub(crate) fn list(settings: &Settings, app: &str) -> Result<Vec<Copy>, Refusal> {
    let mut copies: Vec<Copy> =
        parts(settings, app)?.into_iter().map(|(id, parts)| copy(id, &parts)).collect();
    copies.sort_by_key(|copy| copy.taken_ms);
    Ok(copies)
}

fn copy(id: String, parts: &[Snapshot]) -> Copy {
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    let first = parts.first().map(|part| &part.manifest);
    Copy {
        id,
        version: first.and_then(|manifest| said(&manifest.version)),
        digest: first.and_then(|manifest| said(&manifest.digest)),
        taken_ms: first.map_or(0, |manifest| manifest.taken_at.as_millisecond()),
        bytes: parts.iter().map(|part| part.manifest.bytes).sum(),
        places: parts.iter().map(|part| part.dir.display().to_string()).collect(),
    }
}

/// Reads one snapshot, or all, whole.
///
/// # Errors
///
/// There is none of this name, or it cannot be read.
pub(crate) fn verify(
    settings: &Settings,
    app: &str,
    id: Option<&str>,
) -> Result<Vec<Verified>, Refusal> {
    let mut verified = Vec::new();
    for (name, parts) in parts(settings, app)? {
        if id.is_some_and(|id| id != name) {
            continue;
        }
        let mut differences = Vec::new();
        for part in &parts {
            match snapshots::verify_snapshot(part, &mut ()) {
                Ok(found) => differences.extend(
                    found.iter().map(|(volume, difference)| format!("{volume}: {difference}")),
                ),
                Err(error) => differences.push(chain(&error)),
            }
        }
        verified.push(Verified { id: name, differences });
    }
    match id {
        Some(id) if verified.is_empty() => {
            Err(Refusal::usage(format!("{app} has no snapshot {id:?}")))
        }
        _ => Ok(verified),
    }
}

/// Whose data a snapshot holds: the digest of the release; `None` before a first installation.
///
/// # Errors
///
/// There is none of this name.
pub(crate) fn owner(settings: &Settings, app: &str, id: &str) -> Result<Option<String>, Refusal> {
    let copy = list(settings, app)?.into_iter().find(|copy| copy.id == id);
    let copy = copy.ok_or_else(|| Refusal::usage(format!("{app} has no snapshot {id:?}")))?;
    Ok(copy.digest)
}
