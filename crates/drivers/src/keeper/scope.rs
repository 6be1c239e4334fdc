//! A systemd scope of its own for every run, where systemd is the host's init and we are root.
//!
//! Whoever starts an app (the agent, a timer's `once`, a person over ssh) lives in a control group
//! that systemd may empty. A run must survive that, so its keeper is started by
//! `systemd-run --scope`, which asks systemd for a scope, moves itself there and then becomes the
//! keeper: the same process, with the descriptors that the client gave it. When the host goes down,
//! systemd stops the scope before networks and file systems go. It has no order against the agent:
//! systemd would let a start wait for a stop of the agent, and an agent that is stopped in the middle
//! of an update has to start its app first.
//!
//! Where systemd refuses (it is shutting down, it is in trouble), the run is started without a scope:
//! an app that is up in the wrong group is better than one that is down.
//! Why scopes: docs/decisions/0010.

use std::path::Path;

use super::spec::KeepSpec;

/// The program that asks for a scope; part of every systemd.
const PROGRAM: &str = "/usr/bin/systemd-run";

/// There while systemd is the init of this host, as `sd_booted(3)` says.
const BOOTED: &str = "/run/systemd/system";

/// Added to the app's own grace before systemd kills what is left: the keeper has to write down how
/// it went.
const EXTRA_SECS: u64 = 10;

/// Longest part of a unit's name, in characters; a whole name has at most 255.
const PART_MAX: usize = 72;

/// The units after which a run stands, so that it is stopped before they are.
const AFTER: [&str; 4] =
    ["sysinit.target", "local-fs.target", "remote-fs.target", "network.target"];

/// What stands before a keeper's own command line; `None`: it is started as it is.
pub(super) fn prefix(spec: &KeepSpec) -> Option<Vec<String>> {
    let may = rustix::process::geteuid().is_root()
        && Path::new(BOOTED).is_dir()
        && Path::new(PROGRAM).is_file();
    may.then(|| words(spec))
}

fn words(spec: &KeepSpec) -> Vec<String> {
    let KeepSpec { app, txn, attempt, stop, .. } = spec;
    let stop_secs = (stop.grace_ms / 1_000).saturating_add(EXTRA_SECS);
    let mut words = vec![PROGRAM.to_owned()];
    words.extend(["--scope", "--quiet", "--collect", "--no-ask-password"].map(str::to_owned));
    let name = [app, txn, attempt].map(|part| plain(part)).join("-");
    words.push(format!("--unit=groundcrew-{name}"));
    words.push(format!("--description=groundcrew: {app}, {attempt} of update {txn}"));
    // The keeper makes a group below; and a scope that is delegated outlives a killed app.
    words.push("--property=Delegate=yes".to_owned());
    words.push(format!("--property=TimeoutStopSec={stop_secs}"));
    words.extend(AFTER.map(|unit| format!("--property=After={unit}")));
    words.push("--".to_owned());
    words
}

/// A part of a unit's name, whatever an app is called.
fn plain(part: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._".contains(char);
    let chars = part.chars().take(PART_MAX);
    chars.map(|char| if plain(char) { char } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_a_plain_name_and_waits_as_long_as_the_app_may_take() {
        let spec = serde_json::json!({
            "schema": 1, "app": "my app/ü", "txn": "19e-1", "attempt": "x".repeat(120),
            "release": "sha256:0", "argv": ["x"], "cwd": "/", "env": {},
            "stop": {"signal": "SIGTERM", "grace_ms": 30_000},
        });
        let words = words(&serde_json::from_value(spec).unwrap());
        let unit = words.iter().find_map(|word| word.strip_prefix("--unit=")).unwrap();
        assert_eq!(unit, format!("groundcrew-my_app__-19e_1-{}", "x".repeat(PART_MAX)));
        assert!(words.contains(&"--property=TimeoutStopSec=40".to_owned()), "{words:?}");
        assert_eq!((words[0].as_str(), words[words.len() - 1].as_str()), (PROGRAM, "--"));
    }
}
