//! What is refused, and in which words.

use std::fs;
use std::path::Path;

use super::*;

const APP: &str = r#"source = { kind = "directory", path = "/srv/releases" }
runtime = { kind = "process" }
health = { http = "http://127.0.0.1:8080/health" }
"#;

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn load_in(dir: &Path) -> Result<Settings, Problems> {
    load(&Overrides { config: Some(dir.join("main.toml")), state: Some(dir.join("state")) })
}

/// Loads one file and says what is wrong, with the directory left out.
fn check(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "main.toml", text);
    match load_in(dir.path()) {
        Ok(_) => "valid".to_owned(),
        Err(problems) => problems.to_string().replace(&format!("{}/", dir.path().display()), ""),
    }
}

fn app(extra: &str) -> String {
    format!("schema = 1\n[apps.tiles]\n{APP}{extra}")
}

#[test]
fn the_smallest_configuration_is_valid() {
    assert_eq!(check("schema = 1\n"), "valid");
    assert_eq!(check(&app("")), "valid");
}

/// What is written, and what is said about it.
const REFUSED: &[(&str, &str)] = &[
    (
        "polll = \"5m\"",
        "main.toml:6:1: apps.tiles.polll: unknown key \"polll\"\n  help: did you mean \"poll\"? ",
    ),
    (
        "stop = { sginal = \"SIGTERM\" }",
        "main.toml:6:10: apps.tiles.stop.sginal: unknown key \"sginal\"\n  help: did you mean \"signal\"? ",
    ),
    (
        "mode = \"automatic\"",
        "main.toml:6:8: apps.tiles.mode: \"automatic\" is not one of the values here\n  help: ",
    ),
    ("poll = 5", "main.toml:6:8: apps.tiles.poll: invalid type: integer `5`, expected a string"),
    (
        "poll = \"5 minutes\"",
        "main.toml:6:8: apps.tiles.poll: \"5 minutes\" is not a duration\n  help: write it as in \"90s\"",
    ),
    (
        "stop = { before = [] }",
        "main.toml:6:19: apps.tiles.stop.before: the command is empty\n  help: write program",
    ),
    (
        "stop = { signal = \"SIGKILL\" }",
        "main.toml:6:19: apps.tiles.stop.signal: \"SIGKILL\" does not stop",
    ),
    (
        "after = [\"tile\"]",
        "main.toml:6:9: apps.tiles.after: there is no app \"tile\"\n  help: did you mean \"tiles\"?",
    ),
    ("after = [\"tiles\"]", "main.toml:6:9: apps.tiles.after: a cycle: tiles → tiles"),
    (
        "watch = { window = \"1m\" }",
        "main.toml:6:20: apps.tiles.watch.window: 1m is shorter than health.start_within 2m 30s \
         and 12 failed rounds of 5s together\n  help: make the window at least 3m 30s",
    ),
    (
        "watch = { rule = \"sequential\" }",
        "main.toml:6:18: apps.tiles.watch.rule: \"sequential\": not in this release",
    ),
    (
        "volumes = { data = { path = \"data\" } }",
        "main.toml:6:29: apps.tiles.volumes.data.path: \"data\" is not an absolute path",
    ),
    (
        "volumes = { data = { path = \"/proc\" } }",
        "main.toml:6:29: apps.tiles.volumes.data.path: /proc is refused: a volume must not be a mount point",
    ),
    (
        "volumes = { a = { path = \"/srv/x\" }, b = { path = \"/srv/x/y\" } }",
        "main.toml:6:51: apps.tiles.volumes.b.path: /srv/x/y and apps.tiles.volumes.a (/srv/x) share files",
    ),
    (
        "traffic = { open = [\"true\"] }",
        "main.toml:6:11: apps.tiles.traffic: one of two hooks is missing",
    ),
    (
        "window = { tz = \"Europe/Berln\", open = [\"daily 02:00-05:00\"] }",
        "main.toml:6:17: apps.tiles.window.tz: there is no time zone \"Europe/Berln\"",
    ),
    (
        "[notify.ops]\nkind = \"webhook\"",
        "main.toml:6:1: notify.ops: a webhook needs `url`\n  help: write it as in \"https://",
    ),
    (
        "window = { open = [\"Mom 02:00-05:00\"] }",
        "main.toml:6:10: apps.tiles.window: window \"Mom 02:00-05:00\" has the day \"Mom\"",
    ),
    ("notify = [\"ops\"]", "main.toml:6:10: apps.tiles.notify: there is no [notify.ops]\n  help: "),
    (
        "gates = { external = [{ name = \"ci\" }] }",
        "main.toml:6:22: apps.tiles.gates.external: ci: exactly one of `command` and `url`",
    ),
    (
        "[notify.ops]\nkind = \"email\"",
        "main.toml:7:8: notify.ops.kind: email: not in this release",
    ),
    (
        "[notify.ops]\nkind = \"webhook\"\nurl = \"ftp://x\"",
        "main.toml:8:7: notify.ops.url: \"ftp://x\" is not a URL of HTTP",
    ),
    ("[paths]\nrun = \"run\"", "main.toml:7:7: paths.run: \"run\" is not an absolute path"),
];

