//! What names an image: `registry.lan:5000/team/forge:10`, read as the field reads it.
//!
//! ```text
//! registry.lan:5000 / team/forge : 10 @ sha256:…
//! registry            path         tag  digest
//! ```
//!
//! - The first part is a registry if it has a `.` or a `:`, is `localhost`, or has a capital
//!   letter; else the name is Docker Hub's, and one of a single part lies below `library/` there.
//! - Names and passwords in front of the registry are refused: they would be shown and logged.

use std::fmt;

/// The registry of names without one.
pub const DOCKER_HUB: &str = "docker.io";

/// Who answers for it.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// Longest name of a repository, and of a registry, in bytes.
const NAME_MAX_BYTES: usize = 255;

/// Longest tag, in bytes.
pub const TAG_MAX_BYTES: usize = 128;

/// A repository: all images of one name in one registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    /// Host, with the port where one is written.
    pub registry: String,
    /// The name in it.
    pub path: String,
}

/// What is written behind `image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it lies.
    pub repository: Repository,
    /// The tag, if one is written.
    pub tag: Option<String>,
    /// The digest, if one is written.
    pub digest: Option<String>,
}

/// A text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image: {why}")]
pub struct Unreadable {
    text: String,
    why: String,
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    ///
    /// It is none, and why.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let no = |why: String| {
            // What stands before an `@` may be a password.
            let shown = text.rsplit_once('@').map_or(text, |(before, _)| {
                before.rsplit_once("://").map_or(before, |(scheme, _)| scheme)
            });
            Unreadable { text: shown.to_owned(), why }
        };
        if text.contains("://") {
            return Err(no("leave the scheme out".to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => {
                let why = "behind @ stands `sha256:` and 64 lower-case hexadecimal digits";
                return Err(Unreadable { text: "…".to_owned(), why: why.to_owned() });
            }
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if let Some(tag) = tag.as_deref().filter(|tag| !is_tag(tag)) {
            return Err(no(format!("{tag:?} is no tag: {TAG_RULE}")));
        }
        let repository = Repository::parse(name).map_err(no)?;
        Ok(Self { repository, tag, digest })
    }
}

/// How a tag is written.
pub const TAG_RULE: &str =
    "use letters, digits, `_`, `.` and `-`, at most 128, first a letter, a digit or `_`";

/// Whether this can be a tag.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(fits)
        && text.len() <= TAG_MAX_BYTES
}

/// Whether this is a digest that we can check: `sha256:` and 64 lower-case hexadecimal digits.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    crate::bundle::Sha256::parse(text).is_some()
}

impl Repository {
    fn parse(name: &str) -> Result<Self, String> {
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest.to_owned()),
            Some(_) => (DOCKER_HUB, name.to_owned()),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        let registry = match registry {
            "index.docker.io" | DOCKER_HUB_API => DOCKER_HUB,
            registry => registry,
        };
        let path = match path.contains('/') {
            false if registry == DOCKER_HUB => format!("library/{path}"),
            _ => path,
        };
        check_registry(registry)?;
        check_path(&path)?;
        Ok(Self { registry: registry.to_owned(), path })
    }

    /// Host and port that answer for it.
    #[must_use]
    pub fn api(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_API } else { &self.registry }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':'])
        || first == "localhost"
        || first.contains(|c: char| c.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Err(format!("{port:?} is no port"));
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|part| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !part.is_empty() && part.chars().all(fits) && !part.starts_with('-')
        }),
    };
    if !fits || registry.len() > NAME_MAX_BYTES {
        return Err(format!("{registry:?} is no host of a registry"));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > NAME_MAX_BYTES {
        let length = path.len();
        return Err(format!(
            "the name has {length} characters, at most {NAME_MAX_BYTES} are taken"
        ));
    }
    if path.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(format!("{path:?} has capital letters; names in a registry have none"));
    }
    match path.split('/').find(|part| !is_component(part)) {
        None => Ok(()),
        Some("") => Err("a part of the name is empty".to_owned()),
        Some(part) => Err(format!(
            "{part:?} is no part of a name: use a-z and 0-9, with `.`, `_`, `__` or `-` between them"
        )),
    }
}

