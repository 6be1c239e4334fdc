//! Following a flight while it is written.

use std::ops::ControlFlow;

use groundcrew_recorder::format::segment::Header;
use groundcrew_recorder::reader::follow::Follower;
use groundcrew_recorder::storage::Disk;

use crate::world::{MINE, POLICY, World};

/// The numbers that arrive.
fn poll(follower: &mut Follower, disk: &Disk) -> Vec<u64> {
    let mut arrived = Vec::new();
    follower
        .poll(disk, |_, record| {
            if record.head.kind == MINE {
                arrived.push(record.head.source_seq);
            }
            ControlFlow::Continue(())
        })
        .expect("it can be read");
    arrived
}

#[test]
fn a_follower_gets_each_record_once_over_seals_renames_and_torn_ends() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let mut world = World::new(disk.clone(), POLICY);
    let mut follower = Follower::default();
    let mut got = Vec::new();
    for round in 0..300_u64 {
        world.give();
        if round % 3 == 0 {
            world.sync();
        }
        if round % 7 == 0 {
            world.pass(11);
        }
        got.extend(poll(&mut follower, &disk));
        assert!(!follower.has_ended());
    }
    world.writer.finish("enough", world.now);
    got.extend(poll(&mut follower, &disk));
    assert_eq!(got, (0..300).collect::<Vec<_>>());
    assert!(follower.has_ended());
    assert!(dir.path().join("seg_00003.bin").exists(), "several segments were gone through");
    assert!(poll(&mut follower, &disk).is_empty());
}

#[test]
fn a_follower_waits_for_the_rest_of_a_record_and_of_a_header() {
    let whole = tempfile::tempdir().unwrap();
    let mut world = World::new(Disk::new(whole.path()), POLICY);
    (0..20).for_each(|_| world.give());
    world.writer.finish("enough", world.now);
    let bytes = std::fs::read(whole.path().join("seg_00000.bin")).unwrap();
    Header::decode(&bytes).unwrap();
    let grown = tempfile::tempdir().unwrap();
    let path = grown.path().join("seg_00000.bin.tmp");
    let (disk, mut follower, mut got) = (Disk::new(grown.path()), Follower::default(), Vec::new());
    for to in (0..=bytes.len()).step_by(13).chain([bytes.len()]) {
        let mut file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, &bytes[..to]).unwrap();
        got.extend(poll(&mut follower, &disk));
    }
    assert_eq!(got, (0..20).collect::<Vec<_>>());
    assert!(follower.has_ended());
}
