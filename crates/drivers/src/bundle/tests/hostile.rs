//! Archives and directories that mean harm, or are broken.

use super::*;
use tar::EntryType;

/// One entry of an archive made by hand.
struct Entry<'a> {
    kind: EntryType,
    name: &'a [u8],
    link: &'a [u8],
    content: &'a [u8],
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry { kind: EntryType::Regular, name: name.as_bytes(), link: b"", content }
}

fn link<'a>(kind: EntryType, name: &'a str, link: &'a str) -> Entry<'a> {
    Entry { kind, name: name.as_bytes(), link: link.as_bytes(), content: b"" }
}

/// A header that no honest library would write.
fn header(entry: &Entry<'_>, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(entry.kind);
    header.set_size(u64::try_from(entry.content.len()).unwrap());
    header.set_mode(mode);
    let old = header.as_old_mut();
    old.name[..entry.name.len()].copy_from_slice(entry.name);
    old.linkname[..entry.link.len()].copy_from_slice(entry.link);
    header.set_cksum();
    header
}

fn raw_tar(entries: &[Entry<'_>], mode: u32) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        builder.append(&header(entry, mode), entry.content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// An archive with an honest head, then `entries`.
fn archive(dir: &Dir, entries: Vec<Entry<'_>>, mode: u32) -> (PathBuf, Sha256) {
    let toml = release_toml(&Sha256::of(b""));
    let mut all = vec![file("release.toml", toml.as_bytes())];
    all.extend(entries);
    let path = dir.path("hostile.tar.zst");
    put(&path, &zstd::encode_all(raw_tar(&all, mode).as_slice(), 1).unwrap());
    (path, Sha256::of(toml.as_bytes()))
}

#[test]
fn an_entry_that_leads_outside_is_refused_before_anything_is_written_there() {
    use EntryType::{Link, Symlink};
    let outside = "/escaped";
    let cases: Vec<(&str, Vec<Entry<'_>>)> = vec![
        ("climbs", vec![file("files/../../escaped", b"x")]),
        ("climbs out of notes", vec![file("notes/../escaped", b"x")]),
        ("is absolute", vec![file(outside, b"x")]),
        ("has an empty name", vec![file("files//x", b"x")]),
        ("has a dot", vec![file("files/./x", b"x")]),
        ("is elsewhere", vec![file("etc/passwd", b"x")]),
        ("is the root", vec![file("files", b"x")]),
        ("symlink to an absolute path", vec![link(Symlink, "files/a", "/etc")]),
        ("symlink that climbs out", vec![link(Symlink, "files/a", "../x")]),
        ("symlink that climbs out deeper", vec![link(Symlink, "files/b/a", "../../release.toml")]),
        ("symlink that climbs later", vec![link(Symlink, "files/b/a", "c/../../../x")]),
        (
            "symlink through another",
            vec![link(Symlink, "files/a/b", ".."), link(Symlink, "files/c", "a/b/..")],
        ),
        ("symlink to nothing", vec![link(Symlink, "files/a", "")]),
        ("symlink in notes", vec![link(Symlink, "notes/1.md", "2.md")]),
        ("symlink as files", vec![link(Symlink, "files", "/")]),
        (
            "file through a symlink",
            vec![link(Symlink, "files/a", "b"), file("files/a/escaped", b"x")],
        ),
        ("file over a symlink", vec![link(Symlink, "files/a", "b"), file("files/a", b"x")]),
        ("hard link to the outside", vec![link(Link, "files/a", outside)]),
        ("hard link that climbs", vec![link(Link, "files/a", "../../escaped")]),
        (
            "hard link to a symlink",
            vec![link(Symlink, "files/a", "b"), link(Link, "files/c", "files/a")],
        ),
        ("the same file twice", vec![file("files/a", b"x"), file("files/a", b"y")]),
        ("a second release.toml", vec![file("release.toml", b"x")]),
        ("a directory over a file", vec![file("files/a", b"x"), file("files/a/b", b"x")]),
        ("a device", vec![link(EntryType::Char, "files/a", "")]),
        ("a fifo", vec![link(EntryType::Fifo, "files/a", "")]),
        ("a sparse file", vec![link(EntryType::GNUSparse, "files/a", "")]),
    ];
    for (what, entries) in cases {
        let dir = Dir::new();
        let (path, digest) = archive(&dir, entries, 0o644);
        let error = unpack_to(&path, &dir.path("r/x"), &digest, None).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{what}: {error}");
        assert_eq!(names(&dir.path("r")), [""; 0], "{what}: nothing is left");
        assert_eq!(names(dir.0.path()), ["hostile.tar.zst", "r"], "{what}");
        assert!(!Path::new(outside).exists());
    }
}

#[test]
fn symlinks_that_stay_inside_are_taken() {
    use EntryType::{Link, Symlink};
    let dir = Dir::new();
    let entries = vec![
        file("files/lib/libx.so.1", b"x"),
        link(Symlink, "files/lib/libx.so", "libx.so.1"),
        link(Symlink, "files/bin/lib", "../lib"),
        link(Symlink, "files/a/b/up", "../.."),
        link(Link, "files/lib/again", "./files/lib/libx.so.1"),
    ];
    let (path, digest) = archive(&dir, entries, 0o644);
    // All of them are written; only the content is not the one that the head names.
    let error = unpack_to(&path, &dir.path("x"), &digest, None).unwrap_err();
    assert!(error.to_string().contains("the content is"), "{error}");
}

#[test]
fn suid_and_sgid_are_refused() {
    for mode in [0o4755, 0o2755] {
        let dir = Dir::new();
        let (path, digest) = archive(&dir, vec![file("files/a", b"x")], mode);
        let error = unpack_to(&path, &dir.path("x"), &digest, None).unwrap_err();
        assert!(error.to_string().contains("suid"), "{error}");
    }
}

#[test]
fn a_directory_bundle_is_checked_like_an_archive() {
    type Change = fn(&Path);
    let changes: [Change; 5] = [
        |dir| std::os::unix::fs::symlink("/etc", dir.join("files/out")).unwrap(),
        |dir| std::os::unix::fs::symlink("../../..", dir.join("files/bin/out")).unwrap(),
        |dir| drop(std::os::unix::net::UnixListener::bind(dir.join("files/socket")).unwrap()),
        |dir| set_mode(&dir.join("files/bin/tiles"), 0o4755),
        |dir| {
            fs::remove_dir_all(dir.join("files")).unwrap();
            std::os::unix::fs::symlink("/usr", dir.join("files")).unwrap();
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let dir = Dir::new();
        let bundle = make_bundle(&dir.path("source"));
        let digest = digest_of(&bundle);
        change(&bundle);
        let error = unpack_to(&bundle, &dir.path("x"), &digest, None).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{index}: {error}");
    }
}

#[test]
fn a_truncated_archive_is_not_whole_and_may_be_tomorrow() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let whole = fs::read(pack(&bundle)).unwrap();
    let path = dir.path("short.tar.zst");
    let step = whole.len() / 40 + 1;
    for length in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        put(&path, &whole[..length]);
        let error = unpack_to(&path, &dir.path("x"), &digest, None).unwrap_err();
        let fits = error.kind() == Kind::Unreachable;
        // Less than one block of the archive has no first entry.
        assert!(fits || length < 600, "{length} of {}: {error}", whole.len());
        assert!(!dir.path("x").exists() && !dir.path("x.partial").exists());
    }
    put(&path, &whole);
    unpack_to(&path, &dir.path("x"), &digest, None).unwrap();
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_it_is_written() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let archive = pack(&bundle);
    let least = Limits { entries: 14, bytes: 320_000, path_bytes: 500 };
    let expected = Expected { app: "tiles", digest: &digest, key: None };
    for from in [&bundle, &archive] {
        let try_with = |limits: Limits| {
            let to = dir.path("x");
            let result = unpack(&Bundle::at(from), &to, &expected, &limits);
            assert!(!dir.path("x.partial").exists());
            durable::remove_tree(&to, Site::Prune).unwrap();
            result
        };
        try_with(least).unwrap();
        for (limits, what) in [
            (Limits { entries: 13, ..least }, "more than 13 entries"),
            (Limits { bytes: 300_000, ..least }, "more than 300000 bytes of content"),
            (Limits { path_bytes: 300, ..least }, "more than 300 bytes of path"),
        ] {
            let error = try_with(limits).unwrap_err();
            assert!(matches!(error, Error::Limit { .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit_and_not_at_the_end_of_the_disk() {
    let dir = Dir::new();
    let toml = release_toml(&Sha256::of(b""));
    // More than the whole archive may unpack to: it is the name's own limit that has to stop it.
    let zeros = vec![b'n'; 2 << 20];
    let limits = Limits { entries: 10, bytes: 1 << 20, path_bytes: 100 };
    for kind in [EntryType::GNULongName, EntryType::XHeader, EntryType::XGlobalHeader] {
        // The head ends at the first entry, so that it is the unpacking that meets the second.
        let long = Entry { kind, name: b"x", link: b"", content: &zeros };
        let (path, digest) = archive(&dir, vec![file("files/a", b""), long], 0o644);
        let expected = Expected { app: "tiles", digest: &digest, key: None };
        let error = unpack(&Bundle::at(&path), &dir.path("x"), &expected, &limits).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
    }
    let mut headers = vec![file("release.toml", toml.as_bytes())];
    headers.extend((0..2000).map(|_| Entry {
        kind: EntryType::XGlobalHeader,
        name: b"x",
        link: b"",
        content: &zeros[..40_000],
    }));
    let path = dir.path("many.tar.zst");
    put(&path, &zstd::encode_all(raw_tar(&headers, 0o644).as_slice(), 1).unwrap());
    let digest = Sha256::of(toml.as_bytes());
    let expected = Expected { app: "tiles", digest: &digest, key: None };
    let error = unpack(&Bundle::at(&path), &dir.path("x"), &expected, &limits).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("more than its limit"), "{error}: {source}");
}

#[test]
fn a_file_that_announces_too_much_is_refused_by_its_announcement() {
    let dir = Dir::new();
    let toml = release_toml(&Sha256::of(b""));
    let mut tar = raw_tar(&[file("release.toml", toml.as_bytes())], 0o644);
    // Without the two empty blocks that end an archive.
    tar.truncate(tar.len() - 1024);
    let mut huge = header(&file("files/a", b""), 0o644);
    huge.set_size(7 << 30);
    huge.set_cksum();
    tar.extend_from_slice(huge.as_bytes());
    tar.extend_from_slice(&[0; 4096]);
    let path = dir.path("huge.tar.zst");
    put(&path, &zstd::encode_all(tar.as_slice(), 1).unwrap());
    let digest = Sha256::of(toml.as_bytes());
    let expected = Expected { app: "tiles", digest: &digest, key: None };
    let limits = Limits { bytes: 1 << 20, ..Limits::STANDARD };
    let error = unpack(&Bundle::at(&path), &dir.path("x"), &expected, &limits).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let dir = Dir::new();
    let long = vec![b'#'; 70_000];
    put(&dir.path("bundle/release.toml"), &long);
    let error = Bundle::at(&dir.path("bundle")).head().unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    let path = dir.path("long.tar.zst");
    let tar = raw_tar(&[file("release.toml", &long)], 0o644);
    put(&path, &zstd::encode_all(tar.as_slice(), 1).unwrap());
    let error = Bundle::at(&path).head().unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}
