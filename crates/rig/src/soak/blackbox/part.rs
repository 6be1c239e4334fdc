//! The processes that are there when the power goes: a recorder with a producer in it, a producer
//! of its own, and a recovery.
//!
//! Producers note outside of the recorder's file system what they made, 17 bytes for each record:
//! its number, its time, and whether the ring took it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use groundcrew_recorder::flight_dir::FlightDir;
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::manifest::Manifest;
use groundcrew_recorder::reader::flight::NoFlight;
use groundcrew_recorder::recorder::{Options, Recorder, now};
use groundcrew_recorder::recover::recover;
use groundcrew_recorder::ring::shared::attach;
use groundcrew_recorder::writer::{CannotResume, Moment, Policy, Writer};

use super::watched::{Hold, Tell, Watched};
use crate::Result;

/// The type of what producers make.
pub(super) const KIND: u16 = 0x8003;
/// Segments of one flight in two are so small that some are sealed and removed within a second; those of
/// the others so large that nothing but its age makes a record durable. How often it syncs is the default.
const SEGMENT_BYTES: [u64; 2] = [256 << 10, 4 << 20];
/// A flight holds this many segments.
const SEGMENTS: u64 = 5;
/// A producer looks whether it is time for the next records this often.
const TURN: Duration = Duration::from_millis(1);
/// Records in a turn.
const AT_ONCE: u32 = 4;
/// One in so many turns has a critical record.
const CRITICAL_EVERY: u64 = 20;
/// The rings, and what their producers note.
pub(super) const SOURCES: [&str; 3] = ["app", "events", "own"];

/// A process beside the rig.
#[derive(Clone, Debug)]
pub enum Part {
    /// Records, with `resume` into the flight that is there.
    Record {
        /// The flight's directory.
        flight: PathBuf,
        /// Where rings and notes lie.
        notes: PathBuf,
    },
    /// Makes records in a process of its own.
    Produce {
        /// Where rings and notes lie.
        notes: PathBuf,
    },
    /// Recovers a flight.
    Recover {
        /// The flight's directory.
        flight: PathBuf,
    },
}

impl Part {
    /// The word of the command line.
    pub const WORD: &str = "part";

    /// A process that plays this part, and stops at a place.
    pub(super) fn command(&self, hold: Option<&Hold>) -> Result<Command> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(own);
        command.arg(Self::WORD);
        match self {
            Self::Record { flight, notes } => command.arg("record").arg(flight).arg(notes),
            Self::Produce { notes } => command.args(["produce", "-"]).arg(notes),
            Self::Recover { flight } => command.arg("recover").arg(flight).arg("-"),
        };
        command.args(hold.map(Hold::to_string)).stdin(Stdio::null());
        Ok(command)
    }

    /// Plays the part that the words of the command line name.
    ///
    /// # Errors
    /// It cannot be played.
    pub fn play(words: &[String]) -> Result<()> {
        let [what, flight, notes, hold @ ..] = words else { bail!("there are words missing") };
        let tell = Tell::new(hold.first().and_then(|hold| Hold::parse(hold)));
        match what.as_str() {
            "record" => record(Path::new(flight), Path::new(notes), tell),
            "produce" => produce(Path::new(notes)),
            "recover" => {
                let flight = FlightDir::open(flight)?;
                let _claim = flight.claim()?;
                recover(&mut Watched::new(flight.segments(), tell), now())?;
                Ok(())
            }
            other => bail!("there is no part {other:?}"),
        }
    }
}

