//! A directory of this host, or a disk that is mounted on it, to pull flights from.
//!
//! No link below the directory that was named is followed, and nothing but regular files is opened.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use groundcrew_recorder::flight_dir::{FlightDir, MANIFEST, THUMBNAILS};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::names::SEGMENTS;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::origin::{Came, FILES_MAX, Item, Listing, Offer, Origin, Take, Trouble, Want};
use super::receipt::{RECEIPT, RECEIPT_MAX, Receipt, hex};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// The recording outside flights, which is never pulled.
pub(super) const STANDING: &str = "standing";

/// A directory on this host.
#[derive(Debug)]
pub(super) struct Local {
    /// As a person named it.
    named: PathBuf,
    /// The directory of the flights.
    root: PathBuf,
    /// The only flight that is meant.
    only: Option<String>,
}

impl Local {
    /// The recordings, or the one flight, in a directory.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub(super) fn new(named: &Path) -> Result<Self, Trouble> {
        let whole = named.canonicalize();
        let whole = whole.map_err(|error| {
            Trouble::Nothing(format!("cannot open {}: {error}", named.display()))
        })?;
        let named = named.to_owned();
        let name = whole.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned);
        match (name, whole.parent()) {
            (Some(name), Some(root)) if is_dir(&whole.join(SEGMENTS)) => {
                Ok(Self { named, root: root.to_owned(), only: Some(name) })
            }
            _ => Ok(Self { named, root: whole, only: None }),
        }
    }

    /// The directory of the flights.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn dir(&self, id: FlightId) -> PathBuf {
        self.root.join(id.to_string())
    }

    fn names(&self) -> Result<Vec<String>, Trouble> {
        if let Some(only) = &self.only {
            return Ok(vec![only.clone()]);
        }
        let mut names = Vec::new();
        for (name, data) in entries(&self.root)? {
            let below = self.root.join(&name).join(SEGMENTS);
            match below.symlink_metadata() {
                Ok(found) if data.is_dir() && found.is_dir() => names.push(name),
                // A flight that this user may not see is not left out without a word.
                Err(error) if is_denied(&error) && name.parse::<FlightId>().is_ok() => {
                    return Err(Trouble::there("look at", below)(error));
                }
                _ => {}
            }
        }
        Ok(names)
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn is_dir(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_dir())
}

/// What is in a directory; what is called in no letters comes with others in their place.
fn entries(dir: &Path) -> Result<Vec<(String, Metadata)>, Trouble> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(Trouble::there("list", dir))? {
        let entry = entry.map_err(Trouble::there("list", dir))?;
        // It may go while we look, as the oldest segment does.
        match entry.metadata() {
            Ok(data) => all.push((entry.file_name().to_string_lossy().into_owned(), data)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Trouble::there("look at", entry.path())(error)),
        }
        if all.len() > FILES_MAX {
            let text = format!("there are more than {FILES_MAX} files in {}", dir.display());
            return Err(Trouble::Nothing(text));
        }
    }
    Ok(all)
}

/// Takes in the files of a flight.
fn furnish(dir: &Path, offer: &mut Offer) -> Result<(), Trouble> {
    offer.claimed = FlightDir::open(dir).and_then(|dir| dir.is_claimed()).ok();
    for below in [SEGMENTS, THUMBNAILS] {
        let path = dir.join(below);
        match path.symlink_metadata() {
            Ok(data) if data.is_dir() => {}
            Ok(_) => {
                offer.strange.push(below.to_owned());
                continue;
            }
            Err(_) => continue,
        }
        for (name, data) in entries(&path)? {
            offer.add(&format!("{below}/{name}"), data.len(), data.is_file());
        }
    }
    if let Ok(data) = dir.join(MANIFEST).symlink_metadata() {
        offer.add(MANIFEST, data.len(), data.is_file());
    }
    offer.receipt = read_receipt(&dir.join(RECEIPT));
    Ok(())
}

fn read_receipt(path: &Path) -> Option<Receipt> {
    let mut bytes = Vec::new();
    open(path).ok()?.take(RECEIPT_MAX).read_to_end(&mut bytes).ok()?;
    Receipt::read(&bytes)
}

/// Opens a file that is no link, and no pipe that nobody writes to.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Reads so many bytes of a file from an offset on; gives how many there were.
pub(super) fn read(
    file: &mut File,
    from: u64,
    len: u64,
    fail: impl Fn(io::Error) -> Trouble,
    mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<u64, Trouble> {
    file.seek(SeekFrom::Start(from)).map_err(&fail)?;
    let (mut piece, mut done) = (vec![0; PIECE], 0);
    while done < len {
        let wanted = usize::try_from(len - done).unwrap_or(PIECE).min(PIECE);
        match file.read(piece.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) => break,
            Ok(arrived) => {
                take(piece.get(..arrived).unwrap_or_default())?;
                done += u64::try_from(arrived).unwrap_or(u64::MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(done)
}

/// The SHA-256 of the first bytes of a file.
pub(super) fn sha256(
    file: &mut File,
    len: u64,
    fail: impl Fn(io::Error) -> Trouble,
) -> Result<String, Trouble> {
    let mut hash = Sha256::new();
    read(file, 0, len, fail, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hex(hash))
}

impl Origin for Local {
    fn name(&self) -> String {
        self.named.display().to_string()
    }

    fn list(&self) -> Result<Listing, Trouble> {
        let mut listing = Listing::default();
        for name in self.names()? {
            if let Some(offer) = listing.flight(&name) {
                furnish(&self.root.join(&name), offer)?;
            }
        }
        Ok(listing)
    }

    fn give(&self, id: FlightId, wants: &[Want], take: &mut Take<'_>) -> Result<(), Trouble> {
        for want in wants {
            let path = self.dir(id).join(&want.item.path);
            let fail = |error| Trouble::there("read", &path)(error);
            let mut file = open(&path).map_err(fail)?;
            take(Came::File(want))?;
            let len = want.item.len.saturating_sub(want.from);
            let found = read(&mut file, want.from, len, fail, |bytes| take(Came::Bytes(bytes)))?;
            if found != len {
                let path = path.display().to_string();
                return Err(Trouble::Short { path, found, listed: len });
            }
            take(Came::Done(want))?;
        }
        Ok(())
    }

    fn digests(
        &self,
        id: FlightId,
        items: &[Item],
        each: &mut dyn FnMut(&Item),
    ) -> Result<Vec<String>, Trouble> {
        let digest = |item: &Item| {
            let path = self.dir(id).join(&item.path);
            let fail = |error| Trouble::there("read", &path)(error);
            let digest = sha256(&mut open(&path).map_err(fail)?, item.len, fail);
            each(item);
            digest
        };
        items.iter().map(digest).collect()
    }

    fn leave(&self, id: FlightId, receipt: &Receipt) -> Result<(), Trouble> {
        let dir = self.dir(id);
        let (path, aside) = (dir.join(RECEIPT), dir.join(format!("{RECEIPT}.tmp")));
        let write = || {
            match fs::remove_file(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o640).open(&aside)?;
            file.write_all(format!("{}\n", receipt.line()).as_bytes())?;
            file.sync_all()?;
            rustix::fs::rename(&aside, &path)?;
            File::open(&dir)?.sync_all()
        };
        write().map_err(Trouble::there("write", &path))
    }
}
