//! What records say: fields, their kinds, and how a body is written and read.
//!
//! A body is its fields in order, little-endian and without padding. It may only grow at the end:
//! a reader takes the fields that it knows and finds; those behind the end are absent, and bytes
//! behind the last known field are a later version's. A type number is never used again.
//!
//! `types` has every record type of groundcrew, in one place from which the structs, the
//! documentation, JSON and the columns of CSV are made. A program with types of its own (0x8000
//! and above) says what they are with a [`TypeSchema`](types::TypeSchema).

mod labels;
mod part;
mod schema;
pub mod types;

pub use part::Part;
pub use schema::{BadSchema, Field, Kind, Schema, Value};

/// The first type number that belongs to users.
pub const USER_TYPES: u16 = 0x8000;

/// A record's body with a type of its own.
pub trait Body: Sized {
    /// What it is, field by field.
    const SCHEMA: Schema;

    /// Appends the body to `to`.
    fn encode(&self, to: &mut Vec<u8>);

    /// The body; fields that it ends before have their zero value.
    fn decode(from: &[u8]) -> Self;

    /// The body as bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut to = Vec::new();
        self.encode(&mut to);
        to
    }
}
