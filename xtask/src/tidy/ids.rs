//! Every requirement is named by a test, or stands in the list of those that are not yet.

use std::collections::BTreeSet;

use super::{File, files, is_test};
use crate::steps::ROOT;

/// Lines that `docs/spec/untested.txt` may have. Only ever lowered.
const UNTESTED_MAX: usize = 119;

fn is_id(word: &str) -> bool {
    word.split_once('-').is_some_and(|(letters, digits)| {
        let digits_only = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let capitals = letters.bytes().all(|byte| byte.is_ascii_uppercase());
        capitals && !letters.is_empty() && digits_only(digits) && !digits.is_empty()
    })
}

/// The ids in the first cells of a document's tables.
fn ids(document: &str) -> Vec<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    rows.map(str::trim).filter(|cell| is_id(cell)).map(str::to_owned).collect()
}

/// The part of a Rust file that is tests: all of it, or from its first mark on.
fn test_part(file: &File) -> &str {
    let begin = if is_test(&file.path) { Some(0) } else { file.text.find("#[cfg(test)]") };
    begin.and_then(|begin| file.text.get(begin..)).unwrap_or_default()
}

/// Whole ids that a text names, in words or in the name of a function: `qq_1_does_it`.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let words = words.filter(|word| is_id(word)).map(str::to_owned);
    words.chain(text.split("fn ").skip(1).flat_map(ids_in_name)).collect()
}

fn ids_in_name(function: &str) -> Vec<String> {
    let name = function.split('(').next().unwrap_or_default();
    let parts: Vec<&str> = name.split('_').collect();
    let id = |pair: &[&str]| format!("{}-{}", pair[0].to_ascii_uppercase(), pair[1]);
    parts.windows(2).map(id).filter(|id| is_id(id)).collect()
}

fn compare(ids: &[String], named: &BTreeSet<String>, list: &str, max: usize) -> Vec<String> {
    let listed: Vec<&str> = list.lines().collect();
    let mut problems = Vec::new();
    if listed.len() > max {
        problems.push(format!("untested.txt has {} lines, at most {max}", listed.len()));
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        if !seen.insert(id.as_str()) {
            problems.push(format!("{id} stands in two rows"));
        }
        match (named.contains(id), listed.contains(&id.as_str())) {
            (true, false) | (false, true) => {}
            (false, false) => problems.push(format!("{id}: no test names it; it is not listed")),
            (true, true) => {
                problems.push(format!("{id}: a test names it now; take it off the list"))
            }
        }
    }
    let unknown = listed.iter().filter(|line| !seen.contains(**line));
    problems.extend(unknown.map(|line| format!("untested.txt: {line:?} is no requirement")));
    problems
}

#[test]
fn tree_names_or_lists_every_requirement() {
    let documents = files(&[".md"]).into_iter().filter(|file| file.path.starts_with("docs/spec/"));
    let ids: Vec<String> = documents.flat_map(|file| ids(&file.text)).collect();
    let sources = files(&[".rs"]);
    let named = sources.iter().flat_map(|file| named(test_part(file))).collect();
    let list = std::fs::read_to_string(format!("{ROOT}/docs/spec/untested.txt")).unwrap();
    println!("requirements: {}, named by no test: {}", ids.len(), list.lines().count());
    super::assert_none(&compare(&ids, &named, &list, UNTESTED_MAX));
}

#[test]
fn a_requirement_in_neither_or_both_places_is_found() {
    let ids = ids("| id | x |\n|---|---|\n| QQ-1 | a |\n| QQ-2 | QQ-9 |\n| `QQ-3` | c |\n");
    assert_eq!(ids, ["QQ-1", "QQ-2"]);
    let check = |text: &str, list: &str| compare(&ids, &named(text), list, 1);
    super::assert_none(&check("// QQ-1.", "QQ-2\n"));
    assert_eq!(check("QQ-11 AQQ-1 QQ-1-2", "QQ-2\n"), ["QQ-1: no test names it; it is not listed"]);
    assert_eq!(check("QQ-1, QQ-2", "QQ-2\n"), ["QQ-2: a test names it now; take it off the list"]);
    super::assert_none(&compare(&ids, &named("fn qq_1_and_qq_2_do() {}"), "", 0));
    assert_eq!(check("", "QQ-1\nQQ-2\n"), ["untested.txt has 2 lines, at most 1"]);
    assert_eq!(check("QQ-1 QQ-2", "QQ-3\n"), ["untested.txt: \"QQ-3\" is no requirement"]);
    assert_eq!(compare(&[ids[0].clone(), ids[0].clone()], &named("QQ-1"), "", 0).len(), 1);
}

#[test]
fn only_tests_name_requirements() {
    let part = |path: &str, text: &str| {
        test_part(&File { path: path.into(), text: text.into() }).contains("QQ-1")
    };
    assert!(part("a/tests/b.rs", "// QQ-1"));
    assert!(part("a/src/b/tests.rs", "// QQ-1"));
    assert!(part("a/src/b.rs", "#[cfg(test)]\nmod tests { // QQ-1"));
    assert!(!part("a/src/b.rs", "// QQ-1\n#[cfg(test)]"));
    assert!(!part("a/src/b.rs", "// QQ-1"));
}
