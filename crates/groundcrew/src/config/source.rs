//! Where an app's releases come from.

use std::fs;
use std::path::PathBuf;

use groundcrew_drivers::source::registry;
use groundcrew_drivers::source::registry::client::PATIENCE;
use groundcrew_drivers::source::registry::platform::Host;
use groundcrew_drivers::source::registry::reference::{Reference, TAG_RULE, is_tag};
use groundcrew_drivers::source::registry::{Access, Keys, Notes};

use super::fragments;
use super::health;
use super::settings::Check;

#[cfg(test)]
mod tests;

/// Variables that are put into one text.
const VARIABLES_MAX: usize = 32;

/// Where releases come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A directory.
    Directory(Directory),
    /// A container registry.
    Registry(Box<registry::Settings>),
}

/// A directory of releases.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// The directory.
    pub(crate) path: PathBuf,
    /// The channel.
    pub(crate) channel: String,
    /// A minisign public key.
    pub(crate) minisign_key: Option<PathBuf>,
}

/// Builds it; what is wrong is noted in `check`.
pub(super) fn source(check: &mut Check<'_>, name: &str, source: &fragments::Source) -> Source {
    if source.kind.is_none() {
        let help = "write source = { kind = \"directory\", path = \"/srv/releases\" }";
        check.wrong(&["apps", name, "source"], "`kind` is missing", help);
    }
    only_its_own_keys(check, name, source);
    if source.kind.as_deref() == Some("oci") {
        return Source::Registry(Box::new(registry(check, name, source)));
    }
    let path = match &source.path {
        Some(text) => {
            let text = expanded(check, name, "path", text);
            check.path(&["apps", name, "source", "path"], &text)
        }
        None => {
            check.wrong(&["apps", name, "source"], "`path` is missing", "name the directory");
            PathBuf::new()
        }
    };
    let channel = source.channel.clone().unwrap_or_else(|| "stable".to_owned());
    let channel = expanded(check, name, "channel", &channel);
    check.name(&["apps", name, "source", "channel"], &channel);
    let minisign_key = file(check, name, "minisign_key", source.minisign_key.as_ref());
    Source::Directory(Directory { path, channel, minisign_key })
}

/// A key of the other kind would be ignored, and what it asks for not be done.
fn only_its_own_keys(check: &mut Check<'_>, name: &str, source: &fragments::Source) {
    let (of_directory, of_registry) = (
        [("path", source.path.is_some()), ("minisign_key", source.minisign_key.is_some())],
        [
            ("image", source.image.is_some()),
            ("cosign_key", source.cosign_key.is_some()),
            ("notes", source.notes.is_some()),
            ("pin_tag", source.pin_tag.is_some()),
            ("revision_env", source.revision_env.is_some()),
            ("platform", source.platform.is_some()),
            ("ca", source.ca.is_some()),
            ("plain_http", source.plain_http.is_some()),
            ("username", source.username.is_some()),
            ("password_file", source.password_file.is_some()),
            ("docker_config", source.docker_config.is_some()),
        ],
    );
    let (others, other): (&[(&str, bool)], &str) = match source.kind.as_deref() {
        Some("oci") => (&of_directory, "directory"),
        Some("directory") => (&of_registry, "oci"),
        _ => return,
    };
    for (key, _) in others.iter().filter(|(_, is_written)| *is_written) {
        let help = format!("leave it out, or write kind = {other:?}");
        check.wrong(&["apps", name, "source", key], format!("it is of kind {other:?}"), help);
    }
}

fn registry(check: &mut Check<'_>, name: &str, source: &fragments::Source) -> registry::Settings {
    let (access, channel) = image(check, name, source);
    let notes = source.notes.as_ref().map(|text| {
        if text == "referrer" {
            return Notes::Referrer;
        }
        let url = expanded(check, name, "notes", text);
        if let Err(why) = health::check_url(&url, &["http", "https"]) {
            let help = "write \"referrer\", or a URL with {version} in it";
            check.wrong(&["apps", name, "source", "notes"], why, help);
        }
        Notes::Url(url)
    });
    let platform = source.platform.as_ref().map_or_else(Host::here, |text| {
        Host::parse(text).unwrap_or_else(|| {
            let key = ["apps", name, "source", "platform"];
            check.wrong(&key, format!("{text:?} is no platform"), "write it as in \"linux/arm64\"");
            Host::here()
        })
    });
    if let Some(text) = &source.pin_tag {
        let example = text.replace("{pin}", "1");
        if !text.contains("{pin}") || !is_tag(&example) {
            let why = format!("{text:?} is no tag with {{pin}} in it");
            check.wrong(&["apps", name, "source", "pin_tag"], why, "write it as in \"{pin}-arm\"");
        }
    }
    registry::Settings {
        access,
        app: name.to_owned(),
        channel,
        pin_tag: source.pin_tag.clone(),
        platform,
        revision_env: source.revision_env.clone(),
        cosign_key: file(check, name, "cosign_key", source.cosign_key.as_ref()),
        notes,
    }
}

