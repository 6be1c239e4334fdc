//! One flight, from where it is to where it is to be.
//!
//! Nothing is believed for its length. A file that is here already is the same if its SHA-256 is;
//! one that comes is hashed while it comes, synced, read from the disk again and hashed again; one
//! that goes on where another `pull` was killed is compared with the source as a whole. Then the
//! recorder's own verifier reads all of the flight. What it finds damaged is compared with the
//! source once more: damage that is there too is taken over and named, any other is copied anew,
//! and a flight that it comes back to is not called pulled.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};

use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::segment::scan;
use groundcrew_recorder::reader::verify::{Report, verify};
use groundcrew_recorder::storage::{Disk, Entry};
use sha2::{Digest as _, Sha256};

use super::local;
use super::origin::{Came, Item, Offer, Origin, Part, Trouble, Want};
use super::place::{Place, Shelf};
use super::receipt::{Known, digest, hex};
use crate::cli::flight::progress::Progress;
use crate::cli::flight::verify::losses;

/// How often a file is fetched that does not arrive as it was.
const ROUNDS: usize = 2;

/// One flight on its way.
pub(super) struct Copy<'a> {
    /// From where.
    pub(super) origin: &'a dyn Origin,
    /// To where.
    pub(super) shelf: &'a Shelf,
    /// Its directory.
    pub(super) place: &'a Place,
    /// What is there.
    pub(super) offer: &'a Offer,
    /// What a person sees of it meanwhile.
    pub(super) label: &'a str,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Files that were copied.
    pub(super) files: u64,
    /// Bytes that were.
    pub(super) bytes: u64,
    /// All files, as they are here and there.
    pub(super) all: Vec<Known>,
    /// What is damaged or missing in it, at the source as here.
    pub(super) damage: Vec<String>,
    /// Whether a footer is its last record.
    pub(super) ended: bool,
}

/// Files that are here as they are at the source, with their SHA-256.
type Same = BTreeMap<String, String>;

