//! What a registry wants before it answers: a password, or a token that its token service gives.
//!
//! Nothing is told before it is asked for. The challenge of an answer with status 401 names the way;
//! it is remembered, so later questions are asked right away. A token is used until shortly before
//! it ends, and asked for again once if a registry refuses it earlier.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use super::error::Error;
use super::http::{Answer, Ask, Http, origin, shown};
use super::keys::{Identity, Keys, Login};
use super::secret::Secret;

/// An answer of a token service, in bytes.
const TOKEN_MAX_BYTES: usize = 64 * 1024;

/// A token for a header, in bytes.
const TOKEN_HEADER_MAX_BYTES: usize = 32 * 1024;

/// How long a token holds if the service does not say; the standard's own.
const TOKEN_USUAL: Duration = Duration::from_secs(60);

/// A token is not believed for longer, whatever the service says.
const TOKEN_MOST: Duration = Duration::from_secs(3_600);

/// So long before its end a token is not used any more.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Pull,
    Push,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Pull => "read",
            Self::Push => "write",
        }
    }

    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// The way that a registry named.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Clone, Debug)]
struct Token {
    value: Secret,
    until: Instant,
}

/// Who we are to one repository, and how we say so.
#[derive(Debug)]
pub(super) struct Auth {
    keys: Keys,
    registry: String,
    path: String,
    way: Option<Way>,
    pull: Option<Token>,
    push: Option<Token>,
}

impl Auth {
    pub(super) fn new(keys: Keys, registry: &str, path: &str) -> Self {
        let (registry, path) = (registry.to_owned(), path.to_owned());
        Self { keys, registry, path, way: None, pull: None, push: None }
    }

    /// The header that says who we are, as far as the registry wants to know.
    pub(super) fn header(
        &mut self,
        http: &mut Http,
        doing: Doing,
    ) -> Result<Option<String>, Error> {
        match self.way.clone() {
            None => Ok(None),
            Some(Way::Basic) => {
                let login = self.keys.login(&self.registry)?;
                match &login.identity {
                    Identity::Basic(user, password) => Ok(Some(basic(user, password))),
                    Identity::Anonymous | Identity::Token(_) => {
                        let why = format!("it wants a user and a password; {}", way_out(&login));
                        Err(self.denied(doing, why))
                    }
                }
            }
            Some(Way::Bearer { realm, service }) => {
                let now = Instant::now();
                let slot = if doing == Doing::Push { &self.push } else { &self.pull };
                let token = match slot.as_ref().filter(|token| token.until > now) {
                    Some(token) => token.clone(),
                    None => self.token(http, doing, &realm, service.as_deref())?,
                };
                let header = format!("Bearer {}", token.value.expose());
                let slot = if doing == Doing::Push { &mut self.push } else { &mut self.pull };
                *slot = Some(token);
                Ok(Some(header))
            }
        }
    }

    /// Learns from an answer with status 401 what is wanted; the question may be asked again.
    pub(super) fn learn(&mut self, answer: &Answer, doing: Doing) -> Result<(), Error> {
        let all: Vec<Challenge> = answer.all("www-authenticate").flat_map(challenges).collect();
        let named = |scheme: &str| all.iter().find(|one| one.scheme.eq_ignore_ascii_case(scheme));
        self.way = if let Some(bearer) = named("bearer") {
            let realm = bearer.get("realm").unwrap_or_default();
            let service = bearer.get("service").map(str::to_owned);
            self.check_realm(&answer.url, realm, doing)?;
            Some(Way::Bearer { realm: realm.to_owned(), service })
        } else if named("basic").is_some() {
            Some(Way::Basic)
        } else {
            let schemes: Vec<&str> = all.iter().map(|one| one.scheme.as_str()).collect();
            let wants =
                if schemes.is_empty() { "nothing we know".into() } else { schemes.join(", ") };
            let why = format!("it wants {wants}; groundcrew knows Basic and Bearer");
            return Err(self.denied(doing, why));
        };
        (self.pull, self.push) = (None, None);
        Ok(())
    }

    /// The registry refuses who we are.
    pub(super) fn refused(&self, doing: Doing, answer: &Answer) -> Error {
        let login = self.keys.login(&self.registry);
        let who = match &login {
            Ok(Login { identity: Identity::Anonymous, from }) => format!("nobody ({from})"),
            Ok(login) => format!("the login of {}", login.from),
            Err(_) => "the login".to_owned(),
        };
        let (status, path) = (answer.status, &self.path);
        let registry = &self.registry;
        let why = format!(
            "it answers {status} to {who}; `docker login {registry}` as somebody who may {} {path}",
            doing.words()
        );
        self.denied(doing, why)
    }

    fn denied(&self, doing: Doing, why: String) -> Error {
        Error::Denied { registry: self.registry.clone(), doing: doing.words(), why }
    }

    /// A token service gets our password: it has to be encrypted, unless the registry itself is not.
    fn check_realm(&self, asked: &str, realm: &str, doing: Doing) -> Result<(), Error> {
        let (Some(asked), Some(service)) = (origin(asked), origin(realm)) else {
            let why = format!("its token service {:?} is no address", shown(realm));
            return Err(self.denied(doing, why));
        };
        let fine = service.0 == "https" || (service.0 == "http" && asked.0 == "http");
        if fine {
            return Ok(());
        }
        let why = format!("its token service {} is not encrypted", shown(realm));
        Err(self.denied(doing, why))
    }

