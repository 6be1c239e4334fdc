//! What a channel or a pin names now.

use groundcrew_engine::notes::NoteFile;
use groundcrew_engine::noun::{Digest, Release};
use groundcrew_engine::ports::{Found, SourceError, SourceErrorKind};
use serde::Serialize;

use super::client::Seen;
use super::cosign;
use super::describe::{self, Described, Wanted, unnamed};
use super::error::Error;
use super::manifest::Manifest;
use super::notes;
use super::reference::{is_digest, is_tag};
use super::{RegistrySource, parse, refuse};
use crate::bundle::Sha256;
use crate::causes::causes;

/// So many characters of a revision are enough to name it.
const REVISION_CHARS_MIN: usize = 7;

/// Images that are read to find a revision.
const REVISION_TAGS_MAX: usize = 16;

/// What a tag or a digest named the last time.
#[derive(Clone, Debug)]
pub(super) struct Last {
    tag: String,
    digest: Sha256,
    etag: Option<String>,
    found: Found,
    described: Option<Described>,
    /// Why it cannot be used.
    refused: Option<String>,
}

/// What a look found, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What the image says of itself; `None`: the tag is not there, or the image cannot be used.
    pub image: Option<Described>,
    /// What the tag names.
    pub digest: Option<String>,
    /// Why it cannot be used: platform, damage, signature.
    pub refused: Option<String>,
    /// Whether it is signed with the app's key; `None`: the app asks for no signature.
    pub signed: Option<bool>,
    /// Versions whose notes there are; `None`: they cannot be read.
    pub notes: Option<Vec<String>>,
}

