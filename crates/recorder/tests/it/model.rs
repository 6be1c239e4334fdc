//! A disk that keeps only what it must.
//!
//! After a crash a file has what was synced and any subset of the 512-byte blocks written since;
//! the directory has what was synced and any subset of the changes since. It counts operations,
//! and can fail or stop at any of them, or say yes to a sync that it does not do.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::Location;
use std::rc::Rc;

use groundcrew_recorder::storage::{Entry, SegmentFile, Source, Storage};

const BLOCK: usize = 512;

/// A place in the code from which a sync was asked for.
pub(crate) type Site = (&'static str, u32);

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops: this operation and all that follow do nothing.
    Stop,
    /// Only this operation fails, with this kind.
    Once(io::ErrorKind),
    /// This and all that follow fail, with this kind, until it is lifted.
    From(io::ErrorKind),
    /// A write takes half of what it is given.
    Short,
}

#[derive(Debug, Clone, Default)]
struct Node {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Blocks that were written since the last sync.
    dirty: BTreeSet<usize>,
    cut: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

#[derive(Debug, Default)]
struct Inside {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    stopped: bool,
    capacity: Option<usize>,
    sites: BTreeSet<Site>,
    deaf: Option<Site>,
}

/// A disk that keeps only what it must; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(Rc<RefCell<Inside>>);

/// A file of it.
#[derive(Debug)]
pub(crate) struct ModelFile {
    disk: Model,
    node: usize,
}

/// Numbers by chance, from a seed (xorshift64*; Vigna, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl Inside {
    /// Counts an operation; gives what happens at it.
    fn operate(&mut self) -> io::Result<Option<Fault>> {
        let now = self.operations;
        self.operations += 1;
        if self.stopped {
            return Err(io::Error::other("the machine stopped"));
        }
        match self.fault {
            Some((at, Fault::Stop)) if now >= at => {
                self.stopped = true;
                Err(io::Error::other("the machine stopped"))
            }
            Some((at, Fault::Once(kind))) if now == at => Err(kind.into()),
            Some((at, Fault::From(kind))) if now >= at => Err(kind.into()),
            Some((at, Fault::Short)) if now == at => Ok(Some(Fault::Short)),
            _ => Ok(None),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|node| self.nodes[*node].data.len()).sum()
    }

    fn hears(&mut self, site: Site) -> bool {
        self.sites.insert(site);
        self.deaf != Some(site)
    }
}

impl Model {
    pub(crate) fn set_fault(&self, fault: Option<(u64, Fault)>) {
        self.0.borrow_mut().fault = fault;
    }

    pub(crate) fn set_capacity(&self, bytes: Option<usize>) {
        self.0.borrow_mut().capacity = bytes;
    }

    /// From now on a sync that is asked for there is not done.
    pub(crate) fn set_deaf(&self, site: Option<Site>) {
        self.0.borrow_mut().deaf = site;
    }

    /// From where syncs were asked for.
    pub(crate) fn sites(&self) -> BTreeSet<Site> {
        self.0.borrow().sites.clone()
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    pub(crate) fn stopped(&self) -> bool {
        self.0.borrow().stopped
    }

    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        let inside = self.0.borrow();
        inside.names.get(name).map(|node| inside.nodes[*node].data.clone())
    }

    pub(crate) fn put(&self, name: &str, data: &[u8]) {
        let mut inside = self.0.borrow_mut();
        let node = inside.nodes.len();
        let (data, durable) = (data.to_vec(), data.to_vec());
        inside.nodes.push(Node { data, durable, ..Node::default() });
        inside.names.insert(name.to_owned(), node);
        inside.durable_names.insert(name.to_owned(), node);
    }

    pub(crate) fn delete(&self, name: &str) {
        let mut inside = self.0.borrow_mut();
        inside.names.remove(name);
        inside.durable_names.remove(name);
    }

    /// The disk as one may find it after a loss of power.
    pub(crate) fn crash(&self, chance: &mut Chance) -> Self {
        let old = self.0.borrow();
        let mut new = Inside { deaf: old.deaf, ..Inside::default() };
        new.nodes = old.nodes.iter().map(|node| survive(node, chance)).collect();
        new.names.clone_from(&old.durable_names);
        for change in old.changes.iter().filter(|_| chance.flip()) {
            apply(&mut new.names, change);
        }
        new.durable_names.clone_from(&new.names);
        Self(Rc::new(RefCell::new(new)))
    }
}

