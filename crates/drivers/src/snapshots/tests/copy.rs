//! A copy is the same as its source, and what cannot be copied is refused (SNAP-1).

use std::ops::ControlFlow;

use super::*;
use crate::snapshots::{Error, Kind, Manifest, Progress, copy_tree, scan_tree, verify};

#[test]
fn copy_of_a_nasty_tree_is_the_same_in_the_eyes_of_somebody_else() {
    let dir = Dir::new();
    let (from, to) = (dir.path("from"), dir.path("to"));
    make_nasty_tree(&from);
    // What the surroundings of the copy would hand down must not arrive in it.
    set_xattr(dir.0.path(), "system.posix_acl_default", &acl(9999));
    set_flag(dir.0.path(), IFlags::NOATIME);
    let before = see(&from);
    let manifest = copy_tree(&from, &to, &mut ()).unwrap();
    let (mut source, mut copy) = (see(&from), see(&to));
    assert_eq!(before, source, "the source is untouched");
    assert_eq!(source.len(), manifest.entries.len());
    for (path, entry) in &source {
        assert_eq!(copy.get(path), Some(entry), "{}", path.display());
    }
    copy.retain(|path, _| !source.contains_key(path));
    assert_eq!(copy, BTreeMap::new(), "nothing else is in the copy");
    source.clear();
    assert_eq!(verify(&to, &manifest, &mut ()).unwrap(), []);
    for name in ["sparse", "only-a-hole"] {
        let blocks = |root: &Path| fs::metadata(root.join(name)).unwrap().blocks();
        assert!(blocks(&to) <= blocks(&from) + 16, "{name} keeps its holes");
    }
    assert!(!to.join("sock").exists());
    let remarks: Vec<_> = manifest.remarks.iter().map(|remark| remark.path.to_string()).collect();
    assert_eq!(remarks, ["sock"]);
}

#[test]
fn copy_keeps_hard_links_between_directories_and_shares_no_inode_with_the_source() {
    let dir = Dir::new();
    let (from, to) = (dir.path("from"), dir.path("to"));
    make_nasty_tree(&from);
    copy_tree(&from, &to, &mut ()).unwrap();
    let ino = |path: PathBuf| fs::symlink_metadata(path).unwrap().ino();
    assert_eq!(ino(to.join("a-first-name")), ino(to.join("dir/deeper/hl2")));
    assert_eq!(ino(to.join("a-first-name")), ino(to.join("dir/hl1")));
    assert_ne!(ino(to.join("a-first-name")), ino(from.join("a-first-name")));
    assert_eq!(fs::metadata(to.join("dir/hl1")).unwrap().nlink(), 3);
}

#[test]
fn a_name_outside_the_volume_is_remarked() {
    let dir = Dir::new();
    fs::create_dir(dir.path("from")).unwrap();
    put(&dir.path("from/a"), b"x");
    fs::hard_link(dir.path("from/a"), dir.path("outside")).unwrap();
    let manifest = copy_tree(&dir.path("from"), &dir.path("to"), &mut ()).unwrap();
    assert_eq!(manifest.remarks.len(), 1);
    assert!(manifest.remarks[0].what.contains("1 more names outside"), "{manifest:?}");
    assert_eq!(fs::metadata(dir.path("to/a")).unwrap().nlink(), 1);
}

