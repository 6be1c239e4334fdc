//! The settings of one app, from what is written about it.

use std::collections::BTreeMap;
use std::path::Path;

use groundcrew_engine::freshness::Limits;
use groundcrew_engine::notes::Markers;
use groundcrew_engine::noun::{AppName, ConfigHash};
use groundcrew_engine::plan::{OnDegraded, Procedure, StopSpec, Traffic, WatchSpec};
use groundcrew_engine::policy::{Downgrades, Mode, Policy, Profile};
use groundcrew_engine::ports::ExternalCheck;
use groundcrew_engine::version::VersionForm;
use groundcrew_engine::window::Windows;
use sha2::{Digest as _, Sha256};

use super::fragments;
use super::settings::{AppSettings, Check};
use super::{health, launch, runtime, source};

/// How windows and blackouts are written.
const WINDOW_HELP: &str =
    "write open = [\"Mon-Fri 02:00-05:00\"], blackout = [\"2026-12-20..2027-01-06\"]";
const DAY_MS: u64 = 86_400_000;
/// Signals that may stop an app.
const SIGNALS: [&str; 6] = ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"];

/// Builds the settings of one app; what is wrong is noted in `check`.
pub(super) fn settings(
    check: &mut Check<'_>,
    profile: Profile,
    state: &Path,
    name: &str,
    app: &fragments::App,
) -> AppSettings {
    let key = |part: &'static str| ["apps", name, part];
    let runs = runtime::runtime(check, name, app);
    let restart = runtime::restart(app.runtime.restart, &runs);
    let procedure = Procedure {
        stop: stop(check, name, &app.stop),
        probes: health::probes(check, name, &app.health),
        prove: health::prove(check, name, &app.health),
        volumes: runtime::volumes(check, name, &app.volumes, &runs, state),
        traffic: traffic(check, name, &app.traffic),
        watch: watch(check, name, &app.watch),
        launch: launch::launch(check, name, &app.runtime, &runs, restart),
    };
    let config = config_hash(&procedure);
    let retain_ms = check.duration(&key("retain"), app.retain.as_ref(), 7 * DAY_MS);
    let poll_ms = check.duration(&key("poll"), app.poll.as_ref(), 300_000);
    if poll_ms < 100 {
        check.wrong(&key("poll"), "shorter than 100ms", "5m is the default");
    }
    let keep = app.keep.unwrap_or(1);
    if keep == 0 {
        check.wrong(&key("keep"), "0 keeps no way back", "1 is the default");
    }
    let policy = Policy {
        app: AppName(name.to_owned()),
        profile,
        mode: mode(app.mode, profile),
        config,
        procedure,
        version_form: version_form(app.gates.version_form),
        downgrades: downgrades(app.gates.downgrades, profile),
        notes_required: app.gates.notes_required.unwrap_or(false),
        markers: app.gates.markers.as_ref().map_or_else(Markers::default, |own| Markers::new(own)),
        windows: windows(check, name, &app.window),
        external: external(check, name, app.gates.external.as_deref().unwrap_or_default()),
        external_data: app.external_data.unwrap_or(false),
        after: app.after.clone().unwrap_or_default(),
        group: app.group.clone().unwrap_or_else(|| "host".to_owned()),
        min_age_ms: check.duration(
            &["apps", name, "gates", "min_age"],
            app.gates.min_age.as_ref(),
            0,
        ),
        retain_ms,
        keep_way_backs: usize::try_from(keep).unwrap_or(usize::MAX),
    };
    check.name(&key("group"), &policy.group);
    let source = source::source(check, name, &app.source);
    let notify = app.notify.clone().unwrap_or_default();
    let stale = |part: &'static str| ["apps", name, "stale", part];
    let stale = Limits {
        silent_ms: check.duration(&stale("source"), app.stale.source.as_ref(), DAY_MS),
        waiting_ms: check.duration(&stale("waiting"), app.stale.waiting.as_ref(), 14 * DAY_MS),
    };
    AppSettings { policy, poll_ms, stale, notify, source, runtime: runs, restart }
}

