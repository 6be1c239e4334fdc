//! Asks and tells by HTTP: one fresh connection, one time limit over everything, a bounded read.
//!
//! Redirects are not followed: whoever is asked has to answer itself. Connections are never kept,
//! and requests say that no cache may answer. Any status is an answer; what it means is the
//! caller's business.

use std::io::Read as _;
use std::net::IpAddr;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderValue, Response, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout, time};
use ureq::{Agent, Body};

/// Headers are bounded like bodies, in bytes.
const HEADER_MAX_BYTES: usize = 16 * 1024;

/// Room of one exchange: for what is read a header's whole limit and more, for what is sent the
/// longest header that we make. The client's own default is eight times this, which an agent pays
/// for each app that it asks for its health.
const INPUT_BYTES: usize = 2 * HEADER_MAX_BYTES;
const OUTPUT_BYTES: usize = 16 * 1024;

/// Whether a proxy that the environment names is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Never: the one asked is on this host or must answer itself.
    Direct,
    /// As the environment says, for whom the network's owner wants a proxy between.
    Environment,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where, `http` or `https`.
    pub url: &'a str,
    /// Sent besides our own.
    pub headers: &'a [(&'a str, &'a str)],
    /// POST this; `None`: GET.
    pub body: Option<&'a [u8]>,
    /// Limit of everything together, resolving the name included.
    pub timeout: Duration,
    /// So many bytes of the answer are read.
    pub read_max_bytes: usize,
    /// Through a proxy, or not.
    pub way: Way,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// The body is longer.
    pub cut: bool,
    /// The header `Retry-After` in seconds, where it is a number.
    pub retry_after_secs: Option<u64>,
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not come in time, or not to its end.
    #[error("no answer within {limit_ms} ms")]
    Timeout {
        /// The limit.
        limit_ms: u128,
    },
    /// It could not be asked, or broke off.
    #[error("no answer")]
    Failed(#[source] Box<ureq::Error>),
}

/// Sends a request and reads its answer.
///
/// # Errors
/// There was none.
pub fn ask(request: &Request<'_>) -> Result<Answer, Error> {
    send(request).map_err(|error| match error {
        ureq::Error::Timeout(_) => Error::Timeout { limit_ms: request.timeout.as_millis() },
        error => Error::Failed(Box::new(error)),
    })
}

fn send(request: &Request<'_>) -> Result<Answer, ureq::Error> {
    let mut response = exchange(request)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(HeaderValue::to_str);
    let retry_after_secs = retry_after.and_then(|text| text.ok()?.trim().parse().ok());
    let mut body = Vec::new();
    let limit = u64::try_from(request.read_max_bytes).unwrap_or(u64::MAX);
    // One more, to see whether there is more.
    let mut reader = response.body_mut().as_reader().take(limit.saturating_add(1));
    // The reader's errors carry the client's, a time-out among them.
    reader.read_to_end(&mut body).map_err(ureq::Error::from)?;
    let cut = body.len() > request.read_max_bytes;
    body.truncate(request.read_max_bytes);
    Ok(Answer { status, body, cut, retry_after_secs })
}

fn exchange(request: &Request<'_>) -> Result<Response<Body>, ureq::Error> {
    let mut config = Agent::config_builder()
        .timeout_global(Some(request.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .max_response_header_size(HEADER_MAX_BYTES)
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
        .user_agent(concat!("groundcrew/", env!("CARGO_PKG_VERSION")));
    if request.way == Way::Direct {
        config = config.proxy(None);
    }
    let agent = Agent::with_parts(config.build(), DefaultConnector::new(), Names::default());
    let ours = [("cache-control", "no-cache"), ("pragma", "no-cache"), ("connection", "close")];
    let headers = ours.iter().chain(request.headers);
    match request.body {
        None => headers
            .fold(agent.get(request.url), |ask, (name, value)| ask.header(*name, *value))
            .call(),
        Some(body) => headers
            .fold(agent.post(request.url), |ask, (name, value)| ask.header(*name, *value))
            .send(body),
    }
}

/// Resolves names within the time that is left. An address is none and needs no thread of its own,
/// which is most of what a question to an app on this host costs.
#[derive(Debug, Default)]
pub(crate) struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        mut timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            timeout.after = time::Duration::NotHappening;
        }
        self.0.resolve(uri, config, timeout)
    }
}
