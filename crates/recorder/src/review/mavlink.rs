//! Where the flight controller says that it is: `GLOBAL_POSITION_INT` (message 33) of MAVLink 1
//! and 2.
//!
//! Frames are those of <https://mavlink.io/en/guide/serialization.html>, the message that of
//! <https://mavlink.io/en/messages/common.html#GLOBAL_POSITION_INT>. Only a frame whose check
//! fits is believed; signatures are not looked at.

const MAVLINK_1: u8 = 0xfe;
const MAVLINK_2: u8 = 0xfd;
const MESSAGE: u32 = 33;
/// Bytes of the message's fields; zeros at the end may be left out in MAVLink 2.
const FIELDS: usize = 28;
/// What the message's fields are hashed to: the last byte that the check goes over.
const EXTRA: u8 = 104;
const SIGNATURE_FLAG: u8 = 1;
const SIGNATURE: usize = 13;
/// Integers of a degree.
const PER_DEGREE: f64 = 1e7;

/// Where somebody says that it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// The system and the component that say so.
    pub(super) sender: (u8, u8),
    pub(super) lat_deg: f64,
    pub(super) lon_deg: f64,
}

/// What a frame says; `None`: it is another message, or damaged, or has no position yet.
pub(super) fn position(frame: &[u8]) -> Option<Said> {
    let (sender, message, payload) = parts(frame)?;
    if message != MESSAGE || payload.len() > FIELDS {
        return None;
    }
    let mut fields = [0; FIELDS];
    fields.get_mut(..payload.len())?.copy_from_slice(payload);
    let [lat, lon] = [4..8, 8..12]
        .map(|at| fields.get(at).and_then(|one| one.try_into().ok()).map(i32::from_le_bytes));
    let (lat, lon) = (lat?, lon?);
    let [lat_deg, lon_deg] = [lat, lon].map(|one| f64::from(one) / PER_DEGREE);
    // Nobody knows where it is yet.
    let unknown = (lat, lon) == (0, 0);
    let possible = lat_deg.abs() <= 90.0 && lon_deg.abs() <= 180.0;
    (possible && !unknown).then_some(Said { sender, lat_deg, lon_deg })
}

/// Sender, message and payload of a frame whose check fits this message.
fn parts(frame: &[u8]) -> Option<((u8, u8), u32, &[u8])> {
    let (first, rest) = frame.split_first()?;
    let len = usize::from(*rest.first()?);
    let (head, sender, message, signature) = match (*first, rest) {
        (MAVLINK_1, [_, _, system, component, message, ..]) => {
            (5, (*system, *component), u32::from(*message), 0)
        }
        (MAVLINK_2, [_, flags, _, _, system, component, a, b, c, ..]) => {
            let signature = if flags & SIGNATURE_FLAG != 0 { SIGNATURE } else { 0 };
            (9, (*system, *component), u32::from_le_bytes([*a, *b, *c, 0]), signature)
        }
        _ => return None,
    };
    let (checked, check) = rest.split_at_checked(head + len)?;
    if check.len() != 2 + signature {
        return None;
    }
    let fits = checked.iter().chain(&[EXTRA]).fold(0xffff, |check, byte| x25(check, *byte));
    check.starts_with(&fits.to_le_bytes()).then_some((sender, message, checked.get(head..)?))
}

/// CRC-16/MCRF4XX.
fn x25(check: u16, byte: u8) -> u16 {
    (0..8).fold(check ^ u16::from(byte), |check, _| {
        if check & 1 == 1 { (check >> 1) ^ 0x8408 } else { check >> 1 }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same message as pymavlink 2.4.50 packs it: system 1, component 1.
    const OF_PYMAVLINK: [&str; 2] = [
        "fe1c00010121e80300004c52401c44f417054072070010270000000000000000000019d3",
        "fd120000000101210000e80300004c52401c44f417054072070010 27b3b4",
    ];

    pub(in crate::review) fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn a_position_is_read_from_both_versions_and_from_signed_frames() {
        let expected = Said { sender: (1, 1), lat_deg: 47.397_742, lon_deg: 8.545_594 };
        for hex in OF_PYMAVLINK {
            assert_eq!(position(&bytes(hex)), Some(expected), "{hex}");
        }
        let mut signed = bytes(OF_PYMAVLINK[1]);
        signed[2] = SIGNATURE_FLAG;
        let end = signed.len() - 2;
        let check = signed[1..end].iter().chain(&[EXTRA]).fold(0xffff, |sum, one| x25(sum, *one));
        signed.truncate(end);
        signed.extend_from_slice(&check.to_le_bytes());
        assert_eq!(position(&signed), None, "the signature is not there");
        signed.extend_from_slice(&[7; SIGNATURE]);
        assert_eq!(position(&signed), Some(expected));
    }

    #[test]
    fn a_frame_that_is_cut_or_changed_anywhere_says_nothing() {
        for hex in OF_PYMAVLINK {
            let whole = bytes(hex);
            for cut in 0..whole.len() {
                assert_eq!(position(&whole[..cut]), None, "cut at {cut}");
            }
            for at in 0..whole.len() {
                let mut changed = whole.clone();
                changed[at] ^= 0x10;
                assert_eq!(position(&changed), None, "changed at {at}");
            }
        }
    }
}
