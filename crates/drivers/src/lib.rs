//! The only crate that touches the machine.

pub mod durable;
pub mod keeper;
