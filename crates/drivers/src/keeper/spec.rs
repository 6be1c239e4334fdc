//! What a keeper is to run, written by the client and read by the keeper and its shim.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Signal};
use serde::{Deserialize, Serialize};

use super::Error;

/// Version of [`KeepSpec`]; a keeper refuses any other.
pub const SCHEMA: u32 = 1;

/// Longest name of an app, transaction or attempt, in bytes: two of them make a file name.
pub const MAX_NAME_BYTES: usize = 120;

/// Fewest bytes per log file: one full pipe, so that a rotation is never the common case.
pub const MIN_LOG_BYTES: u64 = 64 * 1024;

/// Most log files of one run.
pub const MAX_LOG_FILES: u32 = 100;

/// Everything a keeper has to know. The environment is complete: nothing is inherited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepSpec {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The app's name.
    pub app: String,
    /// The update (or start) that this run belongs to.
    pub txn: String,
    /// Names this start within the update. The same name is never started twice.
    pub attempt: String,
    /// Digest of the release that runs.
    pub release: String,
    /// What this is a run of.
    #[serde(default)]
    pub kind: Kind,
    /// Counts the app's runs from 1 on, so that their order does not depend on a clock; 0 where
    /// nobody counted.
    #[serde(default)]
    pub seq: u64,
    /// Program and arguments; a relative program is looked for from `cwd`, a bare name in `PATH`.
    pub argv: Vec<String>,
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// The app's environment. `GROUNDCREW_APP`, `_TXN`, `_ATTEMPT` and `_RUN` are added; `HOME`,
    /// `USER` and `LOGNAME` are added for another user if they are not here.
    pub env: BTreeMap<String, String>,
    /// Whom to run as; `None` is the keeper's own user.
    #[serde(default)]
    pub user: Option<User>,
    /// Resource limits.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Bounds of the log files.
    #[serde(default)]
    pub log: LogLimits,
    /// How to stop the app unless a stop request says otherwise.
    #[serde(default)]
    pub stop: Stop,
    /// How long descendants that outlive the main process have after SIGTERM, in milliseconds.
    #[serde(default = "default_stray_grace_ms")]
    pub stray_grace_ms: u64,
    /// Everything is killed so many milliseconds after the start, whoever is still there to ask
    /// for it; `None`: it may run for ever.
    #[serde(default)]
    pub limit_ms: Option<u64>,
}

/// What is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The app itself.
    #[default]
    App,
    /// A command of the release that changes the app's data.
    Migration,
    /// Any other command beside the app.
    Hook,
}

fn default_stray_grace_ms() -> u64 {
    5_000
}

/// Whom to run as, by name or number from `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User name or id.
    pub name: String,
    /// Primary group, name or id; the user's own by default.
    #[serde(default)]
    pub group: Option<String>,
    /// Supplementary groups beyond those that list the user.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// One resource limit; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is limited.
    pub resource: Limited,
    /// The limit that acts, in the resource's own unit (bytes, seconds, a count).
    pub soft: Option<u64>,
    /// The limit up to which the app may raise it.
    pub hard: Option<u64>,
}

/// Resources that can be limited, with the names of `setrlimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limited {
    /// Bytes of address space.
    As,
    /// Bytes of a core file.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of data segment.
    Data,
    /// Bytes of the largest file.
    Fsize,
    /// Bytes locked in memory.
    Memlock,
    /// Open files.
    Nofile,
    /// Processes of the user.
    Nproc,
    /// Bytes of stack.
    Stack,
}

impl Limited {
    pub(super) fn resource(self) -> Resource {
        match self {
            Self::As => Resource::As,
            Self::Core => Resource::Core,
            Self::Cpu => Resource::Cpu,
            Self::Data => Resource::Data,
            Self::Fsize => Resource::Fsize,
            Self::Memlock => Resource::Memlock,
            Self::Nofile => Resource::Nofile,
            Self::Nproc => Resource::Nproc,
            Self::Stack => Resource::Stack,
        }
    }
}

