//! Tests of snapshots on the real file system, as root.
//!
//! What a tree is, is told by [`Seen`], which shares no code with the copy: paths and the standard
//! library instead of handles, SHA-256 instead of BLAKE3.

mod copy;
mod layout;
mod port;
mod restore;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{IFlags, XattrFlags};
use sha2::Digest as _;

use crate::durable::{self, Site};

/// A directory for one test; removes flagged files too.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        assert!(rustix::process::geteuid().is_root(), "these tests make device nodes: run as root");
        Dir(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        durable::crash_after(None);
        durable::drop_site(None);
        durable::remove_tree(self.0.path(), Site::Prune).unwrap();
    }
}

/// One entry as somebody else sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    size: u64,
    rdev: u64,
    content: String,
    xattrs: BTreeMap<String, Vec<u8>>,
    flags: u32,
    links: Vec<PathBuf>,
}

/// A whole tree as somebody else sees it, sockets left out.
fn see(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut inodes: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
    see_below(root, Path::new(""), &mut seen, &mut inodes);
    for (path, entry) in &mut seen {
        let names = inodes.values().find(|names| names.contains(path)).unwrap();
        entry.links.clone_from(names);
    }
    seen
}

fn see_below(
    root: &Path,
    path: &Path,
    seen: &mut BTreeMap<PathBuf, Seen>,
    inodes: &mut BTreeMap<u64, Vec<PathBuf>>,
) {
    let full = if path == Path::new("") { root.to_owned() } else { root.join(path) };
    let meta = fs::symlink_metadata(&full).unwrap();
    let kind = meta.file_type();
    let (name, content) = if kind.is_file() {
        ("file", format!("{:x?}", sha2::Sha256::digest(fs::read(&full).unwrap())))
    } else if kind.is_symlink() {
        ("symlink", format!("{:?}", fs::read_link(&full).unwrap()))
    } else if kind.is_dir() {
        ("dir", String::new())
    } else if kind.is_fifo() {
        ("fifo", String::new())
    } else if kind.is_char_device() {
        ("char", String::new())
    } else if kind.is_socket() {
        return;
    } else {
        ("block", String::new())
    };
    let flags = if kind.is_file() || kind.is_dir() { raw_flags(&full) } else { 0 };
    let entry = Seen {
        kind: name,
        mode: meta.permissions().mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if kind.is_file() { meta.size() } else { 0 },
        rdev: meta.rdev(),
        content,
        xattrs: xattrs_of(&full),
        flags,
        links: Vec::new(),
    };
    inodes.entry(meta.ino()).or_default().push(path.to_owned());
    seen.insert(path.to_owned(), entry);
    if kind.is_dir() {
        let mut names: Vec<OsString> =
            fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            see_below(root, &path.join(name), seen, inodes);
        }
    }
}

fn xattrs_of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let count = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    names.truncate(count);
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 4096];
            let count = rustix::fs::lgetxattr(path, name.as_str(), value.as_mut_slice()).unwrap();
            value.truncate(count);
            (name, value)
        })
        .collect()
}

/// Without the flags that say how the file system stores the file.
fn raw_flags(path: &Path) -> u32 {
    const EXTENTS: u32 = 0x0008_0000;
    const INDEXED: u32 = 0x1000;
    let flags = rustix::fs::ioctl_getflags(fs::File::open(path).unwrap()).unwrap();
    flags.bits() & !EXTENTS & !INDEXED
}

