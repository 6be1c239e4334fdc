//! Where flights are pulled from, and what lies there.
//!
//! Names are checked before anything is done with them: a file of a flight is its manifest, a
//! segment, or a picture, and is called as such. Whatever else lies there, a link among it, stays
//! there and is told of. Lengths are those of the listing; what grows meanwhile is cut there.

use std::io;
use std::path::PathBuf;

use groundcrew_recorder::flight_dir::{MANIFEST, THUMBNAILS};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::names::{Name, SEGMENTS};

use super::receipt::Receipt;
use crate::exit::Exit;

/// Files that are listed of one place; a flight of 64 GB has a thousand segments.
pub(super) const FILES_MAX: usize = 1 << 20;
/// The longest manifest that is taken, bytes; the reader's own bound.
const MANIFEST_MAX: u64 = 1 << 20;
/// The largest picture that is taken, bytes: thumbnails have some 10 KB.
const PICTURE_MAX: u64 = 16 << 20;
/// The longest name of a picture, bytes: a file system's bound, with room for the name it has
/// while it is copied.
const PICTURE_NAME_MAX: usize = 240;

/// Why a flight was not pulled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The file system that it goes to says no.
    #[error("cannot {doing} {}", path.display())]
    Here {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// The file system that it comes from says no.
    #[error("the source cannot be read any more: cannot {doing} {}", path.display())]
    There {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// The other host cannot be reached, or what runs there failed.
    #[error("{host} {what}")]
    Host {
        /// The host.
        host: String,
        /// What is with it, and what it said.
        what: String,
        /// What the commands there ended with.
        code: Option<i32>,
    },
    /// A file has fewer bytes than were listed.
    #[error("{path} gave {found} of {listed} bytes")]
    Short {
        /// The file.
        path: String,
        /// Bytes that came.
        found: u64,
        /// Bytes that it had.
        listed: u64,
    },
    /// There is nothing to pull.
    #[error("{0}")]
    Nothing(String),
    /// What is here is whole, and not what is there.
    #[error(
        "{} is whole, and another than at the source; which of them is right, only a person can \
         say: move one of the flights aside and pull again", .0.display()
    )]
    Differs(PathBuf),
    /// What was written is not what was read, and was not when it was tried again.
    #[error("{} is not as it was read from the source; is a disk or memory bad?", .0.display())]
    Miscopied(PathBuf),
    /// The disk has no room for it.
    #[error("{} has {free} bytes left, and {needed} are needed", path.display())]
    Room {
        /// Where it was to go.
        path: PathBuf,
        /// What is left, bytes.
        free: u64,
        /// What is needed, bytes.
        needed: u64,
    },
    /// Somebody else is at work there.
    #[error("{} is locked: {what}", path.display())]
    Locked {
        /// What is locked.
        path: PathBuf,
        /// By whom.
        what: &'static str,
    },
}

impl Trouble {
    /// At the place where the flights go.
    pub(super) fn here(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Here { doing, path, source }
    }

    /// At the place where they come from.
    pub(super) fn there(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::There { doing, path, source }
    }

    /// What the command ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::There { .. } | Self::Host { .. } | Self::Short { .. } => Exit::Unreachable,
            Self::Nothing(_) => Exit::Usage,
            Self::Locked { .. } => Exit::Locked,
            Self::Here { .. } | Self::Differs(_) | Self::Miscopied(_) | Self::Room { .. } => {
                Exit::Failed
            }
        }
    }

    /// Whether it is of this flight only, so that the next may go well.
    pub(super) fn is_of_one_flight(&self) -> bool {
        matches!(
            self,
            Self::Differs(_) | Self::Room { .. } | Self::Locked { .. } | Self::Short { .. }
        )
    }
}

/// What a file of a flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The manifest.
    Manifest,
    /// In the directory of the segments.
    Segment(Name),
    /// A picture.
    Picture,
}

/// A file of a flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it lies in the flight's directory: plain letters and one `/` at most.
    pub(super) path: String,
    /// What it is.
    pub(super) part: Part,
    /// Its length, bytes.
    pub(super) len: u64,
}

impl Item {
    /// The file that is called so; `None`: it is none of a flight's, or not one that is copied.
    pub(super) fn new(path: &str, len: u64, regular: bool) -> Option<Self> {
        let part = match path.split_once('/') {
            None if path == MANIFEST && len <= MANIFEST_MAX => Part::Manifest,
            Some((SEGMENTS, name)) => Part::Segment(Name::parse(name)?),
            Some((THUMBNAILS, name)) if len <= PICTURE_MAX && is_picture(name) => Part::Picture,
            _ => return None,
        };
        regular.then(|| Self { path: path.to_owned(), part, len })
    }

