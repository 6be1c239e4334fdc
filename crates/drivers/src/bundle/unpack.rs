//! From a bundle to a release that can be started offline.
//!
//! Order: head read, digest, app and signature checked; everything copied into
//! `<destination>.partial`; the copy checked against `release.toml`, its digest and its content;
//! made durable with one sync; renamed. Files are read-only, directories too, so that what was
//! checked stays what runs.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use groundcrew_engine::notes::NoteFile;
use rustix::fs::{AtFlags, CWD, FileType, Mode};

use super::digest::{content_digest, is_executable, open_file};
use super::error::same;
use super::read::read_limited;
use super::release::ReleaseToml;
use super::sink::Sink;
use super::{Bundle, Error, Head, Key, Limits, NOTE_BYTES_MAX, NOTES_MAX, Sha256, archive};
use crate::durable::{self, Site, names, open_dir, os_str, step};

/// What the caller knows of the release that it wants.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The app.
    pub app: &'a str,
    /// The release's digest.
    pub digest: &'a Sha256,
    /// The key that `release.toml` has to be signed with, if the app asks for one.
    pub key: Option<&'a Key>,
}

/// A release on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Where it is; its content is in `files/` there.
    pub dir: PathBuf,
    /// What it says.
    pub head: Head,
}

/// Brings a bundle to `destination`, checked, durable and read-only.
///
/// Already done: what is at `destination` is checked and returned. May be repeated after any
/// failure or crash; nothing that looks whole is left by one.
///
/// # Errors
/// See [`Error::kind`].
pub fn unpack(
    bundle: &Bundle,
    destination: &Path,
    expected: &Expected<'_>,
    limits: &Limits,
) -> Result<Unpacked, Error> {
    unpack_counting(bundle, destination, expected, limits, &mut |_| {})
}

/// As [`unpack`]; calls `count_bytes` with the bytes of content written so far.
///
/// # Errors
/// See [`Error::kind`].
pub fn unpack_counting(
    bundle: &Bundle,
    destination: &Path,
    expected: &Expected<'_>,
    limits: &Limits,
    count_bytes: &mut dyn FnMut(u64),
) -> Result<Unpacked, Error> {
    if destination.symlink_metadata().is_ok() {
        let found = verify_unpacked(destination, expected, limits)?;
        // The call that renamed it may have been killed before its sync.
        durable::sync_dir(durable::parent(destination), Site::Release)
            .map_err(Error::durable("complete the release"))?;
        return Ok(found);
    }
    let head = bundle.head()?;
    head.check(bundle.path(), expected.app, expected.digest)?;
    if let Some(key) = expected.key {
        head.check_signature(bundle.path(), key)?;
    }
    let mut partial = destination.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let made = copy(bundle, &partial, limits, count_bytes).and_then(|watched| {
        verify_unpacked(&partial, expected, limits)
            .map_err(|error| error.of_original(&partial, bundle.path()))?;
        durable::syncfs_since(&watched, &partial, Site::Release)
            .map_err(Error::durable("make the release durable"))?;
        durable::rename_new(&partial, destination, Site::Release)
            .map_err(Error::durable("complete the release"))
    });
    if let Err(error) = made {
        // The first error is the one that counts; the next call removes a rest.
        durable::remove_tree(&partial, Site::Prune).ok();
        return Err(error);
    }
    Ok(Unpacked { dir: destination.to_owned(), head })
}

/// Copies everything into the fresh directory `partial`; returns the handle for the one sync.
fn copy(
    bundle: &Bundle,
    partial: &Path,
    limits: &Limits,
    count_bytes: &mut dyn FnMut(u64),
) -> Result<File, Error> {
    durable::remove_tree(partial, Site::Prune)
        .map_err(Error::durable("remove what is unfinished"))?;
    durable::create_dir_all(durable::parent(partial), 0o755, Site::Release)
        .map_err(Error::durable("make room for the release"))?;
    durable::create_dir_all(partial, 0o700, Site::Release)
        .map_err(Error::durable("begin the release"))?;
    let watched = File::open(partial).map_err(|error| Error::write("open", partial, error))?;
    let mut sink = Sink::new(bundle.path(), partial, limits, count_bytes)?;
    match bundle {
        Bundle::Archive(path) => archive::feed(path, limits, &mut sink)?,
        Bundle::Directory(path) => feed(path, &mut sink)?,
    }
    sink.directory(b"files")?;
    close(partial)?;
    Ok(watched)
}

/// Writes a bundle that is a directory into the sink.
fn feed(root: &Path, sink: &mut Sink<'_>) -> Result<(), Error> {
    let dir = open_dir(CWD, root).map_err(|error| Error::read(root, error))?;
    let list = |dir: &OwnedFd, path: &Path| {
        names(dir).map(Vec::into_iter).map_err(|error| Error::read(path, error))
    };
    let mut levels = vec![(Vec::new(), list(&dir, root)?, dir)];
    while let Some((above, left, dir)) = levels.last_mut() {
        let Some(name) = left.next() else {
            levels.pop();
            continue;
        };
        let mut path: Vec<u8> = above.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let full = root.join(std::ffi::OsStr::from_bytes(&path));
        if let Some(below) = feed_one(dir, &name, &path, &full, sink)? {
            levels.push((path, list(&below, &full)?, below));
        }
    }
    Ok(())
}