#[test]
fn copy_goes_deeper_than_a_path_may_be_long() {
    let dir = Dir::new();
    let from = dir.path("from");
    fs::create_dir(&from).unwrap();
    put(&from.join("first"), b"x");
    let mut below = durable::open_dir(rustix::fs::CWD, from.as_os_str()).unwrap();
    let name = "d".repeat(100);
    for _ in 0..60 {
        rustix::fs::mkdirat(&below, name.as_str(), rustix::fs::Mode::RWXU).unwrap();
        below = durable::open_dir(&below, name.as_str()).unwrap();
    }
    let flags = rustix::fs::AtFlags::empty();
    rustix::fs::linkat(rustix::fs::CWD, from.join("first"), &below, "last", flags).unwrap();
    rustix::fs::unlinkat(rustix::fs::CWD, from.join("first"), flags).unwrap();
    let again = rustix::fs::linkat(&below, "last", &below, "last2", flags);
    again.unwrap();
    let manifest = copy_tree(&from, &dir.path("to"), &mut ()).unwrap();
    assert_eq!(verify(&dir.path("to"), &manifest, &mut ()).unwrap(), []);
    assert!(manifest.entries.last().unwrap().link.is_some());
    for _ in 60..250 {
        rustix::fs::mkdirat(&below, "d", rustix::fs::Mode::RWXU).unwrap();
        below = durable::open_dir(&below, "d").unwrap();
    }
    durable::remove_tree(&dir.path("to"), Site::Prune).unwrap();
    let manifest = copy_tree(&from, &dir.path("to"), &mut ()).unwrap();
    assert_eq!(manifest.entries.len(), 253);
    for _ in 250..300 {
        rustix::fs::mkdirat(&below, "d", rustix::fs::Mode::RWXU).unwrap();
        below = durable::open_dir(&below, "d").unwrap();
    }
    let error = scan_tree(&from, &mut ()).unwrap_err();
    assert!(error.kind() == Kind::Refused && error.to_string().contains("256"), "{error}");
    // Deeper than we remove; the rest of the world can.
    run("rm", &[Path::new("-rf"), &from]);
}

#[test]
fn verify_sees_every_kind_of_change() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 13] = [
        ("plain", |path| fs::remove_file(path).unwrap(), "missing"),
        ("other", |path| put(path, b""), "extra"),
        ("plain", |path| put(path, b"longer"), "size"),
        ("plain", |path| put(path, b"ho"), "content"),
        ("sparse", |path| poke(path, 5), "content"),
        ("plain", |path| set_mode(path, 0o600), "mode"),
        ("plain", |path| std::os::unix::fs::chown(path, Some(1), Some(1)).unwrap(), "owner"),
        ("plain", |path| set_mtime(path, 1, 1), "mtime"),
        ("plain", |path| set_xattr(path, "user.note", b"v2"), "xattrs"),
        ("plain", |path| set_flag(path, IFlags::NODUMP), "flags"),
        (
            "dangling",
            |path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink("/other", path).unwrap();
            },
            "target",
        ),
        (
            "dir/hl1",
            |path| {
                fs::remove_file(path).unwrap();
                put(path, &b"hard".repeat(1000));
            },
            "hard link",
        ),
        (
            "fifo",
            |path| {
                fs::remove_file(path).unwrap();
                put(path, b"");
            },
            "kind",
        ),
    ];
    let dir = Dir::new();
    make_nasty_tree(&dir.path("from"));
    let manifest = scan_tree(&dir.path("from"), &mut ()).unwrap();
    for (name, change, expected) in changes {
        let to = dir.path("to");
        durable::remove_tree(&to, Site::Prune).unwrap();
        copy_tree(&dir.path("from"), &to, &mut ()).unwrap();
        change(&to.join(name));
        let found = verify(&to, &manifest, &mut ()).unwrap();
        let hit =
            found.iter().any(|found| found.path.to_string() == name && found.what == expected);
        assert!(hit, "{name} {expected}: {found:?}");
    }
}

/// Writes one byte and puts the old mtime back, as a disk that rots would.
fn poke(path: &Path, at: u64) {
    let meta = fs::metadata(path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", at).unwrap();
    set_mtime(path, meta.mtime(), meta.mtime_nsec());
}

#[test]
fn a_mount_below_the_volume_is_refused_by_name() {
    let dir = Dir::new();
    for name in ["from", "from/sub", "from/sub/inside"] {
        fs::create_dir(dir.path(name)).unwrap();
    }
    fs::create_dir(dir.path("elsewhere")).unwrap();
    put(&dir.path("elsewhere/secret"), b"x");
    let check = |mount: Mount| {
        let error = copy_tree(&dir.path("from"), &dir.path("to"), &mut ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("from/sub/inside"), "{error}");
        durable::remove_tree(&dir.path("to"), Site::Prune).unwrap();
        let error = durable::remove_tree(&dir.path("from"), Site::Prune).unwrap_err();
        assert!(error.to_string().contains("from/sub/inside"), "{error}");
        drop(mount);
    };
    check(Mount::tmpfs(&dir.path("from/sub/inside"), "size=64k"));
    // The same file system a second time: the device number alone does not tell.
    check(Mount::bind(&dir.path("elsewhere"), &dir.path("from/sub/inside")));
    assert!(dir.path("elsewhere/secret").exists());
}

#[test]
fn an_area_below_the_volume_is_refused_by_name() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("from/x/.groundcrew")).unwrap();
    let error = copy_tree(&dir.path("from"), &dir.path("to"), &mut ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
}

