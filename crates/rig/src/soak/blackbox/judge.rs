//! What a flight must hold after a power cut, from what its producers noted and its disk said.
//!
//! - Everything below the last number that a sync made durable is there, and what an earlier round
//!   found still is; numbers have no gap, and none comes twice.
//! - What is gone at the beginning is gone with segments that the recorder was removing, and the
//!   flight says so.
//! - Each record is the one that was made, at its time, and in the order of its source.
//! - What is missing at the end is no older than promised: 200 ms, not counting the time in which
//!   the recorder waited for the disk.
//! - The footer says that the flight was not ended; a second recovery changes nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::SourceAttached;
use groundcrew_recorder::flight_dir::FlightDir;
use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::format::frame::Record;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::{self, Event};
use groundcrew_recorder::reader::verify::{Report, verify};
use groundcrew_recorder::recorder::now;
use groundcrew_recorder::recover::{Recovered, recover};
use groundcrew_recorder::storage::{Disk, Source as _};
use groundcrew_recorder::writer::RECORDER;

use super::part::{KIND, Made, SOURCES, body, made};
use crate::Result;

/// How old a record may be that a power cut takes, beside what the disk took (the format's promise
/// with the default policy).
const PROMISED_NS: u64 = 200_000_000;

/// Where a part was when it was cut: the last operation that it spoke of.
pub(super) fn place(said: &[String]) -> String {
    let told = said.iter().rev().find_map(|word| match word.split(' ').collect::<Vec<_>>()[..] {
        ["begin", op, _] => Some(format!("in {op}")),
        ["end", op, _] => Some(format!("after {op}")),
        _ => None,
    });
    told.unwrap_or_else(|| "before anything".to_owned())
}

/// A recorder's end.
#[derive(Debug)]
pub(super) struct Cut {
    at_ns: u64,
    boot: [u8; 16],
    /// What it said of its flight's directory, segments, and syncs.
    has_flight: bool,
    segments: Vec<(u32, u64)>,
    durable: u64,
    removing: Option<u32>,
    failed: Vec<String>,
    /// When it waited for the disk.
    waits: Vec<(u64, u64)>,
    notes: BTreeMap<String, Vec<Made>>,
}

impl Cut {
    /// From what a recorder said before it was cut at `at_ns`.
    pub(super) fn new(at_ns: u64, said: &[String], notes: &Path) -> Result<Self> {
        let mut cut = Self {
            at_ns,
            boot: [0; 16],
            has_flight: false,
            segments: Vec::new(),
            durable: 0,
            removing: None,
            failed: Vec::new(),
            waits: Vec::new(),
            notes: SOURCES.map(|name| (name.to_owned(), made(notes, name))).into(),
        };
        let mut begun = None;
        for word in said {
            match word.split(' ').collect::<Vec<_>>()[..] {
                ["flight"] => cut.has_flight = true,
                ["segment", number, first] => cut.segments.push((number.parse()?, first.parse()?)),
                ["durable", next] => cut.durable = cut.durable.max(next.parse()?),
                ["removing", name] => {
                    let number = Name::parse(name).map(Name::number);
                    cut.removing = cut.removing.max(number);
                }
                ["begin", _, time] => begun = Some(time.parse()?),
                ["end", _, time] => {
                    let since = begun.take().context("an end without a beginning")?;
                    cut.waits.push((since, time.parse()?));
                }
                ["held" | "ready"] => {}
                ["boot", id] => cut.boot = *id.parse::<FlightId>()?.as_bytes(),
                _ => cut.failed.push(word.clone()),
            }
        }
        cut.waits.extend(begun.map(|since| (since, at_ns)));
        Ok(cut)
    }

    /// How long the recorder waited for the disk since a moment, nanoseconds.
    fn waited_since(&self, from_ns: u64) -> u64 {
        let wait = |&(begin, end): &(u64, u64)| end.saturating_sub(begin.max(from_ns));
        self.waits.iter().map(wait).sum()
    }
}

/// What came of a source of a boot.
type Came = BTreeMap<([u8; 16], String), Vec<(u64, u64)>>;

/// What a reader gets of a flight.
#[derive(Debug, Default)]
struct Read {
    first_seq: Option<u64>,
    next_seq: u64,
    /// Segments with their first numbers.
    segments: BTreeMap<u32, u64>,
    came: Came,
    problems: Vec<String>,
}

/// A flight through all its boots.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) path: PathBuf,
    id: FlightId,
    /// What came of it last.
    pub(super) told: String,
    has_dir: bool,
    /// All records below are durable.
    durable: u64,
    /// The last segment that was being removed.
    removing: Option<u32>,
    /// The first number of each segment.
    firsts: BTreeMap<u32, u64>,
    /// What producers noted, by boot.
    notes: BTreeMap<[u8; 16], BTreeMap<String, Vec<Made>>>,
}

