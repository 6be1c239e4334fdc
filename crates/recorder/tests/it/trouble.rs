//! Disks that fail, fill up and come back.

use std::io::ErrorKind;

use groundcrew_recorder::body::types::{Ending, SourceAttached, SourceEnded};
use groundcrew_recorder::format::frame::BODY_MAX;
use groundcrew_recorder::writer::{Entry, Policy};

use crate::model::{Chance, Fault, Model};
use crate::world::{MINE, POLICY, SOURCE, World, read};

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
    let (_, durable) = world.writer.finish("test", world.now);
    let read = read(&disk);
    assert!(durable, "{:?}", read.report);
    assert!(read.report.missing.is_empty() && read.report.gaps.is_empty(), "{:?}", read.report);
    assert!(read.report.dropped > 0);
    assert_eq!(read.numbers.last(), Some(&999), "the newest are kept");
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
