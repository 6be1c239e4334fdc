//! What reads bytes from outside, given bytes that nobody meant.
//!
//! A target is a function of bytes that panics where a promise is broken. libFuzzer looks for such
//! bytes (`cargo xtask fuzz`), and what it found once is kept in `regressions/` and given to the
//! same function by an ordinary test, with all seeds and some thousand mutations of them. Seeds are
//! made by the product's own code when they are needed.
//!
//! Checksums would stop every mutation at the door, so most targets can put them right again
//! ([`mend`]); the first byte of their input says whether.

mod input;
mod memory;
pub mod mend;
pub mod mutate;
mod sample;
mod targets;

pub use targets::{INPUT_MAX, TARGETS, Target, target};

/// Names the target to the program that libFuzzer is linked to.
pub const TARGET_ENV: &str = "GROUNDCREW_FUZZ_TARGET";