impl Copy<'_> {
    /// Brings all of it here and verifies it. What is gathered does not have its name yet.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or is not what it was; what is whole stays.
    pub(super) fn run(&self) -> Result<Copied, Trouble> {
        let items = self.items();
        let mut copied = Copied::default();
        let mut same = self.compare(&items)?;
        for _ in 0..ROUNDS {
            self.fetch(&items, &mut same, &mut copied)?;
            let report = self.verify()?;
            if let Some(report) = &report
                && report.damaged()
            {
                self.doubt(&items, &mut same)?;
            }
            if items.iter().all(|item| same.contains_key(&item.path)) {
                copied.all = known(&items, &same);
                let damaged = report.as_ref().filter(|report| report.damaged());
                copied.damage = damaged
                    .map_or_else(Vec::new, |one| losses(one).lines().map(str::to_owned).collect());
                copied.ended = report.is_some_and(|report| report.ended);
                return Ok(copied);
            }
        }
        let wrong = items.iter().find(|item| !same.contains_key(&item.path));
        Err(Trouble::Miscopied(self.place.path(wrong.map_or("", |item| &item.path))))
    }

    /// The files that are copied. One that is being written is not, as far as one knows.
    fn items(&self) -> Vec<Item> {
        let is_copied = |item: &&Item| match item.segment() {
            Some(Name::Open(number)) => {
                self.offer.claimed == Some(false) || self.offer.has(Name::Sealed(number))
            }
            _ => true,
        };
        self.offer.items.iter().filter(is_copied).chain(&self.offer.manifest).cloned().collect()
    }

    /// Which files are here already.
    fn compare(&self, items: &[Item]) -> Result<Same, Trouble> {
        let mut here = Vec::new();
        let candidates = items.iter().filter(|item| self.place.len(&item.path) == Some(item.len));
        let candidates: Vec<Item> = candidates.cloned().collect();
        let bytes = candidates.iter().map(|item| item.len).sum();
        let progress = Progress::new(format!("comparing {}", self.label), bytes);
        for item in &candidates {
            here.push(self.digest(item)?);
            progress.add(item.len);
        }
        drop(progress);
        let pairs = candidates.iter().map(|item| item.path.clone()).zip(here.iter().cloned());
        let mut same: Same = pairs.collect();
        let all = candidates.len() == items.len();
        let digest = || digest(&known(items, &same));
        if all && self.offer.receipt.as_ref().is_some_and(|one| one.sha256 == digest()) {
            return Ok(same);
        }
        let progress = Progress::new(format!("asking for {}", self.label), bytes);
        let there = self.ask(&candidates, &progress)?;
        drop(progress);
        for (item, there) in candidates.iter().zip(&there) {
            if same.get(&item.path) != Some(there) {
                same.remove(&item.path);
            }
        }
        let is_other =
            |item: &&Item| self.place.len(&item.path).is_some() && !same.contains_key(&item.path);
        items.iter().filter(is_other).try_for_each(|item| self.may_go(item))?;
        Ok(same)
    }

    fn ask(&self, items: &[Item], progress: &Progress) -> Result<Vec<String>, Trouble> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        self.origin.digests(self.offer.id, items, &mut |item| progress.add(item.len))
    }

    /// The SHA-256 of a file that is here.
    fn digest(&self, item: &Item) -> Result<String, Trouble> {
        let path = self.place.path(&item.path);
        let fail = |error| Trouble::here("read", &path)(error);
        local::sha256(&mut local::open(&path).map_err(fail)?, item.len, fail)
    }

    /// Fails unless a file that is another here than there may be replaced: one that is on its way,
    /// a manifest, or a segment that is damaged here.
    fn may_go(&self, item: &Item) -> Result<(), Trouble> {
        if !self.place.is_there() || item.part == Part::Manifest {
            return Ok(());
        }
        let path = self.place.path(&item.path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let whole = match (item.segment(), self.place.len(&item.path)) {
            (Some(Name::Sealed(_)), Some(len)) => {
                let disk = Disk::new(path.parent().unwrap_or(&self.place.dir));
                let found = scan(&disk, &Entry { name, len, regular: true }, |_| {});
                found.is_ok_and(|found| {
                    found.sealed && found.holes.is_empty() && found.header.flight == self.offer.id
                })
            }
            // It grew at the source since.
            (Some(Name::Open(_)), Some(len)) => len > item.len,
            _ => true,
        };
        if whole { Err(Trouble::Differs(path)) } else { Ok(()) }
    }

    /// Brings what is not here.
    fn fetch(&self, items: &[Item], same: &mut Same, to: &mut Copied) -> Result<(), Trouble> {
        let missing = items.iter().filter(|item| !same.contains_key(&item.path));
        let wants: Vec<Want> = missing.map(|item| self.want(item)).collect();
        if wants.is_empty() {
            return Ok(());
        }
        let rest = |want: &Want| want.item.len.saturating_sub(want.from);
        let bytes = wants.iter().map(rest).sum();
        self.shelf.has_room(bytes)?;
        let progress = Progress::new(format!("pulling {}", self.label), bytes);
        let resumed = wants.iter().filter(|want| want.from > 0).map(|want| want.item.clone());
        let resumed: Vec<Item> = resumed.collect();
        let digests = self.ask(&resumed, &Progress::none())?;
        let there = resumed.into_iter().map(|item| item.path).zip(digests).collect();
        let mut arrival = Arrival { copy: self, progress, there, open: None, same, to };
        self.origin.give(self.offer.id, &wants, &mut |came| match came {
            Came::File(want) => arrival.begin(want),
            Came::Bytes(bytes) => arrival.bytes(bytes),
            Came::Done(want) => arrival.done(want),
        })
    }

    /// From where on a file is wanted: a large one goes on where it was cut off.
    fn want(&self, item: &Item) -> Want {
        let came = match item.part {
            Part::Segment(_) => self.place.came(&item.path),
            Part::Manifest | Part::Picture => 0,
        };
        Want { item: item.clone(), from: if came <= item.len { came } else { 0 } }
    }

    /// Reads all of it with the recorder's verifier; `None`: nothing of it is a segment.
    fn verify(&self) -> Result<Option<Report>, Trouble> {
        let disk = Disk::new(self.place.path(groundcrew_recorder::names::SEGMENTS));
        let Ok(flight) = Flight::open(disk) else { return Ok(None) };
        let progress = Progress::new(format!("verifying {}", self.label), flight.bytes());
        let mut reading = 0;
        Ok(Some(verify(&flight, |bytes| progress.add(std::mem::replace(&mut reading, bytes)))))
    }

    /// Compares all segments with the source; what is another there is copied again.
    fn doubt(&self, items: &[Item], same: &mut Same) -> Result<(), Trouble> {
        let segments =
            items.iter().filter(|item| item.segment().is_some() && same.contains_key(&item.path));
        let segments: Vec<Item> = segments.cloned().collect();
        let bytes = segments.iter().map(|item| item.len).sum();
        let progress = Progress::new(format!("comparing {}", self.label), bytes);
        let there = self.ask(&segments, &progress)?;
        for (item, there) in segments.iter().zip(there) {
            // Read anew: what was hashed before may have been the memory's.
            if self.digest(item)? != there {
                self.may_go(item)?;
                same.remove(&item.path);
            }
        }
        Ok(())
    }

    /// All of it is here: it gets its names.
    ///
    /// # Errors
    ///
    /// It cannot be made durable.
    pub(super) fn finish(&self) -> Result<(), Trouble> {
        for item in &self.offer.items {
            if let Some(Name::Sealed(number)) = item.segment() {
                let open =
                    format!("{}/{}", groundcrew_recorder::names::SEGMENTS, Name::Open(number));
                // It was taken while it was written, and is whole now.
                if !self.offer.has(Name::Open(number)) && self.place.len(&open).is_some() {
                    self.place.remove(&self.place.path(&open))?;
                }
            }
        }
        self.place.sync_names()?;
        if let Some(manifest) = &self.offer.manifest
            && self.place.partial(&manifest.path).exists()
        {
            self.place.name(&manifest.path)?;
            self.place.sync_names()?;
        }
        self.place.finish()
    }
}

