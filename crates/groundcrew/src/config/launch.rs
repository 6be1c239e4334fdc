//! As whom and with what releases run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use groundcrew_drivers::runtimes::launch::Launch;
use sha2::{Digest as _, Sha256};

use super::app::hex;
use super::fragments;
use super::runtime::Runtime;
use super::settings::{Check, Restart};

/// Largest environment file, in bytes.
const ENV_FILE_MAX_BYTES: u64 = 256 * 1024;

/// What the runtime reads. It is a part of what a candidate is: a changed environment file
/// changes the configuration's hash.
pub(super) fn launch(
    check: &mut Check<'_>,
    name: &str,
    runtime: &fragments::Runtime,
    runs: &Runtime,
    restart: Restart,
) -> serde_json::Value {
    // What a container is like stays with the container.
    if let Runtime::Docker(docker) = runs {
        return serde_json::json!({ "container": docker.container, "restart": restart.name() });
    }
    let key = |part: &'static str| ["apps", name, "runtime", part];
    if runtime.kind.is_none() {
        let help = "write runtime = { kind = \"process\" }";
        check.wrong(&["apps", name, "runtime"], "`kind` is missing", help);
    }
    let env_file = runtime.env_file.as_ref().and_then(|text| {
        let path = check.path(&key("env_file"), text);
        match read_env_file(&path) {
            Ok(bytes) => Some(serde_json::json!({
                "path": text,
                "sha256": hex(&Sha256::digest(&bytes)),
            })),
            Err(why) => {
                check.wrong(&key("env_file"), why, "lines of NAME=value, readable by the agent");
                None
            }
        }
    });
    let limits = &runtime.limits;
    let mut size = |part: &'static str, text: Option<&String>| {
        check.size(&["apps", name, "runtime", "limits", part], text)
    };
    let all = [
        ("nofile", limits.nofile),
        ("nproc", limits.nproc),
        ("core", size("core", limits.core.as_ref())),
        ("as", size("memory", limits.memory.as_ref())),
        ("fsize", size("fsize", limits.fsize.as_ref())),
    ];
    let set: BTreeMap<&str, u64> =
        all.into_iter().filter_map(|(what, limit)| Some((what, limit?))).collect();
    let secrets = runtime.secrets.clone().unwrap_or_default();
    for secret in &secrets {
        check.name(&key("secrets"), secret);
    }
    for (variable, value) in &runtime.env {
        unknown_secret(check, name, variable, value, &secrets);
    }
    let mut launch = serde_json::json!({
        "user": runtime.user,
        "group": runtime.group,
        "env_file": env_file,
        "env": runtime.env,
        "restart": restart.name(),
        "limits": set,
    });
    let known = Launch::read(&launch).and_then(|launch| launch.ids());
    if let (Some(_), Err(error)) = (&runtime.user, known) {
        let help = "make the user, or correct the name";
        check.wrong(&key("user"), crate::chain(&error), help);
    }
    // Only where there are some, so that it is no change of configuration for everybody else.
    if let (false, Some(launch)) = (secrets.is_empty(), launch.as_object_mut()) {
        launch.insert("secrets".to_owned(), secrets.into());
    }
    launch
}

/// A variable that names a secret which nobody makes would be the text of its placeholder.
fn unknown_secret(
    check: &mut Check<'_>,
    name: &str,
    variable: &str,
    value: &str,
    secrets: &[String],
) {
    let named = value.split("{secret.").skip(1).filter_map(|rest| rest.split_once('}'));
    for (secret, _) in named.filter(|(secret, _)| !secrets.iter().any(|known| known == secret)) {
        let text = format!("there is no secret {secret:?} for {variable}");
        let help = format!("add it: secrets = [{secret:?}]");
        check.wrong(&["apps", name, "runtime", "env"], text, help);
    }
}

fn read_env_file(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {path:?}: {error}");
    let size = fs::metadata(path).map_err(cannot)?.len();
    if size > ENV_FILE_MAX_BYTES {
        return Err(format!("{path:?} has {size} bytes, at most {ENV_FILE_MAX_BYTES} are read"));
    }
    fs::read(path).map_err(cannot)
}
