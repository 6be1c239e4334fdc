//! The notes reader against tables of phrases, releases and encodings.

use super::*;

fn note(version: &str, text: &str) -> NoteFile {
    NoteFile { version: version.into(), bytes: text.into() }
}

fn version(text: &str) -> Version {
    Version::parse(text, VersionForm::Plain).unwrap()
}

fn read_plain(notes: &[NoteFile], current: &str, candidate: &str) -> Reading {
    read(
        notes,
        Some(&version(current)),
        &version(candidate),
        VersionForm::Plain,
        &Markers::default(),
    )
}

/// Reads one file; the findings as `line: marker`.
fn findings(text: &str) -> Vec<String> {
    let reading = read_plain(&[note("1.1.0", text)], "1.0.0", "1.1.0");
    assert_eq!(reading.unreadable, [], "{text:?}");
    reading.findings.iter().map(|f| format!("{}: {}", f.line, f.marker)).collect()
}

#[test]
fn markers_are_found_whatever_their_case_markup_and_wrapping() {
    let table = [
        ("## BREAKING CHANGES\n\n- the key `a` is gone", "1: breaking"),
        ("All fine.\n\n**Breaking:** the key is gone", "3: breaking"),
        ("* feat!: x\n* BREAKING-CHANGE: y", "2: breaking"),
        ("Before upgrading, make a backup.", "1: before upgrading"),
        ("This needs a manual\n  migration of the database.", "1: manual migration"),
        ("Manual_Migration", "1: manual migration"),
        ("> **Action required**: rotate the key", "1: action required"),
        ("See the manual steps below.", "1: manual step"),
        ("| manual step | yes |", "1: manual step"),
        ("Breaking changes: none of the old keys work.", "1: breaking"),
        ("Do not skip: manual migration required", "1: manual migration"),
        ("Do not skip manual migration", "1: manual migration"),
        ("No downtime, breaking changes", "1: breaking"),
        ("Manual migration is not required unless you use SQLite", "1: manual migration"),
        ("No breaking changes in the API. Breaking change in the CLI.", "1: breaking"),
        ("No breaking changes and a manual migration", "1: manual migration"),
        ("## No longer supported\n\nBreaking", "3: breaking"),
        ("## Breaking changes\n\nNone of your business", "1: breaking"),
        ("manual migration: yes", "1: manual migration"),
    ];
    for (text, expected) in table {
        assert_eq!(findings(text), [expected], "{text:?}");
    }
}

#[test]
fn what_is_plainly_denied_is_no_finding() {
    let table = [
        "No breaking changes.",
        "There are no known breaking changes in this release",
        "This release does not contain any breaking changes, and no manual migration.",
        "This is a non-breaking change",
        "This isn't breaking",
        "It isn’t breaking",
        "Updates without a manual migration",
        "No breaking changes or manual steps",
        "No manual\nmigration is needed",
        "Manual migration is not required.",
        "No user action required",
        "Breaking changes: none",
        "Breaking changes (none)",
        "Breaking change(s): none",
        "## Breaking changes\n\nNone.\n\n## Features\n\n- many",
        "## Breaking Changes\n\n- None known\n- many features",
        "### Action required\n\nN/A\n",
        "A groundbreaking release about outbreaks",
        "We moved a manual; migration guides are elsewhere",
        "The manual.\n\nMigration is automatic.",
        "",
        "\n\n",
    ];
    for text in table {
        assert_eq!(findings(text), [""; 0], "{text:?}");
    }
}

#[test]
fn front_matter_asks_for_a_person_unless_it_plainly_says_no() {
    let table: &[(&str, &[&str])] = &[
        ("---\nmanual_migration: true\n---\ntext", &["2: manual_migration"]),
        ("---\r\nManual_Migration: \"True\"\r\n---\r\ntext", &["2: manual_migration"]),
        ("---\ntitle: x\nmanual_migration: yes # ask Ann\n---", &["3: manual_migration"]),
        ("---\nmanual_migration: perhaps\n---", &["2: manual_migration"]),
        ("---\nmanual_migration:\n---", &["2: manual_migration"]),
        ("---\nmanual_migration: false\ntitle: x\n---\ntext", &[]),
        ("---\nmanual_migration: false # really\n---\ntext", &[]),
        ("---\nbreaking: false\ntitle: x\n---\ntext", &[]),
        ("---\nbreaking: true\n---\ntext", &["2: breaking"]),
        ("---\nmanual_migration: true\n---\nbreaking", &["2: manual_migration", "4: breaking"]),
        ("---\nmanual_migration: true\nno end", &["2: manual migration"]),
        ("text\n---\nmanual_migration: true\n---", &["3: manual migration"]),
    ];
    for (text, expected) in table {
        assert_eq!(findings(text), *expected, "{text:?}");
    }
}

