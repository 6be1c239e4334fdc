//! What to do next with an app, and why. This crate decides; it never acts.
//!
//! It reads no clock, file, socket or environment variable; `clippy.toml` beside it says so.
//! [`machine`] is the heart: where an app stands, the one thing to do, what follows. [`gate`]
//! answers whether now is safe, [`plan`] is what was decided, and the rest are the pure parts
//! these stand on.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod gate;
pub mod machine;
pub mod noun;
pub mod notes;
pub mod plan;
pub mod version;
pub mod window;