#[test]
fn what_is_wrong_is_named_with_file_line_key_and_a_way_out() {
    for (written, said) in REFUSED {
        // A run directory counts only where no state directory is forced.
        if written.starts_with("[paths]") {
            continue;
        }
        let found = check(&app(written));
        assert!(found.starts_with(said), "{written}\n  wanted {said}\n  found  {found}");
    }
}

#[test]
fn sources_runtimes_and_health_are_checked_too() {
    for (from, to, said) in [
        (
            "kind = \"directory\", path = \"/srv/releases\"",
            "kind = \"git\", url = \"https://git.lan/tiles\"",
            "main.toml:3:19: apps.tiles.source.kind: git: not in this release\n  help: this release has directory, oci",
        ),
        (
            "kind = \"process\"",
            "kind = \"compose\", project = \"tiles\"",
            "main.toml:4:20: apps.tiles.runtime.kind: compose: not in this release",
        ),
        (
            "path = \"/srv/releases\"",
            "path = \"/srv/releases\", minisign_key = \"/nowhere/tiles.pub\"",
            "main.toml:3:71: apps.tiles.source.minisign_key: cannot read \"/nowhere/tiles.pub\": No such file",
        ),
        (
            "http = \"http://127.0.0.1:8080/health\"",
            "http = \"127.0.0.1:8080\"",
            "main.toml:5:19: apps.tiles.health.http: \"127.0.0.1:8080\" is not a URL",
        ),
        (
            "http = \"http://127.0.0.1:8080/health\"",
            "passes = 2",
            "main.toml:2:1: apps.tiles: nothing in `health` proves that a release is well",
        ),
        (
            "kind = \"process\"",
            "kind = \"process\", env_file = \"/nowhere/tiles.env\"",
            "main.toml:4:42: apps.tiles.runtime.env_file: cannot read \"/nowhere/tiles.env\"",
        ),
    ] {
        let text = app("").replace(from, to);
        let found = check(&text);
        assert!(found.starts_with(said), "{to}\n  wanted {said}\n  found  {found}");
    }
}

#[test]
fn every_problem_is_said_at_once_and_the_schema_is_asked_for() {
    let found = check("[apps.tiles]\n[apps.\"a b\"]\n");
    let keys: Vec<&str> = found.lines().filter(|line| !line.starts_with("  help")).collect();
    assert!(keys.len() >= 7, "{found}");
    assert!(found.contains("main.toml:1:1: `schema` is missing"), "{found}");
    assert!(found.contains("\"a b\" cannot be a name"), "{found}");
}

