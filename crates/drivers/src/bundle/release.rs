//! `release.toml`: what a release says of itself.
//!
//! Unknown keys are refused, so that a misspelled one is not silently without effect. A file of
//! another schema is refused by its number before anything else of it is read. Every error names
//! file, line and column.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use super::Error;

/// The schema of `release.toml` that this version reads and writes.
pub const SCHEMA: u32 = 1;

/// How long an app's name or a version may be, in bytes: they are directory names with `.tar.zst`.
const NAME_BYTES_MAX: usize = 128;

/// The longest duration that a bundle may ask for.
const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(String);

/// What a release says of itself. Every field is explained in `docs/reference/release-toml.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseToml {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The app.
    #[serde(deserialize_with = "name")]
    pub app: String,
    /// The version, also the name of the bundle.
    #[serde(deserialize_with = "name")]
    pub version: String,
    /// The commit that it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// When it was published.
    #[serde(
        default,
        deserialize_with = "timestamp",
        serialize_with = "write_timestamp",
        skip_serializing_if = "Option::is_none"
    )]
    pub published: Option<jiff::Timestamp>,
    /// `<architecture>-<system>`, or `any`.
    pub platform: String,
    /// The generation of its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_epoch: Option<u64>,
    /// The oldest version that can read this one's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_compatible_from: Option<String>,
    /// The digest of the canonical list of `files/`.
    #[serde(default = "Sha256::unsealed")]
    pub content: Sha256,
    /// Where the notes are: `notes/`, if there are any.
    #[serde(default, deserialize_with = "notes", skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The digest of the canonical list of `notes/`; checked if it is there, and it has to be there
    /// where a signature is asked for and there are notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_content: Option<Sha256>,
    /// How it is started.
    pub run: Run,
    /// How it changes the data of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
}

/// How a release is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Program and arguments; a relative program is one in `files/`. May hold `{volume.NAME}`.
    #[serde(deserialize_with = "command")]
    pub command: Vec<String>,
}

/// How a release changes the data of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The command that makes the data this release's.
    #[serde(deserialize_with = "command")]
    pub up: Vec<String>,
    /// The command that makes it the older release's again; without one there is no way back but
    /// the snapshot.
    #[serde(default, deserialize_with = "maybe_command", skip_serializing_if = "Option::is_none")]
    pub down: Option<Vec<String>>,
    /// How long either may take.
    #[serde(
        default = "default_timeout",
        deserialize_with = "duration",
        serialize_with = "write_duration"
    )]
    pub timeout: Duration,
}

pub(crate) fn default_timeout() -> Duration {
    Duration::from_secs(600)
}

impl ReleaseToml {
    /// Reads a `release.toml`; `path` is for its errors.
    ///
    /// # Errors
    /// `Refused`, with line and column.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<ReleaseToml, Error> {
        let release = ReleaseToml::parse_unsealed(path, bytes)?;
        if release.content == Sha256::unsealed() {
            let message = "there is no `content`; `groundcrew bundle seal` puts it in".to_owned();
            return Err(at(path, bytes, 0, message));
        }
        Ok(release)
    }

    /// The same for one that is about to be sealed: it may lack `content`.
    pub(super) fn parse_unsealed(path: &Path, bytes: &[u8]) -> Result<ReleaseToml, Error> {
        parse_schema(path, bytes)?;
        parse(path, bytes)
    }

    /// A release to be written by [`super::write()`], which puts the digests in.
    pub fn draft(app: &str, version: &str, command: Vec<String>) -> ReleaseToml {
        ReleaseToml {
            schema: SCHEMA,
            app: app.to_owned(),
            version: version.to_owned(),
            revision: None,
            published: None,
            platform: "any".to_owned(),
            data_epoch: None,
            data_compatible_from: None,
            content: Sha256::of(b""),
            notes: None,
            notes_content: None,
            run: Run { command },
            migrate: None,
        }
    }

    /// True if the release runs on a platform such as `x86_64-linux`.
    pub fn fits(&self, platform: &str) -> bool {
        self.platform == "any" || self.platform == platform
    }
}

/// Refuses a file of another schema by its number.
pub(super) fn parse_schema(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Schema {
        schema: i64,
    }
    let found = parse::<Schema>(path, bytes)?.schema;
    if found == i64::from(SCHEMA) {
        return Ok(());
    }
    Err(Error::Schema { path: path.to_owned(), found, expected: SCHEMA })
}

/// Reads any TOML file of ours, with line and column in its errors.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = "this is not UTF-8".to_owned();
            return Err(at(path, bytes, error.valid_up_to(), message));
        }
    };
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(path, bytes, offset, error.message().to_owned())
    })
}

fn at(path: &Path, bytes: &[u8], offset: usize, message: String) -> Error {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(last).chars().count() + 1;
    Error::Toml { path: path.to_owned(), line, column, message }
}

/// Whether a text can be the name of an app, a version or a channel: one plain directory name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with(['.', '-'])
        || name.ends_with(".partial")
        || !name.bytes().all(good)
    {
        return Err(format!(
            "{name:?} has to be 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_`, `+` or `-`, not \
             begin with `.` or `-` and not end in `.partial`"
        ));
    }
    Ok(())
}

impl Sha256 {
    /// What stands for a digest that is not known yet; no digest is spelled so.
    fn unsealed() -> Sha256 {
        Sha256(String::new())
    }

    /// The digest of bytes.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256::from_hasher(sha2::Sha256::new_with_prefix(bytes))
    }

    /// Reads `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Sha256> {
        let digits = text.strip_prefix("sha256:")?;
        let good = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 64 && digits.bytes().all(good)).then(|| Sha256(text.to_owned()))
    }

    pub(super) fn from_hasher(hasher: sha2::Sha256) -> Sha256 {
        Sha256(format!("sha256:{}", hex(&hasher.finalize())))
    }

    /// As it is spelled everywhere.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        let text = String::deserialize(deserializer)?;
        Sha256::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} has to be `sha256:` and 64 lower-case hexadecimal digits"
            ))
        })
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(D::Error::custom)?;
    Ok(name)
}

fn notes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text != "notes/" && text != "notes" {
        return Err(D::Error::custom(format!("{text:?} has to be `notes/`")));
    }
    Ok(Some(text))
}

fn timestamp<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<jiff::Timestamp>, D::Error> {
    let text = toml::value::Datetime::deserialize(deserializer)?.to_string();
    let read = text.parse().map_err(|_| {
        D::Error::custom(format!("{text} has to be a date, a time and an offset such as Z"))
    });
    read.map(Some)
}

fn write_timestamp<S: Serializer>(
    time: &Option<jiff::Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(time) = time else { return serializer.serialize_none() };
    let text = time.to_string();
    let datetime = text.parse::<toml::value::Datetime>().map_err(serde::ser::Error::custom)?;
    datetime.serialize(serializer)
}

fn write_duration<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}ms", span.as_millis()))
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(D::Error::custom("a command is a program and its arguments")),
    }
}

fn maybe_command<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    command(deserializer).map(Some)
}

/// A whole number and `ms`, `s`, `m`, `h` or `d`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} has to be a whole number and `ms`, `s`, `m`, `h` or `d`, above 0 and at \
             most 7d"
        ))
    })
}

pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let span = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(unit_ms)?);
    (!span.is_zero() && span <= DURATION_MAX).then_some(span)
}
