//! The command line: what a person or a script asks for, and what they get back.
//!
//! Data goes to standard output, talk to standard error. A command that writes asks the agent if
//! one runs; else it takes the agent's lock and does it itself. Exit codes are [`Exit`].

mod args;
mod bundle;
pub(crate) mod complete;
mod config;
mod demo;
mod flight;
mod follow;
mod init;
mod install;
mod logs;
pub(crate) mod man;
mod named;
mod plan;
mod postmortem;
pub(crate) mod print;
mod promote;
mod reach;
mod rollback;
mod show;
mod snapshot;
mod source;
mod tell;
mod update;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::agent;
use crate::config::{Overrides, Settings};
use crate::crew::request::{Reply, Request};
use crate::crew::socket::Line;
use crate::exit::{Exit, Refusal};
use crate::recorder;
pub(crate) use args::Args;
use args::Command;
use print::Printer;

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    if complete::answer() {
        return ExitCode::SUCCESS;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are data and no error; both end quietly on a closed pipe.
            drop(error.print());
            return match (error.use_stderr(), is_healthcheck()) {
                (false, _) => Exit::Done.into(),
                (true, false) => Exit::Usage.into(),
                (true, true) => ExitCode::from(HEALTHCHECK_USAGE),
            };
        }
    };
    let printer = Printer::new(args.json);
    match args.command {
        Command::Keep { spec } => groundcrew_drivers::keeper::main(&spec),
        Command::DemoApp { args } => demo_app(args),
        Command::Healthcheck => healthcheck(&args.overrides()),
        command => match run(command, &args.overrides, &printer) {
            Ok(exit) => print::ended(exit).into(),
            Err(refusal) => {
                print::talk(&format!("groundcrew: {refusal}{}", way_out(&refusal.text)));
                refusal.code.into()
            }
        },
    }
}

/// What a person can do about what the host says, whichever command met it.
fn way_out(text: &str) -> &'static str {
    const WAYS: [(&str, &str); 3] = [
        ("(os error 13)", "\n  → run it as root, or as the user whose state directory it is"),
        (
            "(os error 30)",
            "\n  → the disk is mounted read-only; `dmesg` says why, `mount -o remount,rw` ends it",
        ),
        ("(os error 28)", "\n  → the disk is full; `df` says which, make room and try again"),
    ];
    WAYS.iter().find(|(said, _)| text.contains(said)).map_or("", |(_, way)| way)
}

/// What `healthcheck` ends with when it is called wrongly: 1 and 2 say something about health.
const HEALTHCHECK_USAGE: u8 = 64;

fn is_healthcheck() -> bool {
    std::env::args_os().skip(1).any(|arg| arg == "healthcheck")
}

fn settings(overrides: &Overrides) -> Result<Settings, Refusal> {
    crate::config::load(overrides).map_err(|problems| {
        let count = problems.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        Refusal::usage(format!("{count} {noun} in the configuration\n{problems}"))
    })
}

