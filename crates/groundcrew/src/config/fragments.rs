//! What is written in the files: every value optional, every unknown key refused.
//!
//! These types are the shape of the configuration and nothing else; the JSON Schema is generated
//! from them. Durations and sizes are strings here and numbers in [`super::settings`].

mod recorder;
mod runtime;
mod source;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use recorder::Recorder;
pub(crate) use runtime::{Limits, Restart, Runtime, Volume};
pub(crate) use source::Source;

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// Version of this format; 1.
    pub(crate) schema: Option<u32>,
    /// What kind of host this is; `server` by default.
    pub(crate) profile: Option<Profile>,
    /// Where groundcrew keeps its own files.
    pub(crate) paths: Paths,
    /// The flag that says that nothing may be disturbed.
    pub(crate) busy: Busy,
    /// Whether the wall clock is right.
    pub(crate) clock: Clock,
    /// The flight recorder.
    pub(crate) recorder: Recorder,
    /// Any key of an app; each app may override it.
    pub(crate) defaults: App,
    /// Ways to tell people, by name.
    pub(crate) notify: BTreeMap<String, Notify>,
    /// The apps, by name.
    pub(crate) apps: BTreeMap<String, App>,
}

/// What kind of host this is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// A companion computer of an aircraft.
    Airborne,
    /// An operator's machine.
    Workstation,
    /// A host that produces episodes of data.
    Lab,
    /// A self-hosted server.
    Server,
}

/// Where groundcrew keeps its own files.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Paths {
    /// Journal, releases, runs; absolute.
    pub(crate) state: Option<String>,
    /// Control socket and markers, cleared by a reboot; absolute.
    pub(crate) run: Option<String>,
}

/// The flag that says that nothing may be disturbed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Busy {
    /// The file; `in-flight` in the run directory by default.
    pub(crate) path: Option<String>,
    /// What of the file means busy; `non-empty` by default.
    pub(crate) mode: Option<BusyMode>,
}

/// Whether the wall clock is right: windows wait and clean-up pauses until it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Clock {
    /// Who says that it is; `ask` by default.
    pub(crate) synchronized: Option<Synchronized>,
}

/// Who says that the wall clock is right.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Synchronized {
    /// Whoever disciplines it: systemd-timesyncd, or another one that timedatectl knows of.
    Ask,
    /// You do, on a host where nobody can be asked.
    Always,
}

/// What of the busy file means busy.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BusyMode {
    /// Any content.
    NonEmpty,
    /// That it exists.
    Exists,
}

/// A way to tell people.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Notify {
    /// `command`, `webhook`, or `ntfy`: a webhook with `format = "ntfy"`.
    pub(crate) kind: Option<String>,
    /// `command`: program and arguments; the notice arrives as JSON on its standard input.
    pub(crate) command: Option<Vec<String>>,
    /// `webhook`: where to POST.
    pub(crate) url: Option<String>,
    /// `webhook`: the shape of the body.
    pub(crate) format: Option<WebhookFormat>,
    /// `webhook`: a file whose content is sent as bearer token.
    pub(crate) token_file: Option<String>,
    /// Notices below this severity are not sent here; `info` by default.
    pub(crate) min: Option<Severity>,
    /// After this long one try has failed; `10s` by default.
    pub(crate) timeout: Option<String>,
}

/// The shape of a webhook's body.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WebhookFormat {
    /// Groundcrew's own object.
    Json,
    /// An object with `text`, as Slack and its relatives read it.
    Slack,
    /// Plain text with title and priority in headers, as ntfy reads it.
    Ntfy,
}

/// How urgent a notice is.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// For the digest.
    Info,
    /// Odd, recovered.
    Warning,
    /// A person should act.
    Alert,
    /// A person must act now.
    Page,
}

/// One app, or the defaults of all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct App {
    /// Who starts an update; `auto` by default, `manual` on a workstation.
    pub(crate) mode: Option<Mode>,
    /// Pause between two looks for a release; `5m` by default.
    pub(crate) poll: Option<String>,
    /// How long a way back is kept after its update closed; `7d` by default.
    pub(crate) retain: Option<String>,
    /// How many ways back are kept at most; 1 by default.
    pub(crate) keep: Option<u32>,
    /// Names of `[notify.NAME]`; all of them by default.
    pub(crate) notify: Option<Vec<String>>,
    /// When updates may start; always by default.
    pub(crate) window: Window,
    /// How an accepted release is watched.
    pub(crate) watch: Watch,
    /// Apps that must be healthy and not being updated.
    pub(crate) after: Option<Vec<String>>,
    /// One update at a time within a group; the host is one group by default.
    pub(crate) group: Option<String>,
    /// Where releases come from.
    pub(crate) source: Source,
    /// What runs the app.
    pub(crate) runtime: Runtime,
    /// When it is too long that nothing was updated.
    pub(crate) stale: Stale,
    /// How it is stopped.
    pub(crate) stop: Stop,
    /// How it is asked whether it is well.
    pub(crate) health: Health,
    /// Its data directories, by name.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Some of its data lives where no volume holds it, for instance in a database elsewhere:
    /// releases that change it wait for a person, because it does not come back by itself.
    pub(crate) external_data: Option<bool>,
    /// Commands that keep users out while a release is proven.
    pub(crate) traffic: Traffic,
    /// What is asked before it is touched.
    pub(crate) gates: Gates,
}

/// Who starts an update.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Groundcrew, when the gates pass.
    Auto,
    /// A person, who is told of each candidate.
    Notify,
    /// A person, who asks.
    Manual,
}

