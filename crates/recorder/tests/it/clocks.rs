//! A host whose clock jumps: what counts is the clock that does not.

use std::ops::ControlFlow;

use groundcrew_recorder::body::Body as _;
use groundcrew_recorder::body::types::TimeSync;
use groundcrew_recorder::manifest::Stamp;
use groundcrew_recorder::reader::flight::{Event, Flight, Wanted};
use groundcrew_recorder::writer::Policy;

use crate::model::Model;
use crate::world::{MINE, POLICY, World, read};

const YEAR_NS: i64 = 365 * 86_400 * 1_000_000_000;
const ROOMY: Policy = Policy { flight_bytes: 1 << 30, ..POLICY };
/// Years that the clock jumps, one after the other: to 1970 and before, and far ahead.
const JUMPS: [i64; 6] = [-57, 3, -20, 150, -150, 70];

#[test]
fn rec_8_a_clock_that_jumps_by_years_changes_neither_order_nor_times() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    let mut told = Vec::new();
    for years in JUMPS {
        for _ in 0..60 {
            world.give();
            world.pass(50);
        }
        world.now.utc_ns += years * YEAR_NS;
        world.pass(1);
        told.push(world.now);
    }
    let end = world.now;
    assert!(world.writer.finish("test", end).1);
    let read = read(&disk);
    assert_eq!(read.numbers, (0..360).collect());
    assert!(read.report.clean() && !read.report.damaged(), "{:?}", read.report);
    let (mut last_ns, mut jumps, mut days) = (0, Vec::new(), Vec::new());
    let mut head = None;
    Flight::open(disk.clone()).unwrap().walk(|event| {
        match event {
            Event::Segment(_, header) => {
                days.push(header.utc_ns);
                head = Some(*header);
            }
            Event::Record(_, record) => {
                assert!(record.head.time_ns >= last_ns, "times go on");
                last_ns = record.head.time_ns;
                if record.head.kind == TimeSync::SCHEMA.kind {
                    let sync = TimeSync::decode(record.body);
                    jumps.push((record.head.time_ns, sync.utc_ns));
                } else if record.head.kind == MINE {
                    // A time of day counts on from the beginning of its segment.
                    let head = head.unwrap();
                    let since = i64::try_from(record.head.time_ns - head.time_ns).unwrap();
                    let utc_ns = Stamp::of(&head, record.head.time_ns).utc_ns;
                    assert_eq!(utc_ns, head.utc_ns + since);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let told: Vec<_> = told.iter().map(|now| (now.time_ns, now.utc_ns)).collect();
    assert_eq!(jumps, told, "each jump is told, when it came and where to");
    assert!(last_ns <= end.time_ns);
    assert!(days.windows(2).any(|two| two[1] < two[0]), "no segment began after a jump back");
    // A span by the clock that counts is exact across jumps.
    let wanted = Wanted {
        from_ns: Some(told[1].0 - 100_000_000),
        to_ns: Some(told[1].0 + 100_000_000),
        types: [MINE].into(),
        ..Wanted::default()
    };
    let mut numbers = Vec::new();
    Flight::open(disk).unwrap().read(&wanted, |record| {
        numbers.push(record.head.source_seq);
        ControlFlow::Continue(())
    });
    assert_eq!(numbers, [119, 120, 121, 122]);
}

#[test]
fn a_clock_that_goes_wrong_for_long_is_told_once_a_second_and_a_right_one_never() {
    let disk = Model::default();
    let mut world = World::new(disk.clone(), ROOMY);
    for turn in 0..100 {
        // There and back, ten times a second.
        world.now.utc_ns += if turn % 2 == 0 { YEAR_NS } else { -YEAR_NS };
        world.pass(100);
    }
    for _ in 0..100 {
        world.pass(100);
    }
    assert!(world.writer.finish("test", world.now).1);
    let told = read(&disk).report.types[&TimeSync::SCHEMA.kind];
    assert!((8..=11).contains(&told), "{told}");
}
