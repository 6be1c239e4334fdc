//! `snapshot list | verify | restore`.

use serde::Serialize;

use super::args::SnapshotCommand;
use super::print::{self, Printer};
use super::reach::{Reach, unexpected};
use crate::config::units::show_bytes;
use crate::config::{Overrides, Settings};
use crate::crew::copies::{self, Copy, Verified};
use crate::crew::request::{Reply, Request};
use crate::exit::{Exit, Refusal};

#[derive(Serialize)]
struct Copies {
    snapshots: Vec<Copy>,
}

#[derive(Serialize)]
struct AllVerified {
    verified: Vec<Verified>,
}

#[derive(Serialize)]
struct Said {
    text: String,
}

/// Runs one of them.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    command: SnapshotCommand,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    match command {
        SnapshotCommand::List { app } => {
            let copies = Copies { snapshots: copies::list(&settings, &app)? };
            printer.show(&copies, || {
                if copies.snapshots.is_empty() {
                    return format!("{app} has no snapshots\n");
                }
                copies.snapshots.iter().map(line).collect()
            });
            Ok(Exit::Done)
        }
        SnapshotCommand::Verify { app, id } => {
            let verified = copies::verify(&settings, &app, id.as_deref())?;
            let all = AllVerified { verified };
            printer.show(&all, || {
                let say = |one: &Verified| match one.differences.as_slice() {
                    [] => format!("{}: whole\n", one.id),
                    found => format!("{}: damaged\n  {}\n", one.id, found.join("\n  ")),
                };
                all.verified.iter().map(say).collect()
            });
            let whole = all.verified.iter().all(|one| one.differences.is_empty());
            Ok(match (all.verified.is_empty(), whole) {
                (true, _) => Exit::Vacuous,
                (false, true) => Exit::Done,
                (false, false) => Exit::Lost,
            })
        }
        SnapshotCommand::Restore { app, id } => {
            let mut reach = Reach::open(settings, overrides)?;
            let text = match reach.ask(Request::Restore { app: app.clone(), id })? {
                Reply::Done { text } => text,
                Reply::Asked { pass, text } => {
                    let text = text.unwrap_or_default();
                    if let Err(refusal) = super::follow::until_up(&mut reach, &app, pass) {
                        return Err(Refusal::new(refusal.code, format!("{text}\n{refusal}")));
                    }
                    format!("{text}\n{app} runs again")
                }
                other => return Err(unexpected(&other)),
            };
            printer.show(&Said { text: text.clone() }, || format!("{text}\n"));
            Ok(Exit::Done)
        }
    }
}

fn line(copy: &Copy) -> String {
    let owner = copy.version.as_deref().unwrap_or("nothing installed");
    let (when, size) = (print::when(copy.taken_ms), show_bytes(copy.bytes));
    format!("{}  {when}  of {owner}, {size}\n", copy.id)
}
