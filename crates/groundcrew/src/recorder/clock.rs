//! Which boot this is, and names that nobody else has.

use std::hash::{BuildHasher as _, RandomState};

use groundcrew_recorder::format::flight_id::FlightId;

/// The name of this boot; `None` where the kernel does not say.
pub(crate) fn this_boot() -> Option<[u8; 16]> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits = id.trim().replace('-', "");
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

/// The id of a flight that begins now.
pub(crate) fn flight_id(utc_ns: i64) -> FlightId {
    // A clock before 1970 is one that was never set.
    let utc_ms = u64::try_from(utc_ns / 1_000_000).unwrap_or(0);
    FlightId::new(utc_ms, chance())
}

/// Bytes that nobody else has: the keys of a hasher come from the kernel.
fn chance() -> [u8; 10] {
    let half = || RandomState::new().hash_one(std::process::id()).to_le_bytes();
    let ([a, b, c, d, e, ..], [f, g, h, i, j, ..]) = (half(), half());
    [a, b, c, d, e, f, g, h, i, j]
}
