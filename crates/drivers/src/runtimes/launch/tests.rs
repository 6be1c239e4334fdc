//! Settings, environment files and placeholders.

use serde_json::json;

use super::*;
use crate::causes::causes;

fn volumes() -> BTreeMap<VolumeName, Volume> {
    let volume = |path: &str| Volume { path: path.to_owned() };
    BTreeMap::from([("data".into(), volume("/srv/data")), ("logs-2".into(), volume("/srv/l"))])
}

fn check_command(words: &[&str], expected: Result<&[&str], &str>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    File::create(dir.path().join("tiles")).unwrap();
    let volumes = volumes();
    let secrets = &Secrets::new(Path::new("/state"), "maps", vec!["db".to_owned()]);
    let names = Names { app: "maps", files: dir.path(), volumes: &volumes, secrets };
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let found = command(&words, &names).map_err(|error| error.to_string());
    let files = dir.path().to_str().unwrap();
    let expected = expected
        .map(|words| words.iter().map(|word| word.replace("FILES", files)).collect::<Vec<_>>())
        .map_err(str::to_owned);
    assert_eq!(found, expected);
}

#[test]
fn a_command_is_filled_in_and_its_program_found() {
    check_command(
        &["bin/app", "--data", "{volume.data}"],
        Ok(&["FILES/bin/app", "--data", "/srv/data"]),
    );
    check_command(&["tiles", "{app}", "{release}/x"], Ok(&["FILES/tiles", "maps", "FILES/x"]));
    check_command(&["sh", "{secret.db}"], Ok(&["sh", "/state/secrets/maps/db"]));
    check_command(&["sh", "{volume.logs-2}{app}"], Ok(&["sh", "/srv/lmaps"]));
    check_command(
        &["/bin/sh", "-c", "echo ${HOME} {\"a\": {}}"],
        Ok(&["/bin/sh", "-c", "echo ${HOME} {\"a\": {}}"]),
    );
    check_command(&["sh", "{", "a{b c}", "}{app"], Ok(&["sh", "{", "a{b c}", "}{app"]));
}

#[test]
fn an_unknown_placeholder_is_named() {
    let known = "there are {app}, {release}, {volume.data}, {volume.logs-2}, {secret.db}";
    let text = |name: &str, word: &str| {
        format!("{{{name}}} in {word:?} is no placeholder known here; {known}")
    };
    check_command(&["sh", "--x={volume.dat}"], Err(&text("volume.dat", "--x={volume.dat}")));
    check_command(&["{home}/app"], Err(&text("home", "{home}/app")));
}

#[test]
fn the_settings_of_the_configuration_are_understood() {
    let launch = Launch::read(&json!({
        "user": "tiles", "group": null, "env_file": null, "env": {"A": "1"},
        "restart": "always", "limits": {"nofile": 77}, "later": true,
    }))
    .unwrap();
    let user = User { name: "tiles".into(), group: None, groups: Vec::new() };
    assert_eq!(launch.user(), Some(user));
    let limit = Limit { resource: Limited::Nofile, soft: Some(77), hard: Some(77) };
    assert_eq!(launch.limits().unwrap(), [limit]);
    let expected = [("A", "1"), ("PATH", PATH)].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(launch.env(&Secrets::default()).unwrap(), BTreeMap::from(expected));
    assert!(Launch::read(&serde_json::Value::Null).unwrap().user().is_none());
    let odd = Launch::read(&json!({"limits": {"speed": 1}})).unwrap().limits().unwrap_err();
    assert_eq!(odd.to_string(), "there is no limit called \"speed\"");
    assert!(Launch::read(&json!({"env": 3})).is_err());
}

#[test]
fn the_environment_file_is_read_anew_and_settings_win() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.env");
    let write = |text: &str| {
        crate::durable::write(&path, text.as_bytes(), 0o600, crate::durable::Site::Secret).unwrap()
    };
    let launch =
        Launch::read(&json!({"env_file": {"path": path, "sha256": "00"}, "env": {"B": "own"}}))
            .unwrap();
    write("# comment\n\nA = one \nB=file\nC=\"two words\"\nD='x'\nE=a=b\n");
    let env = launch.env(&Secrets::default()).unwrap();
    let expected = [("A", "one"), ("B", "own"), ("C", "two words"), ("D", "x"), ("E", "a=b")];
    for (name, value) in expected {
        assert_eq!(env[name], value);
    }
    write("A=two\n");
    assert_eq!(launch.env(&Secrets::default()).unwrap()["A"], "two");
    write("A=two\nsecret value=3\n");
    let error = causes(&launch.env(&Secrets::default()).unwrap_err());
    assert!(error.starts_with("line 2 of ") && !error.contains("secret"), "{error}");
    write(&"A".repeat(300 * 1024));
    assert!(matches!(launch.env(&Secrets::default()), Err(Error::EnvSize { .. })));
    std::fs::remove_file(&path).unwrap();
    let error = causes(&launch.env(&Secrets::default()).unwrap_err());
    assert!(error.starts_with("cannot read the environment file"), "{error}");
}

#[test]
fn upd_23_a_variable_may_name_the_path_of_a_secret() {
    let env = json!({"env": {"DB": "{secret.db}", "JSON": "{\"a\": {}}"}, "secrets": ["db"]});
    let launch = Launch::read(&env).unwrap();
    let secrets = Secrets::new(Path::new("/state"), "maps", launch.secrets());
    let env = launch.env(&secrets).unwrap();
    assert_eq!(env["DB"], "/state/secrets/maps/db");
    assert_eq!(env["JSON"], "{\"a\": {}}");
}
