//! No input makes a target hold more memory than it may.

use groundcrew_fuzz::mutate::{Chance, mutated};
use groundcrew_fuzz::{INPUT_MAX, TARGETS};

/// Mutations of each target; all others run without being measured, which is quicker.
const MUTATIONS: usize = 60;

#[test]
fn no_input_takes_more_memory_than_it_may() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        let mut chance = Chance::new(11);
        for number in 0..seeds.len() + MUTATIONS {
            let mut input = seeds[number % seeds.len()].clone();
            if number >= seeds.len() {
                input = mutated(&input, &seeds[chance.below(seeds.len())], &mut chance);
                input.truncate(INPUT_MAX);
            }
            let used = allocation_counter::measure(|| (target.run)(&input));
            let (held, most) = (used.bytes_max, target.memory_max);
            assert!(held <= most, "{}: {held} bytes, at most {most}: {input:02x?}", target.name);
        }
    }
}
