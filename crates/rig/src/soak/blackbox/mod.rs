//! Power cuts under the flight recorder: what it called durable is there, whatever is cut.
//!
//! A life is a file system of its own with flights on it. In a round a recorder with three
//! producers works on a flight, a new one or one that was recovered, and the power goes: at some
//! instant, or in the middle of an operation that was drawn, where the recorder stops itself. The
//! recovery is cut as well, at an operation of its own, until one comes through. Then the flight
//! is compared with what the producers noted and with what the disk had said to the recorder.

mod judge;
mod part;
mod watched;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::recorder::now;

use super::{Blows, LIVES_PER_BLOW_MAX, Options, Outcome, ROUNDS_PER_LIFE};
use crate::Result;
use crate::disks::{Disks, Kind, Log};
use crate::random::Random;
use judge::{Cut, Flight};
pub use part::Part;
use watched::{Hold, OPS};

/// What the recorder is called among the apps.
pub const NAME: &str = "recorder";

/// The name of the file system that loses its power.
const DISK: &str = "flights";
/// What others note stays in memory, which the namespace has for itself.
const NOTES: &str = "/dev/shm";
/// A recorder works this long at least, and at most, before an instant that was drawn by time.
const WORKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(2500));
/// The file system is on its way to the disk this long before it is cut.
const WRITES_BACK: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(20));
/// An operation that was drawn is waited for this long.
const HOLDS_WITHIN: Duration = Duration::from_secs(4);
/// Longer than a recorder takes to begin, or a recovery to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// A recorder stops itself at the most so many operations of a kind after its start.
const NTH_MAX: u64 = 12;
/// No recovery of so few segments asks its disk for more than this.
const RECOVERY_OPS_MAX: u64 = 12;
/// How often a recovery is cut in a row.
const RECOVERIES_CUT_MAX: u32 = 3;

/// Cuts until there were as many as asked for, or a violation.
pub(super) fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Outcome> {
    if options.blows != Blows::PowerCuts {
        bail!("the recorder is killed in the tests of its crate; here it takes --power-cuts");
    }
    let begun = Instant::now();
    let mut random = Random::new(options.seed);
    let mut outcome = Outcome::default();
    while outcome.blows < options.count && outcome.violation.is_none() {
        outcome.lives += 1;
        if outcome.lives > options.count.saturating_mul(LIVES_PER_BLOW_MAX) {
            bail!("only {} of {} cuts fell", outcome.blows, options.count);
        }
        let dir = options.dir.join(format!("life-{}", outcome.lives));
        let mut life = Life::begin(options, &dir, &mut random)?;
        for _ in 0..ROUNDS_PER_LIFE {
            life.round(&mut random, &mut outcome)?;
            say(&format!("{}/{}: {}", outcome.blows, options.count, life.told));
            if let Some(violation) = &outcome.violation {
                let head = format!("seed {}, {}\n{}\n", options.seed, dir.display(), life.told);
                outcome.violation = Some(head + violation);
            }
            if outcome.blows >= options.count || outcome.violation.is_some() {
                break;
            }
        }
        drop(life);
        if outcome.violation.is_none() {
            // A life that ended well tells nothing; one that cannot be removed harms nobody.
            std::fs::remove_dir_all(&dir).ok();
        }
    }
    outcome.seconds = begun.elapsed().as_secs();
    Ok(outcome)
}

/// One file system, from its making through some rounds.
#[derive(Debug)]
struct Life {
    dir: PathBuf,
    disks: Disks,
    kind: Kind,
    flight: Option<Flight>,
    round: u32,
    told: String,
}

/// A process whose words are heard.
#[derive(Debug)]
struct Heard {
    child: Child,
    words: Receiver<String>,
    /// All that came so far.
    said: Vec<String>,
}

