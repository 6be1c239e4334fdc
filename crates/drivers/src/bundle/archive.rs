//! A bundle as an archive: tar in zstd, read once from front to back.
//!
//! Long names (GNU and PAX) are put together here and not by the tar library, which would read a
//! name of any length into memory. Whatever else a tar can say (devices, sparse maps, sizes beyond
//! the header) is refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use groundcrew_engine::notes::NoteFile;
use tar::{Archive, EntryType, PaxExtensions};

use super::digest::is_executable;
use super::sink::Sink;
use super::{Error, Limits, NOTE_BYTES_MAX, NOTES_MAX, SIGNATURE_BYTES_MAX, TOML_BYTES_MAX};

/// How long the extra headers of one entry may be, in bytes.
const EXTRA_BYTES_MAX: u64 = 64 * 1024;

/// What an entry costs in an archive beside its content: headers, long names, padding.
const OVERHEAD_BYTES_MAX: u64 = 8 * 1024;

/// Fails once more than `left` bytes were read: an archive can unpack to far more than its size.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(u64::try_from(count).unwrap_or(u64::MAX))
            .ok_or_else(|| io::Error::other("the archive unpacks to more than its limit"))?;
        Ok(count)
    }
}

/// What is known of an entry before its content.
struct Found<'e> {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: EntryType,
    mode: u32,
    size: u64,
    content: &'e mut dyn Read,
}

