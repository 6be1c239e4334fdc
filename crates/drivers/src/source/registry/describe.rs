//! From a manifest to a release: labels and annotations say which version an image is.
//!
//! Annotations stand above labels, for labels come along from the image below: a base image's
//! version is not the app's. Of annotations those of the manifest stand above those of its index.
//!
//! | key | what it says |
//! |---|---|
//! | `org.opencontainers.image.version` | the version; else the tag, if it reads as one; else the digest |
//! | `org.opencontainers.image.revision` | the commit; else the variable that `revision_env` names |
//! | `org.opencontainers.image.created` | when; else the configuration's `created` |
//! | `org.opencontainers.image.source`, `.url`, `.documentation` | where to read more |
//! | `groundcrew.data-epoch` | the generation of its data |
//! | `groundcrew.data-compatible-from` | the oldest release that can read its data |
//! | `groundcrew.migrate.up`, `.down` | labels: commands that migrate the data, and back; JSON lists of words |
//! | `groundcrew.migrate.timeout` | label: how long one may take, as `10m`, which is the default |

use groundcrew_engine::noun::{Digest, Migration, Release};
use groundcrew_engine::version::{Version, VersionForm};
use serde::Serialize;

use super::client::Client;
use super::error::Error;
use super::manifest::{Config, Image, Manifest, Pairs};
use super::platform::Host;
use crate::bundle::{Sha256, default_timeout, parse_duration};
use crate::runtimes::docker::{MIGRATE_DOWN, MIGRATE_UP};

/// The configuration of an image, in bytes; Docker takes no more.
const CONFIG_MAX_BYTES: usize = 8 * 1024 * 1024;

/// A value that becomes a part of a release, in bytes.
const VALUE_MAX_BYTES: usize = 256;

/// Letters of a digest that stand for a version where nobody says one.
const DIGEST_CHARS: usize = "sha256:".len() + 12;

const VERSION: &str = "org.opencontainers.image.version";
const REVISION: &str = "org.opencontainers.image.revision";
const CREATED: &str = "org.opencontainers.image.created";
const MIGRATE_TIMEOUT: &str = "groundcrew.migrate.timeout";
const DATA_EPOCH: &str = "groundcrew.data-epoch";
const DATA_COMPATIBLE_FROM: &str = "groundcrew.data-compatible-from";
/// Where to read more, the best first.
const MORE: [&str; 3] = [
    "org.opencontainers.image.source",
    "org.opencontainers.image.url",
    "org.opencontainers.image.documentation",
];

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Described {
    /// The release; its digest is that of what the tag names, an index where there is one.
    pub release: Release,
    /// The image of it that this host runs.
    pub manifest: String,
    /// The platform of that image.
    pub platform: String,
    /// Bytes to fetch, compressed, if nothing of it is here.
    pub bytes: u64,
    /// Where to read more.
    pub more: Option<String>,
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The platform.
    pub host: &'a Host,
    /// The variable of the image that names the commit, where no label does.
    pub revision_env: Option<&'a str>,
    /// The tag that led here.
    pub tag: Option<&'a str>,
}

