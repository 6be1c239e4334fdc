//! The real binary with real processes, sockets and files: what no lower level can see.
//!
//! Each test has a directory of its own, a port of its own, and an app `ledger` whose releases are
//! those of the demo app. Nothing sleeps for luck: [`bench::Bench::until`] waits for a level.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test, as the tests do"
)]

mod agent;
mod bad;
mod bad_bundles;
mod bench;
mod black_box;
mod bundle;
mod by_hand;
mod codes;
mod docker;
mod fleet;
mod flight;
mod flight_bad;
mod full;
mod gates;
mod logs;
mod machine;
mod many;
mod mcap;
mod parquet;
mod postmortem;
mod pull;
mod pull_ssh;
mod recorded;
mod recorder_role;
mod registry;
mod report;
mod rest;
mod rollback;
mod shell;
mod signals;
mod sshd;
mod systemd;
mod tlog;
mod update;
mod wrong;
