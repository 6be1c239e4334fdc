//! The Docker runtime (RUN-2) on a real engine, one per test.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]
#![expect(clippy::disallowed_methods, reason = "what a test writes need not survive a power cut")]
#![expect(clippy::indexing_slicing, reason = "what an engine shows has these members")]

mod adopt;
mod contract;
mod cut;
mod rig;
mod trouble;