/// `[a-z0-9]+` with one `.`, one or two `_`, or any number of `-` between them.
fn is_component(part: &str) -> bool {
    let is_separator = |c: char| "._-".contains(c);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || is_separator(c);
    let separators = part.split(|c: char| !is_separator(c)).filter(|run| !run.is_empty());
    let known =
        |run: &str| run == "." || run == "_" || run == "__" || run.chars().all(|c| c == '-');
    !part.is_empty()
        && part.chars().all(fits)
        && !part.starts_with(is_separator)
        && !part.ends_with(is_separator)
        && separators.into_iter().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_read_as_the_field_reads_them() {
        let long = format!("registry.lan/forge:10@{DIGEST}");
        let all: &[(&str, &str, &str, Option<&str>)] = &[
            ("alpine", "docker.io", "library/alpine", None),
            ("alpine:3.19", "docker.io", "library/alpine", Some("3.19")),
            ("grafana/loki", "docker.io", "grafana/loki", None),
            ("docker.io/alpine", "docker.io", "library/alpine", None),
            ("index.docker.io/library/alpine", "docker.io", "library/alpine", None),
            ("localhost/forge:x", "localhost", "forge", Some("x")),
            ("localhost:5000/a/b/c", "localhost:5000", "a/b/c", None),
            ("[::1]:5000/forge:1", "[::1]:5000", "forge", Some("1")),
            ("[::1]/forge", "[::1]", "forge", None),
            ("Registry/forge", "Registry", "forge", None),
            (
                "127.0.0.1:5066/a__b/c---d/e.f_g:_x",
                "127.0.0.1:5066",
                "a__b/c---d/e.f_g",
                Some("_x"),
            ),
            (&long, "registry.lan", "forge", Some("10")),
        ];
        for (text, registry, path, tag) in all {
            let read = Reference::parse(text).unwrap_or_else(|error| panic!("{error}"));
            let repository =
                Repository { registry: (*registry).to_owned(), path: (*path).to_owned() };
            assert_eq!((read.repository, read.tag.as_deref()), (repository, *tag), "{text}");
        }
        assert_eq!(Reference::parse(&long).unwrap().digest.as_deref(), Some(DIGEST));
        let hub = Reference::parse("alpine").unwrap().repository;
        assert_eq!(
            (hub.api(), hub.to_string().as_str()),
            (DOCKER_HUB_API, "docker.io/library/alpine")
        );
    }

    #[test]
    fn what_names_no_image_is_refused_with_the_way_to_write_it() {
        let long = format!("registry.lan/{}", "a".repeat(256));
        let tag = format!("alpine:{}", "1".repeat(129));
        let all: &[(&str, &str)] = &[
            ("", "a part of the name is empty"),
            ("registry.lan/", "a part of the name is empty"),
            ("registry.lan//forge", "a part of the name is empty"),
            ("https://registry.lan/forge", "leave the scheme out"),
            ("registry.lan/Forge", "has capital letters"),
            ("Forge", "has capital letters"),
            ("registry.lan/for ge", "is no part of a name"),
            ("registry.lan/a..b", "is no part of a name"),
            ("registry.lan/-a", "is no part of a name"),
            ("registry.lan/../etc", "is no part of a name"),
            ("registry.lan:0/forge", "is no port"),
            ("registry.lan:99999/forge", "is no port"),
            ("[::g]:5000/forge", "is no host"),
            ("registry..lan/forge", "is no host"),
            ("registry.lan/forge:", "is no tag"),
            ("registry.lan/forge:a b", "is no tag"),
            ("forge@sha256:12", "64 lower-case"),
            (&long, "at most 255"),
            (&tag, "is no tag"),
        ];
        for (text, why) in all {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = Reference::parse("joe:hunter2@registry.lan/forge").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
