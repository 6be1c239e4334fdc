//! From a bundle to a release (SRC-3): what arrives, and what is checked before and after (SRC-4).

use super::*;
use crate::bundle::{notes, verify_unpacked};
use crate::durable::{Fault, crash_after, drop_site, inject, trace_syncs};

#[test]
fn a_directory_and_an_archive_arrive_as_the_same_release() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let content = content_digest(&bundle.join("files"), &Limits::STANDARD).unwrap();
    for (from, to) in [(bundle.clone(), "a"), (pack(&bundle), "b")] {
        let to = dir.path("releases").join(to);
        let found = unpack_to(&from, &to, &digest, None).unwrap();
        assert_eq!((found.dir.as_path(), &found.head.digest), (to.as_path(), &digest));
        assert_eq!(content_digest(&to.join("files"), &Limits::STANDARD).unwrap(), content);
        assert_eq!(names(&to), ["files", "notes", "release.toml"]);
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("files/bin/tiles"), 0o555);
        assert_eq!(mode("files/share/data"), 0o444);
        assert_eq!((mode(""), mode("files/bin"), mode("files/empty")), (0o555, 0o555, 0o555));
        assert_eq!(fs::read_link(to.join("files/bin/data")).unwrap(), Path::new("../share/data"));
        let notes = notes(&to).unwrap();
        let versions: Vec<_> = notes.iter().map(|note| note.version.as_str()).collect();
        assert_eq!(versions, ["1.0.0", "1.1.0"]);
        assert_eq!(notes[1].bytes, b"# 1.1.0\n");
    }
    assert_eq!(names(&dir.path("releases")), ["a", "b"]);
    assert_eq!(fs::metadata(dir.path("releases")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn owner_and_umask_of_the_publisher_do_not_change_the_content() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    set_mode(&bundle.join("files/bin/tiles"), 0o710);
    set_mode(&bundle.join("files/share/data"), 0o664);
    set_mode(&bundle.join("files/share"), 0o2700);
    unpack_to(&bundle, &dir.path("a"), &digest, None).unwrap();
    set_mode(&bundle.join("files/share/data"), 0o764);
    let error = unpack_to(&bundle, &dir.path("b"), &digest, None).unwrap_err();
    assert!(error.to_string().contains("the content is sha256:"), "{error}");
}

#[test]
fn a_changed_file_or_description_is_refused_and_nothing_is_left() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("content", |dir| put(&dir.join("files/bin/tiles"), b"#!/bin/ash")),
        ("content", |dir| put(&dir.join("files/extra"), b"")),
        ("content", |dir| fs::remove_dir(dir.join("files/empty")).unwrap()),
        ("content", |dir| {
            fs::remove_file(dir.join("files/bin/data")).unwrap();
            std::os::unix::fs::symlink("../share", dir.join("files/bin/data")).unwrap();
        }),
        ("digest", |dir| {
            let text = fs::read_to_string(dir.join("release.toml")).unwrap();
            put(&dir.join("release.toml"), text.replace("8080", "8081").as_bytes());
        }),
        ("only", |dir| put(&dir.join("stray"), b"")),
    ];
    for (what, change) in changes {
        let dir = Dir::new();
        let bundle = make_bundle(&dir.path("source"));
        let digest = digest_of(&bundle);
        change(&bundle);
        let mut sources = vec![bundle.clone()];
        // What does not belong into a bundle does not get into an archive either.
        sources.extend((what != "only").then(|| pack(&bundle)));
        for from in sources {
            let error = unpack_to(&from, &dir.path("releases/x"), &digest, None).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{error}");
            assert!(error.to_string().contains(what), "{error}");
            assert!(!dir.path("releases/x").exists());
            assert!(!dir.path("releases/x.partial").exists());
            let early = what == "digest";
            assert_eq!(dir.path("releases").exists(), !early, "checked before anything is made");
            durable::remove_tree(&dir.path("releases"), Site::Prune).unwrap();
        }
    }
}

#[test]
fn a_release_of_another_app_is_refused() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let expected = Expected { app: "maps", digest: &digest, key: None };
    let error = unpack(&Bundle::at(&bundle), &dir.path("x"), &expected, &Limits::STANDARD);
    assert!(error.unwrap_err().to_string().contains("app is tiles, expected maps"));
}

