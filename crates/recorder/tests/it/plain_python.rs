//! A reader that was written from the document, in Python, against what this crate writes.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::process::Command;

use groundcrew_recorder::format::frame::checksum;
use groundcrew_recorder::reader::flight::{Flight, Wanted};
use groundcrew_recorder::storage::Source as _;

use crate::model::{Chance, Fault, Model};
use crate::world::{POLICY, World};

const READER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/python/examples/read_flight.py");

/// What the reader in Python prints of a flight.
fn in_python(disk: &Model) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("segments")).unwrap();
    for entry in disk.list().unwrap() {
        let path = dir.path().join("segments").join(&entry.name);
        let content = disk.content(&entry.name).unwrap();
        std::fs::File::create(path).unwrap().write_all(&content).unwrap();
    }
    let run = Command::new("python3").arg(READER).arg(dir.path()).output();
    let output = run.expect("python3 is there: apt-get install python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same by this crate.
fn in_rust(disk: &Model) -> String {
    let (mut counts, mut digest) = (BTreeMap::<u16, u64>::new(), 0);
    Flight::open(disk.clone()).unwrap().read(&Wanted::default(), |record| {
        let head = record.head;
        *counts.entry(head.kind).or_default() += 1;
        for bytes in [head.kind.to_le_bytes(), head.source.to_le_bytes()] {
            digest = checksum(digest, &bytes);
        }
        for bytes in [head.time_ns, head.source_seq, head.seq].map(u64::to_le_bytes) {
            digest = checksum(digest, &bytes);
        }
        digest = checksum(digest, record.body);
        ControlFlow::Continue(())
    });
    let mut text: String =
        counts.iter().map(|(kind, count)| format!("{kind:#06x} {count}\n")).collect();
    text.push_str(&format!("records {} digest {digest:08x}\n", counts.values().sum::<u64>()));
    text
}

fn recorded(fault: Option<(u64, Fault)>, finish: bool) -> Model {
    let disk = Model::default();
    disk.set_fault(fault);
    let mut world = World::new(disk.clone(), POLICY);
    world.live(&mut Chance::new(11), 400);
    if finish {
        world.writer.finish("enough", world.now);
    }
    disk
}

#[test]
fn a_reader_of_76_lines_of_python_reads_the_same() {
    let lines = std::fs::read_to_string(READER).unwrap().lines().count();
    assert!(lines <= 80, "{lines} lines");
    let whole = recorded(None, true);
    let open = recorded(None, false);
    // Records that were not durable stand twice, behind the segment whose sync failed.
    let failed = recorded(Some((80, Fault::Once(ErrorKind::Other))), true);
    let crashed = recorded(None, false).crash(&mut Chance::new(5));
    let damaged = recorded(None, true);
    let name = &damaged.list().unwrap()[1].name;
    let mut bytes = damaged.content(name).unwrap();
    bytes[500] ^= 1;
    bytes[3000] = 0;
    damaged.put(name, &bytes);
    damaged.put("seg_09999.bin.tmp", b"GFDRSEG\0\x02\0");
    let met = |disk: &Model| {
        let flight = Flight::open(disk.clone()).unwrap();
        flight.read(&Wanted::default(), |_| ControlFlow::Continue(()))
    };
    assert!(met(&failed).twice > 0);
    let damage = met(&damaged);
    assert_eq!((damage.holes_in_all, damage.unreadable.len()), (2, 1));
    for (what, disk) in [
        ("whole", whole),
        ("open", open),
        ("failed", failed),
        ("crashed", crashed),
        ("damaged", damaged),
    ] {
        let expected = in_rust(&disk);
        assert!(expected.contains("0x8001 "), "{what}: {expected}");
        assert_eq!(in_python(&disk), expected, "{what}");
    }
}
