//! An app that is a container, followed at a real registry and run by a real Docker Engine (RUN-2).

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use yard::Yard;

const CHECKED: &str =
    "HEALTHCHECK --interval=200ms --timeout=5s --retries=1 CMD grep -q ok /www/health";
const NEVER_WELL: &str =
    "HEALTHCHECK --interval=200ms --timeout=5s --retries=1 CMD echo why; exit 1";

mod kills;
mod yard;

/// RUN-2, UPD-26: somebody's container is adopted, updated, and brought back with its data.
#[test]
fn a_container_made_by_hand_is_adopted_updated_and_brought_back_with_its_data() {
    let yard = Yard::new();
    yard.run_by_hand("1.0.0", &[]);
    yard.run(&["config", "check"]).ends(0);
    yard.run(&["once"]);
    assert_eq!(yard.view()["last_good"]["version"], "1.0.0");
    let made = yard.inspect("web");
    yard.docker(&["exec", "web", "sh", "-c", "echo precious > /data/row"]);

    yard.offer("1.1.0", "ok", &["ENV NEW=1"]);
    yard.run(&["update", "web", "--wait", "proven"]).ends(0);
    assert_eq!(yard.get("/version").as_deref(), Some("1.1.0"));
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0"]);
    assert_eq!(yard.docker(&["exec", "web", "cat", "/data/row"]), "precious");
    let updated = yard.inspect("web");
    assert_ne!(updated["Id"], made["Id"]);
    for kept in ["/HostConfig/PortBindings", "/HostConfig/RestartPolicy", "/Mounts"] {
        assert_eq!(updated.pointer(kept).unwrap(), made.pointer(kept).unwrap(), "{kept}");
    }
    let env = updated["Config"]["Env"].to_string();
    assert!(env.contains("OWNER=me") && env.contains("NEW=1"), "{env}");
    assert!(!env.contains("VERSION=1.0.0"), "the image's own follow the image: {env}");
    assert_eq!(yard.view()["last_good"]["version"], "1.1.0");

    let logs = yard.run(&["logs", "web"]).ends(0);
    assert_eq!(logs.out, "up as 1.1.0\n", "{logs:?}");
    let logs = yard.run(&["logs", "web", "-n", "1", "--json"]).ends(0).json();
    assert_eq!(logs["lines"], serde_json::json!(["up as 1.1.0"]));
    let mut follow = yard.host.command(&["logs", "--follow", "-n", "0", "web"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    yard.offer("1.2.0", "bad", &[]);
    let ran = yard.run(&["update", "web"]).ends(7);
    assert!(ran.out.contains("1.2.0 was rolled back"), "{ran:?}");
    assert_eq!(yard.get("/version").as_deref(), Some("1.1.0"));
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0", "1.1.0"], "what 1.2.0 wrote is not there");
    let back = yard.inspect("web");
    assert_eq!(back["Id"], updated["Id"], "the very container");
    assert_eq!(back["HostConfig"]["RestartPolicy"], made["HostConfig"]["RestartPolicy"]);
    let names: Vec<String> = yard.containers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| name == "web" || name.starts_with("web.groundcrew-")));
    let mut heard = BufReader::new(follow.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(heard.next().as_deref(), Some("up as 1.2.0"));
    assert_eq!(heard.next().as_deref(), Some("up as 1.1.0"));
    kill_process(Pid::from_child(&follow), Signal::TERM).unwrap();
    let ended = follow.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("web was started in another container, of 127.0.0.1:5000/"), "{said}");
    assert_eq!(ended.status.code(), Some(0));
    // It is not tried again.
    yard.run(&["update", "web"]).ends(4);
    assert_eq!(yard.starts().len(), 3);
}

