//! Writing bundles and channels, for publishers, the demo and tests.
//!
//! [`seal`] is the part that a publisher cannot do with an editor: it puts the digests of `files/`
//! and `notes/` into `release.toml`. A shell recipe for the same digests is in
//! `docs/reference/release-toml.md`. Signing stays with minisign, which has the secret key.
//!
//! A bundle is made under a name that no source looks at and renamed when it is whole; publish it
//! first and move the channel last.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use groundcrew_engine::notes::NoteFile;

use super::read::{app_dir, checked};
use super::unpack::notes_digest;
use super::{Channel, Error, Limits, ReleaseToml, Sha256, content_digest};
use crate::durable::{self, Site};

/// Where a file's bytes come from.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A copy of this file.
    CopyOf(&'a Path),
}

/// One file of a release to be written.
#[derive(Debug, Clone)]
pub struct FileToWrite<'a> {
    /// Its path below `files/`, such as `bin/tiles`.
    pub path: &'a str,
    /// What is in it.
    pub content: Content<'a>,
    /// It may be executed.
    pub executable: bool,
}

/// Writes a whole bundle to the directory `dir`, where nothing may be yet, and returns its digest.
///
/// `content`, `notes` and `notes_content` of `release` are computed; what stands there is not looked
/// at. Durable on return; nothing is at `dir` after an error.
///
/// # Errors
/// `Refused` for a description or path that no host would take, `Host` if it cannot be written.
pub fn write(
    dir: &Path,
    release: &ReleaseToml,
    files: &[FileToWrite<'_>],
    notes: &[NoteFile],
) -> Result<Sha256, Error> {
    let mut partial = dir.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let remove = || durable::remove_tree(&partial, Site::Prune);
    remove().map_err(Error::durable("remove what is unfinished"))?;
    let made =
        fill(&partial, files, notes).and_then(|()| seal(&partial, release)).and_then(|made| {
            durable::rename_new(&partial, dir, Site::Release)
                .map_err(Error::durable("complete the bundle"))?;
            Ok(made)
        });
    if made.is_err() {
        // The first error is the one that counts; the next call removes a rest.
        remove().ok();
    }
    made
}

fn fill(dir: &Path, files: &[FileToWrite<'_>], notes: &[NoteFile]) -> Result<(), Error> {
    make_dir(&dir.join("files"))?;
    for file in files {
        let to = below(&dir.join("files"), file.path)?;
        make_dir(durable::parent(&to))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        match file.content {
            Content::Bytes(bytes) => durable::write(&to, bytes, mode, Site::Release)
                .map_err(Error::durable("write a file of the bundle"))?,
            Content::CopyOf(from) => {
                std::fs::copy(from, &to).map_err(|error| Error::write("copy to", &to, error))?;
                std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode))
                    .map_err(|error| Error::write("set the mode of", &to, error))?;
                std::fs::File::open(&to)
                    .and_then(|copy| {
                        durable::sync_file(&copy, &to, Site::Release).map_err(std::io::Error::other)
                    })
                    .map_err(|error| Error::write("sync", &to, error))?;
            }
        }
    }
    for note in notes {
        let to = below(&dir.join("notes"), &format!("{}.md", note.version))?;
        make_dir(durable::parent(&to))?;
        durable::write(&to, &note.bytes, 0o644, Site::Release)
            .map_err(Error::durable("write the notes of the bundle"))?;
    }
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), Error> {
    durable::create_dir_all(dir, 0o755, Site::Release)
        .map_err(Error::durable("make room for the bundle"))
}

fn below(dir: &Path, path: &str) -> Result<PathBuf, Error> {
    let plain = |name: &str| !name.is_empty() && name != "." && name != "..";
    if path.split('/').all(plain) {
        return Ok(dir.join(path));
    }
    Err(Error::refused(&dir.join(path), "it is not a plain path inside the bundle"))
}

/// Writes the `release.toml` that fits the `files/` and `notes/` that lie in `dir`, and returns the
/// release's digest. A signature that was there fits no longer and has to be made again.
///
/// # Errors
/// As [`write()`].
pub fn seal(dir: &Path, release: &ReleaseToml) -> Result<Sha256, Error> {
    let path = dir.join("release.toml");
    let notes_content = notes_digest(dir, &Limits::STANDARD)?;
    let release = ReleaseToml {
        content: content_digest(&dir.join("files"), &Limits::STANDARD)?,
        notes: notes_content.as_ref().map(|_| "notes/".to_owned()),
        notes_content,
        ..release.clone()
    };
    let text =
        toml::to_string(&release).map_err(|error| Error::refused(&path, error.to_string()))?;
    // What we write has to be what we take.
    ReleaseToml::parse(&path, text.as_bytes())?;
    durable::write(&path, text.as_bytes(), 0o644, Site::Release)
        .map_err(Error::durable("write release.toml"))?;
    Ok(Sha256::of(text.as_bytes()))
}

/// Points a channel of an app in a source directory at a release; durable on return. The whole file
/// is replaced, so that nobody reads half of it.
///
/// # Errors
/// As [`write()`].
pub fn write_channel(root: &Path, app: &str, name: &str, channel: &Channel) -> Result<(), Error> {
    let dir = app_dir(root, app)?.join("channels");
    let path = dir.join(format!("{}.toml", checked(name)?));
    checked(&channel.version)?;
    let text =
        toml::to_string(channel).map_err(|error| Error::refused(&path, error.to_string()))?;
    make_dir(&dir)?;
    durable::write(&path, text.as_bytes(), 0o644, Site::Release)
        .map_err(Error::durable("write the channel"))
}