/// Reads what an image says of itself.
///
/// # Errors
///
/// `Refuse`: it is not for this host, or cannot be read.
pub fn describe(
    client: &mut Client,
    top: &Manifest,
    wanted: Wanted<'_>,
) -> Result<Described, Error> {
    let name = format!("{}@{}", client.repository(), top.digest);
    let refuse = |why: String| Error::Refused { image: name.clone(), why };
    let chosen = match &top.index {
        None => None,
        Some(index) => {
            let entry = wanted.host.choose(index).map_err(refuse)?;
            let why = || refuse(format!("its entry {:?} is no sha256 digest", entry.digest));
            let digest = Sha256::parse(&entry.digest).ok_or_else(why)?;
            let lost =
                || refuse(format!("the registry has lost its image {digest}; push it again"));
            Some(client.manifest(digest.as_str())?.ok_or_else(lost)?)
        }
    };
    let manifest = chosen.as_ref().unwrap_or(top);
    let image = manifest.image.as_ref();
    let image = image.ok_or_else(|| refuse("it is an index of indexes".to_owned()))?;
    let bytes = image.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    let config = config(client, image).map_err(|error| match error {
        Error::Garbage { why, .. } => refuse(why),
        error => error,
    })?;
    if wanted.host.nearness(&config.platform).is_none() {
        let (is_for, host) = (&config.platform, wanted.host);
        return Err(refuse(format!("it is for {is_for}, this host is {host}")));
    }
    let said = Said {
        manifest: image.annotations.as_ref(),
        index: top.index.as_ref().and_then(|index| index.annotations.as_ref()),
        labels: config.config.as_ref().and_then(|running| running.labels.as_ref()),
    };
    let release = release(&top.digest, &said, &config, wanted);
    Ok(Described {
        release,
        manifest: manifest.digest.to_string(),
        platform: config.platform.to_string(),
        bytes,
        more: MORE.iter().find_map(|key| said.get(key)),
    })
}

fn config(client: &mut Client, image: &Image) -> Result<Config, Error> {
    let name = client.repository().to_string();
    let why = || format!("its configuration {:?} is no sha256 digest", image.config.digest);
    let digest = Sha256::parse(&image.config.digest);
    let digest = digest.ok_or_else(|| Error::Refused { image: name.clone(), why: why() })?;
    let bytes = client.blob(&digest, CONFIG_MAX_BYTES)?;
    Config::parse(&bytes).map_err(|why| Error::Refused { image: name, why })
}

/// What is said of an image, the nearest first.
struct Said<'a> {
    manifest: Option<&'a Pairs>,
    index: Option<&'a Pairs>,
    labels: Option<&'a Pairs>,
}

impl Said<'_> {
    fn get(&self, key: &str) -> Option<String> {
        let all = [self.manifest, self.index, self.labels];
        all.into_iter().flatten().find_map(|pairs| tame(pairs.get(key)?))
    }
}

