//! Which release a person means: by version, by digest, or by the commit it was built from.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use groundcrew_engine::ports::{Found, SourceError};

use super::{DirectorySource, PARTIAL, Settings, here, refuse, there};
use crate::bundle::{self, Bundle, Error, Head};

/// So many characters of a revision are enough to name it.
const REVISION_CHARS_MIN: usize = 7;

/// The names in a directory, sorted; none if it is not there.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let read = |source| Error::Read { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(read)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(read)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a person who says `pin` means this release.
fn is_meant(pin: &str, head: &Head) -> bool {
    let of_revision = |revision: &String| {
        revision == pin || (pin.len() >= REVISION_CHARS_MIN && revision.starts_with(pin))
    };
    head.digest.as_str() == pin
        || head.release.version == pin
        || head.release.revision.as_ref().is_some_and(of_revision)
}

/// Sorts 1.10.0 after 1.9.0.
fn natural(version: &str) -> Vec<(u64, String)> {
    let parts = version.split(['.', '-', '+']);
    parts.map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
}

impl DirectorySource {
    /// The versions that the source has or that lie here, numbers in them in the order of numbers.
    ///
    /// # Errors
    ///
    /// The source cannot be read.
    pub fn versions(&self) -> Result<Vec<String>, SourceError> {
        let Settings { root, app, .. } = &self.settings;
        let mut all = bundle::versions(root, app).map_err(|error| there(&error))?;
        let dir = self.releases();
        for name in names(&dir).map_err(|error| here(&error))? {
            // One that is damaged is none.
            all.extend(Head::read(&dir.join(name)).map(|head| head.release.version));
        }
        all.sort_by_cached_key(|version| natural(version));
        all.dedup();
        Ok(all)
    }

    /// The one release that is meant: in the source, else among those that were fetched before.
    pub(super) fn by_pin(&mut self, pin: &str) -> Result<Option<Found>, SourceError> {
        let (mut matches, unread) = self.offered(pin);
        if matches.is_empty() {
            matches = self.fetched(pin)?;
        }
        matches.sort_by(|(_, one), (_, other)| one.digest.cmp(&other.digest));
        matches.dedup_by(|(_, one), (_, other)| one.digest == other.digest);
        match (matches.as_slice(), unread) {
            ([(bundle, head)], _) => {
                let (bundle, head) = (bundle.clone(), head.clone());
                Ok(Some(self.found(&bundle, &head, None)))
            }
            // What could not be read may be what is meant.
            ([], Some(error)) => Err(error),
            ([], None) => Ok(None),
            (several, _) => {
                let names: Vec<String> = several
                    .iter()
                    .map(|(_, head)| format!("{} ({})", head.release.version, head.digest))
                    .collect();
                Err(refuse(format!("the pin {pin} means several releases: {}", names.join(", "))))
            }
        }
    }

    /// Matches in the source, and why it could not be read in part or at all.
    fn offered(&self, pin: &str) -> (Vec<(Bundle, Head)>, Option<SourceError>) {
        let Settings { root, app, .. } = &self.settings;
        let mut unread = None;
        let versions = bundle::versions(root, app).unwrap_or_else(|error| {
            unread = Some(there(&error));
            Vec::new()
        });
        // A version that is there is what is meant, whatever else has it as a revision.
        let exact = versions.iter().any(|version| version == pin);
        let asked = versions.iter().filter(|version| !exact || *version == pin);
        let mut matches = Vec::new();
        for version in asked {
            let read = Bundle::find(root, app, version)
                .and_then(|bundle| bundle.head().map(|head| (bundle, head)));
            match read {
                Ok((bundle, head)) if is_meant(pin, &head) && head.release.app == *app => {
                    match self.check_version(&bundle, &head, version) {
                        Ok(()) => matches.push((bundle, head)),
                        Err(error) => unread = Some(error),
                    }
                }
                Ok(_) => {}
                Err(error) => unread = Some(there(&error)),
            }
        }
        (matches, unread)
    }

    /// Matches among the releases that lie here.
    fn fetched(&self, pin: &str) -> Result<Vec<(Bundle, Head)>, SourceError> {
        let dir = self.releases();
        let names = names(&dir).map_err(|error| here(&error))?;
        let whole = names.iter().filter(|name| !name.ends_with(PARTIAL));
        let read = |path: PathBuf| {
            // One that is damaged is no match; a fetch would not take it either.
            let head = Head::read(&path).ok()?;
            let named = path.file_name()?.to_str()?.replacen('-', ":", 1);
            (head.digest.as_str() == named).then_some((Bundle::Directory(path), head))
        };
        let found = whole.filter_map(|name| read(dir.join(name)));
        Ok(found.filter(|(_, head)| is_meant(pin, head)).collect())
    }
}
