//! That what we write is what we take, and that notes are checked as far as they are named.

use std::time::Duration;

use groundcrew_engine::notes::NoteFile;

use super::*;
use crate::bundle::{
    Channel, Content, FileToWrite, Migrate, ReleaseToml, read_channel, seal, verify_unpacked,
    write, write_channel,
};

fn draft() -> ReleaseToml {
    let command = vec!["bin/tiles".to_owned(), "--data".to_owned(), "{volume.data}".to_owned()];
    ReleaseToml {
        revision: Some("0123456789abcdef".to_owned()),
        published: Some("2026-11-21T10:00:00.5Z".parse().unwrap()),
        platform: "x86_64-linux".to_owned(),
        data_epoch: Some(3),
        data_compatible_from: Some("1.0.0".to_owned()),
        migrate: Some(Migrate {
            up: vec!["bin/tiles".to_owned(), "migrate \"it\"\n".to_owned()],
            down: Some(vec!["bin/tiles".to_owned()]),
            timeout: Duration::from_millis(1500),
        }),
        ..ReleaseToml::draft("tiles", "1.1.0", command)
    }
}

fn note(version: &str, text: &str) -> NoteFile {
    NoteFile { version: version.to_owned(), bytes: text.into() }
}

fn write_bundle(dir: &Path) -> Sha256 {
    let program = dir.parent().unwrap().join("program");
    put(&program, b"#!/bin/sh\n");
    let files = [
        FileToWrite { path: "bin/tiles", content: Content::CopyOf(&program), executable: true },
        FileToWrite { path: "share/a b", content: Content::Bytes(b"data"), executable: false },
    ];
    write(dir, &draft(), &files, &[note("1.0.0", "old"), note("1.1.0", "new")]).unwrap()
}

#[test]
fn a_written_bundle_is_taken_and_says_what_was_asked() {
    let dir = Dir::new();
    let bundle = dir.path("source/tiles/1.1.0");
    let digest = write_bundle(&bundle);
    assert_eq!(names(&dir.path("source/tiles")), ["1.1.0", "program"]);
    let found = unpack_to(&bundle, &dir.path("x"), &digest, None).unwrap();
    let release = found.head.release;
    let expected = ReleaseToml {
        content: release.content.clone(),
        notes: Some("notes/".to_owned()),
        notes_content: release.notes_content.clone(),
        ..draft()
    };
    assert_eq!(release, expected);
    let executable = fs::metadata(dir.path("x/files/bin/tiles")).unwrap().permissions().mode();
    assert_eq!(executable & 0o777, 0o555);
    assert_eq!(fs::read(dir.path("x/files/share/a b")).unwrap(), b"data");
    let carried = Bundle::at(&bundle).notes().unwrap().unwrap();
    assert_eq!(carried, [note("1.0.0", "old"), note("1.1.0", "new")]);
    assert_eq!(Bundle::at(&pack(&bundle)).notes().unwrap().unwrap(), carried);
}

#[test]
fn a_bundle_that_no_host_would_take_is_not_written() {
    let dir = Dir::new();
    let to = dir.path("b");
    let file = |path: &'static str| {
        [FileToWrite { path, content: Content::Bytes(b""), executable: false }]
    };
    for path in ["../x", "/x", "a//b", "", "a/./b"] {
        let error = write(&to, &draft(), &file(path), &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{path}");
    }
    let nameless = ReleaseToml { version: "a/b".to_owned(), ..draft() };
    let error = write(&to, &nameless, &file("x"), &[]).unwrap_err();
    assert!(error.to_string().contains("has to be 1 to 128 letters"), "{error}");
    let error = write(&to, &draft(), &file("x"), &[note("../1", "")]).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(names(&dir.path("")), [""; 0], "nothing is left");
}

#[test]
fn a_written_channel_is_read_back() {
    let dir = Dir::new();
    let digest = Sha256::of(b"x");
    for serial in [Some(3), None] {
        let channel =
            Channel { version: "1.1.0".to_owned(), digest: digest.clone(), serial, signed: false };
        write_channel(&dir.path("source"), "tiles", "stable", &channel).unwrap();
        let found = read_channel(&dir.path("source"), "tiles", "stable", None).unwrap();
        assert_eq!(found, Some(channel.clone()));
        let bad = Channel { version: "../x".to_owned(), ..channel };
        write_channel(&dir.path("source"), "tiles", "stable", &bad).unwrap_err();
    }
}

