//! `flight pull`: flights from another directory, disk or host, verified (FLT-1).
//!
//! A flight is listed here when all of it is here. Whatever ends a pull, the next one goes on where
//! it was: files that are whole stay, and of one that is not the rest is fetched.
//!
//! | module | what it knows |
//! |---|---|
//! | `target` | what a person calls a source |
//! | `origin` | what lies there, and which of it is a flight's |
//! | `local`, `ssh` (through `shell`) | how it is read |
//! | `place` | where it goes, and when it gets its name |
//! | `copy` | what is fetched, and whether it is what was there |
//! | `receipt` | the word that is left at the source |

mod copy;
mod local;
mod origin;
mod place;
mod receipt;
mod shell;
mod ssh;
mod target;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use copy::{Copied, Copy};
use local::Local;
use origin::{Offer, Origin, Trouble};
use place::{Place, Shelf};
use receipt::Receipt;
use ssh::Ssh;
use target::Target;

use crate::chain;
use crate::cli::args::PullArgs;
use crate::cli::print::{Printer, said};
use crate::config::units::duration_ms;
use crate::exit::{Exit, Refusal};

/// The shortest time after which a silent host is given up: a line over a satellite needs some.
const PATIENCE_MIN_MS: u64 = 1000;
/// The longest.
const PATIENCE_MAX_MS: u64 = 24 * 3_600_000;
/// What is shown of a list.
const LINES_MAX: usize = 20;

#[derive(Serialize)]
struct Shown {
    source: String,
    recordings: PathBuf,
    flights: Vec<Pulled>,
    /// Directories there that have segments and no flight's name.
    others: Vec<String>,
}

/// What came of one flight.
#[derive(Serialize)]
struct Pulled {
    flight: String,
    path: PathBuf,
    state: State,
    /// Files that were copied, and their bytes.
    files: u64,
    bytes: u64,
    /// Bytes of the flight.
    flight_bytes: u64,
    /// Whether it has its end.
    ended: bool,
    /// What is damaged, there as here.
    damage: Vec<String>,
    /// What lies in its directory there and is not copied.
    left: Vec<String>,
    /// Whether the source says that it was pulled.
    receipt: bool,
    /// Why it was not pulled.
    trouble: Option<String>,
    /// What the command ends with for it.
    #[serde(skip)]
    exit: Exit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// All of it is here now.
    Pulled,
    /// All of it was here before.
    Same,
    /// It has not ended; what there is so far is here, as was asked for.
    Part,
    /// It is being recorded, and was left there.
    Recording,
    /// Nobody ended it, and it was left there.
    Open,
    /// There is nothing in it.
    Empty,
    /// It could not be pulled.
    Failed,
}

/// Pulls flights into a directory.
pub(super) fn run(args: &PullArgs, to: &Path, printer: &Printer) -> Result<Exit, Refusal> {
    let patience = patience(&args.timeout)?;
    let refused = |trouble: &Trouble| Refusal::new(trouble.exit(), chain(trouble));
    let origin: Box<dyn Origin> = match Target::parse(&args.source)? {
        Target::Here(path) => {
            let local = Local::new(&path).map_err(|trouble| refused(&trouble))?;
            if to.canonicalize().is_ok_and(|to| to == local.root()) {
                let text = format!("{} is where the flights are already", to.display());
                return Err(Refusal::usage(text));
            }
            Box::new(local)
        }
        Target::There(remote) => Box::new(Ssh::new(remote, patience)),
    };
    let listing = origin.list().map_err(|trouble| refused(&trouble))?.sorted();
    if listing.offers.is_empty() {
        return Err(nothing(origin.as_ref(), &listing.others));
    }
    let shelf = Shelf::open(to).map_err(|trouble| refused(&trouble))?;
    let (mut flights, mut ended) = (Vec::new(), None);
    let count = listing.offers.len();
    for (number, offer) in (1..).zip(&listing.offers) {
        let pull = Pull { origin: origin.as_ref(), shelf: &shelf, args, to };
        let label = format!("{number}/{count}");
        match pull.flight(offer, &label) {
            Ok(pulled) => flights.push(pulled),
            Err(trouble) => {
                flights.push(Pulled::failed(offer, to, &trouble));
                if !trouble.is_of_one_flight() {
                    ended = Some(refused(&trouble));
                    break;
                }
            }
        }
    }
    let others = listing.others.into_iter().filter(|name| name != local::STANDING).collect();
    let shown = Shown { source: origin.name(), recordings: to.to_owned(), flights, others };
    printer.show(&shown, || text(&shown));
    match ended {
        Some(refusal) => {
            let left = count - shown.flights.len();
            let again = "\n  → what came is kept; the same command goes on with the rest";
            let rest =
                if left > 0 { format!("; {left} flights were not tried") } else { String::new() };
            Err(Refusal::new(refusal.code, format!("{}{rest}{again}", refusal.text)))
        }
        None => Ok(exit(&shown.flights)),
    }
}

