//! A real database that nobody here wrote: PostgreSQL 15 from Debian, run from the bundles of
//! `examples/postgres`, updated, damaged and brought back by the real binary.
//!
//! The tests run as root, because the database has a user of its own. Each has a directory of its
//! own, and reaches the database by a socket in it; no port is opened. What is compared is what
//! `pg_dump` prints. Nothing sleeps for luck: [`host::Host::until`] waits for a level.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test, as the tests do"
)]

mod host;
mod kills;
mod made;
mod story;
