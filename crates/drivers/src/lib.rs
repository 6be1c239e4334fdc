//! The only crate that touches the machine.
//!
//! One folder per noun, one file per tool; a driver decides nothing. The promises stand beside the
//! traits in `groundcrew_engine::ports`.

pub mod bundle;
pub mod causes;
pub mod command;
pub mod durable;
pub mod host;
pub mod keeper;
pub mod notify;
pub mod post_mortems;
pub mod probes;
pub mod runtimes;
pub mod snapshots;
pub mod source;
pub mod store;
pub mod web;
