//! Which process it is: its number and when it was started, which no other has after it.

use std::fs;
use std::io;

/// When the process `pid` was started, clock ticks since boot; `None`: there is none.
///
/// # Errors
///
/// `/proc` says nothing.
pub(super) fn started(pid: u64) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It ended while it was read.
        Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name may hold anything, closing parentheses among it; behind the last begins field 3.
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let mut fields = behind.split_ascii_whitespace();
    // A zombie holds nothing any more and publishes nothing.
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None);
    }
    let start = fields.nth(18).and_then(|start| start.parse().ok());
    start.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_was_started_and_no_process_was_not() {
        let own = started(u64::from(std::process::id())).unwrap();
        assert!(own.is_some_and(|start| start > 0), "{own:?}");
        assert_eq!(started(u64::from(u32::MAX)).unwrap(), None);
    }
}
