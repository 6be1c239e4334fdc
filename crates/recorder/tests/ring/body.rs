//! The body of the record with a number, for the process that pushes it and for the test.

/// The type of these records.
pub(crate) const KIND: u16 = 0x8002;

/// Its length and every byte depend on the number.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let len = state >> 56;
    let next = |_| {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        (state >> 48).to_le_bytes()[0]
    };
    (0..len).map(next).collect()
}