/// Current, candidate, covered, missing.
type Range = (Option<&'static str>, &'static str, &'static [&'static str], &'static [&'static str]);

#[test]
fn notes_of_every_release_after_the_current_up_to_the_candidate_are_read() {
    let set: Vec<NoteFile> =
        ["1.10.0", "1.0.0", "1.2.0", "v1.1", "1.2.0-rc.1", "2.0.0", "1.2.0+b1"]
            .iter()
            .map(|version| note(version, &format!("breaking in {version}")))
            .collect();
    let table: &[Range] = &[
        (Some("1.0.0"), "1.2.0", &["v1.1", "1.2.0-rc.1", "1.2.0"], &[]),
        (Some("1.1.0"), "1.10.0", &["1.2.0-rc.1", "1.2.0", "1.2.0+b1", "1.10.0"], &[]),
        (Some("1.10.0"), "2.0.1", &["2.0.0"], &["2.0.1"]),
        (Some("1.10.0"), "1.0.0", &["1.0.0"], &[]),
        (Some("2.0.0"), "2.0.0", &["2.0.0"], &[]),
        (Some("2.0.0"), "3.0.0", &[], &["3.0.0"]),
        (None, "1.1", &["1.0.0", "v1.1"], &[]),
    ];
    for (current, candidate, covered, missing) in table {
        let current = current.map(version);
        let reading = read(
            &set,
            current.as_ref(),
            &version(candidate),
            VersionForm::Plain,
            &Markers::default(),
        );
        assert_eq!(reading.covered, *covered, "{current:?} -> {candidate}");
        assert_eq!(reading.missing, *missing, "{current:?} -> {candidate}");
        let found: Vec<&str> = reading.findings.iter().map(|f| f.version.as_str()).collect();
        assert_eq!(found, *covered, "every covered release is read");
        assert_eq!(reading.empty, covered.is_empty());
    }
}

#[test]
fn notes_of_double_versions_follow_the_recipe_and_then_the_upstream_part() {
    let form = VersionForm::RecipePlusUpstream;
    let version = |text| Version::parse(text, form).unwrap();
    let set: Vec<NoteFile> = ["1.0.0+1.9", "1.0.0+1.10", "1.0.0+1.14", "1.0.1+1.2", "2.0.0+1.14"]
        .map(|version| note(version, "x"))
        .into();
    let covered = |current, candidate| {
        let (current, candidate) = (version(current), version(candidate));
        read(&set, Some(&current), &candidate, form, &Markers::default()).covered
    };
    assert_eq!(covered("1.0.0+1.9", "1.0.0+1.14"), ["1.0.0+1.10", "1.0.0+1.14"]);
    assert_eq!(covered("1.0.0+1.10", "1.0.1+1.15"), ["1.0.0+1.14", "1.0.1+1.2"]);
}

#[test]
fn notes_are_shared_by_the_flavors_of_a_release() {
    let set = [note("10.0.3", "old"), note("10.0.4", "breaking")];
    let reading = read_plain(&set, "10.0.3-rootless", "10.0.4-rootless");
    assert_eq!((reading.covered, reading.missing), (vec!["10.0.4".to_owned()], vec![]));
}

#[test]
fn opaque_versions_have_all_notes_read_but_the_current_ones() {
    let form = VersionForm::Opaque;
    let version = |text| Version::parse(text, form).unwrap();
    let set = [note("blue", "breaking"), note("green", "x"), note("red", "x")];
    let reading = read(&set, Some(&version("blue")), &version("red"), form, &Markers::default());
    assert_eq!(
        (reading.covered.as_slice(), reading.findings.len()),
        (&["green", "red"].map(String::from)[..], 0)
    );
    let reading = read(&set, Some(&version("red")), &version("pink"), form, &Markers::default());
    assert_eq!((reading.missing.as_slice(), reading.findings.len()), (&["pink".to_owned()][..], 1));
}

