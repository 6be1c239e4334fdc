//! Segment files from anywhere, as if they lay in one directory.
//!
//! For people who were handed a few files: names do not matter, a segment says its number itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::format::segment::{HEADER_LEN, Header};
use crate::names::Name;

use super::disk::{read_at, read_on};
use super::{Entry, Source};

/// Segment files from anywhere.
#[derive(Debug, Clone, Default)]
pub struct Files {
    paths: BTreeMap<String, PathBuf>,
}

/// Why files cannot be read as the segments of one flight.
#[derive(Debug, thiserror::Error)]
pub enum BadFiles {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// Not a file, so it is not opened.
    #[error("{} is no regular file (a link, a directory, a device?)", .0.display())]
    NotAFile(PathBuf),
    /// A file is no segment, and has not the name of one.
    #[error("{} cannot be read as a segment", path.display())]
    NotASegment {
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::format::segment::NotASegment,
    },
    /// Two files are the same segment, or segments of different flights.
    #[error("{} and {} {what}", first.display(), second.display())]
    Clash {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What is wrong with them.
        what: &'static str,
    },
}

impl Files {
    /// The segments in these files. A file that is damaged in its header is taken by its name.
    ///
    /// # Errors
    ///
    /// When one cannot be read, two are the same segment, or they are of different flights.
    pub fn new(paths: &[PathBuf]) -> Result<Self, BadFiles> {
        let mut files = Self::default();
        let mut flight: Option<(&PathBuf, Header)> = None;
        for path in paths {
            let bytes = beginning(path)?;
            let by_name = path.file_name().and_then(|name| Name::parse(name.to_str()?));
            let name = match Header::decode(&bytes) {
                Ok((header, _)) => {
                    if let Some((first, known)) = &flight
                        && known.flight != header.flight
                    {
                        let what = "are segments of different flights";
                        let (first, second) = (first.to_path_buf(), path.clone());
                        return Err(BadFiles::Clash { first, second, what });
                    }
                    flight = Some((path, header));
                    match by_name {
                        Some(name @ Name::Open(number)) if number == header.number => name,
                        _ => Name::Sealed(header.number),
                    }
                }
                Err(source) => {
                    by_name.ok_or_else(|| BadFiles::NotASegment { path: path.clone(), source })?
                }
            };
            if let Some(first) = files.paths.insert(name.to_string(), path.clone()) {
                let what = "are the same segment";
                return Err(BadFiles::Clash { first, second: path.clone(), what });
            }
        }
        Ok(files)
    }
}

impl Files {
    fn path<'a>(&'a self, name: &'a str) -> &'a Path {
        self.paths.get(name).map_or(Path::new(name), PathBuf::as_path)
    }
}

/// As much of a file as a header has.
fn beginning(path: &Path) -> Result<Vec<u8>, BadFiles> {
    let io = |source| BadFiles::Io { path: path.to_owned(), source };
    if !fs::symlink_metadata(path).map_err(io)?.is_file() {
        return Err(BadFiles::NotAFile(path.to_owned()));
    }
    let mut bytes = vec![0; HEADER_LEN];
    let arrived = read_at(path, 0, &mut bytes).map_err(io)?;
    bytes.truncate(arrived);
    Ok(bytes)
}

impl Source for Files {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let entry = |(name, path): (&String, &PathBuf)| {
            let data = fs::symlink_metadata(path)?;
            Ok(Entry { name: name.clone(), len: data.len(), regular: data.is_file() })
        };
        self.paths.iter().map(entry).collect()
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        read_at(self.path(name), at, to)
    }

    fn read_on(
        &self,
        kept: &mut Option<fs::File>,
        name: &str,
        at: u64,
        to: &mut [u8],
    ) -> io::Result<usize> {
        read_on(kept, self.path(name), at, to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::format::flight_id::FlightId;

    fn put(path: &Path, flight: u64, number: u32) -> PathBuf {
        let flight = FlightId::new(flight, [0; 10]);
        let header = Header { flight, boot: [0; 16], number, first_seq: 0, time_ns: 0, utc_ns: 0 };
        fs::File::create(path).unwrap().write_all(&header.encode()).unwrap();
        path.to_owned()
    }

    #[test]
    fn rec_15_segments_are_known_by_what_they_say_and_not_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (b, a) = (put(&at("b"), 1, 3), put(&at("seg_00002.bin.tmp"), 1, 2));
        let files = Files::new(&[b.clone(), a]).unwrap();
        let names: Vec<String> = files.list().unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["seg_00002.bin.tmp", "seg_00003.bin"]);
        let said = |paths: &[PathBuf]| crate::chain(&Files::new(paths).unwrap_err());
        assert!(said(&[b.clone(), put(&at("c"), 1, 3)]).contains("are the same segment"));
        assert!(said(&[b.clone(), put(&at("d"), 2, 4)]).contains("of different flights"));
        std::os::unix::fs::symlink(&b, at("link")).unwrap();
        assert!(said(&[at("link")]).contains("link is no regular file"));
        assert!(said(&[at("none")]).contains("No such file"));
        fs::File::create(at("empty")).unwrap();
        assert!(said(&[at("empty")]).contains("empty cannot be read as a segment: 0 bytes"));
    }
}
