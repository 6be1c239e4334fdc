//! Releases in a directory: a share, a disk, a stick. Works without a network.
//!
//! What lies there is described in [`crate::bundle`]. Fetched releases lie here, one directory each,
//! read-only:
//!
//! ```text
//! <state>/releases/<app>/sha256-<64 digits>/           whole and checked, iff it has this name
//! <state>/releases/<app>/<anything>.partial/           in the making, or on its way out
//! ```
//!
//! The name is the digest with `-` for `:`, because a colon in a path breaks every list of paths
//! (`PATH`, `LD_LIBRARY_PATH`, `PYTHONPATH`) that an app may make from it.
//!
//! - **A channel** that cannot be reached is an error and not an empty channel: a stick that is
//!   pulled out withdraws nothing.
//! - **A bundle** that is not what its channel names is found as no more than what the channel says
//!   of it, and its fetch is refused with the reason: the candidate is held, the source is not
//!   called unreachable, and nothing that an unchecked description says is believed.
//! - **A pin** is a version, a digest or a revision (seven characters of it are enough). A release
//!   that was fetched before can be pinned without the source.
//! - **With a key** the release has to be signed. A channel may be; one that is not counts as serial
//!   0, so that whoever strips its signature cannot move a host back to an older release.
//! - **A fetch** checks digest and signature before anything is unpacked; a release that was damaged
//!   here is replaced in one step by a fresh copy.
//! - **Clean-up** lists first and removes nothing if that fails; what goes is renamed first, so that
//!   half of it never looks whole.
//!
//! Publishers write the bundle first and move the channel last.

use std::path::{Path, PathBuf};

use groundcrew_engine::notes::NoteFile;
use groundcrew_engine::noun::{Digest, Migration, Release};
use groundcrew_engine::ports::{
    Follow, Found, KeepSet, Progress, Source, SourceError, SourceErrorKind,
};

use crate::bundle::{self, Bundle, Expected, Head, Key, Kind, Limits, Sha256};
use crate::causes::causes;
use crate::durable::{self, Site};

mod pin;
#[cfg(test)]
mod tests;

/// What a name in the making, or on its way out, ends with.
const PARTIAL: &str = ".partial";

/// Where an app's releases come from and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The source directory.
    pub root: PathBuf,
    /// The app.
    pub app: String,
    /// The channel that it follows.
    pub channel: String,
    /// The public key that its releases have to be signed with.
    pub minisign_key: Option<PathBuf>,
    /// Groundcrew's state directory.
    pub state: PathBuf,
    /// What this host runs, see [`host_platform`].
    pub platform: String,
}

/// A directory with releases of one app.
#[derive(Debug)]
pub struct DirectorySource {
    settings: Settings,
    /// The notes of the candidate that was looked at last, so that a large archive is not unpacked
    /// with every look.
    peeked: Option<(Sha256, Option<Vec<NoteFile>>)>,
}

/// `<architecture>-<system>` of this host, as `platform` in `release.toml` names it.
#[must_use]
pub fn host_platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Where the release of this digest lies once it is fetched; its content is in `files/` there.
#[must_use]
pub fn release_dir(state: &Path, app: &str, digest: &Digest) -> PathBuf {
    state.join("releases").join(app).join(digest.as_str().replace(':', "-"))
}

/// The release that a bundle's description tells of.
#[must_use]
pub fn release_of(head: &Head) -> Release {
    let toml = &head.release;
    Release {
        version: toml.version.clone(),
        digest: Digest(head.digest.as_str().to_owned()),
        revision: toml.revision.clone(),
        published_ms: toml.published.map(jiff::Timestamp::as_millisecond),
        data_epoch: toml.data_epoch,
        data_compatible_from: toml.data_compatible_from.clone(),
        migration: toml.migrate.as_ref().map(|migrate| Migration {
            reversible: migrate.down.is_some(),
            timeout_ms: u64::try_from(migrate.timeout.as_millis()).unwrap_or(u64::MAX),
        }),
    }
}

/// A release of which no more is known than what the channel says.
fn named_only(version: &str, digest: &Sha256) -> Release {
    Release {
        version: version.to_owned(),
        digest: Digest(digest.as_str().to_owned()),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    }
}

fn refuse(text: impl Into<String>) -> SourceError {
    SourceError { kind: SourceErrorKind::Refuse, text: text.into() }
}

/// An error of the source itself, or of bringing a bundle from there to here.
fn there(error: &bundle::Error) -> SourceError {
    let kind = match error.kind() {
        Kind::Unreachable => SourceErrorKind::Retry,
        Kind::Refused => SourceErrorKind::Refuse,
        Kind::Host => SourceErrorKind::Host,
    };
    SourceError { kind, text: causes(error) }
}

