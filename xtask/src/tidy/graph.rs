//! The crates' graph against the table in ARCHITECTURE.md.

use serde_json::Value;

use crate::steps::{ROOT, cargo};

const HEAD: &str = "| crate | may use | forbids |";

/// A row of the table, as names.
#[derive(Debug)]
struct Row {
    name: String,
    may_use: Vec<String>,
    forbids: Vec<String>,
}

/// A crate as cargo sees it, with dependencies of every kind.
#[derive(Debug)]
struct Package {
    name: String,
    ours: Vec<String>,
    others: Vec<String>,
}

/// The words in code font.
fn code_words(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table(document: &str) -> Vec<Row> {
    let lines = document.lines().skip_while(|line| *line != HEAD).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.split('|').skip(1).map(code_words).collect();
        let cell = |index: usize| cells.get(index).cloned().unwrap_or_default();
        Row { name: cell(0).concat(), may_use: cell(1), forbids: cell(2) }
    });
    rows.collect()
}

fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = list(metadata, "packages").into_iter().map(|package| {
        let dependencies = list(&package, "dependencies").into_iter();
        let (ours, others): (Vec<_>, Vec<_>) =
            dependencies.partition(|dependency| dependency["path"].is_string());
        let names = |dependencies: Vec<Value>| dependencies.iter().map(text).collect();
        Package { name: text(&package), ours: names(ours), others: names(others) }
    });
    packages.collect()
}

fn compare(rows: &[Row], packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for row in rows {
        if !packages.iter().any(|package| package.name == row.name) {
            problems.push(format!("{} is in the table, but there is no such crate", row.name));
        }
    }
    for Package { name, ours, others } in packages {
        let Some(row) = rows.iter().find(|row| row.name == *name) else {
            problems.push(format!("{name} is not in the table"));
            continue;
        };
        for used in ours.iter().filter(|used| !row.may_use.contains(used)) {
            problems.push(format!("{name} may not use {used}"));
        }
        for used in others.iter().filter(|used| row.forbids.contains(used)) {
            problems.push(format!("{name} forbids {used}"));
        }
    }
    problems
}

#[test]
fn tree_has_the_crates_that_architecture_says() {
    let document = std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).unwrap();
    let mut metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let output = metadata.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packages = packages(&serde_json::from_slice(&output.stdout).unwrap());
    assert!(!packages.is_empty());
    super::assert_none(&compare(&table(&document), &packages));
}

#[test]
fn a_crate_that_uses_what_it_may_not_is_found() {
    let document =
        format!("{HEAD}\n|---|---|---|\n| `a` | `b`, `c` | time; `tokio` |\n| `b` | – | – |");
    let metadata = |used: &str, foreign: &str| {
        let dependencies = format!(r#"[{{"name":"{used}","path":"/x"}},{{"name":"{foreign}"}}]"#);
        let package = format!(r#"{{"name":"a","dependencies":{dependencies}}}"#);
        let other = r#"{"name":"b","dependencies":[]}"#;
        let text = format!(r#"{{"packages":[{package},{other}]}}"#);
        packages(&serde_json::from_str(&text).unwrap())
    };
    let check = |used, foreign| compare(&table(&document), &metadata(used, foreign));
    super::assert_none(&check("b", "serde"));
    assert_eq!(check("d", "serde"), ["a may not use d"]);
    assert_eq!(check("b", "tokio"), ["a forbids tokio"]);
    assert_eq!(compare(&[], &metadata("b", "serde")).len(), 2);
    assert_eq!(compare(&table(&document), &[]).len(), 2);
}
