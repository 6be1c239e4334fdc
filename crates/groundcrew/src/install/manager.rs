//! The machine's service manager, as an installation needs it: told of new units, asked to start.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use groundcrew_drivers::command::{self, Order};

use super::Role;
use crate::chain;
use crate::exit::Refusal;

/// There while systemd is the init of this host, as `sd_booted(3)` says.
const BOOTED: &str = "/run/systemd/system";

/// A stop waits for an app that an update has taken down; the unit's own limit is five minutes.
const TIMEOUT: Duration = Duration::from_secs(6 * 60);

/// Whether systemd runs this machine.
pub(crate) fn is_systemd() -> bool {
    Path::new(BOOTED).is_dir()
}

/// systemd, and the role that it looks after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manager(pub(crate) Role);

impl Manager {
    /// Makes the directories that the unit needs.
    ///
    /// # Errors
    ///
    /// It could not be done.
    pub(crate) fn make_places(self) -> Result<(), Refusal> {
        run(&["systemd-tmpfiles", "--create", "groundcrew.conf"])
    }

    /// Has it read the units again.
    ///
    /// # Errors
    ///
    /// It could not be done.
    pub(crate) fn reload(self) -> Result<(), Refusal> {
        run(&["systemctl", "daemon-reload"])
    }

    /// Whether the role's unit runs, or is about to.
    pub(crate) fn is_active(self) -> bool {
        run(&["systemctl", "is-active", "--quiet", self.0.unit()]).is_ok()
    }

    /// Starts the role, anew if it runs, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn restart(self) -> Result<(), Refusal> {
        let started = run(&["systemctl", "restart", self.0.unit()]);
        started.map_err(|refusal| {
            Refusal::failed(format!("{refusal}\n  → journalctl -u {} says why", self.0.unit()))
        })
    }

    /// Stops the role.
    ///
    /// # Errors
    ///
    /// It could not be done.
    pub(crate) fn stop(self) -> Result<(), Refusal> {
        run(&["systemctl", "stop", self.0.unit()])
    }
}

fn run(argv: &[&str]) -> Result<(), Refusal> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let env: BTreeMap<String, String> = command::base_env();
    let cwd = Path::new("/");
    let order = Order { argv: &argv, cwd, env: &env, input: b"", user: None, timeout: TIMEOUT };
    let failed = |why: String| Refusal::failed(format!("`{}`: {why}", argv.join(" ")));
    let report = command::run(&order).map_err(|error| failed(chain(&error)))?;
    report.failure().map_or(Ok(()), |why| Err(failed(why)))
}