/// A value without what could not be shown in a line; none if nothing or too much is left.
fn tame(value: &str) -> Option<String> {
    let text = value.trim();
    let fits =
        !text.is_empty() && text.len() <= VALUE_MAX_BYTES && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

fn release(digest: &Sha256, said: &Said<'_>, config: &Config, wanted: Wanted<'_>) -> Release {
    let created = said.get(CREATED).or_else(|| tame(config.created.as_ref()?));
    let published_ms = created
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(jiff::Timestamp::as_millisecond)
        // Builders that want to be reproducible say 1970.
        .filter(|ms| *ms > 0);
    Release {
        version: said.get(VERSION).unwrap_or_else(|| unnamed(digest, wanted.tag)),
        digest: Digest(digest.to_string()),
        revision: said.get(REVISION).or_else(|| stamp(config, wanted.revision_env?)),
        published_ms,
        data_epoch: said.get(DATA_EPOCH).and_then(|text| text.parse().ok()),
        data_compatible_from: said.get(DATA_COMPATIBLE_FROM),
        migration: migration(said),
    }
}

/// The commands themselves are read from the image where they are run, so labels say them.
fn migration(said: &Said<'_>) -> Option<Migration> {
    let label = |key: &str| said.labels.and_then(|labels| labels.get(key));
    label(MIGRATE_UP)?;
    let asked = label(MIGRATE_TIMEOUT).and_then(|text| parse_duration(text.trim()));
    let timeout = asked.unwrap_or_else(default_timeout);
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    Some(Migration { reversible: label(MIGRATE_DOWN).is_some(), timeout_ms })
}

/// The version of an image that says none: its tag if that reads as one, else a part of its digest,
/// which no gate takes for a version.
#[must_use]
pub(super) fn unnamed(digest: &Sha256, tag: Option<&str>) -> String {
    let reads = |tag: &&str| tag.contains('.') && Version::parse(tag, VersionForm::Plain).is_ok();
    match tag.filter(reads) {
        Some(tag) => tag.to_owned(),
        None => digest.as_str().chars().take(DIGEST_CHARS).collect(),
    }
}

fn stamp(config: &Config, variable: &str) -> Option<String> {
    let env = config.config.as_ref()?.env.as_ref()?;
    let found = env.iter().find_map(|pair| pair.strip_prefix(variable)?.strip_prefix('='));
    tame(found?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::registry::manifest::Running;

    fn pairs(all: &[(&str, &str)]) -> Pairs {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn read(labels: &[(&str, &str)], annotations: &[(&str, &str)], tag: &str) -> Release {
        let env = vec!["AZAION_REVISION_X=no".to_owned(), "AZAION_REVISION=abc".to_owned()];
        let running = Running { labels: None, env: Some(env) };
        let host = Host::here();
        let bytes = format!(
            "{{\"os\":\"{}\",\"architecture\":\"{}\",\"created\":\"1970-01-01T00:00:00Z\"}}",
            host.os, host.architecture
        );
        let mut config = Config::parse(bytes.as_bytes()).unwrap();
        config.config = Some(running);
        let (labels, annotations) = (pairs(labels), pairs(annotations));
        let said = Said { manifest: Some(&annotations), index: None, labels: Some(&labels) };
        let wanted = Wanted { host: &host, revision_env: Some("AZAION_REVISION"), tag: Some(tag) };
        release(&Sha256::of(b""), &said, &config, wanted)
    }

    #[test]
    fn an_annotation_stands_above_the_label_that_came_from_below() {
        let one = read(&[(VERSION, "22.04"), (REVISION, "base")], &[(VERSION, "1.2.3")], "latest");
        assert_eq!((one.version.as_str(), one.revision.as_deref()), ("1.2.3", Some("base")));
        assert_eq!(one.published_ms, None, "1970 is no date");
        let epoch =
            [(DATA_EPOCH, "3"), (DATA_COMPATIBLE_FROM, "1.0.0"), (CREATED, "2026-01-02T03:04:05Z")];
        let one = read(&epoch, &[], "latest");
        assert_eq!((one.data_epoch, one.data_compatible_from.as_deref()), (Some(3), Some("1.0.0")));
        assert_eq!(one.published_ms, Some(1_767_323_045_000));
    }

    #[test]
    fn upd_5_labels_say_that_the_data_is_to_be_migrated() {
        let of = |labels: &[(&str, &str)]| read(labels, &[], "1.0.0").migration;
        let (up, down) = ((MIGRATE_UP, "[\"up\"]"), (MIGRATE_DOWN, "[\"down\"]"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[down]), None, "there is nothing to undo");
        assert_eq!(of(&[up]), Some(Migration { reversible: false, timeout_ms: 600_000 }));
        let both = [up, down, (MIGRATE_TIMEOUT, "90s")];
        assert_eq!(of(&both), Some(Migration { reversible: true, timeout_ms: 90_000 }));
        assert_eq!(
            read(&[], &[up], "1.0.0").migration,
            None,
            "an annotation is not with the image"
        );
    }

    #[test]
    fn an_image_without_a_version_is_its_tag_or_its_digest() {
        let version = |tag: &str, label: &str| read(&[(VERSION, label)], &[], tag).version;
        assert_eq!(version("10.0.3-rootless", ""), "10.0.3-rootless");
        assert_eq!(version("latest", ""), "sha256:e3b0c44298fc");
        assert_eq!(version("main-arm", " "), "sha256:e3b0c44298fc");
        assert_eq!(version("10", ""), "sha256:e3b0c44298fc", "a moving number is no version");
        assert_eq!(version("latest", "1.0\n2.0"), "sha256:e3b0c44298fc");
        assert_eq!(version("latest", &"1".repeat(300)), "sha256:e3b0c44298fc");
        assert_eq!(read(&[], &[], "x").revision.as_deref(), Some("abc"));
    }
}