impl Flight {
    pub(super) fn new(path: PathBuf, id: FlightId) -> Self {
        Self {
            path,
            id,
            told: String::new(),
            has_dir: false,
            durable: 0,
            removing: None,
            firsts: BTreeMap::new(),
            notes: BTreeMap::new(),
        }
    }

    /// Recovers the flight and says what is wrong with it.
    pub(super) fn judge(
        &mut self,
        cut: Cut,
        figures: &mut BTreeMap<&'static str, u64>,
    ) -> Result<Vec<String>> {
        let mut problems: Vec<String> =
            cut.failed.iter().map(|word| format!("before the cut: {word}")).collect();
        self.has_dir |= cut.has_flight;
        self.durable = self.durable.max(cut.durable);
        self.removing = self.removing.max(cut.removing);
        self.firsts.extend(cut.segments.iter().copied());
        self.notes.insert(cut.boot, cut.notes.clone());
        if !self.path.join("segments").is_dir() {
            if self.has_dir {
                problems.push("the flight's directory is gone".to_owned());
            }
            // What a crash left of a directory that was being made is in nobody's way.
            std::fs::remove_dir_all(&self.path).ok();
            self.told = "there was no flight yet".to_owned();
            return Ok(problems);
        }
        let dir = FlightDir::open(&self.path)?;
        let flown = dir.manifest()?.map(|manifest| manifest.flight);
        if self.has_dir && flown != Some(self.id.to_string()) {
            problems.push(format!("the manifest is that of {flown:?}"));
        }
        let recovered = match recover(&mut dir.segments(), now()) {
            Ok(recovered) => recovered,
            Err(error) => {
                problems.push(groundcrew_recorder::chain(&error));
                return Ok(problems);
            }
        };
        problems.extend(unchanged_by_another(&dir)?);
        let Ok(flight) = flight::Flight::open(dir.segments()) else {
            if self.durable > 0 {
                problems.push(format!("no segment is there, and {} were durable", self.durable));
            }
            self.told = "there was no segment yet".to_owned();
            return Ok(problems);
        };
        let read = self.read(&flight);
        problems.extend(read.problems.iter().cloned());
        problems.extend(of_report(&verify(&flight, |_| {}), &read, self.durable));
        problems.extend(self.of_numbers(&read));
        let oldest = self.of_sources(&cut, &read, figures, &mut problems);
        let promised = self.durable;
        self.durable = self.durable.max(read.next_seq);
        // Recovery makes segments, too.
        self.firsts.extend(&read.segments);
        let mut add = |what, count: u64| *figures.entry(what).or_default() += count;
        add(
            "records compared",
            read.came.values().map(|came| came.len()).sum::<usize>().try_into()?,
        );
        add("bytes set aside", recovered.bytes_torn);
        add("segments removed to make room", cut.removing.map_or(0, u64::from));
        self.told = format!(
            "{promised} durable, {} there, oldest loss {} ms of {} ms",
            read.next_seq,
            oldest.counted_ns / 1_000_000,
            oldest.age_ns / 1_000_000,
        );
        Ok(problems)
    }

    fn read(&self, flight: &flight::Flight<Disk>) -> Read {
        let mut read = Read::default();
        let mut boot = [0; 16];
        let mut names: BTreeMap<u16, String> = BTreeMap::new();
        let met = flight.walk(|event| {
            match event {
                Event::Segment(_, header) => {
                    read.segments.insert(header.number, header.first_seq);
                    if boot != header.boot {
                        boot = header.boot;
                        names.clear();
                    }
                }
                Event::Record(_, record) => read.take(record, boot, &mut names),
                Event::Hole(hole) => read.problems.push(format!("damage: {hole:?}")),
                Event::Sealed => {}
            }
            ControlFlow::Continue(())
        });
        if met.twice > 0 {
            read.problems.push(format!("{} records are there twice", met.twice));
        }
        read
    }

    /// The writer's numbers.
    fn of_numbers(&self, read: &Read) -> Vec<String> {
        let mut problems = Vec::new();
        if read.next_seq < self.durable {
            problems.push(format!("{} of {} durable records", read.next_seq, self.durable));
        }
        let kept = self.removing.map_or(0, |number| number + 1);
        let first = self.firsts.get(&kept).copied().unwrap_or(0);
        if read.first_seq.is_some_and(|found| found > first) {
            problems.push(format!("it begins with {:?}, not {first}", read.first_seq));
        }
        problems
    }

