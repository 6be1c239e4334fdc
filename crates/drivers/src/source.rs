//! Where releases come from: one file per kind of source.

pub mod directory;
pub mod registry;
