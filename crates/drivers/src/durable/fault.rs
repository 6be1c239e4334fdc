//! Faults that tests put under the durable writes: a lost sync, a sync that fails, a power cut.
//!
//! Two hooks, both inert unless somebody sets them:
//!
//! - **a sync fault** drops the syncs of one [`Site`] or lets them fail with EIO, so that a test
//!   can loop over [`Site::ALL`] and turn red each time. It is set per thread with
//!   [`drop_site`] or [`inject`], or for a whole process and its children with the environment
//!   variable [`SYNC_FAULT_ENV`], read once: `drop:plan`, `fail:exit`.
//! - **a crash point** lets the first N changes of the file system happen and refuses all later
//!   ones on this thread, clean-up included: what is left on the disk is what a killed process
//!   would have left. Every function that changes the file system asks [`step`] first.
//!
//! [`trace_syncs`] tells a test which syncs ran.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::OnceLock;

use super::Site;

/// The environment variable of the process-wide sync fault, for tests: `drop:SITE` or `fail:SITE`.
pub const SYNC_FAULT_ENV: &str = "GROUNDCREW_TEST_SYNC_FAULT";

/// What a faulty sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Returns success and has done nothing.
    Drop,
    /// Fails with EIO.
    Fail,
}

thread_local! {
    static FAULT: Cell<Option<(Site, Fault)>> = const { Cell::new(None) };
    static STEPS_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static STEPS_DONE: Cell<u64> = const { Cell::new(0) };
    static TRACE: RefCell<Option<Vec<Site>>> = const { RefCell::new(None) };
}

/// Drops all syncs of one site on this thread; `None` makes them honest again. For tests.
pub fn drop_site(site: Option<Site>) {
    FAULT.set(site.map(|site| (site, Fault::Drop)));
}

/// Puts one fault under all syncs of `site` on this thread until [`drop_site`]`(None)`. For tests.
pub fn inject(site: Site, fault: Fault) {
    FAULT.set(Some((site, fault)));
}

/// Lets `steps` more changes of the file system happen on this thread and refuses all later ones,
/// as if the process had been killed there; `None` ends it. Returns the number of changes counted
/// since the last call. For tests.
pub fn crash_after(steps: Option<u64>) -> u64 {
    STEPS_LEFT.set(steps);
    STEPS_DONE.replace(0)
}

/// True while this thread is "dead": its crash point was reached. For tests.
pub fn crashed() -> bool {
    STEPS_LEFT.get() == Some(0)
}

/// Starts to write down the syncs of this thread, and returns what was written down so far.
/// For tests.
pub fn trace_syncs() -> Vec<Site> {
    TRACE.replace(Some(Vec::new())).unwrap_or_default()
}

/// Asked before every change of the file system.
///
/// # Errors
/// Only after [`crash_after`], when its steps are used up.
pub fn step() -> io::Result<()> {
    STEPS_DONE.set(STEPS_DONE.get().saturating_add(1));
    match STEPS_LEFT.get() {
        None => Ok(()),
        Some(0) => Err(io::Error::other("power was cut here by a test")),
        Some(left) => {
            STEPS_LEFT.set(Some(left - 1));
            Ok(())
        }
    }
}

/// The fault under the syncs of `site`, if any; writes the sync down when there is none.
pub(super) fn of(site: Site) -> Option<Fault> {
    let fault = FAULT.get().or_else(process_wide).filter(|(at, _)| *at == site);
    if fault.is_none() {
        TRACE.with_borrow_mut(|trace| {
            if let Some(trace) = trace {
                trace.push(site);
            }
        });
    }
    fault.map(|(_, fault)| fault)
}

fn process_wide() -> Option<(Site, Fault)> {
    static FROM_ENV: OnceLock<Option<(Site, Fault)>> = OnceLock::new();
    *FROM_ENV.get_or_init(|| std::env::var(SYNC_FAULT_ENV).ok().and_then(|text| parse(&text)))
}

/// Reads `drop:SITE` or `fail:SITE`; anything else is no fault.
fn parse(text: &str) -> Option<(Site, Fault)> {
    let (fault, name) = text.split_once(':')?;
    let fault = match fault {
        "drop" => Fault::Drop,
        "fail" => Fault::Fail,
        _ => return None,
    };
    Site::ALL.iter().find(|site| site.name() == name).map(|site| (*site, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_its_text_and_nothing_else_is() {
        assert_eq!(parse("drop:plan"), Some((Site::Plan, Fault::Drop)));
        assert_eq!(parse("fail:exit"), Some((Site::Exit, Fault::Fail)));
        assert_eq!(parse("drop:nowhere"), None);
        assert_eq!(parse("lose:plan"), None);
        assert_eq!(parse("plan"), None);
    }
}
