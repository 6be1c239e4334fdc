//! A ring in the memory of one process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::consumer::Consumer;
use super::item::Look;
use super::layout::{CRITICAL, Fixed, HEADER_LEN, at, capacity_for};
use super::producer::{Producer, index};
use super::words::Words;

/// A ring in the memory of this process.
#[derive(Debug, Clone)]
pub struct Heap(Arc<[AtomicU64]>);

/// Both sides of a new ring, which holds at least `bytes` bytes of entries within the bounds.
#[must_use]
pub fn ring(bytes: usize, critical: bool) -> (Producer<Heap>, Consumer<Heap>) {
    let flags = if critical { CRITICAL } else { 0 };
    let fixed = Fixed { flags, generation: 1, capacity: capacity_for(bytes) };
    let heap = Heap((0..index(HEADER_LEN + fixed.capacity)).map(|_| AtomicU64::new(0)).collect());
    let bytes = fixed.encode();
    for (place, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
        heap.store(place, u64::from_le_bytes(*word), Ordering::Relaxed);
    }
    heap.store(index(at::TAIL_CHECK), u64::MAX, Ordering::Release);
    let pid = u64::from(std::process::id());
    let producer = Producer::new(heap.clone(), pid, 0).expect("a new ring is usable");
    let consumer = Consumer::new(heap).expect("a new ring can be read");
    (producer, consumer)
}

impl Words for Heap {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn load(&self, index: usize, order: Ordering) -> u64 {
        self.0.get(index).map_or(0, |word| u64::from_le(word.load(order)))
    }

    fn store(&self, index: usize, value: u64, order: Ordering) {
        if let Some(word) = self.0.get(index) {
            word.store(value.to_le(), order);
        }
    }
}

impl<W: Words> Look for W {
    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let (words, _) = to.as_chunks_mut::<8>();
        let first = index(at);
        let there = self.count().saturating_sub(first).min(words.len());
        for (place, word) in words.iter_mut().take(there).enumerate() {
            *word = self.load(first + place, Ordering::Acquire).to_le_bytes();
        }
        Ok(there * 8)
    }

    fn write(&self, at: u64, words: &[u64]) -> io::Result<()> {
        for (place, word) in words.iter().enumerate() {
            self.store(index(at) + place, *word, Ordering::Release);
        }
        Ok(())
    }
}
