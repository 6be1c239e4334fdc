//! With what an app is run: user, environment, limits, and the command with its placeholders.
//!
//! The settings travel in a plan as JSON ([`groundcrew_engine::plan::Procedure::launch`]) and are
//! read by drivers only. Fields that a newer agent wrote are skipped. Values of the environment
//! are secrets: no error and no log has one.
//!
//! ```text
//! {"user": "tiles", "group": null, "groups": [], "env": {"NAME": "value"},
//!  "env_file": {"path": "/etc/…/tiles.env"}, "limits": {"nofile": 1024},
//!  "log": {"bytes": 8388608, "files": 5}, "secrets": ["db"]}
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use groundcrew_engine::noun::VolumeName;
use groundcrew_engine::plan::Volume;
use serde::Deserialize;

use crate::command::PATH;
use crate::keeper;
use crate::keeper::spec::{Limit, Limited, LogLimits, User};
use crate::runtimes::secrets::Secrets;

#[cfg(test)]
mod tests;

/// Largest environment file, in bytes: what a keeper takes is bounded as well.
const ENV_FILE_MAX_BYTES: u64 = 256 * 1024;

/// Settings that an app is run with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Launch {
    user: Option<String>,
    group: Option<String>,
    groups: Vec<String>,
    env: BTreeMap<String, String>,
    env_file: Option<EnvFile>,
    limits: BTreeMap<String, u64>,
    log: Option<LogLimits>,
    secrets: Vec<String>,
}

/// The file is read anew at each start.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum EnvFile {
    Path(PathBuf),
    With { path: PathBuf },
}

/// The settings cannot be used as they are.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They do not parse.
    #[error("the launch settings are not understood")]
    Settings(#[source] serde_json::Error),
    /// The user is not known here.
    #[error("cannot become the app's user")]
    User(#[source] keeper::Error),
    /// A limit is of something unknown.
    #[error("there is no limit called {name:?}")]
    Limit {
        /// Its name.
        name: String,
    },
    /// The environment file could not be read.
    #[error("cannot read the environment file {}", path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The environment file is too large.
    #[error("{} has more than {limit} bytes", path.display())]
    EnvSize {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// A line of the environment file is not understood. The line itself may be a secret.
    #[error("line {line} of {} is not NAME=value", path.display())]
    EnvLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A command has a placeholder that means nothing here.
    #[error("{{{name}}} in {word:?} is no placeholder known here; there are {known}")]
    Placeholder {
        /// Its name.
        name: String,
        /// The word it stands in.
        word: String,
        /// Those that there are.
        known: String,
    },
}

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `{app}`.
    pub app: &'a str,
    /// `{release}`: the directory with the release's content.
    pub files: &'a Path,
    /// `{volume.NAME}`.
    pub volumes: &'a BTreeMap<VolumeName, Volume>,
    /// `{secret.NAME}`: the path of its file.
    pub secrets: &'a Secrets,
}

impl Launch {
    /// Reads the settings; none at all are the defaults.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn read(value: &serde_json::Value) -> Result<Self, Error> {
        if value.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(value).map_err(Error::Settings)
    }

    /// Whom to run as; `None`: ourselves.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        let name = self.user.clone()?;
        Some(User { name, group: self.group.clone(), groups: self.groups.clone() })
    }

    /// User and group ids of whom to run as; `None`: ourselves.
    ///
    /// # Errors
    /// [`Error::User`].
    pub fn ids(&self) -> Result<Option<(u32, u32)>, Error> {
        self.user().map(|user| keeper::ids_of(&user).map_err(Error::User)).transpose()
    }

    /// Resource limits, soft and hard alike.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn limits(&self) -> Result<Vec<Limit>, Error> {
        let one = |(name, value): (&String, &u64)| {
            let resource = Limited::deserialize(serde_json::Value::String(name.clone()))
                .map_err(|_| Error::Limit { name: name.clone() })?;
            Ok(Limit { resource, soft: Some(*value), hard: Some(*value) })
        };
        self.limits.iter().map(one).collect()
    }

    /// Names of the secrets that the host makes for the app.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    /// Bounds of the log.
    #[must_use]
    pub fn log(&self) -> LogLimits {
        self.log.unwrap_or_default()
    }

    /// The environment: the file's as it is now, then the settings' own.
    ///
    /// In the settings' own values `{secret.NAME}` stands for the path of a secret; other braces
    /// stay as they are.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn env(&self, secrets: &Secrets) -> Result<BTreeMap<String, String>, Error> {
        let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        if let Some(EnvFile::Path(path) | EnvFile::With { path }) = &self.env_file {
            env.extend(read_env_file(path)?);
        }
        for (name, value) in &self.env {
            let mut value = value.clone();
            for secret in secrets.names() {
                let path = secrets.path(secret).unwrap_or_default();
                value = value.replace(&format!("{{secret.{secret}}}"), &path.to_string_lossy());
            }
            env.insert(name.clone(), value);
        }
        Ok(env)
    }
}