    /// Its name, if it is a segment.
    pub(super) fn segment(&self) -> Option<Name> {
        match self.part {
            Part::Segment(name) => Some(name),
            Part::Manifest | Part::Picture => None,
        }
    }
}

fn is_picture(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=PICTURE_NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(plain)
}

/// A flight at the source.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// Its id, which is its directory's name.
    pub(super) id: FlightId,
    /// Whether a recorder has it; `None`: nobody can tell.
    pub(super) claimed: Option<bool>,
    /// Its files by path, the manifest not among them.
    pub(super) items: Vec<Item>,
    /// Its manifest.
    pub(super) manifest: Option<Item>,
    /// What lies there and is not copied.
    pub(super) strange: Vec<String>,
    /// That it was pulled before.
    pub(super) receipt: Option<Receipt>,
}

impl Offer {
    /// A flight of which nothing is known yet.
    pub(super) fn new(id: FlightId) -> Self {
        let (items, strange) = (Vec::new(), Vec::new());
        Self { id, claimed: None, items, manifest: None, strange, receipt: None }
    }

    /// Takes a file into the list, or what is no file of a flight into the other.
    pub(super) fn add(&mut self, path: &str, len: u64, regular: bool) {
        match Item::new(path, len, regular) {
            Some(item) if item.part == Part::Manifest => self.manifest = Some(item),
            Some(item) => self.items.push(item),
            None => self.strange.push(path.to_owned()),
        }
    }

    /// Whether a segment has this name.
    pub(super) fn has(&self, name: Name) -> bool {
        self.items.iter().any(|item| item.segment() == Some(name))
    }

    /// Whether a segment is being written, or was when its recorder was cut off. An open one beside
    /// a sealed one of its number is neither: recovery leaves it so.
    pub(super) fn is_open(&self) -> bool {
        let is_open = |item: &Item| match item.segment() {
            Some(Name::Open(number)) => !self.has(Name::Sealed(number)),
            _ => false,
        };
        self.claimed == Some(true) || self.items.iter().any(is_open)
    }
}

/// What lies at a source.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Its flights, oldest first.
    pub(super) offers: Vec<Offer>,
    /// Directories that look like flights and are not called so.
    pub(super) others: Vec<String>,
}

impl Listing {
    /// Takes in a directory with segments; `None`: its name is no flight's.
    pub(super) fn flight(&mut self, name: &str) -> Option<&mut Offer> {
        match name.parse::<FlightId>() {
            Ok(id) if id.to_string() == name => {
                self.offers.push(Offer::new(id));
                self.offers.last_mut()
            }
            _ => {
                self.others.push(name.to_owned());
                None
            }
        }
    }

    /// Puts all in order.
    pub(super) fn sorted(mut self) -> Self {
        self.offers.sort_by_key(|offer| offer.id);
        self.others.sort();
        let by_path = |a: &Item, b: &Item| a.path.cmp(&b.path);
        self.offers.iter_mut().for_each(|offer| offer.items.sort_by(by_path));
        self
    }
}

/// A part of a file that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// The file.
    pub(super) item: Item,
    /// From which byte on.
    pub(super) from: u64,
}

/// What is told of the files that come.
pub(super) enum Came<'a> {
    /// This file begins.
    File(&'a Want),
    /// Its next bytes.
    Bytes(&'a [u8]),
    /// All of it came.
    Done(&'a Want),
}

/// What takes the bytes.
pub(super) type Take<'a> = dyn FnMut(Came<'_>) -> Result<(), Trouble> + 'a;

/// A place from which flights are pulled.
pub(super) trait Origin {
    /// What it is called to people.
    fn name(&self) -> String;

    /// What is there.
    ///
    /// # Errors
    ///
    /// It cannot be reached or read, or there is no flight.
    fn list(&self) -> Result<Listing, Trouble>;

    /// Gives files in the order in which they are wanted.
    ///
    /// # Errors
    ///
    /// One cannot be read, is shorter than it was, or whoever takes them has enough.
    fn give(&self, id: FlightId, wants: &[Want], take: &mut Take<'_>) -> Result<(), Trouble>;

    /// The SHA-256 of files as they are there, in their order, as hexadecimal digits.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    fn digests(
        &self,
        id: FlightId,
        items: &[Item],
        each: &mut dyn FnMut(&Item),
    ) -> Result<Vec<String>, Trouble>;

    /// Leaves word beside a flight that it was pulled; durable on return.
    ///
    /// # Errors
    ///
    /// It cannot be written, as on a read-only disk.
    fn leave(&self, id: FlightId, receipt: &Receipt) -> Result<(), Trouble>;
}
