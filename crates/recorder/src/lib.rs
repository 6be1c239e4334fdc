//! A flight recorder: an append-only stream of records that loses nothing silently.
//!
//! What was written survives the writer, its producers and a power cut; what did not survive is
//! counted. The format is in [`format`](mod@format), what records say in [`body`].

pub mod body;
pub mod format;
pub mod reader;