/// Names a procedure: SHA-256 over its JSON with sorted keys.
pub(super) fn config_hash(procedure: &Procedure) -> ConfigHash {
    let value = serde_json::to_value(procedure).unwrap_or_default();
    ConfigHash(hex(&Sha256::digest(value.to_string().as_bytes())))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mode(written: Option<fragments::Mode>, profile: Profile) -> Mode {
    match (written, profile) {
        (Some(fragments::Mode::Auto), _) => Mode::Auto,
        (Some(fragments::Mode::Notify), _) => Mode::Notify,
        (Some(fragments::Mode::Manual), _) | (None, Profile::Workstation) => Mode::Manual,
        (None, _) => Mode::Auto,
    }
}

fn version_form(written: Option<fragments::VersionForm>) -> VersionForm {
    match written {
        Some(fragments::VersionForm::Plain) => VersionForm::Plain,
        Some(fragments::VersionForm::RecipePlusUpstream) | None => VersionForm::RecipePlusUpstream,
        Some(fragments::VersionForm::UpstreamPlusRecipe) => VersionForm::UpstreamPlusRecipe,
        Some(fragments::VersionForm::Opaque) => VersionForm::Opaque,
    }
}

fn downgrades(written: Option<fragments::Downgrades>, profile: Profile) -> Downgrades {
    match (written, profile) {
        (Some(fragments::Downgrades::Follow), _)
        | (None, Profile::Airborne | Profile::Workstation) => Downgrades::Follow,
        (Some(fragments::Downgrades::Hold), _) | (None, _) => Downgrades::Hold,
    }
}

fn stop(check: &mut Check<'_>, name: &str, stop: &fragments::Stop) -> StopSpec {
    let defaults = StopSpec::default();
    let signal = stop.signal.clone().unwrap_or(defaults.signal);
    if !SIGNALS.contains(&signal.as_str()) {
        let help = format!("one of {}", SIGNALS.join(", "));
        check.wrong(&["apps", name, "stop", "signal"], format!("{signal:?} does not stop"), help);
    }
    if let Some(command) = &stop.before {
        check.command(&["apps", name, "stop", "before"], command);
    }
    let grace_ms =
        check.duration(&["apps", name, "stop", "grace"], stop.grace.as_ref(), defaults.grace_ms);
    StopSpec { signal, grace_ms, before: stop.before.clone() }
}

fn traffic(check: &mut Check<'_>, name: &str, traffic: &fragments::Traffic) -> Traffic {
    if traffic.open.is_some() != traffic.close.is_some() {
        let help = "write both `open` and `close`, or neither";
        check.wrong(&["apps", name, "traffic"], "one of two hooks is missing", help);
    }
    for (part, command) in [("open", &traffic.open), ("close", &traffic.close)] {
        if let Some(command) = command {
            check.command(&["apps", name, "traffic", part], command);
        }
    }
    Traffic { open: traffic.open.clone(), close: traffic.close.clone() }
}

fn watch(check: &mut Check<'_>, name: &str, watch: &fragments::Watch) -> WatchSpec {
    let defaults = WatchSpec::default();
    let key = |part: &'static str| ["apps", name, "watch", part];
    match watch.rule.as_deref() {
        None | Some("probes") => {}
        Some(rule) => check.wrong(
            &key("rule"),
            format!("{rule:?}: not in this release"),
            "leave it out, or write \"probes\"",
        ),
    }
    let interval_ms =
        check.duration(&key("interval"), watch.interval.as_ref(), defaults.interval_ms);
    if interval_ms == 0 {
        check.wrong(&key("interval"), "no pause at all would never end", "5s is the default");
    }
    let failures = watch.failures.unwrap_or(defaults.failures);
    if failures == 0 {
        check.wrong(&key("failures"), "0 failures are always there", "12 is the default");
    }
    WatchSpec {
        window_ms: check.duration(&key("window"), watch.window.as_ref(), defaults.window_ms),
        interval_ms,
        failures,
        on_degraded: match watch.on_degraded {
            None | Some(fragments::OnDegraded::Alert) => OnDegraded::Alert,
            Some(fragments::OnDegraded::Version) => OnDegraded::Version,
            Some(fragments::OnDegraded::VersionAndData) => OnDegraded::VersionAndData,
        },
    }
}

fn windows(check: &mut Check<'_>, name: &str, window: &fragments::Window) -> Option<Windows> {
    let none = Vec::new();
    let open = window.open.as_ref().unwrap_or(&none);
    let blackout = window.blackout.as_ref().unwrap_or(&none);
    if open.is_empty() && blackout.is_empty() {
        return None;
    }
    let zone = window.tz.as_deref().unwrap_or("UTC");
    let tz = match jiff::tz::TimeZone::get(zone) {
        Ok(tz) => tz,
        Err(_) => {
            let help = "use a name of the IANA time zone database, as in \"Europe/Berlin\"";
            let text = format!("there is no time zone {zone:?} on this host");
            check.wrong(&["apps", name, "window", "tz"], text, help);
            return None;
        }
    };
    match Windows::parse(tz, open, blackout) {
        Ok(windows) => Some(windows),
        Err(error) => {
            check.wrong(&["apps", name, "window"], error.to_string(), WINDOW_HELP);
            None
        }
    }
}

fn external(
    check: &mut Check<'_>,
    name: &str,
    checks: &[fragments::External],
) -> Vec<ExternalCheck> {
    let key = ["apps", name, "gates", "external"];
    let mut valid = Vec::new();
    for (index, external) in checks.iter().enumerate() {
        let called = external.name.clone().unwrap_or_else(|| format!("check-{}", index + 1));
        match (&external.command, &external.url) {
            (Some(command), None) => check.command(&key, command),
            (None, Some(url)) => {
                if let Err(why) = health::check_url(url, &["http"]) {
                    let help = "write it as in \"http://127.0.0.1:8080/may-update\"";
                    check.wrong(&key, format!("{called}: {why}"), help);
                }
            }
            _ => check.wrong(
                &key,
                format!("{called}: exactly one of `command` and `url` is needed"),
                "leave one of them out, or write the one that is missing",
            ),
        }
        valid.push(ExternalCheck {
            name: called,
            command: external.command.clone(),
            url: external.url.clone(),
            timeout_ms: check.duration(&key, external.timeout.as_ref(), 10_000),
            about: BTreeMap::new(),
        });
    }
    valid
}
