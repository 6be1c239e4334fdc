//! A flight recorder: an append-only stream of records that loses nothing silently.
//!
//! What was written survives the writer, its producers and a power cut; what did not survive is
//! counted. The format is in [`format`](mod@format), what records say in [`body`], what a flight
//! was like in [`review`].

pub mod body;
pub mod flight_dir;
pub mod format;
pub mod manifest;
pub mod names;
pub mod reader;
pub mod recorder;
pub mod recover;
pub mod review;
pub mod ring;
pub mod storage;
pub mod writer;

/// An error with all its reasons, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        text.push_str(": ");
        text.push_str(&reason.to_string());
        next = reason.source();
    }
    text
}
