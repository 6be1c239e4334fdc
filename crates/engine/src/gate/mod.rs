//! Gates: questions asked before an app is touched, as pure functions of facts.
//!
//! A gate answers *pass*, *defer* (it will clear by itself) or *hold* (a person must decide). All
//! gates of a round are evaluated and shown, not only the first that says no.

mod data;
mod facts;
mod judge;
#[cfg(test)]
mod tests;

pub use facts::{Baseline, GateFacts, NotesFact};
pub use judge::judge;

use serde::{Deserialize, Serialize};

/// Which gates are asked (design: two rounds, and the volatile ones once more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Round {
    /// What metadata tells, before anything is fetched.
    Candidate,
    /// All of them, from the fetched release.
    Arm,
    /// Those that can change at any moment, just before the stop.
    Volatile,
}

/// Names a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateId {
    /// GATE-1.
    Busy,
    /// GATE-2.
    Version,
    /// GATE-3.
    ManualMigration,
    /// GATE-4.
    KnownBad,
    /// GATE-5.
    Window,
    /// GATE-6.
    Room,
    /// GATE-7.
    WayBack,
    /// GATE-8.
    External,
    /// GATE-11.
    OtherWork,
    /// GATE-12.
    Dependencies,
    /// UPD-24: the app's mode, a pause, a stop by hand.
    Mode,
    /// UPD-7: a probe was red before anything was touched.
    Baseline,
    /// UPD-5, UPD-18: the data could not be read again by the old release.
    Data,
    /// UPD-21: the release is too young.
    Age,
    /// SRC-4: the source offers something that must not be taken.
    Source,
    /// The candidate failed before through no fault of its own.
    Retry,
}

/// One gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which gate.
    pub gate: GateId,
    /// Which of several, for external checks and dependencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it says.
    pub verdict: Verdict,
}

/// What a gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Go on.
    Pass {
        /// Something worth knowing all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remark: Option<String>,
    },
    /// Not now; it clears by itself.
    Defer {
        /// Why.
        reason: String,
        /// Wall clock when it may clear, milliseconds since 1970, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<i64>,
    },
    /// A person must decide.
    Hold {
        /// Why.
        reason: String,
        /// What the person can do.
        remedy: String,
        /// `groundcrew approve` lets it through.
        approvable: bool,
    },
}

impl Answer {
    /// Go on.
    #[must_use]
    pub fn pass(gate: GateId) -> Self {
        Self { gate, name: None, verdict: Verdict::Pass { remark: None } }
    }

    /// Go on, with a remark.
    #[must_use]
    pub fn remark(gate: GateId, remark: impl Into<String>) -> Self {
        Self { gate, name: None, verdict: Verdict::Pass { remark: Some(remark.into()) } }
    }

    /// Not now.
    #[must_use]
    pub fn defer(gate: GateId, reason: impl Into<String>, until_ms: Option<i64>) -> Self {
        Self { gate, name: None, verdict: Verdict::Defer { reason: reason.into(), until_ms } }
    }

    /// A person must act; approving does not help.
    #[must_use]
    pub fn hold(gate: GateId, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (reason, remedy) = (reason.into(), remedy.into());
        Self { gate, name: None, verdict: Verdict::Hold { reason, remedy, approvable: false } }
    }

    /// A person must decide; approving lets it through.
    #[must_use]
    pub fn ask(gate: GateId, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (reason, remedy) = (reason.into(), remedy.into());
        Self { gate, name: None, verdict: Verdict::Hold { reason, remedy, approvable: true } }
    }

    /// The same answer of one of several.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same answer for people: the commands in it name the app and the candidate.
    #[must_use]
    pub fn spelled(mut self, app: &str, version: &str) -> Self {
        match &mut self.verdict {
            Verdict::Pass { .. } => {}
            Verdict::Defer { reason, .. } => *reason = spelled(reason, app, version),
            Verdict::Hold { reason, remedy, .. } => {
                *reason = spelled(reason, app, version);
                *remedy = spelled(remedy, app, version);
            }
        }
        self
    }

    /// It says go on.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self.verdict, Verdict::Pass { .. })
    }

    /// It is a verdict on what was tried, not a question: asking again cannot change it. It ends
    /// with another candidate or with `groundcrew unblock`.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.holds() && matches!(self.gate, GateId::Source | GateId::Retry)
    }

    /// It wants a person.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.verdict, Verdict::Hold { .. })
    }
}

/// Puts names for `APP` and `VERSION` into what stands between backticks and begins with our name;
/// a word of somebody else's program is left alone.
fn spelled(text: &str, app: &str, version: &str) -> String {
    let word = |word: &str| match word {
        "APP" => app.to_owned(),
        "VERSION" => version.to_owned(),
        other => other.to_owned(),
    };
    let part = |(index, part): (usize, &str)| {
        if index % 2 == 0 || !part.starts_with("groundcrew ") {
            return part.to_owned();
        }
        part.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    text.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
}