/// The repository with the way to ask it, and the tag that is followed.
fn image(check: &mut Check<'_>, name: &str, source: &fragments::Source) -> (Access, String) {
    let key = ["apps", name, "source", "image"];
    let help = "write it as in \"registry.lan/team/tiles\"";
    let text = source.image.as_ref().map(|text| expanded(check, name, "image", text));
    let read = match &text {
        Some(text) => Reference::parse(text).map_err(|error| error.to_string()),
        None => Err("`image` is missing".to_owned()),
    };
    let reference = read.unwrap_or_else(|why| {
        check.wrong(if text.is_some() { &key } else { &key[..3] }, why, help);
        nothing()
    });
    if reference.digest.is_some() {
        let why = "a digest never moves, so there is nothing to follow";
        check.wrong(&key, why, "leave it out; `groundcrew pin` holds an app at one");
    }
    let channel = source.channel.as_ref().map(|text| expanded(check, name, "channel", text));
    let channel = match (channel, reference.tag) {
        (Some(channel), Some(tag)) if channel != tag => {
            let why = format!("`image` ends with the tag {tag:?}, and `channel` is {channel:?}");
            check.wrong(&["apps", name, "source", "channel"], why, "leave one of them out");
            channel
        }
        (Some(channel), _) => channel,
        (None, tag) => tag.unwrap_or_else(|| "latest".to_owned()),
    };
    if !is_tag(&channel) {
        let why = format!("{channel:?} is no tag");
        check.wrong(&["apps", name, "source", "channel"], why, TAG_RULE);
    }
    let plain_http = source.plain_http.unwrap_or(false);
    let ca = file(check, name, "ca", source.ca.as_ref());
    if plain_http && ca.is_some() {
        let why = "no certificate is looked at where `plain_http` is true";
        check.wrong(&["apps", name, "source", "ca"], why, "leave one of them out");
    }
    let keys = keys(check, name, source);
    let repository = reference.repository;
    (Access { repository, plain_http, ca, keys, patience: PATIENCE }, channel)
}

/// Stands where none could be read; the configuration is refused anyway.
fn nothing() -> Reference {
    let repository = registry::reference::Repository {
        registry: "registry.invalid".to_owned(),
        path: "none".to_owned(),
    };
    Reference { repository, tag: None, digest: None }
}

fn keys(check: &mut Check<'_>, name: &str, source: &fragments::Source) -> Keys {
    let docker_config = file(check, name, "docker_config", source.docker_config.as_ref());
    let password_file = file(check, name, "password_file", source.password_file.as_ref());
    match (&source.username, password_file) {
        (None, None) => return Keys::Docker(docker_config),
        (Some(username), Some(password_file)) if !username.contains(':') => {
            if docker_config.is_some() {
                let why = "`username` says as whom already";
                let key = ["apps", name, "source", "docker_config"];
                check.wrong(&key, why, "leave one of them out");
            }
            return Keys::Given { username: username.clone(), password_file };
        }
        (Some(_), Some(_)) => {
            let key = ["apps", name, "source", "username"];
            check.wrong(&key, "a user's name has no `:`", "put the password into `password_file`");
        }
        (Some(_), None) => {
            let help = "put the password into a file of mode 0600, and name it";
            check.wrong(&["apps", name, "source"], "`password_file` is missing", help);
        }
        (None, Some(_)) => {
            let help = "name the user of that password";
            check.wrong(&["apps", name, "source"], "`username` is missing", help);
        }
    }
    Keys::Docker(None)
}

/// A file that has to be there.
fn file(
    check: &mut Check<'_>,
    name: &str,
    key: &'static str,
    text: Option<&String>,
) -> Option<PathBuf> {
    let text = text?;
    let key = ["apps", name, "source", key];
    let path = check.path(&key, text);
    if let Err(error) = fs::metadata(&path) {
        let help = match key[3] {
            "minisign_key" | "cosign_key" => "put the public key there",
            _ => "put the file there, or correct the path",
        };
        check.wrong(&key, format!("cannot read {text:?}: {error}"), help);
    }
    Some(path)
}

/// The text with the environment's variables in it.
fn expanded(check: &mut Check<'_>, name: &str, key: &'static str, text: &str) -> String {
    let key = ["apps", name, "source", key];
    let mut whole = String::new();
    let mut rest = text;
    for _ in 0..VARIABLES_MAX {
        let Some((before, after)) = rest.split_once("${") else { break };
        let Some((variable, after)) = after.split_once('}') else { break };
        whole.push_str(before);
        match std::env::var(variable) {
            Ok(value) => whole.push_str(&value),
            Err(_) => {
                let why = format!("the environment has no variable {variable:?}");
                let help = "set it for the agent and for whoever runs commands, or write its value";
                check.wrong(&key, why, help);
                return text.to_owned();
            }
        }
        rest = after;
    }
    whole.push_str(rest);
    whole
}
