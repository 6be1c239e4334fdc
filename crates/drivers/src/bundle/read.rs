//! Finding bundles and channels, and reading what they say before anything is copied.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use groundcrew_engine::notes::NoteFile;
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::release::{check_name, parse};
use super::{
    Error, Key, Limits, PEEKED_ARCHIVE_BYTES_MAX, ReleaseToml, SIGNATURE_BYTES_MAX, Sha256,
    TOML_BYTES_MAX,
};
use super::{archive, error::same};

const ARCHIVE_SUFFIX: &str = ".tar.zst";

/// A bundle where its publisher put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bundle {
    /// A plain directory.
    Directory(PathBuf),
    /// A `.tar.zst`.
    Archive(PathBuf),
}

/// What a bundle says before its content is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The release's digest: SHA-256 of `release.toml`.
    pub digest: Sha256,
    /// What `release.toml` says.
    pub release: ReleaseToml,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The bytes of `release.toml.minisig`, if there is one. Not checked yet.
    pub signature: Option<Vec<u8>>,
}

/// Where a channel points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The version, which is the bundle's name.
    pub version: String,
    /// The release's digest.
    pub digest: Sha256,
    /// Grows with every change of the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// True if the channel's own signature was there and holds.
    #[serde(skip)]
    pub signed: bool,
}

impl Bundle {
    /// The bundle of a version in a source directory; a directory comes before an archive.
    ///
    /// # Errors
    /// `Refused` for an app or version that is not a plain name; `Unreachable` if neither is there.
    pub fn find(root: &Path, app: &str, version: &str) -> Result<Bundle, Error> {
        let dir = app_dir(root, app)?.join(checked(version)?);
        if dir.is_dir() {
            return Ok(Bundle::Directory(dir));
        }
        let path = app_dir(root, app)?.join(format!("{version}{ARCHIVE_SUFFIX}"));
        match path.metadata() {
            Ok(_) => Ok(Bundle::Archive(path)),
            Err(error) => Err(Error::read(&path, error)),
        }
    }

    /// The bundle at a path: an archive if its name ends in `.tar.zst`.
    pub fn at(path: &Path) -> Bundle {
        if path.as_os_str().to_string_lossy().ends_with(ARCHIVE_SUFFIX) {
            Bundle::Archive(path.to_owned())
        } else {
            Bundle::Directory(path.to_owned())
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Bundle::Directory(path) | Bundle::Archive(path) => path,
        }
    }

    /// Reads `release.toml` and its signature and nothing else; checks neither digest nor
    /// signature.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn head(&self) -> Result<Head, Error> {
        match self {
            Bundle::Archive(path) => {
                let (bytes, signature) = archive::read_head(path, &Limits::STANDARD)?;
                Head::new(&path.join("release.toml"), bytes, signature)
            }
            Bundle::Directory(path) => Head::read(path),
        }
    }

    /// The notes of a bundle that was not fetched, unchecked; `None` for an archive that is too
    /// large to be read for its notes alone.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn notes(&self) -> Result<Option<Vec<NoteFile>>, Error> {
        let path = match self {
            Bundle::Directory(path) => return super::notes(path).map(Some),
            Bundle::Archive(path) => path,
        };
        let bytes = path.metadata().map_err(|error| Error::read(path, error))?.len();
        if bytes > PEEKED_ARCHIVE_BYTES_MAX {
            return Ok(None);
        }
        archive::read_notes(path, &Limits::STANDARD).map(Some)
    }
}

impl Head {
    /// Reads the head of a bundle in a directory.
    pub(crate) fn read(dir: &Path) -> Result<Head, Error> {
        let path = dir.join("release.toml");
        let bytes = read_limited(&path, TOML_BYTES_MAX)?;
        let signature = optional(&dir.join("release.toml.minisig"))?;
        Head::new(&path, bytes, signature)
    }

    fn new(path: &Path, bytes: Vec<u8>, signature: Option<Vec<u8>>) -> Result<Head, Error> {
        let release = ReleaseToml::parse(path, &bytes)?;
        Ok(Head { digest: Sha256::of(&bytes), release, bytes, signature })
    }

    /// Checks the signature of `release.toml`. Returns the trusted comment.
    ///
    /// # Errors
    /// `Refused`.
    pub fn check_signature(&self, bundle: &Path, key: &Key) -> Result<String, Error> {
        key.check(&bundle.join("release.toml"), &self.bytes, self.signature.as_deref())
    }

    /// Fails unless the release is the one that was asked for.
    pub(crate) fn check(&self, bundle: &Path, app: &str, digest: &Sha256) -> Result<(), Error> {
        let path = bundle.join("release.toml");
        same(&path, "the digest", self.digest.as_str(), digest.as_str())?;
        same(&path, "app", &self.release.app, app)
    }
}

/// Reads where a channel of an app points; `None` if there is no such channel. With a key, a
/// signature beside it (`<name>.toml.minisig`) has to hold if it is there.
///
/// # Errors
/// See [`Error::kind`].
pub fn read_channel(
    root: &Path,
    app: &str,
    name: &str,
    key: Option<&Key>,
) -> Result<Option<Channel>, Error> {
    let dir = app_dir(root, app)?.join("channels");
    let path = dir.join(format!("{}.toml", checked(name)?));
    if let Err(error) = path.symlink_metadata()
        && error.kind() == std::io::ErrorKind::NotFound
    {
        return Ok(None);
    }
    let bytes = read_limited(&path, TOML_BYTES_MAX)?;
    let mut channel: Channel = parse(&path, &bytes)?;
    check_name(&channel.version).map_err(|why| Error::refused(&path, why))?;
    if let Some(key) = key {
        let signature = optional(&dir.join(format!("{name}.toml.minisig")))?;
        if let Some(signature) = signature {
            key.check(&path, &bytes, Some(&signature))?;
            channel.signed = true;
        }
    }
    Ok(Some(channel))
}

/// All versions of an app in a source directory, in no particular order of age.
///
/// # Errors
/// `Unreachable`.
pub fn versions(root: &Path, app: &str) -> Result<Vec<String>, Error> {
    let dir = app_dir(root, app)?;
    let read = |error| Error::read(&dir, error);
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let version = name.strip_suffix(ARCHIVE_SUFFIX).unwrap_or(&name);
        if version != "channels" && check_name(version).is_ok() {
            versions.push(version.to_owned());
        }
    }
    versions.sort();
    versions.dedup();
    Ok(versions)
}

/// Reads a small file, which must not be larger than `limit` bytes and must be a plain file.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let read = |error: std::io::Error| Error::read(path, error);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty());
    let file = std::fs::File::from(file.map_err(|error| read(error.into()))?);
    if !file.metadata().map_err(read)?.is_file() {
        return Err(Error::refused(path, "it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Error::Limit { path: path.to_owned(), what: "bytes", limit });
    }
    Ok(bytes)
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match read_limited(path, SIGNATURE_BYTES_MAX) {
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

pub(super) fn app_dir(root: &Path, app: &str) -> Result<PathBuf, Error> {
    Ok(root.join(checked(app)?))
}

pub(super) fn checked(name: &str) -> Result<&str, Error> {
    check_name(name).map_err(|why| Error::refused(Path::new(name), why))?;
    Ok(name)
}
