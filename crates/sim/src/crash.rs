//! Crash everywhere: every story, every point, two ways to die.
//!
//! A run is compared with the ground truth first and with the calm run second; without the truth,
//! a fault that strikes all runs alike would go unseen.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::live::{begin, live};
use crate::seeded::Seeded;
use crate::story::Story;
use crate::truth::{Landing, landing, violations};
use crate::world::Shared;

/// Agents that may die within one run before it counts as endless.
const DEATHS_MAX: u32 = 50;

/// One story in so many is tried first against a seeded mistake.
const FEW: usize = 9;

/// How an agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The power goes: all processes die, what was not synced is lost.
    PowerLoss,
    /// Only the agent is killed; the app goes on.
    Kill,
}

/// What was found of one story.
#[derive(Debug, Default)]
pub struct Report {
    /// Points at which an agent died.
    pub points: u64,
    /// Promises that were broken, with story and point.
    pub violations: Vec<String>,
    /// Points by state and name.
    pub covered: BTreeSet<String>,
}

/// A run without a death.
///
/// # Errors
///
/// What is not as it must be.
pub fn calm(story: &Story, seeded: Option<Seeded>) -> Result<(Landing, Vec<String>), Vec<String>> {
    let world = machine(story, seeded);
    let Some(app) = live(&world, story, None) else {
        return Err(world.borrow().truth.violations.clone());
    };
    let found = violations(&world.borrow(), &app, story);
    let points = world.borrow().points.clone();
    if found.is_empty() { Ok((landing(&app), points)) } else { Err(found) }
}

fn machine(story: &Story, seeded: Option<Seeded>) -> Shared {
    let mut world = begin(story);
    world.seeded = seeded;
    Rc::new(RefCell::new(world))
}

/// Runs a story calmly and then with a death at every point. Stops at the first violation when
/// a mistake is built in, since one is enough.
#[must_use]
pub fn everywhere(story: &Story, seeded: Option<Seeded>) -> Report {
    let mut report = Report::default();
    let name = &story.name;
    let (landed, points) = match calm(story, seeded) {
        Ok(calm) => calm,
        Err(found) => {
            report.violations.extend(found.iter().map(|what| format!("«{name}», calm: {what}")));
            return report;
        }
    };
    let running = landed.running.as_deref();
    if seeded.is_none() && (running != story.ends_with || landed.state != story.ends_in) {
        report.violations.push(format!("«{name}» ends elsewhere: {landed:?}"));
        return report;
    }
    for death in [Death::PowerLoss, Death::Kill] {
        for (fuse, point) in points.iter().enumerate() {
            report.points += 1;
            report.covered.insert(point.clone());
            let fuses = [u64::try_from(fuse).unwrap_or(u64::MAX)];
            let found = with_deaths(story, seeded, death, &fuses, Some(&landed));
            let tell = |what: String| format!("«{name}», {death:?} at {fuse} ({point}): {what}");
            report.violations.extend(found.into_iter().map(tell));
            if seeded.is_some() && !report.violations.is_empty() {
                return report;
            }
        }
    }
    report
}

/// The mistake is caught: some story turns red with it. Returns the first violation.
///
/// Calm runs come first, because they are cheap and notice half of the mistakes; the rest takes
/// deaths, in a part of the stories and then in all.
#[must_use]
pub fn catch(seeded: Seeded, stories: &[Story]) -> Option<String> {
    let calmly = |story: &Story| calm(story, Some(seeded)).err()?.into_iter().next();
    let deadly = |story: &Story| everywhere(story, Some(seeded)).violations.into_iter().next();
    let few = || stories.iter().rev().step_by(FEW);
    stories
        .iter()
        .find_map(calmly)
        .or_else(|| few().find_map(deadly))
        .or_else(|| stories.iter().find_map(deadly))
}

/// Lives a story in which the agents die after so many points each.
#[must_use]
pub fn with_deaths(
    story: &Story,
    seeded: Option<Seeded>,
    death: Death,
    fuses: &[u64],
    calm: Option<&Landing>,
) -> Vec<String> {
    let world = machine(story, seeded);
    let mut fuses = fuses.iter().copied();
    for _ in 0..DEATHS_MAX {
        let Some(app) = live(&world, story, fuses.next()) else {
            match death {
                Death::PowerLoss => world.borrow_mut().reboot(),
                Death::Kill => world.borrow_mut().kill_agent(),
            }
            if !world.borrow().truth.violations.is_empty() {
                return world.borrow().truth.violations.clone();
            }
            continue;
        };
        let mut found = violations(&world.borrow(), &app, story);
        let landed = landing(&app);
        if let Some(calm) = calm.filter(|calm| landed != **calm) {
            found.push(format!("lands at {landed:?}, calm at {calm:?}"));
        }
        return found;
    }
    vec![format!("{DEATHS_MAX} agents died and it is not over")]
}
