//! A file in memory, as words that are only ever touched atomically.
//!
//! Another process may write anything at any time. That is no data race, because each access is
//! an atomic operation on a whole aligned word, and no value is trusted.

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::ring::layout::{CAPACITY_MAX, CAPACITY_MIN, HEADER_LEN};
use crate::ring::words::Words;

/// A ring's file in memory.
#[derive(Debug)]
pub struct Map {
    words: NonNull<AtomicU64>,
    count: usize,
    /// Holds the lock that makes this the only producer.
    file: File,
}

impl Map {
    /// Maps the whole file; `None`: no ring has its length.
    pub(super) fn new(file: File) -> io::Result<Option<Self>> {
        let len = file.metadata()?.len();
        let fits = (HEADER_LEN + CAPACITY_MIN..=HEADER_LEN + CAPACITY_MAX).contains(&len);
        let Some(len) = usize::try_from(len).ok().filter(|_| fits) else { return Ok(None) };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the address is the kernel's choice, so nothing that exists is mapped over, and
        // nothing refers to the new memory but `words`.
        let address = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, &file, 0)? };
        let words = NonNull::new(address.cast::<AtomicU64>());
        let words = words.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Some(Self { words, count: len / 8, file }))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `words` is the page-aligned beginning of a mapping of at least `count` words,
        // which stays until `self` is dropped; any bytes are an `AtomicU64`, and whoever shares
        // the memory may change them, because they are atomic.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }
}

// SAFETY: the mapping belongs to `self` alone and to no thread; its words are atomic.
unsafe impl Send for Map {}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and with `self` goes the last reference.
        let unmapped = unsafe { munmap(self.words.as_ptr().cast(), self.count * 8) };
        debug_assert!(unmapped.is_ok(), "a mapping can be unmapped");
    }
}

impl Words for Map {
    fn count(&self) -> usize {
        self.count
    }

    fn load(&self, index: usize, order: Ordering) -> u64 {
        self.words().get(index).map_or(0, |word| u64::from_le(word.load(order)))
    }

    fn store(&self, index: usize, value: u64, order: Ordering) {
        if let Some(word) = self.words().get(index) {
            word.store(value.to_le(), order);
        }
    }
}
