//! Recordings in the formats of others.
//!
//! A [`Row`] is a record with all that is known about it; `jsonl`, `csv`, `mcap`, `parquet` and
//! `tlog` write rows.
//! Nothing of the recorder's needs this crate: what is heavy to build stays in here.

pub mod csv;
pub mod jsonl;
pub mod mcap;
pub mod parquet;
mod row;
pub mod tlog;

pub use row::{Row, utc_text};