/// Bounds of the log: at most `files` files of at most `bytes` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLimits {
    /// Bytes of one file, at least [`MIN_LOG_BYTES`].
    pub bytes: u64,
    /// Number of files with the one that is written, 1 to [`MAX_LOG_FILES`].
    pub files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes: 8 * 1024 * 1024, files: 5 }
    }
}

/// How to stop: a signal, and how long the app has before SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// What the app's process group is sent.
    pub signal: StopSignal,
    /// Milliseconds from the signal to SIGKILL.
    pub grace_ms: u64,
}

impl Stop {
    /// A signal and a grace; more than some centuries is as good as some centuries.
    pub fn new(signal: StopSignal, grace: Duration) -> Self {
        Self { signal, grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: StopSignal::Term, grace_ms: 30_000 }
    }
}

/// Signals that ask an app to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopSignal {
    /// `SIGTERM`.
    #[serde(rename = "SIGTERM")]
    Term,
    /// `SIGINT`.
    #[serde(rename = "SIGINT")]
    Int,
    /// `SIGQUIT`.
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// `SIGHUP`.
    #[serde(rename = "SIGHUP")]
    Hup,
    /// `SIGUSR1`.
    #[serde(rename = "SIGUSR1")]
    Usr1,
    /// `SIGUSR2`.
    #[serde(rename = "SIGUSR2")]
    Usr2,
}

impl StopSignal {
    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hup => Signal::HUP,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
        }
    }
}

impl KeepSpec {
    /// A spec with the defaults for everything that is not asked for here.
    pub fn new(
        app: impl Into<String>,
        txn: impl Into<String>,
        attempt: impl Into<String>,
        release: impl Into<String>,
        argv: Vec<String>,
        cwd: impl Into<PathBuf>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            app: app.into(),
            txn: txn.into(),
            attempt: attempt.into(),
            release: release.into(),
            kind: Kind::App,
            seq: 0,
            argv,
            cwd: cwd.into(),
            env: BTreeMap::new(),
            user: None,
            limits: Vec::new(),
            log: LogLimits::default(),
            stop: Stop::default(),
            stray_grace_ms: default_stray_grace_ms(),
            limit_ms: None,
        }
    }

    /// Checks what can be checked without starting anything.
    ///
    /// # Errors
    /// [`Error::Spec`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field, value: &str, why| Err(Error::Spec { field, value: value.into(), why });
        for (field, name) in [("app", &self.app), ("txn", &self.txn), ("attempt", &self.attempt)] {
            let is_path = name.contains('/') || name.starts_with('.');
            if name.is_empty() || name.len() > MAX_NAME_BYTES || is_path {
                return refuse(field, name, "it has to be a short file name");
            }
        }
        if self.argv.first().is_none_or(String::is_empty) {
            return refuse("argv", &self.argv.join(" "), "there is no program");
        }
        if !self.cwd.is_absolute() {
            return refuse("cwd", &self.cwd.to_string_lossy(), "it has to be absolute");
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains('=') {
                return refuse("env", name, "a variable's name is not empty and has no '='");
            }
            if name.contains('\0') || value.contains('\0') {
                return refuse("env", name, "a zero byte ends a variable");
            }
        }
        if self.argv.iter().any(|arg| arg.contains('\0')) {
            return refuse("argv", &self.argv.join(" "), "a zero byte ends an argument");
        }
        if self.log.bytes < MIN_LOG_BYTES {
            return refuse("log.bytes", &self.log.bytes.to_string(), "a log file is too small");
        }
        if !(1..=MAX_LOG_FILES).contains(&self.log.files) {
            return refuse("log.files", &self.log.files.to_string(), "from 1 to 100 are kept");
        }
        Ok(())
    }

    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let spec: Self = super::record::read(path)?
            .ok_or_else(|| Error::file("read", path, std::io::ErrorKind::NotFound.into()))?;
        spec.check()?;
        Ok(spec)
    }
}
