//! Tells people by a POST. The key travels in the header `Groundcrew-Key`, for whoever wants to
//! drop what came twice.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use groundcrew_engine::ports::Severity;
use serde_json::json;

use super::{Delivery, Format, Told, cut};
use crate::causes::causes;
use crate::web::{self, Answer, Request, Way};

/// So much of an answer is read, and shown of a refusal in one line.
const ANSWER_MAX_BYTES: usize = 1024;
const SHOWN_MAX_CHARS: usize = 120;

/// Longest message that ntfy takes as a message, in bytes.
const NTFY_MAX_BYTES: usize = 4_000;

/// Longest token, in bytes.
const TOKEN_MAX_BYTES: u64 = 16 * 1024;

pub(super) fn deliver(
    url: &str,
    format: Format,
    token_file: Option<&Path>,
    timeout: Duration,
    told: &Told,
) -> Delivery {
    let retry = |why: String| Delivery::Retry { why, after: None };
    let token = match token_file.map(token).transpose() {
        Ok(token) => token,
        Err(why) => return retry(why),
    };
    let (body, kind) = body(format, told);
    let (key, title) = (header(&told.key), header(&told.title));
    let mut headers = vec![("groundcrew-key", key.as_str()), ("content-type", kind)];
    headers.extend(token.as_deref().map(|token| ("authorization", token)));
    if format == Format::Ntfy {
        headers.extend([("title", title.as_str()), ("priority", priority(told.severity))]);
    }
    let request = Request {
        url,
        headers: &headers,
        body: Some(body.as_bytes()),
        timeout,
        read_max_bytes: ANSWER_MAX_BYTES,
        way: Way::Environment,
    };
    match web::ask(&request) {
        Ok(answer) => judge(&answer),
        Err(error) => retry(causes(&error)),
    }
}

/// What it says is to be believed; a redirect is a wrong address.
fn judge(answer: &Answer) -> Delivery {
    let text = String::from_utf8_lossy(&answer.body);
    let said: String =
        text.lines().next().unwrap_or_default().chars().take(SHOWN_MAX_CHARS).collect();
    let why = format!("status {} {said}", answer.status).trim_end().to_owned();
    let after = answer.retry_after_secs.map(Duration::from_secs);
    match answer.status {
        200..300 => Delivery::Delivered,
        408 | 425 | 429 | 500..600 => Delivery::Retry { why, after },
        _ => Delivery::Refused { why },
    }
}

fn body(format: Format, told: &Told) -> (String, &'static str) {
    const JSON: &str = "application/json";
    match format {
        Format::Json => (json!(told).to_string(), JSON),
        Format::Slack => {
            let escaped =
                |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let (title, body) = (escaped(&told.title), escaped(&told.body));
            let line = format!("*{title}*\n{body}\n_{} on {}_", told.app, told.host);
            (json!({ "text": line }).to_string(), JSON)
        }
        // An empty message would be shown as a word that ntfy makes up.
        Format::Ntfy if told.body.is_empty() => (told.title.clone(), "text/plain; charset=utf-8"),
        Format::Ntfy => (cut(&told.body, NTFY_MAX_BYTES), "text/plain; charset=utf-8"),
    }
}

/// From 1 to 5, as ntfy counts; 3 is usual.
fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "2",
        Severity::Warning => "3",
        Severity::Alert => "4",
        Severity::Page => "5",
    }
}

/// A header takes visible ASCII; anything else is encoded as mail does it.
fn header(text: &str) -> String {
    let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    let one = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("={byte:02X}"),
    };
    format!("=?UTF-8?Q?{}?=", text.bytes().map(one).collect::<String>())
}

/// The value of the header; the token itself is never part of an error.
fn token(path: &Path) -> Result<String, String> {
    let cannot =
        |why: &dyn std::fmt::Display| format!("cannot read the token in {}: {why}", path.display());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(TOKEN_MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| cannot(&error))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(cannot(&"it is not one word of visible ASCII"));
    }
    Ok(format!("Bearer {token}"))
}
