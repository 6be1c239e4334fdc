//! How an app is asked whether it is well: probes, and how their answers are counted.

use groundcrew_engine::plan::{Probe, ProbeKind, ProveSpec};

use super::fragments;
use super::settings::Check;

pub(super) fn probes(check: &mut Check<'_>, name: &str, health: &fragments::Health) -> Vec<Probe> {
    let key = |part: &'static str| ["apps", name, "health", part];
    let timeout_ms = check.duration(&key("timeout"), health.timeout.as_ref(), 5_000);
    if timeout_ms == 0 {
        check.wrong(&key("timeout"), "no probe ends in no time", "5s is the default");
    }
    let mut kinds: Vec<(&str, ProbeKind)> = Vec::new();
    if let Some(url) = &health.http {
        if let Err(why) = check_url(url, &["http"]) {
            check.wrong(&key("http"), why, "write it as in \"http://127.0.0.1:8080/health\"");
        }
        kinds.push(("http", ProbeKind::Http { url: url.clone(), json: health.json.clone() }));
    } else if !health.json.is_empty() {
        check.wrong(&key("json"), "there is no `http` whose answer it describes", "write `http`");
    }
    if let Some(at) = &health.version_at {
        match version_url(at, health.http.as_deref()) {
            Ok(url) => kinds.push(("version", ProbeKind::Version { url })),
            Err(why) => check.wrong(&key("version_at"), why, "write a whole URL"),
        }
    }
    if let Some(address) = &health.tcp {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || address.starts_with(':') {
            let text = format!("{address:?} is not host:port");
            check.wrong(&key("tcp"), text, "write it as in \"127.0.0.1:5432\"");
        }
        kinds.push(("tcp", ProbeKind::Tcp { address: address.clone() }));
    }
    if let Some(command) = &health.exec {
        check.command(&key("exec"), command);
        kinds.push(("exec", ProbeKind::Exec { command: command.clone() }));
    }
    if health.container == Some(true) {
        kinds.push(("container", ProbeKind::Container));
    }
    if kinds.is_empty() {
        check.wrong(
            &["apps", name],
            "nothing in `health` proves that a release is well",
            "write health = { http = \"…\" }, or tcp, or exec",
        );
    }
    kinds.into_iter().map(|(name, kind)| Probe { name: name.into(), kind, timeout_ms }).collect()
}

fn version_url(at: &str, http: Option<&str>) -> Result<String, String> {
    let url = match (at.starts_with('/'), http) {
        (false, _) => at.to_owned(),
        (true, None) => return Err(format!("{at:?} is a path, and there is no `http`")),
        (true, Some(http)) => {
            let (scheme, rest) = http.split_once("://").unwrap_or(("http", http));
            format!("{scheme}://{}{at}", rest.split('/').next().unwrap_or(rest))
        }
    };
    check_url(&url, &["http"]).map(|()| url)
}

/// Whether a text is a URL of one of these schemes, with a host and a port that is a number.
pub(super) fn check_url(url: &str, schemes: &[&str]) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{url:?} {why}"));
    let Some((scheme, rest)) = url.split_once("://") else { return wrong("is not a URL") };
    if scheme == "https" && !schemes.contains(&"https") {
        return wrong("is https, which is not in this release for probes");
    }
    if !schemes.contains(&scheme) {
        return wrong("is not a URL of HTTP");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || url.contains(char::is_whitespace) {
        return wrong("has no plain host");
    }
    let tail = authority.rsplit(']').next().unwrap_or(authority);
    match tail.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_err() => wrong("has a port that is no number"),
        Some(("", _)) if !authority.starts_with('[') => wrong("has no host"),
        _ => Ok(()),
    }
}

pub(super) fn prove(check: &mut Check<'_>, name: &str, health: &fragments::Health) -> ProveSpec {
    let defaults = ProveSpec::default();
    let key = |part: &'static str| ["apps", name, "health", part];
    let spec = ProveSpec {
        start_within_ms: check.duration(
            &key("start_within"),
            health.start_within.as_ref(),
            defaults.start_within_ms,
        ),
        startup_interval_ms: check.duration(
            &key("startup_interval"),
            health.startup_interval.as_ref(),
            defaults.startup_interval_ms,
        ),
        interval_ms: check.duration(
            &key("interval"),
            health.interval.as_ref(),
            defaults.interval_ms,
        ),
        passes: health.passes.unwrap_or(defaults.passes),
        failures: health.failures.unwrap_or(defaults.failures),
        stable_for_ms: check.duration(&key("stable_for"), health.stable_for.as_ref(), 0),
        progress_file: health.progress_file.clone(),
    };
    if let Some(file) = &health.progress_file {
        check.path(&key("progress_file"), file);
    }
    for (part, number) in [("passes", spec.passes), ("failures", spec.failures)] {
        if number == 0 {
            check.wrong(&key(part), "0 proves nothing", "3 is the default");
        }
    }
    for (part, ms) in
        [("startup_interval", spec.startup_interval_ms), ("interval", spec.interval_ms)]
    {
        if ms == 0 {
            check.wrong(&key(part), "no pause at all would never end", "1s is short");
        }
    }
    spec
}
