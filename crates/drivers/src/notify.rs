//! Tells people: one notice, by one way, one try; whether it arrived is told truly (UPD-17).
//!
//! The durable queue, and when it is worked on, belong to the caller. A notice may arrive twice,
//! because a crash can come between the delivery and its record: every try carries the notice's
//! key, for whoever wants to drop the second one. Nothing here ever holds up an update.

mod command;
mod webhook;

use std::path::PathBuf;
use std::time::Duration;

use groundcrew_engine::ports::{Notice, Severity};
use serde::Serialize;

#[cfg(test)]
mod tests;

/// Version of [`Told`].
pub const SCHEMA: u32 = 1;

/// Limit of one try, unless the configuration says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest body that is sent, in bytes; release notes can be anything.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Longest title, in bytes: it is one line, and travels in headers and variables.
const TITLE_MAX_BYTES: usize = 1024;

/// The first pause between two tries, doubled from try to try up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// So often a notice is tried: for about three days.
const TRIES_MAX: u32 = 80;

/// A way to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub by: By,
    /// Limit of one try.
    pub timeout: Duration,
}

/// How a notice is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A command reads it: `GROUNDCREW_…` in its environment and JSON on its standard input.
    Command(Vec<String>),
    /// A POST.
    Webhook {
        /// Where.
        url: String,
        /// Shape of its body.
        format: Format,
        /// A file whose content is sent as bearer token; read anew for each try.
        token_file: Option<PathBuf>,
    },
}

/// Shape of a webhook's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`Told`].
    #[default]
    Json,
    /// An object with `text`, as Slack and its relatives read it.
    Slack,
    /// Plain text with title and priority in headers, as ntfy reads it.
    Ntfy,
}

/// A notice with what is to be known of its origin; the JSON that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    schema: u32,
    key: String,
    severity: Severity,
    title: String,
    body: String,
    host: String,
    app: String,
    /// When it was noticed, as `2026-11-21T09:00:00Z`.
    at: String,
}

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// It did not; it may later.
    Retry {
        /// Why.
        why: String,
        /// The other side asked for at least this pause.
        after: Option<Duration>,
    },
    /// It never will: the other side understood and does not want it. To be recorded.
    Refused {
        /// Why.
        why: String,
    },
}

impl Told {
    /// A notice of this app on this host, noticed at `at_ms` (milliseconds since 1970).
    #[must_use]
    pub fn new(notice: &Notice, host: &str, app: &str, at_ms: i64) -> Self {
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            schema: SCHEMA,
            key: notice.key.clone(),
            severity: notice.severity,
            title: cut(&notice.title, TITLE_MAX_BYTES),
            body: cut(&notice.body, BODY_MAX_BYTES),
            host: host.to_owned(),
            app: app.to_owned(),
            at: at.to_string(),
        }
    }

    /// The notice's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How urgent it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The severity as it is written everywhere.
    fn urgency(&self) -> &'static str {
        match self.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Alert => "alert",
            Severity::Page => "page",
        }
    }
}

/// Tries once. Blocks for as long as the target's limit.
#[must_use]
pub fn deliver(target: &Target, told: &Told) -> Delivery {
    match &target.by {
        By::Command(argv) => command::deliver(argv, target.timeout, told),
        By::Webhook { url, format, token_file } => {
            webhook::deliver(url, *format, token_file.as_deref(), target.timeout, told)
        }
    }
}

/// Which of the targets, named with the least severity that each wants, are told of a notice.
pub fn route<'t>(
    targets: impl IntoIterator<Item = (&'t str, Severity)>,
    severity: Severity,
) -> Vec<&'t str> {
    targets.into_iter().filter(|(_, least)| severity >= *least).map(|(name, _)| name).collect()
}

/// The pause before the next try when `tries` have failed; `None`: it is given up, and that is to
/// be recorded.
#[must_use]
pub fn pause(tries: u32, asked: Option<Duration>) -> Option<Duration> {
    if tries >= TRIES_MAX {
        return None;
    }
    let doubled = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    Some(doubled.max(asked.unwrap_or_default()).min(PAUSE_MAX))
}

/// The text, cut at a character's border if it is too long.
fn cut(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = (0..=max_bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let (kept, _) = text.split_at(end);
    format!("{kept}…")
}
