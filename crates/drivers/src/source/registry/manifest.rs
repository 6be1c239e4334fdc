//! Manifests, indexes and configurations of images, as far as we need them.
//!
//! Unknown members are ignored, as the formats ask; what is needed and missing is said.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::bundle::Sha256;

/// One image, in OCI's and in Docker's words.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Images for several platforms, in OCI's and in Docker's words.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The configuration of what is no image.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What we understand.
pub const ACCEPT: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// Entries of an index.
const ENTRIES_MAX: usize = 1_000;

/// Labels, annotations and variables of one thing.
const PAIRS_MAX: usize = 2_000;

/// Names and their values.
pub type Pairs = BTreeMap<String, String>;

/// A reference from one thing to another.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Which.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of thing that is no image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// For which platform.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What is said of it.
    #[serde(default)]
    pub annotations: Option<Pairs>,
}

/// What an image runs on.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Platform {
    /// As Go calls it: `amd64`, `arm64`.
    pub architecture: String,
    /// As Go calls it: `linux`.
    pub os: String,
    /// As in `arm/v7`.
    #[serde(default)]
    pub variant: Option<String>,
}

/// Images of one release for several platforms, or things that refer to another.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Index {
    /// The entries.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// What is said of all.
    #[serde(default)]
    pub annotations: Option<Pairs>,
}

/// One image, or another thing with parts.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// What kind of thing, if it is no image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its parts.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// What is said of it.
    #[serde(default)]
    pub annotations: Option<Pairs>,
}

/// A manifest whose bytes have this digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest.
    pub digest: Sha256,
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its content, if it is for several platforms.
    pub index: Option<Index>,
    /// Its content, if it is one image.
    pub image: Option<Image>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Config {
    /// Its platform.
    #[serde(flatten)]
    pub platform: Platform,
    /// When it was made, as RFC 3339.
    #[serde(default)]
    pub created: Option<String>,
    /// How it runs.
    #[serde(default)]
    pub config: Option<Running>,
}

/// How an image runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Running {
    /// Labels.
    #[serde(default, rename = "Labels")]
    pub labels: Option<Pairs>,
    /// `NAME=value`.
    #[serde(default, rename = "Env")]
    pub env: Option<Vec<String>>,
}

impl Image {
    /// What kind of thing it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    ///
    /// It is none, and why.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let index: Self = parse(bytes, "index")?;
        let count = index.manifests.len();
        if count > ENTRIES_MAX {
            return Err(format!("the index has {count} entries, at most {ENTRIES_MAX} are read"));
        }
        Ok(index)
    }
}

impl Manifest {
    pub(super) fn read(digest: Sha256, media_type: String, bytes: Vec<u8>) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            schema_version: Option<u32>,
            media_type: Option<String>,
            manifests: Option<IgnoredAny>,
            layers: Option<IgnoredAny>,
            config: Option<IgnoredAny>,
        }
        let kind: Kind = parse(&bytes, "manifest")?;
        if kind.schema_version != Some(2) {
            let found = kind.schema_version.map_or("none".to_owned(), |found| found.to_string());
            return Err(format!(
                "the manifest has schemaVersion {found}, 2 is read; push the image again with a \
                 program of this decade"
            ));
        }
        // Two readers would see two things under one digest.
        if kind.manifests.is_some() && (kind.layers.is_some() || kind.config.is_some()) {
            return Err("it says to be one image and several at once".to_owned());
        }
        // The bytes are what the digest names; the header is only said about them.
        let media_type = kind.media_type.filter(|text| !text.is_empty()).unwrap_or(media_type);
        let (index, image) = match media_type.as_str() {
            OCI_INDEX | DOCKER_INDEX => (Some(Index::parse(&bytes)?), None),
            OCI_MANIFEST | DOCKER_MANIFEST => (None, Some(parse(&bytes, "manifest")?)),
            other => return Err(format!("{other:?} is no kind of manifest that we read")),
        };
        Ok(Self { digest, media_type, bytes, index, image })
    }
}

impl Config {
    /// Reads the configuration of an image.
    ///
    /// # Errors
    ///
    /// It is none, and why.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let config: Self = parse(bytes, "configuration of the image")?;
        let running = config.config.as_ref();
        let labels = running.and_then(|running| running.labels.as_ref()).map_or(0, Pairs::len);
        let env = running.and_then(|running| running.env.as_ref()).map_or(0, Vec::len);
        if labels.max(env) > PAIRS_MAX {
            let count = labels.max(env);
            return Err(format!("the image has {count} labels or variables, at most {PAIRS_MAX}"));
        }
        Ok(config)
    }
}

/// The tags on one page of a list.
pub(super) fn tags(bytes: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Page {
        tags: Option<Vec<String>>,
    }
    let page: Page = parse(bytes, "list of tags")?;
    Ok(page.tags.unwrap_or_default())
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("that is no {what}: {error}"))
}
