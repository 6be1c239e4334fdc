//! The words of the control socket: one JSON object per line, each with the version.
//!
//! They are described in `docs/internals/control-socket.md`; kinds and fields are only added, and a
//! side that meets a version it does not speak refuses by name.

use groundcrew_engine::ports::Summary;
use serde::{Deserialize, Serialize};

use super::board::View;
use super::order::{Check, GoBack, WayBack};
use crate::exit::Refusal;

/// Version of the words.
pub(crate) const VERSION: u32 = 1;
/// Longest request, in bytes.
pub(crate) const REQUEST_MAX_BYTES: u64 = 64 * 1024;
/// Longest response, in bytes: the history of a busy host.
pub(crate) const RESPONSE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most rows of history in one response.
pub(crate) const HISTORY_MAX: usize = 1_000;

/// What is asked of a crew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Are you there?
    Ping,
    /// Can the journal be written?
    TryWrite,
    /// How are the apps?
    Status,
    /// Which updates are over?
    History {
        /// Of one app only.
        #[serde(default)]
        app: Option<String>,
        /// At most so many, newest first.
        limit: usize,
    },
    /// What would the gates say?
    Check {
        /// Of which app.
        app: String,
        /// A changed configuration is a candidate too.
        #[serde(default)]
        apply_config: bool,
    },
    /// Look, and update as far as the gates allow.
    Update {
        /// Which app.
        app: String,
        /// A changed configuration is a candidate too.
        #[serde(default)]
        apply_config: bool,
        /// A person asks: `mode` does not hold it.
        #[serde(default)]
        by_person: bool,
    },
    /// Stay at one version.
    Pin {
        /// Which app.
        app: String,
        /// A version or a digest.
        to: String,
    },
    /// Follow the channel again.
    Unpin {
        /// Which app.
        app: String,
    },
    /// Let a candidate through.
    Approve {
        /// Of which app.
        app: String,
        /// Version or digest.
        version: String,
        /// Who says so.
        by: String,
    },
    /// Forget what is known as bad; take a stuck update up again.
    Unblock {
        /// Of which app.
        app: String,
        /// Who says so.
        by: String,
    },
    /// No updates until `resume`.
    Pause {
        /// Which app.
        app: String,
    },
    /// Updates go on.
    Resume {
        /// Which app.
        app: String,
    },
    /// The app shall run.
    Start {
        /// Which app.
        app: String,
    },
    /// The app shall not run.
    Stop {
        /// Which app.
        app: String,
    },
    /// Stop it and start it.
    Restart {
        /// Which app.
        app: String,
    },
    /// Put a snapshot back.
    Restore {
        /// Of which app.
        app: String,
        /// Which.
        id: String,
    },
    /// Go back to a release that ran here.
    Rollback {
        /// Which app.
        app: String,
        /// How.
        #[serde(flatten)]
        back: GoBack,
    },
    /// Run the migration of the release that runs.
    Migrate {
        /// Of which app.
        app: String,
        /// Undo it instead.
        #[serde(default)]
        down: bool,
        /// Who says so.
        by: String,
    },
    /// Believe the fresh journal that follows a lost or damaged one.
    Trust,
    /// Read the configuration again.
    Reload,
    /// End; apps keep running.
    Shutdown,
}

/// What a crew answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// Here.
    Pong {
        /// The agent's process id.
        pid: u32,
        /// Its version.
        version: String,
    },
    /// How the apps are.
    Status {
        /// All of them, by name.
        apps: Vec<View>,
    },
    /// Updates that are over.
    History {
        /// Newest first.
        updates: Vec<Past>,
    },
    /// What the gates say.
    Checked {
        /// It.
        check: Box<Check>,
    },
    /// The look is over when the app's `rested` reaches this number.
    Asked {
        /// The number.
        pass: u64,
        /// What was done before, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// It goes back, or would.
    GoesBack {
        /// How.
        way: WayBack,
    },
    /// Done.
    Done {
        /// A word for people.
        text: String,
    },
}

/// One update that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// The app.
    pub(crate) app: String,
    /// How it went.
    #[serde(flatten)]
    pub(crate) update: Summary,
}

/// One line to the crew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RequestLine {
    /// [`VERSION`].
    pub(crate) v: u32,
    /// The request.
    #[serde(flatten)]
    pub(crate) request: Request,
}

/// One line back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ResponseLine {
    /// [`VERSION`].
    pub(crate) v: u32,
    /// The answer.
    #[serde(flatten)]
    pub(crate) response: Response,
}

/// Done or refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Response {
    /// The answer.
    Ok(Reply),
    /// Why there is none.
    Error(Refusal),
}

impl From<Result<Reply, Refusal>> for Response {
    fn from(answer: Result<Reply, Refusal>) -> Self {
        match answer {
            Ok(reply) => Self::Ok(reply),
            Err(refusal) => Self::Error(refusal),
        }
    }
}

impl From<Response> for Result<Reply, Refusal> {
    fn from(response: Response) -> Self {
        match response {
            Response::Ok(reply) => Ok(reply),
            Response::Error(refusal) => Err(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn lines_read_as_the_document_says() {
        for (request, line) in [
            (Request::Ping, r#"{"v":1,"request":"ping"}"#),
            (
                Request::Pin { app: "tiles".into(), to: "1.0.0".into() },
                r#"{"v":1,"request":"pin","app":"tiles","to":"1.0.0"}"#,
            ),
        ] {
            let written = RequestLine { v: VERSION, request: request.clone() };
            assert_eq!(serde_json::to_string(&written).unwrap(), line);
            let read: RequestLine = serde_json::from_str(line).unwrap();
            assert_eq!(read.request, request);
        }
        for (response, line) in [
            (
                Response::Ok(Reply::Asked { pass: 3, text: None }),
                r#"{"v":1,"ok":{"reply":"asked","pass":3}}"#,
            ),
            (
                Response::Error(Refusal::new(Exit::Waiting, "busy")),
                r#"{"v":1,"error":{"code":4,"text":"busy"}}"#,
            ),
        ] {
            let written = ResponseLine { v: VERSION, response: response.clone() };
            assert_eq!(serde_json::to_string(&written).unwrap(), line);
            let read: ResponseLine = serde_json::from_str(line).unwrap();
            assert_eq!(read.response, response);
        }
    }
}
