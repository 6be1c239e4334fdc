//! The version type against tables of what registries and recipes publish.

use super::*;

fn version(text: &str, form: VersionForm) -> Version {
    Version::parse(text, form).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn plain(text: &str) -> Version {
    version(text, VersionForm::Plain)
}

/// Ascending by what decides; every neighbor pair, and by that every pair, is strictly ordered.
const ASCENDING: &[&str] = &[
    "0.0.3",
    "0.0.4",
    "0.1.0-dev",
    "0.1",
    "1.0.0-a1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta2",
    "1.0.0-beta.11",
    "1.0.0rc1",
    "1.0.0-rc9",
    "1.0.0-rc.10",
    "v1",
    "1.0.0-1",
    "1.0.0-2-alpine3.9",
    "1.0.0-2-alpine3.18",
    "1.0.1",
    "1.2",
    "1.2.0.1",
    "V1.2.3",
    "1.2.3.4",
    "1.10",
    "2_0_1",
    "9.99999999999999999999-rc1x",
    "10.0.3",
    "10.0.3-rootless",
    "2024.11.02",
    "2024-11-03",
];

#[test]
fn versions_order_by_numbers_then_pre_release_then_flavor() {
    let known: Vec<_> =
        ASCENDING.iter().filter_map(|t| Version::parse(t, VersionForm::Plain).ok()).collect();
    assert_eq!(known.len(), ASCENDING.len() - 1, "only the overlong number is refused");
    for (at, low) in known.iter().enumerate() {
        for high in &known[at + 1..] {
            assert_eq!(low.precedence(high), Ordering::Less, "{low} < {high}");
            assert_eq!(high.precedence(low), Ordering::Greater, "{high} > {low}");
            assert!(low < high, "{low} < {high}");
        }
    }
}

#[test]
fn spellings_of_one_version_decide_alike() {
    let pairs = [
        ("1", "v1.0.0"),
        ("1.2.0", "1_2"),
        ("1.0.0-rc10", "1.0.0-RC.10"),
        ("1.0.0-rc-1", "1.0rc01"),
        ("1.0.0.dev3", "1.0.0-dev3"),
        ("2024.11.02", "2024-11-2"),
    ];
    for (a, b) in pairs {
        assert_eq!(plain(a).change_to(&plain(b)), Change::Same, "{a} {b}");
        assert_eq!(plain(b).change_to(&plain(a)), Change::Same, "{b} {a}");
        assert_ne!(plain(a).cmp(&plain(b)), Ordering::Equal, "{a} and {b} are different texts");
    }
}

#[test]
fn change_says_how_far_the_candidate_is() {
    use Change::{Breaking, Downgrade, Minor, Patch, PreRelease, Same, UpstreamOnly};
    let table = [
        ("1.2.3", "1.2.3", Same),
        ("1.2.3", "1.2.3+build.7", UpstreamOnly),
        ("1.2.3", "1.2.4", Patch),
        ("1.2.3", "1.2.3.1", Patch),
        ("1.2.3", "1.2.3-1", Patch),
        ("1.2.3-ls45", "1.2.3-ls46", Patch),
        ("1.2.3-ls46", "1.2.3-ls45", Downgrade),
        ("1.2.3", "1.10.0", Minor),
        ("1.2.3", "2.0.0", Breaking),
        ("1.2.3", "2", Breaking),
        ("1.2.3", "2.0.0-rc.1", Breaking),
        ("0.2.3", "0.3.0", Breaking),
        ("0.2.3", "0.3.0-beta1", Breaking),
        ("0.2.3", "0.2.4", Patch),
        ("0.0.3", "0.0.4", Patch),
        ("0.9.0", "1.0.0", Breaking),
        ("1.2.3", "1.3.0-rc.1", PreRelease),
        ("1.3.0-rc.9", "1.3.0-rc.10", PreRelease),
        ("1.3.0-rc.10", "1.3.0", Patch),
        ("2.0.0-rc.1", "2.0.0", Patch),
        ("1.3.0", "1.3.0-rc.10", Downgrade),
        ("1.3.0", "1.2.9", Downgrade),
        ("2.0.0", "1.9.9", Downgrade),
        ("10.0.3-rootless", "10.0.4-rootless", Patch),
        ("10.0.3-rootless", "10.0.4", Breaking),
        ("10.0.3", "10.0.3-rootless", Breaking),
        ("10.0.3", "10.0.2-rootless", Downgrade),
        ("16.1-alpine3.18", "16.1-alpine3.20", Patch),
        ("16.1-alpine3.18", "16.2-alpine3.20", Minor),
        ("16.1-alpine3.18", "16.2-bookworm", Breaking),
        ("2024.11.02", "2024.12.01", Minor),
        ("2024.11.02", "2025.01.01", Breaking),
    ];
    for (from, to, expected) in table {
        assert_eq!(plain(from).change_to(&plain(to)), expected, "{from} -> {to}");
    }
}

#[test]
fn double_versions_are_decided_by_the_recipe_part() {
    use Change::{Breaking, Downgrade, Patch, Same, UpstreamOnly};
    use VersionForm::{RecipePlusUpstream as Recipe, UpstreamPlusRecipe as Upstream};
    let table = [
        (Recipe, "1.0.0+1.14.3", "1.0.0+1.14.3", Same),
        (Recipe, "1.0.0+1.14.3", "1.0.0+2.0.0", UpstreamOnly),
        (Recipe, "1.0.0+1.14.3", "1.0.0+1.0.0", UpstreamOnly),
        (Recipe, "1.0.0+1.14.3", "1.0.1+2.0.0", Patch),
        (Recipe, "1.0.0+1.14.3", "2.0.0+1.14.3", Breaking),
        (Recipe, "1.1.0+1.14.3", "1.0.0+1.15.0", Downgrade),
        (Recipe, "1.0.0+latest", "1.0.1+what ever/this:is", Patch),
        (Recipe, "1.0.0", "1.0.1+2", Patch),
        (Upstream, "1.14.3+1.0.0", "2.0.0+1.0.0", UpstreamOnly),
        (Upstream, "1.14.3+1.0.0", "1.14.3+2.0.0", Breaking),
        (Upstream, "latest+git+1.0.0", "latest+git+1.0.1", Patch),
    ];
    for (form, from, to, expected) in table {
        let change = version(from, form).change_to(&version(to, form));
        assert_eq!(change, expected, "{form}: {from} -> {to}");
    }
    assert_eq!(version("1.0.0+1.14.3", Recipe).informs(), Some("1.14.3"));
    assert_eq!(version("1.14.3+1.0.0", Upstream).informs(), Some("1.14.3"));
}

#[test]
fn opaque_versions_take_any_text_and_know_no_order() {
    let (latest, commit) =
        (version("latest", VersionForm::Opaque), version("3f2a9c1 (main)", VersionForm::Opaque));
    assert_eq!(latest.change_to(&latest), Change::Same);
    assert_eq!(latest.change_to(&commit), Change::UpstreamOnly);
    assert_eq!(commit.change_to(&latest), Change::UpstreamOnly);
    assert_eq!(latest.change_to(&plain("1.0")), Change::Breaking, "the form changed: ask");
    assert_eq!(plain("1.0").change_to(&latest), Change::Breaking, "the form changed: ask");
}

#[test]
fn refused_texts_say_what_is_wrong_with_them() {
    use VersionForm::{Plain, UpstreamPlusRecipe};
    let long = "1".repeat(MAX_VERSION_BYTES + 1);
    let table = [
        (Plain, "", "a version is empty"),
        (Plain, long.as_str(), "a version has 129 bytes, at most 128 are read"),
        (Plain, "latest", r#"version "latest" has no number at "latest""#),
        (Plain, "v", r#"version "v" has no number at """#),
        (Plain, "1..2", r#"version "1..2" has no number at ".2""#),
        (Plain, "1.2.", r#"version "1.2." has no number at """#),
        (Plain, "1.x", r#"version "1.x" has no number at "x""#),
        (Plain, "1.2 ", r#"version "1.2 " holds the character ' '"#),
        (Plain, "1.2\n", r#"version "1.2\n" holds the character '\n'"#),
        (Plain, "1.0~rc1", r#"version "1.0~rc1" holds the character '~'"#),
        (Plain, "\u{0661}.0", "version \"\u{0661}.0\" holds the character '\u{0661}'"),
        (
            Plain,
            "1.1.1w",
            r#"version "1.1.1w" has the suffix "w", which says neither earlier nor later"#,
        ),
        (
            Plain,
            "1.1.1a",
            r#"version "1.1.1a" has the suffix "a", which says neither earlier nor later"#,
        ),
        (
            Plain,
            "1.2-",
            r#"version "1.2-" has the suffix "", which says neither earlier nor later"#,
        ),
        (
            Plain,
            "1.2--rc1",
            r#"version "1.2--rc1" has the suffix "-rc1", which says neither earlier nor later"#,
        ),
        (
            Plain,
            "1.18446744073709551616",
            r#"version "1.18446744073709551616" has the number 18446744073709551616, the largest is 18446744073709551615"#,
        ),
        (Plain, "1.2.3.4.5.6.7.8.9", r#"version "1.2.3.4.5.6.7.8.9" has more than 8 numbers"#),
        (Plain, "+7", r#"version "+7" lacks the part that decides, the form is plain"#),
        (
            UpstreamPlusRecipe,
            "1.0.0",
            r#"version "1.0.0" lacks the part that decides, the form is upstream+recipe"#,
        ),
    ];
    for (form, text, expected) in table {
        let error = Version::parse(text, form).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

/// All texts of up to five characters over an alphabet that reaches every branch of the reader.
fn short_texts() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..5 {
        last = last
            .iter()
            .flat_map(|text| "10v.-+ax".chars().map(move |c| format!("{text}{c}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn parsing_keeps_the_text_and_never_panics() {
    let mut read = 0;
    for text in short_texts() {
        for form in [
            VersionForm::Plain,
            VersionForm::RecipePlusUpstream,
            VersionForm::UpstreamPlusRecipe,
            VersionForm::Opaque,
        ] {
            if let Ok(found) = Version::parse(&text, form) {
                assert_eq!(found.as_str(), text);
                assert_eq!(found.change_to(&found), Change::Same, "{text}");
                read += 1;
            }
        }
    }
    assert!(read > 30_000, "{read} texts were read");
}

#[test]
fn order_is_total_and_agrees_with_equality() {
    let sample: Vec<_> = short_texts()
        .iter()
        .filter_map(|text| Version::parse(text, VersionForm::Plain).ok())
        .step_by(29)
        .collect();
    assert!(sample.len() > 100, "{} versions", sample.len());
    for a in &sample {
        for b in &sample {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a} {b}");
            assert_eq!(a == b, a.cmp(b).is_eq(), "{a} {b}");
            for c in &sample {
                if a <= b && b <= c {
                    assert!(a <= c, "{a} {b} {c}");
                }
            }
            let back_and_forth = (a.change_to(b), b.change_to(a));
            assert!(
                back_and_forth != (Change::Downgrade, Change::Downgrade),
                "{a} {b}: at most one way is down"
            );
        }
    }
}

#[test]
fn forms_are_written_as_the_configuration_names_them() {
    for form in [
        VersionForm::Plain,
        VersionForm::RecipePlusUpstream,
        VersionForm::UpstreamPlusRecipe,
        VersionForm::Opaque,
    ] {
        let text = serde_json::to_string(&form).unwrap();
        assert_eq!(text, format!("\"{form}\""));
        assert_eq!(serde_json::from_str::<VersionForm>(&text).unwrap(), form);
    }
}
