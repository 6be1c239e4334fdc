//! What every Markdown document keeps: links that lead somewhere, and one title.

use std::path::Path;

use super::{File, files};
use crate::steps::ROOT;

/// The text without what stands in code font or in a code block.
fn prose(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept.extend(line.split('`').step_by(2));
            kept.push('\n');
        }
    }
    kept
}

/// Targets of relative links, without their place in the document.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
    let relative = targets.filter(|target| !target.is_empty() && !target.contains(':'));
    relative.map(str::to_owned).collect()
}

fn dead_links(file: &File, is_there: impl Fn(&Path) -> bool) -> Vec<String> {
    let dir = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let dead = links(&file.text).into_iter().filter(|target| !is_there(&dir.join(target)));
    dead.map(|target| format!("{}: link to {target} leads nowhere", file.path)).collect()
}

fn not_one_title(file: &File) -> Option<String> {
    let titles = prose(&file.text).lines().filter(|line| line.starts_with("# ")).count();
    (titles != 1).then(|| format!("{}: {titles} titles instead of one", file.path))
}

#[test]
fn tree_has_no_dead_links() {
    let is_there = |path: &Path| Path::new(ROOT).join(path).exists();
    let files = files(&[".md"]);
    super::assert_none(
        &files.iter().flat_map(|file| dead_links(file, is_there)).collect::<Vec<_>>(),
    );
}

#[test]
fn tree_has_one_title_per_document() {
    super::assert_none(&files(&[".md"]).iter().filter_map(not_one_title).collect::<Vec<_>>());
}

#[test]
fn bad_documents_are_found() {
    let file = |text: &str| File { path: "docs/a.md".into(), text: text.into() };
    let is_there = |path: &Path| path == Path::new("docs/b.md");
    let good = "[x](b.md#y) [x](#y) [x](https://z) `[x](c.md)`\n```\n[x](c.md)\n```\n";
    super::assert_none(&dead_links(&file(good), is_there));
    let dead = dead_links(&file("[x](b.md) [y](c.md)"), is_there);
    assert_eq!(dead, ["docs/a.md: link to c.md leads nowhere"]);
    assert!(not_one_title(&file("# a\n## b\n```sh\n# c\n```")).is_none());
    assert!(not_one_title(&file("## a")).is_some());
    assert!(not_one_title(&file("# a\n# b")).is_some());
}
