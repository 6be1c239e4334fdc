//! The only crate that touches the machine.

pub mod bundle;
pub mod durable;
pub mod snapshots;
