//! Tests about the tree itself: what a reviewer would otherwise have to look for.
//!
//! Every check is a function from text to problems, and has a test that feeds it something bad;
//! the tests that begin with `tree_` feed it what is really there.

mod docs;
mod graph;
mod ids;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use crate::steps::ROOT;

/// Large files belong into a release or are made by a test.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// xtask must stay something that one reads in a sitting or two.
const XTASK_LINES_MAX: usize = 1000;

/// Directories that nobody wrote.
const NOT_OURS: [&str; 3] = [".git", "target", "node_modules"];

/// A text file of the tree, named from its root.
struct File {
    path: String,
    text: String,
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the tree can be read") {
        let entry = entry.expect("the tree can be read");
        let name = entry.file_name();
        if NOT_OURS.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let kind = entry.file_type().expect("the tree can be read");
        if kind.is_dir() {
            walk(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn all_paths() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    found.sort();
    found
}

/// Every file with one of these endings that is text.
fn files(endings: &[&str]) -> Vec<File> {
    let paths = all_paths().into_iter().filter_map(|path| {
        let name = path.strip_prefix(ROOT).expect("it was found there").to_str()?.to_owned();
        let wanted = endings.iter().any(|ending| name.ends_with(ending));
        wanted.then(|| fs::read_to_string(&path).ok()).flatten().map(|text| (name, text))
    });
    let files: Vec<File> = paths.map(|(path, text)| File { path, text }).collect();
    assert!(!files.is_empty(), "nothing ends with {endings:?}");
    files
}

/// Whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn too_large(path: &str, bytes: u64) -> Option<String> {
    (bytes > FILE_BYTES_MAX).then(|| format!("{path}: {bytes} bytes, at most {FILE_BYTES_MAX}"))
}

/// Root's shared keys and bans that another `clippy.toml` does not repeat.
fn not_repeated(root: &str, path: &str, other: &str) -> Vec<String> {
    let lines = root.lines().map(str::trim);
    let shared = lines.filter_map(|line| {
        let banned = line.strip_prefix("{ ").and_then(|line| line.split_once(','));
        let key = line.contains(" = ") && !line.ends_with('[');
        banned.map_or(key.then_some(line), |(banned, _)| Some(banned))
    });
    let missing = shared.filter(|key| !other.contains(key));
    missing.map(|key| format!("{path}: the root's `{key}` is not repeated")).collect()
}

#[test]
fn tree_has_no_large_file() {
    let problems = all_paths().into_iter().filter_map(|path| {
        let bytes = fs::metadata(&path).expect("the tree can be read").len();
        too_large(&path.to_string_lossy(), bytes)
    });
    assert_none(&problems.collect::<Vec<_>>());
}

#[test]
fn tree_repeats_the_shared_clippy_keys() {
    let (root, others): (Vec<_>, Vec<_>) =
        files(&["clippy.toml"]).into_iter().partition(|file| file.path == "clippy.toml");
    let repeats =
        others.iter().flat_map(|other| not_repeated(&root[0].text, &other.path, &other.text));
    assert_none(&repeats.collect::<Vec<_>>());
}

#[test]
fn tree_keeps_xtask_small() {
    let own = files(&[".rs"]).into_iter().filter(|file| file.path.starts_with("xtask/"));
    let lines: usize = own.map(|file| file.text.lines().count()).sum();
    println!("xtask: {lines} lines of at most {XTASK_LINES_MAX}");
    assert!(lines <= XTASK_LINES_MAX, "xtask has {lines} lines, at most {XTASK_LINES_MAX}");
}

#[test]
fn large_files_and_forgotten_keys_are_found() {
    assert!(too_large("a", FILE_BYTES_MAX).is_none());
    assert!(too_large("a", FILE_BYTES_MAX + 1).is_some());
    let root = "lines = 70\nbans = [\n  { path = \"std::fs::write\", reason = \"x\" },\n]";
    let good = "lines = 70\nbans = [\n  { path = \"std::fs::write\", reason = \"y\" },\n]";
    assert_none(&not_repeated(root, "good", good));
    assert_eq!(not_repeated(root, "bad", "lines = 80").len(), 2);
}
