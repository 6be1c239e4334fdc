//! How long an app does not answer while it is replaced, seen by a client outside.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::peers::{Kind, Peer};
use super::{Figure, Options, median};
use crate::host::{Host, Places};
use crate::ledger::{Ledger, NAME};
use crate::subject::Subject as _;
use crate::{Result, http};

/// Replacements of each, the median counts.
const ROUNDS: u32 = 7;
const ROUNDS_QUICK: u32 = 3;

/// Rows in each app's data.
const ROWS: u64 = 300;

/// Syncs that are measured in each round.
const SYNCS: u32 = 15;

/// Pause between two questions of the client.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Time before and after a replacement, so that the gap has two ends.
const MARGIN: Duration = Duration::from_millis(100);

pub(super) fn figures(options: &Options) -> Result<Vec<Figure>> {
    let rounds = if options.quick { ROUNDS_QUICK } else { ROUNDS };
    let (host, ledger) = ours(options)?;
    let kinds = [Kind::Bare, Kind::Script, Kind::Runit, Kind::Supervisord];
    let mut peers = Vec::new();
    for kind in kinds {
        let dir = options.dir.join(format!("{kind:?}"));
        peers.extend(Peer::start(kind, &options.program, &dir, ROWS)?);
    }
    let (mut our_ms, mut sync_ms) = (Vec::new(), Vec::new());
    let mut peer_ms: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for round in 1..=rounds {
        sync_ms.push(one_sync_ms(options)?);
        our_ms.push(update(&host, &ledger, &format!("1.1.{}", round + 1))?);
        for (peer, all) in peers.iter_mut().zip(&mut peer_ms) {
            let client = Watcher::start(peer.ledger.port());
            peer.restart()?;
            all.push(client.longest_gap_ms());
        }
    }
    let ours = median(our_ms);
    let medians: Vec<f64> = peer_ms.into_iter().map(median).collect();
    let bare = medians.first().copied().unwrap_or_default();
    let mut whole = Figure::new("downtime of one update, process runtime", ours, "ms");
    let mut added =
        Figure::new("downtime added by us (less the app's own stop and start)", ours - bare, "ms")
            .at_most(50.0);
    for (peer, at) in peers.iter().zip(medians) {
        whole = whole.beside(peer.name(), at);
        if peer.kind != Kind::Bare {
            added = added.beside(peer.name(), at - bare);
        }
    }
    let sync = Figure::new("one write of 4 KB with its sync on this disk", median(sync_ms), "ms");
    Ok(vec![whole, added, sync])
}

/// What every durable step pays at least, in this run on this disk.
fn one_sync_ms(options: &Options) -> Result<f64> {
    let mut file =
        std::fs::File::create(options.dir.join("synced")).context("cannot make a file")?;
    let mut all = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_all()).context("cannot sync")?;
        all.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(all))
}

fn ours(options: &Options) -> Result<(Host, Ledger)> {
    let host = Host::new(&options.program, Places::below(&options.dir.join("ours")))?;
    let ledger = Ledger::new(&options.program, host.places().data.join("data"))?;
    host.configure(&ledger.tables(host.places()))?;
    ledger.offer_plain(host.places(), "1.1.1")?;
    proven(&host)?;
    if !(1..=ROWS).all(|row| ledger.write(row).is_some()) {
        bail!("the app does not take rows");
    }
    Ok((host, ledger))
}

fn proven(host: &Host) -> Result<()> {
    let ran = host.run(&["update", NAME, "--wait", "proven"])?;
    if ran.code == 0 { Ok(()) } else { bail!("the update ended with {}: {}", ran.code, ran.err) }
}

fn update(host: &Host, ledger: &Ledger, version: &str) -> Result<f64> {
    ledger.offer_plain(host.places(), version)?;
    let client = Watcher::start(ledger.port());
    proven(host)?;
    let gap = client.longest_gap_ms();
    let served = ledger.version().context("the app does not serve after an update")?;
    if served != version {
        bail!("{served} serves instead of {version}");
    }
    Ok(gap)
}

/// A client that asks all the time.
struct Watcher {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watcher {
    fn start(port: u16) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !end.load(Ordering::Relaxed) {
                if http::get(port, "/version").is_some() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                std::thread::sleep(ASK_EVERY);
            }
            longest
        });
        std::thread::sleep(MARGIN);
        Self { ended, thread }
    }

    fn longest_gap_ms(self) -> f64 {
        std::thread::sleep(MARGIN);
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_or(f64::NAN, |gap| gap.as_secs_f64() * 1_000.0)
    }
}