/// RUN-2: the engine's own health check, and a command in the container.
#[test]
fn a_container_is_asked_from_inside() {
    let yard = Yard::new();
    yard.configure(
        r#"{ container = true, exec = ["grep", "-q", "ok", "/www/health"], interval = "100ms", startup_interval = "100ms", start_within = "3s", passes = 2, failures = 2 }"#,
    );
    yard.run_by_hand("1.0.0", &[CHECKED]);
    yard.offer("1.1.0", "ok", &[CHECKED]);
    yard.run(&["update", "web", "--wait", "proven"]).ends(0);
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0"]);
    for (version, health, check, said) in [
        ("1.2.0", "bad", "HEALTHCHECK CMD true", "grep -q ok /www/health failed: exit code 1"),
        ("1.3.0", "ok", NEVER_WELL, "the engine says unhealthy: why"),
    ] {
        yard.offer(version, health, &[check]);
        let ran = yard.run(&["update", "web"]).ends(7);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(all.contains(said), "{version}: {said:?} is not said:\n{all}");
        assert_eq!(yard.get("/version").as_deref(), Some("1.1.0"));
    }
    assert_eq!(yard.starts(), ["1.0.0", "1.1.0", "1.1.0", "1.1.0"]);
}

const OCI: &str = r#"kind = "oci", image = "127.0.0.1:5000/team/web", plain_http = true"#;
const BUNDLES: &str = r#"kind = "directory", path = "/srv""#;
const PROCESS: &str = r#"kind = "process""#;
const WEB: &str = r#"DOCKER, container = "web""#;
const HTTP: &str = r#"http = "http://127.0.0.1:8080/health""#;
const DATA: &str = r#"mount = "/data""#;
const PATH: &str = r#"path = "/srv/x""#;

/// Source, runtime, health, volume, and what is said of them.
type Wrong = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const WRONG: [Wrong; 11] = [
    (
        OCI,
        WEB,
        HTTP,
        r#"mount = "/nothing""#,
        &["mounted at /nothing in \"web\"", "its mounts are: /data"],
    ),
    (OCI, WEB, HTTP, r#"path = "/srv", mount = "/data""#, &["both `path` and `mount`"]),
    (
        OCI,
        r#"DOCKER, container = "nobody""#,
        HTTP,
        DATA,
        &["there is no container \"nobody\"", "make it once by hand"],
    ),
    (OCI, "DOCKER", HTTP, DATA, &["`container` is missing", "container = \"NAME\""]),
    (
        OCI,
        r#"DOCKER, container = "web", user = "root""#,
        HTTP,
        DATA,
        &["runtime.user: a container brings it along"],
    ),
    (
        OCI,
        r#"DOCKER, container = "web", env = { A = "1" }"#,
        HTTP,
        DATA,
        &["runtime.env: a container brings it along"],
    ),
    (BUNDLES, WEB, HTTP, DATA, &["bundles of a directory are not run by", "kind = \"oci\""]),
    (OCI, PROCESS, HTTP, PATH, &["images of a registry are not run by", "\"docker\""]),
    (BUNDLES, PROCESS, HTTP, DATA, &["only a container has mounts", "path = "]),
    (BUNDLES, PROCESS, "container = true", PATH, &["only a container has a health check"]),
    (
        BUNDLES,
        r#"kind = "process", container = "web""#,
        HTTP,
        PATH,
        &["only a runtime of kind \"docker\""],
    ),
];

/// RUN-2: what is wrong in a configuration is said with the way out.
#[test]
fn what_is_wrong_with_the_configuration_of_a_container_is_named() {
    let mut yard = Yard::new();
    yard.run_by_hand("1.0.0", &[]);
    let socket = yard.path("d.sock").display().to_string();
    let docker = format!("kind = \"docker\", socket = \"{socket}\"");
    let check = |yard: &Yard, source: &str, runtime: &str, health: &str, volume: &str| {
        let runtime = runtime.replace("DOCKER", &docker);
        yard.configure_as(&format!(
            "source = {{ {source} }}\nruntime = {{ {runtime} }}\nhealth = {{ {health} }}\n\
             volumes = {{ data = {{ {volume} }} }}"
        ));
        // What was seen of a container before is remembered.
        std::fs::remove_dir_all(yard.path("state")).ok();
        yard.run(&["config", "check"])
    };
    check(&yard, OCI, WEB, HTTP, DATA).ends(0);
    for (source, runtime, health, volume, said) in WRONG {
        let ran = check(&yard, source, runtime, health, volume).ends(2);
        for part in said {
            assert!(ran.err.contains(part), "{part:?} is not said: {ran:?}");
        }
    }
    yard.kill_engine();
    let ran = check(&yard, OCI, WEB, HTTP, DATA).ends(2);
    assert!(ran.err.contains(&format!("no answer from the Docker Engine at {socket}")), "{ran:?}");
    assert!(ran.err.contains("is it running"), "{ran:?}");
}
