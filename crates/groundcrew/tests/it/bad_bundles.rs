//! Bundles that are not what somebody said: changed, wrongly signed, with notes that nobody can read.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bad::{installed, offer, put, refused};
use crate::bench::Bench;

/// The digest that a release says its content has.
fn named(release: &Path) -> String {
    let text = fs::read_to_string(release).unwrap();
    let line = text.lines().find(|line| line.contains("sha256:")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_bundle_that_was_changed_is_held_with_the_digest_found_and_the_one_expected() {
    let bench = installed();
    let dir = offer(&bench, "1.0.1", "exit 0");
    let expected = named(&dir.join("release.toml"));
    put(dir.join("files/bin/app"), "#!/bin/sh\necho changed\n");
    let ran = refused(&bench, 4, &["1.0.1 is held", "publish it again"]);
    let digests: Vec<&str> =
        ran.out.match_indices("sha256:").filter_map(|(at, _)| ran.out.get(at..at + 71)).collect();
    let [found, wanted] = digests.as_slice() else { panic!("two digests are to be said: {ran:?}") };
    assert_eq!(*wanted, expected, "the second is the expected one: {ran:?}");
    assert_ne!(*found, expected);
    // Sealed as it lies there, it has the digest that was found.
    let draft = bench.path("changed");
    fs::create_dir(&draft).unwrap();
    let copied = Command::new("cp").arg("-a").arg(dir.join(".")).arg(&draft).status().unwrap();
    assert!(copied.success());
    bench.run(&["bundle", "seal", &draft.display().to_string()]).ends(0);
    assert_eq!(named(&draft.join("release.toml")), *found, "{ran:?}");
}

/// A key with no password; its public half and its secret half.
fn key(bench: &Bench, name: &str) -> [String; 2] {
    let halves = [format!("{name}.pub"), name.to_owned()];
    let halves = halves.map(|name| bench.path(&name).display().to_string());
    let made = Command::new("minisign")
        .args(["-G", "-W", "-f", "-p", &halves[0], "-s", &halves[1]])
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("apt-get install minisign").success());
    halves
}

/// 1.0.0 runs, and from now on releases have to be signed with this key.
fn asks_for_signatures() -> (Bench, [String; 2]) {
    let bench = installed();
    let key = key(&bench, "key");
    let text = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let with = format!("/releases\", minisign_key = \"{}\" }}", key[0]);
    bench.write("groundcrew.toml", &text.replace("/releases\" }", &with));
    (bench, key)
}

fn sign(release: &Path, secret: &str) {
    let signed = Command::new("minisign")
        .args(["-S", "-s", secret, "-m"])
        .arg(release)
        .stdout(Stdio::null())
        .status();
    assert!(signed.unwrap().success());
}

#[test]
fn a_release_without_the_signature_that_is_asked_for_is_held() {
    let (bench, _) = asks_for_signatures();
    offer(&bench, "1.0.1", "exit 0");
    refused(&bench, 4, &["1.0.1 is held", "the signature of", "there is none", "key.pub"]);
}

#[test]
fn a_release_with_the_signature_of_another_key_or_of_another_release_is_held() {
    let (bench, [_, secret]) = asks_for_signatures();
    let [_, other] = key(&bench, "other");
    let path = offer(&bench, "1.0.1", "exit 0").join("release.toml");
    sign(&path, &other);
    let said =
        refused(&bench, 4, &["1.0.1 is held", "the signature of", "release.toml", "key.pub"]);
    assert!(said.out.contains("different key"), "{said:?}");

    // The right key, under something else.
    sign(&path, &secret);
    let second = offer(&bench, "1.0.2", "exit 0").join("release.toml");
    let signature = |release: &Path| release.with_extension("toml.minisig");
    fs::copy(signature(&path), signature(&second)).unwrap();
    let said =
        refused(&bench, 4, &["1.0.2 is held", "the signature of", "release.toml", "key.pub"]);
    assert!(!said.out.contains("different key"), "{said:?}");
    assert!(said.out.contains("signature verification failed"), "{said:?}");

    let path = offer(&bench, "1.0.3", "exec sleep 60").join("release.toml");
    sign(&path, &secret);
    let check = bench.run(&["check", "ledger"]).ends(0);
    assert!(check.out.contains("1.0.3"), "a good signature passes: {check:?}");
}

/// Offers a release with these notes, signed by nobody.
fn offer_with_notes(bench: &Bench, version: &str, notes: &[u8]) {
    offer(bench, version, "exit 0");
    fs::remove_dir_all(bench.path("releases/ledger").join(version)).unwrap();
    let dir = bench.path("draft/notes");
    fs::create_dir_all(&dir).unwrap();
    put(dir.join(format!("{version}.md")), notes);
    let (draft, root) =
        (bench.path("draft").display().to_string(), bench.path("releases").display().to_string());
    bench.run(&["bundle", "seal", &draft]).ends(0);
    bench.run(&["bundle", "publish", &draft, "--to", &root]).ends(0);
}

/// Notes that can be read are read, whatever wrote them: what asks for a person is found.
#[test]
fn notes_with_a_byte_order_mark_are_read() {
    let text = "# Ma\u{df}nahme\n\nManual migration required.\n";
    let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
    };
    let bench = installed();
    for (version, notes) in (1..).zip([
        format!("\u{feff}{text}").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
    ]) {
        let version = format!("1.0.{version}");
        offer_with_notes(&bench, &version, &notes);
        let held = format!("{version} is held");
        let asks = format!("the notes of {version} ask for a person");
        refused(&bench, 4, &[&held, &asks, "Manual migration required"]);
    }
}

/// What cannot be read for sure is not guessed at: it might ask for a person.
#[test]
fn notes_that_are_no_text_defer_the_release_with_the_encoding_that_was_tried() {
    let bench = installed();
    for (version, (notes, encoding)) in (1..).zip([
        // "Ausf\u{fc}hrung", as ISO 8859-1 writes it.
        (&b"Vor der Ausf\xfchrung\n"[..], "UTF-8"),
        (b"Manual\0migration\n", "UTF-8"),
        (b"cut short: \xe2\x82", "UTF-8"),
        (b"\xef\xbb\xbf\xff\n", "UTF-8"),
        // An odd number of bytes, and half of a pair.
        (b"\xff\xfeM\0a", "UTF-16"),
        (b"\xfe\xff\xd8\x3d\0M", "UTF-16"),
        // No mark: every second character would be a zero.
        (b"M\0a\0n\0u\0a\0l\0", "UTF-8"),
    ]) {
        let version = format!("1.0.{version}");
        offer_with_notes(&bench, &version, notes);
        let deferred = format!("{version} is deferred");
        let cannot = format!("release notes of {version} cannot be read");
        refused(&bench, 4, &[&deferred, &cannot, encoding]);
    }
}
