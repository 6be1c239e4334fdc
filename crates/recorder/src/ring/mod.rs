//! Rings between producers and the recorder: one producer, one consumer, never a wait.
//!
//! A producer pushes without lock, allocation or system call; a ring that is full refuses. Every
//! record gets a number, those that were refused among them, so that what arrives says exactly
//! what does not (REC-3, REC-4). The same layout lies in the memory of a process ([`heap`]) and in
//! a file that outlives both sides ([`shared`]). `docs/internals/recorder-ring.md` says all of
//! this for those who write a producer in another language.
//!
//! A ring is a header and a power of two of bytes for entries. Numbers are little-endian.
//!
//! ```text
//! offset  size  field
//!      0     8  magic           47 46 44 52 52 49 4e 47 ("GFDRRING")
//!      8     2  layout version  1
//!     10     2  flags           bit 0: critical; others 0, ignored on read
//!     12     4  generation      not 0; chosen when the ring is made
//!     16     8  capacity        bytes for entries, a power of two
//!     24     4  CRC-32          of the 24 bytes before
//!     28    36  0
//!     64     8  head            bytes that were ever published        } written by
//!     72     8  made            records that were ever made           } the producer
//!     80     8  refused         number behind the last record refused }
//!     88     8  pid             of the producer                       }
//!     96     8  start           of its process, clock ticks           }
//!    104     8  state           0 free, 1 attached, 2 detached        }
//!    112    16  0
//!    128     8  tail            bytes that were ever taken            } written by
//!    136     8  ~tail           its complement                        } the consumer
//!    144     8  taken           number behind the last record taken   }
//!    152     8  closed          not 0: nothing is taken any more      }
//!    160    96  0
//!    256     n  entries
//! ```
//!
//! A position counts bytes and never wraps; the byte at a position stands at `256 + position mod
//! capacity`, so that an entry may go on at the beginning. An entry is padded to 8 bytes:
//!
//! ```text
//! offset  size  field
//!      0     4  CRC-32          of generation (4 bytes), position (8 bytes), and all that follows
//!      4     4  body length     at most 1 MiB
//!      8     2  type
//!     10     2  flags           0; ignored on read
//!     12     4  reserved        0; ignored on read
//!     16     8  time            nanoseconds of CLOCK_BOOTTIME
//!     24     8  number          0, 1, 2 … of this ring, those refused among them
//!     32     n  body
//! ```
//!
//! The position in the check makes bytes of an earlier lap, or of an earlier ring, no entry here.
//!
//! Order of a producer's stores: `made`, the entry, `head` (release). Where there is no room:
//! `made`, `refused` (release). So whoever reads `refused` before `head` knows that records below
//! it which are not in the ring never will be.

mod consumer;
pub mod heap;
mod item;
mod layout;
mod process;
mod producer;
pub mod shared;
mod words;

pub use consumer::Consumer;
pub use item::{Damage, Drained, Item, Look, Record, Source};
pub use layout::{CAPACITY_MAX, CAPACITY_MIN, HEADER_LEN, capacity_for};
pub use producer::{NotUsable, Producer};
pub use words::Words;

#[cfg(test)]
mod tests;
