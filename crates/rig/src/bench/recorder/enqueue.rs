//! What handing over a record costs its producer.
//!
//! Each call is timed by itself, in bursts, while a recorder takes what was handed over, as it
//! does. The clock is read before and after, which all figures contain; what that costs alone is a
//! figure of its own. Allocations are counted by the allocator, system calls by strace, as the
//! difference between a process that pushes and one that does everything else.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use groundcrew_recorder::recorder::{Options as Ring, Recorder};
use groundcrew_recorder::ring::{Producer, Words, heap, shared};
use groundcrew_recorder::writer::Policy;

use super::{Amount, BODY, KIND, writer};
use crate::Result;
use crate::bench::{Figure, Options, median};

/// Calls in a row; what they hand over fits the ring several times.
const BURST: u32 = 2_000;
/// Between two bursts: the recorder looks every 5 ms.
const PAUSE: Duration = Duration::from_millis(6);
/// Bytes of the ring.
const RING: Ring = Ring { bytes: 4 << 20, critical: false };
/// Calls of which system calls and allocations are counted; they fit the largest ring.
const COUNTED: u32 = 100_000;
const LARGEST: usize = 64 << 20;

/// What the clock costs, which every time contains.
const CLOCK: &str = "the clock alone";

/// One way to hand a record over.
type Call<'a> = Box<dyn FnMut(&[u8; BODY]) + 'a>;

pub(super) fn figures(options: &Options, amount: &Amount) -> Result<Vec<Figure>> {
    let dir = options.dir.join("enqueue");
    let rings = rings_dir(options)?;
    let recorder = Recorder::start(writer(&dir, Policy::default())?, Some(rings.path()))?;
    let mut inside = recorder.producer("inside", RING)?;
    let mut outside = shared::attach(&recorder.shared("outside", RING)?)?;
    let mut file = File::create(dir.join("plain"))?;
    #[cfg(feature = "peers")]
    let mut ring = others::Rtrb::new();
    #[cfg(feature = "peers")]
    let (mut appender, _guard) =
        tracing_appender::non_blocking(File::create(dir.join("appended"))?);
    let mut ways: Vec<(&str, Call<'_>)> = vec![
        (CLOCK, Box::new(|_| {})),
        ("in this process", Box::new(|body| push(&mut inside, body))),
        ("in shared memory", Box::new(|body| push(&mut outside, body))),
        ("one write(2)", Box::new(|body| drop(file.write(body)))),
        #[cfg(feature = "peers")]
        ("rtrb", Box::new(|body| ring.push(body))),
        #[cfg(feature = "peers")]
        ("tracing-appender", Box::new(|body| drop(appender.write(body)))),
    ];
    let mut p50: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
    let mut p999 = p50.clone();
    for _ in 0..amount.rounds {
        for ((_, call), (p50, p999)) in ways.iter_mut().zip(p50.iter_mut().zip(&mut p999)) {
            let times = timed(call, amount.pushes);
            p50.push(percentile(&times, 500));
            p999.push(percentile(&times, 999));
        }
    }
    let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
    drop(ways);
    drop((inside, outside));
    recorder.stop("bench")?;
    std::fs::remove_dir_all(&dir)?;
    let mut figures = table(&names, p50, "p50", 100.0);
    figures.extend(table(&names, p999, "p99.9", 5_000.0));
    #[cfg(feature = "peers")]
    figures.push(others::allocations());
    figures.extend(system_calls(options)?);
    Ok(figures)
}

/// Where rings belong: in memory, if that is there.
pub(super) fn rings_dir(options: &Options) -> Result<tempfile::TempDir> {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir_in(&options.dir));
    made.context("cannot make a directory for rings")
}

fn push<W: Words>(producer: &mut Producer<W>, body: &[u8; BODY]) {
    std::hint::black_box(producer.push(KIND, 1, body));
}

