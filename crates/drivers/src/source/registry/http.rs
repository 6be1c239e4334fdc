//! One question to a registry and its answer: bounded in bytes, in time and in redirects.
//!
//! - Every question has a time limit of its own, and all questions of one look have one together
//!   ([`Http::begin`]).
//! - A redirect is followed for what is read and never from `https` to `http`; who we are is told
//!   only to whom the configuration names.
//! - Texts for people have no query of a URL, for signed URLs carry their secret there.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::error::Error;
use crate::causes::causes;
use crate::web::Names;

/// Limit of one question with its answer, unless a test is less patient.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// All questions of one look together may take so many times that.
const LOOK_PATIENCE: u32 = 4;

/// Redirects that are followed; registries use one, to their storage.
const REDIRECTS_MAX: usize = 5;

/// Headers of an answer, in bytes; signed URLs and challenges are long.
const HEADER_MAX_BYTES: usize = 64 * 1024;

/// Connections that are kept from one question of a look to the next, and for how long.
const IDLE_MAX: usize = 2;
const IDLE_AGE: Duration = Duration::from_secs(10);

/// The file with a CA, in bytes: a system's whole bundle fits.
const CA_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// So much of what a registry says about an error is told, in characters.
const SAID_MAX_CHARS: usize = 300;

/// A question.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub(super) body: Option<&'a [u8]>,
    /// An answer of more bytes is refused.
    pub(super) max_bytes: usize,
}

impl<'a> Ask<'a> {
    pub(super) fn get(url: &'a str, max_bytes: usize) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: None, max_bytes }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A header, if it is there and text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
    }

    /// All headers of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok())
    }

    /// As an error: the status, and what the registry says about it.
    pub(super) fn refusal(&self) -> Error {
        let said = self.said().map_or_else(String::new, |said| format!(": {said}"));
        Error::Status { url: shown(&self.url), status: self.status, said }
    }

    /// The message of the registry's error body.
    fn said(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        let error = body.get("errors")?.get(0)?;
        let text = error.get("message").or_else(|| error.get("code"))?.as_str()?;
        let plain = text.chars().filter(|c| !c.is_control()).take(SAID_MAX_CHARS);
        Some(plain.collect())
    }

    /// Whether the registry's error body has this code.
    pub(super) fn has_code(&self, wanted: &str) -> bool {
        let body: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let errors = body.as_ref().and_then(|body| body.get("errors")?.as_array());
        errors.is_some_and(|errors| errors.iter().any(|error| error["code"] == wanted))
    }
}

/// Asks.
#[derive(Debug)]
pub(super) struct Http {
    /// A CA file that is trusted, and nobody else.
    ca: Option<PathBuf>,
    /// `http` is spoken where a URL says so.
    plain: bool,
    patience: Duration,
    agent: Option<Agent>,
    deadline: Instant,
}

impl Http {
    pub(super) fn new(ca: Option<PathBuf>, plain: bool, patience: Duration) -> Self {
        let deadline = Instant::now() + patience * LOOK_PATIENCE;
        Self { ca, plain, patience, agent: None, deadline }
    }

    /// A new look begins.
    pub(super) fn begin(&mut self) {
        self.deadline = Instant::now() + self.patience * LOOK_PATIENCE;
    }