    fn token(
        &self,
        http: &mut Http,
        doing: Doing,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Token, Error> {
        let login = self.keys.login(&self.registry)?;
        let scope = format!("repository:{}:{}", self.path, doing.actions());
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(service.map(|service| ("service", service)));
        let answer = match &login.identity {
            Identity::Token(token) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "groundcrew"),
                    ("refresh_token", token.expose()),
                ]);
                let body = form(&fields);
                let ask = Ask::get(realm, TOKEN_MAX_BYTES)
                    .with("content-type", "application/x-www-form-urlencoded");
                http.ask(&Ask { method: Method::POST, body: Some(body.as_bytes()), ..ask })?
            }
            identity => {
                let separator = if realm.contains('?') { '&' } else { '?' };
                let url = format!("{realm}{separator}{}", form(&fields));
                let mut ask = Ask::get(&url, TOKEN_MAX_BYTES);
                if let Identity::Basic(user, password) = identity {
                    ask = ask.with("authorization", basic(user, password));
                }
                http.ask(&ask)?
            }
        };
        match answer.status {
            200 => read_token(&answer, Instant::now()),
            401 | 403 => Err(self.refused(doing, &answer)),
            _ => Err(answer.refusal()),
        }
    }
}

/// What a person can do who has no login, or one of the wrong kind.
fn way_out(login: &Login) -> String {
    format!("{}: `docker login`, or name `username` and `password_file`", login.from)
}

fn basic(user: &str, password: &Secret) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn read_token(answer: &Answer, now: Instant) -> Result<Token, Error> {
    let garbage = |why: &str| Error::Garbage { url: shown(&answer.url), why: why.to_owned() };
    // The parser's own words may quote a token.
    let given: Given = serde_json::from_slice(&answer.body)
        .map_err(|_| garbage("the token service answers with no JSON object of a token"))?;
    let value = given.token.or(given.access_token).filter(|token| !token.is_empty());
    let value = value.ok_or_else(|| garbage("the token service answers without a token"))?;
    let fits = value.len() <= TOKEN_HEADER_MAX_BYTES && value.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        return Err(garbage("the token service answers with a token that fits no header"));
    }
    let holds = given.expires_in.map_or(TOKEN_USUAL, Duration::from_secs).min(TOKEN_MOST);
    let until = now + holds.saturating_sub(TOKEN_MARGIN);
    Ok(Token { value: Secret::new(value), until })
}

/// Fields of a form or a query.
fn form(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", escaped(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A value of a query: everything but what surely may stand there is escaped.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-._~:/,".contains(c) => text.push(c),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// One way of `WWW-Authenticate`.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    fields: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads a header: `Bearer realm="…",scope="repository:a:pull,push", Basic realm="…"`.
fn challenges(header: &str) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = Vec::new();
    for part in parts(header) {
        let part = part.trim();
        let (head, value) = part.split_once('=').unwrap_or((part, ""));
        let (scheme, name) = match head.trim().rsplit_once(' ') {
            Some((scheme, name)) => (Some(scheme.trim()), name),
            None if part.contains('=') => (None, head.trim()),
            None => (Some(head.trim()), ""),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            all.push(Challenge { scheme: scheme.to_owned(), fields: Vec::new() });
        }
        if let Some(last) = all.last_mut().filter(|_| !name.is_empty()) {
            let value = value.trim();
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = inner.unwrap_or(value).replace("\\\"", "\"");
            last.fields.push((name.to_owned(), value));
        }
    }
    all
}

/// Splits at commas outside of quotes.
fn parts(header: &str) -> Vec<String> {
    let (mut all, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in header.chars() {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        if c == ',' && !quoted {
            all.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    all.push(part);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_commas_in_quotes_and_several_ways() {
        let header = "Bearer realm=\"https://auth.lan/token\",service=\"registry.lan\",\
                      scope=\"repository:a/b:pull,push\", Basic realm=\"x \\\"y\\\"\"";
        let all = challenges(header);
        let [bearer, basic] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(bearer.scheme, "Bearer");
        assert_eq!(bearer.get("Realm"), Some("https://auth.lan/token"));
        assert_eq!(bearer.get("service"), Some("registry.lan"));
        assert_eq!(bearer.get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!((basic.scheme.as_str(), basic.get("realm")), ("Basic", Some("x \"y\"")));
        assert_eq!(challenges("Negotiate").len(), 1);
        assert_eq!(
            challenges("bearer  realm=a").first().and_then(|one| one.get("realm")),
            Some("a")
        );
        for odd in ["", ",", "=", "\"", "Bearer realm=\"a,b", "=x, =y"] {
            challenges(odd);
        }
    }

    #[test]
    fn a_query_holds_any_value() {
        assert_eq!(
            form(&[("scope", "repository:a/b:pull,push"), ("service", "a b&c=ü")]),
            "scope=repository:a/b:pull,push&service=a%20b%26c%3D%C3%BC"
        );
    }
}
