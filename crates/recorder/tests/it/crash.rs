//! Power cuts at every operation, on a disk that keeps only what it must.

use std::collections::BTreeSet;

use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::Flight;
use groundcrew_recorder::reader::segment::scan;
use groundcrew_recorder::recover::recover;
use groundcrew_recorder::storage::{Entry, Source as _, Storage as _};
use groundcrew_recorder::writer::Policy;

use crate::model::{Chance, Fault, Model, Site};
use crate::world::{POLICY, Read, World, read};

/// Flights that are cut at each operation in turn.
const SEEDS: u64 = 4;

const ROOMY: Policy = Policy { flight_bytes: 1 << 30, ..POLICY };

/// How a flight went until the power was cut.
struct Cut {
    disk: Model,
    given: u64,
    promised: u64,
    /// The writer said that the flight was ended durably.
    ended: bool,
}

/// A flight whose power is cut at an operation, or at its end.
fn fly(seed: u64, policy: Policy, stop_at: Option<u64>, deaf: Option<Site>) -> Cut {
    let disk = Model::default();
    disk.set_deaf(deaf);
    disk.set_fault(stop_at.map(|at| (at, Fault::Stop)));
    let mut world = World::new(disk.clone(), policy);
    let mut chance = Chance::new(seed);
    while world.given < 150 && !disk.stopped() {
        world.live(&mut chance, 1);
    }
    let mut ended = false;
    if !disk.stopped() {
        let given = world.given;
        ended = world.writer.finish("test", world.now).1;
        if ended {
            world.promised = given;
        }
    }
    Cut { disk, given: world.given, promised: world.promised, ended }
}

/// What recovery has to set aside, and under which name.
fn torn_bytes(disk: &Model) -> Vec<(String, Vec<u8>)> {
    let torn = |entry: Entry| {
        let Some(Name::Open(number)) = Name::parse(&entry.name) else { return None };
        let bytes = disk.content(&entry.name)?;
        let end = scan(disk, &entry, |_| {}).map_or(0, |outline| outline.end);
        let sealed = scan(disk, &entry, |_| {}).is_ok_and(|outline| outline.sealed);
        let rest = bytes.get(usize::try_from(end).ok()?..)?.to_vec();
        (!rest.is_empty() && !sealed).then(|| (Name::Torn(number).to_string(), rest))
    };
    disk.list().into_iter().flatten().filter_map(torn).collect()
}

/// What is wrong with a flight that was recovered.
fn faults(cut: &Cut, disk: &mut Model, seed: u64) -> Option<String> {
    let now = groundcrew_recorder::writer::Moment { time_ns: u64::MAX / 2, utc_ns: 0 };
    if Flight::open(disk.clone()).is_err() {
        return (cut.promised > 0).then(|| "there is no flight".to_owned());
    }
    let open = |entry: &Entry| entry.name.ends_with(".tmp");
    if cut.ended && disk.list().is_ok_and(|list| list.iter().any(open)) {
        return Some("it was ended, and a segment has no name of its own".to_owned());
    }
    let torn = torn_bytes(disk);
    // The first recovery is cut as well, and the second ends it.
    let mut chance = Chance::new(seed + 77);
    disk.set_fault(Some((chance.below(12), Fault::Stop)));
    recover(disk, now).ok();
    let mut disk = disk.crash(&mut chance);
    if let Err(error) = recover(&mut disk, now) {
        return Some(format!("cannot be recovered: {}", groundcrew_recorder::chain(&error)));
    }
    let mut disk = disk.crash(&mut chance);
    if Flight::open(disk.clone()).is_err() {
        return (cut.promised > 0).then(|| "there is no flight any more".to_owned());
    }
    let again = match recover(&mut disk, now) {
        Ok(again) => again,
        Err(error) => return Some(format!("was not recovered: {error:?}")),
    };
    let Read { numbers, report, .. } = read(&disk);
    if again != groundcrew_recorder::recover::Recovered::default() {
        return Some(format!("recovered twice: {again:?}"));
    }
    let gone = torn.iter().find(|(name, bytes)| disk.content(name).as_ref() != Some(bytes));
    if let Some((name, _)) = gone {
        return Some(format!("the torn bytes of {name} are gone"));
    }
    let kept: BTreeSet<u64> = (0..cut.promised).collect();
    let lost: Vec<&u64> = kept.difference(&numbers).collect();
    if !lost.is_empty() {
        return Some(format!("{} of {} promised are gone: {lost:?}", lost.len(), cut.promised));
    }
    if numbers.last().is_some_and(|last| *last >= cut.given) {
        return Some("a record that nobody gave".to_owned());
    }
    if !report.corrupt.iter().all(|(_, hole)| hole.len > 0) || !report.missing.is_empty() {
        return Some(format!("{report:?}"));
    }
    let clean = report.clean();
    if cut.ended && !clean {
        return Some("it was ended, and does not say so".to_owned());
    }
    (report.segments > 0 && !report.ended).then(|| format!("no footer: {report:?}"))
}