fn utf16(text: &str, mark: bool, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(unit).collect()
}

#[test]
fn every_encoding_with_a_name_is_read_and_any_other_is_unreadable() {
    let text = "---\nmanual_migration: true\n---\nümlaut 🚧";
    let with_mark = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
    let readable = [
        text.as_bytes().to_vec(),
        with_mark,
        utf16(text, true, u16::to_le_bytes),
        utf16(text, true, u16::to_be_bytes),
    ];
    for bytes in readable {
        let reading = read_plain(&[NoteFile { version: "1.1".into(), bytes }], "1.0", "1.1");
        assert_eq!(reading.findings.len(), 1);
        assert_eq!(reading.findings[0].text, "manual_migration: true");
    }
    let odd = [utf16(text, true, u16::to_le_bytes), vec![0]].concat();
    let unreadable = [
        (b"caf\xe9".to_vec(), "the notes are not UTF-8 text"),
        (utf16("breaking", false, u16::to_le_bytes), "the notes are not UTF-8 text"),
        (odd, "the notes are not UTF-16 text"),
        (vec![0xff, 0xfe, 0x00, 0xd8], "the notes are not UTF-16 text"),
        (vec![0xff, 0xfe, 0, 0, b'a', 0, 0, 0], "the notes are not UTF-16 text"),
        (vec![b'a'; MAX_NOTE_BYTES + 1], "the notes have 262145 bytes, at most 262144 are read"),
    ];
    for (bytes, expected) in unreadable {
        let reading = read_plain(&[NoteFile { version: "1.1".into(), bytes }], "1.0", "1.1");
        let why: Vec<_> =
            reading.unreadable.iter().map(|u| (u.version.as_str(), u.why.to_string())).collect();
        assert_eq!(why, [("1.1", expected.to_owned())]);
        assert!(!reading.empty, "unreadable is not empty");
        assert_eq!(reading.missing, [""; 0], "unreadable is not missing");
    }
}

#[test]
fn notes_outside_the_range_may_be_unreadable_but_not_unplaceable() {
    let set = [
        NoteFile { version: "0.9".into(), bytes: vec![0xff] },
        note("README", "breaking"),
        note("1.1", "fine"),
    ];
    let reading = read_plain(&set, "1.0", "1.1");
    let why: Vec<_> =
        reading.unreadable.iter().map(|u| (u.version.as_str(), u.why.to_string())).collect();
    assert_eq!(
        why,
        [("README", "cannot tell which release the notes belong to".to_owned())],
        "{reading:?}"
    );
}

#[test]
fn too_many_files_make_the_whole_set_unreadable() {
    let set = vec![note("1.1", "breaking"); MAX_NOTE_FILES + 1];
    let reading = read_plain(&set, "1.0", "1.1");
    assert_eq!(reading.covered, [""; 0]);
    assert_eq!(
        reading.unreadable[0].why.to_string(),
        "the bundle has 501 notes files, at most 500 are read"
    );
}

#[test]
fn blank_notes_count_as_empty() {
    assert!(read_plain(&[], "1.0", "1.1").empty);
    assert!(read_plain(&[note("1.1", "\n# \n")], "1.0", "1.1").empty);
    assert!(!read_plain(&[note("1.1", "words")], "1.0", "1.1").empty);
}

#[test]
fn findings_are_bounded_in_number_and_length() {
    let line = format!("breaking {}", "ü".repeat(300));
    let text = vec![line; MAX_FINDINGS + 7].join("\n\n");
    let reading = read_plain(&[note("1.1", &text)], "1.0", "1.1");
    assert_eq!((reading.findings.len(), reading.findings_left_out), (MAX_FINDINGS, 7));
    for finding in &reading.findings {
        assert!(finding.text.len() <= MAX_FINDING_BYTES);
        assert!(finding.text.ends_with("ü…"), "{}", finding.text);
    }
}

#[test]
fn markers_can_be_replaced_and_empty_ones_never_match() {
    let markers = Markers::new(&["Handarbeit", "", "!!"]);
    let set = [note("1.1", "breaking, und handarbeit")];
    let reading = read(&set, Some(&version("1.0")), &version("1.1"), VersionForm::Plain, &markers);
    assert_eq!(reading.findings.len(), 1);
    assert_eq!(reading.findings[0].marker, "Handarbeit");
}
