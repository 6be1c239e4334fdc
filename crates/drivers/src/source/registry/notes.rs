//! Release notes of an image: as an artifact that refers to it, or at a URL.
//!
//! The artifact has the type [`ARTIFACT`]; each layer is one file of notes, its title
//! `<version>.md`, as `oras attach --artifact-type … IMAGE 1.2.0.md 1.1.0.md` makes it. It may bring
//! the notes of earlier releases too, for a host that skips some.
//!
//! A URL has `{version}`, `{revision}` or `{tag}` in it; what is there is the notes of this one
//! release. 404 and 410 mean that there are none; any other failure is one, and the gate waits.

use std::time::Duration;

use groundcrew_engine::notes::{MAX_NOTE_BYTES, MAX_NOTE_FILES, NoteFile};
use groundcrew_engine::noun::Release;

use super::auth::escaped;
use super::client::Client;
use super::error::Error;
use super::http::shown;
use crate::bundle::Sha256;
use crate::causes::causes;
use crate::web::{self, Way};

/// What kind of artifact notes are.
pub const ARTIFACT: &str = "application/vnd.groundcrew.release-notes.v1";

/// The name of a layer's file.
const TITLE: &str = "org.opencontainers.image.title";

/// Limit of one question for notes at a URL.
const URL_TIMEOUT: Duration = Duration::from_secs(20);

/// Where notes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notes {
    /// In an artifact that refers to the image.
    Referrer,
    /// At a URL with `{version}`, `{revision}`, `{tag}` in it.
    Url(String),
}

/// Reads the notes of a release; `None`: there are none.
///
/// # Errors
///
/// They could not be read.
pub fn read(
    client: &mut Client,
    from: &Notes,
    release: &Release,
    tag: &str,
) -> Result<Option<Vec<NoteFile>>, Error> {
    match from {
        Notes::Referrer => by_referrer(client, release),
        Notes::Url(template) => by_url(template, release, tag),
    }
}

fn by_referrer(client: &mut Client, release: &Release) -> Result<Option<Vec<NoteFile>>, Error> {
    let Some(digest) = Sha256::parse(release.digest.as_str()) else { return Ok(None) };
    let mut files: Vec<NoteFile> = Vec::new();
    for referrer in client.referrers(&digest, ARTIFACT)? {
        for layer in referrer.layers {
            let title = layer.annotations.as_ref().and_then(|all| all.get(TITLE));
            let version = title.and_then(|title| title.strip_suffix(".md"));
            let (Some(version), Some(of)) = (version, Sha256::parse(&layer.digest)) else {
                continue;
            };
            if files.len() >= MAX_NOTE_FILES {
                let image = format!("{}@{digest}", client.repository());
                let why = format!("it brings more than {MAX_NOTE_FILES} files of notes");
                return Err(Error::Refused { image, why });
            }
            let bytes = client.blob(&of, MAX_NOTE_BYTES)?;
            files.push(NoteFile { version: version.to_owned(), bytes });
        }
    }
    files.sort_by(|one, other| one.version.cmp(&other.version));
    files.dedup_by(|one, other| one == other);
    Ok((!files.is_empty()).then_some(files))
}

fn by_url(template: &str, release: &Release, tag: &str) -> Result<Option<Vec<NoteFile>>, Error> {
    let revision = release.revision.as_deref();
    if template.contains("{revision}") && revision.is_none() {
        return Ok(None);
    }
    let url = template
        .replace("{version}", &segment(&release.version))
        .replace("{revision}", &segment(revision.unwrap_or_default()))
        .replace("{tag}", &segment(tag));
    let garbage = |why: String| Error::Garbage { url: shown(&url), why };
    let answer = web::ask(&web::Request {
        url: &url,
        headers: &[("accept", "text/markdown, text/plain, */*")],
        body: None,
        timeout: URL_TIMEOUT,
        read_max_bytes: MAX_NOTE_BYTES,
        way: Way::Environment,
    })
    .map_err(|error| garbage(format!("the release notes: {}", causes(&error))))?;
    match answer.status {
        200 if answer.cut => Err(Error::TooLarge { url: shown(&url), limit: MAX_NOTE_BYTES }),
        200 => {
            let file = NoteFile { version: release.version.clone(), bytes: answer.body };
            Ok(Some(vec![file]))
        }
        404 | 410 => Ok(None),
        status => Err(Error::Status { url: shown(&url), status, said: String::new() }),
    }
}

/// A value as one part of a path: a version is no way out of its directory.
fn segment(value: &str) -> String {
    escaped(value).replace('/', "%2F").replace("..", "%2E%2E")
}
