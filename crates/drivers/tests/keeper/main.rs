//! The keeper (RUN-1) with real processes: shell scripts as apps, killed clients and killed keepers.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

mod crash;
mod life;
mod rig;
mod start;
mod stop;
