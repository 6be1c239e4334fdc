//! What the gates are asked about: gathered by the agent, judged without looking at anything else.

use crate::notes::NoteFile;
use crate::noun::{Now, Offer, Release};
use crate::ports::{Busy, Claim, External, Finding, Neighbor, Room};

/// The facts of one round. What was not gathered is `None`; its gate is not in that round.
#[derive(Clone, Debug)]
pub struct GateFacts {
    /// The time.
    pub now: Now,
    /// The candidate.
    pub offer: Offer,
    /// What runs.
    pub current: Option<Release>,
    /// The busy flag.
    pub busy: Option<Busy>,
    /// The candidate's release notes.
    pub notes: NotesFact,
    /// External checks by name.
    pub external: Vec<(String, External)>,
    /// Other apps.
    pub neighbors: Vec<Neighbor>,
    /// Who has the exclusion group, if someone else.
    pub claim: Option<Claim>,
    /// Room on the disks involved.
    pub room: Option<Result<Room, String>>,
    /// Whether the release to return to is here, whole and unchanged.
    pub way_back: Option<Result<(), String>>,
    /// What the probes said of the running release, before anything was touched.
    pub baseline: Option<Baseline>,
}

/// The running release, asked before anything is touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// It went down with the power or by groundcrew's hand, and is about to be started again.
    pub about_to_start: bool,
    /// What its probes said.
    pub findings: Vec<Finding>,
}

/// The candidate's release notes, as far as they could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotesFact {
    /// They come with the release; the second round asks.
    AfterFetch,
    /// These.
    Files(Vec<NoteFile>),
    /// They could not be read.
    Unreadable(String),
}
