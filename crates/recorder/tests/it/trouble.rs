//! Disks that fail, fill up and come back.

use std::io::ErrorKind;

use groundcrew_recorder::body::types::{Ending, SourceAttached, SourceEnded};
use groundcrew_recorder::format::frame::BODY_MAX;
use groundcrew_recorder::names::Name;
use groundcrew_recorder::recover::{Recovered, recover};
use groundcrew_recorder::storage::Source as _;
use groundcrew_recorder::writer::{Entry, Moment, Policy};

use crate::model::{Chance, Fault, Model};
use crate::world::{MINE, POLICY, Read, SOURCE, World, read};

const ROOMY: Policy = Policy { flight_bytes: 1 << 30, ..POLICY };

#[test]
fn rec_13_one_error_at_any_operation_loses_nothing() {
    let faults = [
        Fault::Once(ErrorKind::Other),
        Fault::Once(ErrorKind::StorageFull),
        Fault::Once(ErrorKind::Interrupted),
        Fault::Short,
    ];
    for fault in faults {
        let mut at = 0;
        loop {
            let disk = Model::default();
            disk.set_fault(Some((at, fault)));
            let mut world = World::new(disk.clone(), ROOMY);
            world.live(&mut Chance::new(3), 150);
            world.pass(1000);
            let (_, durable) = world.writer.finish("test", world.now);
            let over = disk.operations() <= at;
            let read = read(&disk);
            if read.report.dropped == 0 {
                assert_eq!(read.numbers, (0..150).collect(), "{fault:?} at {at}");
            }
            assert!(durable, "{fault:?} at {at}");
            assert!(read.report.missing.is_empty(), "{fault:?} at {at}: {:?}", read.report);
            assert!(read.report.gaps.is_empty(), "{fault:?} at {at}: {:?}", read.report);
            if over {
                break;
            }
            at += 1;
        }
        assert!(at > 50, "{fault:?} was tried at {at} operations");
    }
}

#[test]
fn rec_8_a_disk_that_fails_for_a_while_loses_only_what_it_says() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    world.live(&mut Chance::new(3), 50);
    disk.set_fault(Some((0, Fault::From(ErrorKind::ReadOnlyFilesystem))));
    world.live(&mut Chance::new(4), 500);
    disk.set_fault(None);
    world.pass(600);
    world.live(&mut Chance::new(5), 50);
    assert!(world.writer.finish("test", world.now).1);
    let read = read(&disk);
    // All of it fits into memory.
    assert_eq!(read.numbers, (0..600).collect());
    assert!(read.report.clean(), "{:?}", read.report);
}

#[test]
fn rec_4_what_does_not_fit_into_memory_is_counted_to_the_last_record() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    disk.set_fault(Some((0, Fault::From(ErrorKind::ReadOnlyFilesystem))));
    world.live(&mut Chance::new(3), 10);
    let body = vec![1; BODY_MAX];
    let many = SourceAttached { attached: 8, name: "bulk".to_owned(), pid: 1, critical: false };
    world.writer.attach(many, 0, world.now);
    for source_seq in 0..30 {
        let time_ns = world.now.time_ns;
        let entry = Entry { kind: MINE + 1, source: 8, time_ns, source_seq, body: &body };
        world.writer.append(entry, world.now);
    }
    disk.set_fault(None);
    world.pass(600);
    assert!(world.writer.finish("test", world.now).1);
    let report = read(&disk).report;
    let kept = report.types[&(MINE + 1)];
    assert!((10..30).contains(&kept), "{kept} were kept");
    assert_eq!(report.overruns, 30 - kept);
    assert!(report.silent.is_empty() && report.gaps.is_empty(), "{report:?}");
    assert_eq!(report.footers[0].records_dropped_overrun, 30 - kept);
}

#[test]
fn rec_8_a_full_disk_costs_the_oldest_and_the_recording_goes_on() {
    let disk = Model::default();
    disk.set_capacity(Some(40_000));
    let mut world = World::new(disk.clone(), ROOMY);
    for _ in 0..1000 {
        world.give();
        world.pass(3);
    }
    world.pass(1000);
    let (footer, durable) = world.writer.finish("test", world.now);
    let read = read(&disk);
    assert!(durable, "{:?}", read.report);
    // Segments that failed were evicted, too; what stands in a later one again was not.
    assert!(footer.records_evicted > 0);
    assert_eq!(read.report.records + footer.records_evicted, footer.records_written);
    assert!(!read.report.damaged(), "{:?}", read.report);
    assert!(read.report.dropped > 0);
    assert_eq!(read.numbers.last(), Some(&999), "the newest are kept");
}

#[test]
fn rec_12_a_sync_that_stands_in_another_segment_again_claims_nothing_there() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    for _ in 0..20 {
        world.give();
    }
    world.sync();
    disk.set_fault(Some((disk.operations(), Fault::Once(ErrorKind::Other))));
    world.pass(20);
    for _ in 0..5 {
        world.give();
    }
    world.pass(1);
    // Of the second segment nothing was synced, and its last bytes are torn.
    let name = disk.list().unwrap().into_iter().map(|entry| entry.name).max().unwrap();
    let whole = disk.content(&name).unwrap();
    disk.put(&name, &whole[..whole.len() - 7]);
    let report = read(&disk).report;
    assert_eq!((report.corrupt.len(), report.torn.len()), (0, 1), "{report:?}");
}

