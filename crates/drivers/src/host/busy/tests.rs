//! The flag in every shape (GATE-1).

use std::fs;
use std::io::Write as _;

use super::*;

fn put(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

fn is_busy(look: &Look) -> bool {
    look.busy != Busy::Clear
}

type Set = fn(&Path);

#[test]
fn a_flag_is_read_as_its_mode_says_and_every_doubt_is_busy() {
    let table: [(&str, Set, [bool; 3]); 9] = [
        ("missing", |_| {}, [false, false, false]),
        ("empty", |flag| put(flag, ""), [false, true, false]),
        ("content", |flag| put(flag, "flight 7\n"), [true, true, true]),
        ("a blank", |flag| put(flag, " "), [true, true, true]),
        ("a directory", |flag| fs::create_dir(flag).unwrap(), [true, true, true]),
        ("bytes", |flag| File::create(flag).unwrap().write_all(&[0xff]).unwrap(), [true; 3]),
        (
            "no directory",
            |flag| fs::remove_dir(flag.parent().unwrap()).unwrap(),
            [false, false, true],
        ),
        (
            "a file for a directory",
            |flag| {
                fs::remove_dir(flag.parent().unwrap()).unwrap();
                put(flag.parent().unwrap(), "");
            },
            [true, true, true],
        ),
        (
            "a pipe",
            |flag| {
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    flag,
                    rustix::fs::FileType::Fifo,
                    rustix::fs::Mode::RWXU,
                    0,
                )
                .unwrap();
            },
            [true, true, true],
        ),
    ];
    for (name, set, expected) in table {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/in-flight");
        fs::create_dir(dir.path().join("run")).unwrap();
        set(&path);
        let mut flags = [
            BusyFlag::new(&path, Mode::NonEmpty),
            BusyFlag::new(&path, Mode::Exists),
            BusyFlag::new(&path, Mode::NonEmpty).airborne(dir.path()),
        ];
        let found = flags.each_mut().map(|flag| is_busy(&flag.look()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn an_answer_says_where_it_is_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-flight");
    put(&path, "flight 7 over the lake\npid=1\n");
    let look = BusyFlag::new(&path, Mode::NonEmpty).look();
    let expected = format!("{} says \"flight 7 over the lake\"", path.display());
    assert_eq!(look.busy, Busy::Busy(expected));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let Busy::Busy(why) = BusyFlag::new(&path, Mode::NonEmpty).look().busy else { panic!() };
    assert!(why.starts_with(&format!("{} cannot be read: ", path.display())), "{why}");
}

#[test]
fn a_dead_owner_counts_only_in_this_boot_and_name_space() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-flight");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let (boot, space, own) = (boot(), pid_space().unwrap(), std::process::id());
    let table = [
        (format!("pid={dead}\nboot_id={boot}\npid_ns={space}\n"), false, true),
        (format!("x\n pid_ns={space}\nboot_id={boot}\npid={dead}"), false, true),
        (format!("pid={own}\nboot_id={boot}\npid_ns={space}\n"), true, false),
        (format!("pid={dead}\nboot_id={boot}\n"), true, false),
        (format!("pid={dead}\npid_ns={space}\n"), true, false),
        (format!("pid={dead}\nboot_id={boot}\npid_ns=1\n"), true, false),
        (format!("pid={dead}\nboot_id=other\npid_ns={space}\n"), true, false),
        (format!("pid=0\nboot_id={boot}\npid_ns={space}\n"), true, false),
        (format!("pid=none\nboot_id={boot}\npid_ns={space}\n"), true, false),
        ("expires=2020-01-01T00:00:00Z\n".to_owned(), true, true),
        (format!("pid={own}\nboot_id={boot}\npid_ns={space}\nexpires=2020-01-01"), true, true),
    ];
    for (text, busy, remark) in table {
        put(&path, &text);
        let look = BusyFlag::new(&path, Mode::NonEmpty).look();
        assert_eq!((is_busy(&look), look.remark.is_some()), (busy, remark), "{text}: {look:?}");
    }
    put(&path, &format!("pid={dead}\nboot_id={boot}\npid_ns={space}\n"));
    let look = BusyFlag::new(&path, Mode::NonEmpty).airborne(dir.path()).look();
    assert!(is_busy(&look) && look.remark.is_some(), "the flight goes on: {look:?}");
}

/// One aircraft, rebooted by giving it another boot.
fn boots(dir: &Path, boot: &str) -> BusyFlag {
    let mut flag = BusyFlag::new(&dir.join("in-flight"), Mode::NonEmpty).airborne(dir);
    flag.boot = Some(boot.to_owned());
    flag
}

#[test]
fn a_boot_after_a_busy_one_is_busy_until_the_flag_was_set_and_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-flight");
    assert!(!is_busy(&boots(dir.path(), "boot-1").look()), "a first boot knows of no flight");
    put(&path, "flight 7");
    assert!(is_busy(&boots(dir.path(), "boot-1").look()));
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let look = boots(dir.path(), "boot-2").look();
        let Busy::Busy(why) = look.busy else { panic!("the power went in flight") };
        assert!(why.starts_with("unconfirmed: ") && why.contains("ground --by"), "{why}");
    }
    assert!(is_busy(&boots(dir.path(), "boot-3").look()), "another boot confirms nothing");
    put(&path, "flight 8");
    assert!(is_busy(&boots(dir.path(), "boot-3").look()));
    fs::remove_file(&path).unwrap();
    assert!(!is_busy(&boots(dir.path(), "boot-3").look()), "set and cleared in this boot");
    assert!(!is_busy(&boots(dir.path(), "boot-4").look()), "on the ground when it went down");
}

#[test]
fn a_person_can_say_that_it_is_on_the_ground() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in-flight");
    put(&path, "flight 7");
    assert!(is_busy(&boots(dir.path(), "boot-1").look()));
    fs::remove_file(&path).unwrap();
    assert!(is_busy(&boots(dir.path(), "boot-2").look()));
    boots(dir.path(), "boot-2").ground("Ada").unwrap();
    let said = fs::read_to_string(dir.path().join("busy.json")).unwrap();
    assert!(said.contains("\"grounded_by\": \"Ada\""), "{said}");
    assert!(!is_busy(&boots(dir.path(), "boot-2").look()));
    put(&path, "flight 8");
    assert!(is_busy(&boots(dir.path(), "boot-2").look()), "a person's word does not hide a flag");
}

#[test]
fn a_memory_that_does_not_work_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("busy.json"), "{");
    let look = boots(dir.path(), "boot-1").look();
    let Busy::Busy(why) = look.busy else { panic!("{look:?}") };
    assert!(why.contains("busy.json is not understood"), "{why}");
    boots(dir.path(), "boot-1").ground("Ada").unwrap();
    assert!(!is_busy(&boots(dir.path(), "boot-1").look()));
    let mut nameless = boots(dir.path(), "boot-1");
    nameless.boot = None;
    assert!(is_busy(&nameless.look()));
}
