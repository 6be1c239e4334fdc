//! One segment of a flight, read in pieces.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;

use crate::format::frame::BODY_MAX;
use crate::format::index::{self, Index};
use crate::format::segment::{HEADER_LEN, Header, NotASegment, TRAILER_LEN, Trailer};
use crate::storage::{Entry, Source};

use super::scan::{Found, Hole, Pause, Scanner};

/// Bytes that are read at once: few enough to be still in the processor's cache when they are looked
/// at.
const PIECE: usize = 256 << 10;

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not a file, so it is not opened.
    #[error("{0} is no regular file (a link, a directory, a device?)")]
    NotAFile(String),
    /// No segment that this version can read.
    #[error("{name} cannot be read as a segment")]
    NotASegment {
        /// The file.
        name: String,
        /// Why.
        source: NotASegment,
    },
    /// The file system says no.
    #[error("cannot read {name}")]
    Io {
        /// The file.
        name: String,
        /// What it says.
        source: io::Error,
    },
}

impl Unreadable {
    /// Whether a newer version of the program could read it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        let Self::NotASegment { source, .. } = self else { return false };
        matches!(source, NotASegment::Version { .. } | NotASegment::Features(_))
    }
}

/// Reads a segment from one end to the other.
#[derive(Debug)]
pub struct SegmentReader<'s, S> {
    source: &'s S,
    name: String,
    /// Who it belongs to.
    pub header: Header,
    frames_at: u64,
    scanner: Scanner,
    read_to: u64,
    kept: Option<File>,
}

impl<'s, S: Source> SegmentReader<'s, S> {
    /// Opens a segment at its first record.
    ///
    /// # Errors
    ///
    /// When it is none, or cannot be read.
    pub fn open(source: &'s S, entry: &Entry) -> Result<Self, Unreadable> {
        let name = entry.name.clone();
        if !entry.regular {
            return Err(Unreadable::NotAFile(name));
        }
        let mut bytes = [0; HEADER_LEN];
        let arrived = read_full(source, &name, 0, &mut bytes)
            .map_err(|source| Unreadable::Io { name: name.clone(), source })?;
        let (header, frames_at) = Header::decode(bytes.get(..arrived).unwrap_or_default())
            .map_err(|source| Unreadable::NotASegment { name: name.clone(), source })?;
        let frames_at = u64::try_from(frames_at).unwrap_or(u64::MAX);
        let scanner = Scanner::new(header.seed(), frames_at);
        Ok(Self { source, name, header, frames_at, scanner, read_to: frames_at, kept: None })
    }

    /// Goes on at a frame that the index names.
    pub fn seek(&mut self, at: u64) {
        let at = at.max(self.frames_at);
        self.scanner = Scanner::new(self.header.seed(), at);
        self.read_to = at;
    }

