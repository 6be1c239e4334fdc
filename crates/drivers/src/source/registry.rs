//! Releases in a container registry: a tag is the channel, an image the release (SRC-1).
//!
//! ```text
//! HEAD <tag>  ──▶ digest ──▶ manifest or index ──▶ image for this host ──▶ labels ──▶ release
//!   304, or the digest of before: nothing more is asked
//! ```
//!
//! - **The digest of a release** is that of what the tag names: an index where there is one. That
//!   is what Docker remembers of a pulled image, what cosign signs and what a promotion moves.
//! - **A look** that finds nothing new costs one `HEAD`. A registry that has had enough (429) is
//!   left alone by all apps of this host for as long as it says.
//! - **An image that cannot be used** (another platform, damaged) is found as no more than its
//!   digest, and its fetch is refused with the reason: the candidate is held, the registry is not
//!   called unreachable.
//! - **A pin** is a digest, a tag, or what a tag is called after: a version, a revision.
//! - **With a key** an image is fetched only if cosign signed its digest with it.
//! - **Where images lie** once they are fetched is the runtime's business: [`Images`].
//!
//! Layout: `reference` reads names; `http`, `auth`, `keys`, `pauses` ask; `client` knows the
//! protocol; `manifest`, `platform`, `describe`, `notes`, `cosign` know what comes back; `find` is
//! channels and pins, `tag` lists and moves them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use groundcrew_engine::notes::NoteFile;
use groundcrew_engine::noun::{Digest, Release};
use groundcrew_engine::ports::{
    Follow, Found, KeepSet, Progress, Source, SourceError, SourceErrorKind,
};

use crate::bundle::Sha256;

mod auth;
pub mod client;
pub mod cosign;
pub mod describe;
mod error;
mod find;
mod http;
pub mod keys;
pub mod manifest;
pub mod notes;
mod pauses;
pub mod platform;
pub mod reference;
pub mod secret;
mod tag;

pub use client::{Access, Client};
pub use error::Error;
pub use find::Looked;
pub use keys::Keys;
pub use notes::Notes;
pub use pauses::Pauses;
pub use tag::Tagged;

/// Which image an app follows, and how it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The repository, and how it is asked.
    pub access: Access,
    /// The app.
    pub app: String,
    /// The tag that it follows.
    pub channel: String,
    /// What a pinned version's or revision's tag is called, with `{pin}` in it.
    pub pin_tag: Option<String>,
    /// What this host runs.
    pub platform: platform::Host,
    /// The variable of an image that names its commit, where no label does.
    pub revision_env: Option<String>,
    /// The public key that its images have to be signed with.
    pub cosign_key: Option<PathBuf>,
    /// Where notes are.
    pub notes: Option<Notes>,
}

/// Where the images of an app lie on this host: with whoever runs them.
///
/// What is pulled is named by repository and digest, never by tag.
pub trait Images {
    /// Brings an image here. Already here: done. On return it can be started offline.
    ///
    /// # Errors
    ///
    /// See [`SourceErrorKind`].
    fn pull(&mut self, wanted: &Pull<'_>, progress: &mut dyn Progress) -> Result<(), SourceError>;

    /// Verifies that an image is here.
    ///
    /// # Errors
    ///
    /// `Refuse`: it is not. `Host`: it cannot be told.
    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError>;

    /// Removes the app's images that are not in the set and returns their digests.
    ///
    /// # Errors
    ///
    /// Something could not be removed; the rest was.
    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError>;
}

/// An image to be brought here.
#[derive(Debug)]
pub struct Pull<'a> {
    /// Where from, and as whom.
    pub access: &'a Access,
    /// Which.
    pub digest: &'a Digest,
    /// For which platform.
    pub platform: &'a platform::Host,
}

/// Nobody here runs images.
#[derive(Clone, Debug)]
pub struct NoImages {
    /// The runtime that the app has.
    pub runtime: String,
}

impl NoImages {
    /// It is the host that lacks something; no release is to blame for that.
    fn cannot(&self) -> SourceError {
        let text = format!(
            "an image cannot be run by the runtime {:?}, so it is not fetched; looking, tags and \
             promotion work",
            self.runtime
        );
        SourceError { kind: SourceErrorKind::Host, text }
    }
}