fn known(items: &[Item], same: &Same) -> Vec<Known> {
    let known = |item: &Item| {
        let sha256 = same.get(&item.path)?.clone();
        Some(Known { path: item.path.clone(), len: item.len, sha256 })
    };
    items.iter().filter_map(known).collect()
}

/// Files as they arrive.
struct Arrival<'a, 'b> {
    copy: &'a Copy<'b>,
    progress: Progress,
    /// Digests at the source of those that were begun before.
    there: BTreeMap<String, String>,
    open: Option<Incoming>,
    same: &'a mut Same,
    to: &'a mut Copied,
}

/// The file that arrives.
struct Incoming {
    path: String,
    file: File,
    hash: Sha256,
}

impl Arrival<'_, '_> {
    fn begin(&mut self, want: &Want) -> Result<(), Trouble> {
        let path = want.item.path.clone();
        let file = self.copy.place.write(&path, want.from)?;
        self.open = Some(Incoming { path, file, hash: Sha256::new() });
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let Some(Incoming { path, file, hash }) = &mut self.open else { return Ok(()) };
        let place = self.copy.place;
        if let Err(error) = file.write_all(bytes) {
            if error.kind() == ErrorKind::StorageFull {
                // What is whole stays; a part of a file would only keep the disk full.
                place.remove(&place.partial(path))?;
            }
            return Err(Trouble::here("write", place.partial(path))(error));
        }
        hash.update(bytes);
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.to.bytes = self.to.bytes.saturating_add(len);
        self.progress.add(len);
        Ok(())
    }

    fn done(&mut self, want: &Want) -> Result<(), Trouble> {
        let Some(Incoming { path, file, hash }) = self.open.take() else { return Ok(()) };
        let place = self.copy.place;
        place.sync(&path, &file)?;
        let partial = place.partial(&path);
        let fail = |error| Trouble::here("read", &partial)(error);
        let found = local::sha256(&mut local::open(&partial).map_err(fail)?, want.item.len, fail)?;
        let there = self.there.remove(&path).unwrap_or_else(|| hex(hash));
        if found != there {
            // It is fetched again from its first byte on.
            return place.remove(&partial);
        }
        if want.item.part != Part::Manifest {
            place.name(&path)?;
        }
        self.to.files += 1;
        self.same.insert(path, found);
        Ok(())
    }
}