/// The worst of what came of them: not pulled, lost, left there, done.
fn exit(flights: &[Pulled]) -> Exit {
    let any = |is: fn(&Pulled) -> bool| flights.iter().any(is);
    let failed = flights.iter().filter(|one| one.state == State::Failed).map(|one| one.exit);
    if let Some(failed) = failed.min() {
        failed
    } else if any(|one| !one.damage.is_empty() || !one.left.is_empty()) {
        Exit::Lost
    } else if any(|one| matches!(one.state, State::Recording | State::Open)) {
        Exit::Waiting
    } else {
        Exit::Done
    }
}

fn nothing(origin: &dyn Origin, others: &[String]) -> Refusal {
    let name = origin.name();
    let text = match others {
        [] => format!("there are no flights in {name}"),
        [only] if only == local::STANDING => format!(
            "{name} has no flight yet, only what was recorded outside flights; `groundcrew flight \
             slice {}` makes a flight of a part of it, there",
            local::STANDING
        ),
        [first, ..] => format!(
            "{name} is no flight and has none: {} is not called by a flight's id",
            said(first, 0)
        ),
    };
    Refusal::usage(text)
}

fn patience(text: &str) -> Result<Duration, Refusal> {
    let ms = duration_ms(text).map_err(|why| Refusal::usage(format!("--timeout {why}")))?;
    if !(PATIENCE_MIN_MS..=PATIENCE_MAX_MS).contains(&ms) {
        return Err(Refusal::usage(format!("--timeout {text}: from 1s to 24h")));
    }
    Ok(Duration::from_millis(ms))
}

/// A pull at work.
struct Pull<'a> {
    origin: &'a dyn Origin,
    shelf: &'a Shelf,
    args: &'a PullArgs,
    to: &'a Path,
}