/// Does something when the copy has come to the entry with this number.
struct At<F>(u64, F);

impl<F: FnMut() -> ControlFlow<()>> Progress for At<F> {
    fn advance(&mut self, entries: u64, _: u64) -> ControlFlow<()> {
        self.0 = self.0.wrapping_sub(entries);
        if self.0 == 0 && entries > 0 { (self.1)() } else { ControlFlow::Continue(()) }
    }
}

fn three_files(dir: &Dir) -> PathBuf {
    let from = dir.path("from");
    fs::create_dir(&from).unwrap();
    for name in ["a", "b", "c"] {
        put(&from.join(name), name.as_bytes());
    }
    from
}

#[test]
fn a_volume_that_changes_while_it_is_copied_is_an_error() {
    type Change = fn(&Path);
    let changes: [(u64, Change); 3] = [
        (2, |from| put(&from.join("new"), b"x")),
        (2, |from| fs::remove_file(from.join("a")).unwrap()),
        (3, |from| set_mode(from, 0o711)),
    ];
    for (at, change) in changes {
        let dir = Dir::new();
        let from = three_files(&dir);
        let mut progress = At(at, || {
            change(&from);
            ControlFlow::Continue(())
        });
        let error = copy_tree(&from, &dir.path("to"), &mut progress).unwrap_err();
        assert_eq!(error.kind(), Kind::Changed, "{error}");
    }
}

#[test]
fn a_file_that_is_written_while_it_is_read_is_an_error() {
    struct Write<'a>(&'a Path);
    impl Progress for Write<'_> {
        fn advance(&mut self, _: u64, bytes: u64) -> ControlFlow<()> {
            if bytes > 0 {
                poke(self.0, 0);
            }
            ControlFlow::Continue(())
        }
    }
    let dir = Dir::new();
    let from = three_files(&dir);
    let error = copy_tree(&from, &dir.path("to"), &mut Write(&from.join("b"))).unwrap_err();
    assert!(matches!(&error, Error::Changed { path } if path.ends_with("b")), "{error}");
}

#[test]
fn a_file_swapped_for_a_symlink_is_never_followed() {
    let dir = Dir::new();
    let from = three_files(&dir);
    put(&dir.path("secret"), b"secret");
    let mut progress = At(2, || {
        fs::remove_file(from.join("b")).unwrap();
        std::os::unix::fs::symlink(dir.path("secret"), from.join("b")).unwrap();
        ControlFlow::Continue(())
    });
    let error = copy_tree(&from, &dir.path("to"), &mut progress).unwrap_err();
    assert_eq!(error.kind(), Kind::Changed);
    assert!(fs::symlink_metadata(dir.path("to/b")).unwrap().is_symlink());
}

#[test]
fn a_copy_stops_when_asked() {
    let dir = Dir::new();
    let from = three_files(&dir);
    let mut progress = At(3, || ControlFlow::Break(()));
    let error = copy_tree(&from, &dir.path("to"), &mut progress).unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
}

#[test]
fn entries_come_in_one_order_and_their_lines_have_one_root_hash() {
    let dir = Dir::new();
    let from = three_files(&dir);
    let one = scan_tree(&from, &mut ()).unwrap();
    let two = copy_tree(&from, &dir.path("to"), &mut ()).unwrap();
    assert_eq!(one, two);
    let paths: Vec<_> = one.entries.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, [".", "a", "b", "c"]);
    assert_eq!(Manifest::from_lines(&one.to_lines()).unwrap(), one);
    assert_eq!(one.bytes(), 3);
}
