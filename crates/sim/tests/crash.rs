//! The proof that a crash anywhere changes nothing but the time taken.
//!
//! `cargo xtask sim --report` runs every story; here every story runs calmly, and a part of them
//! with a death at every point, so that `cargo test` stays short.

use std::collections::BTreeSet;

use groundcrew_sim::seeded::Seeded;
use groundcrew_sim::{crash, quiet_cuts, random, story};

/// One story in so many is crashed everywhere here.
const EVERY: usize = 12;

#[test]
fn crash_everywhere() {
    quiet_cuts();
    let mut covered = BTreeSet::new();
    for story in story::all().iter().step_by(EVERY) {
        let report = crash::everywhere(story, None);
        assert_eq!(report.violations, Vec::<String>::new(), "{}", story.name);
        covered.extend(report.covered);
    }
    let states: BTreeSet<&str> =
        covered.iter().filter_map(|point| point.split(':').next()).collect();
    for state in STATES {
        assert!(states.contains(state), "no agent died in {state}; died in {states:?}");
    }
}

/// States in which an agent can die: those that last longer than the turn that leaves them.
const STATES: &[&str] = &[
    "idle",
    "detected",
    "fetching",
    "staged",
    "armed",
    "precopying",
    "draining",
    "stopped",
    "snapshotting",
    "snapshotted",
    "applying",
    "migrating",
    "starting",
    "probing",
    "accepted",
    "watching",
    "proven",
    "rollback-decided",
    "rb-stopping",
    "rb-data",
    "rb-switch",
    "rb-starting",
    "rb-probing",
    "rolled-back",
    "aborted",
];

#[test]
fn every_story_ends_where_it_should() {
    quiet_cuts();
    for story in story::all() {
        match crash::calm(&story, None) {
            Ok((landing, _)) => {
                assert_eq!(landing.running.as_deref(), story.ends_with, "{}", story.name);
                assert_eq!(landing.state, story.ends_in, "{}", story.name);
            }
            Err(found) => panic!("{}: {found:?}", story.name),
        }
    }
}

#[test]
fn every_seeded_fault_is_caught() {
    quiet_cuts();
    let stories = story::all();
    for mistake in Seeded::ALL {
        assert!(crash::catch(*mistake, &stories).is_some(), "nobody noticed {mistake:?}");
    }
}

/// Seeds that once found something; they stay.
const SEEDS: &[u64] =
    &[68, 173, 174, 187, 244, 288, 297, 303, 305, 327, 344, 389, 412, 435, 2_307, 2_769, 2_965];

#[test]
fn seeds_that_once_found_something_find_nothing_now() {
    quiet_cuts();
    for seed in SEEDS.iter().copied().chain(1_000..1_100) {
        assert_eq!(random::run(seed), Vec::<String>::new());
    }
}

#[test]
fn the_document_names_only_stories_that_exist() {
    let document = include_str!("../../../docs/internals/simulation.md");
    let names: Vec<String> = story::all().into_iter().map(|story| story.name).collect();
    let rows = document.lines().filter(|line| line.starts_with('|')).skip(2);
    let mut named = 0;
    for cell in rows.filter_map(|row| row.split('|').nth(3)) {
        for name in cell.split(';').map(str::trim) {
            assert!(names.iter().any(|story| story.contains(name)), "no story is called «{name}»");
            named += 1;
        }
    }
    assert!(named >= 9, "the table has at least a story per row");
}
