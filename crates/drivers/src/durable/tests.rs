//! That files become durable whole or not at all, and that every way to fail says so.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn write_replaces_content_and_mode_and_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    write(&path, b"one", 0o644, Site::Plan).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode_of(&path)), (b"one".to_vec(), 0o644));
    write(&path, b"two", 0o600, Site::Plan).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode_of(&path)), (b"two".to_vec(), 0o600));
    write_json(&path, &vec![1, 2], 0o666, Site::Plan).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
    assert_eq!(mode_of(&path), 0o666, "the umask does not take bits away");
    assert_eq!(listing(dir.path()), ["a"]);
}

#[test]
fn write_syncs_the_file_and_then_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    trace_syncs();
    write(&dir.path().join("a"), b"one", 0o600, Site::Exit).unwrap();
    assert_eq!(trace_syncs(), [Site::Exit, Site::Exit]);
    drop_site(Some(Site::Exit));
    write(&dir.path().join("a"), b"two", 0o600, Site::Exit).unwrap();
    drop_site(None);
    assert_eq!(trace_syncs(), []);
}

#[test]
fn a_failed_sync_at_any_site_keeps_the_old_content_and_removes_the_temporary_file() {
    for site in Site::ALL {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"old", 0o600, *site).unwrap();
        inject(*site, Fault::Fail);
        let error = write(&path, b"new", 0o600, *site).unwrap_err();
        drop_site(None);
        assert_eq!(error.kind(), Kind::Io);
        assert!(
            error.to_string().contains("unchanged (the temporary file was removed)"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(listing(dir.path()), ["a"], "{}", site.name());
    }
}

#[test]
fn write_cut_between_any_two_changes_leaves_the_old_or_the_new_content_and_sweep_the_rest() {
    let mut seen_old_and_new = (false, false);
    for steps in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"old", 0o600, Site::Plan).unwrap();
        crash_after(Some(steps));
        let result = write(&path, b"new", 0o600, Site::Plan);
        crash_after(None);
        let content = fs::read(&path).unwrap();
        assert!(content == b"old" || content == b"new");
        assert!(result.is_err() || content == b"new");
        seen_old_and_new.0 |= content == b"old";
        seen_old_and_new.1 |= content == b"new";
        let orphans = listing(dir.path()).len() - 1;
        assert_eq!(sweep(dir.path()).unwrap(), orphans);
        assert_eq!(listing(dir.path()), ["a"]);
    }
    assert_eq!(seen_old_and_new, (true, true));
}

#[test]
fn sweep_takes_only_names_that_are_ours() {
    let dir = tempfile::tempdir().unwrap();
    let others = [".groundcrew-.tmp", ".groundcrew-notes.tmp", "a.tmp", "b"];
    for name in others.iter().chain(&[".groundcrew-17-0.tmp"]) {
        File::create(dir.path().join(name)).unwrap();
    }
    assert_eq!(sweep(dir.path()).unwrap(), 1);
    assert_eq!(listing(dir.path()), others);
    assert_eq!(sweep(&dir.path().join("absent")).unwrap(), 0);
}

#[test]
fn exchange_swaps_two_directories_and_syncs_both_parents() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("x/a"), dir.path().join("y/b"));
    create_dir_all(&a, 0o700, Site::Run).unwrap();
    create_dir_all(&b, 0o700, Site::Run).unwrap();
    let inodes = (fs::metadata(&a).unwrap().ino(), fs::metadata(&b).unwrap().ino());
    trace_syncs();
    exchange(&a, &b, Site::RestoreExchange).unwrap();
    assert_eq!(trace_syncs(), [Site::RestoreExchange; 2]);
    assert_eq!((fs::metadata(&b).unwrap().ino(), fs::metadata(&a).unwrap().ino()), inodes);
    let error = exchange(&a, &dir.path().join("absent"), Site::RestoreExchange).unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
}

#[test]
fn rename_new_refuses_a_target_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write(&a, b"a", 0o600, Site::Plan).unwrap();
    write(&b, b"b", 0o600, Site::Plan).unwrap();
    assert_eq!(rename_new(&a, &b, Site::Plan).unwrap_err().kind(), Kind::Io);
    rename(&a, &b, Site::Plan).unwrap();
    assert_eq!((fs::read(&b).unwrap(), a.exists()), (b"a".to_vec(), false));
    assert_eq!(rename(&a, &b, Site::Plan).unwrap_err().kind(), Kind::Missing);
}

#[test]
fn symlink_replaces_a_symlink_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("current");
    for target in ["1.0.0", "1.1.0"] {
        symlink(Path::new(target), &path, Site::Switch).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
    }
    assert_eq!(listing(dir.path()), ["current"]);
}

#[test]
fn create_dir_all_syncs_the_parent_of_each_new_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    trace_syncs();
    create_dir_all(&path, 0o2750, Site::Run).unwrap();
    assert_eq!(trace_syncs().len(), 4, "three new ones and the one that was there");
    for path in ["a", "a/b", "a/b/c"] {
        assert_eq!(mode_of(&dir.path().join(path)), 0o2750);
    }
    create_dir_all(&path, 0o700, Site::Run).unwrap();
    assert_eq!(mode_of(&path), 0o2750, "an existing directory keeps its mode");
    write(&dir.path().join("f"), b"", 0o600, Site::Run).unwrap();
    assert!(create_dir_all(&dir.path().join("f/g"), 0o700, Site::Run).is_err());
}

#[test]
fn remove_tree_removes_flagged_files_and_never_follows_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    create_dir_all(&outside.join("kept"), 0o700, Site::Run).unwrap();
    let tree = dir.path().join("tree");
    create_dir_all(&tree.join("a/b"), 0o700, Site::Run).unwrap();
    symlink(&outside, &tree.join("a/link"), Site::Run).unwrap();
    for (path, flag) in [("a/b/fixed", IFlags::IMMUTABLE), ("a/log", IFlags::APPEND)] {
        write(&tree.join(path), b"x", 0o600, Site::Run).unwrap();
        set_flag(&tree.join(path), flag);
    }
    set_flag(&tree.join("a/b"), IFlags::IMMUTABLE);
    remove_tree(&tree, Site::Prune).unwrap();
    assert_eq!(listing(dir.path()), ["outside"]);
    assert_eq!(listing(&outside), ["kept"]);
    remove_tree(&tree, Site::Prune).unwrap();
    remove_file(&tree, Site::Prune).unwrap();
}

use rustix::fs::IFlags;

fn set_flag(path: &Path, flag: IFlags) {
    let file = File::open(path).unwrap();
    let flags = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, flags | flag).unwrap();
}

#[test]
fn kinds_follow_from_what_the_kernel_said() {
    use rustix::io::Errno;
    for (errno, kind) in [
        (Errno::NOSPC, Kind::Full),
        (Errno::DQUOT, Kind::Full),
        (Errno::ROFS, Kind::ReadOnly),
        (Errno::ACCESS, Kind::Denied),
        (Errno::PERM, Kind::Denied),
        (Errno::NOENT, Kind::Missing),
        (Errno::IO, Kind::Io),
    ] {
        assert_eq!(Kind::of(&errno.into()), kind, "{errno}");
    }
    let error = write(Path::new("/dev/full/x"), b"", 0o600, Site::Plan).unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
}
