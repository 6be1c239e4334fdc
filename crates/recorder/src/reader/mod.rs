//! Reading what was recorded, whatever became of it.
//!
//! `scan` turns bytes into records and damage without opening a file; `segment` reads one file,
//! `flight` a directory of them, `follow` one that still grows, `glance` its two ends,
//! `verify` says what is missing.
//! Memory is bounded by the longest body, however large or damaged the files are.

pub mod flight;
pub mod follow;
pub mod glance;
pub mod scan;
pub mod segment;
pub mod verify;
