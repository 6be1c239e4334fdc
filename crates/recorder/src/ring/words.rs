//! The memory of a ring as its producer sees it: 64-bit words that another thread or process
//! reads at the same time, each of them by an atomic operation.

use std::sync::atomic::Ordering;

/// Memory of a ring. Values are what the bytes say in little-endian order.
pub trait Words {
    /// How many words there are.
    fn count(&self) -> usize;

    /// The word at `index`, below [`count`](Self::count).
    fn load(&self, index: usize, order: Ordering) -> u64;

    /// Sets the word at `index`, below [`count`](Self::count).
    fn store(&self, index: usize, value: u64, order: Ordering);
}
