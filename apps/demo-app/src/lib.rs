//! `ledger`, a small real service with a data file, in several releases: what the demo and the
//! tests update, break and take back.
//!
//! It keeps numbered rows in one file and serves them over HTTP/1.1 on the loopback interface.
//! Every release is this one library; `--release` says which one it plays.
//!
//! ```text
//! ledger         --release V --data DIR --port N   serve; port 0 takes a free one
//! ledger migrate --release V --data DIR            rewrite the file in V's format
//! ledger undo    --release V --data DIR            rewrite the file in the format before V's
//! ledger check   --release V --data DIR            say whether V could use the file
//!
//! POST /rows     body: a decimal number     200 and the number, once `row N` is on the disk
//! GET  /rows     every row, one per line
//! GET  /health   200 {"status":"ok","version":V} or 503 {"status":"failing","version":V,"detail":…}
//! GET  /version  V
//! ```
//!
//! On standard output it says `listening on 127.0.0.1:PORT` once it accepts connections.
//! SIGTERM: the requests at hand are answered, the file is synced, exit 0.
//!
//! | release | format | what it does |
//! |---|---|---|
//! | 1.0.0 | 1 | good |
//! | 1.1.0 | 2 | good; migrates: every row gets a checksum |
//! | 1.1.1 | 2 | good patch, nothing to migrate |
//! | 1.1.2 | 2 | crashes 2 s after its start, exit code 70 |
//! | 1.1.3 | 2 | healthy at first, says `failing` after 20 s |
//! | 1.1.4 | 2 | ignores SIGTERM |
//! | 1.1.5 | 2 | never opens its port |
//! | 1.2.0 | 3 | its migration loses every third row; then its own check fails: health says `failing` |
//! | 2.0.0 | 4 | good, major; migrates from every older format: checksums chained |
//!
//! `LEDGER_FAULT_AFTER_MS` replaces the 2 s and the 20 s; `--as NAME` lets a release of the table call
//! itself by another version, so that there may be as many releases as a test wants.
//! Every answer says in the header `server` which version gave it.
//!
//! Invariants, each with the test that holds it:
//! - an answered `POST` survives `kill -9`: `kill_during_appends_loses_no_acknowledged_row`;
//! - a release touches only a file in its own format: `a_release_serves_only_its_own_format`;
//! - migrating twice is migrating once: `migrating_keeps_every_row_and_twice_is_once`;
//! - what is undone has every row: `a_migration_that_is_undone_keeps_every_row`.

mod args;
mod file;
mod format;
mod release;
mod serve;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

pub use args::UsageError;
pub use file::FileError;
pub use format::DecodeError;
pub use release::{Behavior, Fault, Format, Migration, RELEASES, behavior};
pub use serve::ServeError;

/// Shortens or lengthens the time until a release's fault shows, in milliseconds.
pub const FAULT_AFTER_ENV: &str = "LEDGER_FAULT_AFTER_MS";

/// Exit code of the release that crashes by itself.
pub const CRASH_EXIT_CODE: u8 = 70;

/// Why the service ended other than by SIGTERM.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line does not say what to do.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The data file cannot be used by this release.
    #[error(transparent)]
    File(#[from] FileError),
    /// The service could not be started.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Standard output is gone.
    #[error("cannot report on standard output")]
    Report {
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// What a program that ends with this error exits with: 2 for usage, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::File(_) | Self::Serve(_) | Self::Report { .. } => 1,
        }
    }
}

/// Does what the arguments (without the program's name) ask for; serving returns after SIGTERM.
///
/// # Errors
/// When the arguments, the data file or the port cannot be used.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Error> {
    let args = args::parse(args)?;
    match args.command {
        args::Command::Serve { port } => {
            let fault = args.behavior.fault.after(fault_after()?);
            let ledger = file::open(&args.data, &args.behavior)?;
            Ok(serve::serve(port, args.behavior.version, fault, ledger)?)
        }
        args::Command::Migrate => {
            let rows = file::migrate(&args.data, &args.behavior)?;
            report(&args.data, &args.behavior, "is in", rows)
        }
        args::Command::Undo => {
            let behavior = args.behavior.before();
            let rows = file::undo(&args.data, &args.behavior)?;
            report(&args.data, &behavior, "is back in", rows)
        }
        args::Command::Check => {
            let rows = file::check(&args.data, &args.behavior)?;
            report(&args.data, &args.behavior, "is well-formed in", rows)
        }
    }
}

fn report(data: &Path, behavior: &Behavior, verdict: &str, rows: usize) -> Result<(), Error> {
    let Behavior { version, format, .. } = behavior;
    let dir = data.display();
    writeln!(std::io::stdout(), "{dir} {verdict} {format}, as {version} wants it: {rows} rows")
        .map_err(|source| Error::Report { source })
}

fn fault_after() -> Result<Option<Duration>, UsageError> {
    let Some(value) = std::env::var_os(FAULT_AFTER_ENV) else { return Ok(None) };
    let ms = value.to_str().and_then(|text| text.parse().ok());
    ms.map(|ms| Some(Duration::from_millis(ms)))
        .ok_or(UsageError::Number { flag: FAULT_AFTER_ENV, value })
}