impl Pull<'_> {
    fn flight(&self, offer: &Offer, label: &str) -> Result<Pulled, Trouble> {
        let left = |state| Ok(Pulled { state, ..Pulled::of(offer, self.to) });
        if offer.is_open() && !self.args.unended {
            return left(if offer.claimed == Some(true) { State::Recording } else { State::Open });
        }
        if offer.items.iter().all(|item| item.segment().is_none()) {
            return left(State::Empty);
        }
        let place = self.shelf.place(offer.id)?;
        let copy = Copy { origin: self.origin, shelf: self.shelf, place: &place, offer, label };
        let copied = copy.run()?;
        if !copied.ended && !self.args.unended {
            // What came lies where the next pull finds it.
            let Copied { files, bytes, .. } = copied;
            return Ok(Pulled { state: State::Open, files, bytes, ..Pulled::of(offer, self.to) });
        }
        copy.finish()?;
        Ok(self.pulled(offer, &place, copied))
    }

    fn pulled(&self, offer: &Offer, place: &Place, copied: Copied) -> Pulled {
        let Copied { files, bytes, all, damage, ended } = copied;
        let state = match (ended, files) {
            (false, _) => State::Part,
            (true, 0) => State::Same,
            (true, _) => State::Pulled,
        };
        let is_all = ended && offer.strange.is_empty();
        let mut pulled =
            Pulled { state, files, bytes, ended, damage, ..Pulled::of(offer, self.to) };
        pulled.flight_bytes = all.iter().map(|file| file.len).sum();
        pulled.receipt = is_all && self.leave(offer, place, &all);
        pulled
    }

    /// Leaves word at the source; whether it is there.
    fn leave(&self, offer: &Offer, place: &Place, all: &[receipt::Known]) -> bool {
        let there = offer.receipt.as_ref().map(|receipt| &receipt.sha256);
        if there == Some(&receipt::digest(all)) {
            return true;
        }
        if self.args.no_receipt {
            return false;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let path = place.meant.canonicalize().unwrap_or_else(|_| place.meant.clone());
        let receipt = Receipt::new(all, now_ms, host, path.display().to_string());
        // A source that cannot be written is no reason to call a flight not pulled.
        self.origin.leave(offer.id, &receipt).is_ok()
    }
}

impl Pulled {
    fn of(offer: &Offer, to: &Path) -> Self {
        let flight = offer.id.to_string();
        Self {
            path: to.join(&flight),
            flight,
            state: State::Empty,
            files: 0,
            bytes: 0,
            flight_bytes: offer.items.iter().map(|item| item.len).sum(),
            ended: false,
            damage: Vec::new(),
            left: offer.strange.clone(),
            receipt: false,
            trouble: None,
            exit: Exit::Done,
        }
    }

    fn failed(offer: &Offer, to: &Path, why: &Trouble) -> Self {
        let trouble = Some(chain(why));
        Self { state: State::Failed, exit: why.exit(), trouble, ..Self::of(offer, to) }
    }
}

fn text(shown: &Shown) -> String {
    let mut text: String = shown.flights.iter().map(line).collect();
    for name in shown.others.iter().take(LINES_MAX) {
        text.push_str(&format!("{}: not called as a flight is, left there\n", said(name, 0)));
    }
    text
}

fn line(one: &Pulled) -> String {
    let Pulled { flight, files, bytes, .. } = one;
    let (size, all) = (super::size(*bytes), super::size(one.flight_bytes));
    let mut text = match one.state {
        State::Pulled => format!("{flight}: pulled, {size} in {files} files\n"),
        State::Same => format!("{flight}: is here already, {all}; nothing was copied\n"),
        State::Part => format!("{flight}: has not ended; {size} in {files} files came\n"),
        State::Recording => format!(
            "{flight}: left there, it is still being recorded (--unended takes what is sealed)\n"
        ),
        State::Open => format!(
            "{flight}: left there, nobody ended it; its recorder's next start does, or `groundcrew \
             flight recover` there (--unended takes it as it is)\n"
        ),
        State::Empty => format!("{flight}: left there, nothing was recorded in it\n"),
        State::Failed => {
            format!("{flight}: not pulled: {}\n", said(one.trouble.as_deref().unwrap_or(""), 2))
        }
    };
    if !one.damage.is_empty() {
        text.push_str("  it is damaged at the source, and so it is here:\n");
        one.damage.iter().for_each(|line| text.push_str(&format!("  {}\n", said(line, 2))));
    }
    if !one.left.is_empty() && one.state != State::Failed {
        text.push_str("  what is no regular file of a flight was left there:\n");
        let lines = one.left.iter().take(LINES_MAX);
        lines.for_each(|name| text.push_str(&format!("  {}\n", said(name, 2))));
        if let Some(more) = one.left.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            text.push_str(&format!("  and {more} more; --json lists them\n"));
        }
    }
    text
}
