//! A thread that carries records from rings into a flight.
//!
//! Critical rings are drained first and whole, the others in turn and a part at a time, so that a
//! producer in full flood holds up neither the others nor the disk. A ring gets its room back when
//! what was taken has been handed to the file: the recorder may be killed at any instant, and the
//! next one finds in the shared rings what it did not write.

mod rings;
mod source;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::body::types::FlightFooter;
use crate::ring::heap::{self, Heap};
use crate::ring::shared::{self, RingError};
use crate::ring::{Consumer, Producer};
use crate::storage::{Disk, Storage};
use crate::writer::{Moment, Writer};
use rings::Rings;
use source::{Ring, Side};

/// Between two looks at rings that were empty.
const IDLE: Duration = Duration::from_millis(5);
/// Rings that a recorder drains at most, those of earlier recorders among them.
const RINGS_MAX: usize = 1024;
/// Bytes of a ring's name at most.
const NAME_MAX: usize = 64;
/// What the file of a ring is called behind its name.
const ENDING: &str = "ring";
/// Draining takes at most so long once it was told to stop (REC-7).
pub const DRAIN_MAX: Duration = Duration::from_nanos(DRAIN_MAX_NS);
const DRAIN_MAX_NS: u64 = 200_000_000;

/// How a ring is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes for entries at least; taken up to a power of two from 4 KiB to 64 MiB.
    pub bytes: usize,
    /// Whether it is drained before all others. For what is rare and must not be lost.
    pub critical: bool,
}