/// When updates may start.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Window {
    /// IANA time zone; `UTC` by default.
    pub(crate) tz: Option<String>,
    /// `Mon-Fri 02:00-05:00`, `daily 03:00-04:00`.
    pub(crate) open: Option<Vec<String>>,
    /// `2026-12-24`, `2026-12-20..2027-01-06`.
    pub(crate) blackout: Option<Vec<String>>,
}

/// How an accepted release is watched.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Watch {
    /// How the verdict is reached; only `probes` in this release.
    pub(crate) rule: Option<String>,
    /// Accumulated uptime after which it is proven; `15m` by default.
    pub(crate) window: Option<String>,
    /// Pause between two probe rounds; `5s` by default.
    pub(crate) interval: Option<String>,
    /// So many failed rounds in a row make it degraded; 12 by default.
    pub(crate) failures: Option<u32>,
    /// What follows from degraded; `alert` by default.
    pub(crate) on_degraded: Option<OnDegraded>,
}

/// What follows from degraded.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum OnDegraded {
    /// Tell a person; nothing is touched.
    #[serde(rename = "alert")]
    Alert,
    /// Back to the old release; the data stays as it is.
    #[serde(rename = "version")]
    Version,
    /// Back to the old release and its data; what was written since is set aside.
    #[serde(rename = "version+data")]
    VersionAndData,
}

/// When people are told that nothing was updated for too long.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stale {
    /// The source has not answered for this long; `1d` by default.
    pub(crate) source: Option<String>,
    /// A candidate has been held or deferred for this long; `14d` by default.
    pub(crate) waiting: Option<String>,
}

/// How the app is stopped.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stop {
    /// The signal; `SIGTERM` by default.
    pub(crate) signal: Option<String>,
    /// How long it may take before SIGKILL; `30s` by default.
    pub(crate) grace: Option<String>,
    /// A command of the running release to run first.
    pub(crate) before: Option<Vec<String>>,
}

/// How the app is asked whether it is well.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Health {
    /// GET this: 200 is well.
    pub(crate) http: Option<String>,
    /// Members of the JSON answer that must have these values.
    pub(crate) json: BTreeMap<String, String>,
    /// GET this (a URL, or a path at the host of `http`): it answers the release's version.
    pub(crate) version_at: Option<String>,
    /// `host:port` that accepts connections.
    pub(crate) tcp: Option<String>,
    /// A command of the release that exits with 0.
    pub(crate) exec: Option<Vec<String>>,
    /// `docker`: the engine says that the container is healthy.
    pub(crate) container: Option<bool>,
    /// Limit of one probe; `5s` by default.
    pub(crate) timeout: Option<String>,
    /// The first pass must come within this time; `150s` by default.
    pub(crate) start_within: Option<String>,
    /// Pause between rounds until the first pass; `5s` by default.
    pub(crate) startup_interval: Option<String>,
    /// Pause between rounds afterwards; `10s` by default.
    pub(crate) interval: Option<String>,
    /// So many rounds must pass in a row; 3 by default.
    pub(crate) passes: Option<u32>,
    /// So many failed rounds in a row disprove it; 3 by default.
    pub(crate) failures: Option<u32>,
    /// It must stay well this long after the first pass; `0s` by default.
    pub(crate) stable_for: Option<String>,
    /// A file that the app touches while its start makes progress.
    pub(crate) progress_file: Option<String>,
}

/// Commands that close and open the way of users to the app; both or none.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traffic {
    /// Lets users in.
    pub(crate) open: Option<Vec<String>>,
    /// Keeps users out.
    pub(crate) close: Option<Vec<String>>,
}

/// What is asked before the app is touched.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Gates {
    /// A major version: `hold` is the only answer there is.
    pub(crate) major: Option<Major>,
    /// A release must be at least this old; `0s` by default.
    pub(crate) min_age: Option<String>,
    /// No release notes at all is a hold.
    pub(crate) notes_required: Option<bool>,
    /// Phrases in release notes that ask for a person.
    pub(crate) markers: Option<Vec<String>>,
    /// How versions are written; `recipe+upstream` by default.
    pub(crate) version_form: Option<VersionForm>,
    /// What an older release on the channel means.
    pub(crate) downgrades: Option<Downgrades>,
    /// Checks by commands and URLs.
    pub(crate) external: Option<Vec<External>>,
}

/// What a major version means.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Major {
    /// A person is asked.
    Hold,
}

/// How versions are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum VersionForm {
    /// One version; what follows `+` is build metadata.
    #[serde(rename = "plain")]
    Plain,
    /// The part before the first `+` decides.
    #[serde(rename = "recipe+upstream")]
    RecipePlusUpstream,
    /// The part behind the last `+` decides.
    #[serde(rename = "upstream+recipe")]
    UpstreamPlusRecipe,
    /// Any text; versions carry no order.
    #[serde(rename = "opaque")]
    Opaque,
}

/// What an older release on the channel means.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Downgrades {
    /// A rollback by re-tag, if that release was proven here before.
    Follow,
    /// A person is asked.
    Hold,
}

/// A check by a command or a URL.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct External {
    /// Its name in messages.
    pub(crate) name: Option<String>,
    /// 0 passes, 75 is not now, anything else holds.
    pub(crate) command: Option<Vec<String>>,
    /// 2xx passes, 503 is not now, anything else holds.
    pub(crate) url: Option<String>,
    /// Limit; `10s` by default.
    pub(crate) timeout: Option<String>,
}
