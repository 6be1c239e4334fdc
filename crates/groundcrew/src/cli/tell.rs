//! Commands that tell the agent something and print what it says.

use serde::Serialize;

use super::args::Command;
use super::print::Printer;
use super::reach::{Reach, unexpected};
use crate::config::{Overrides, Settings};
use crate::crew::request::{Reply, Request};
use crate::exit::{Exit, Refusal};

/// What a command asks of the agent; `None`: it asks nothing.
pub(super) fn request(command: &Command) -> Option<Request> {
    let by = who;
    Some(match command.clone_app()? {
        (Command::Pin { version, .. }, app) => Request::Pin { app, to: version.clone() },
        (Command::Unpin { .. }, app) => Request::Unpin { app },
        (Command::Approve { version, .. }, app) => {
            Request::Approve { app, version: version.clone(), by: by() }
        }
        (Command::Unblock { .. }, app) => Request::Unblock { app, by: by() },
        (Command::Pause { .. }, app) => Request::Pause { app },
        (Command::Resume { .. }, app) => Request::Resume { app },
        (Command::Start { .. }, app) => Request::Start { app },
        (Command::Stop { .. }, app) => Request::Stop { app },
        (Command::Restart { .. }, app) => Request::Restart { app },
        _ => return None,
    })
}

impl Command {
    fn clone_app(&self) -> Option<(&Self, String)> {
        match self {
            Self::Pin { app, .. }
            | Self::Approve { app, .. }
            | Self::Unpin { app }
            | Self::Unblock { app }
            | Self::Pause { app }
            | Self::Resume { app }
            | Self::Start { app }
            | Self::Stop { app }
            | Self::Restart { app } => Some((self, app.clone())),
            _ => None,
        }
    }
}

/// The person, as far as the system knows.
fn who() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

#[derive(Serialize)]
struct Said {
    text: String,
}

/// Tells it, and prints the answer.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    request: Request,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let app = match &request {
        Request::Start { app } | Request::Restart { app } => app.clone(),
        _ => String::new(),
    };
    let mut reach = Reach::open(settings, overrides)?;
    let text = match reach.ask(request)? {
        Reply::Done { text } => text,
        Reply::Asked { pass } => {
            super::follow::until_up(&mut reach, &app, pass)?;
            format!("{app} runs")
        }
        other => return Err(unexpected(&other)),
    };
    printer.show(&Said { text: text.clone() }, || format!("{text}\n"));
    Ok(Exit::Done)
}