/// An error of reading what was fetched: what is missing here will not come back by itself.
fn here(error: &bundle::Error) -> SourceError {
    let kind = match (error.kind(), error) {
        (Kind::Refused, _) => SourceErrorKind::Refuse,
        (_, bundle::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            SourceErrorKind::Refuse
        }
        _ => SourceErrorKind::Host,
    };
    SourceError { kind, text: causes(error) }
}

impl DirectorySource {
    /// A source; nothing is read yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, peeked: None }
    }

    /// Where the release of this digest lies once it is fetched.
    #[must_use]
    pub fn dir(&self, digest: &Digest) -> PathBuf {
        release_dir(&self.settings.state, &self.settings.app, digest)
    }

    /// What a fetched release says of itself: its command, its migration.
    ///
    /// # Errors
    ///
    /// `Refuse`: it is not here or not readable. `Host`: the disk failed.
    pub fn description(&self, digest: &Digest) -> Result<bundle::ReleaseToml, SourceError> {
        let dir = self.dir(digest);
        let head = Head::read(&dir).map_err(|error| here(&error))?;
        head.check(&dir, &self.settings.app, &parse(digest)?).map_err(|error| here(&error))?;
        Ok(head.release)
    }

    /// The key, if the app asks for signatures; one that cannot be read is never left out.
    fn key(&self) -> Result<Option<Key>, SourceError> {
        let read = |path: &PathBuf| {
            let host = SourceErrorKind::Host;
            Key::read(path).map_err(|error| SourceError { kind: host, text: causes(&error) })
        };
        self.settings.minisign_key.as_ref().map(read).transpose()
    }

    fn releases(&self) -> PathBuf {
        self.settings.state.join("releases").join(&self.settings.app)
    }

    /// Fails if the source is not mounted or does not know the app.
    fn check_reachable(&self) -> Result<(), SourceError> {
        let versions = bundle::versions(&self.settings.root, &self.settings.app);
        versions.map(drop).map_err(|error| there(&error))
    }

    fn by_channel(&mut self) -> Result<Option<Found>, SourceError> {
        let Settings { root, app, channel, .. } = &self.settings;
        let key = self.key()?;
        let error = |error: bundle::Error| there(&error);
        let Some(points_at) =
            bundle::read_channel(root, app, channel, key.as_ref()).map_err(error)?
        else {
            self.check_reachable()?;
            return Ok(None);
        };
        let bundle = Bundle::find(root, app, &points_at.version).map_err(error)?;
        let serial = match key {
            Some(_) if !points_at.signed => Some(0),
            _ => points_at.serial,
        };
        match self.head_of(&bundle, &points_at.version, &points_at.digest) {
            Ok(head) => Ok(Some(self.found(&bundle, &head, serial))),
            Err(SourceError { kind: SourceErrorKind::Refuse, .. }) => {
                let release = named_only(&points_at.version, &points_at.digest);
                Ok(Some(Found { release, serial, notes: None }))
            }
            Err(error) => Err(error),
        }
    }

    /// The head of a bundle, if it is the release that was asked for.
    fn head_of(
        &self,
        bundle: &Bundle,
        version: &str,
        digest: &Sha256,
    ) -> Result<Head, SourceError> {
        let head = bundle.head().map_err(|error| self.unusable(&error))?;
        head.check(bundle.path(), &self.settings.app, digest)
            .map_err(|error| self.unusable(&error))?;
        self.check_version(bundle, &head, version)?;
        Ok(head)
    }

    /// An error of a bundle; one that is refused says what to do, since the same release is not
    /// fetched again by itself.
    fn unusable(&self, error: &bundle::Error) -> SourceError {
        let SourceError { kind, mut text } = there(error);
        if kind == SourceErrorKind::Refuse {
            let app = &self.settings.app;
            text.push_str(&format!(
                "; complete the bundle or publish it again, then `groundcrew unblock {app}`"
            ));
        }
        SourceError { kind, text }
    }

    fn check_version(
        &self,
        bundle: &Bundle,
        head: &Head,
        version: &str,
    ) -> Result<(), SourceError> {
        if head.release.version == version {
            return Ok(());
        }
        let (path, says) = (bundle.path().display(), &head.release.version);
        Err(refuse(format!("{path} is version {says} and lies under the name {version}")))
    }

    fn found(&mut self, bundle: &Bundle, head: &Head, serial: Option<u64>) -> Found {
        let notes = match &self.peeked {
            Some((of, notes)) if *of == head.digest => notes.clone(),
            // What cannot be read now is read, and refused or held, once it is fetched.
            _ => bundle.notes().unwrap_or(None),
        };
        self.peeked = Some((head.digest.clone(), notes.clone()));
        Found { release: release_of(head), serial, notes }
    }

    /// Brings the bundle of this version to `to`.
    fn bring(
        &self,
        release: &Release,
        digest: &Sha256,
        to: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Head, SourceError> {
        let Settings { root, app, platform, .. } = &self.settings;
        let error = |error: bundle::Error| there(&error);
        let key = self.key()?;
        let bundle = Bundle::find(root, app, &release.version).map_err(error)?;
        let head = self.head_of(&bundle, &release.version, digest)?;
        if !head.release.fits(platform) {
            let is_for = &head.release.platform;
            let path = bundle.path().display();
            return Err(refuse(format!("{path} is for {is_for}, this host is {platform}")));
        }
        let expected = Expected { app, digest, key: key.as_ref() };
        let mut count = |done| progress.at(done, 0);
        let unpacked =
            bundle::unpack_counting(&bundle, to, &expected, &Limits::STANDARD, &mut count);
        Ok(unpacked.map_err(|error| self.unusable(&error))?.head)
    }

    /// Puts a fresh copy in the place of one that was damaged here. The name never goes away, for
    /// the release may be running.
    fn replace(
        &self,
        release: &Release,
        digest: &Sha256,
        dir: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Head, SourceError> {
        let mut fresh = dir.as_os_str().to_owned();
        fresh.push(format!(".fresh{PARTIAL}"));
        let fresh = PathBuf::from(fresh);
        let host = |error: durable::Error| host(&error);
        durable::remove_tree(&fresh, Site::Prune).map_err(host)?;
        let head = self.bring(release, digest, &fresh, progress)?;
        durable::exchange(&fresh, dir, Site::Release).map_err(host)?;
        durable::remove_tree(&fresh, Site::Prune).map_err(host)?;
        Ok(head)
    }
}

fn host(error: &durable::Error) -> SourceError {
    SourceError { kind: SourceErrorKind::Host, text: causes(error) }
}

fn parse(digest: &Digest) -> Result<Sha256, SourceError> {
    let why = || refuse(format!("{digest} is not `sha256:` and 64 lower-case hexadecimal digits"));
    Sha256::parse(digest.as_str()).ok_or_else(why)
}

impl Source for DirectorySource {
    fn find(&mut self, follow: &Follow) -> Result<Option<Found>, SourceError> {
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
        let digest = parse(&release.digest)?;
        let dir = self.dir(&release.digest);
        let is_here = dir.symlink_metadata().is_ok();
        if !is_here {
            return Ok(release_of(&self.bring(release, &digest, &dir, progress)?));
        }
        let key = self.key()?;
        let expected = Expected { app: &self.settings.app, digest: &digest, key: key.as_ref() };
        match bundle::verify_unpacked(&dir, &expected, &Limits::STANDARD) {
            Ok(found) => {
                // The fetch that renamed it may have been killed before its sync.
                durable::sync_dir(durable::parent(&dir), Site::Release)
                    .map_err(|error| host(&error))?;
                Ok(release_of(&found.head))
            }
            Err(error) => match here(&error) {
                SourceError { kind: SourceErrorKind::Refuse, text } => {
                    let replaced = self.replace(release, &digest, &dir, progress);
                    replaced.map(|head| release_of(&head)).map_err(|again| {
                        let text = format!("{text}; no fresh copy: {}", again.text);
                        SourceError { kind: again.kind, text }
                    })
                }
                other => Err(other),
            },
        }
    }

    /// The digest stands for every byte, so no signature is asked for again: a key that changed
    /// since does not take the way back away.
    fn verify(&mut self, digest: &Digest) -> Result<(), SourceError> {
        let sha256 = parse(digest)?;
        let expected = Expected { app: &self.settings.app, digest: &sha256, key: None };
        bundle::verify_unpacked(&self.dir(digest), &expected, &Limits::STANDARD)
            .map(drop)
            .map_err(|error| here(&error))
    }

    fn notes(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError> {
        self.description(digest)?;
        bundle::notes(&self.dir(digest)).map_err(|error| here(&error))
    }

    fn keep(&mut self, set: &KeepSet) -> Result<Vec<Digest>, SourceError> {
        let dir = self.releases();
        let names = match pin::names(&dir) {
            Ok(names) => names,
            Err(error) => return Err(here(&error)),
        };
        let (mut removed, mut failed) = (Vec::new(), None);
        for name in names {
            let path = dir.join(&name);
            let digest = Digest(name.replacen('-', ":", 1));
            let is_release = Sha256::parse(digest.as_str()).is_some();
            let gone = if name.ends_with(PARTIAL) {
                durable::remove_tree(&path, Site::Prune)
            } else if is_release && !set.releases.contains(&digest) {
                let aside = dir.join(format!("{name}{PARTIAL}"));
                durable::remove_tree(&aside, Site::Prune)
                    .and_then(|()| durable::rename_new(&path, &aside, Site::Prune))
                    .and_then(|()| durable::remove_tree(&aside, Site::Prune))
                    .map(|()| removed.push(digest))
            } else {
                Ok(())
            };
            if let Err(error) = gone {
                failed.get_or_insert(host(&error));
            }
        }
        failed.map_or(Ok(removed), Err)
    }
}
