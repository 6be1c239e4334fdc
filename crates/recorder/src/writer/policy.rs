//! How much a power cut may take, and how much a flight may hold.

/// How much a power cut may take, and how much a flight may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A record is synced at most so many nanoseconds after it was written.
    pub sync_after_ns: u64,
    /// So many bytes are synced at once, however young they are.
    pub sync_bytes: u64,
    /// A segment is sealed at the first record behind so many bytes.
    pub segment_bytes: u64,
    /// A flight holds at most so many bytes; the oldest segment makes room.
    pub flight_bytes: u64,
}

impl Default for Policy {
    /// At most 200 ms at risk with a disk that takes 100 ms for a sync, segments of 64 MiB, 64 GB
    /// of flight.
    fn default() -> Self {
        Self {
            sync_after_ns: 100_000_000,
            sync_bytes: 8 << 20,
            segment_bytes: 64 << 20,
            flight_bytes: 64_000_000_000,
        }
    }
}

impl Policy {
    /// The recording outside flights: a ring of 256 MiB.
    #[must_use]
    pub fn standing() -> Self {
        Self { segment_bytes: 16 << 20, flight_bytes: 256 << 20, ..Self::default() }
    }
}
