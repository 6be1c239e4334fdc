//! Kills and power cuts at random instants of real updates, and the truth after each.
//!
//! A run is a row of *lives*: a fresh host, an installation, then rounds. A round offers a candidate,
//! good and bad ones alternating, strikes while the agent, `once` or `update` works on it, starts
//! again, waits until nothing is under way, and compares with the ground truth from the outside.
//! A client writes rows all along. The first violation ends the run and keeps the life's directory.

mod aim;
mod blackbox;
mod life;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use serde_json::{Value, json};

use crate::Result;
use crate::disks::Kind;
use crate::host::Places;
use crate::ledger::Ledger;
use crate::postgres::Postgres;
use crate::random::Random;
use crate::subject::Subject;
use life::Life;

pub use blackbox::{NAME as RECORDER, Part};

/// A host is given up after so many rounds: a new one has another layout and an empty history.
const ROUNDS_PER_LIFE: u32 = 14;

/// Lives per blow that is asked for; most rounds have one. More means that blows do not fall at all.
const LIVES_PER_BLOW_MAX: u32 = 2;

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blows {
    /// SIGKILL of whoever works on the update.
    Kills,
    /// The power of the whole host.
    PowerCuts,
}

impl Blows {
    fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::PowerCuts => "power cuts",
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program under test.
    pub program: PathBuf,
    /// Which app.
    pub app: String,
    /// What strikes.
    pub blows: Blows,
    /// How often.
    pub count: u32,
    /// Where chance begins.
    pub seed: u64,
    /// The kind of the file systems; `None`: by chance.
    pub disk: Option<Kind>,
    /// Where the lives lie.
    pub dir: PathBuf,
}

impl Options {
    /// The app to break, on a host with these places.
    fn subject(&self, places: &Places) -> Result<Arc<dyn Subject>> {
        match self.app.as_str() {
            crate::ledger::NAME => {
                Ok(Arc::new(Ledger::new(&self.program, places.data.join("data"))?))
            }
            crate::postgres::NAME => Ok(Arc::new(Postgres::new(places)?)),
            other => {
                bail!("there is no app {other:?} to break; there are ledger, postgres and recorder")
            }
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Where the blows fell, and how many.
    pub phases: BTreeMap<String, u32>,
    /// Rounds in all.
    pub rounds: u32,
    /// Rounds that ended with the candidate.
    pub new: u32,
    /// Hosts.
    pub lives: u32,
    /// Blows in all: each at an instant drawn by time, or in the phase it was aimed at.
    pub blows: u32,
    /// Blows that were aimed at a phase that never came. They fell later and are not counted.
    pub missed: u32,
    /// What went wrong, with everything to understand it.
    pub violation: Option<String>,
    /// What else was counted.
    pub figures: BTreeMap<&'static str, u64>,
    /// How long it took, in seconds.
    pub seconds: u64,
}

/// Strikes until there were as many blows as asked for, or a violation; `say` hears of each round.
///
/// # Errors
/// The rig itself failed.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    if options.app == RECORDER {
        return blackbox::run(options, say);
    }
    let begun = Instant::now();
    let mut random = Random::new(options.seed);
    let mut outcome = Outcome::default();
    while outcome.blows < options.count && outcome.violation.is_none() {
        outcome.lives += 1;
        if outcome.lives > options.count.saturating_mul(LIVES_PER_BLOW_MAX) {
            bail!(
                "only {} of {} blows fell in {} rounds",
                outcome.blows,
                options.count,
                outcome.rounds
            );
        }
        let dir = options.dir.join(format!("life-{}", outcome.lives));
        let mut life = Life::begin(options, &dir, &mut random)?;
        for _ in 0..ROUNDS_PER_LIFE {
            let round = life.round(&mut random)?;
            outcome.rounds += 1;
            outcome.new += u32::from(round.new);
            outcome.missed += round.missed;
            for phase in &round.blows {
                outcome.blows += 1;
                *outcome.phases.entry(phase.clone()).or_default() += 1;
            }
            let ended = if round.new { "new" } else { "old" };
            let at = match round.missed {
                0 if round.blows.is_empty() => "nothing".into(),
                0 => round.blows.join(", "),
                _ => "what came instead of its phase".into(),
            };
            say(&format!("{}/{}: after {at}: {ended}", outcome.blows, options.count));
            if let Some(violation) = round.violation {
                let seed = options.seed;
                let count = outcome.blows;
                let head = format!("seed {seed}, blow {count}, {}\n", dir.display());
                outcome.violation = Some(head + &violation);
            }
            if outcome.blows >= options.count || outcome.violation.is_some() {
                break;
            }
        }
        drop(life);
        if outcome.violation.is_none() {
            // A life that ended well tells nothing; one that cannot be removed harms nobody.
            std::fs::remove_dir_all(&dir).ok();
        }
    }
    outcome.seconds = begun.elapsed().as_secs();
    Ok(outcome)
}

impl Outcome {
    /// For machines, on one line.
    #[must_use]
    pub fn json(&self, options: &Options) -> Value {
        json!({
            "schema": 1,
            "app": options.app,
            "blows": options.blows.name(),
            "seed": options.seed,
            "count": self.blows,
            "missed": self.missed,
            "rounds": self.rounds,
            "ended_new": self.new,
            "ended_old": self.rounds - self.new,
            "lives": self.lives,
            "phases": self.phases,
            "figures": self.figures,
            "violations": u32::from(self.violation.is_some()),
            "seconds": self.seconds,
        })
    }

    /// For people: the table of where the blows fell.
    #[must_use]
    pub fn table(&self, options: &Options) -> String {
        let mut text = String::from("| last event before the blow | blows |\n|---|---|\n");
        for (phase, count) in &self.phases {
            // Writing to a text does not fail.
            writeln!(text, "| {phase} | {count} |").ok();
        }
        for (what, figure) in &self.figures {
            writeln!(text, "{what}: {figure}").ok();
        }
        let verdict = if self.violation.is_some() { "VIOLATED" } else { "0 violations" };
        // A recording has no releases.
        let ended = match self.rounds - self.new {
            _ if options.app == RECORDER => String::new(),
            old => format!("{} ended new, {old} old; ", self.new),
        };
        writeln!(
            text,
            "{} {} of {} in {} rounds ({} aims missed) on {} hosts, {} s, seed {}: {ended}{verdict}",
            self.blows,
            options.blows.name(),
            options.app,
            self.rounds,
            self.missed,
            self.lives,
            self.seconds,
            options.seed,
        )
        .ok();
        text
    }
}