/// Calls `each` with every entry of the archive until it says that it has enough.
fn walk(
    path: &Path,
    limits: &Limits,
    each: &mut dyn FnMut(Found<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let read = |error| Error::read(path, error);
    let file = File::open(path).map_err(read)?;
    let left = limits.entries.saturating_mul(OVERHEAD_BYTES_MAX).saturating_add(limits.bytes);
    let inner = zstd::stream::read::Decoder::new(file).map_err(read)?;
    let mut archive = Archive::new(Bounded { inner, left });
    let (mut long_path, mut long_link) = (None, None);
    for entry in archive.entries().map_err(read)?.raw(true) {
        let mut entry = entry.map_err(read)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => long_path = Some(text(path, &mut entry)?),
            EntryType::GNULongLink => long_link = Some(text(path, &mut entry)?),
            EntryType::XHeader => pax(path, &mut entry, &mut long_path, &mut long_link)?,
            // A comment for the whole archive, as `git archive` writes it.
            EntryType::XGlobalHeader => drop(extra(path, &mut entry)?),
            _ => {
                let name = long_path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                let link = long_link.take().unwrap_or_else(|| {
                    entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default()
                });
                let mode = entry.header().mode().map_err(read)?;
                let size = entry.size();
                let path = plain(&name).to_vec();
                let content = &mut entry;
                if !each(Found { path, link, kind, mode, size, content })? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Without the `./` that tar puts before and the `/` that it puts after.
fn plain(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    name.strip_suffix(b"/").unwrap_or(name)
}

fn extra(path: &Path, entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut limited = entry.take(EXTRA_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| Error::read(path, error))?;
    if bytes.len() > usize::try_from(EXTRA_BYTES_MAX).expect("a small constant fits") {
        let what = "bytes of extra header";
        return Err(Error::Limit { path: path.to_owned(), what, limit: EXTRA_BYTES_MAX });
    }
    Ok(bytes)
}

fn text(path: &Path, entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = extra(path, entry)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

fn pax(
    path: &Path,
    entry: &mut impl Read,
    long_path: &mut Option<Vec<u8>>,
    long_link: &mut Option<Vec<u8>>,
) -> Result<(), Error> {
    let bytes = extra(path, entry)?;
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|error| Error::read(path, error))?;
        match extension.key_bytes() {
            b"path" => *long_path = Some(extension.value_bytes().to_vec()),
            b"linkpath" => *long_link = Some(extension.value_bytes().to_vec()),
            b"size" => return Err(Error::refused(path, "it has a file of more than 8 GiB")),
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(Error::refused(path, "it was made with sparse files"));
            }
            // Times, owners and comments do not count.
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of `release.toml` and of its signature: the first two entries.
pub(super) fn read_head(path: &Path, limits: &Limits) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
    let (mut toml, mut signature) = (None, None);
    walk(path, limits, &mut |found| {
        let first = toml.is_none();
        match (found.path.as_slice(), found.kind) {
            // The directory that everything lies in, if tar was told to take `.`.
            (b"" | b".", EntryType::Directory) if first => return Ok(true),
            (b"release.toml", EntryType::Regular) if first => {
                toml = Some(head_bytes(path, found, TOML_BYTES_MAX)?);
                return Ok(true);
            }
            (b"release.toml.minisig", EntryType::Regular) if !first => {
                signature = Some(head_bytes(path, found, SIGNATURE_BYTES_MAX)?);
            }
            _ => {}
        }
        Ok(false)
    })?;
    let toml = toml.ok_or_else(|| {
        Error::refused(
            path,
            "release.toml has to be its first entry and release.toml.minisig its second: \
             tar --zstd -cf ARCHIVE release.toml release.toml.minisig files notes",
        )
    })?;
    Ok((toml, signature))
}

fn head_bytes(path: &Path, found: Found<'_>, limit: u64) -> Result<Vec<u8>, Error> {
    if found.size > limit {
        let what = "bytes of release.toml or its signature";
        return Err(Error::Limit { path: path.to_owned(), what, limit });
    }
    let mut bytes = Vec::new();
    found.content.read_to_end(&mut bytes).map_err(|error| Error::read(path, error))?;
    Ok(bytes)
}

/// Every `notes/<version>.md` of an archive, sorted by name.
pub(super) fn read_notes(path: &Path, limits: &Limits) -> Result<Vec<NoteFile>, Error> {
    let mut notes = Vec::new();
    walk(path, limits, &mut |found| {
        let name = found.path.strip_prefix(b"notes/").and_then(|name| name.strip_suffix(b".md"));
        let name = name.filter(|name| !name.contains(&b'/'));
        let Some(version) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
            return Ok(true);
        };
        if !matches!(found.kind, EntryType::Regular | EntryType::Continuous) {
            return Ok(true);
        }
        if notes.len() == NOTES_MAX {
            let limit = u64::try_from(NOTES_MAX).unwrap_or(u64::MAX);
            return Err(Error::Limit { path: path.to_owned(), what: "files of notes", limit });
        }
        if found.size > NOTE_BYTES_MAX {
            let what = "bytes of notes";
            return Err(Error::Limit { path: path.to_owned(), what, limit: NOTE_BYTES_MAX });
        }
        let version = version.to_owned();
        let mut bytes = Vec::new();
        found.content.read_to_end(&mut bytes).map_err(|error| Error::read(path, error))?;
        notes.push(NoteFile { version, bytes });
        Ok(true)
    })?;
    notes.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(notes)
}

/// Writes all entries into the sink.
pub(super) fn feed(path: &Path, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    walk(path, limits, &mut |found| {
        let Found { path, link, kind, mode, size, content } = found;
        match kind {
            EntryType::Directory if path.is_empty() || path == b"." => {}
            EntryType::Directory => sink.directory(&path)?,
            EntryType::Regular | EntryType::Continuous if mode & 0o6000 != 0 => {
                return Err(sink.refused(&path, "it has suid or sgid"));
            }
            EntryType::Regular | EntryType::Continuous => {
                sink.file(&path, is_executable(mode), size, content)?;
            }
            EntryType::Symlink => sink.symlink(&path, &link)?,
            EntryType::Link => sink.hard_link(&path, &link)?,
            _ => {
                let why = "a bundle holds files, directories and symlinks only";
                return Err(sink.refused(&path, why));
            }
        }
        Ok(true)
    })
}