fn set_flag(path: &Path, flag: IFlags) {
    let file = fs::File::open(path).unwrap();
    let flags = rustix::fs::ioctl_getflags(&file).unwrap();
    rustix::fs::ioctl_setflags(&file, flags | flag).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn put(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

fn run(program: &str, arguments: &[&Path]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    assert!(status.success(), "{program} {arguments:?} failed");
}

/// Mounts for one test; away again even if the test fails.
struct Mount(PathBuf);

impl Mount {
    fn bind(from: &Path, to: &Path) -> Mount {
        run("mount", &[Path::new("--bind"), from, to]);
        Mount(to.to_owned())
    }

    fn tmpfs(to: &Path, options: &str) -> Mount {
        run(
            "mount",
            &[Path::new("-t"), Path::new("tmpfs"), Path::new("-o"), Path::new(options), to, to],
        );
        Mount(to.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[&self.0]);
    }
}

/// An ACL in the kernel's own form, with one named user.
fn acl(user: u32) -> Vec<u8> {
    const ANY: u32 = u32::MAX;
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(0x01_u16, 6_u16, ANY), (0x02, 6, user), (0x04, 4, ANY), (0x10, 6, ANY), (0x20, 0, ANY)]
    {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// `cap_net_bind_service=+ep` in the kernel's own form.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const SPARSE_BYTES: u64 = 16 << 20;

/// A volume with everything in it that copies are known to lose.
fn make_nasty_tree(root: &Path) {
    fs::create_dir(root).unwrap();
    let at = |name: &str| root.join(name);
    put(&at("plain"), b"hi");
    std::os::unix::fs::chown(at("plain"), Some(12345), Some(54321)).unwrap();
    set_mode(&at("plain"), 0o640);
    set_xattr(&at("plain"), "user.note", b"v1");
    set_xattr(&at("plain"), "user.empty", b"");
    set_xattr(&at("plain"), "trusted.secret", &[0, 255, 1]);
    set_xattr(&at("plain"), "system.posix_acl_access", &acl(4242));
    put(&at("suid"), b"x");
    std::os::unix::fs::chown(at("suid"), Some(12345), Some(0)).unwrap();
    set_mode(&at("suid"), 0o6755);
    put(&at("unreadable"), b"x");
    set_mode(&at("unreadable"), 0);
    put(&at("cap"), b"x");
    set_xattr(&at("cap"), "security.capability", &CAPABILITY);
    fs::create_dir_all(at("dir/deeper")).unwrap();
    put(&at("dir/hl1"), &b"hard".repeat(1000));
    fs::hard_link(at("dir/hl1"), at("dir/deeper/hl2")).unwrap();
    fs::hard_link(at("dir/hl1"), at("a-first-name")).unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(SPARSE_BYTES).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[b'a'; 65536], 5 << 20).unwrap();
    let hole = fs::File::create(at("only-a-hole")).unwrap();
    hole.set_len(5_345_678).unwrap();
    let tail = fs::File::create(at("allocated-tail")).unwrap();
    let mode = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&tail, mode, 0, 1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&tail, &[b'b'; 4096], 0).unwrap();
    put(&at("empty"), b"");
    fs::create_dir(at("default-acl")).unwrap();
    set_xattr(&at("default-acl"), "system.posix_acl_default", &acl(4242));
    put(&at("default-acl/inherits"), b"x");
    make_nodes(root);
    make_names(root);
    fs::create_dir(at("flags")).unwrap();
    put(&at("flags/fixed"), b"x");
    fs::hard_link(at("flags/fixed"), at("flags/zz-second-name")).unwrap();
    put(&at("flags/log"), b"x");
    put(&at("flags/nodump"), b"x");
    for (name, stamp) in [("plain", 1), ("dir/hl1", 2), ("suid", 3), ("emptydir", 4), ("dir", 5)] {
        set_mtime(&at(name), 1_234_567_890 + stamp, 987_654_321);
    }
    set_mtime(&at("dangling"), -5, 1);
    set_mtime(root, 1_000_000_000, 7);
    set_flag(&at("flags/fixed"), IFlags::IMMUTABLE);
    set_flag(&at("flags/log"), IFlags::APPEND);
    set_flag(&at("flags/nodump"), IFlags::NODUMP);
    set_flag(&at("flags"), IFlags::IMMUTABLE);
}

fn make_nodes(root: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let at = |name: &str| root.join(name);
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o622), 0).unwrap();
    set_mode(&at("fifo"), 0o622);
    let null = makedev(1, 3);
    mknodat(CWD, at("dev"), FileType::CharacterDevice, Mode::RUSR, null).unwrap();
    let block = makedev(7, 1234);
    mknodat(CWD, at("block"), FileType::BlockDevice, Mode::RUSR, block).unwrap();
    std::os::unix::net::UnixListener::bind(at("sock")).unwrap();
    std::os::unix::fs::symlink("/nonexistent/x", at("dangling")).unwrap();
    std::os::unix::fs::lchown(at("dangling"), Some(777), Some(777)).unwrap();
    set_xattr(&at("dangling"), "trusted.note", b"on the link itself");
    std::os::unix::fs::symlink("/", at("to-the-root")).unwrap();
    fs::hard_link(at("dangling"), at("dangling-again")).unwrap();
    fs::create_dir(at("emptydir")).unwrap();
    set_mode(&at("emptydir"), 0o3775);
}

fn make_names(root: &Path) {
    put(&root.join(OsString::from_vec(b"bad\xff\xfename".to_vec())), b"z");
    put(&root.join("n".repeat(255)), b"z");
    put(&root.join("new\nline"), b"z");
    put(&root.join("back\\slash"), b"z");
}