    /// What came of each source; the oldest loss.
    fn of_sources(
        &self,
        cut: &Cut,
        read: &Read,
        figures: &mut BTreeMap<&'static str, u64>,
        problems: &mut Vec<String>,
    ) -> Loss {
        let mut oldest = Loss::default();
        for ((boot, name), came) in &read.came {
            let noted = self.notes.get(boot).and_then(|notes| notes.get(name));
            let noted = noted.map_or(&[][..], Vec::as_slice);
            if let Err(why) = compare(noted, came) {
                problems.push(format!("{name}: {why}"));
            }
        }
        let (mut lost, mut refused) = (0, 0);
        for (name, noted) in &cut.notes {
            let came = read.came.get(&(cut.boot, name.clone()));
            let last = came.and_then(|came| came.last()).map(|(number, _)| *number);
            refused += noted.iter().filter(|made| !made.taken).count();
            let missing = noted.iter().filter(|made| made.taken && Some(made.number) > last);
            for made in missing {
                lost += 1;
                let age_ns = cut.at_ns.saturating_sub(made.time_ns);
                let counted_ns = age_ns.saturating_sub(cut.waited_since(made.time_ns));
                let loss = Loss { counted_ns, age_ns };
                oldest = Loss {
                    counted_ns: oldest.counted_ns.max(loss.counted_ns),
                    age_ns: oldest.age_ns.max(loss.age_ns),
                };
            }
        }
        if oldest.counted_ns > PROMISED_NS {
            problems.push(format!("a record is lost that was made {oldest:?} before the cut"));
        }
        let mut add = |what, count| *figures.entry(what).or_default() += count;
        add("records not yet durable and lost", lost);
        add("records that a ring refused", u64::try_from(refused).unwrap_or(u64::MAX));
        let mut most = |what, ns: u64| {
            let known = figures.entry(what).or_default();
            *known = (*known).max(ns / 1_000_000);
        };
        most("oldest loss, ms", oldest.age_ns);
        most("oldest loss without waits for the disk, ms", oldest.counted_ns);
        oldest
    }
}

/// How old a record was that is lost.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    /// Without the time in which the recorder waited for the disk.
    counted_ns: u64,
    age_ns: u64,
}

impl Read {
    fn take(&mut self, record: &Record<'_>, boot: [u8; 16], names: &mut BTreeMap<u16, String>) {
        let head = record.head;
        if self.first_seq.is_some() && head.seq != self.next_seq {
            self.problems.push(format!("{} comes behind {}", head.seq, self.next_seq));
        }
        self.first_seq.get_or_insert(head.seq);
        self.next_seq = head.seq + 1;
        if head.kind == SourceAttached::SCHEMA.kind && head.source == RECORDER {
            let attached = SourceAttached::decode(record.body);
            names.insert(attached.attached, attached.name);
        } else if head.source != RECORDER {
            let name = names.get(&head.source).cloned().unwrap_or_default();
            if head.kind != KIND || record.body != body(head.source_seq) {
                self.problems.push(format!("{name} {} is not what was made", head.source_seq));
            }
            self.came.entry((boot, name)).or_default().push((head.source_seq, head.time_ns));
        }
    }
}

/// What a verifier says.
fn of_report(report: &Report, read: &Read, durable: u64) -> Vec<String> {
    let mut problems = Vec::new();
    if report.damaged() || !report.torn.is_empty() {
        problems.push(format!("it is damaged: {report:#?}"));
    }
    let footer = report.footers.last();
    let unclean = footer.is_some_and(|footer| !footer.clean_shutdown) && report.ended;
    if !unclean {
        problems.push(format!("of {durable} durable: the footer is {footer:?}"));
    }
    let lowest = read.segments.keys().next().copied().unwrap_or(0);
    if report.dropped != u64::from(lowest) {
        problems.push(format!("{} dropped, and {lowest} is the first", report.dropped));
    }
    problems
}

/// What came must be what was noted, from its first to its last.
fn compare(noted: &[Made], came: &[(u64, u64)]) -> Result<()> {
    let (Some((first, _)), Some((last, _))) = (came.first(), came.last()) else { return Ok(()) };
    let mut there = came.iter().peekable();
    for made in noted.iter().filter(|made| (*first..=*last).contains(&made.number) && made.taken) {
        match there.next() {
            Some(record) if *record == (made.number, made.time_ns) => {}
            other => bail!("{made:?} came as {other:?}"),
        }
    }
    // A producer that was killed may have published one that it had not noted yet.
    let next = noted.last().map_or(0, |made| made.number + 1);
    if let Some((number, _)) = there.next()
        && (*number != next || there.next().is_some())
    {
        bail!("{number} came, which nobody made");
    }
    Ok(())
}

/// A second recovery finds nothing to do and leaves every byte.
fn unchanged_by_another(dir: &FlightDir) -> Result<Option<String>> {
    let before = content(dir)?;
    let again = recover(&mut dir.segments(), now())?;
    let same = again == Recovered::default() && content(dir)? == before;
    Ok((!same).then(|| format!("a second recovery does something: {again:?}")))
}

/// The files with their checksums.
fn content(dir: &FlightDir) -> Result<BTreeMap<String, u32>> {
    let disk = dir.segments();
    let file = |entry: groundcrew_recorder::storage::Entry| {
        let bytes = std::fs::read(disk.path().join(&entry.name))?;
        Ok((entry.name, crc32fast::hash(&bytes)))
    };
    disk.list()?.into_iter().map(file).collect()
}
