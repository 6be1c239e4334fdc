//! MCAP, which the viewers of robots read.
//!
//! A channel per source and type, called `/<source>/<type>`; a message is the body as JSON, with a
//! JSON Schema per type. The time of a message is UTC; the times and numbers of the recording
//! itself are members of the message that begin with `_`. Chunks are not compressed.

use std::collections::BTreeMap;
use std::io::{self, Write};

use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use serde_json::{Value, json};

use crate::Row;

/// Bytes of a chunk; viewers hold a few of them in memory.
const CHUNK_BYTES: u64 = 1 << 20;
/// Channels that one file has at most: the format numbers them with 16 bits.
const CHANNELS_MAX: usize = 65_000;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CannotWrite {
    /// The format's own library refuses.
    #[error("cannot write MCAP")]
    Format(#[source] mcap::McapError),
    /// There are too many of them.
    #[error("more than {CHANNELS_MAX} pairs of a source and a type")]
    Channels,
}

impl CannotWrite {
    /// Whether whoever read the file went away.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Format(mcap::McapError::Io(error))
            if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes a file.
#[expect(missing_debug_implementations, reason = "the library's writer has none")]
pub struct Writer<W: Write> {
    file: mcap::Writer<NoSeek<W>>,
    schemas: BTreeMap<u16, u16>,
    channels: BTreeMap<(u16, u16), u16>,
}

impl<W: Write> Writer<W> {
    /// Begins a file, which may be a pipe.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(to: W) -> Result<Self, CannotWrite> {
        let options = mcap::WriteOptions::new()
            .compression(None)
            .chunk_size(Some(CHUNK_BYTES))
            .library(concat!("groundcrew ", env!("CARGO_PKG_VERSION")))
            .disable_seeking(true);
        let file = options.create(NoSeek::new(to)).map_err(CannotWrite::Format)?;
        Ok(Self { file, schemas: BTreeMap::new(), channels: BTreeMap::new() })
    }

    /// Writes a record.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&mut self, row: &Row<'_>) -> Result<(), CannotWrite> {
        let channel_id = self.channel(row)?;
        let mut message = row.body_json();
        if let Some(message) = message.as_object_mut() {
            message.insert("_time_ns".to_owned(), row.head.time_ns.into());
            message.insert("_source_seq".to_owned(), row.head.source_seq.into());
            message.insert("_seq".to_owned(), row.head.seq.into());
        }
        let time = u64::try_from(row.utc_ns).unwrap_or(0);
        // The format's number has 32 bits and may begin again; the whole one is in the message.
        let [a, b, c, d, ..] = row.head.source_seq.to_le_bytes();
        let sequence = u32::from_le_bytes([a, b, c, d]);
        let header = MessageHeader { channel_id, sequence, log_time: time, publish_time: time };
        let text = message.to_string();
        self.file.write_to_known_channel(&header, text.as_bytes()).map_err(CannotWrite::Format)
    }

    /// Ends the file, and gives back where it was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W, CannotWrite> {
        self.file.finish().map_err(CannotWrite::Format)?;
        Ok(self.file.into_inner().into_inner())
    }

    fn channel(&mut self, row: &Row<'_>) -> Result<u16, CannotWrite> {
        let key = (row.head.source, row.head.kind);
        if let Some(id) = self.channels.get(&key) {
            return Ok(*id);
        }
        if self.channels.len() >= CHANNELS_MAX {
            return Err(CannotWrite::Channels);
        }
        let schema = match self.schemas.get(&row.head.kind) {
            Some(id) => *id,
            None => {
                let text = json_schema(row).to_string();
                let added = self.file.add_schema(&row.type_name(), "jsonschema", text.as_bytes());
                let id = added.map_err(CannotWrite::Format)?;
                self.schemas.insert(row.head.kind, id);
                id
            }
        };
        let topic = format!("/{}/{}", row.source(), row.type_name());
        let metadata = [
            ("source".to_owned(), row.head.source.to_string()),
            ("kind".to_owned(), format!("{:#06x}", row.head.kind)),
        ];
        let added = self.file.add_channel(schema, &topic, "json", &metadata.into());
        let id = added.map_err(CannotWrite::Format)?;
        self.channels.insert(key, id);
        Ok(id)
    }
}

fn json_schema(row: &Row<'_>) -> Value {
    let digits = json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" });
    let mut schema = row.schema.map_or_else(
        || json!({ "title": row.type_name(), "type": "object", "properties": { "hex": digits } }),
        |schema| schema.json_schema(),
    );
    let own = [
        ("_time_ns", "Nanoseconds of the host's CLOCK_BOOTTIME."),
        ("_source_seq", "The source's own number of the record."),
        ("_seq", "The recorder's number of the record."),
    ];
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, description) in own {
            let property = json!({ "type": "integer", "description": description });
            properties.insert(name.to_owned(), property);
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use groundcrew_recorder::body::Body as _;
    use groundcrew_recorder::body::types::LogLine;

    use super::*;

    #[test]
    fn what_was_written_is_read_by_the_formats_own_library() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let log_line = LogLine::SCHEMA;
        for kind in [0x13, 0x13, 0x8001] {
            let schema = (kind == 0x13).then_some(&log_line);
            crate::row::tests::with_row(kind, schema, |row| writer.write(row).unwrap());
        }
        let bytes = writer.finish().unwrap();
        let messages: Vec<_> =
            mcap::MessageStream::new(&bytes).unwrap().map(|message| message.unwrap()).collect();
        let topics: Vec<&str> =
            messages.iter().map(|message| message.channel.topic.as_str()).collect();
        assert_eq!(topics, ["/nav/LogLine", "/nav/LogLine", "/nav/0x8001"]);
        let message: Value = serde_json::from_slice(&messages[0].data).unwrap();
        assert_eq!((&message["message"], &message["_seq"]), (&"a \"b\",\nc".into(), &7.into()));
        assert_eq!(messages[0].log_time, 1_700_000_000_000_000_001);
        let schema = messages[0].channel.schema.as_ref().unwrap();
        assert_eq!((schema.name.as_str(), schema.encoding.as_str()), ("LogLine", "jsonschema"));
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_trouble() {
        struct Gone(io::ErrorKind);
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, closed) in
            [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)]
        {
            let error = Writer::new(Gone(kind)).err().unwrap();
            assert_eq!(error.is_closed_pipe(), closed);
        }
    }
}
