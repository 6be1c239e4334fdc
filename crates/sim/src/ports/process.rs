//! The runtime of the simulated machine.

use groundcrew_engine::machine::{Latest, StopReport};
use groundcrew_engine::noun::{Digest, Fault};
use groundcrew_engine::ports::{
    CommandOrder, Ended, Observed, Purpose, Runtime, StartOrder, StopOrder, SwitchOrder,
};

use crate::release::{Migrates, Starts};
use crate::seeded::Seeded;
use crate::world::{Run, Shared, World};

/// The runtime.
#[derive(Debug)]
pub struct SimRuntime(pub Shared);

impl Runtime for SimRuntime {
    fn observe(&mut self) -> Result<Observed, Fault> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.failure("observe") {
            return Err(fault);
        }
        let ended = world.runs.last().and_then(|(name, run)| {
            let how = run.ended.clone()?;
            let by_itself = !matches!(how.as_str(), "stopped" | "power loss");
            let by_us = name.split_once('/').filter(|(who, _)| *who != "engine");
            let run_name = by_us.map(|(txn, run)| (txn.into(), run.to_owned()));
            Some(Ended { digest: run.digest.clone(), run: run_name, how, by_itself })
        });
        let place = world.place.clone();
        let latest = latest(&world);
        Ok(Observed {
            in_place: place.as_ref().map(|(digest, ..)| digest.clone()),
            placed_by: place.map(|(_, txn, back)| (txn, back)),
            running: world.running_digest(),
            ended,
            latest,
            output: vec!["said something".to_owned()],
        })
    }

    fn stop(&mut self, _order: &StopOrder<'_>) -> Result<StopReport, Fault> {
        let mut world = self.0.borrow_mut();
        world.point("stop begins");
        if let Some(fault) = world.failure("stop") {
            return Err(fault);
        }
        let runs = world.alive().is_some();
        if runs && world.busy.is_some() {
            world.violation("a running app was stopped while the host was busy".to_owned());
        }
        if runs && !world.asked {
            let what = "a running app was stopped; the flag was not read after the marker was set";
            world.violation(what.to_owned());
        }
        world.auto_start = false;
        world.point("stop, half way");
        if runs && !world.is_seeded(Seeded::StopReturnsEarly) {
            world.tick();
            world.end_run("stopped");
        }
        world.point("stop is done");
        let hides = world.is_seeded(Seeded::StopHidesThatItRan);
        let ran = runs && !hides;
        let latest = latest(&world).filter(|_| !hides);
        Ok(StopReport { ran, clean: true, exit_code: Some(0), took_ms: 5, latest })
    }

    fn switch(&mut self, order: &SwitchOrder<'_>) -> Result<(), Fault> {
        let mut world = self.0.borrow_mut();
        world.point("switch begins");
        if let Some(fault) = world.failure("switch") {
            return Err(fault);
        }
        if let Some(to) = order.to
            && !world.fetched.contains(&to.release.digest)
        {
            return Err(Fault::host("the release is not here"));
        }
        let back = order.back && !world.is_seeded(Seeded::SwitchBackIsNotLabelled);
        let place = order.to.map(|to| (to.release.digest.clone(), order.txn.clone(), back));
        let before = std::mem::replace(&mut world.place, place);
        if world.is_seeded(Seeded::SwitchIsNotDurable) {
            world.undurable_place = Some(before);
        }
        world.point("switch is done");
        Ok(())
    }

    fn start(&mut self, order: &StartOrder<'_>) -> Result<(), Fault> {
        let mut world = self.0.borrow_mut();
        world.point("start begins");
        if let Some(fault) = world.failure("start") {
            return Err(fault);
        }
        let name = format!("{}/{}", order.txn, order.run);
        let digest = order.installed.release.digest.clone();
        let runs = world.running_digest();
        let careless = world.is_seeded(Seeded::SecondCopyIsStarted);
        if runs.as_ref() == Some(&digest) && !careless {
            world.auto_start = !order.attended;
            return Ok(());
        }
        if let Some((_, run)) = world.runs.iter().find(|(known, _)| *known == name) {
            return match &run.ended {
                None => Ok(()),
                Some(how) => Err(Fault::candidate(format!("it was started and ended: {how}"))),
            };
        }
        if runs.is_some() && !careless {
            return Err(Fault::host("something else of the app runs"));
        }
        check_place(&world, &digest)?;
        let result = begin(&mut world, name, digest);
        world.auto_start = !order.attended;
        world.point("start is done");
        result
    }

    fn run(&mut self, order: &CommandOrder<'_>) -> Result<(), Fault> {
        let mut world = self.0.borrow_mut();
        match &order.purpose {
            Purpose::Hook(command) => hook(&mut world, command),
            Purpose::Migrate => migrate(&mut world, &order.installed.release.digest),
            Purpose::Undo => undo(&mut world, &order.installed.release.digest),
        }
    }
}

