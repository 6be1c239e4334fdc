//! What is valid: numbers with units, paths that are absolute, one policy per app.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use groundcrew_drivers::notify::{self, By, Format, Target};
use groundcrew_engine::freshness::Limits;
use groundcrew_engine::policy::{Policy, Profile};
use groundcrew_engine::ports::Severity;

use super::fragments;
use super::inputs::Inputs;
use super::problem::{Problem, Problems, nearest};
use super::recorder::{self, RecorderSettings};
use super::runtime::Runtime;
use super::source::Source;
use super::{Overrides, across, app, health, units};
use crate::exit::Refusal;

/// Most apps on one host: each has a thread.
const APPS_MAX: usize = 200;
/// Longest name of an app, a volume or a notify target, in bytes: names are parts of file names.
const NAME_MAX_BYTES: usize = 64;

/// Recordings, in the state directory.
const RECORDINGS: &str = "recordings";

/// All settings of this host.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// All files that were read.
    pub(crate) files: Vec<PathBuf>,
    /// The host's profile.
    pub(crate) profile: Profile,
    /// Journal, releases, runs.
    pub(crate) state: PathBuf,
    /// Control socket and markers.
    pub(crate) run: PathBuf,
    /// Where recordings are kept.
    pub(crate) recordings: PathBuf,
    /// How they are made.
    pub(crate) recorder: RecorderSettings,
    /// The busy flag.
    pub(crate) busy: BusyFlag,
    /// A person says that the wall clock is right.
    pub(crate) clock_is_right: bool,
    /// Ways to tell people.
    pub(crate) notify: BTreeMap<String, NotifySettings>,
    /// The apps.
    pub(crate) apps: BTreeMap<String, AppSettings>,
}

impl Settings {
    /// The names of all apps, each after those that it depends on.
    pub(crate) fn in_order(&self) -> Vec<String> {
        let mut sorted: Vec<String> = Vec::new();
        while sorted.len() < self.apps.len() {
            let ready = self.apps.iter().find(|(name, app)| {
                let after = &app.policy.after;
                !sorted.contains(name) && after.iter().all(|other| sorted.contains(other))
            });
            // The configuration has no cycle, so there is always one.
            let Some((name, _)) = ready else { break };
            sorted.push(name.clone());
        }
        sorted
    }

    /// Whether there is an app of this name.
    ///
    /// # Errors
    ///
    /// There is none, and what there is.
    pub(crate) fn check_app(&self, name: &str) -> Result<(), Refusal> {
        self.apps.contains_key(name).then_some(()).ok_or_else(|| self.no_such_app(name))
    }

    /// Why an app of this name cannot be worked on, with the nearest name or all of them.
    pub(crate) fn no_such_app(&self, name: &str) -> Refusal {
        let known = || self.apps.keys().map(String::as_str);
        let help = match nearest(name, known()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if self.apps.is_empty() => "no apps are configured".to_owned(),
            None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        let main = self.files.first().map(|file| file.display().to_string()).unwrap_or_default();
        Refusal::usage(format!("there is no app {name:?} in {main}; {help}"))
    }
}

impl Settings {
    /// All apps in batches: each app after those that it depends on, and within a batch no two of
    /// one exclusion group, so that a batch may be updated at once.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        let mut left = self.in_order();
        let mut done: Vec<String> = Vec::new();
        let mut batches = Vec::new();
        while !left.is_empty() {
            let mut groups: Vec<&str> = Vec::new();
            let (batch, later): (Vec<String>, Vec<String>) = left.into_iter().partition(|name| {
                let Some(app) = self.apps.get(name) else { return true };
                let policy = &app.policy;
                let goes = policy.after.iter().all(|other| done.contains(other))
                    && !groups.contains(&policy.group.as_str());
                if goes {
                    groups.push(&policy.group);
                }
                goes
            });
            done.extend(batch.iter().cloned());
            // The configuration has no cycle, so every batch has an app.
            if batch.is_empty() {
                batches.push(later);
                break;
            }
            batches.push(batch);
            left = later;
        }
        batches
    }
}

/// The busy flag.
#[derive(Clone, Debug)]
pub(crate) struct BusyFlag {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its existence is enough.
    pub(crate) exists: bool,
}

/// A way to tell people.
#[derive(Clone, Debug)]
pub(crate) struct NotifySettings {
    /// How, and the limit of one try.
    pub(crate) target: Target,
    /// Nothing less urgent is sent.
    pub(crate) min: Severity,
}

/// When an app that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Whenever it ended.
    Always,
    /// When it ended other than with exit code 0.
    OnFailure,
    /// Never.
    Never,
}

