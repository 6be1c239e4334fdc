//! Tells the story: text for people, or one JSON object per step.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::cli::print;

/// Tells the story and remembers whether every step was as it should be.
#[derive(Debug)]
pub(super) struct Teller {
    json: bool,
    well: bool,
    begun: Instant,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    expected: &'a str,
    observed: &'a str,
    ok: bool,
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        let teller = Self { json, well: true, begun: Instant::now() };
        teller.talk(
            "groundcrew demo. Nothing outside one temporary directory is touched.\n\
             Windows are shortened: a release is watched for 4 s here, for 15 min by default.\n",
        );
        teller
    }

    /// Something for people only.
    pub(super) fn talk(&self, text: &str) {
        if !self.json {
            print::data(&format!("{text}\n"));
        }
    }

    /// A new act.
    pub(super) fn act(&self, title: &str) {
        let seconds = self.begun.elapsed().as_secs();
        self.talk(&format!("\n── {title}  [{seconds} s]"));
    }

    /// What a step should show and what it showed.
    pub(super) fn step(&mut self, step: &str, expected: &str, observed: &str, ok: bool) {
        self.well &= ok;
        if self.json {
            let line = Step { step, expected, observed, ok };
            let line = serde_json::to_string(&line).unwrap_or_default();
            print::data(&format!("{line}\n"));
            return;
        }
        let mark = if ok { "✓" } else { "✗" };
        print::data(&format!("  {mark} {observed}\n"));
        if !ok {
            print::data(&format!("    expected: {expected}\n"));
        }
    }

    pub(super) fn all_well(&self) -> bool {
        self.well
    }

    pub(super) fn kept(&mut self, place: &Path) {
        let place = place.display().to_string();
        if self.json {
            self.step("kept", "everything is left there", &place, true);
            return;
        }
        self.talk(&format!(
            "\nEverything is left in {place}. To play with it:\n  \
             export GROUNDCREW_CONFIG={place}/groundcrew.toml\n  groundcrew agent &\n  \
             groundcrew status"
        ));
    }
}
