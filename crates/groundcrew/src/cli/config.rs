//! `config check | show | schema | apply`.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::ConfigCommand;
use super::print::{self, Printer};
use super::{plan, settings, update};
use crate::config::{self, Overrides, Problem};
use crate::exit::{Exit, Refusal};

/// Runs one of them.
pub(super) fn run(
    command: ConfigCommand,
    overrides: &Overrides,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let of_app = |app: &str| {
        let settings = settings(overrides)?;
        settings.check_app(app).map(|()| settings)
    };
    match command {
        ConfigCommand::Check => Ok(check(overrides, *printer)),
        ConfigCommand::Show => show(overrides, *printer),
        ConfigCommand::Schema => {
            print::data(&format!("{}\n", config::schema()));
            Ok(Exit::Done)
        }
        ConfigCommand::Apply(ask) if ask.dry_run => {
            plan::run(of_app(&ask.app)?, overrides, &ask.app, true, printer)
        }
        ConfigCommand::Apply(ask) => update::apply(of_app(&ask.app)?, overrides, &ask, printer),
    }
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    files: Vec<String>,
    problems: Vec<Said>,
}

#[derive(Serialize)]
struct Said {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    key: String,
    text: String,
    help: Option<String>,
}

fn said(problem: &Problem) -> Said {
    let origin = problem.origin.as_ref();
    Said {
        file: origin.map(|origin| origin.file.display().to_string()),
        line: origin.map(|origin| origin.line),
        column: origin.map(|origin| origin.column),
        key: problem.key.clone(),
        text: problem.text.clone(),
        help: problem.help.clone(),
    }
}

fn check(overrides: &Overrides, printer: Printer) -> Exit {
    match config::load(overrides) {
        Ok(settings) => {
            let files = settings.files.iter().map(|file| file.display().to_string()).collect();
            let apps = settings.apps.len();
            let checked = Checked { ok: true, files, problems: Vec::new() };
            printer.show(&checked, || {
                let noun = if apps == 1 { "app" } else { "apps" };
                format!("valid: {} with {apps} {noun}\n", checked.files.join(", "))
            });
            Exit::Done
        }
        Err(problems) if printer.is_json() => {
            let problems = problems.0.iter().map(said).collect();
            let checked = Checked { ok: false, files: Vec::new(), problems };
            printer.show(&checked, String::new);
            Exit::Usage
        }
        Err(problems) => {
            print::talk(&problems.to_string());
            Exit::Usage
        }
    }
}

#[derive(Serialize)]
struct Values {
    values: Vec<config::Shown>,
}

fn show(overrides: &Overrides, printer: Printer) -> Result<Exit, Refusal> {
    let inputs = config::read(&overrides.main_file())
        .map_err(|problems| Refusal::usage(problems.to_string()))?;
    let values = Values { values: config::show(&inputs) };
    printer.show(&values, || {
        let mut text = String::new();
        for shown in &values.values {
            writeln!(text, "{} = {}  # {}", shown.key, shown.value, shown.origin)
                .unwrap_or_default();
        }
        text
    });
    Ok(Exit::Done)
}
