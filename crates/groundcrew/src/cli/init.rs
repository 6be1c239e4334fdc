//! `init`: a commented configuration and the directories it names; nothing is overwritten.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::print::Printer;
use crate::config::{Overrides, load};
use crate::crew;
use crate::exit::{Exit, Refusal};

/// What is written.
const TEMPLATE: &str = include_str!("init.toml");

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
    make_dir(&parent.join("conf.d"), &mut made)?;
    make_file(&main, &mut made)?;
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
        let named = if overrides.main_file() == Path::new(crate::config::MAIN_FILE) {
            String::new()
        } else {
            format!(" --config {}", main.display())
        };
        text.push_str(&format!(
            "next: write an app into it, then `groundcrew{named} config check` and `groundcrew{named} once`\n"
        ));
        text
    });
    Ok(Exit::Done)
}

fn note(path: &Path, made: &mut Made) {
    let list = if path.exists() { &mut made.kept } else { &mut made.made };
    list.push(path.display().to_string());
}

fn make_dir(path: &Path, made: &mut Made) -> Result<(), Refusal> {
    note(path, made);
    fs::create_dir_all(path)
        .map_err(|error| Refusal::failed(format!("cannot make {}: {error}", path.display())))
}

fn make_file(path: &Path, made: &mut Made) -> Result<(), Refusal> {
    let cannot = |error: std::io::Error| {
        Refusal::failed(format!("cannot write {}: {error}", path.display()))
    };
    note(path, made);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
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