fn run(command: Command, places: &args::Places, printer: &Printer) -> Result<Exit, Refusal> {
    let overrides = places.overrides();
    let settings = || {
        let settings = settings(&overrides)?;
        command.app().map_or(Ok(()), |app| settings.check_app(app))?;
        if command.only_reads() {
            state_is_there(&settings, &overrides)?;
        }
        Ok(settings)
    };
    match command.clone() {
        Command::Init { dir } => init::run(dir.as_deref(), &overrides, printer),
        Command::Install(args) => install::install(&args, printer),
        Command::Uninstall(args) => install::uninstall(&args, printer),
        Command::Config { command } => config::run(command, &overrides, printer),
        Command::Agent => agent::run(settings()?, overrides.clone()),
        Command::Recorder => recorder::run(&settings()?),
        Command::Once { wait } => update::once(settings()?, &overrides, wait, printer),
        Command::Check { app } => show::check(settings()?, &overrides, app.as_deref(), printer),
        Command::Update(ask) if ask.dry_run => {
            plan::run(settings()?, &overrides, &ask.app, false, printer)
        }
        Command::Update(ask) => update::run(settings()?, &overrides, &ask, printer),
        Command::Status { app, expect } => {
            show::status(settings()?, &overrides, app.as_deref(), expect.as_deref(), printer)
        }
        Command::Rollback(ask) if ask.retag.is_some() => {
            promote::retag(&settings()?, &ask, printer)
        }
        Command::Rollback(ask) => rollback::run(settings()?, &overrides, &ask, printer),
        Command::Migrate { app, down, yes } => {
            rollback::migrate(settings()?, &overrides, &app, down, yes, printer)
        }
        Command::History { app, n } => {
            show::history(settings()?, &overrides, app.as_deref(), n, printer)
        }
        Command::Logs { app, n, follow } => logs::run(&settings()?, &app, n, follow, printer),
        Command::Snapshot { command } => snapshot::run(settings()?, &overrides, command, printer),
        Command::Bundle { command } => bundle::run(command, printer),
        Command::Source { command } => source::run(&settings()?, &command, printer),
        Command::Promote(ask) => promote::run(settings()?, &overrides, &ask, printer),
        Command::Postmortem { command } => postmortem::run(&settings()?, command, printer),
        Command::Flight { command } => flight::run(command, &overrides, printer),
        Command::Man { dir } => man::run(dir.as_deref()),
        Command::Demo(args) => demo::run(args, printer.is_json()),
        Command::Completions { shell } => {
            print::data(&String::from_utf8_lossy(&complete::script(&shell)?));
            Ok(Exit::Done)
        }
        command => {
            let request = tell::request(&command)
                .ok_or_else(|| Refusal::usage("this command is not for the agent"))?;
            tell::run(settings()?, &overrides, request, printer)
        }
    }
}

/// A state directory that a person names and that is not there is a slip, not an empty host.
fn state_is_there(settings: &Settings, overrides: &Overrides) -> Result<(), Refusal> {
    if overrides.state.is_none() || settings.state.is_dir() {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "there is no state directory {}\n  → --state or GROUNDCREW_STATE names it; leave both out for \
         the one of the configuration; `groundcrew init` makes one",
        settings.state.display()
    )))
}

fn demo_app(args: Vec<std::ffi::OsString>) -> ExitCode {
    match groundcrew_demo_app::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::talk(&format!("ledger: {}", crate::chain(&error)));
            ExitCode::from(error.exit_code())
        }
    }
}

/// The agent answers on its socket and can write its journal: 0; else 1.
fn healthcheck(overrides: &Overrides) -> ExitCode {
    match ask_health(overrides) {
        Ok((pid, version)) => {
            print::data(&format!("the agent answers: pid {pid}, version {version}\n"));
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            print::talk(&format!("groundcrew: not healthy: {refusal}{}", way_out(&refusal.text)));
            ExitCode::FAILURE
        }
    }
}

fn ask_health(overrides: &Overrides) -> Result<(u32, String), Refusal> {
    let settings = settings(overrides)?;
    let Some(mut line) = Line::open(&settings.run)? else {
        let place = crate::crew::socket::path(&settings.run);
        // Everybody but root has places of their own.
        let other = match rustix::process::geteuid().is_root() {
            true => "",
            false => "\n  → `sudo groundcrew healthcheck` asks the agent of root",
        };
        return Err(Refusal::failed(format!(
            "no agent runs: nobody listens on {}\n  → `groundcrew agent` is one; with systemd: \
             systemctl start groundcrew{other}",
            place.display()
        )));
    };
    let (pid, version) = match line.ask(Request::Ping)? {
        Reply::Pong { pid, version } => (pid, version),
        other => return Err(reach::unexpected(&other)),
    };
    line.ask(Request::TryWrite)?;
    Ok((pid, version))
}