impl Life {
    fn begin(options: &Options, dir: &Path, random: &mut Random) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let kind = options.disk.unwrap_or(*random.one_of(&Kind::ALL));
        let disks = Disks::make(dir, &[(DISK, kind)])?;
        let dir = dir.to_owned();
        Ok(Self { dir, disks, kind, flight: None, round: 0, told: String::new() })
    }

    /// Records, cuts, recovers, and judges.
    fn round(&mut self, random: &mut Random, outcome: &mut Outcome) -> Result<()> {
        self.round += 1;
        outcome.rounds += 1;
        let notes = Path::new(NOTES).join(format!("{}-{}", outcome.lives, self.round));
        std::fs::create_dir(&notes).context("cannot make a place for notes")?;
        let goes_on = self.flight.is_some() && random.chance(65);
        let mut flight = match self.flight.take().filter(|_| goes_on) {
            Some(flight) => flight,
            None => self.new_flight(random),
        };
        let hold = random.chance(60).then(|| Hold {
            op: (*random.one_of(&OPS)).to_owned(),
            nth: u32::try_from(random.number() % NTH_MAX).unwrap_or(0) + 1,
            after: random.chance(50),
        });
        let part = Part::Record { flight: flight.path.clone(), notes: notes.clone() };
        let mut recorder = Heard::start(&part, hold.as_ref(), &self.dir)?;
        let held = self.let_work(&mut recorder, hold.as_ref(), random)?;
        let at_ns = now().time_ns;
        self.cut(random)?;
        let said = recorder.end()?;
        let place = judge::place(&said);
        let mut at = place.clone();
        let cut = Cut::new(at_ns, &said, &notes)?;
        count(outcome, place);
        outcome.missed += u32::from(hold.is_some() && !held);
        for place in self.cut_recoveries(&flight, random)? {
            at = format!("{at}, then recovery {place}");
            *outcome.figures.entry("recoveries that were cut").or_default() += 1;
            count(outcome, format!("recovery {place}"));
        }
        let problems = flight.judge(cut, &mut outcome.figures)?;
        let kind = self.kind.name();
        self.told = format!("{kind}: {at}: {}", flight.told);
        if !problems.is_empty() {
            outcome.violation = Some(format!("{}\n\n{}", problems.join("\n"), said.join("\n")));
        }
        self.flight = Some(flight);
        std::fs::remove_dir_all(&notes).context("cannot remove notes")
    }

    fn new_flight(&self, random: &mut Random) -> Flight {
        let mut chance = [0; 10];
        for (to, from) in chance.iter_mut().zip(random.number().to_le_bytes()) {
            *to = from;
        }
        let utc_ms = u64::try_from(now().utc_ns / 1_000_000).unwrap_or(0);
        let id = FlightId::new(utc_ms, chance);
        Flight::new(Disks::at(&self.dir, DISK).join(id.to_string()), id)
    }

    /// Waits for the instant of the cut; whether the operation came that was drawn.
    fn let_work(
        &self,
        recorder: &mut Heard,
        hold: Option<&Hold>,
        random: &mut Random,
    ) -> Result<bool> {
        if hold.is_some() {
            return recorder.until("held", HOLDS_WITHIN);
        }
        // From its first step on, which makes the flight's directory.
        let work = random.span(WORKS.0, WORKS.1);
        if random.chance(80) && !recorder.until("ready", PATIENCE)? {
            bail!("the recorder does not begin: {:?}", recorder.said);
        }
        std::thread::sleep(work);
        Ok(false)
    }

    /// Cuts the power, now and then while everything is on its way to the disk, so that a part of
    /// what nobody synced arrives.
    fn cut(&mut self, random: &mut Random) -> Result<()> {
        let mut sync = Command::new("sync");
        sync.arg("--file-system").arg(Disks::at(&self.dir, DISK)).stdin(Stdio::null());
        let writeback = random.chance(40).then(|| sync.spawn());
        let writeback = writeback.transpose().context("cannot start sync")?;
        if writeback.is_some() {
            std::thread::sleep(random.span(WRITES_BACK.0, WRITES_BACK.1));
        }
        let log = if random.chance(50) { Log::Lost } else { Log::Flushed };
        self.disks.cut(log, random)?;
        // It may have failed: that is what a cut is.
        writeback.map(|mut sync| sync.wait()).transpose().context("cannot wait for sync")?;
        Ok(())
    }

    /// Recovers, and cuts that where it was drawn; where the cuts fell.
    fn cut_recoveries(&mut self, flight: &Flight, random: &mut Random) -> Result<Vec<String>> {
        let mut places = Vec::new();
        for _ in 0..RECOVERIES_CUT_MAX {
            if !flight.path.join("segments").is_dir() || !random.chance(50) {
                break;
            }
            let nth = u32::try_from(random.number() % RECOVERY_OPS_MAX).unwrap_or(0) + 1;
            let hold = Hold { op: "any".to_owned(), nth, after: random.chance(50) };
            let part = Part::Recover { flight: flight.path.clone() };
            let mut recovery = Heard::start(&part, Some(&hold), &self.dir)?;
            if recovery.until("held", PATIENCE)? {
                self.cut(random)?;
                places.push(judge::place(&recovery.end()?));
            } else {
                let said = recovery.end()?;
                // One that came through has nothing more to do.
                if said.iter().any(|word| word.starts_with("failed")) {
                    bail!("a recovery failed: {said:?}");
                }
                break;
            }
        }
        Ok(places)
    }
}

fn count(outcome: &mut Outcome, place: String) {
    outcome.blows += 1;
    *outcome.phases.entry(place).or_default() += 1;
}

impl Heard {
    fn start(part: &Part, hold: Option<&Hold>, root: &Path) -> Result<Self> {
        let mut command = part.command(hold)?;
        // By its directory it is known for a process of this host.
        command.current_dir(root).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a part")?;
        let out = child.stdout.take().context("a part has an output")?;
        let (told, words) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
                if told.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, words, said: Vec::new() })
    }

    /// Waits for a word; whether it came before the end and in time.
    fn until(&mut self, wanted: &str, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.words.recv_timeout(left) {
                Ok(word) => {
                    self.said.push(word);
                    if self.said.last().is_some_and(|word| word == wanted) {
                        return Ok(true);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok(false);
                }
            }
        }
    }

    /// Everything it said; it has ended, or was killed.
    fn end(mut self) -> Result<Vec<String>> {
        self.child.wait().context("cannot wait for a part")?;
        while self.until("", PATIENCE)? {}
        Ok(self.said)
    }
}