impl Images for NoImages {
    fn pull(&mut self, _: &Pull<'_>, _: &mut dyn Progress) -> Result<(), SourceError> {
        Err(self.cannot())
    }

    fn verify(&mut self, _: &Digest) -> Result<(), SourceError> {
        Err(self.cannot())
    }

    fn keep(&mut self, _: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        Ok(Vec::new())
    }
}

/// A repository with releases of one app.
#[allow(missing_debug_implementations, reason = "trait objects have no useful form")]
pub struct RegistrySource {
    settings: Settings,
    client: Client,
    images: Box<dyn Images>,
    /// What the channel named the last time.
    last: Option<find::Last>,
    /// What a pin named the last time.
    pinned: Option<find::Last>,
}

impl RegistrySource {
    /// A source; nothing is asked yet.
    #[must_use]
    pub fn new(settings: Settings, images: Box<dyn Images>, pauses: Pauses) -> Self {
        let client = Client::new(settings.access.clone(), pauses);
        Self { settings, client, images, last: None, pinned: None }
    }

    /// Reads an image and its signature anew: nothing that was looked at before is believed.
    fn checked(&mut self, release: &Release) -> Result<Release, SourceError> {
        let digest = parse(&release.digest)?;
        let repository = self.client.repository().to_string();
        let top = self.client.manifest(digest.as_str())?.ok_or_else(|| {
            refuse(format!("{repository}@{digest} is not in the registry; push it again"))
        })?;
        if let Some(key) = &self.settings.cosign_key {
            cosign::check(&mut self.client, &digest, &cosign::Key::read(key)?)?;
        }
        Ok(self.describe(&top, None)?.release)
    }
}

fn refuse(text: impl Into<String>) -> SourceError {
    SourceError { kind: SourceErrorKind::Refuse, text: text.into() }
}

fn parse(digest: &Digest) -> Result<Sha256, SourceError> {
    let why = || refuse(format!("{digest} is not `sha256:` and 64 lower-case hexadecimal digits"));
    Sha256::parse(digest.as_str()).ok_or_else(why)
}

/// What the same release is fetched again for, since nobody does it by itself.
fn with_way_out(error: SourceError, app: &str) -> SourceError {
    let SourceError { kind, mut text } = error;
    if kind == SourceErrorKind::Refuse {
        text.push_str(&format!("; then `groundcrew unblock {app}`"));
    }
    SourceError { kind, text }
}

/// Reads a file of this host, up to so many bytes.
fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read)?;
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max_bytes {
        let why = format!("it has more than {max_bytes} bytes, at most so many are read");
        return Err(Error::Here { path: path.to_owned(), why });
    }
    Ok(bytes)
}

impl Source for RegistrySource {
    fn find(&mut self, follow: &Follow) -> Result<Option<Found>, SourceError> {
        self.client.begin();
        match follow {
            Follow::Channel => self.by_channel(),
            Follow::Pin(to) => self.by_pin(to),
        }
    }

    fn fetch(
        &mut self,
        release: &Release,
        progress: &mut dyn Progress,
    ) -> Result<Release, SourceError> {
        let is_here = self.images.verify(&release.digest).is_ok();
        // What somebody else brought here was signed by nobody.
        if is_here && self.settings.cosign_key.is_none() {
            return Ok(release.clone());
        }
        self.client.begin();
        let app = self.settings.app.clone();
        let mut fetched = self.checked(release).map_err(|error| with_way_out(error, &app))?;
        // What it is called was settled when it was found, by its tag where it has no label.
        fetched.version.clone_from(&release.version);
        let Settings { access, platform, .. } = &self.settings;
        let wanted = Pull { access, digest: &release.digest, platform };
        self.images.pull(&wanted, progress)?;
        Ok(fetched)
    }

    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        self.images.verify(digest)
    }

    /// They do not come with the image: what was found with it is asked for again.
    fn notes(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError> {
        self.client.begin();
        self.notes_of(digest)
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        self.images.keep(set)
    }
}
