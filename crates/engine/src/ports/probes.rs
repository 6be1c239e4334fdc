//! What asks a running app whether it is well.

use crate::plan::{Installed, Probe};

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The probe's name.
    pub probe: String,
    /// `None`: it passed. Else what was seen, for people.
    pub failure: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// Asks an app.
pub trait Probes {
    /// Asks once, uncached, over a fresh connection, within the probe's time limit and with a
    /// bounded read. Changes nothing. A network error or a time-out is a failed probe, never an
    /// error. `of` says which version must answer.
    fn ask(&mut self, probe: &Probe, of: &Installed) -> Finding;
}
