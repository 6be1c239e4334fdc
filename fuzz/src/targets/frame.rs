//! A stream of frames: nothing panics, and what is taken is written again as the same bytes.
//!
//! Input: one byte (bit 0: put checksums right), four of seed, then the stream.

use groundcrew_recorder::format::frame::{BODY_MAX, OVERHEAD, Record, Step, decode, encode};

use crate::input::Input;
use crate::{mend, sample};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let (flags, seed) = (input.u8(), input.u32());
    let mut stream = input.0.to_vec();
    if flags & 1 != 0 {
        mend::frames(&mut stream, seed);
    }
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let passed = match decode(rest, seed) {
            Step::Record { record, len } => {
                same_again(rest, &record, len, seed);
                len
            }
            Step::More { need } => {
                assert!(need > rest.len() && need <= OVERHEAD + BODY_MAX, "{need} bytes");
                let mut longer = rest.to_vec();
                longer.resize(need, 0);
                let step = decode(&longer, seed);
                let asks_again = matches!(step, Step::More { need: again } if again <= need);
                assert!(!asks_again, "{need} bytes are not enough");
                1
            }
            Step::Damage(_) => 1,
        };
        rest = rest.get(passed..).unwrap_or_default();
    }
}

fn same_again(rest: &[u8], record: &Record<'_>, len: usize, seed: u32) {
    let frame = rest.get(..len).expect("a frame is not longer than what it was found in");
    assert_eq!(record.body.len() + OVERHEAD, len);
    let cut = frame.get(..len - 1).unwrap_or_default();
    assert!(matches!(decode(cut, seed), Step::More { .. }), "a cut frame is no frame");
    let mut again = Vec::new();
    assert_eq!(encode(record, seed, &mut again), len);
    // Flags and reserved bytes are ignored on read and written as zeros.
    let ignored = [5, 10, 11].iter().any(|at| frame.get(*at) != Some(&0));
    if ignored {
        assert_eq!(decode(&again, seed), Step::Record { record: *record, len });
    } else {
        assert!(again == frame, "a frame that was taken is written otherwise");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seed = |file: Vec<u8>| {
        let frames = file.get(96..).unwrap_or_default();
        [&[1], mend::seed(&file).to_le_bytes().as_slice(), frames].concat()
    };
    sample::segments().into_iter().map(seed).collect()
}
