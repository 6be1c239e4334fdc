//! What the process ends with, and the one way in which a command refuses.

use serde::{Deserialize, Serialize};

/// Exit codes; the numbers are a promise (docs/reference/exit-codes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A source, or the agent, could not be reached.
    Unreachable = 3,
    /// A gate holds or defers.
    Waiting = 4,
    /// Nothing was asserted.
    Vacuous = 5,
    /// Something was lost.
    Lost = 6,
    /// The release was rolled back.
    RolledBack = 7,
    /// Stuck: a person is needed.
    Stuck = 8,
    /// Somebody else has the lock; try later.
    Locked = 75,
}

/// Every code with what it means and an instance, for `--help`, the manual and the reference.
pub(crate) const CODES: [(Exit, &str, &str); 10] = [
    (
        Exit::Done,
        "done, or nothing to do",
        "the candidate is accepted; what runs is what is offered",
    ),
    (
        Exit::Failed,
        "failed",
        "an app does not start; `status --expect` finds another revision; an update ended unproven",
    ),
    (
        Exit::Usage,
        "usage or configuration",
        "an unknown key, an unknown app, a version that nobody offers",
    ),
    (
        Exit::Unreachable,
        "infrastructure unreachable",
        "the source does not answer; the agent went away",
    ),
    (
        Exit::Waiting,
        "held or deferred by a gate",
        "a major version, the busy flag, a closed window; also a wait that was interrupted",
    ),
    (
        Exit::Vacuous,
        "nothing was asserted",
        "`once` without apps; `snapshot verify` without snapshots",
    ),
    (Exit::Lost, "something was lost", "a snapshot or a recording is damaged"),
    (Exit::RolledBack, "rolled back", "the candidate was bad; the old release runs with its data"),
    (Exit::Stuck, "stuck", "neither release is well: a person is needed"),
    (
        Exit::Locked,
        "lock held, try later",
        "another agent or command works on the same state directory",
    ),
];

/// The codes as `--help` prints them.
pub(crate) fn help() -> String {
    let line =
        |(exit, meaning, _): &(Exit, &str, &str)| format!("  {:>2}  {meaning}", u8::from(*exit));
    let lines: Vec<String> = CODES.iter().map(line).collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Waiting => 4,
            Exit::Vacuous => 5,
            Exit::Lost => 6,
            Exit::RolledBack => 7,
            Exit::Stuck => 8,
            Exit::Locked => 75,
        }
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(code: u8) -> Result<Self, String> {
        let all = [
            Self::Done,
            Self::Failed,
            Self::Usage,
            Self::Unreachable,
            Self::Waiting,
            Self::Vacuous,
            Self::Lost,
            Self::RolledBack,
            Self::Stuck,
            Self::Locked,
        ];
        all.into_iter()
            .find(|exit| u8::from(*exit) == code)
            .ok_or_else(|| format!("{code} is no exit code of ours"))
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(u8::from(exit))
    }
}

/// Why something asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    /// What the command ends with.
    pub(crate) code: Exit,
    /// Why, the whole chain.
    pub(crate) text: String,
}

impl Refusal {
    /// With this code.
    pub(crate) fn new(code: Exit, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The command line asks for what there is not.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// It was tried and failed.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Exit::Failed, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_as_itself() {
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 75_u8] {
            assert_eq!(Exit::try_from(code).map(u8::from), Ok(code));
        }
        assert!(Exit::try_from(9).is_err());
    }
}