/// What may be left of a file.
fn survive(node: &Node, chance: &mut Chance) -> Node {
    let mut data = node.durable.clone();
    if node.cut && chance.flip() {
        data.truncate(node.data.len());
    }
    for block in &node.dirty {
        if chance.flip() {
            continue;
        }
        let (start, end) = (block * BLOCK, ((block + 1) * BLOCK).min(node.data.len()));
        if start >= end {
            continue;
        }
        if data.len() < end {
            data.resize(end, 0);
        }
        data[start..end].copy_from_slice(&node.data[start..end]);
    }
    // The length may have arrived without the data.
    if data.len() < node.data.len() && chance.below(4) == 0 {
        data.resize(node.data.len(), 0);
    }
    Node { durable: data.clone(), data, ..Node::default() }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, node) => {
            names.insert(name.clone(), *node);
        }
        Change::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
    }
}

impl Source for Model {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let inside = self.0.borrow();
        let entry = |(name, node): (&String, &usize)| Entry {
            name: name.clone(),
            len: u64::try_from(inside.nodes[*node].data.len()).unwrap(),
            regular: true,
        };
        Ok(inside.names.iter().map(entry).collect())
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let inside = self.0.borrow();
        let node = inside.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let data = &inside.nodes[*node].data;
        let rest = data.get(usize::try_from(at).unwrap()..).unwrap_or_default();
        let len = rest.len().min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Storage for Model {
    type File = ModelFile;

    fn create(&mut self, name: &str) -> io::Result<ModelFile> {
        let mut inside = self.0.borrow_mut();
        inside.operate()?;
        if inside.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = inside.nodes.len();
        inside.nodes.push(Node::default());
        inside.names.insert(name.to_owned(), node);
        inside.changes.push(Change::Link(name.to_owned(), node));
        Ok(ModelFile { disk: self.clone(), node })
    }

    fn reopen(&mut self, name: &str, len: u64) -> io::Result<ModelFile> {
        let mut inside = self.0.borrow_mut();
        inside.operate()?;
        let node = *inside.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let file = &mut inside.nodes[node];
        file.data.truncate(usize::try_from(len).unwrap());
        file.cut = true;
        Ok(ModelFile { disk: self.clone(), node })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inside = self.0.borrow_mut();
        inside.operate()?;
        let node = inside.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inside.names.insert(to.to_owned(), node);
        inside.changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut inside = self.0.borrow_mut();
        inside.operate()?;
        inside.names.remove(name);
        inside.changes.push(Change::Unlink(name.to_owned()));
        Ok(())
    }

    #[track_caller]
    fn sync_dir(&mut self) -> io::Result<()> {
        let caller = Location::caller();
        let mut inside = self.0.borrow_mut();
        inside.operate()?;
        if inside.hears((caller.file(), caller.line())) {
            inside.durable_names = inside.names.clone();
            inside.changes.clear();
        }
        Ok(())
    }
}

impl SegmentFile for ModelFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = self.disk.0.borrow_mut();
        let fault = inside.operate()?;
        let mut len = bytes.len();
        if fault == Some(Fault::Short) {
            len = len.div_ceil(2);
        }
        if let Some(capacity) = inside.capacity {
            let left = capacity.saturating_sub(inside.used());
            if left == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            len = len.min(left);
        }
        let node = &mut inside.nodes[self.node];
        let start = node.data.len();
        node.data.extend_from_slice(&bytes[..len]);
        node.dirty.extend(start / BLOCK..=(start + len).saturating_sub(1) / BLOCK);
        Ok(len)
    }

    #[track_caller]
    fn sync(&mut self) -> io::Result<()> {
        let caller = Location::caller();
        let mut inside = self.disk.0.borrow_mut();
        inside.operate()?;
        if inside.hears((caller.file(), caller.line())) {
            let node = &mut inside.nodes[self.node];
            node.durable = node.data.clone();
            node.dirty.clear();
            node.cut = false;
        }
        Ok(())
    }
}