impl RegistrySource {
    /// Looks at the channel for a person: the image, its signature, its notes.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or refuses.
    pub fn look(&mut self) -> Result<Looked, SourceError> {
        self.client.begin();
        let found = self.by_channel()?;
        let last = self.last.clone().filter(|_| found.is_some());
        let mut looked = Looked {
            repository: self.client.repository().to_string(),
            tag: self.settings.channel.clone(),
            image: last.as_ref().and_then(|last| last.described.clone()),
            digest: last.as_ref().map(|last| last.digest.to_string()),
            refused: last.as_ref().and_then(|last| last.refused.clone()),
            signed: None,
            notes: found
                .and_then(|found| found.notes)
                .map(|notes| notes.into_iter().map(|file| file.version).collect()),
        };
        if let (Some(path), Some(last)) = (&self.settings.cosign_key, last) {
            let key = cosign::Key::read(path)?;
            match cosign::check(&mut self.client, &last.digest, &key) {
                Ok(()) => looked.signed = Some(true),
                Err(error) if error.kind() == SourceErrorKind::Refuse => {
                    looked.signed = Some(false);
                    looked.refused.get_or_insert(causes(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(looked)
    }

    pub(super) fn by_channel(&mut self) -> Result<Option<Found>, SourceError> {
        let channel = self.settings.channel.clone();
        let before = self.last.take();
        let now = self.by_tag(&channel, before.as_ref())?;
        self.last.clone_from(&now);
        // Nobody can sign a tag: where signatures count, one that moves back convinces nobody.
        let serial = self.settings.cosign_key.is_some().then_some(0);
        Ok(now.map(|last| Found { serial, ..last.found }))
    }

    /// What a tag names; what it named before is not read again.
    fn by_tag(&mut self, tag: &str, before: Option<&Last>) -> Result<Option<Last>, SourceError> {
        let before = before.filter(|last| last.tag == tag);
        let etag = before.and_then(|last| last.etag.as_deref());
        let (digest, etag) = match self.client.head(tag, etag)? {
            Seen::Same => return Ok(before.cloned()),
            Seen::Nothing => return Ok(None),
            Seen::At { digest, etag } => (digest, etag),
        };
        if let Some(last) = before.filter(|last| Some(&last.digest) == digest.as_ref()) {
            return Ok(Some(Last { etag, ..last.clone() }));
        }
        let reference = digest.as_ref().map_or(tag, Sha256::as_str);
        let read = match self.client.manifest(reference) {
            Ok(Some(top)) => Ok(top),
            Ok(None) => {
                let text = format!(
                    "{}:{tag} names {reference}, and the registry does not have it",
                    self.client.repository()
                );
                return Err(SourceError { kind: SourceErrorKind::Retry, text });
            }
            Err(error) => Err(error),
        };
        match (read, digest) {
            (Ok(top), _) => match before.filter(|last| last.digest == top.digest) {
                Some(last) => Ok(Some(Last { etag, ..last.clone() })),
                None => Ok(Some(self.loaded(&top, tag, etag)?)),
            },
            (Err(error), Some(digest)) if error.kind() == SourceErrorKind::Refuse => {
                Ok(Some(unusable(&digest, tag, etag, &error)))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    fn loaded(
        &mut self,
        top: &Manifest,
        tag: &str,
        etag: Option<String>,
    ) -> Result<Last, SourceError> {
        let named = is_tag(tag).then_some(tag);
        let described = match self.describe(top, named) {
            Ok(described) => described,
            Err(error) if error.kind() == SourceErrorKind::Refuse => {
                return Ok(unusable(&top.digest, tag, etag, &error));
            }
            Err(error) => return Err(error.into()),
        };
        let release = described.release.clone();
        // What cannot be read now is asked for again once it is fetched, and the gate waits then.
        let notes = self.read_notes(&release).ok();
        Ok(Last {
            tag: tag.to_owned(),
            digest: top.digest.clone(),
            etag,
            found: Found { release, serial: None, notes },
            described: Some(described),
            refused: None,
        })
    }

    pub(super) fn describe(
        &mut self,
        top: &Manifest,
        tag: Option<&str>,
    ) -> Result<Described, Error> {
        let wanted = Wanted {
            host: &self.settings.platform,
            revision_env: self.settings.revision_env.as_deref(),
            tag,
        };
        describe::describe(&mut self.client, top, wanted)
    }

    fn read_notes(&mut self, release: &Release) -> Result<Vec<NoteFile>, Error> {
        let Some(from) = &self.settings.notes else { return Ok(Vec::new()) };
        let notes = notes::read(&mut self.client, from, release, &self.settings.channel)?;
        Ok(notes.unwrap_or_default())
    }

    /// The notes of a release of which only the digest is known.
    pub(super) fn notes_of(&mut self, digest: &Digest) -> Result<Vec<NoteFile>, SourceError> {
        if self.settings.notes.is_none() {
            return Ok(Vec::new());
        }
        let known = [&self.last, &self.pinned];
        let known = known.into_iter().flatten().find(|last| last.found.release.digest == *digest);
        let release = match known {
            Some(Last { found: Found { notes: Some(notes), .. }, .. }) => return Ok(notes.clone()),
            Some(last) => last.found.release.clone(),
            None => {
                let digest = parse(digest)?;
                let gone = || refuse(format!("{digest} is not in the registry"));
                let top = self.client.manifest(digest.as_str())?.ok_or_else(gone)?;
                self.describe(&top, None)?.release
            }
        };
        Ok(self.read_notes(&release)?)
    }

    /// The one release that is meant: by digest, by tag, by what the channel names now, or by the
    /// commit that a tag is called after.
    pub(super) fn by_pin(&mut self, pin: &str) -> Result<Option<Found>, SourceError> {
        let before = self.pinned.take();
        if is_digest(pin) {
            return self.by_digest(pin, before);
        }
        let template = self.settings.pin_tag.as_ref().map(|text| text.replace("{pin}", pin));
        let named = [Some(pin.to_owned()), Some(format!("v{pin}")), template];
        for tag in named.into_iter().flatten().filter(|tag| is_tag(tag)) {
            if let Some(last) = self.by_tag(&tag, before.as_ref())? {
                self.pinned = Some(last.clone());
                return Ok(Some(last.found));
            }
        }
        match self.by_channel()? {
            Some(found) if is_meant(pin, &found.release) => {
                Ok(Some(Found { serial: None, ..found }))
            }
            _ => self.by_revision(pin),
        }
    }

    /// A digest never names anything else, so it is asked for once.
    fn by_digest(&mut self, pin: &str, before: Option<Last>) -> Result<Option<Found>, SourceError> {
        if let Some(last) = before.filter(|last| last.digest.as_str() == pin) {
            self.pinned = Some(last.clone());
            return Ok(Some(last.found));
        }
        // The channel's tag may say a version that the image does not.
        let channel = self.by_channel();
        if let Ok(Some(found)) = channel
            && found.release.digest.as_str() == pin
        {
            return Ok(Some(Found { serial: None, ..found }));
        }
        let Some(top) = self.client.manifest(pin)? else { return Ok(None) };
        let last = self.loaded(&top, pin, None)?;
        self.pinned = Some(last.clone());
        Ok(Some(last.found))
    }

    /// The image whose tag has the commit in its name, as `main-0123abc`.
    fn by_revision(&mut self, pin: &str) -> Result<Option<Found>, SourceError> {
        if pin.len() < REVISION_CHARS_MIN {
            return Ok(None);
        }
        let tags = self.client.tags()?.names;
        let mut found: Vec<Last> = Vec::new();
        for tag in tags.iter().filter(|tag| names_revision(tag, pin)).take(REVISION_TAGS_MAX) {
            let Some(last) = self.by_tag(tag, None)? else { continue };
            let revision = last.found.release.revision.as_deref();
            let is_it = revision.is_none_or(|revision| revision.starts_with(pin));
            if is_it && !found.iter().any(|other| other.digest == last.digest) {
                found.push(last);
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => {
                self.pinned = Some(one.clone());
                Ok(Some(one.found.clone()))
            }
            several => {
                let name = |last: &Last| format!("{} ({})", last.tag, last.digest);
                let mut names: Vec<String> = several.iter().map(name).collect();
                names.sort();
                Err(refuse(format!("the pin {pin} means several releases: {}", names.join(", "))))
            }
        }
    }
}

/// No more is known than its digest.
fn unusable(digest: &Sha256, tag: &str, etag: Option<String>, error: &Error) -> Last {
    let release = Release {
        version: unnamed(digest, is_tag(tag).then_some(tag)),
        digest: Digest(digest.to_string()),
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    };
    Last {
        tag: tag.to_owned(),
        digest: digest.clone(),
        etag,
        found: Found { release, serial: None, notes: None },
        described: None,
        refused: Some(causes(error)),
    }
}

/// Whether a person who says `pin` means this release.
fn is_meant(pin: &str, release: &Release) -> bool {
    let begins = |revision: &String| {
        revision == pin || (pin.len() >= REVISION_CHARS_MIN && revision.starts_with(pin))
    };
    release.version == pin || release.revision.as_ref().is_some_and(begins)
}

/// Whether a tag has this commit, or its beginning, in its name.
fn names_revision(tag: &str, pin: &str) -> bool {
    let is_part = |part: &str| {
        part.len() >= REVISION_CHARS_MIN && (part.starts_with(pin) || pin.starts_with(part))
    };
    // Signatures and notes lie under such tags.
    !tag.starts_with("sha256-") && tag.split(|c: char| !c.is_ascii_alphanumeric()).any(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_is_called_after_a_commit_names_it() {
        let all = [
            ("main-0123abc", "0123abcdef", true),
            ("main-0123abcdef", "0123abc", true),
            ("0123abcdef-arm", "0123abcdef", true),
            ("main-0123ab", "0123abcdef", false),
            ("main", "0123abcdef", false),
            ("sha256-0123abcdef.sig", "0123abcdef", false),
            ("main-9990123abc", "0123abc", false),
        ];
        for (tag, pin, is_it) in all {
            assert_eq!(names_revision(tag, pin), is_it, "{tag} {pin}");
        }
    }
}
