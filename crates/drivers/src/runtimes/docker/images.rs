//! The images of an app lie with the engine that runs them.
//!
//! They are pulled by digest, which the engine checks, and remembered in `images.json` below the app's runs:
//! only what was pulled here is removed here, and never what a container is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use groundcrew_engine::noun::{AppName, Digest};
use groundcrew_engine::ports::{KeepSet, Progress, SourceError, SourceErrorKind};
use serde_json::{Value, json};

use super::api::{self, Api, quoted};
use super::look;
use crate::causes::causes;
use crate::durable::{self, Site};
use crate::source::registry::keys::Identity;
use crate::source::registry::platform::Host;
use crate::source::registry::{Images, Pull};

/// An engine that says nothing for so long while it pulls has stopped.
const QUIET_MAX: Duration = Duration::from_secs(300);

/// Limit of one pull.
const PULL_MAX: Duration = Duration::from_secs(6 * 3600);

/// The images of one app.
#[derive(Clone, Debug)]
pub struct EngineImages {
    api: Api,
    dir: PathBuf,
    repository: String,
}

impl EngineImages {
    /// The app's images of this repository, at the engine behind a socket.
    #[must_use]
    pub fn new(state: &Path, app: &AppName, socket: &Path, repository: &str) -> Self {
        let dir = look::records(state, app.as_str());
        Self { api: Api::new(socket), dir, repository: repository.to_owned() }
    }

    fn name(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository)
    }

    fn is_here(&self, digest: &Digest) -> Result<bool, SourceError> {
        let path = format!("/images/{}/json", quoted(&self.name(digest)));
        Ok(self.api.get(&path).map_err(|error| host(&error))?.is_some())
    }

    fn pulled(&self) -> BTreeSet<Digest> {
        // What is not on record is not removed, no more.
        let read = || serde_json::from_slice(&fs::read(self.dir.join("images.json")).ok()?).ok();
        read().unwrap_or_default()
    }

    fn remember(&self, pulled: &BTreeSet<Digest>) -> Result<(), SourceError> {
        durable::create_dir_all(&self.dir, 0o700, Site::Release)
            .and_then(|()| {
                durable::write_json(&self.dir.join("images.json"), pulled, 0o600, Site::Release)
            })
            .map_err(|error| host(&error))
    }
}

impl Images for EngineImages {
    fn pull(&mut self, wanted: &Pull<'_>, progress: &mut dyn Progress) -> Result<(), SourceError> {
        if self.is_here(wanted.digest)? {
            return Ok(());
        }
        let mut pulled = self.pulled();
        if pulled.insert(wanted.digest.clone()) {
            self.remember(&pulled)?;
        }
        let platform = wanted.platform;
        // An engine knows its own; older ones take no other without being told to experiment.
        let other = if *platform == Host::here() {
            String::new()
        } else {
            format!("&platform={}", quoted(&platform.to_string()))
        };
        let path = format!(
            "/images/create?fromImage={}&tag={}{other}",
            quoted(&self.repository),
            quoted(wanted.digest.as_str())
        );
        let login = login(wanted)?;
        let mut pulling = Pulling { layers: BTreeMap::new(), progress };
        let mut failure = None;
        self.api
            .pull(&path, &login, (PULL_MAX, QUIET_MAX), &mut |line| match line
                .get("error")
                .and_then(Value::as_str)
            {
                Some(said) => failure = Some(said.to_owned()),
                None => pulling.line(line),
            })
            .map_err(|error| refused(&error, &self.repository))?;
        if let Some(said) = failure {
            return Err(not_pulled(&self.name(wanted.digest), &said));
        }
        if self.is_here(wanted.digest)? {
            return Ok(());
        }
        let text = format!("the engine pulled {} and does not have it", self.name(wanted.digest));
        Err(SourceError { kind: SourceErrorKind::Host, text })
    }

    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        if self.is_here(digest)? {
            return Ok(());
        }
        let text = format!("image {} is not here", self.name(digest));
        Err(SourceError { kind: SourceErrorKind::Refuse, text })
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        let mut pulled = self.pulled();
        let spare: Vec<Digest> = pulled.difference(&set.releases).cloned().collect();
        let mut removed = Vec::new();
        for digest in spare {
            match self.api.delete(&format!("/images/{}", quoted(&self.name(&digest)))) {
                Ok(()) => removed.push(digest),
                // A container is made of it, the one in place or the way back.
                Err(api::Error::Refused { status: 409, .. }) => {}
                Err(error) => return Err(host(&error)),
            }
        }
        if !removed.is_empty() {
            pulled.retain(|digest| !removed.contains(digest));
            self.remember(&pulled)?;
        }
        Ok(removed)
    }
}

/// Adds up what the engine says of each layer.
struct Pulling<'p> {
    /// Done and total of each, in bytes.
    layers: BTreeMap<String, (u64, u64)>,
    progress: &'p mut dyn Progress,
}

/// Layers of one image that are added up; what an image may have at most is less.
const LAYERS_MAX: usize = 512;

impl Pulling<'_> {
    fn line(&mut self, line: &Value) {
        let id = line.get("id").and_then(Value::as_str).unwrap_or_default();
        let number = |what| line.pointer(what).and_then(Value::as_u64);
        let (done, total) = (number("/progressDetail/current"), number("/progressDetail/total"));
        // Unpacking counts the same bytes once more.
        let downloads = line.get("status").and_then(Value::as_str) == Some("Downloading");
        let (Some(done), Some(total), true) = (done, total, downloads) else { return };
        if self.layers.len() < LAYERS_MAX || self.layers.contains_key(id) {
            self.layers.insert(id.to_owned(), (done, total));
        }
        let (done, total) = self.layers.values().fold((0_u64, 0_u64), |sum, layer| {
            (sum.0.saturating_add(layer.0), sum.1.saturating_add(layer.1))
        });
        self.progress.at(done, total);
    }
}

/// Who we are, as the engine wants to be told.
fn login(wanted: &Pull<'_>) -> Result<Value, SourceError> {
    let registry = &wanted.access.repository.registry;
    let login = wanted.access.keys.login(registry);
    let login = login.map_err(|error| SourceError { kind: error.kind(), text: causes(&error) })?;
    Ok(match login.identity {
        Identity::Anonymous => json!({}),
        Identity::Basic(user, secret) => json!({
            "username": user, "password": secret.expose(), "serveraddress": registry,
        }),
        Identity::Token(token) => json!({
            "identitytoken": token.expose(), "serveraddress": registry,
        }),
    })
}

fn host(error: &dyn std::error::Error) -> SourceError {
    SourceError { kind: SourceErrorKind::Host, text: causes(error) }
}

fn refused(error: &api::Error, repository: &str) -> SourceError {
    match error {
        api::Error::Refused { said, .. } => not_pulled(repository, said),
        error => host(error),
    }
}

/// A full disk is the host's; everything else is the registry's or the way to it.
fn not_pulled(name: &str, said: &str) -> SourceError {
    let full = said.contains("no space left on device");
    let kind = if full { SourceErrorKind::Host } else { SourceErrorKind::Retry };
    SourceError { kind, text: format!("the engine cannot pull {name}: {said}") }
}
