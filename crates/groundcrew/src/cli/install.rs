//! `install` and `uninstall`: puts a role on this machine, or its files into a directory.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{InstallArgs, UninstallArgs};
use super::print::{self, Printer};
use crate::config::{self, Overrides};
use crate::exit::{Exit, Refusal};
use crate::install::{self, Content, Fate, Manager, Planned, Role};

#[derive(Serialize)]
struct Step {
    path: String,
    fate: Fate,
}

#[derive(Serialize)]
struct Steps {
    dry_run: bool,
    steps: Vec<Step>,
    role: &'static str,
    /// What became of it.
    state: &'static str,
}

/// `install`.
pub(super) fn install(args: &InstallArgs, printer: &Printer) -> Result<Exit, Refusal> {
    may(args.root.as_deref(), "install")?;
    let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let plan = install::plan(&root, install::pieces(args.role)?)?;
    if args.dry_run {
        show(&plan, true, (args.role, "untouched"), printer);
        if !printer.is_json() {
            print::data(&texts(&plan));
        }
        return Ok(Exit::Done);
    }
    install::carry_out(&plan)?;
    let live = args.root.is_none() && install::is_systemd();
    let state = if live { start(&plan, args.role)? } else { "not started" };
    show(&plan, false, (args.role, state), printer);
    if !live && args.root.is_none() {
        print::talk("groundcrew: systemd does not run here, so nothing was started");
    }
    Ok(Exit::Done)
}

/// `uninstall`.
pub(super) fn uninstall(args: &UninstallArgs, printer: &Printer) -> Result<Exit, Refusal> {
    may(args.root.as_deref(), "uninstall")?;
    let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
    let plan = install::plan_removal(&root, args.role)?;
    let live = args.root.is_none() && install::is_systemd() && !args.dry_run;
    let (mut state, manager) = ("untouched", Manager(args.role));
    if live && plan.iter().any(|planned| planned.piece.restarts && planned.fate == Fate::Remove) {
        // Before its files go: the agent brings up what an update has taken down.
        manager.stop()?;
        state = "stopped";
    }
    if !args.dry_run {
        install::carry_out(&plan)?;
    }
    if live {
        manager.reload()?;
    }
    show(&plan, args.dry_run, (args.role, state), printer);
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
fn start(plan: &[Planned], role: Role) -> Result<&'static str, Refusal> {
    let manager = Manager(role);
    manager.make_places()?;
    manager.reload()?;
    let changed = plan.iter().any(|planned| planned.piece.restarts && planned.fate.is_change());
    if manager.is_active() && !changed {
        return Ok("running");
    }
    config::load(&Overrides::default()).map_err(|problems| {
        Refusal::usage(format!(
            "everything is in place, but the {} is not started: {problems}\n  \
             → mend the configuration, then systemctl restart {}",
            role.name(),
            role.unit()
        ))
    })?;
    manager.restart()?;
    Ok("started")
}

fn show(plan: &[Planned], dry_run: bool, at: (Role, &'static str), printer: &Printer) {
    let (role, state) = (at.0.name(), at.1);
    let step =
        |planned: &Planned| Step { path: planned.path.display().to_string(), fate: planned.fate };
    let steps = Steps { dry_run, steps: plan.iter().map(step).collect(), role, state };
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
        text.push_str(&format!("{role}: {state}\n"));
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