fn record(path: &Path, notes: &Path, tell: std::sync::Arc<Tell>) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).context("a flight has a name")?;
    let flight: FlightId = name.parse()?;
    let boot = boot_id()?;
    Tell::say(&format!("boot {}", FlightId::from_bytes(boot)));
    let Moment { time_ns, utc_ns } = now();
    let header = Header { flight, boot, number: 0, first_seq: 0, time_ns, utc_ns };
    let manifest = Manifest::of(&header);
    let dir = if path.exists() {
        let dir = FlightDir::open(path)?;
        // It was cut while it was made.
        if dir.manifest()?.is_none() {
            dir.write_manifest(&manifest)?;
        }
        dir
    } else {
        FlightDir::create_at(path.to_owned(), &manifest)?
    };
    let _claim = dir.claim()?;
    Tell::say("flight");
    let disk = Watched::new(dir.segments(), tell);
    let [small, large] = SEGMENT_BYTES;
    // By chance, and the same whenever it goes on: that is in its id.
    let is_small = flight.as_bytes().iter().fold(0, |sum, byte| sum ^ byte) % 2 == 0;
    let segment_bytes = if is_small { small } else { large };
    let flight_bytes = SEGMENTS * segment_bytes;
    let policy = Policy { segment_bytes, flight_bytes, ..Policy::default() };
    let writer = match Writer::resume(disk.clone(), boot, policy) {
        Err(CannotResume::NoFlight(NoFlight::Empty)) => Writer::new(disk, flight, boot, policy),
        writer => writer?,
    };
    let recorder = Recorder::start(writer, Some(notes))?;
    recorder.shared("app", Options::default())?;
    recorder.shared("events", Options { critical: true, ..Options::default() })?;
    let mut own = recorder.producer("own", Options::default())?;
    let part = Part::Produce { notes: notes.to_owned() };
    let _producer = part.command(None)?.stdout(Stdio::null()).spawn()?;
    Tell::say("ready");
    let mut note = Note::new(notes, "own")?;
    loop {
        for _ in 0..AT_ONCE {
            note.push(own.made(), |number, time_ns| own.push(KIND, time_ns, &body(number)))?;
        }
        std::thread::sleep(TURN);
    }
}

fn produce(notes: &Path) -> Result<()> {
    let ring = |name: &str| attach(&notes.join(format!("{name}.ring")));
    let (mut app, mut events) = (ring("app")?, ring("events")?);
    let (mut app_note, mut events_note) = (Note::new(notes, "app")?, Note::new(notes, "events")?);
    let mut turn: u64 = 0;
    loop {
        for _ in 0..AT_ONCE {
            app_note.push(app.made(), |number, time_ns| app.push(KIND, time_ns, &body(number)))?;
        }
        if turn.is_multiple_of(CRITICAL_EVERY) {
            events_note
                .push(events.made(), |number, time_ns| events.push(KIND, time_ns, &body(number)))?;
        }
        turn += 1;
        std::thread::sleep(TURN);
    }
}

/// The boot's id, as a host reads it.
fn boot_id() -> Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let id: FlightId = text.trim().parse()?;
    Ok(*id.as_bytes())
}

/// The body of the record with this number; its length and every byte depend on it.
pub(super) fn body(number: u64) -> Vec<u8> {
    let mut random = crate::random::Random::new(number);
    let words = random.number() % 40;
    let mut body = number.to_le_bytes().to_vec();
    body.extend((0..words).flat_map(|_| random.number().to_le_bytes()));
    body
}

/// What a producer notes outside of the disk.
struct Note(File);

impl Note {
    fn new(notes: &Path, name: &str) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(notes.join(format!("{name}.note")))?;
        Ok(Self(file))
    }

    fn push(&mut self, number: u64, push: impl FnOnce(u64, u64) -> bool) -> Result<()> {
        let time_ns = now().time_ns;
        let mut row = [0; 17];
        let taken = push(number, time_ns);
        let bytes = number.to_le_bytes().into_iter().chain(time_ns.to_le_bytes());
        for (to, from) in row.iter_mut().zip(bytes.chain([u8::from(taken)])) {
            *to = from;
        }
        self.0.write_all(&row).context("cannot note a record")
    }
}

/// One record as its producer noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) number: u64,
    pub(super) time_ns: u64,
    pub(super) taken: bool,
}

/// What a producer noted; nothing where it did not come so far.
pub(super) fn made(notes: &Path, name: &str) -> Vec<Made> {
    let bytes = std::fs::read(notes.join(format!("{name}.note"))).unwrap_or_default();
    let row = |row: &[u8]| {
        let (number, rest) = row.split_first_chunk::<8>()?;
        let (time_ns, taken) = rest.split_first_chunk::<8>()?;
        Some(Made {
            number: u64::from_le_bytes(*number),
            time_ns: u64::from_le_bytes(*time_ns),
            taken: *taken.first()? != 0,
        })
    };
    bytes.chunks_exact(17).filter_map(row).collect()
}
