//! Every seed, every input that was found once, and some thousand mutations of them, through the
//! functions that the fuzzer runs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code, but no test function"
)]

use std::fs;
use std::path::Path;

use groundcrew_fuzz::mutate::{Chance, mutated};
use groundcrew_fuzz::{INPUT_MAX, TARGETS, Target, target};

/// Runs a target and says which input it was if that fails.
fn run(target: &Target, what: &str, input: &[u8]) {
    let run = std::panic::AssertUnwindSafe(|| (target.run)(input));
    let ended = std::panic::catch_unwind(run);
    assert!(ended.is_ok(), "{} with {what}: {input:02x?}", target.name);
}

fn regressions(target: &Target) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let file = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
    };
    let mut files: Vec<_> = entries.map(|entry| file(entry.unwrap())).collect();
    files.sort();
    files
}

/// Seeds, regressions and so many mutations.
fn replay(name: &str, mutations: usize) {
    let target = target(name).unwrap();
    let mut inputs = (target.seeds)();
    assert!(!inputs.is_empty());
    for (place, seed) in inputs.iter().enumerate() {
        assert!(seed.len() <= INPUT_MAX, "seed {place} has {} bytes", seed.len());
        run(target, &format!("seed {place}"), seed);
    }
    for (file, input) in regressions(target) {
        run(target, &file, &input);
        inputs.push(input);
    }
    let mut chance = Chance::new(7);
    for number in 0..mutations {
        let [one, other] = [(); 2].map(|()| &inputs[chance.below(inputs.len())]);
        let mut input = mutated(one, other, &mut chance);
        input.truncate(INPUT_MAX);
        run(target, &format!("mutation {number}"), &input);
    }
}

macro_rules! replays {
    ($($test:ident: $name:literal, $mutations:literal;)+) => {
        $(#[test]
        fn $test() {
            replay($name, $mutations);
        })+

        #[test]
        fn every_target_is_replayed_and_no_regression_is_of_none() {
            let names = TARGETS.map(|target| target.name);
            assert_eq!(names.as_slice(), [$($name),+]);
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(target(&name).is_some(), "{name} is no target");
            }
        }
    };
}

replays! {
    frames_that_nobody_meant: "frame", 3000;
    segments_that_nobody_meant: "segment", 2000;
    manifests_that_nobody_meant: "manifest", 3000;
    bodies_that_nobody_meant: "body", 3000;
    directories_that_nobody_meant: "recovery", 2000;
    rings_that_nobody_meant: "ring", 2000;
    recorders_beside_rings_that_nobody_meant: "recorder", 300;
}
