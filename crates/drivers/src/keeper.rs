//! The keeper: a small process that owns one run of an app and outlives the agent (RUN-1).
//!
//! The agent starts `groundcrew keep SPECFILE`; that process starts the app, keeps its output and
//! its exit code, and is gone when nothing of the app is left. It decides nothing: it never starts
//! the app again, and it stops it only when asked. Constraints:
//!
//! - The app must outlive the agent, so no parent-death signal, and a session of its own.
//! - One run per directory, for ever: a keeper refuses a directory that was used before.
//! - Whether a run lives is told by a kernel lock that dies with its keeper. Process ids are only a
//!   cross-check, always with start time and boot id.
//!
//! ```text
//! runs/<app>/<txn>-<attempt>/
//!   spec.json     what to run; written by the client before the keeper starts
//!   start.lock    held by a client, and by the keeper it started, until the start is done
//!   lock          held by the keeper for its life
//!   keeper.json   durable before the app is started: from here on something may be running
//!   run.json      durable after the app was started: the start is done
//!   stop.json     the last stop request, if it asked for something else than the spec
//!   exit.json     durable after the last descendant ended, before the lock is released
//!   log, log.1 …  output, rotated; keeper.log is what the keeper itself had to say
//! ```
//!
//! | lock | keeper.json | exit.json | state |
//! |---|---|---|---|
//! | free | no | no | absent |
//! | held | any, but no run.json | no | starting |
//! | held | yes, and run.json | any | running |
//! | free | any | yes | exited |
//! | free | yes | no | vanished: the keeper was killed, or the power went |
//!
//! The app itself is started through a second run of our own binary (`shim.rs`), which sets limits
//! and user on itself and then becomes the app, so nothing has to run between fork and exec.
//!
//! Where systemd is the init and we are root, each keeper has a systemd scope of its own
//! (`scope.rs`), so that it does not share the fate of whoever started it.
//!
//! Invariants, each with its test in `tests/keeper`: a second start never makes a second copy; no
//! descendant survives a stop, not even one that left the session; `exit.json` is complete or absent
//! at any kill; the output's size is bounded.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod cgroup;
pub mod client;
mod error;
mod keep;
mod life;
mod lock;
mod log;
mod procs;
mod record;
mod scope;
mod shim;
pub mod spec;
pub mod tail;
mod users;

pub use error::Error;
pub use procs::Proc;
pub use record::{ExitRecord, KeeperRecord, Outcome, RunRecord};

const SPEC_FILE: &str = "spec.json";
const START_LOCK_FILE: &str = "start.lock";
const LOCK_FILE: &str = "lock";
const KEEPER_FILE: &str = "keeper.json";
const RUN_FILE: &str = "run.json";
const STOP_FILE: &str = "stop.json";
const EXIT_FILE: &str = "exit.json";
const LOG_FILE: &str = "log";
const KEEPER_LOG_FILE: &str = "keeper.log";

/// Set for the second run of our binary, the one that becomes the app.
const STAGE_ENV: &str = "GROUNDCREW_KEEP_STAGE";

/// Marks every process of a run, so that they can be found after the keeper was killed.
const RUN_ENV: &str = "GROUNDCREW_RUN";

/// What the keeper says on its standard output when the start is done.
const SAYS_READY: &str = "ready";

/// What the keeper says when the app could not be started and `exit.json` tells why.
const SAYS_NOT_STARTED: &str = "not started";

/// Exit code of a keeper that found the run's lock held by another one.
const EXIT_LOCKED: u8 = 75;

/// The directory of one run below the state directory's `runs`. Both names may hold dashes, so who
/// lives there is told by the records in it, never by its name.
pub fn run_dir(runs: &Path, app: &str, txn: &str, attempt: &str) -> PathBuf {
    runs.join(app).join(format!("{txn}-{attempt}"))
}

/// The whole of `groundcrew keep SPECFILE`: call it first thing in `main`, while the process has a
/// single thread. Returns when the app and all its descendants have ended.
///
/// 0: the run is over and `exit.json` says how; 75: another keeper has this run; 1: neither, and
/// standard error says why. In the second run of the binary it does not return if all goes well.
pub fn main(spec_path: &Path) -> ExitCode {
    let result = match std::env::var_os(STAGE_ENV) {
        Some(_) => shim::become_app(spec_path),
        None => keep::run(spec_path),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut std::io::stderr(), &error::chain(&error));
            match error {
                Error::Locked { .. } => ExitCode::from(EXIT_LOCKED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The boot that we live in, as the records name it.
pub(crate) fn this_boot() -> Result<String, Error> {
    procs::boot_id()
}

/// User and group ids of whom to run as.
pub(crate) fn ids_of(user: &spec::User) -> Result<(u32, u32), Error> {
    shim::identity(user).map(|identity| (identity.uid, identity.gid))
}

/// The number of a group of this host, by its name or its number; `None`: there is none.
#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    users::group_id(&text, name)
}

/// Says one line to whoever listens; nobody may, the client can be gone.
fn say(to: &mut impl std::io::Write, line: &str) {
    if writeln!(to, "{line}").is_ok() {
        to.flush().ok();
    }
}
