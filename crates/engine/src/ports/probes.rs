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

/// What [`contract`] needs of whoever calls it.
#[allow(missing_debug_implementations, reason = "closures have no useful form")]
pub struct Fixture<'f> {
    /// A probe that sees which release answers.
    pub probe: &'f Probe,
    /// The release that answers.
    pub of: &'f Installed,
    /// One that does not.
    pub other: &'f Installed,
    /// Makes what answers well or ill.
    pub set_well: &'f mut dyn FnMut(bool),
}

/// What everybody promises who asks apps, checked through the trait.
///
/// # Panics
///
/// A promise is broken.
pub fn contract(probes: &mut dyn Probes, fixture: &mut Fixture<'_>) {
    // The order shows an answer that was remembered.
    for well in [true, true, false, false, true] {
        (fixture.set_well)(well);
        let finding = probes.ask(fixture.probe, fixture.of);
        assert_eq!(finding.probe, fixture.probe.name.as_str());
        assert_eq!(finding.failure.is_none(), well, "{finding:?}");
        let finding = probes.ask(fixture.probe, fixture.other);
        assert!(finding.failure.is_some(), "another release answered: {finding:?}");
    }
}