/// A flight of 7 records whose segment of this number, 0 or 1, failed before anything in it was
/// durable, and whose first bytes never reached the disk, as where a file system gives up.
fn failing_at_the_start_of(number: u32) -> Model {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    let fail = || disk.set_fault(Some((disk.operations(), Fault::Once(ErrorKind::Other))));
    for _ in 0..5 {
        world.give();
    }
    if number > 0 {
        // What the last sync took in is written again, too.
        world.sync();
        world.give();
        world.sync();
        fail();
        world.give();
        world.pass(1);
    }
    while world.given < 7 {
        world.give();
    }
    fail();
    world.pass(1);
    for name in [Name::Open(number), Name::Sealed(number)].map(|name| name.to_string()) {
        if disk.content(&name).is_some() {
            disk.put(&name, b"");
        }
    }
    world.pass(600);
    assert!(world.writer.finish("test", world.now).1);
    disk
}

#[test]
fn a_segment_that_was_set_aside_altogether_is_missing_only_where_its_numbers_are() {
    let set_aside = |disk: &Model, number| {
        disk.put(&Name::Torn(number).to_string(), b"");
        for name in [Name::Open(number), Name::Sealed(number)] {
            disk.delete(&name.to_string());
        }
    };
    for number in [0, 1] {
        let mut disk = failing_at_the_start_of(number);
        set_aside(&disk, number);
        assert_eq!(recover(&mut disk, Moment::default()).unwrap(), Recovered::default());
        let Read { report, numbers } = read(&disk);
        assert!(!report.damaged() && report.ended, "{number}: {report:?}");
        assert_eq!(numbers, (0..7).collect());
    }
    // Where it had records they are missing.
    let disk = failing_at_the_start_of(1);
    set_aside(&disk, 0);
    set_aside(&disk, 1);
    let report = read(&disk).report;
    assert_eq!((report.missing, report.gaps.len()), (vec![], 1));
}

#[test]
fn rec_13_a_sync_that_lied_just_before_the_disk_failed_loses_nothing() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    for _ in 0..5 {
        world.give();
    }
    world.sync();
    let before = disk.content("seg_00000.bin.tmp").unwrap();
    for _ in 0..5 {
        world.give();
    }
    world.sync();
    // The file system gave up: it is as it was before the last sync, which had said yes.
    disk.set_fault(Some((disk.operations(), Fault::Once(ErrorKind::Other))));
    world.give();
    world.pass(1);
    let names = ["seg_00000.bin.tmp", "seg_00000.bin"];
    let name = names.into_iter().find(|name| disk.content(name).is_some()).unwrap();
    disk.put(name, &before);
    world.pass(600);
    assert!(world.writer.finish("test", world.now).1);
    let Read { report, numbers } = read(&disk);
    assert_eq!(numbers, (0..11).collect());
    assert!(!report.damaged() && report.ended, "{report:?}");
}

#[test]
fn rec_7_a_flight_that_ends_just_after_its_disk_came_back_ends_with_its_footer() {
    for failing in 0..4 {
        let disk = Model::default();
        let mut world = World::new(disk.clone(), ROOMY);
        world.live(&mut Chance::new(3), 50);
        disk.set_fault(Some((disk.operations(), Fault::From(ErrorKind::ReadOnlyFilesystem))));
        world.live(&mut Chance::new(4), 20);
        // It comes back before the stop, or with the first operations of it.
        disk.set_fault(None);
        if failing > 0 {
            let fault = Fault::Once(ErrorKind::ReadOnlyFilesystem);
            disk.set_fault(Some((disk.operations() + failing - 1, fault)));
        }
        let (footer, durable) = world.writer.finish("test", world.now);
        let read = read(&disk);
        assert!(durable && read.report.ended, "{failing}: {:?}", read.report);
        assert_eq!(read.report.footers.last(), Some(&footer));
        assert_eq!(read.report.records, footer.records_written, "{failing}");
        assert_eq!(read.numbers, (0..70).collect());
    }
}

#[test]
fn a_body_that_is_too_long_is_a_loss_that_is_told() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    world.give();
    let body = vec![0; BODY_MAX + 1];
    let time_ns = world.now.time_ns;
    let source_seq = world.given;
    let entry = Entry { kind: MINE, source: SOURCE, time_ns, source_seq, body: &body };
    world.writer.append(entry, world.now);
    world.given += 1;
    world.give();
    world.writer.finish("test", world.now);
    let read = read(&disk);
    assert_eq!(read.numbers, [0, 2].into());
    assert_eq!(read.report.overruns, 1);
}

#[test]
fn a_producer_with_a_wrong_clock_neither_hurries_nor_holds_up_a_sync() {
    for time_ns in [0, u64::MAX / 2] {
        let mut world = World::new(Model::default(), ROOMY);
        world.pass(20);
        world.pass(20);
        let entry = Entry { kind: MINE, source: 9, time_ns, source_seq: 0, body: &[1] };
        world.writer.append(entry, world.now);
        let durable = world.writer.durable_seq();
        world.pass(9);
        assert_eq!(world.writer.durable_seq(), durable, "{time_ns}");
        world.pass(1);
        assert!(world.writer.durable_seq() > durable, "{time_ns}");
    }
}

#[test]
fn rec_4_what_a_source_lost_is_told_without_another_record_of_it() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    world.live(&mut Chance::new(3), 10);
    world.writer.missed(SOURCE, 15, world.now);
    world.writer.missed(SOURCE, 12, world.now);
    assert_eq!(world.writer.totals().records_dropped_overrun, 5);
    let ended = SourceEnded { ended: SOURCE, how: Ending::Detached, made: 18 };
    world.writer.end(&ended, world.now);
    let (footer, _) = world.writer.finish("test", world.now);
    assert_eq!(footer.records_dropped_overrun, 8);
    assert_eq!(read(&disk).report.overruns, 8);
}