#[test]
fn a_drop_in_replaces_values_and_each_value_remembers_its_file() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "main.toml",
        &format!(
            "schema = 1\n[defaults]\npoll = \"5m\"\nwatch = {{ window = \"1h\", interval = \"2s\" }}\n[apps.tiles]\n{APP}"
        ),
    );
    write(dir.path(), "conf.d/20-late.toml", "[apps.tiles]\nwatch = { window = \"2h\" }\n");
    write(dir.path(), "conf.d/10-early.toml", "[apps.tiles]\nwatch = { window = \"3h\" }\n");
    write(dir.path(), "conf.d/.30-hidden.toml", "nonsense");
    let settings = load_in(dir.path()).unwrap();
    let tiles = &settings.apps["tiles"];
    assert_eq!(settings.files.len(), 3);
    assert_eq!(tiles.poll_ms, 300_000);
    let watch = &tiles.policy.procedure.watch;
    assert_eq!((watch.window_ms, watch.interval_ms), (7_200_000, 2_000));
    let shown = show(&read(&dir.path().join("main.toml")).unwrap());
    let origin = |key: &str| {
        let of = shown.iter().find(|shown| shown.key == key).unwrap();
        of.origin.replace(&format!("{}/", dir.path().display()), "")
    };
    assert_eq!(origin("apps.tiles.watch.window"), "conf.d/20-late.toml:2:20");
    assert_eq!(origin("apps.tiles.poll"), "main.toml:3:8");
}

#[test]
fn a_changed_environment_file_is_a_changed_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let env = dir.path().join("tiles.env");
    let runtime = format!("kind = \"process\", env_file = \"{}\"", env.display());
    write(dir.path(), "main.toml", &app("").replace("kind = \"process\"", &runtime));
    let hash = |content: &str| {
        write(dir.path(), "tiles.env", content);
        load_in(dir.path()).unwrap().apps["tiles"].policy.config.clone()
    };
    assert_eq!(hash("A=1"), hash("A=1"));
    assert_ne!(hash("A=1"), hash("A=2"));
}

#[test]
fn places_come_from_the_command_line_then_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "schema = 1\n[paths]\nstate = \"/srv/gc\"\nrun = \"/srv/gc-run\"\n";
    write(dir.path(), "main.toml", text);
    let main = Some(dir.path().join("main.toml"));
    let settings = load(&Overrides { config: main.clone(), state: None }).unwrap();
    assert_eq!((settings.state, settings.run), ("/srv/gc".into(), "/srv/gc-run".into()));
    let settings = load(&Overrides { config: main, state: Some("/tmp/s".into()) }).unwrap();
    assert_eq!((settings.state, settings.run), ("/tmp/s".into(), "/tmp/s/run".into()));
}

#[test]
fn no_value_of_an_environment_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let env = |name: &str| {
        format!("{name} = {{ env = {{ API_KEY = \"hunter2\", \"A.B\" = \"hunter2\" }} }}\n")
    };
    let text = format!(
        "schema = 1\n[defaults]\n{}[apps.tiles]\n{APP}[apps.tiles.runtime.env]\nPLAIN = \"hunter2\"\n",
        env("runtime")
    );
    let text = text.replace("runtime = { kind = \"process\" }\n", "runtime.kind = \"process\"\n");
    write(dir.path(), "main.toml", &text);
    let shown = show(&read(&dir.path().join("main.toml")).unwrap());
    let set: Vec<&str> =
        shown.iter().filter(|of| of.value == "(set)").map(|of| of.key.as_str()).collect();
    for key in ["apps.tiles.runtime.env.PLAIN", "defaults.runtime.env.API_KEY"] {
        assert!(set.contains(&key), "{key} is not in {set:?}");
    }
    assert!(!serde_json::to_string(&shown).unwrap().contains("hunter2"), "{shown:?}");
}

#[test]
fn upd_14_apps_of_different_groups_go_together_and_dependents_later() {
    let one = |name: &str, extra: &str| format!("[apps.{name}]\n{APP}{extra}\n");
    let text = [
        "schema = 1\n".to_owned(),
        one("a", "group = \"left\""),
        one("b", "group = \"left\""),
        one("c", "group = \"right\""),
        one("d", "group = \"own\"\nafter = [\"b\"]"),
    ];
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "main.toml", &text.concat());
    let batches = load_in(dir.path()).unwrap().batches();
    assert_eq!(batches, [vec!["a", "c"], vec!["b"], vec!["d"]]);
}