impl Restart {
    /// As the configuration spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

/// The settings of one app.
#[derive(Clone, Debug)]
pub(crate) struct AppSettings {
    /// What the engine decides by.
    pub(crate) policy: Policy,
    /// Pause between two looks.
    pub(crate) poll_ms: u64,
    /// When it is too long that nothing was updated.
    pub(crate) stale: Limits,
    /// Names of ways to tell people; all where none is named.
    pub(crate) notify: Vec<String>,
    /// Where its releases come from.
    pub(crate) source: Source,
    /// What runs it.
    pub(crate) runtime: Runtime,
    /// When it is started again.
    pub(crate) restart: Restart,
}

/// Collects what is wrong while settings are built.
pub(super) struct Check<'a> {
    inputs: &'a Inputs,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes that a key is wrong.
    pub(super) fn wrong(&mut self, key: &[&str], text: impl Into<String>, help: impl Into<String>) {
        let origin = self.inputs.origin(key);
        let help: String = help.into();
        let help = (!help.is_empty()).then_some(help);
        self.problems.push(Problem { origin, key: key.join("."), text: text.into(), help });
    }

    /// A duration in milliseconds; the default where none is written or it is wrong.
    pub(super) fn duration(&mut self, key: &[&str], text: Option<&String>, default: u64) -> u64 {
        match text.map(|text| units::duration_ms(text)) {
            None => default,
            Some(Ok(ms)) => ms,
            Some(Err(why)) => {
                self.wrong_unit(key, &why);
                default
            }
        }
    }

    /// What a number with a unit has wrong; behind the semicolon is how it is written.
    fn wrong_unit(&mut self, key: &[&str], why: &str) {
        let (text, help) = why.split_once("; ").unwrap_or((why, "write a smaller one"));
        self.wrong(key, text, help);
    }

    /// A size in bytes.
    pub(super) fn size(&mut self, key: &[&str], text: Option<&String>) -> Option<u64> {
        match units::size_bytes(text?) {
            Ok(bytes) => Some(bytes),
            Err(why) => {
                self.wrong_unit(key, &why);
                None
            }
        }
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &[&str], text: &str) -> PathBuf {
        let path = PathBuf::from(text);
        let plain = path.components().all(|part| {
            !matches!(part, std::path::Component::ParentDir | std::path::Component::CurDir)
        });
        if !path.is_absolute() || !plain {
            let text = format!("{text:?} is not an absolute path without `.` and `..`");
            self.wrong(key, text, "write the whole path, from /");
        }
        path
    }

    /// A command: at least a program.
    pub(super) fn command(&mut self, key: &[&str], command: &[String]) {
        if let Some(program) = command.first().filter(|program| program.starts_with('/'))
            && !Path::new(program).exists()
        {
            let text = format!("there is no program {program}");
            self.wrong(key, text, "put it there, or correct the path");
        }
        if command.first().is_none_or(String::is_empty) {
            self.wrong(
                key,
                "the command is empty",
                "write program and arguments, as in [\"true\"]",
            );
        }
    }

    /// A name that becomes part of a file name.
    pub(super) fn name(&mut self, key: &[&str], name: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || !name.chars().all(fits) || name.len() > NAME_MAX_BYTES {
            let text = format!("{name:?} cannot be a name");
            let help = format!(
                "use letters, digits, `-`, `_` and `.`, at most {NAME_MAX_BYTES}, first a letter or digit"
            );
            self.wrong(key, text, help);
        }
    }
}

/// Builds the settings.
///
/// # Errors
///
/// All that is wrong.
pub(crate) fn settings(inputs: &Inputs, overrides: &Overrides) -> Result<Settings, Problems> {
    let mut check = Check { inputs, problems: Vec::new() };
    let file = &inputs.merged;
    match file.schema {
        Some(1) => {}
        Some(other) => check.wrong(
            &["schema"],
            format!("version {other} of the format is not known"),
            "this groundcrew reads schema = 1",
        ),
        None => check.wrong(&[], "`schema` is missing", "write schema = 1 at the top"),
    }
    let profile = profile(file.profile);
    let (state, run) = places(&mut check, &file.paths, overrides);
    let recordings = match &file.recorder.root {
        Some(text) => check.path(&["recorder", "root"], text),
        None => state.join(RECORDINGS),
    };
    let recorder = recorder::settings(&mut check, &file.recorder);
    let busy = busy(&mut check, &file.busy, &run);
    let targets = file
        .notify
        .iter()
        .map(|(name, target)| (name.clone(), notify_target(&mut check, name, target)))
        .collect();
    if file.apps.len() > APPS_MAX {
        let text = format!("{} apps, at most {APPS_MAX} are looked after", file.apps.len());
        check.wrong(&["apps"], text, "let another host look after some of them");
    }
    let mut apps = BTreeMap::new();
    for (name, fragment) in &file.apps {
        check.name(&["apps", name], name);
        apps.insert(name.clone(), app::settings(&mut check, profile, &state, name, fragment));
    }
    let settings = Settings {
        files: inputs.files.clone(),
        profile,
        state,
        run,
        recordings,
        recorder,
        busy,
        clock_is_right: matches!(file.clock.synchronized, Some(fragments::Synchronized::Always)),
        notify: targets,
        apps,
    };
    across::check(&mut check, &settings);
    if check.problems.is_empty() { Ok(settings) } else { Err(Problems(check.problems)) }
}