/// GATE-3 decides by the notes, so a signature has to cover them (SRC-4).
#[test]
fn notes_are_checked_where_they_are_named_and_have_to_be_named_where_a_signature_counts() {
    type Change = fn(&Path);
    let changes: [(&str, Change, bool, bool); 6] = [
        ("nothing", |_| {}, true, true),
        ("a word", |dir| put(&dir.join("notes/1.1.0.md"), b"fine"), false, false),
        ("one more", |dir| put(&dir.join("notes/1.2.0.md"), b"fine"), false, false),
        ("all gone", |dir| fs::remove_dir_all(dir.join("notes")).unwrap(), false, false),
        ("not named", |dir| forget(dir, false), true, false),
        ("not named and none", |dir| forget(dir, true), true, true),
    ];
    for (what, change, plain, signed) in changes {
        for archived in [false, true] {
            let dir = Dir::new();
            let signer = Signer::new(dir.path("keys"));
            let mut bundle = dir.path("source/tiles/1.1.0");
            write_bundle(&bundle);
            change(&bundle);
            signer.sign(&bundle.join("release.toml"));
            let digest = digest_of(&bundle);
            if archived {
                fs::create_dir_all(bundle.join("notes")).unwrap();
                if what.ends_with("gone") || what.ends_with("none") {
                    continue;
                }
                bundle = pack(&bundle);
            }
            for (key, taken) in [(None, plain), (Some(&signer.key), signed)] {
                let to = dir.path(if key.is_some() { "signed" } else { "plain" });
                let result = unpack_to(&bundle, &to, &digest, key);
                assert_eq!(result.is_ok(), taken, "{what}: {result:?}");
                assert_eq!(to.exists(), taken, "{what}");
                if let Err(error) = result {
                    assert_eq!(error.kind(), Kind::Refused);
                    if what == "not named" {
                        assert!(error.to_string().contains("notes_content = \"sha256:"), "{error}");
                    }
                }
            }
        }
    }
}

/// As a publisher does who writes `release.toml` by hand.
fn forget(dir: &Path, notes_too: bool) {
    if notes_too {
        fs::remove_dir_all(dir.join("notes")).unwrap();
    }
    let text = fs::read_to_string(dir.join("release.toml")).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("notes")).collect();
    put(&dir.join("release.toml"), kept.join("\n").as_bytes());
}

#[test]
fn notes_changed_after_the_fetch_are_found() {
    let dir = Dir::new();
    let bundle = dir.path("b");
    let digest = write_bundle(&bundle);
    let to = dir.path("x");
    unpack_to(&bundle, &to, &digest, None).unwrap();
    set_mode(&to.join("notes"), 0o755);
    fs::remove_file(to.join("notes/1.0.0.md")).unwrap();
    let expected = Expected { app: "tiles", digest: &digest, key: None };
    let error = verify_unpacked(&to, &expected, &Limits::STANDARD).unwrap_err();
    assert!(error.to_string().contains("the digest of the notes is sha256:"), "{error}");
}

/// The recipe is for publishers without our library.
#[test]
fn the_recipe_in_the_document_gives_the_digests_that_we_check() {
    let document = include_str!("../../../../../docs/reference/release-toml.md");
    let recipe = document.split("```sh\n").find(|block| block.contains("sha256sum")).unwrap();
    let recipe = recipe.split("```").next().unwrap();
    let dir = Dir::new();
    let bundle = make_bundle(&dir.path("source"));
    let script = dir.path("list-digest");
    put(&script, recipe.as_bytes());
    for name in ["files", "notes"] {
        let output = Command::new("sh").arg(&script).arg(bundle.join(name)).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let expected = content_digest(&bundle.join(name), &Limits::STANDARD).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected.as_str());
    }
    let annotated = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let release = ReleaseToml::parse(Path::new("the example"), annotated.as_bytes()).unwrap();
    assert!(release.notes_content.is_some() && release.migrate.is_some());
    fs::remove_file(bundle.join("release.toml")).unwrap();
    let digest = seal(&bundle, &release).unwrap();
    unpack_to(&bundle, &dir.path("x"), &digest, None).unwrap();
}
