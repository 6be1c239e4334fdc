//! As whom a registry is asked: what the configuration names, or what `docker login` left.
//!
//! It is read anew each time a registry wants to know, so a password that was changed counts at
//! once. The order is Docker's: the helper that `credHelpers` names for the registry, else the one
//! in `credsStore`, else `auths`; a helper that knows no login leaves `auths` to be asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::error::Error;
use super::read_file;
use super::reference::DOCKER_HUB;
use super::secret::Secret;
use crate::command::{self, End, Order};

/// What a docker configuration may have, in bytes.
const CONFIG_MAX_BYTES: u64 = 1024 * 1024;

/// A password or token, in bytes.
const SECRET_MAX_BYTES: u64 = 16 * 1024;

/// How long a credential helper may take; some ask a cloud.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);

/// Under this name Docker Hub's login is kept.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The user that helpers name when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a helper's environment is.
type Env = BTreeMap<String, String>;

/// Where the login comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A user, and the file with the password.
    Given {
        /// The user.
        username: String,
        /// The file; white space at its end does not count.
        password_file: PathBuf,
    },
    /// What `docker login` wrote; `None`: where Docker keeps it.
    Docker(Option<PathBuf>),
}

/// Who we are, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who we are.
    pub identity: Identity,
    /// Where that was found, or looked for.
    pub from: String,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody.
    Anonymous,
    /// A user with a password.
    Basic(String, Secret),
    /// Whoever has this token.
    Token(Secret),
}

impl Keys {
    /// Who we are to this registry.
    ///
    /// # Errors
    ///
    /// A file or a helper of this host does not say it.
    pub fn login(&self, registry: &str) -> Result<Login, Error> {
        match self {
            Self::Given { username, password_file } => {
                let bytes = read_file(password_file, SECRET_MAX_BYTES)?;
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                let identity = Identity::Basic(username.clone(), Secret::new(text));
                Ok(Login { identity, from: format!("{username} of {}", password_file.display()) })
            }
            Self::Docker(Some(path)) => by_docker(path, registry, &command::base_env()),
            Self::Docker(None) => match docker_config() {
                Some(path) if path.exists() => by_docker(&path, registry, &command::base_env()),
                Some(path) => Ok(nobody(format!("there is no {}", path.display()))),
                None => Ok(nobody("no docker configuration is named".to_owned())),
            },
        }
    }
}

fn nobody(from: String) -> Login {
    Login { identity: Identity::Anonymous, from }
}

/// Where Docker keeps its configuration.
fn docker_config() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let root = || rustix::process::geteuid().is_root().then(|| PathBuf::from("/root"));
    absolute("DOCKER_CONFIG")
        .or_else(|| Some(absolute("HOME").or_else(root)?.join(".docker")))
        .map(|dir| dir.join("config.json"))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

fn by_docker(path: &Path, registry: &str, env: &Env) -> Result<Login, Error> {
    let bytes = read_file(path, CONFIG_MAX_BYTES)?;
    let here = |why: String| Error::Here { path: path.to_owned(), why };
    // The parser's own words may quote a secret.
    let config: DockerConfig = match bytes.trim_ascii() {
        [] => DockerConfig::default(),
        bytes => serde_json::from_slice(bytes).map_err(|error| {
            here(format!("it cannot be read as a docker configuration at line {}", error.line()))
        })?,
    };
    let helper = find(&config.cred_helpers, registry).or(config.creds_store.as_ref());
    if let Some(helper) = helper.filter(|helper| !helper.is_empty())
        && let Some(identity) = ask_helper(helper, registry, env)?
    {
        return Ok(Login { identity, from: format!("docker-credential-{helper}") });
    }
    let from = path.display().to_string();
    let Some(entry) = find(&config.auths, registry) else {
        return Ok(nobody(format!("{from} has no login for it")));
    };
    let identity =
        identity(entry).map_err(|why| here(format!("the login for {registry} {why}")))?;
    Ok(Login { identity, from })
}

/// The entry of a registry, under any of the names that it is kept under.
fn find<'a, T>(all: &'a BTreeMap<String, T>, registry: &str) -> Option<&'a T> {
    if registry == DOCKER_HUB {
        let names = [DOCKER_HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io"];
        if let Some(found) = names.iter().find_map(|name| all.get(*name)) {
            return Some(found);
        }
    }
    all.get(registry).or_else(|| {
        let host = |key: &str| {
            let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        all.iter().find(|(key, _)| host(key) == registry).map(|(_, entry)| entry)
    })
}

fn identity(entry: &Entry) -> Result<Identity, &'static str> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = given(&entry.identitytoken) {
        return Ok(Identity::Token(Secret::new(token)));
    }
    if let Some(auth) = given(&entry.auth) {
        let why = "is not base64 of `user:password`";
        let bytes = STANDARD.decode(auth.trim()).map_err(|_| why)?;
        let text = String::from_utf8(bytes).map_err(|_| why)?;
        let (user, password) = text.trim_end_matches('\0').split_once(':').ok_or(why)?;
        return Ok(Identity::Basic(user.to_owned(), Secret::new(password)));
    }
    match (given(&entry.username), given(&entry.password)) {
        (Some(user), Some(password)) => Ok(Identity::Basic(user, Secret::new(password))),
        _ => Ok(Identity::Anonymous),
    }
}

