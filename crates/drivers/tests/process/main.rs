//! The process runtime (RUN-1) with real keepers and shell scripts as apps.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

mod agents;
mod commands;
mod ends;
mod rig;
mod starts;