/// The first thing that goes wrong in any flight cut anywhere.
fn first_fault(policy: Policy, deaf: Option<Site>) -> Option<String> {
    for seed in 0..SEEDS {
        let whole = fly(seed, policy, None, deaf);
        for stop_at in (0..=whole.disk.operations()).map(Some).chain([None]) {
            let cut = fly(seed, policy, stop_at, deaf);
            let luck = seed * 10_000 + stop_at.unwrap_or(9_999);
            let mut disk = cut.disk.crash(&mut Chance::new(luck));
            if let Some(fault) = faults(&cut, &mut disk, luck) {
                return Some(format!("seed {seed}, cut at {stop_at:?}: {fault}"));
            }
        }
    }
    None
}

#[test]
fn rec_6_what_was_promised_survives_a_power_cut_at_every_operation() {
    assert_eq!(first_fault(ROOMY, None), None);
}

#[test]
fn every_sync_is_needed() {
    let whole = fly(0, ROOMY, None, None);
    let mut sites = whole.disk.sites();
    // Those of recovery, on a flight that was cut late.
    let cut = fly(0, ROOMY, Some(whole.disk.operations() - 3), None);
    for luck in 0..20 {
        let mut disk = cut.disk.crash(&mut Chance::new(luck));
        recover(&mut disk, groundcrew_recorder::writer::Moment::default()).unwrap();
        sites.extend(disk.sites());
    }
    assert!(sites.len() >= 6, "{sites:?}");
    for site in sites {
        assert!(first_fault(ROOMY, Some(site)).is_some(), "nothing needs the sync at {site:?}");
    }
}

#[test]
fn an_eviction_is_known_before_the_segment_is_gone() {
    for seed in 0..SEEDS {
        let small = Policy { flight_bytes: 30_000, ..POLICY };
        let whole = fly(seed, small, None, None);
        for stop_at in 0..whole.disk.operations() {
            let cut = fly(seed, small, Some(stop_at), None);
            let mut disk = cut.disk.crash(&mut Chance::new(stop_at));
            if Flight::open(disk.clone()).is_err() {
                continue;
            }
            recover(&mut disk, groundcrew_recorder::writer::Moment::default()).unwrap();
            let report = read(&disk).report;
            assert!(report.missing.is_empty(), "seed {seed}, cut at {stop_at}: {report:?}");
        }
    }
}

#[test]
fn a_recording_that_goes_on_behind_a_crash_shows_no_loss_that_was_none() {
    let whole = fly(2, ROOMY, None, None);
    let mut went_on = 0;
    for stop_at in 0..whole.disk.operations() {
        let cut = fly(2, ROOMY, Some(stop_at), None);
        // Everything that was written arrived, as when only the program ends: a segment may have
        // its header and nothing else.
        let mut disk = Model::default();
        for Entry { name, .. } in cut.disk.list().unwrap() {
            disk.put(&name, &cut.disk.content(&name).unwrap());
        }
        recover(&mut disk, groundcrew_recorder::writer::Moment::default()).unwrap();
        if Flight::open(disk.clone()).is_ok_and(|flight| !flight.segments().is_empty()) {
            let found = read(&disk).numbers.last().map_or(0, |last| last + 1);
            let mut world = World::resume(disk.clone(), ROOMY, found);
            world.live(&mut Chance::new(3), 20);
            assert!(world.writer.finish("test", world.now).1);
            let report = read(&disk).report;
            assert!(report.clean() && !report.damaged(), "cut at {stop_at}: {report:?}");
            went_on += 1;
        }
    }
    assert!(went_on > 20, "{went_on}");
}

#[test]
fn torn_bytes_are_set_aside_and_none_is_thrown_away() {
    let mut set_aside = 0;
    for stop_at in 5..60 {
        let cut = fly(1, ROOMY, Some(stop_at), None);
        let mut disk = cut.disk.crash(&mut Chance::new(stop_at));
        if Flight::open(disk.clone()).is_err() {
            continue;
        }
        let before = Flight::open(disk.clone()).unwrap().bytes();
        let recovered = recover(&mut disk, groundcrew_recorder::writer::Moment::default()).unwrap();
        set_aside += recovered.bytes_torn;
        let report = read(&disk).report;
        assert_eq!(report.set_aside_bytes, recovered.bytes_torn);
        if let Some(footer) = report.footers.last().filter(|footer| !footer.clean_shutdown) {
            assert_eq!(footer.bytes_torn, recovered.bytes_torn);
        }
        assert!(report.bytes + report.set_aside_bytes >= before);
    }
    assert!(set_aside > 0, "no tail was torn");
    let mut unused = Model::default();
    unused.sync_dir().unwrap();
}
