//! External checks (GATE-8): a command or a URL that says whether a release may go on.
//!
//! A command is told what it is about by `GROUNDCREW_…` in its environment, a URL by query
//! parameters of the same names in lower case. Which codes mean what is the gate's business.

use std::path::Path;
use std::time::Duration;

use groundcrew_engine::ports::{External, ExternalCheck};

use crate::causes::causes;
use crate::command::{self, End, Order};
use crate::web::{self, Request, Way};

/// The body of an answer means nothing; so much is read to end it well.
const ANSWER_MAX_BYTES: usize = 4 * 1024;

pub(super) fn check(check: &ExternalCheck) -> External {
    match (&check.command, &check.url) {
        (Some(command), _) => by_command(check, command),
        (None, Some(url)) => by_url(check, url),
        (None, None) => External::Failed("it has neither a command nor a URL".to_owned()),
    }
}

fn by_command(check: &ExternalCheck, argv: &[String]) -> External {
    let mut env = command::base_env();
    let about = check.about.iter();
    env.extend(about.map(|(name, value)| (format!("GROUNDCREW_{}", upper(name)), value.clone())));
    let order = Order {
        argv,
        cwd: Path::new("/"),
        env: &env,
        input: b"",
        user: None,
        timeout: Duration::from_millis(check.timeout_ms),
    };
    match command::run(&order) {
        Ok(report) => match report.end {
            End::Code(code) => External::Exit(code),
            End::Signal(_) | End::TimedOut => {
                External::Failed(report.failure().unwrap_or_default())
            }
        },
        Err(error) => External::Failed(causes(&error)),
    }
}

fn by_url(check: &ExternalCheck, url: &str) -> External {
    let mut url = url.to_owned();
    for (name, value) in &check.about {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{}={}", escaped(name), escaped(value)));
    }
    let request = Request {
        url: &url,
        headers: &[],
        body: None,
        timeout: Duration::from_millis(check.timeout_ms),
        read_max_bytes: ANSWER_MAX_BYTES,
        way: Way::Environment,
    };
    match web::ask(&request) {
        Ok(answer) => External::Status(answer.status),
        Err(error) => External::Failed(causes(&error)),
    }
}

fn upper(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(plain).collect()
}

/// For a query: everything but letters, digits and `-._~` is escaped.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
