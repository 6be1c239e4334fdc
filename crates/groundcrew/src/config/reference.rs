//! `docs/reference/configuration.md` is generated from the fragments, so it cannot lag behind.
//!
//! `cargo xtask docs` writes it anew.

use std::fmt::Write as _;

use serde_json::Value;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");

const HEAD: &str = "# Configuration\n\n\
Every key there is, generated from the code; `groundcrew config schema` prints the same as a JSON Schema.\n\
The main file is `/etc/groundcrew/groundcrew.toml`, or what `--config` or `GROUNDCREW_CONFIG` names.\n\
Drop-ins `conf.d/*.toml` beside it are read after it, in the order of their names: a later value replaces an earlier one, tables are merged key by key, lists are replaced whole.\n\
Durations are written as `150ms`, `30s`, `5m`, `1h30m`, `7d`; sizes as `512KiB`, `64MiB`, `2GB`.\n\
An unknown key is an error, with file, line and the nearest known key.\n\
`[defaults]` takes any key of an app; each app begins as the defaults say.\n";

/// The tables in the order in which a person meets them.
const TABLES: [(&str, &str); 19] = [
    ("File", "The file"),
    ("Paths", "`[paths]`"),
    ("Recorder", "`[recorder]`"),
    ("Busy", "`[busy]`"),
    ("Clock", "`[clock]`"),
    ("Notify", "`[notify.NAME]`"),
    ("App", "`[apps.NAME]` and `[defaults]`"),
    ("Source", "`source`"),
    ("Runtime", "`runtime`"),
    ("Limits", "`runtime.limits`"),
    ("Stale", "`stale`"),
    ("Stop", "`stop`"),
    ("Health", "`health`"),
    ("Volume", "`volumes.NAME`"),
    ("Traffic", "`traffic`"),
    ("Watch", "`watch`"),
    ("Window", "`window`"),
    ("Gates", "`gates`"),
    ("External", "`gates.external[]`"),
];

fn document() -> String {
    let schema: Value = serde_json::from_str(&super::schema()).unwrap();
    let mut text = HEAD.to_owned();
    let mut seen = vec![];
    for (name, title) in TABLES {
        let table = if name == "File" { &schema } else { &schema["$defs"][name] };
        let keys = table["properties"].as_object().unwrap_or_else(|| panic!("no table {name}"));
        seen.push(name);
        write!(text, "\n## {title}\n\n| key | value | what it is |\n|---|---|---|\n").unwrap();
        for (key, value) in keys {
            let said = value["description"].as_str().unwrap_or("").replace('|', "\\|");
            writeln!(text, "| `{key}` | {} | {said} |", kind(&schema, value)).unwrap();
        }
    }
    for (name, table) in schema["$defs"].as_object().unwrap() {
        let missing = table.get("properties").is_some() && !seen.contains(&name.as_str());
        assert!(!missing, "the reference leaves {name} out");
    }
    text
}

/// What may be written, for people.
fn kind(schema: &Value, value: &Value) -> String {
    if let Some(name) = value["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return named(schema, name);
    }
    if let Some(choices) = value["anyOf"].as_array() {
        let real = choices.iter().find(|choice| choice["type"] != "null").unwrap();
        return kind(schema, real);
    }
    let types: Vec<&str> = match &value["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    match types.iter().find(|kind| **kind != "null") {
        Some(&"array") => format!("list of {}", kind(schema, &value["items"])),
        Some(&"object") => {
            let inner = kind(schema, &value["additionalProperties"]);
            format!("table of {inner}")
        }
        Some(&"string") => "text".to_owned(),
        Some(&"integer") => "number".to_owned(),
        Some(&"boolean") => "true or false".to_owned(),
        other => format!("{other:?}"),
    }
}

fn named(schema: &Value, name: &str) -> String {
    let table = &schema["$defs"][name];
    let listed = table["oneOf"].as_array().into_iter().flatten();
    let words: Vec<String> =
        listed.filter_map(|one| one["const"].as_str()).map(|word| format!("`{word}`")).collect();
    if words.is_empty() { "table".to_owned() } else { words.join(", ") }
}

#[test]
fn the_reference_lists_every_key() {
    let wanted = document();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::io::Write::write_all(&mut std::fs::File::create(PATH).unwrap(), wanted.as_bytes())
            .unwrap();
    }
    let found = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(found == wanted, "configuration.md is out of date: run cargo xtask docs");
}