impl Default for Options {
    /// A mebibyte for bulk data.
    fn default() -> Self {
        Self { bytes: 1 << 20, critical: false }
    }
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum NoRing {
    /// The name is none.
    #[error("{0:?} is no name of a ring: 1 to 64 letters, digits, '-', '_' and '.', no '.' first")]
    Name(String),
    /// There are too many.
    #[error("there are {RINGS_MAX} rings already")]
    TooMany,
    /// This recorder was started without a directory for rings.
    #[error("the recorder has no directory for shared rings")]
    NoDirectory,
    /// The file cannot be made.
    #[error("cannot make a shared ring")]
    Ring(#[from] RingError),
    /// The recorder ended.
    #[error("the recorder has ended")]
    Ended,
}

/// Why a recorder did not start.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// The directory of the rings cannot be read.
    #[error("cannot list the rings in {path}")]
    Rings {
        /// The directory.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start the recorder's thread")]
    Thread(#[source] io::Error),
}

/// The recorder's thread panicked; what was durable is.
#[derive(Debug, thiserror::Error)]
#[error("the recorder's thread panicked")]
pub struct Panicked;

/// Why a flight goes on although another one should.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// What waits in memory would be lost with its writer.
    #[error("the disk does not take what was recorded before")]
    NotDurable,
    /// There is no recorder any more.
    #[error("there is no recorder any more")]
    Panicked(#[from] Panicked),
}

/// How a flight ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    /// What the footer says.
    pub footer: FlightFooter,
    /// Whether all of the flight is durable.
    pub durable: bool,
    /// Whether everything that was published before the stop was taken in.
    pub drained: bool,
}

/// What the thread is told.
enum Word<S: Storage> {
    Ring(Box<Ring>),
    ChangeFlights { next: Box<Writer<S>>, reason: String, ended: Sender<Option<Stopped>> },
    Stop(String),
}

/// A recorder at work.
#[derive(Debug)]
pub struct Recorder<S: Storage = Disk> {
    words: Sender<Word<S>>,
    thread: JoinHandle<Stopped>,
    dir: Option<PathBuf>,
    made: Mutex<Made>,
    turned_ns: Arc<AtomicU64>,
}

/// Which rings there are.
#[derive(Debug)]
struct Made {
    /// Rings that are drained.
    count: usize,
    /// The highest number that was given; 0 is the recorder itself.
    last: u16,
    /// Rings that were drained and are over.
    over: Receiver<u16>,
    /// Their numbers, to be given again when there are no others.
    free: VecDeque<u16>,
    shared: BTreeMap<String, (u16, PathBuf)>,
}

/// The time by the two clocks that matter.
#[must_use]
pub fn now() -> Moment {
    let ns = |time: Timespec| time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec;
    let time_ns = u64::try_from(ns(clock_gettime(ClockId::Boottime))).unwrap_or(0);
    Moment { time_ns, utc_ns: ns(clock_gettime(ClockId::Realtime)) }
}

impl<S> Recorder<S>
where
    S: Storage + Send + 'static,
    S::File: Send,
{
    /// Begins to record with `writer`. In `rings`, a directory of a tmpfs that only the recorder
    /// may write to, lie the shared rings; those that an earlier recorder left are taken over.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or there is no thread.
    pub fn start(writer: Writer<S>, rings: Option<&Path>) -> Result<Self, CannotStart> {
        let (words, heard) = channel();
        let (over, ended) = channel();
        let mut made = Made::new(ended);
        let mut own = Rings::new(writer, over);
        if let Some(dir) = rings {
            let unread = |source| CannotStart::Rings { path: dir.to_owned(), source };
            for path in left_behind(dir).map_err(unread)? {
                take_over(&path, &mut made, &mut own);
            }
        }
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        let turned_ns = Arc::new(AtomicU64::new(now().time_ns));
        let turned = Arc::clone(&turned_ns);
        let thread = thread.spawn(move || record(own, &heard, &turned));
        let thread = thread.map_err(CannotStart::Thread)?;
        let dir = rings.map(Path::to_owned);
        Ok(Self { words, thread, dir, made: Mutex::new(made), turned_ns })
    }

    /// A producer in this process.
    ///
    /// # Errors
    ///
    /// When there is no such name or are too many rings.
    pub fn producer(&self, name: &str, options: Options) -> Result<Producer<Heap>, NoRing> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let number = made.number(name)?;
        let (producer, consumer) = heap::ring(options.bytes, options.critical);
        self.drain(Ring::new(number, name, Side::Heap(consumer)))?;
        made.give(number);
        Ok(producer)
    }

    /// The file of a ring for a producer in any process, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn shared(&self, name: &str, options: Options) -> Result<PathBuf, NoRing> {
        let dir = self.dir.as_ref().ok_or(NoRing::NoDirectory)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.tidy();
        if let Some((_, path)) = made.shared.get(name) {
            return Ok(path.clone());
        }
        let number = made.number(name)?;
        let path = dir.join(format!("{name}.{ENDING}"));
        // Two rings of a name are hardly ever made in the same microsecond.
        let generation = u32::try_from((now().utc_ns / 1000) & 0xffff_ffff).unwrap_or(1);
        let Options { bytes, critical } = options;
        let consumer = shared::create(&path, shared::Options { bytes, critical, generation })?;
        self.drain(Ring::new(number, name, Side::Shared(consumer)))?;
        made.give(number);
        made.shared.insert(name.to_owned(), (number, path.clone()));
        Ok(path)
    }

    fn drain(&self, ring: Ring) -> Result<(), NoRing> {
        self.words.send(Word::Ring(Box::new(ring))).map_err(|_| NoRing::Ended)
    }

    /// Ends the flight with what was published until now, and goes on with the one that `next`
    /// writes: nothing is lost between the two. How the flight ended.
    ///
    /// # Errors
    ///
    /// The disk does not take what the flight still holds: it goes on, and nothing of `next` was
    /// written. Or the thread had panicked.
    pub fn change_flights(&self, next: Writer<S>, reason: &str) -> Result<Stopped, NotChanged> {
        let (ended, hear) = channel();
        let (next, reason) = (Box::new(next), reason.to_owned());
        // A thread that is gone answers nothing.
        self.words.send(Word::ChangeFlights { next, reason, ended }).ok();
        hear.recv().map_err(|_| Panicked)?.ok_or(NotChanged::NotDurable)
    }