fn profile(fragment: Option<fragments::Profile>) -> Profile {
    match fragment {
        Some(fragments::Profile::Airborne) => Profile::Airborne,
        Some(fragments::Profile::Workstation) => Profile::Workstation,
        Some(fragments::Profile::Lab) => Profile::Lab,
        Some(fragments::Profile::Server) | None => Profile::Server,
    }
}

fn places(
    check: &mut Check<'_>,
    paths: &fragments::Paths,
    overrides: &Overrides,
) -> (PathBuf, PathBuf) {
    let root = rustix::process::geteuid().is_root();
    let written = paths.state.as_ref().map(|text| check.path(&["paths", "state"], text));
    let state = overrides.state.clone().or(written.clone());
    let elsewhere = state.is_some();
    let state = state.unwrap_or_else(|| default_state(root));
    let run = match &paths.run {
        Some(text) if overrides.state.is_none() || written == overrides.state => {
            check.path(&["paths", "run"], text)
        }
        // A state directory of its own has its own socket, so that two crews never meet in one.
        _ if elsewhere => state.join("run"),
        _ if root => PathBuf::from("/run/groundcrew"),
        _ => match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute()) {
            Some(dir) => PathBuf::from(dir).join("groundcrew"),
            None => state.join("run"),
        },
    };
    (state, run)
}

/// Where recordings are kept when no configuration says so.
pub(crate) fn default_recordings(overrides: &Overrides) -> PathBuf {
    let root = rustix::process::geteuid().is_root();
    overrides.state.clone().unwrap_or_else(|| default_state(root)).join(RECORDINGS)
}

fn default_state(root: bool) -> PathBuf {
    if root {
        return PathBuf::from("/var/lib/groundcrew");
    }
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("groundcrew")
}

fn busy(check: &mut Check<'_>, busy: &fragments::Busy, run: &Path) -> BusyFlag {
    let path = match &busy.path {
        Some(text) => check.path(&["busy", "path"], text),
        None => run.join("in-flight"),
    };
    BusyFlag { path, exists: matches!(busy.mode, Some(fragments::BusyMode::Exists)) }
}

fn notify_target(check: &mut Check<'_>, name: &str, target: &fragments::Notify) -> NotifySettings {
    check.name(&["notify", name], name);
    let key = |part: &'static str| ["notify", name, part];
    let by = match target.kind.as_deref() {
        Some("command") => {
            let command = target.command.clone().unwrap_or_default();
            check.command(&key("command"), &command);
            By::Command(command)
        }
        Some(kind @ ("webhook" | "ntfy")) => {
            let url = target.url.clone().unwrap_or_default();
            if target.url.is_none() {
                let help = "write it as in \"https://chat.lan/hooks/updates\"";
                check.wrong(&["notify", name], format!("a {kind} needs `url`"), help);
            } else if let Err(why) = health::check_url(&url, &["http", "https"]) {
                check.wrong(&key("url"), why, "write it as in \"https://chat.lan/hooks/updates\"");
            }
            let token_file =
                target.token_file.as_ref().map(|text| check.path(&key("token_file"), text));
            let format = match target.format {
                Some(fragments::WebhookFormat::Slack) => Format::Slack,
                Some(fragments::WebhookFormat::Ntfy) => Format::Ntfy,
                None if kind == "ntfy" => Format::Ntfy,
                Some(fragments::WebhookFormat::Json) | None => Format::Json,
            };
            By::Webhook { url, format, token_file }
        }
        _ => {
            let help = "this release has command, webhook, ntfy";
            check.wrong(&["notify", name], "`kind` is missing", help);
            By::Command(Vec::new())
        }
    };
    let min = match target.min {
        None | Some(fragments::Severity::Info) => Severity::Info,
        Some(fragments::Severity::Warning) => Severity::Warning,
        Some(fragments::Severity::Alert) => Severity::Alert,
        Some(fragments::Severity::Page) => Severity::Page,
    };
    let default_ms = u64::try_from(notify::TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let timeout_ms = check.duration(&key("timeout"), target.timeout.as_ref(), default_ms);
    NotifySettings { target: Target { by, timeout: Duration::from_millis(timeout_ms) }, min }
}
