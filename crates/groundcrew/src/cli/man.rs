//! `man`: the manual pages, made from the same words that the command line is read with.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use groundcrew_drivers::durable::{self, Site};

use super::args::Args;
use super::print;
use crate::chain;
use crate::exit::{Exit, Refusal};

/// A page: its file's name and its source.
pub(crate) type Page = (String, Vec<u8>);

/// Writes the pages into a directory, or prints the first, which is the program's own.
pub(super) fn run(dir: Option<&Path>) -> Result<Exit, Refusal> {
    let pages = pages()?;
    let Some(dir) = dir else {
        let all = pages.into_iter().next().map(|(_, page)| page).unwrap_or_default();
        print::data(&String::from_utf8_lossy(&all));
        return Ok(Exit::Done);
    };
    let failed = |error: durable::Error| Refusal::failed(chain(&error));
    durable::create_dir_all(dir, 0o755, Site::Config).map_err(failed)?;
    for (name, page) in pages {
        let path: PathBuf = dir.join(name);
        durable::write(&path, &page, 0o644, Site::Config).map_err(failed)?;
        print::data(&format!("{}\n", path.display()));
    }
    Ok(Exit::Done)
}

/// All pages, the program's own first.
///
/// # Errors
///
/// One cannot be made.
pub(crate) fn pages() -> Result<Vec<Page>, Refusal> {
    let mut root = Args::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, "groundcrew", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<Page>) -> Result<(), Refusal> {
    let mut page = Vec::new();
    Man::new(command.clone().disable_help_flag(true))
        .title(name.to_uppercase())
        .source(format!("groundcrew {}", env!("CARGO_PKG_VERSION")))
        .manual("Groundcrew")
        .render(&mut page)
        .map_err(|error| Refusal::failed(format!("cannot make the page {name}: {error}")))?;
    pages.push((format!("{name}.1"), page));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        add(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}