    /// What comes next; [`Found::More`] is never given.
    ///
    /// # Errors
    ///
    /// When the file cannot be read on.
    pub fn next_found(&mut self) -> Result<Found<'_>, Unreadable> {
        self.fill()?;
        Ok(self.scanner.find())
    }

    /// Gives all that comes next, which is quicker than one by one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read on.
    pub fn each(
        &mut self,
        mut give: impl FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unreadable> {
        loop {
            match self.scanner.each(&mut give) {
                Pause::More => self.read_on()?,
                Pause::End => return Ok(ControlFlow::Continue(())),
                Pause::Stopped => return Ok(ControlFlow::Break(())),
            }
        }
    }

    /// Reads until the scanner has something to say.
    fn fill(&mut self) -> Result<(), Unreadable> {
        while self.scanner.wants_more() {
            self.read_on()?;
        }
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), Unreadable> {
        let space = self.scanner.space();
        let piece = space.len().min(PIECE);
        let space = space.get_mut(..piece).unwrap_or_default();
        let arrived = read_on(self.source, &mut self.kept, &self.name, self.read_to, space)
            .map_err(|source| Unreadable::Io { name: self.name.clone(), source })?;
        if arrived == 0 {
            self.scanner.end();
        }
        self.scanner.filled(arrived);
        self.read_to += u64::try_from(arrived).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The index of a sealed segment, without reading what is between; `None`: it was not sealed,
    /// or its end is damaged.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn sealed_index(&self, len: u64) -> Result<Option<Index>, Unreadable> {
        let io = |source| Unreadable::Io { name: self.name.clone(), source };
        let trailer_len = u64::try_from(TRAILER_LEN).unwrap_or(u64::MAX);
        let Some(trailer_at) = len.checked_sub(trailer_len) else { return Ok(None) };
        let mut bytes = [0; TRAILER_LEN];
        let arrived = read_full(self.source, &self.name, trailer_at, &mut bytes).map_err(io)?;
        let trailer = Trailer::decode(bytes.get(..arrived).unwrap_or_default(), self.header.seed());
        let Some(trailer) = trailer.filter(|trailer| trailer.file_len == len) else {
            return Ok(None);
        };
        let index_len = trailer_at.checked_sub(trailer.index_at);
        let index_len = index_len.and_then(|len| usize::try_from(len).ok());
        let Some(index_len) = index_len.filter(|len| *len <= BODY_MAX * 2) else { return Ok(None) };
        let mut frame = vec![0; index_len];
        let arrived = read_full(self.source, &self.name, trailer.index_at, &mut frame);
        let arrived = arrived.map_err(io)?;
        let frame = frame.get(..arrived).unwrap_or_default();
        Ok(match crate::format::frame::decode(frame, self.header.seed()) {
            crate::format::frame::Step::Record { record, .. }
                if record.head.kind == index::KIND =>
            {
                Index::decode(record.body)
            }
            _ => None,
        })
    }
}

/// What a whole scan of a segment finds, but for the records themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Who it belongs to.
    pub header: Header,
    /// What is in it.
    pub index: Index,
    /// Bytes that are no record; at most [`HOLES_MAX`] of them are listed.
    pub holes: Vec<Hole>,
    /// How many there are in all.
    pub holes_in_all: u64,
    /// Offset behind the last intact record.
    pub end: u64,
    /// Whether a trailer ends it.
    pub sealed: bool,
}

/// Holes that are listed of one segment.
pub const HOLES_MAX: usize = 1000;

/// Scans a whole segment.
///
/// # Errors
///
/// When it is none, or cannot be read.
pub fn scan<S: Source>(
    source: &S,
    entry: &Entry,
    mut each: impl FnMut(&crate::format::frame::Record<'_>),
) -> Result<Outline, Unreadable> {
    let mut reader = SegmentReader::open(source, entry)?;
    let mut outline = Outline {
        header: reader.header,
        index: Index::default(),
        holes: Vec::new(),
        holes_in_all: 0,
        end: reader.frames_at,
        sealed: false,
    };
    loop {
        match reader.next_found()? {
            Found::Record { at, record } => {
                outline.end = at + record.frame_len();
                if record.head.kind != index::KIND {
                    outline.index.add(&record.head, at);
                    each(&record);
                }
            }
            Found::Damage(hole) => {
                outline.holes_in_all += 1;
                if outline.holes.len() < HOLES_MAX {
                    outline.holes.push(hole);
                }
            }
            Found::Trailer(_) => outline.sealed = true,
            Found::More | Found::End => return Ok(outline),
        }
    }
}

fn read_on(
    source: &impl Source,
    kept: &mut Option<File>,
    name: &str,
    at: u64,
    to: &mut [u8],
) -> io::Result<usize> {
    loop {
        match source.read_on(kept, name, at, to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn read_some(source: &impl Source, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read_at(name, at, to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads until `to` is full or the file ends.
fn read_full(source: &impl Source, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < to.len() {
        let rest = to.get_mut(done..).unwrap_or_default();
        let offset = at + u64::try_from(done).unwrap_or(u64::MAX);
        match read_some(source, name, offset, rest)? {
            0 => break,
            arrived => done += arrived,
        }
    }
    Ok(done)
}
