//! What a person calls a source: a path, `user@host:path`, or `ssh://user@host:port/path`.
//!
//! A colon before the first slash makes it another host, as for `scp`; `./a:b` is a path. Host and
//! user are letters that mean nothing to a shell or to `ssh`, and never begin with `-`.

use std::path::PathBuf;

use crate::exit::Refusal;

/// The longest host or user, bytes: that of a domain name.
const WORD_MAX: usize = 255;

/// Where flights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// On this host.
    Here(PathBuf),
    /// On another.
    There(Remote),
}

/// A place on another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// As whom; as `ssh` decides, if nothing is said.
    pub(super) user: Option<String>,
    /// Where; may be a name of `ssh`'s configuration.
    pub(super) host: String,
    /// The port; as `ssh` decides, if nothing is said.
    pub(super) port: Option<u16>,
    /// The path there; from the user's home on where it is relative.
    pub(super) path: String,
}

impl Target {
    /// What is called so.
    ///
    /// # Errors
    ///
    /// It is no place.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(rest) = text.strip_prefix("ssh://") {
            let (whom, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let (user, host) = user_and_host(whom);
            let (host, port) = match host.rsplit_once(':') {
                // Of [::1] the last colon is the address's.
                Some((host, port)) if !port.contains(']') => {
                    let number = port.parse::<u16>().ok().filter(|port| *port > 0);
                    let number = number.ok_or_else(|| wrong(text, &format!("{port:?} is no port")));
                    (host, Some(number?))
                }
                _ => (host, None),
            };
            let path = path.strip_prefix("/~/").unwrap_or(path);
            return Remote::new(text, user, host, port, path).map(Self::There);
        }
        let colon = match text.find("]:") {
            Some(bracket) => Some(bracket + 1),
            None => text.find(':'),
        };
        let Some((whom, path)) = colon.and_then(|at| text.split_at_checked(at)) else {
            return Ok(Self::Here(PathBuf::from(text)));
        };
        if whom.contains('/') {
            return Ok(Self::Here(PathBuf::from(text)));
        }
        let (user, host) = user_and_host(whom);
        let path = path.strip_prefix(':').unwrap_or(path);
        let path = path.strip_prefix("~/").unwrap_or(path);
        Remote::new(text, user, host, None, path).map(Self::There)
    }
}

fn user_and_host(whom: &str) -> (Option<&str>, &str) {
    whom.rsplit_once('@').map_or((None, whom), |(user, host)| (Some(user), host))
}

fn wrong(text: &str, why: &str) -> Refusal {
    Refusal::usage(format!(
        "{text:?} is no place to pull from: {why}\n  → write a path, user@host:path or \
         ssh://user@host:port/path"
    ))
}

impl Remote {
    fn new(
        text: &str,
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        path: &str,
    ) -> Result<Self, Refusal> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if !is_word(host, b"._-:%") {
            return Err(wrong(text, &format!("{host:?} is no host")));
        }
        if user.is_some_and(|user| !is_word(user, b"._-+@")) {
            return Err(wrong(text, &format!("{:?} is no user", user.unwrap_or_default())));
        }
        if path.is_empty() || path.contains(['\0', '\n', '\r']) {
            return Err(wrong(text, "it names no path"));
        }
        let (user, host) = (user.map(ToOwned::to_owned), host.to_owned());
        Ok(Self { user, host, port, path: path.to_owned() })
    }
}

/// Letters that mean nothing to anybody, and those that may stand in it too.
fn is_word(word: &str, others: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    (1..=WORD_MAX).contains(&word.len()) && !word.starts_with('-') && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_1_a_source_is_a_path_or_a_place_on_another_host() {
        let here = |path: &str| Ok(Target::Here(PathBuf::from(path)));
        let there = |user: Option<&str>, host: &str, port, path: &str| {
            let (user, host) = (user.map(ToOwned::to_owned), host.to_owned());
            Ok(Target::There(Remote { user, host, port, path: path.to_owned() }))
        };
        for (text, wanted) in [
            ("/mnt/recordings", here("/mnt/recordings")),
            ("./a:b", here("./a:b")),
            ("/a:b", here("/a:b")),
            ("plane:/var/lib", there(None, "plane", None, "/var/lib")),
            ("ops@10.0.0.7:rec", there(Some("ops"), "10.0.0.7", None, "rec")),
            ("ops@plane:~/rec", there(Some("ops"), "plane", None, "rec")),
            ("a@[fe80::1%eth0]:/x", there(Some("a"), "fe80::1%eth0", None, "/x")),
            ("ssh://ops@plane:2222/x y", there(Some("ops"), "plane", Some(2222), "/x y")),
            ("ssh://plane/~/rec", there(None, "plane", None, "rec")),
            ("ssh://[::1]:22/x", there(None, "::1", Some(22), "/x")),
            ("ssh://[::1]/x", there(None, "::1", None, "/x")),
            ("x:it's; $(rm)", there(None, "x", None, "it's; $(rm)")),
        ] {
            assert_eq!(Target::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_ssh_or_a_shell_could_take_for_something_else_is_refused() {
        for text in [
            "-oProxyCommand=id:/x",
            "ssh://-oProxyCommand=id/x",
            "-l@host:/x",
            "a b@host:/x",
            "ho$(st):/x",
            "host:",
            "ssh://host",
            "ssh://host:0/x",
            "ssh://host:99999/x",
            ":/x",
            "host:a\nb",
            "ssh:///x",
        ] {
            let refusal = Target::parse(text).expect_err(text);
            assert!(refusal.text.contains("is no place to pull from"), "{refusal:?}");
        }
    }
}
