//! What every Rust file keeps: an opening sentence, a length, no marks of unfinished work.

use super::{File, files, is_test};

/// A file fits a sitting.
const FILE_LINES_MAX: usize = 450;

/// Marks of unfinished work, as whole words. Split, so that this file does not find itself.
const WORDS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")];

/// Tests that are switched off or want a panic, and debugging left behind.
const PIECES: [&str; 3] =
    [concat!("#[ig", "nore"), concat!("should", "_panic"), concat!("dbg", "!(")];

/// What may stand before `fn`.
const QUALIFIERS: [&str; 5] = ["pub", "pub(crate)", "pub(super)", "const", "async"];

fn has_word(line: &str, word: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric()).any(|found| found == word)
}

fn marks(file: &File) -> Vec<String> {
    let lines = (1..).zip(file.text.lines());
    let bad = lines.filter_map(|(number, line)| {
        let word = WORDS.iter().find(|word| has_word(line, word));
        let mark = word.or_else(|| PIECES.iter().find(|piece| line.contains(**piece)));
        mark.map(|mark| format!("{}:{number}: {mark}", file.path))
    });
    bad.collect()
}

fn too_long(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    let long = !is_test(&file.path) && lines > FILE_LINES_MAX;
    long.then(|| format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path))
}

fn no_opening(file: &File) -> Option<String> {
    let opens = file.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    (!opens).then(|| format!("{}: does not open with `//!` and what it is for", file.path))
}

/// Lines of every function in a formatted file: from `fn` to the brace at the same indentation.
fn function_lengths(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut lengths = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let mut words = code.split(' ').skip_while(|word| QUALIFIERS.contains(word));
        if words.next() != Some("fn") || code.ends_with([';', '}']) {
            continue;
        }
        let indent = " ".repeat(line.len() - code.len());
        let (brace, parenthesis) = (format!("{indent}}}"), format!("{indent})"));
        let only_declared = |line: &str| line.starts_with(&parenthesis) && line.ends_with(';');
        let body = lines.iter().skip(first).take_while(|line| !only_declared(line));
        lengths.extend(body.into_iter().position(|line| *line == brace).map(|last| last + 1));
    }
    lengths
}

/// The value that nine tenths do not exceed.
fn p90(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values.get((values.len() * 9).div_ceil(10).saturating_sub(1)).copied().unwrap_or_default()
}

#[test]
fn tree_has_no_marks_of_unfinished_work() {
    super::assert_none(&files(&[".rs"]).iter().flat_map(marks).collect::<Vec<_>>());
}

#[test]
fn tree_has_no_long_file() {
    let files = files(&[".rs"]);
    let code: Vec<&File> = files.iter().filter(|file| !is_test(&file.path)).collect();
    let file_lines = p90(code.iter().map(|file| file.text.lines().count()).collect());
    let functions = p90(code.iter().flat_map(|file| function_lengths(&file.text)).collect());
    println!("p90: files {file_lines} lines (aim 450), functions {functions} lines (aim 35)");
    super::assert_none(&code.into_iter().filter_map(too_long).collect::<Vec<_>>());
}

#[test]
fn tree_opens_every_module_with_a_sentence() {
    super::assert_none(&files(&[".rs"]).iter().filter_map(no_opening).collect::<Vec<_>>());
}

#[test]
fn bad_rust_files_are_found() {
    let file = |path: &str, text: String| File { path: path.into(), text };
    for bad in WORDS.iter().chain(&PIECES) {
        assert_eq!(
            marks(&file("a.rs", format!("//! x\n  // {bad}: later"))),
            [format!("a.rs:2: {bad}")]
        );
    }
    super::assert_none(&marks(&file("a.rs", format!("// {}X {}S", WORDS[1], WORDS[2]))));
    let lines = |count: usize| "//! x\n".repeat(count);
    assert!(too_long(&file("a/src/b.rs", lines(450))).is_none());
    assert!(too_long(&file("a/src/b.rs", lines(451))).is_some());
    assert!(too_long(&file("a/src/b/tests.rs", lines(451))).is_none());
    assert!(no_opening(&file("a.rs", "//! A sentence.".into())).is_none());
    assert!(no_opening(&file("a.rs", "use b;\n//! A sentence.".into())).is_some());
}

#[test]
fn functions_are_measured_from_their_name_to_their_brace() {
    let text = "    pub(crate) fn a(\n        b: C,\n    ) {\n        d();\n    }\n";
    assert_eq!(function_lengths(text), [5]);
    let text = "fn e();\nfn f() {}\n// fn x() {\nfn g() {\n}";
    assert_eq!(function_lengths(text), [2]);
    let text = "    fn declared(\n        b: C,\n    ) -> D;\n    fn e() {\n    }";
    assert_eq!(function_lengths(text), [2]);
    assert_eq!(p90((1..=10).collect()), 9);
    assert_eq!(p90(vec![]), 0);
}
