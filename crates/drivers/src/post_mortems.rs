//! The directory of post-mortems: what lies there, and how one is replaced by its closed self.
//!
//! The store writes each once, `<date>_<app>_<version>_<update>.md`, and people edit them. So a file
//! that cannot be read, is too long or is no text is listed with what is wrong, never left out; and
//! what is no file of ours (an editor's copy, a directory) is passed over.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::durable::{self, Site};

/// Longest document that is read, in bytes: a long story with its logs.
pub const DOCUMENT_MAX_BYTES: u64 = 1 << 20;

/// Most documents that are looked at; the newest of them by name.
pub const DOCUMENTS_MAX: usize = 1_000;

/// What the files end with.
const EXTENSION: &str = "md";

/// Something could not be done with the post-mortems.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Their directory cannot be listed.
    #[error("cannot list the post-mortems in {path}")]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One changed while it was worked on.
    #[error("{path} was changed meanwhile; look at it and close it again")]
    Changed {
        /// The document.
        path: PathBuf,
    },
    /// One cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The document.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One cannot be written.
    #[error("cannot write the post-mortem")]
    Write(#[from] durable::Error),
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file's name without the ending.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it says, or why that cannot be told.
    pub text: Result<String, String>,
    /// When it was opened, as far as the file tells without being read, milliseconds since 1970.
    pub opened_ms: i64,
}

/// Where the post-mortems of a state directory are.
#[must_use]
pub fn dir(state: &Path) -> PathBuf {
    state.join("postmortems")
}

/// The documents, oldest name first; none where there is no directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The newest [`DOCUMENTS_MAX`] of them.
    pub found: Vec<Found>,
    /// How many older ones are left out.
    pub left_out: usize,
}

/// Lists the documents.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(state: &Path) -> Result<Listed, Error> {
    let dir = dir(state);
    let failed = |source| Error::List { path: dir.clone(), source };
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Listed::default()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|found| found == EXTENSION) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let left_out = paths.len().saturating_sub(DOCUMENTS_MAX);
    Ok(Listed { found: paths.into_iter().skip(left_out).map(found).collect(), left_out })
}

fn found(path: PathBuf) -> Found {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let changed_ms = path.metadata().map_or(0, |meta| meta.mtime().saturating_mul(1_000));
    Found { opened_ms: planned_ms(&name).unwrap_or(changed_ms), text: read(&path), name, path }
}

/// When the update was planned, as its name at the end of the file's name says.
fn planned_ms(name: &str) -> Option<i64> {
    let (_, txn) = name.rsplit_once('_')?;
    let hex = txn.split('-').next()?;
    i64::from_str_radix(hex, 16).ok().filter(|_| hex.len() >= 8)
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = bytes(path).map_err(|error| format!("cannot read it: {error}"))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > DOCUMENT_MAX_BYTES {
        return Err(format!("it has more than {DOCUMENT_MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| format!("it is no text in UTF-8: {error}"))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(DOCUMENT_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a document, if it still says `before`; permissions stay. Durable on return.
///
/// # Errors
/// `Changed`: somebody was faster. Else the host failed and the old text is there.
pub fn replace(path: &Path, before: &str, after: &str) -> Result<(), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    if bytes(path).map_err(failed)? != before.as_bytes() {
        return Err(Error::Changed { path: path.to_owned() });
    }
    let mode = path.metadata().map_err(failed)?.permissions().mode() & 0o777;
    Ok(durable::write(path, after.as_bytes(), mode, Site::Postmortem)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    fn put(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        file.as_mut().unwrap().write_all(bytes).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_listed_and_what_is_not_ours_is_not() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(list(state.path()).unwrap(), Listed::default());
        let dir = dir(state.path());
        put(&dir.join("2026-11-21_tiles_1.2.0_19e0c3f5a00-1.md"), b"text");
        put(&dir.join("b.md"), b"\xff\xfe");
        put(&dir.join("c.md"), &vec![b'x'; usize::try_from(DOCUMENT_MAX_BYTES).unwrap() + 1]);
        for passed_over in [".b.md.swp", ".hidden.md", "b.md~", "b.md.new", "d.md/e"] {
            put(&dir.join(passed_over), b"");
        }
        let Listed { found, left_out } = list(state.path()).unwrap();
        let said: Vec<_> = found.iter().map(|one| (one.name.as_str(), &one.text)).collect();
        assert_eq!(said[0], ("2026-11-21_tiles_1.2.0_19e0c3f5a00-1", &Ok("text".to_owned())));
        assert!(said[1].1.as_ref().is_err_and(|why| why.contains("UTF-8")), "{said:?}");
        assert!(said[2].1.as_ref().is_err_and(|why| why.contains("1048576 bytes")), "{said:?}");
        assert_eq!((said.len(), left_out), (3, 0));
        assert_eq!(found[0].opened_ms, 0x19e_0c3f_5a00);
        assert!(found[1].opened_ms > 1_600_000_000_000);
    }

    #[test]
    fn documents_beyond_the_limit_are_counted() {
        let state = tempfile::tempdir().unwrap();
        for number in 0..DOCUMENTS_MAX + 2 {
            put(&dir(state.path()).join(format!("{number:05}.md")), b"text");
        }
        let listed = list(state.path()).unwrap();
        assert_eq!((listed.found.len(), listed.left_out), (DOCUMENTS_MAX, 2));
        assert_eq!(listed.found[0].name, "00002", "the oldest are left out");
    }

    #[test]
    fn a_document_that_changed_meanwhile_is_not_overwritten() {
        let state = tempfile::tempdir().unwrap();
        let path = dir(state.path()).join("a.md");
        put(&path, b"one");
        replace(&path, "one", "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let refused = replace(&path, "one", "three");
        assert!(matches!(refused, Err(Error::Changed { .. })), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
    }
}
