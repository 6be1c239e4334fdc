//! An app's snapshots as they lie on the disk: listed, verified, and whose they are.
//!
//! Reading them needs neither agent nor store: a snapshot is complete if and only if it has a row.

use groundcrew_drivers::snapshots::Error;
use groundcrew_drivers::snapshots::port::VolumeSnapshots;
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

fn open(settings: &Settings, app: &str) -> Result<VolumeSnapshots, Refusal> {
    let Some(of) = settings.apps.get(app) else {
        return Err(settings.no_such_app(app));
    };
    let volumes = &of.policy.procedure.volumes;
    let snapshots = VolumeSnapshots::new(&settings.state, app, volumes, jiff::Timestamp::now);
    snapshots.map_err(|error| failed(&error))
}

fn failed(error: &Error) -> Refusal {
    Refusal::failed(chain(error))
}

/// The complete snapshots of an app, oldest first.
///
/// # Errors
///
/// They cannot be read.
pub(crate) fn list(settings: &Settings, app: &str) -> Result<Vec<Copy>, Refusal> {
    let snapshots = open(settings, app)?;
    let rows = snapshots.rows();
    let mut copies = Vec::new();
    for id in rows.ids().map_err(|error| failed(&error))? {
        // One that went between the two calls is not there any more.
        let Some(row) = rows.read(&id).map_err(|error| failed(&error))? else { continue };
        copies.push(Copy {
            places: row.parts.keys().map(|area| place(area, &id)).collect(),
            taken_ms: row.taken_at.as_millisecond(),
            version: row.version,
            digest: row.digest,
            bytes: row.bytes,
            id,
        });
    }
    copies.sort_by_key(|copy| copy.taken_ms);
    Ok(copies)
}

/// Reads one snapshot, or all, whole.
///
/// # Errors
///
/// There is none of this name.
pub(crate) fn verify(
    settings: &Settings,
    app: &str,
    id: Option<&str>,
) -> Result<Vec<Verified>, Refusal> {
    let snapshots = open(settings, app)?;
    let mut verified = Vec::new();
    for copy in list(settings, app)? {
        if id.is_some_and(|id| id != copy.id) {
            continue;
        }
        let found = snapshots.verify(&copy.id, &mut ());
        let differences = found.unwrap_or_else(|error| vec![chain(&error)]);
        verified.push(Verified { id: copy.id, differences });
    }
    match id {
        Some(id) if verified.is_empty() => Err(Refusal::usage(format!(
            "{app} has no snapshot {id:?}; `groundcrew snapshot list {app}` names them"
        ))),
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
    let copy = copy.ok_or_else(|| {
        Refusal::usage(format!(
            "{app} has no snapshot {id:?}; `groundcrew snapshot list {app}` names them"
        ))
    })?;
    Ok(copy.digest)
}

/// Where the copy itself lies in an area.
fn place(area: &std::path::Path, id: &str) -> String {
    area.join("snapshots").join(id).display().to_string()
}
