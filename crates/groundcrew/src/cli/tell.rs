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
    let request = match command.clone() {
        Command::Pin { app, version } => Request::Pin { app, to: version },
        Command::Unpin { app } => Request::Unpin { app },
        Command::Approve { app, version } => Request::Approve { app, version, by: who() },
        Command::Unblock { app: Some(app), .. } => Request::Unblock { app, by: who() },
        Command::Unblock { app: None, .. } => Request::Trust,
        Command::Pause { app } => Request::Pause { app },
        Command::Resume { app } => Request::Resume { app },
        Command::Start { app } => Request::Start { app },
        Command::Stop { app } => Request::Stop { app },
        Command::Restart { app } => Request::Restart { app },
        _ => return None,
    };
    Some(request)
}

/// The person, as far as the system knows.
pub(super) fn who() -> String {
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
        Reply::Asked { pass, .. } => {
            super::follow::until_up(&mut reach, &app, pass)?;
            format!("{app} runs")
        }
        other => return Err(unexpected(&other)),
    };
    printer.show(&Said { text: text.clone() }, || format!("{text}\n"));
    Ok(Exit::Done)
}