#[test]
fn a_signature_is_checked_before_anything_is_unpacked() {
    let dir = Dir::new();
    let signer = Signer::new(dir.path("keys"));
    let other = Signer::new(dir.path("other-keys"));
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let check = |why: &str| {
        for from in [bundle.clone(), pack(&bundle)] {
            let to = dir.path("releases/x");
            let error = unpack_to(&from, &to, &digest, Some(&signer.key)).unwrap_err();
            assert!(matches!(error, Error::Signature { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert!(!dir.path("releases").exists(), "nothing was unpacked");
        }
    };
    check("there is none");
    other.sign(&bundle.join("release.toml"));
    check("key");
    signer.sign(&bundle.join("notes/1.1.0.md"));
    let moved = bundle.join("notes/1.1.0.md.minisig");
    fs::copy(&moved, bundle.join("release.toml.minisig")).unwrap();
    fs::remove_file(&moved).unwrap();
    check("ignature");
    put(&bundle.join("release.toml.minisig"), b"\xff nonsense");
    check("ncoding");
    signer.sign(&bundle.join("release.toml"));
    for (from, to) in [(bundle.clone(), "a"), (pack(&bundle), "b")] {
        let to = dir.path("releases").join(to);
        let found = unpack_to(&from, &to, &digest, Some(&signer.key)).unwrap();
        let comment = found.head.check_signature(&to, &signer.key).unwrap();
        assert_eq!(comment, "for a test");
        assert!(found.head.check_signature(&to, &other.key).is_err());
    }
    // Without a key the signature does not matter.
    unpack_to(&bundle, &dir.path("releases/c"), &digest, None).unwrap();
    assert_eq!(Key::read(&bundle.join("release.toml")).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn an_unpacked_release_is_checked_again_and_any_change_is_seen() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let to = dir.path("releases/x");
    let first = unpack_to(&bundle, &to, &digest, None).unwrap();
    // The source is not needed any more.
    fs::remove_dir_all(&bundle).unwrap();
    assert_eq!(unpack_to(&bundle, &to, &digest, None).unwrap(), first, "twice is once");
    let expected = Expected { app: "tiles", digest: &digest, key: None };
    verify_unpacked(&to, &expected, &Limits::STANDARD).unwrap();
    let file = to.join("files/share/data");
    set_mode(&file, 0o644);
    put(&file, &vec![8; 300_000]);
    let error = verify_unpacked(&to, &expected, &Limits::STANDARD).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(unpack_to(&bundle, &to, &digest, None).is_err());
}

#[test]
fn unpack_cut_between_any_two_changes_is_repeated_to_the_same_release() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let (archive, digest) = (pack(&bundle), digest_of(&bundle));
    for from in [bundle, archive] {
        let mut cuts = 0;
        for steps in 0.. {
            assert!(steps < 1000, "an unpacking has fewer changes than that");
            let to = dir.path("releases/x");
            crash_after(Some(steps));
            let cut = unpack_to(&from, &to, &digest, None);
            crash_after(None);
            if to.exists() {
                let expected = Expected { app: "tiles", digest: &digest, key: None };
                verify_unpacked(&to, &expected, &Limits::STANDARD).unwrap();
            }
            unpack_to(&from, &to, &digest, None).unwrap();
            assert_eq!(names(&dir.path("releases")), ["x"]);
            durable::remove_tree(&dir.path("releases"), Site::Prune).unwrap();
            if cut.is_ok() {
                break;
            }
            cuts += 1;
        }
        assert!(cuts > 30, "{cuts} cuts");
    }
}

#[test]
fn a_sync_that_fails_fails_the_unpacking_and_the_next_try_syncs() {
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let digest = digest_of(&bundle);
    let to = dir.path("releases/x");
    fs::create_dir(dir.path("releases")).unwrap();
    inject(Site::Release, Fault::Fail);
    let error = unpack_to(&bundle, &to, &digest, None).unwrap_err();
    drop_site(None);
    assert_eq!(error.kind(), Kind::Host);
    assert!(!to.exists());
    trace_syncs();
    unpack_to(&bundle, &to, &digest, None).unwrap();
    let full = trace_syncs();
    // Two for the directories above, one for the partial one, one for all files, one for the name.
    assert_eq!(full, [Site::Release; 5]);
    unpack_to(&bundle, &to, &digest, None).unwrap();
    assert_eq!(trace_syncs(), [Site::Release]);
}
