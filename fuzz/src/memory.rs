//! A directory that is nowhere but in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use groundcrew_recorder::storage::{Entry, SegmentFile, Source, Storage};

/// Files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A directory that is nowhere but in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    files: Arc<Mutex<Files>>,
    /// Reads give at most so many bytes; 0: as many as were asked for.
    pub(crate) short: usize,
}

/// A file of it.
#[derive(Debug)]
pub(crate) struct Open {
    memory: Memory,
    name: String,
}

impl Memory {
    pub(crate) fn of(files: Files) -> Self {
        Self { files: Arc::new(Mutex::new(files)), short: 0 }
    }

    fn inside(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn files(&self) -> Files {
        self.inside().clone()
    }
}

fn not_there() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Source for Memory {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let entry = |(name, bytes): (&String, &Vec<u8>)| Entry {
            name: name.clone(),
            len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            regular: true,
        };
        Ok(self.inside().iter().map(entry).collect())
    }

    fn read_at(&self, name: &str, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let inside = self.inside();
        let bytes = inside.get(name).ok_or_else(not_there)?;
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let most = if self.short == 0 { usize::MAX } else { self.short };
        let len = rest.len().min(to.len()).min(most);
        let (from, to) = (rest.get(..len), to.get_mut(..len));
        to.unwrap_or_default().copy_from_slice(from.unwrap_or_default());
        Ok(len)
    }
}

impl Storage for Memory {
    type File = Open;

    fn create(&mut self, name: &str) -> io::Result<Open> {
        let mut inside = self.inside();
        if inside.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inside.insert(name.to_owned(), Vec::new());
        Ok(Open { memory: self.clone(), name: name.to_owned() })
    }

    fn reopen(&mut self, name: &str, len: u64) -> io::Result<Open> {
        let mut inside = self.inside();
        let bytes = inside.get_mut(name).ok_or_else(not_there)?;
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(Open { memory: self.clone(), name: name.to_owned() })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut inside = self.inside();
        let bytes = inside.remove(from).ok_or_else(not_there)?;
        inside.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.inside().remove(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = self.memory.inside();
        inside.get_mut(&self.name).ok_or_else(not_there)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
