//! What runs an app: which runtime, and where its data lies on this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use groundcrew_drivers::runtimes::docker::{self, repository};
use groundcrew_engine::noun::{AppName, VolumeName};
use groundcrew_engine::plan::Volume;

use super::fragments;
use super::settings::{Check, Restart};

/// What runs an app.
#[derive(Clone, Debug)]
pub(crate) enum Runtime {
    /// Groundcrew itself: processes under keepers.
    Process,
    /// A Docker Engine.
    Docker(docker::Settings),
}

impl Runtime {
    /// As the configuration calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker(_) => "docker",
        }
    }
}

/// Which runtime an app has; what is wrong is noted in `check`.
pub(super) fn runtime(check: &mut Check<'_>, name: &str, app: &fragments::App) -> Runtime {
    let written = &app.runtime;
    let key = |part: &'static str| ["apps", name, "runtime", part];
    if written.kind.as_deref() != Some("docker") {
        for (part, is_there) in
            [("container", written.container.is_some()), ("socket", written.socket.is_some())]
        {
            if is_there {
                check.wrong(&key(part), "only a runtime of kind \"docker\" has it", "leave it out");
            }
        }
        if app.health.container.is_some() {
            let text = "only a container has a health check of its own";
            check.wrong(&["apps", name, "health", "container"], text, "leave it out");
        }
        return Runtime::Process;
    }
    let theirs = [
        ("user", written.user.is_some()),
        ("group", written.group.is_some()),
        ("env_file", written.env_file.is_some()),
        ("env", !written.env.is_empty()),
        ("secrets", written.secrets.is_some()),
        ("limits", written.limits != fragments::Limits::default()),
    ];
    for (part, _) in theirs.iter().filter(|(_, is_there)| *is_there) {
        let help = "give it to the container where you make it";
        check.wrong(&key(part), "a container brings it along", help);
    }
    let container = written.container.clone().unwrap_or_default();
    if container.is_empty() {
        let help = "write runtime = { kind = \"docker\", container = \"NAME\" }";
        check.wrong(&["apps", name, "runtime"], "`container` is missing", help);
    }
    let socket = match &written.socket {
        Some(text) => check.path(&key("socket"), text),
        None => PathBuf::from(docker::SOCKET),
    };
    let image = app.source.image.clone().map(|image| repository(&image).to_owned());
    Runtime::Docker(docker::Settings { socket, container, image, create: None })
}

/// When an app that ended is started again.
pub(super) fn restart(written: Option<fragments::Restart>, runtime: &Runtime) -> Restart {
    match (written, runtime) {
        (Some(fragments::Restart::Always), _) => Restart::Always,
        (Some(fragments::Restart::OnFailure), _) | (None, Runtime::Process) => Restart::OnFailure,
        (Some(fragments::Restart::Never), _) | (None, Runtime::Docker(_)) => Restart::Never,
    }
}

/// Where the app's data lies on this host.
pub(super) fn volumes(
    check: &mut Check<'_>,
    name: &str,
    volumes: &BTreeMap<String, fragments::Volume>,
    runtime: &Runtime,
    state: &Path,
) -> BTreeMap<VolumeName, Volume> {
    let mut mounts = None;
    let mut valid = BTreeMap::new();
    for (volume, fragment) in volumes {
        let key = ["apps", name, "volumes", volume];
        check.name(&key, volume);
        let path = match (&fragment.path, &fragment.mount, runtime) {
            (Some(path), None, _) => {
                check.path(&["apps", name, "volumes", volume, "path"], path);
                path.clone()
            }
            (None, Some(mount), Runtime::Docker(docker)) => {
                let known = mounts.get_or_insert_with(|| {
                    docker::mounts(state, &AppName(name.to_owned()), docker)
                });
                match of_mount(known, mount, &docker.container) {
                    Ok(path) => path,
                    Err((text, help)) => {
                        check.wrong(&["apps", name, "volumes", volume, "mount"], text, help);
                        continue;
                    }
                }
            }
            (None, Some(_), Runtime::Process) => {
                let text = "only a container has mounts";
                check.wrong(&key, text, "write { path = \"/srv/…\" }");
                continue;
            }
            (Some(_), Some(_), _) => {
                check.wrong(&key, "both `path` and `mount` are there", "leave one of them out");
                continue;
            }
            (None, None, _) => {
                check.wrong(&key, "`path` is missing", "write { path = \"/srv/…\" }");
                continue;
            }
        };
        valid.insert(volume.as_str().into(), Volume { path });
    }
    valid
}

type Mounts = Result<BTreeMap<String, PathBuf>, groundcrew_engine::noun::Fault>;

/// The directory on this host; else what is wrong and what helps.
fn of_mount(known: &Mounts, mount: &str, container: &str) -> Result<String, (String, String)> {
    let known = match known {
        Ok(known) => known,
        Err(fault) => {
            let text = format!("where {mount} of {container:?} lies cannot be told: {fault}");
            return Err((text, "start the engine, or make the container".to_owned()));
        }
    };
    match known.get(mount) {
        Some(path) => Ok(path.to_string_lossy().into_owned()),
        None => {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            let text = format!("nothing of this host is mounted at {mount} in {container:?}");
            Err((text, format!("its mounts are: {all}")))
        }
    }
}
