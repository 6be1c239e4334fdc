//! `install` and `uninstall`: puts the agent on this machine, or its files into a directory.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{InstallArgs, UninstallArgs};
use super::print::{self, Printer};
use crate::config::{self, Overrides};
use crate::exit::{Exit, Refusal};
use crate::install::{self, Content, Fate, Manager, Planned};

#[derive(Serialize)]
struct Step {
    path: String,
    fate: Fate,
}

#[derive(Serialize)]
struct Steps {
    dry_run: bool,
    steps: Vec<Step>,
    agent: &'static str,
}

/// `install`.
pub(super) fn install(args: &InstallArgs, printer: &Printer) -> Result<Exit, Refusal> {
    may(args.root.as_deref(), "install")?;
    let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let plan = install::plan(&root, install::pieces()?)?;
    if args.dry_run {
        show(&plan, true, "untouched", printer);
        if !printer.is_json() {
            print::data(&texts(&plan));
        }
        return Ok(Exit::Done);
    }
    install::carry_out(&plan)?;
    let live = args.root.is_none() && install::is_systemd();
    let agent = if live { start(&plan)? } else { "not started" };
    show(&plan, false, agent, printer);
    if !live && args.root.is_none() {
        print::talk("groundcrew: systemd does not run here, so nothing was started");
    }
    Ok(Exit::Done)
}

/// `uninstall`.
pub(super) fn uninstall(args: &UninstallArgs, printer: &Printer) -> Result<Exit, Refusal> {
    may(args.root.as_deref(), "uninstall")?;
    let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let plan = install::plan_removal(&root, install::pieces()?)?;
    let live = args.root.is_none() && install::is_systemd() && !args.dry_run;
    let mut agent = "untouched";
    if live && plan.iter().any(|planned| planned.piece.restarts && planned.fate == Fate::Remove) {
        // Before its files go: the agent brings up what an update has taken down.
        Manager.stop()?;
        agent = "stopped";
    }
    if !args.dry_run {
        install::carry_out(&plan)?;
    }
    if live {
        Manager.reload()?;
    }
    show(&plan, args.dry_run, agent, printer);
    if !args.dry_run && !printer.is_json() {
        print::talk(
            "groundcrew: the configuration, the state directory and all data stay; apps keep running",
        );
    }
    Ok(Exit::Done)
}

/// Whoever writes to `/` is root; a directory of one's own needs no rights.
fn may(root: Option<&Path>, what: &str) -> Result<(), Refusal> {
    if root.is_some() || rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Refusal::usage(format!(
        "`groundcrew {what}` changes this machine and has to be run by root\n  \
         → sudo groundcrew {what}, or --root DIR to look at what it writes"
    )))
}

/// Starts what changed. A configuration that is wrong leaves a running agent as it is.
fn start(plan: &[Planned]) -> Result<&'static str, Refusal> {
    Manager.make_places()?;
    Manager.reload()?;
    let changed = plan.iter().any(|planned| planned.piece.restarts && planned.fate.is_change());
    if Manager.is_active() && !changed {
        return Ok("running");
    }
    config::load(&Overrides::default()).map_err(|problems| {
        Refusal::usage(format!(
            "everything is in place, but the agent is not started: {problems}\n  \
             → mend the configuration, then systemctl restart groundcrew"
        ))
    })?;
    Manager.restart()?;
    Ok("started")
}

fn show(plan: &[Planned], dry_run: bool, agent: &'static str, printer: &Printer) {
    let step =
        |planned: &Planned| Step { path: planned.path.display().to_string(), fate: planned.fate };
    let steps = Steps { dry_run, steps: plan.iter().map(step).collect(), agent };
    printer.show(&steps, || {
        let mut text = String::new();
        for step in &steps.steps {
            let word = match (step.fate, dry_run) {
                (Fate::Write, true) => "would write",
                (Fate::Write, false) => "wrote",
                (Fate::Replace, true) => "would replace",
                (Fate::Replace, false) => "replaced",
                (Fate::Remove, true) => "would remove",
                (Fate::Remove, false) => "removed",
                (Fate::Keep, _) => "keeps",
                (Fate::Same, _) => "has",
                (Fate::Absent, _) => continue,
            };
            text.push_str(&format!("{word} {}\n", step.path));
        }
        if text.is_empty() {
            text.push_str("nothing is installed\n");
        }
        text.push_str(&format!("agent: {agent}\n"));
        text
    });
}

/// The texts that would be written and that a person may want to read.
fn texts(plan: &[Planned]) -> String {
    let mut all = String::new();
    for planned in plan.iter().filter(|planned| planned.piece.shown && planned.fate.is_change()) {
        if let Content::Bytes(bytes) = &planned.piece.content {
            let text = String::from_utf8_lossy(bytes);
            all.push_str(&format!("\n--- {}\n{text}", planned.path.display()));
        }
    }
    all
}
