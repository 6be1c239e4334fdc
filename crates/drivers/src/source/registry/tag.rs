//! Which tags there are, and moving one: promotion and rollback by re-tag (SRC-6).

use groundcrew_engine::ports::{SourceError, SourceErrorKind};
use groundcrew_engine::version::{Version, VersionForm};
use serde::Serialize;

use super::client::{Seen, Tags};
use super::reference::is_tag;
use super::{RegistrySource, refuse};
use crate::bundle::Sha256;

/// A tag that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tagged {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// What it names now.
    pub digest: String,
    /// What it named before; `None`: it is new, or the registry does not say.
    pub before: Option<String>,
}

impl RegistrySource {
    /// The repository, as people write it.
    #[must_use]
    pub fn repository(&self) -> String {
        self.client.repository().to_string()
    }

    /// All tags; what lies beside images, such as signatures, is left out.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or refuses.
    pub fn tags(&mut self) -> Result<Tags, SourceError> {
        self.client.begin();
        let mut tags = self.client.tags()?;
        tags.names.retain(|tag| !tag.starts_with("sha256-"));
        tags.names.sort_by_cached_key(|tag| {
            let version = Version::parse(tag, VersionForm::Plain).ok();
            // Names before versions, versions in their order.
            (version, tag.clone())
        });
        Ok(tags)
    }

    /// The tags that are versions, in the order of versions.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or refuses.
    pub fn versions(&mut self) -> Result<Vec<String>, SourceError> {
        let tags = self.tags()?.names;
        let reads = |tag: &String| Version::parse(tag, VersionForm::Plain).is_ok();
        Ok(tags.into_iter().filter(reads).collect())
    }

    /// The digest that a tag names now.
    ///
    /// # Errors
    ///
    /// The registry does not answer, or refuses.
    pub fn digest_of(&mut self, tag: &str) -> Result<Option<String>, SourceError> {
        self.client.begin();
        Ok(match self.client.head(tag, None)? {
            Seen::At { digest: Some(digest), .. } => Some(digest.to_string()),
            Seen::At { digest: None, .. } => {
                self.client.manifest(tag)?.map(|manifest| manifest.digest.to_string())
            }
            Seen::Same | Seen::Nothing => None,
        })
    }

    /// Makes `tag` name the image of this digest. Nothing is pulled or built: the manifest is
    /// written again under another name, so its digest stays and its signatures hold. Done twice,
    /// it changes nothing.
    ///
    /// # Errors
    ///
    /// `Refuse`: there is no such image. Else the registry does not answer, or does not let us.
    pub fn retag(&mut self, digest: &str, tag: &str) -> Result<Tagged, SourceError> {
        if !is_tag(tag) {
            return Err(refuse(format!("{tag:?} is no tag: {}", super::reference::TAG_RULE)));
        }
        let before = self.digest_of(tag)?;
        let repository = self.client.repository().to_string();
        let wanted = Sha256::parse(digest)
            .ok_or_else(|| refuse(format!("{digest:?} is no sha256 digest")))?;
        let gone = || refuse(format!("{repository}@{digest} is not in the registry any more"));
        let manifest = self.client.manifest(wanted.as_str())?.ok_or_else(gone)?;
        if before.as_deref() != Some(digest) {
            self.client.put_tag(tag, &manifest).map_err(|error| {
                let SourceError { kind, text } = error.into();
                // Nothing of the release is wrong if a tag cannot be moved.
                let kind = match kind {
                    SourceErrorKind::Refuse => SourceErrorKind::Retry,
                    kind => kind,
                };
                SourceError { kind, text }
            })?;
        }
        Ok(Tagged { repository, tag: tag.to_owned(), digest: digest.to_owned(), before })
    }
}