    /// Asks, and follows redirects.
    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut url = ask.url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.ask_once(ask, &url)?;
            let Some(to) = self.redirect(ask, &answer)? else { return Ok(answer) };
            url = to;
        }
        let to = shown(&url);
        Err(Error::Redirect { url: shown(ask.url), to, why: "that is one redirect too many" })
    }

    fn redirect(&self, ask: &Ask<'_>, answer: &Answer) -> Result<Option<String>, Error> {
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let to = answer.header("location").unwrap_or_default();
        let refuse =
            |to: &str, why| Err(Error::Redirect { url: shown(&answer.url), to: shown(to), why });
        let Some(to) = join(&answer.url, to) else {
            return refuse(to, "that is no address we could follow");
        };
        if ask.method != Method::GET && ask.method != Method::HEAD {
            return refuse(&to, "what is written is not sent elsewhere");
        }
        if to.starts_with("http://") && !(self.plain && answer.url.starts_with("http://")) {
            return refuse(&to, "that is not encrypted");
        }
        Ok(Some(to))
    }

    fn ask_once(&mut self, ask: &Ask<'_>, url: &str) -> Result<Answer, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = self.patience.min(left);
        if limit.is_zero() {
            let limit_ms = (self.patience * LOOK_PATIENCE).as_millis();
            return Err(Error::Timeout { url: shown(url), limit_ms });
        }
        let agent = self.agent()?;
        let fail = |error: ureq::Error| match error {
            ureq::Error::Timeout(_) => {
                Error::Timeout { url: shown(url), limit_ms: limit.as_millis() }
            }
            error => {
                let hint = hint(&causes(&error));
                Error::Unreachable { url: shown(url), hint, source: Box::new(error) }
            }
        };
        let same = origin(ask.url) == origin(url);
        let mut response = send(&agent, ask, url, same, limit).map_err(fail)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        if ask.method != Method::HEAD {
            let most = u64::try_from(ask.max_bytes).unwrap_or(u64::MAX);
            // One more, to see whether there is more.
            let mut reader = response.body_mut().as_reader().take(most.saturating_add(1));
            reader.read_to_end(&mut body).map_err(|error| fail(ureq::Error::from(error)))?;
        }
        if body.len() > ask.max_bytes {
            return Err(Error::TooLarge { url: shown(url), limit: ask.max_bytes });
        }
        Ok(Answer { url: url.to_owned(), status, headers, body })
    }

    fn agent(&mut self) -> Result<Agent, Error> {
        if let Some(agent) = &self.agent {
            return Ok(agent.clone());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(IDLE_MAX)
            .max_idle_age(IDLE_AGE)
            .max_response_header_size(HEADER_MAX_BYTES)
            .input_buffer_size(2 * HEADER_MAX_BYTES)
            .output_buffer_size(HEADER_MAX_BYTES)
            .user_agent(concat!("groundcrew/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &self.ca {
            let roots = RootCerts::from(certificates(ca)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent = Agent::with_parts(config.build(), DefaultConnector::new(), Names::default());
        Ok(self.agent.insert(agent).clone())
    }
}

fn send(
    agent: &Agent,
    ask: &Ask<'_>,
    url: &str,
    same: bool,
    limit: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let mut request = Request::builder().method(ask.method.clone()).uri(url);
    for (name, value) in &ask.headers {
        if same || *name != "authorization" {
            request = request.header(*name, value);
        }
    }
    match ask.body {
        None => {
            let request = request.body(()).map_err(ureq::Error::Http)?;
            agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
        }
        Some(body) => {
            let request = request.body(body).map_err(ureq::Error::Http)?;
            agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
        }
    }
}

/// What a person can do about it.
fn hint(text: &str) -> &'static str {
    let known = [
        ("UnknownIssuer", "; if its certificate is of a CA of your own, name that one: `ca`"),
        ("BadSignature", "; if its certificate is of a CA of your own, name that one: `ca`"),
        ("InvalidContentType", "; it seems to speak plain HTTP, and does if `plain_http` says so"),
        ("NotValidForName", "; its certificate is for another name: correct `image`"),
        ("Expired", "; its certificate is over: renew it, or look at this host's clock"),
    ];
    known.iter().find(|(sign, _)| text.contains(sign)).map_or("", |(_, hint)| hint)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let text = super::read_file(path, CA_MAX_BYTES)?;
    let all = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        let why =
            "there is no certificate in it; a CA file begins with -----BEGIN CERTIFICATE-----";
        return Err(Error::Here { path: path.to_owned(), why: why.to_owned() });
    }
    Ok(all)
}

/// Scheme, host and port.
pub(super) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_owned();
    let usual = if scheme == "https" { 443 } else { 80 };
    Some((scheme, uri.host()?.to_ascii_lowercase(), uri.port_u16().unwrap_or(usual)))
}

/// Where a link on the page of this URL leads.
pub(super) fn join(base: &str, link: &str) -> Option<String> {
    if link.starts_with("http://") || link.starts_with("https://") {
        return link.parse::<Uri>().ok().and(Some(link.to_owned()));
    }
    if !link.starts_with('/') || link.starts_with("//") {
        return None;
    }
    let base: Uri = base.parse().ok()?;
    let url = format!("{}://{}{link}", base.scheme_str()?, base.authority()?);
    url.parse::<Uri>().ok().and(Some(url))
}

/// A URL for people: without its query, and without who we are.
pub(super) fn shown(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return "an unreadable address".to_owned() };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match uri.scheme_str() {
        Some(scheme) => format!("{scheme}://{host}{}", uri.path()),
        None => uri.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_where_they_stand() {
        let base = "https://registry.lan:5000/v2/a/tags/list?n=2";
        let all = [
            ("/v2/a/tags/list?last=b", Some("https://registry.lan:5000/v2/a/tags/list?last=b")),
            ("https://cdn.lan/x?sig=1", Some("https://cdn.lan/x?sig=1")),
            ("//cdn.lan/x", None),
            ("x", None),
            ("", None),
            ("file:///etc/passwd", None),
            ("https://", None),
        ];
        for (link, to) in all {
            assert_eq!(join(base, link).as_deref(), to, "{link}");
        }
    }

    #[test]
    fn nobody_is_sent_from_an_encrypted_place_to_one_that_is_not() {
        let lead = |plain: bool, from: &str, to: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("location", HeaderValue::from_static(to));
            let answer = Answer { url: from.to_owned(), status: 307, headers, body: Vec::new() };
            let http = Http::new(None, plain, PATIENCE);
            http.redirect(&Ask::get(from, 0), &answer).ok().flatten()
        };
        let (open, sealed) = ("http://registry.lan/v2/", "https://registry.lan/v2/");
        assert_eq!(lead(true, open, "/x").as_deref(), Some("http://registry.lan/x"));
        assert_eq!(lead(true, open, "https://cdn.lan/x").as_deref(), Some("https://cdn.lan/x"));
        assert_eq!(lead(false, sealed, "/x").as_deref(), Some("https://registry.lan/x"));
        for plain in [true, false] {
            assert_eq!(lead(plain, sealed, "http://cdn.lan/x"), None);
        }
        assert_eq!(lead(false, open, "http://cdn.lan/x"), None);
    }

    #[test]
    fn people_see_no_secret_of_a_url() {
        assert_eq!(shown("https://joe:pw@cdn.lan:1/a/b?X-Sig=hunter2"), "https://cdn.lan:1/a/b");
        assert_eq!(shown("http://a b"), "an unreadable address");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| origin(one) == origin(other);
        assert!(same("https://Registry.lan/v2/", "https://registry.lan:443/x?y"));
        assert!(!same("https://registry.lan/", "http://registry.lan/"));
        assert!(!same("https://registry.lan/", "https://registry.lan:5000/"));
        assert!(!same("https://registry.lan/", "https://registry.lan.evil/"));
    }
}