/// Runs are only ever appended, so their number names the latest.
fn latest(world: &World) -> Option<Latest> {
    let (_, run) = world.runs.last()?;
    Some(Latest { run: world.runs.len().to_string(), digest: run.digest.clone() })
}

fn check_place(world: &World, digest: &Digest) -> Result<(), Fault> {
    if world.place.as_ref().map(|(placed, ..)| placed) != Some(digest) {
        return Err(Fault::host("another release is in place"));
    }
    if !world.fetched.contains(digest) || world.partial_fetch {
        return Err(Fault::host("the release in place is not whole"));
    }
    Ok(())
}

fn begin(world: &mut World, name: String, digest: Digest) -> Result<(), Fault> {
    let starts = world.by_digest(&digest).map_or(Starts::Well, |release| release.starts);
    if starts == Starts::Exits {
        let ended = Some("exit code 1".to_owned());
        world.runs.push((name, Run { digest, ended, age: 0 }));
        return Err(Fault::candidate("it ended at once: exit code 1"));
    }
    world.begin_run(name, digest);
    world.point("start, half way");
    Ok(())
}

fn hook(world: &mut World, command: &[String]) -> Result<(), Fault> {
    if let Some(fault) = world.failure("hook") {
        return Err(fault);
    }
    let word = command.first().map(String::as_str);
    let one = match word {
        Some("open") => "hook open",
        _ => "hook close",
    };
    if let Some(fault) = world.failure(one) {
        return Err(fault);
    }
    match word {
        // As one that asks the app, a database that is told whom to let in: it has to be up for a while.
        Some("open") if world.alive().is_none_or(|run| run.age == 0) => {
            return Err(Fault::host("the app does not answer"));
        }
        Some("open") if !world.is_seeded(Seeded::TrafficStaysClosed) => world.traffic_open = true,
        Some("close") => world.traffic_open = false,
        _ => {}
    }
    Ok(())
}

/// Changes volume after volume; the power may go between two of them.
fn migrate(world: &mut World, digest: &Digest) -> Result<(), Fault> {
    world.point("migration begins");
    if let Some(fault) = world.failure("migrate") {
        return Err(fault);
    }
    let Some(release) = world.by_digest(digest) else {
        return Err(Fault::host("no such release"));
    };
    let how = release.migration;
    let epoch = format!("epoch {}", release.epoch);
    let names: Vec<String> = world.volumes.keys().cloned().collect();
    for name in names {
        if let Some(tree) = world.volumes.get_mut(&name) {
            if let Some(first) = tree.lines.first_mut() {
                first.clone_from(&epoch);
            }
            // A migration that is not idempotent, as real ones are not.
            tree.lines.insert(1, format!("migrated by {}", release.version));
            if how == Some(Migrates::Damages) {
                tree.lines.pop();
            }
        }
        if how == Some(Migrates::Fails) {
            world.point("migration, half way");
            return Err(Fault::candidate("the migration ended with exit code 2"));
        }
        world.point("migration, half way");
    }
    world.truth.book.migrated.push(release.version.to_owned());
    world.point("migration is done");
    Ok(())
}

/// Undoes a migration, volume after volume.
fn undo(world: &mut World, digest: &Digest) -> Result<(), Fault> {
    world.point("undoing begins");
    let release = world.by_digest(digest);
    let Some((release, to)) =
        release.and_then(|release| Some((release.clone(), release.undoes_to?)))
    else {
        return Err(Fault::candidate("this release cannot undo its migration"));
    };
    let mark = format!("migrated by {}", release.version);
    let names: Vec<String> = world.volumes.keys().cloned().collect();
    for name in names {
        let tree = world.volumes.get_mut(&name);
        if let Some(tree) = tree
            && let Some(at) = tree.lines.iter().position(|line| *line == mark)
        {
            tree.lines.remove(at);
            if let Some(first) = tree.lines.first_mut() {
                *first = format!("epoch {to}");
            }
        } else {
            world.violation("a migration was undone that was not there".to_owned());
        }
        world.point("undoing, half way");
        if release.undoing == Migrates::Fails {
            return Err(Fault::candidate("undoing ended with exit code 2"));
        }
    }
    world.truth.book.migrated.retain(|version| version != release.version);
    world.point("undoing is done");
    Ok(())
}
