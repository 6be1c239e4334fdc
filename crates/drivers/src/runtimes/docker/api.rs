//! Talks to a Docker Engine: its HTTP API on a Unix socket, in the engine's own words.
//!
//! Answers stay the JSON that the engine sent. What a container is made of is copied from one answer
//! into the next request, and a newer engine has members that no type of ours would know.
//! The paths name no version, so that both are in the version that this engine speaks best.
//!
//! Constraints: one fresh connection per request, one time limit over everything, a bounded read.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::unversioned::resolver::{ArrayVec, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::wire::UnixConnector;

/// Limit of a question to the engine that it answers from memory.
pub(super) const ASK_MAX: Duration = Duration::from_secs(30);

/// Largest answer that is read, in bytes; an inspected container has some ten thousand.
const ANSWER_MAX_BYTES: u64 = 8 * 1024 * 1024;

/// Longest line that an engine says while it pulls, in bytes.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// The engine did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no answer.
    #[error(
        "no answer from the Docker Engine at {}; is it running, and may groundcrew use its socket?",
        socket.display()
    )]
    Silent {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It refused.
    #[error("the Docker Engine answers {status} to {what}: {said}")]
    Refused {
        /// Method and path.
        what: String,
        /// The HTTP status.
        status: u16,
        /// In its own words.
        said: String,
    },
    /// Its answer is not JSON, or longer than any of its answers is.
    #[error("the Docker Engine's answer to {what} is not understood: {why}")]
    Garbled {
        /// Method and path.
        what: String,
        /// What is wrong.
        why: String,
    },
}

/// An engine.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The engine behind a socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// GET; `None`: there is no such thing.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn get(&self, path: &str) -> Result<Option<Value>, Error> {
        match self.ask(Method::GET, path, None, ASK_MAX) {
            Ok(bytes) => parse("GET", path, &bytes).map(Some),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// GET of what is not JSON.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.ask(Method::GET, path, None, ASK_MAX)
    }

    /// POST; the answer as it is.
    ///
    /// # Errors
    /// It did not answer in time, or refused.
    pub fn post(&self, path: &str, body: &Value, limit: Duration) -> Result<Vec<u8>, Error> {
        self.ask(Method::POST, path, Some(body), limit)
    }

    /// POST of what the engine does at once.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn order(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let bytes = self.post(path, body, ASK_MAX)?;
        if bytes.is_empty() { Ok(Value::Null) } else { parse("POST", path, &bytes) }
    }

    /// DELETE; what is not there is gone.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn delete(&self, path: &str) -> Result<(), Error> {
        match self.ask(Method::DELETE, path, None, ASK_MAX) {
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// POST of a pull: the engine answers with a line of JSON for each thing that it does.
    ///
    /// # Errors
    /// It did not answer, fell silent for longer than the second limit, or refused at once. What it says
    /// later of a failure is in its lines.
    pub fn pull(
        &self,
        path: &str,
        login: &Value,
        (limit, quiet): (Duration, Duration),
        each: &mut dyn FnMut(&Value),
    ) -> Result<(), Error> {
        let silent = |error| Error::Silent { socket: self.socket.clone(), source: Box::new(error) };
        let login = base64::engine::general_purpose::URL_SAFE.encode(login.to_string());
        let agent = self.agent(limit, quiet);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://docker{path}"))
            .header("connection", "close")
            .header("x-registry-auth", login)
            .body(Vec::new())
            .map_err(|error| silent(error.into()))?;
        let mut response = agent.run(request).map_err(silent)?;
        let status = response.status().as_u16();
        let mut reader = BufReader::new(response.body_mut().as_reader());
        if status != 200 {
            let mut said = Vec::new();
            // What it says is for people; less of it is no other answer.
            drop(reader.take(LINE_MAX_BYTES).read_to_end(&mut said));
            return Err(Error::Refused { what: "a pull".to_owned(), status, said: message(&said) });
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut one = (&mut reader).take(LINE_MAX_BYTES);
            let read = one.read_until(b'\n', &mut line).map_err(|error| silent(error.into()))?;
            if read == 0 {
                return Ok(());
            }
            if let Ok(value) = serde_json::from_slice(&line) {
                each(&value);
            }
        }
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let silent = |error| Error::Silent { socket: self.socket.clone(), source: Box::new(error) };
        let (status, bytes) = self.exchange(method, path, body, limit).map_err(silent)?;
        match status {
            200..=299 | 304 => Ok(bytes),
            _ => Err(Error::Refused { what, status, said: message(&bytes) }),
        }
    }

    fn agent(&self, limit: Duration, quiet: Duration) -> Agent {
        let config = Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(concat!("groundcrew/", env!("CARGO_PKG_VERSION")))
            .build();
        Agent::with_parts(config, UnixConnector::new(&self.socket, quiet), Nowhere)
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let agent = self.agent(limit, limit);
        let request = Request::builder()
            .method(method)
            .uri(format!("http://docker{path}"))
            .header("connection", "close");
        let mut response = match body {
            None => agent.run(request.body(())?)?,
            // An engine that reads no body closes while one is still being written.
            Some(Value::Null) => agent.run(request.body(Vec::new())?)?,
            Some(body) => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body.to_string())?)?
            }
        };
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        let mut reader = response.body_mut().as_reader().take(ANSWER_MAX_BYTES);
        reader.read_to_end(&mut bytes).map_err(ureq::Error::from)?;
        Ok((status, bytes))
    }
}

/// The name in the address is nobody's: the socket is where the engine is.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses: ResolvedSocketAddrs =
            ArrayVec::from_fn(|_| std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        addresses.push(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        Ok(addresses)
    }
}

fn parse(method: &str, path: &str, bytes: &[u8]) -> Result<Value, Error> {
    let garbled = |why: String| Error::Garbled { what: format!("{method} {path}"), why };
    if bytes.len() as u64 >= ANSWER_MAX_BYTES {
        return Err(garbled(format!("it is longer than {ANSWER_MAX_BYTES} bytes")));
    }
    serde_json::from_slice(bytes).map_err(|error| garbled(error.to_string()))
}

/// What the engine says of an error: `{"message": …}`, else as it is.
fn message(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 2_000;
    let said = serde_json::from_slice::<Value>(bytes)
        .ok()
        .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    said.trim().chars().take(SHOWN_MAX).collect()
}

/// A value as part of a path or query.
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let quote = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(quote).collect()
}