    /// When the thread last looked at its rings, nanoseconds of `CLOCK_BOOTTIME`: a watchdog's
    /// measure, for a disk may hold it up.
    #[must_use]
    pub fn turned_ns(&self) -> u64 {
        self.turned_ns.load(Ordering::Relaxed)
    }

    /// Whether the thread is there no more though nobody stopped it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the flight: takes nothing more in from this process, drains within [`DRAIN_MAX`],
    /// writes the footer. What other processes publish later stays in their rings.
    ///
    /// # Errors
    ///
    /// The thread had panicked.
    pub fn stop(self, reason: &str) -> Result<Stopped, Panicked> {
        // A thread that is gone says so below.
        self.words.send(Word::Stop(reason.to_owned())).ok();
        self.thread.join().map_err(|_| Panicked)
    }
}

impl Made {
    fn new(over: Receiver<u16>) -> Self {
        Self { count: 0, last: 0, over, free: VecDeque::new(), shared: BTreeMap::new() }
    }

    /// The number for a ring of this name. One that was another ring's in the same flight is only
    /// taken when all others were, the one that is free for longest first.
    fn number(&mut self, name: &str) -> Result<u16, NoRing> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.');
        if !fits || !name.bytes().all(plain) {
            return Err(NoRing::Name(name.to_owned()));
        }
        self.tidy();
        if self.count >= RINGS_MAX {
            return Err(NoRing::TooMany);
        }
        let number = self.last.checked_add(1).or_else(|| self.free.front().copied());
        number.ok_or(NoRing::TooMany)
    }

    /// Takes note of the rings that are over. Nothing comes out of a file that was given up.
    fn tidy(&mut self) {
        for number in self.over.try_iter() {
            self.count -= 1;
            self.free.push_back(number);
            let file = self.shared.extract_if(.., |_, (of, _)| *of == number).next();
            if let Some((_, (_, path))) = file {
                // Its producer goes on into nowhere, as before; a new one gets a new file.
                fs::remove_file(path).ok();
            }
        }
    }

    /// A ring has this number from now on.
    fn give(&mut self, number: u16) {
        self.count += 1;
        if self.free.front() == Some(&number) {
            self.free.pop_front();
        } else {
            self.last = number;
        }
    }
}

/// The rings in a directory, by name.
fn left_behind(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn take_over<S: Storage>(path: &Path, made: &mut Made, rings: &mut Rings<S>) {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let ring = made.number(name).map(|number| (number, shared::open_existing(path)));
    let (number, consumer): (u16, Consumer<_>) = match ring {
        Ok((number, Ok(consumer))) => (number, consumer),
        Ok((_, Err(error))) => return rings.refuse(name, &error, now()),
        Err(error) => return rings.refuse(name, &error, now()),
    };
    made.give(number);
    made.shared.insert(name.to_owned(), (number, path.to_owned()));
    rings.add(Ring::new(number, name, Side::Shared(consumer)));
}

/// The thread.
fn record<S: Storage>(
    mut rings: Rings<S>,
    heard: &Receiver<Word<S>>,
    turned_ns: &AtomicU64,
) -> Stopped {
    let mut wait = Duration::ZERO;
    let reason = loop {
        match heard.recv_timeout(wait) {
            Ok(Word::Ring(ring)) => rings.add(*ring),
            Ok(Word::ChangeFlights { next, reason, ended }) => {
                let stopped = rings.change_flights(*next, &reason, now);
                // Whoever asked may have given up waiting.
                ended.send(stopped).ok();
            }
            Ok(Word::Stop(reason)) => break reason,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break "the recorder was dropped".to_owned(),
        }
        let now = now();
        turned_ns.store(now.time_ns, Ordering::Relaxed);
        wait = if rings.round(now) { Duration::ZERO } else { IDLE };
    };
    // Rings that were made before the stop were sent before it.
    rings.stop(&reason, now)
}
