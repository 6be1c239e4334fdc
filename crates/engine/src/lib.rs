//! What to do next with an app, and why. This crate decides; it never acts.

pub mod notes;
pub mod version;
pub mod window;