/// Asks `docker-credential-NAME`; `None`: it knows no login.
fn ask_helper(helper: &str, registry: &str, env: &Env) -> Result<Option<Identity>, Error> {
    let program = format!("docker-credential-{helper}");
    let here = |why: String| Error::Here { path: PathBuf::from(&program), why };
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(here("that is no name of a credential helper".to_owned()));
    }
    let server = if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
    let argv = [program.clone(), "get".to_owned()];
    let report = command::run(&Order {
        argv: &argv,
        cwd: Path::new("/"),
        env,
        input: server.as_bytes(),
        user: None,
        timeout: HELPER_TIMEOUT,
    })
    .map_err(|error| {
        here(format!("{}; install it, or log in again without it", crate::causes::causes(&error)))
    })?;
    if report.end != End::Code(0) {
        if report.output.contains("credentials not found") {
            return Ok(None);
        }
        // What it said is not repeated: it may be half of an answer.
        let how = match report.end {
            End::Code(code) => format!("it ended with exit code {code}"),
            End::Signal(signal) => format!("it was killed by signal {signal}"),
            End::TimedOut => format!("it was not done after {} s", HELPER_TIMEOUT.as_secs()),
        };
        return Err(here(format!("{how}; `echo {server} | {program} get` says why")));
    }
    let answer: Answer = serde_json::from_str(report.output.trim())
        .map_err(|_| here("its answer has no Username and Secret".to_owned()))?;
    let secret = Secret::new(answer.secret);
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Identity::Token(secret),
        _ => Identity::Basic(answer.username, secret),
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn put(path: &Path, text: &str) {
        let mut file = fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    fn login(text: &str, registry: &str) -> Result<Identity, String> {
        login_with(text, registry, &command::base_env())
    }

    fn login_with(text: &str, registry: &str, env: &Env) -> Result<Identity, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        put(&path, text);
        let login = by_docker(&path, registry, env);
        login.map(|login| login.identity).map_err(|error| error.to_string())
    }

    fn basic(user: &str, password: &str) -> Result<Identity, String> {
        Ok(Identity::Basic(user.to_owned(), Secret::new(password)))
    }

    #[test]
    fn each_registry_has_the_login_that_docker_wrote_for_it() {
        // joe:hunter2, ann:a:b
        let text = r#"{ "HttpHeaders": {}, "auths": {
            "registry.lan:5000": { "auth": "am9lOmh1bnRlcjI=" },
            "https://other.lan/v2/": { "username": "ann", "password": "x" },
            "token.lan": { "auth": "am9lOmh1bnRlcjI=", "identitytoken": "t" },
            "empty.lan": {},
            "https://index.docker.io/v1/": { "auth": "YW5uOmE6Yg==" } } }"#;
        assert_eq!(login(text, "registry.lan:5000"), basic("joe", "hunter2"));
        assert_eq!(login(text, "other.lan"), basic("ann", "x"));
        assert_eq!(login(text, "docker.io"), basic("ann", "a:b"));
        assert_eq!(login(text, "token.lan"), Ok(Identity::Token(Secret::new("t"))));
        for nobody in ["empty.lan", "registry.lan", "lan"] {
            assert_eq!(login(text, nobody), Ok(Identity::Anonymous), "{nobody}");
        }
        assert_eq!(login("{}", "registry.lan"), Ok(Identity::Anonymous));
    }

    #[test]
    fn what_cannot_be_read_is_said_without_the_secret() {
        let cut = r#"{ "auths": { "a.lan": { "password": "hunter2", "username": 5 } } }"#;
        let error = login(cut, "a.lan").unwrap_err();
        assert!(error.contains("config.json") && error.contains("line 1"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let odd = r#"{ "auths": { "a.lan": { "auth": "hunter2!" } } }"#;
        let error = login(odd, "a.lan").unwrap_err();
        assert!(error.contains("the login for a.lan is not base64"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let secret = format!("{:?}", basic("joe", "hunter2"));
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn a_helper_is_asked_for_its_registry_and_auths_for_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("docker-credential-gc");
        put(
            &helper,
            "#!/bin/sh\nread server\ncase \"$1 $server\" in\n\
             'get one.lan') echo '{\"ServerURL\":\"one.lan\",\"Username\":\"joe\",\"Secret\":\"s1\"}' ;;\n\
             'get two.lan') echo '{\"Username\":\"<token>\",\"Secret\":\"s2\"}' ;;\n\
             'get bad.lan') echo 'hunter2' ; exit 3 ;;\n\
             'get odd.lan') echo '{\"hunter2\":1}' ;;\n\
             *) echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n",
        );
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let mut env = command::base_env();
        env.insert("PATH".to_owned(), format!("{}:{}", dir.path().display(), command::PATH));
        let text = r#"{ "credsStore": "gc", "credHelpers": { "gone.lan": "no-such-helper", "x.lan": "../x" },
            "auths": { "three.lan": { "auth": "am9lOmh1bnRlcjI=" } } }"#;
        let login = |text: &str, registry: &str| login_with(text, registry, &env);
        assert_eq!(login(text, "one.lan"), basic("joe", "s1"));
        assert_eq!(login(text, "two.lan"), Ok(Identity::Token(Secret::new("s2"))));
        assert_eq!(login(text, "three.lan"), basic("joe", "hunter2"));
        assert_eq!(login(text, "four.lan"), Ok(Identity::Anonymous));
        for (registry, why) in [
            ("bad.lan", "exit code 3; `echo bad.lan | docker-credential-gc get` says why"),
            ("odd.lan", "no Username and Secret"),
            ("gone.lan", "install it, or log in again"),
            ("x.lan", "no name of a credential helper"),
        ] {
            let error = login(text, registry).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_file_ends_where_its_text_ends() {
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("password");
        put(&password_file, "hunter2\n");
        let keys = Keys::Given { username: "joe".to_owned(), password_file };
        let login = keys.login("a.lan").unwrap();
        assert_eq!(Ok(login.identity), basic("joe", "hunter2"));
        let gone = Keys::Given { username: "joe".to_owned(), password_file: "/no/such".into() };
        assert_eq!(gone.login("a.lan").unwrap_err().to_string(), "cannot read /no/such");
    }
}