fn read_env_file(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let failed = |source| Error::EnvFile { path: path.into(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(ENV_FILE_MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > ENV_FILE_MAX_BYTES {
        return Err(Error::EnvSize { path: path.into(), limit: ENV_FILE_MAX_BYTES });
    }
    let mut env = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || Error::EnvLine { path: path.into(), line: index + 1 };
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong());
        }
        env.insert(name.to_owned(), unquoted(value.trim()).to_owned());
    }
    Ok(env)
}

/// Without the quotes around all of it, if there are any.
fn unquoted(value: &str) -> &str {
    let between = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    between('"').or_else(|| between('\'')).unwrap_or(value)
}

/// A command with its placeholders filled in. A relative program with a slash, or one that lies in
/// the release's content, is the release's; any other bare name is looked for in `PATH`.
///
/// # Errors
/// [`Error::Placeholder`].
pub fn command(words: &[String], names: &Names<'_>) -> Result<Vec<String>, Error> {
    let mut filled: Vec<String> =
        words.iter().map(|word| fill(word, names)).collect::<Result<_, _>>()?;
    if let Some(program) = filled.first_mut() {
        let own = names.files.join(&*program);
        if program.contains('/') || own.is_file() {
            *program = own.to_string_lossy().into_owned();
        }
    }
    Ok(filled)
}

/// `{name}` is a placeholder; braces around anything else, as in JSON, stay as they are.
fn fill(word: &str, names: &Names<'_>) -> Result<String, Error> {
    let is_name = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(plain)
    };
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after.split_once('}') {
            Some((name, behind)) if is_name(name) => {
                filled.push_str(&value(name, word, names)?);
                rest = behind;
            }
            _ => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(name: &str, word: &str, names: &Names<'_>) -> Result<String, Error> {
    let volume = |name: &str| names.volumes.get(&VolumeName::from(name));
    let secret = name.strip_prefix("secret.").and_then(|name| names.secrets.path(name));
    if let Some(path) = secret {
        return Ok(path.to_string_lossy().into_owned());
    }
    match (name, name.strip_prefix("volume.").and_then(volume)) {
        ("app", _) => Ok(names.app.to_owned()),
        ("release", _) => Ok(names.files.to_string_lossy().into_owned()),
        (_, Some(volume)) => Ok(volume.path.clone()),
        (_, None) => {
            let volumes = names.volumes.keys().map(|name| format!(", {{volume.{name}}}"));
            let secrets = names.secrets.names().iter().map(|name| format!(", {{secret.{name}}}"));
            let known = volumes.chain(secrets).collect::<String>();
            let known = format!("{{app}}, {{release}}{known}");
            Err(Error::Placeholder { name: name.to_owned(), word: word.to_owned(), known })
        }
    }
}
