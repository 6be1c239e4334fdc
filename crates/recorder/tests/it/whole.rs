//! Flights that nothing happens to.

use groundcrew_recorder::format::frame::Damage;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::recover::{Recovered, recover};
use groundcrew_recorder::storage::{Disk, Source as _};
use groundcrew_recorder::writer::{Policy, Writer};

use crate::model::{Chance, Model};
use crate::world::{MINE, POLICY, World, read};

fn flown(records: u64, policy: Policy) -> (Model, World<Model>) {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), policy);
    world.live(&mut Chance::new(5), records);
    let (footer, durable) = world.writer.finish("test", world.now);
    assert!(durable && footer.clean_shutdown);
    (disk, world)
}

#[test]
fn rec_1_and_rec_7_a_flight_that_was_ended_is_whole_and_clean() {
    let (disk, world) = flown(300, Policy { flight_bytes: 1 << 30, ..POLICY });
    let read = read(&disk);
    assert_eq!(read.numbers, (0..world.given).collect());
    let report = read.report;
    assert!(report.clean() && !report.lost(), "{report:?}");
    assert!(report.segments > 3, "the policy makes several");
    let footer = &report.footers[0];
    assert_eq!(footer.records_written, report.records);
    // The footer cannot count what is written behind itself.
    let rest = report.bytes - footer.bytes_written;
    assert!((1..4000).contains(&rest), "{rest} bytes are not in the footer");
    assert_eq!(u64::from(footer.rollover_count) + 1, report.segments);
}

#[test]
fn rec_5_the_oldest_segments_go_and_the_recording_says_which_and_how_much() {
    let (disk, world) = flown(3000, POLICY);
    let read = read(&disk);
    let report = read.report;
    assert!(!report.damaged() && report.clean(), "{report:?}");
    assert!(report.lost() && report.dropped > 5);
    assert!(report.bytes <= POLICY.flight_bytes + POLICY.segment_bytes, "{}", report.bytes);
    let footer = &report.footers[0];
    assert_eq!(report.records + footer.records_evicted, footer.records_written);
    let first = *read.numbers.first().unwrap();
    assert_eq!(read.numbers, (first..world.given).collect());
}

#[test]
fn what_damage_took_of_a_source_is_damage_and_no_silent_loss() {
    let (disk, _) = flown(300, Policy { flight_bytes: 1 << 30, ..POLICY });
    let before = read(&disk).report;
    let name = Name::Sealed(2).to_string();
    let mut bytes = disk.content(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].fill(0);
    disk.put(&name, &bytes);
    let after = read(&disk).report;
    assert!((1..10).contains(&(before.records - after.records)), "{after:?}");
    assert_eq!(after.corrupt.len(), 1, "{after:?}");
    assert!(after.silent.is_empty() && after.gaps.is_empty() && after.missing.is_empty());
    assert_eq!(after.types.values().sum::<u64>(), after.records);
}

#[test]
fn rec_6_a_reader_finds_types_and_times_by_the_index_alone() {
    let (disk, _) = flown(300, Policy { flight_bytes: 1 << 30, ..POLICY });
    let flight = Flight::open(disk.clone()).unwrap();
    let indexes = flight.indexes().unwrap();
    let by_index: u64 = indexes.iter().map(|index| index.types[&MINE].records).sum();
    assert_eq!(by_index, 300);
    let middle = indexes[2].times.unwrap();
    let wanted = Wanted {
        from_ns: Some(middle.first),
        to_ns: Some(middle.last),
        types: [MINE].into(),
        ..Default::default()
    };
    // Segments that the index rules out are not read: they could be anything.
    for segment in flight.segments().iter().filter(|segment| segment.name.number() > 4) {
        let mut bytes = disk.content(&segment.entry.name).unwrap();
        bytes[100..200].fill(0);
        disk.put(&segment.entry.name, &bytes);
    }
    let mut seen = 0;
    let met = flight.read(&wanted, |record| {
        assert!((middle.first..=middle.last).contains(&record.head.time_ns));
        seen += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert!(met.holes.is_empty() && met.unreadable.is_empty());
    assert!(seen >= indexes[2].types[&MINE].records);
}

#[test]
fn rec_12_damage_before_the_last_sync_is_corruption_and_behind_it_a_torn_tail() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), POLICY);
    (0..5).for_each(|_| world.give());
    world.sync();
    (0..5).for_each(|_| world.give());
    // The record of the sync itself needs one more.
    world.pass(0);
    let name = Name::Open(0).to_string();
    let whole = disk.content(&name).unwrap();
    disk.put(&name, &whole[..whole.len() - 3]);
    let torn = read(&disk).report;
    assert_eq!((torn.torn.len(), torn.corrupt.len()), (1, 0), "{torn:?}");
    assert_eq!(torn.torn[0].1.why, Damage::CutShort);
    let mut flipped = whole.clone();
    flipped[300] ^= 1;
    disk.put(&name, &flipped);
    let corrupt = read(&disk).report;
    assert_eq!((corrupt.torn.len(), corrupt.corrupt.len()), (0, 1), "{corrupt:?}");
    assert!(corrupt.damaged());
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_told() {
    let (disk, _) = flown(300, Policy { flight_bytes: 1 << 30, ..POLICY });
    disk.delete(&Name::Sealed(2).to_string());
    let report = read(&disk).report;
    assert_eq!(report.missing, [2]);
    assert!(report.damaged() && report.gaps.is_empty(), "{report:?}");
}

