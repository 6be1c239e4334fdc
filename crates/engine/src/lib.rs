//! What to do next with an app, and why. This crate decides; it never acts.
//!
//! It reads no clock, file, socket or environment variable; `clippy.toml` beside it says so.
//! [`machine`] is the heart: where an app stands, the one thing to do, what follows. [`gate`]
//! answers whether now is safe, [`plan`] is what was decided, [`ports`] are the traits through
//! which [`agent`] acts and observes, and the rest are the pure parts these stand on.

pub mod agent;
pub mod data;
pub mod freshness;
pub mod gate;
pub mod keep;
pub mod machine;
pub mod notes;
pub mod noun;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod post_mortem;
pub mod rollback;
pub mod version;
pub mod window;
