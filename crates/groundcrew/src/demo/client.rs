//! An independent client: writes a numbered row every 20 ms and remembers what was acknowledged.
//!
//! It knows nothing of groundcrew. A row counts as acknowledged once the service answered 200; a
//! row whose answer never came counts for nothing.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause between two rows.
const PAUSE: Duration = Duration::from_millis(20);
/// Limit of one request.
const LIMIT: Duration = Duration::from_millis(500);

/// What the client saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Rows that were acknowledged.
    pub(super) rows: BTreeSet<u64>,
    /// How long nothing was acknowledged, in all.
    pub(super) refused: Duration,
    /// Since when nothing is acknowledged.
    refused_since: Option<Instant>,
}

/// A client at work.
#[derive(Debug)]
pub(super) struct Client {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Begins to write to the service on this port, with this row.
    pub(super) fn start(port: u16, first: u64) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (their_seen, their_stop) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut row = first;
            while !their_stop.load(Ordering::Relaxed) {
                let acknowledged = write_row(port, row);
                note(&their_seen, row, acknowledged);
                row += 1;
                std::thread::sleep(PAUSE);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What it saw so far.
    pub(super) fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = seen.clone();
        if let Some(since) = seen.refused_since {
            seen.refused += since.elapsed();
        }
        seen
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A client that panicked has nothing to tell.
            thread.join().ok();
        }
    }
}

fn note(seen: &Mutex<Seen>, row: u64, acknowledged: bool) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if acknowledged {
        seen.rows.insert(row);
        if let Some(since) = seen.refused_since.take() {
            seen.refused += since.elapsed();
        }
    } else {
        seen.refused_since.get_or_insert_with(Instant::now);
    }
}

fn write_row(port: u16, row: u64) -> bool {
    let body = row.to_string();
    let length = body.len();
    let request = format!(
        "POST /rows HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    ask(port, &request).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn ask(port: u16, request: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The rows in a data file of any format.
pub(super) fn rows_in(path: &std::path::Path) -> BTreeSet<u64> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // `row N` in the first format; later ones put a checksum behind the number.
    let number = |line: &str| {
        let words: Vec<&str> = line.strip_prefix("row ")?.split_whitespace().collect();
        let at = words.len().saturating_sub(2);
        words.get(at)?.parse().ok()
    };
    text.lines().filter_map(number).collect()
}

/// What became of acknowledged rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// Rows that were acknowledged.
    pub(super) acknowledged: usize,
    /// Rows that are nowhere.
    pub(super) lost: usize,
    /// Rows that are in the failed data alone.
    pub(super) set_aside: usize,
}

/// Looks for every acknowledged row in the live data and in the data that was set aside.
pub(super) fn fate(
    acknowledged: &BTreeSet<u64>,
    live: &BTreeSet<u64>,
    aside: &BTreeSet<u64>,
) -> Fate {
    let missing: Vec<u64> = acknowledged.difference(live).copied().collect();
    let set_aside = missing.iter().filter(|row| aside.contains(row)).count();
    Fate { acknowledged: acknowledged.len(), lost: missing.len() - set_aside, set_aside }
}

#[cfg(test)]
mod tests {
    use groundcrew_drivers::durable::{self, Site};

    use super::*;

    #[test]
    fn a_row_that_is_nowhere_is_lost_and_one_in_the_failed_data_is_set_aside() {
        let set = |rows: &[u64]| rows.iter().copied().collect::<BTreeSet<u64>>();
        let fate = fate(&set(&[1, 2, 3, 4]), &set(&[1, 2]), &set(&[3]));
        assert_eq!(fate, Fate { acknowledged: 4, lost: 1, set_aside: 1 });
    }

    #[test]
    fn rows_are_read_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.ledger");
        durable::write(
            &path,
            b"ledger 3\nrow 7\nrow 8 60f5\nrow 2 9 90229e7b\n",
            0o644,
            Site::Release,
        )
        .unwrap();
        assert_eq!(rows_in(&path), [7, 8, 9].into());
    }

    #[test]
    fn an_unanswered_port_acknowledges_nothing() {
        assert!(!write_row(1, 7));
    }
}
