//! What runs apps: one file per tool, and what they share.
//!
//! [`launch`] reads the settings that an app is run with, [`shelf`] the releases that lie unpacked
//! in the state directory.

pub mod docker;
pub mod launch;
pub mod process;
pub mod secrets;
pub mod shelf;
