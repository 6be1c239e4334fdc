//! Asks a running app whether it is well: by HTTP, by TCP, by a command of its release.
//!
//! One question is one fresh connection or one process, within the probe's time limit; nothing is
//! remembered between two questions. Whatever goes wrong, on our side too, is what the probe found:
//! the engine counts findings and knows what a single one is worth.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use groundcrew_engine::noun::AppName;
use groundcrew_engine::plan::{Installed, Probe, ProbeKind};
use groundcrew_engine::ports::{Finding, Probes};
use serde_json::Value;

use crate::causes::causes;
use crate::command::{self, Order};
use crate::runtimes::launch::{self, Launch, Names};
use crate::runtimes::shelf::Shelf;
use crate::web::{self, Answer, Request, Way};

#[cfg(test)]
mod tests;

/// So much of an answer is read; a health page says more for people, not for us.
pub const ANSWER_MAX_BYTES: usize = 4 * 1024;

/// How much of an unexpected answer goes into a finding, in characters.
const QUOTE_MAX_CHARS: usize = 80;

/// Asks one app.
#[derive(Clone, Debug)]
pub struct Asker {
    app: AppName,
    shelf: Shelf,
}

impl Asker {
    /// For this app, with the state directory that its releases lie in.
    #[must_use]
    pub fn new(state: &Path, app: &AppName) -> Self {
        Self { app: app.clone(), shelf: Shelf::new(state, app) }
    }

    fn exec(&self, words: &[String], of: &Installed, timeout: Duration) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| causes(error);
        let shelved = self.shelf.take(&of.release.digest).map_err(|error| text(&error))?;
        let launch = Launch::read(&of.procedure.launch).map_err(|error| text(&error))?;
        let volumes = &of.procedure.volumes;
        let secrets = &self.shelf.secrets(launch.secrets());
        let names = Names { app: self.app.as_str(), files: &shelved.files, volumes, secrets };
        let argv = launch::command(words, &names).map_err(|error| text(&error))?;
        let mut env = launch.env(secrets).map_err(|error| text(&error))?;
        env.insert("GROUNDCREW_APP".to_owned(), self.app.to_string());
        env.insert("GROUNDCREW_RELEASE".to_owned(), of.release.version.clone());
        let order = Order {
            argv: &argv,
            cwd: &shelved.files,
            env: &env,
            input: b"",
            user: launch.ids().map_err(|error| text(&error))?,
            timeout,
        };
        let report = command::run(&order).map_err(|error| text(&error))?;
        report.failure().map_or(Ok(()), Err)
    }
}

impl Probes for Asker {
    fn ask(&mut self, probe: &Probe, of: &Installed) -> Finding {
        let started = Instant::now();
        let timeout = Duration::from_millis(probe.timeout_ms);
        let result = match &probe.kind {
            ProbeKind::Http { url, json } => get(url, timeout)
                .and_then(|answer| {
                    json.iter().try_for_each(|(member, value)| has(&answer, member, value))
                })
                .map_err(|why| format!("{url}: {why}")),
            ProbeKind::Version { url } => get(url, timeout)
                .and_then(|answer| is_version(&answer, &of.release.version))
                .map_err(|why| format!("{url}: {why}")),
            ProbeKind::Tcp { address } => connect(address, timeout),
            ProbeKind::Exec { command } => self.exec(command, of, timeout),
            ProbeKind::Container => Err("its runtime has no health check of its own".to_owned()),
        };
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Finding { probe: probe.name.to_string(), failure: result.err(), took_ms }
    }
}

/// An answer with status 200.
fn get(url: &str, timeout: Duration) -> Result<Answer, String> {
    let request = Request {
        url,
        headers: &[],
        body: None,
        timeout,
        read_max_bytes: ANSWER_MAX_BYTES,
        way: Way::Direct,
    };
    match web::ask(&request) {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("status {}", answer.status)),
        Err(error) => Err(causes(&error)),
    }
}

/// The answer as JSON.
fn json(answer: &Answer) -> Result<Value, String> {
    if answer.cut {
        return Err(format!("the answer is longer than {ANSWER_MAX_BYTES} bytes"));
    }
    let quote = || quoted(&String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).map_err(|_| format!("{} is not JSON", quote()))
}

fn has(answer: &Answer, member: &str, expected: &str) -> Result<(), String> {
    let value = json(answer)?;
    match value.get(member).map(scalar) {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!("`{member}` is {}, expected {expected:?}", quoted(&found))),
        None => Err(format!("the answer has no `{member}`, expected {expected:?}")),
    }
}

/// The body itself, or its member `version`.
fn is_version(answer: &Answer, expected: &str) -> Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body);
    let said = json(answer).ok().and_then(|value| value.get("version").map(scalar));
    let found = said.unwrap_or_else(|| text.trim().to_owned());
    if found == expected && !answer.cut {
        return Ok(());
    }
    Err(format!("version {} answers, expected {expected:?}", quoted(&found)))
}

/// A string without its quotes; anything else as JSON writes it.
fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTE_MAX_CHARS).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

/// A connection that is accepted, by any of the addresses that the name has.
fn connect(address: &str, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let addresses = resolve(address, timeout)?;
    let mut why = "the name has no address".to_owned();
    for one in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("no connection within {} ms", timeout.as_millis()));
        }
        match TcpStream::connect_timeout(&one, left) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// The system's resolver knows no time limit, so it gets a thread that may outlive the question.
fn resolve(address: &str, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(plain) = address.parse() {
        return Ok(vec![plain]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = address.to_owned();
    std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = name.to_socket_addrs().map(Iterator::collect);
            // Nobody listens any more after a time-out.
            sender.send(found).ok();
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let found: std::io::Result<Vec<SocketAddr>> = receiver
        .recv_timeout(timeout)
        .map_err(|_| format!("the name is not resolved within {} ms", timeout.as_millis()))?;
    found.map_err(|error| format!("cannot resolve {address}: {error}"))
}
