//! Which flight is meant, and where its segments are.

use std::io;
use std::path::{Path, PathBuf};

use groundcrew_recorder::flight_dir::{BadDir, FlightDir};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::storage::{Disk, Entry, Files, Source};

use super::glob;
use crate::chain;
use crate::cli::args::{FlightRoot, Which};
use crate::config::Overrides;
use crate::exit::{Exit, Refusal};

/// Where segments are read from.
#[derive(Clone, Debug)]
pub(super) enum Medium {
    /// A directory.
    Disk(Disk),
    /// Files from anywhere.
    Files(Files),
}

impl Source for Medium {
    fn list(&self) -> io::Result<Vec<Entry>> {
        match self {
            Self::Disk(disk) => disk.list(),
            Self::Files(files) => files.list(),
        }
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Disk(disk) => disk.read_at(name, at, to),
            Self::Files(files) => files.read_at(name, at, to),
        }
    }
}

/// The flight that is meant.
#[derive(Clone, Debug)]
pub(super) struct Meant {
    /// What it is called to people.
    pub(super) name: String,
    /// Its directory; segment files alone have none.
    pub(super) dir: Option<FlightDir>,
    /// Where its segments are.
    pub(super) medium: Medium,
}

impl Meant {
    /// Its segments.
    ///
    /// # Errors
    ///
    /// There are none, or they cannot be listed.
    pub(super) fn open(&self) -> Result<Flight<Medium>, Refusal> {
        Flight::open(self.medium.clone())
            .map_err(|error| Refusal::usage(format!("{}: {}", self.name, chain(&error))))
    }

    /// Whether a recorder has it.
    pub(super) fn is_written(&self) -> bool {
        self.dir.as_ref().is_some_and(|dir| dir.is_claimed().unwrap_or(false))
    }

    fn dir(dir: FlightDir) -> Self {
        let medium = Medium::Disk(dir.segments());
        Self { name: dir.name(), dir: Some(dir), medium }
    }
}

/// The directory with the recordings.
///
/// # Errors
///
/// It is not named, and the configuration is wrong.
pub(super) fn root(named: &FlightRoot, overrides: &Overrides) -> Result<PathBuf, Refusal> {
    if let Some(dir) = &named.recordings {
        return Ok(dir.clone());
    }
    // On a machine that only reads flights there is no configuration, and none is needed.
    if overrides.config.is_none() && !overrides.main_file().exists() {
        return Ok(crate::config::settings::default_recordings(overrides));
    }
    Ok(crate::cli::settings(overrides)?.recordings)
}

/// The flight that is meant.
///
/// # Errors
///
/// There is none, or several may be meant.
pub(super) fn find(which: &Which, overrides: &Overrides) -> Result<Meant, Refusal> {
    if !which.segment.is_empty() {
        let paths: Vec<PathBuf> = which.segment.iter().flat_map(|one| glob::expand(one)).collect();
        if paths.is_empty() {
            let text = format!("no file is called {}", which.segment.join(" or "));
            return Err(Refusal::usage(text));
        }
        return files(&paths);
    }
    match which.flight.as_slice() {
        [word] => one(word, &which.root, overrides),
        words => files(&words.iter().map(PathBuf::from).collect::<Vec<_>>()),
    }
}

/// The flight that one word means.
///
/// # Errors
///
/// There is none, or several may be meant.
pub(super) fn one(word: &str, named: &FlightRoot, overrides: &Overrides) -> Result<Meant, Refusal> {
    let path = Path::new(word);
    if word.contains('/') || path.symlink_metadata().is_ok() {
        return at(path);
    }
    let root = root(named, overrides)?;
    let all = FlightDir::list(&root).map_err(|error| Refusal::failed(chain(&error)))?;
    let shown = root.display();
    if all.is_empty() {
        let way = "`[recorder] root` or --recordings names another place";
        return Err(Refusal::usage(format!("there are no flights in {shown}; {way}")));
    }
    if word == "last" {
        let is_flight = |dir: &&FlightDir| dir.name().parse::<FlightId>().is_ok();
        let last = all.iter().rev().find(is_flight).or(all.last());
        return Ok(Meant::dir(last.expect("it is not empty").clone()));
    }
    let fits: Vec<&FlightDir> = all.iter().filter(|dir| dir.name().starts_with(word)).collect();
    let exact = fits.iter().find(|dir| dir.name() == word);
    match (fits.as_slice(), exact) {
        ([dir], _) | (_, Some(dir)) => Ok(Meant::dir((*dir).clone())),
        ([], None) => {
            let text = format!("no flight in {shown} begins with {word:?}");
            Err(Refusal::usage(format!("{text}; `groundcrew flight list` shows them")))
        }
        (many, None) => {
            let names: Vec<String> = many.iter().take(5).map(|dir| dir.name()).collect();
            let text = format!("{} flights begin with {word:?}: {}", many.len(), names.join(", "));
            Err(Refusal::usage(format!("{text}; write more of the id")))
        }
    }
}

/// What lies at a path: a flight, a directory of segments, or a segment.
fn at(path: &Path) -> Result<Meant, Refusal> {
    if path.is_file() || path.is_symlink() && !path.is_dir() {
        return files(&[path.to_owned()]);
    }
    match FlightDir::open(path) {
        Ok(dir) => Ok(Meant { name: path.display().to_string(), ..Meant::dir(dir) }),
        Err(error @ BadDir::NoFlight(_)) => {
            let disk = Disk::new(path);
            let entries = disk.list().unwrap_or_default();
            if !entries.iter().any(|entry| Name::parse(&entry.name).is_some()) {
                return Err(Refusal::usage(format!("{}, and no segment either", chain(&error))));
            }
            let name = path.display().to_string();
            Ok(Meant { name, dir: None, medium: Medium::Disk(disk) })
        }
        Err(error) => Err(Refusal::usage(chain(&error))),
    }
}

fn files(paths: &[PathBuf]) -> Result<Meant, Refusal> {
    let files = Files::new(paths).map_err(|error| {
        use groundcrew_recorder::storage::BadFiles;
        let code = match error {
            BadFiles::NotASegment { .. } | BadFiles::NotAFile(_) => Exit::Lost,
            _ => Exit::Usage,
        };
        Refusal::new(code, chain(&error))
    })?;
    let name = match paths {
        [path] => path.display().to_string(),
        many => format!("{} segment files", many.len()),
    };
    Ok(Meant { name, dir: None, medium: Medium::Files(files) })
}
