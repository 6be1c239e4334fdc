//! What is wrong between two values that are each right: contradictions are refused at load.

use std::path::{Path, PathBuf};

use groundcrew_engine::plan::OnDegraded;
use groundcrew_engine::policy::Mode;

use super::runtime::Runtime;
use super::settings::{Check, Settings};
use super::source::Source;
use super::units::show_ms;

/// Notes every contradiction.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings) {
    for name in settings.apps.keys() {
        watch_is_long_enough(check, settings, name);
        all_data_or_none(check, settings, name);
        dependencies_exist(check, settings, name);
        targets_exist(check, settings, name);
        runtime_runs_images(check, settings, name);
    }
    no_cycle(check, settings);
    volumes_are_apart(check, settings);
}

/// A watch that ends before a sick start is noticed proves nothing.
fn watch_is_long_enough(check: &mut Check<'_>, settings: &Settings, name: &str) {
    let Some(app) = settings.apps.get(name) else { return };
    let (prove, watch) = (&app.policy.procedure.prove, &app.policy.procedure.watch);
    let failing_ms = watch.interval_ms.saturating_mul(u64::from(watch.failures));
    let least_ms = prove.start_within_ms.saturating_add(failing_ms);
    if watch.window_ms < least_ms {
        let text = format!(
            "{} is shorter than health.start_within {} and {} failed rounds of {} together",
            show_ms(watch.window_ms),
            show_ms(prove.start_within_ms),
            watch.failures,
            show_ms(watch.interval_ms),
        );
        let help = format!("make the window at least {}", show_ms(least_ms));
        check.wrong(&["apps", name, "watch", "window"], text, help);
    }
}

/// UPD-18: a part of the data that comes back under a part that does not is a mixture.
fn all_data_or_none(check: &mut Check<'_>, settings: &Settings, name: &str) {
    let Some(app) = settings.apps.get(name) else { return };
    let on_degraded = app.policy.procedure.watch.on_degraded;
    if app.policy.external_data && on_degraded == OnDegraded::VersionAndData {
        let text = "would bring back only the part of the data that lies in volumes";
        let help = "use \"alert\" or \"version\" where `external_data` is true";
        check.wrong(&["apps", name, "watch", "on_degraded"], text, help);
    }
}

fn dependencies_exist(check: &mut Check<'_>, settings: &Settings, name: &str) {
    let Some(app) = settings.apps.get(name) else { return };
    for other in &app.policy.after {
        if !settings.apps.contains_key(other) {
            let known = settings.apps.keys().map(String::as_str);
            let help = match super::nearest(other, known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "name an app of this host".to_owned(),
            };
            check.wrong(&["apps", name, "after"], format!("there is no app {other:?}"), help);
        }
    }
}

fn targets_exist(check: &mut Check<'_>, settings: &Settings, name: &str) {
    let Some(app) = settings.apps.get(name) else { return };
    for target in &app.notify {
        if !settings.notify.contains_key(target) {
            let text = format!("there is no [notify.{target}]");
            check.wrong(&["apps", name, "notify"], text, "write that table, or correct the name");
        }
    }
}

/// An update to what its runtime cannot run would be held for ever.
fn runtime_runs_images(check: &mut Check<'_>, settings: &Settings, name: &str) {
    let Some(app) = settings.apps.get(name) else { return };
    let key = ["apps", name, "runtime", "kind"];
    match (&app.source, &app.runtime) {
        (Source::Registry(_), Runtime::Process) if app.policy.mode == Mode::Auto => {
            let text = "images of a registry are not run by the runtime \"process\"";
            let help = "use \"docker\", or write mode = \"notify\" to be told of each new one";
            check.wrong(&key, text, help);
        }
        (Source::Directory(_), Runtime::Docker(_)) => {
            let text = "bundles of a directory are not run by the runtime \"docker\"";
            check.wrong(&key, text, "write source = { kind = \"oci\", image = \"…\" }");
        }
        _ => {}
    }
}

fn no_cycle(check: &mut Check<'_>, settings: &Settings) {
    for start in settings.apps.keys() {
        let mut path = vec![start.as_str()];
        if let Some(cycle) = walk(settings, start, &mut path)
            // Each cycle is said once, at its first app.
            && cycle.iter().min() == Some(&start.as_str())
        {
            let text = format!("a cycle: {} → {start}", cycle.join(" → "));
            check.wrong(&["apps", start, "after"], text, "no app can wait for itself");
        }
    }
}

/// The apps from `start` back to it, if its dependencies lead there.
fn walk<'a>(settings: &'a Settings, start: &str, path: &mut Vec<&'a str>) -> Option<Vec<&'a str>> {
    let here = path.last().copied()?;
    for next in settings.apps.get(here).map(|app| app.policy.after.as_slice())? {
        if next == start {
            return Some(path.clone());
        }
        if path.iter().any(|seen| seen == next) {
            continue;
        }
        path.push(next);
        if let Some(cycle) = walk(settings, start, path) {
            return Some(cycle);
        }
        path.pop();
    }
    None
}

/// Two volumes that share files could not be put back independently.
fn volumes_are_apart(check: &mut Check<'_>, settings: &Settings) {
    let mut seen: Vec<(PathBuf, String)> = vec![
        (settings.state.clone(), "the state directory".to_owned()),
        (settings.run.clone(), "the run directory".to_owned()),
    ];
    for (name, app) in &settings.apps {
        for (volume, at) in &app.policy.procedure.volumes {
            let path = PathBuf::from(&at.path);
            let key = ["apps", name, "volumes", volume.as_str(), "path"];
            if let Err(why) = can_be_exchanged(&path) {
                check.wrong(&key, why, "use a plain directory below it");
            }
            let real = real_path(&path);
            for (other, whose) in &seen {
                if real.starts_with(other) || other.starts_with(&real) {
                    let text = format!("{} and {whose} ({}) share files", at.path, other.display());
                    check.wrong(&key, text, "give each volume a directory of its own");
                }
            }
            seen.push((real, format!("apps.{name}.volumes.{volume}")));
        }
    }
}

fn can_be_exchanged(path: &Path) -> Result<(), String> {
    match groundcrew_drivers::snapshots::check_volume(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(crate::chain(&error)),
    }
}

/// The path without symlinks, as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(real) = std::fs::canonicalize(ancestor) {
            return rest.iter().rev().fold(real, |path: PathBuf, part| path.join(part));
        }
        rest.extend(ancestor.file_name().map(PathBuf::from));
    }
    path.to_owned()
}
