//! `init`: a commented configuration and the directories it names; nothing is overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::print::Printer;
use crate::config::{Overrides, load};
use crate::crew;
use crate::exit::{Exit, Refusal};

/// What is written.
const TEMPLATE: &str = crate::install::CONFIGURATION;

/// Permissions of the configuration; in the state directory it is not for everybody.
const FILE_MODE: u32 = 0o644;
const FILE_MODE_IN_STATE: u32 = 0o640;

#[derive(Serialize)]
struct Made {
    made: Vec<String>,
    kept: Vec<String>,
}

/// Writes what is missing.
pub(super) fn run(
    dir: Option<&Path>,
    overrides: &Overrides,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let main = match dir {
        Some(dir) => std::path::absolute(dir)
            .map_err(|error| Refusal::usage(format!("{}: {error}", dir.display())))?
            .join("groundcrew.toml"),
        None => overrides.main_file(),
    };
    let mut made = Made { made: Vec::new(), kept: Vec::new() };
    let parent = main.parent().map_or_else(PathBuf::new, Path::to_owned);
    if let Some(state) = &overrides.state {
        // First: the configuration may go into it, and it is not for everybody.
        make_dir(state, crew::STATE_MODE, &mut made)?;
    }
    make_dir(&parent.join("conf.d"), 0o755, &mut made)?;
    let in_state = overrides.state.as_ref().is_some_and(|state| main.starts_with(state));
    make_file(&main, if in_state { FILE_MODE_IN_STATE } else { FILE_MODE }, &mut made)?;
    let overrides = Overrides { config: Some(main.clone()), state: overrides.state.clone() };
    let settings = load(&overrides).map_err(|problems| Refusal::usage(problems.to_string()))?;
    for place in [&settings.state, &settings.run] {
        note(place, &mut made);
    }
    crew::make_places(&settings)?;
    printer.show(&made, || {
        let mut text = String::new();
        made.made.iter().for_each(|path| text.push_str(&format!("made {path}\n")));
        made.kept.iter().for_each(|path| text.push_str(&format!("kept {path} as it is\n")));
        let named = named(&overrides);
        text.push_str(&format!(
            "next: write an app into it, then `groundcrew{named} config check` and `groundcrew{named} once`\n"
        ));
        text
    });
    Ok(Exit::Done)
}

/// The options that make another command look at the same places.
fn named(overrides: &Overrides) -> String {
    let mut named = String::new();
    let main = overrides.main_file();
    let config = (main != Path::new(crate::config::MAIN_FILE)).then_some(&main);
    for (option, path) in [("config", config), ("state", overrides.state.as_ref())] {
        if let Some(path) = path {
            named.push_str(&format!(" --{option} {}", quoted(&path.display().to_string())));
        }
    }
    named
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%=,".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Notes what becomes of a path, before it is made; once is enough.
fn note(path: &Path, made: &mut Made) {
    let name = path.display().to_string();
    if made.made.contains(&name) || made.kept.contains(&name) {
        return;
    }
    let list = if path.exists() { &mut made.kept } else { &mut made.made };
    list.push(name);
}

fn make_dir(path: &Path, mode: u32, made: &mut Made) -> Result<(), Refusal> {
    note(path, made);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| Refusal::failed(format!("cannot make {}: {error}", path.display())))
}

fn make_file(path: &Path, mode: u32, made: &mut Made) -> Result<(), Refusal> {
    let cannot = |error: std::io::Error| {
        Refusal::failed(format!("cannot write {}: {error}", path.display()))
    };
    note(path, made);
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match opened {
        Ok(mut file) => {
            file.write_all(TEMPLATE.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(cannot(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_the_places_that_were_given() {
        let path = |text: &str| Some(PathBuf::from(text));
        let main = path(crate::config::MAIN_FILE);
        for (config, state, options) in [
            (main.clone(), None, ""),
            (main, path("/srv/gc"), " --state /srv/gc"),
            (path("/srv/a/groundcrew.toml"), None, " --config /srv/a/groundcrew.toml"),
            (path("/a b/c.toml"), path("it's"), r" --config '/a b/c.toml' --state 'it'\''s'"),
        ] {
            assert_eq!(named(&Overrides { config, state }), options);
        }
    }

    #[test]
    fn the_state_is_not_for_everybody() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for (state, etc) in [("a", "etc"), ("b", "b"), ("c/state", "c")] {
            let (state, etc) = (dir.path().join(state), dir.path().join(etc));
            let overrides = Overrides { config: None, state: Some(state.clone()) };
            run(Some(&etc), &overrides, &Printer::new(true)).unwrap();
            let mode = fs::metadata(&state).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, crew::STATE_MODE, "{}", state.display());
            let main = fs::metadata(etc.join("groundcrew.toml")).unwrap().permissions().mode();
            let wanted = if etc.starts_with(&state) { FILE_MODE_IN_STATE } else { FILE_MODE };
            assert_eq!(main & 0o777, wanted, "{}", etc.display());
        }
    }

    /// The template with its commented examples switched on is valid too.
    #[test]
    fn the_template_is_valid_as_it_is_and_with_its_example() {
        let dir = tempfile::tempdir().unwrap();
        let example: String = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("#| ").unwrap_or(line).to_owned() + "\n")
            .collect();
        for (name, text) in [("plain.toml", TEMPLATE), ("example.toml", &example)] {
            let path = dir.path().join(name);
            fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            let state = Some(dir.path().join("state"));
            let loaded = load(&Overrides { config: Some(path), state });
            let apps = loaded.map(|settings| settings.apps.len());
            assert_eq!(
                apps.map_err(|problems| problems.to_string()),
                Ok(usize::from(name == "example.toml"))
            );
        }
    }
}
