//! `logs`: the end of an app's output, read from its run's files.

use serde::Serialize;

use super::print::Printer;
use crate::config::Settings;
use crate::crew;
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Logs {
    app: String,
    lines: Vec<String>,
}

/// Prints the last lines.
pub(super) fn run(
    settings: &Settings,
    app: &str,
    n: usize,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    if !settings.apps.contains_key(app) {
        return Err(Refusal::usage(format!("there is no app {app:?} in the configuration")));
    }
    let lines = crew::output(settings, app, n)?;
    let logs = Logs { app: app.to_owned(), lines };
    printer.show(&logs, || logs.lines.iter().map(|line| format!("{line}\n")).collect());
    Ok(Exit::Done)
}
