//! The registry source against a real registry, and against one that means no good.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may panic"
)]

mod asking;
mod hostile;
mod rig;
mod server;
mod signed;
mod source;