/// Nanoseconds of each call, ascending.
fn timed(call: &mut Call<'_>, calls: u32) -> Vec<u32> {
    let body = [0x5a; BODY];
    let mut times = Vec::new();
    for _ in 0..calls.div_ceil(BURST) {
        std::thread::sleep(PAUSE);
        for _ in 0..BURST {
            let begun = Instant::now();
            call(std::hint::black_box(&body));
            times.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
    }
    times.sort_unstable();
    times
}

/// The time that so many in a thousand do not exceed.
fn percentile(times: &[u32], per_mille: usize) -> f64 {
    times.get(times.len() * per_mille / 1000).copied().map_or(0.0, f64::from)
}

/// A row for each of our two beside all others, and one for the clock.
fn table(names: &[&str], times: Vec<Vec<f64>>, which: &str, most: f64) -> Vec<Figure> {
    let times = times.into_iter().map(median);
    let (alone, ways): (Vec<_>, Vec<_>) =
        names.iter().copied().zip(times).partition(|(name, _)| *name == CLOCK);
    let (ours, others): (Vec<_>, Vec<_>) =
        ways.into_iter().partition(|(name, _)| name.starts_with("in "));
    let figure = |(name, time): (&str, f64)| {
        let figure = Figure::new(format!("enqueue of 128 B {name}, {which}"), time, "ns");
        others.iter().fold(figure.at_most(most), |figure, (name, time)| figure.beside(name, *time))
    };
    let clock = |(name, time)| Figure::new(format!("… {name}, {which}"), time, "ns");
    ours.into_iter().map(figure).chain(alone.into_iter().map(clock)).collect()
}

/// Pushes so many records into a ring that nobody empties, and ends: for strace.
///
/// # Errors
/// There is no such ring, or it cannot be made.
pub fn push_and_end(ring: &str, count: u32) -> Result<()> {
    let body = [0x5a; BODY];
    match ring {
        "heap" => {
            let (mut producer, _consumer) = heap::ring(LARGEST, false);
            (0..count).for_each(|_| push(&mut producer, &body));
        }
        "shared" => {
            let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
            let path: PathBuf = dir.path().join("pushed.ring");
            let options = shared::Options { bytes: LARGEST, critical: false, generation: 1 };
            let _consumer = shared::create(&path, options)?;
            let mut producer = shared::attach(&path)?;
            (0..count).for_each(|_| push(&mut producer, &body));
        }
        _ => bail!("there is no ring {ring}"),
    }
    Ok(())
}

fn system_calls(options: &Options) -> Result<Vec<Figure>> {
    if Command::new("strace").arg("-V").output().is_err() {
        return Ok(Vec::new());
    }
    let mut figures = Vec::new();
    for (ring, name) in [("heap", "in this process"), ("shared", "in shared memory")] {
        let [none, all] = [0, COUNTED].map(|count| calls_of(&options.dir, ring, count));
        let name = format!("system calls of {COUNTED} enqueues {name}");
        figures.push(Figure::new(name, all? - none?, "calls").at_most(0.0));
    }
    Ok(figures)
}

/// System calls of a process that pushes so many records, from `strace -c`.
fn calls_of(dir: &Path, ring: &str, count: u32) -> Result<f64> {
    let table = dir.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&table);
    command.arg(std::env::current_exe()?).args(["push", ring]).arg(count.to_string());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let text = std::fs::read_to_string(&table).context("strace left no table")?;
    let total = text.lines().find(|line| line.trim_end().ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().next());
    if !status.success() {
        bail!("strace ended with {status}");
    }
    Ok(calls.context("strace counts nothing")?.parse()?)
}

#[cfg(feature = "peers")]
mod others {
    //! Another ring, and what the allocator counts.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use groundcrew_recorder::ring::heap;

    use super::{BODY, COUNTED, LARGEST, push};
    use crate::bench::Figure;

    /// A record as it lies in rtrb's ring.
    type Item = (u64, u64, [u8; BODY]);

    /// rtrb, with somebody who empties it every 5 ms.
    pub(super) struct Rtrb {
        producer: rtrb::Producer<Item>,
        made: u64,
        ended: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Rtrb {
        pub(super) fn new() -> Self {
            let (producer, mut consumer) = rtrb::RingBuffer::new(1 << 15);
            let ended = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&ended);
            let thread = std::thread::spawn(move || {
                while !told.load(Ordering::Relaxed) {
                    while let Ok(item) = consumer.pop() {
                        std::hint::black_box(item);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            Self { producer, made: 0, ended, thread: Some(thread) }
        }

        pub(super) fn push(&mut self, body: &[u8; BODY]) {
            self.made += 1;
            std::hint::black_box(self.producer.push((self.made, 1, *body)).is_ok());
        }
    }

    impl Drop for Rtrb {
        fn drop(&mut self) {
            self.ended.store(true, Ordering::Relaxed);
            // It cannot panic, and nothing is told by how it ends.
            self.thread.take().map(JoinHandle::join);
        }
    }

    /// Allocations of pushes, by the allocator of this process.
    pub(super) fn allocations() -> Figure {
        let (mut producer, _consumer) = heap::ring(LARGEST, false);
        let body = [0x5a; BODY];
        let used = allocation_counter::measure(|| {
            (0..COUNTED).for_each(|_| push(&mut producer, &body));
        });
        let count = u32::try_from(used.count_total).map_or(f64::MAX, f64::from);
        Figure::new(format!("allocations of {COUNTED} enqueues"), count, "allocations").at_most(0.0)
    }
}
