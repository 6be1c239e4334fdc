//! Stories from seeds: several environments at once, several deaths, in an order nobody thought of.
//!
//! A failure is a number: the same seed makes the same story and the same deaths.

use crate::crash::{Death, calm, with_deaths};
use crate::story::{Do, Story, Trigger, Wish, all};
use groundcrew_engine::noun::Fault;

/// Deaths of one run at most.
const DEATHS_MAX: u64 = 4;
/// Points after which an agent dies at the latest.
const FUSE_MAX: u64 = 120;

/// Characters of a finding that are printed.
const WHAT_MAX: usize = 300;

/// A small generator (SplitMix64, Steele, Lea and Flood 2014), the same on every machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(from.len()).unwrap_or(u64::MAX);
        usize::try_from(self.below(length)).ok().and_then(|index| from.get(index))
    }
}

const MOMENTS: &[&str] = &[
    "found",
    "fetched",
    "armed",
    "prepared",
    "precopied",
    "cleared",
    "stopped",
    "snapshotted",
    "switched",
    "migrated",
    "started",
    "proved",
    "disproved",
    "opened",
    "evidence-kept",
    "rb-stopped",
    "rb-built",
    "rb-restored",
    "rb-switched",
    "rb-started",
    "closed",
];

const EFFECTS: &[&str] = &[
    "fetch", "reserve", "copy", "switch", "build", "exchange", "announce", "find", "room", "check",
    "file", "hook", "keep", "observe", "probe",
];

/// What comes of one seed: everything that is not as it must be.
#[must_use]
pub fn run(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let stories = all();
    let Some(story) = dice.pick(&stories).cloned() else { return Vec::new() };
    let story = disturb(story, &mut dice);
    let death = if dice.below(2) == 0 { Death::PowerLoss } else { Death::Kill };
    let deaths = dice.below(DEATHS_MAX + 1);
    let fuses: Vec<u64> = (0..deaths).map(|_| dice.below(FUSE_MAX)).collect();
    let tell = |what: &String| {
        let what: String = what.chars().take(WHAT_MAX).collect();
        let meanwhile: Vec<String> =
            story.triggers.iter().map(|on| format!("{} {:?}", on.on, on.then)).collect();
        format!("seed {seed}, «{}», {death:?} {fuses:?}, {meanwhile:?}: {what}", story.name)
    };
    if let Err(found) = calm(&story, None) {
        return found.iter().map(tell).collect();
    }
    // A death may change which try meets a disturbance that happens once. The ground truth holds
    // all the same; the landing need not be the calm one.
    with_deaths(&story, None, death, &fuses, None).iter().map(tell).collect()
}

fn disturb(mut story: Story, dice: &mut Dice) -> Story {
    for _ in 0..dice.below(4) {
        let Some(on) = dice.pick(MOMENTS) else { continue };
        let Some(then) = disturbance(dice) else { continue };
        story.triggers.push(Trigger { on, skip: 0, then, fired: false });
    }
    story.wishes.push(Wish::Unstick);
    story.self_starting |= dice.below(8) == 0;
    story
}

fn disturbance(dice: &mut Dice) -> Option<Do> {
    let error = "input/output error";
    Some(match dice.below(7) {
        0 => Do::Busy(Some("a flight is in progress")),
        1 => Do::JournalFull { ballast_helps: dice.below(2) == 0 },
        2 => Do::StepTheClock(i64::try_from(dice.below(2_000_000_000)).ok()? - 1_000_000_000),
        3 => Do::StartBehindOurBack,
        4 => Do::KillTheApp,
        _ => {
            let effect = dice.pick(EFFECTS)?;
            Do::Fail(effect, u32::try_from(1 + dice.below(2)).ok()?, Fault::host(error))
        }
    })
}