#[test]
fn records_that_are_missing_without_a_hole_are_told() {
    let (disk, _) = flown(20, Policy { flight_bytes: 1 << 30, ..POLICY });
    let name = Name::Sealed(0).to_string();
    let bytes = disk.content(&name).unwrap();
    // Cuts out one whole frame, as a reader that skips silently would.
    let at = bytes.windows(8).position(|window| window == 5_u64.to_le_bytes()).unwrap();
    let magic =
        |from: usize| (from..bytes.len()).find(|at| bytes[*at..].starts_with(b"GFDR")).unwrap();
    let start = (0..at).rev().find(|at| bytes[*at..].starts_with(b"GFDR")).unwrap();
    let end = magic(start + 4);
    let mut cut = bytes[..start].to_vec();
    cut.extend_from_slice(&bytes[end..]);
    disk.put(&name, &cut);
    let report = read(&disk).report;
    assert_eq!(report.gaps.len(), 1, "{report:?}");
    assert_eq!(report.silent.values().sum::<u64>(), 1);
}

#[test]
fn recovering_a_flight_that_was_ended_does_nothing() {
    let (mut disk, world) = flown(100, POLICY);
    let before = disk.list().unwrap();
    assert_eq!(recover(&mut disk, world.now).unwrap(), Recovered::default());
    assert_eq!(disk.list().unwrap(), before);
}

#[test]
fn a_real_directory_is_written_and_read_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(Disk::new(dir.path()), Policy { flight_bytes: 1 << 30, ..POLICY });
    world.live(&mut Chance::new(5), 200);
    let (_, durable) = world.writer.finish("test", world.now);
    assert!(durable);
    let flight = Flight::open(Disk::new(dir.path())).unwrap();
    let report = groundcrew_recorder::reader::verify::verify(&flight, |_| {});
    assert!(report.clean() && !report.lost(), "{report:?}");
    assert_eq!(report.types[&MINE], 200);
}

#[test]
fn rec_16_a_recording_that_goes_on_keeps_its_numbers_and_its_bound() {
    let disk = Model::default();
    let (mut given, mut chance) = (0, Chance::new(8));
    for session in 0..6 {
        let mut world = if session == 0 {
            World::new(disk.clone(), POLICY)
        } else {
            World::resume(disk.clone(), POLICY, given)
        };
        world.live(&mut chance, 150);
        given = world.given;
        if session == 2 {
            // This one is not ended, and recovered by the next.
            world.sync();
            let now = world.now;
            drop(world);
            assert!(recover(&mut disk.clone(), now).unwrap().footer);
        } else {
            assert!(world.writer.finish("test", world.now).1);
        }
    }
    let read = read(&disk);
    let report = read.report;
    assert!(report.clean() && !report.damaged(), "{report:?}");
    assert!(report.dropped > 0 && report.bytes <= POLICY.flight_bytes + POLICY.segment_bytes);
    let first = *read.numbers.first().unwrap();
    assert_eq!(read.numbers, (first..given).collect());
}

#[test]
fn a_recording_that_was_not_ended_is_not_gone_on_with() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), POLICY);
    world.give();
    world.sync();
    let refused = Writer::resume(disk, [9; 16], POLICY).unwrap_err();
    let text = "seg_00000.bin.tmp was not ended; recover the recording first";
    assert_eq!(refused.to_string(), text);
    let none = Writer::resume(Model::default(), [9; 16], POLICY).unwrap_err();
    let text = groundcrew_recorder::chain(&none);
    assert_eq!(text, "cannot go on with the recording: there is no segment of a flight in it");
}
