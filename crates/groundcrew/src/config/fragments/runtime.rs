//! What is written about what runs an app, and about its data.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What runs the app.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Runtime {
    /// `process` or `docker`.
    pub(crate) kind: Option<String>,
    /// `docker`: the name of the container, which somebody made once as the app is to run.
    pub(crate) container: Option<String>,
    /// `docker`: the engine's socket; `/var/run/docker.sock` by default.
    pub(crate) socket: Option<String>,
    /// User to run as; the agent's own by default.
    pub(crate) user: Option<String>,
    /// Primary group; the user's own by default.
    pub(crate) group: Option<String>,
    /// A file of `NAME=value` lines.
    pub(crate) env_file: Option<String>,
    /// Environment variables; they win over `env_file`.
    pub(crate) env: BTreeMap<String, String>,
    /// When an app that ended is started again; `on-failure` by default. A container's own restart policy
    /// stands beside it, so for `docker` it is `never` by default.
    pub(crate) restart: Option<Restart>,
    /// Names of secrets that this host makes once for the app; `{secret.NAME}` in a command or in
    /// `env` is the path of the file.
    pub(crate) secrets: Option<Vec<String>>,
    /// Resource limits.
    pub(crate) limits: Limits,
}

/// When an app that ended is started again.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Restart {
    /// Whenever it ended.
    Always,
    /// When it ended other than with exit code 0.
    OnFailure,
    /// Never.
    Never,
}

/// Resource limits of the app's processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Open files.
    pub(crate) nofile: Option<u64>,
    /// Processes of the user.
    pub(crate) nproc: Option<u64>,
    /// Size of a core file.
    pub(crate) core: Option<String>,
    /// Address space.
    pub(crate) memory: Option<String>,
    /// The largest file.
    pub(crate) fsize: Option<String>,
}

/// One data directory.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Volume {
    /// Absolute path; made for the app's user, mode 0750, if it is missing before the first start.
    pub(crate) path: Option<String>,
    /// `docker`: the path in the container that it is mounted at, instead of `path`.
    pub(crate) mount: Option<String>,
}
