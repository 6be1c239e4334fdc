//! The telemetry log of ground stations (`.tlog`): raw MAVLink with the time before each frame.
//!
//! ```text
//! 8 bytes  microseconds since 1970 UTC, big-endian
//! n bytes  the frame as it was on the wire
//! ```
//!
//! Nothing says how long a frame is but the frame itself, so that what is no whole frame would make
//! a reader lose its way: it is left out. The shape is that of `mavlogdump` and of ground stations
//! (<https://ardupilot.org/copter/docs/common-mission-planner-telemetry-logs.html>), frames are those
//! of <https://mavlink.io/en/guide/serialization.html>.

use std::io::{self, Write};

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::ReceivedMavlinkRaw;

use crate::Row;

/// First byte of a frame of MAVLink 1, and what such a frame has beside its payload.
const MAVLINK_1: (u8, usize) = (0xfe, 8);
/// The same of MAVLink 2.
const MAVLINK_2: (u8, usize) = (0xfd, 12);
/// Bytes that a signature adds, and the flag that says that there is one.
const SIGNATURE: (usize, u8) = (13, 0x01);

/// Writes a frame; whether it is one. Records of other types are none.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(row: &Row<'_>, to: &mut impl Write) -> io::Result<bool> {
    if row.head.kind != ReceivedMavlinkRaw::SCHEMA.kind {
        return Ok(false);
    }
    let frame = ReceivedMavlinkRaw::decode(row.body).frame;
    if !is_whole(&frame) {
        return Ok(false);
    }
    // A clock before 1970 was never set.
    let us = u64::try_from(row.utc_ns / 1000).unwrap_or(0);
    to.write_all(&us.to_be_bytes())?;
    to.write_all(&frame)?;
    Ok(true)
}

/// Whether this is one frame, by its length; nothing is said about its check.
fn is_whole(frame: &[u8]) -> bool {
    let (Some(first), Some(payload)) = (frame.first(), frame.get(1)) else { return false };
    let len = match (*first, frame.get(2)) {
        (first, _) if first == MAVLINK_1.0 => MAVLINK_1.1,
        (first, Some(flags)) if first == MAVLINK_2.0 => {
            MAVLINK_2.1 + if flags & SIGNATURE.1 != 0 { SIGNATURE.0 } else { 0 }
        }
        _ => return false,
    };
    frame.len() == len + usize::from(*payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, flags: u8, payload: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0; len];
        frame[..3].copy_from_slice(&[first, payload, flags]);
        frame
    }

    #[test]
    fn a_frame_is_whole_by_its_own_length() {
        for (frame, whole) in [
            (frame(0xfe, 0, 9, 17), true),
            (frame(0xfd, 0, 9, 21), true),
            (frame(0xfd, 1, 9, 34), true),
            (frame(0xfd, 1, 9, 21), false),
            (frame(0xfe, 0, 9, 16), false),
            (frame(0xfe, 0, 9, 18), false),
            (frame(0x55, 0, 9, 17), false),
            (vec![0xfd], false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_whole(&frame), whole, "{frame:?}");
        }
    }

    #[test]
    fn rec_9_a_frame_has_its_time_before_it_and_other_records_are_none() {
        let frame = frame(0xfd, 0, 9, 21);
        let body = ReceivedMavlinkRaw { frame: frame.clone(), ..Default::default() }.to_bytes();
        crate::row::tests::with_row(ReceivedMavlinkRaw::SCHEMA.kind, None, |row| {
            let mut out = Vec::new();
            let row = Row { body: &body, utc_ns: 1_700_000_000_123_456_789, ..*row };
            assert!(write(&row, &mut out).unwrap());
            assert_eq!(out[..8], 1_700_000_000_123_456_u64.to_be_bytes());
            assert_eq!(out[8..], frame);
        });
        crate::row::tests::with_row(1, None, |row| {
            assert!(!write(row, &mut Vec::new()).unwrap());
        });
    }
}
