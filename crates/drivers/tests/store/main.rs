//! Agents that die, or whose machine loses power: the journal that they leave is whole.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test, as the tests do"
)]

mod kill;
