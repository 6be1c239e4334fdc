//! Names with `*`, `?` and `[…]`, for those who quote them.

use std::path::{Path, PathBuf};

/// Files that one pattern may stand for.
const FOUND_MAX: usize = 100_000;

/// The paths that a pattern stands for, sorted; one without wild cards is itself.
pub(super) fn expand(pattern: &str) -> Vec<PathBuf> {
    if !is_wild(pattern) {
        return vec![PathBuf::from(pattern)];
    }
    let start = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![PathBuf::from(start)];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|dir| below(dir, part)).take(FOUND_MAX).collect();
    }
    found.sort();
    found
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn below(dir: &Path, part: &str) -> Vec<PathBuf> {
    if !is_wild(part) {
        let path = dir.join(part);
        return if path.symlink_metadata().is_ok() { vec![path] } else { Vec::new() };
    }
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let names = std::fs::read_dir(here).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let pattern: Vec<char> = part.chars().collect();
    let fits = |name: &String| {
        let hidden = name.starts_with('.') && !part.starts_with('.');
        !hidden && fits(&pattern, &name.chars().collect::<Vec<_>>())
    };
    names.filter(fits).map(|name| dir.join(name)).collect()
}

/// Whether a name fits a pattern, in time that grows with their product.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut on) = (0, 0);
    // Where the last `*` stands, and what of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = name.get(on) {
        let next = match pattern.get(at) {
            Some('*') => {
                star = Some((at, on));
                at += 1;
                continue;
            }
            Some('?') => Some(at + 1),
            Some('[') => class(pattern, at, *letter),
            Some(plain) => (plain == letter).then_some(at + 1),
            None => None,
        };
        match (next, star) {
            (Some(next), _) => (at, on) = (next, on + 1),
            (None, Some((place, taken))) => {
                star = Some((place, taken + 1));
                (at, on) = (place + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|letter| *letter == '*')
}

/// Behind a class `[…]` that has the letter; a bracket that is never closed is a letter.
fn class(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    let inside = pattern.get(at + 1..)?;
    let Some(end) = inside.iter().skip(1).position(|one| *one == ']').map(|end| end + 1) else {
        return (letter == '[').then_some(at + 1);
    };
    let members = inside.get(..end)?;
    let (not, members) = match members.split_first() {
        Some(('!' | '^', rest)) if !rest.is_empty() => (true, rest),
        _ => (false, members),
    };
    let range = members.windows(3).any(|three| match three {
        [from, '-', to] => (*from..=*to).contains(&letter),
        _ => false,
    });
    let has = range || members.contains(&letter);
    (has != not).then_some(at + 1 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_the_names_that_a_shell_would_take() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("seg_*.bin", "seg_00001.bin", true),
            ("seg_*.bin", "seg_00001.bin.tmp", false),
            ("seg_0000?.bin", "seg_00012.bin", false),
            ("seg_0000[12].bin", "seg_00002.bin", true),
            ("seg_0000[2-4].bin", "seg_00003.bin", true),
            ("seg_0000[!2-4].bin", "seg_00003.bin", false),
            ("[a", "[a", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(fits(&letters(pattern), &letters(name)), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_goes_through_directories() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/1.bin", "b/2.bin", "b/.3.bin", "c/4.txt"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap();
        }
        let root = dir.path().display();
        let found = expand(&format!("{root}/*/*.bin"));
        assert_eq!(found, [dir.path().join("a/1.bin"), dir.path().join("b/2.bin")]);
        assert_eq!(expand("plain"), [PathBuf::from("plain")]);
        assert!(expand(&format!("{root}/no*")).is_empty());
    }
}