/// Writes one entry; returns the directory if it is one.
fn feed_one(
    dir: &OwnedFd,
    name: &CStr,
    path: &[u8],
    full: &Path,
    sink: &mut Sink<'_>,
) -> Result<Option<OwnedFd>, Error> {
    let read = |error| Error::read(full, error);
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(read)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            sink.directory(path)?;
            return Ok(Some(open_dir(dir, name).map_err(read)?));
        }
        FileType::RegularFile => {
            let mut file = open_file(dir, name, full)?;
            let meta = file.metadata().map_err(|error| Error::read(full, error))?;
            sink.file(path, is_executable(stat.st_mode), meta.len(), &mut file)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new()).map_err(read)?;
            sink.symlink(path, target.as_bytes())?;
        }
        _ => {
            let why = "a bundle holds files, directories and symlinks only";
            return Err(sink.refused(path, why));
        }
    }
    Ok(None)
}

/// Makes all directories read-only, the deepest first.
fn close(root: &Path) -> Result<(), Error> {
    let fail = |path: &Path, error| Error::write("make read-only", path, error);
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let dir = open_dir(CWD, &path).map_err(|error| fail(&path, error.into()))?;
        for name in names(&dir).map_err(|error| fail(&path, error.into()))? {
            let stat = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| fail(&path, error.into()))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                found.push(path.join(os_str(&name)));
            }
        }
    }
    let mode = Mode::from_raw_mode(0o555);
    for path in found.iter().rev() {
        step()
            .and_then(|()| Ok(rustix::fs::chmod(path, mode)?))
            .map_err(|error| fail(path, error))?;
    }
    Ok(())
}

/// Checks an unpacked release again: digest, app, signature, every byte of the content and, as far
/// as they are named, of the notes.
///
/// # Errors
/// `Refused` if it is not what was expected, `Unreachable` if it cannot be read.
pub fn verify_unpacked(
    dir: &Path,
    expected: &Expected<'_>,
    limits: &Limits,
) -> Result<Unpacked, Error> {
    let head = Head::read(dir)?;
    head.check(dir, expected.app, expected.digest)?;
    if let Some(key) = expected.key {
        head.check_signature(dir, key)?;
    }
    let files = dir.join("files");
    let found = content_digest(&files, limits)?;
    same(&files, "the content", found.as_str(), head.release.content.as_str())?;
    check_notes(dir, &head.release, expected.key.is_some(), limits)?;
    Ok(Unpacked { dir: dir.to_owned(), head })
}

/// Notes that are named have to be the ones named; where a signature counts they have to be named.
fn check_notes(
    dir: &Path,
    release: &ReleaseToml,
    signed: bool,
    limits: &Limits,
) -> Result<(), Error> {
    let notes = dir.join("notes");
    let found = notes_digest(dir, limits)?;
    match (&release.notes_content, found) {
        (Some(named), found) => {
            let found = found.map_or_else(|| "not there".to_owned(), |found| found.to_string());
            same(&notes, "the digest of the notes", &found, named.as_str())
        }
        (None, Some(found)) if signed => Err(Error::refused(
            &notes,
            format!(
                "release.toml does not name the notes, so its signature does not cover them; add \
                 `notes_content = \"{found}\"` and sign it again"
            ),
        )),
        (None, _) => Ok(()),
    }
}

/// The digest of the canonical list of `notes/`; `None` if there is no such directory.
pub(super) fn notes_digest(dir: &Path, limits: &Limits) -> Result<Option<Sha256>, Error> {
    let notes = dir.join("notes");
    match notes.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::read(&notes, error)),
        Ok(_) => content_digest(&notes, limits).map(Some),
    }
}

/// The notes that a release carries: every `notes/<version>.md`, sorted by name.
///
/// # Errors
/// See [`Error::kind`]; a bundle without notes has none.
pub fn notes(dir: &Path) -> Result<Vec<NoteFile>, Error> {
    let dir = dir.join("notes");
    let opened = match open_dir(CWD, &dir) {
        Ok(opened) => opened,
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(Error::read(&dir, error)),
    };
    let mut found = Vec::new();
    for name in names(&opened).map_err(|error| Error::read(&dir, error))? {
        let Some(version) = os_str(&name).to_str().and_then(|name| name.strip_suffix(".md")) else {
            continue;
        };
        if found.len() == NOTES_MAX {
            let limit = u64::try_from(NOTES_MAX).unwrap_or(u64::MAX);
            return Err(Error::Limit { path: dir, what: "files of notes", limit });
        }
        let bytes = read_limited(&dir.join(os_str(&name)), NOTE_BYTES_MAX)?;
        found.push(NoteFile { version: version.to_owned(), bytes });
    }
    Ok(found)
}
