//! What must hold on the ground when a story is over, whatever the agent believes.

use groundcrew_engine::machine::{App, Cause, Ending, State};
use groundcrew_engine::noun::{Digest, Via};

use crate::release::{Health, SimRelease, Starts};
use crate::story::{Do, Story};
use crate::world::World;

/// Where a story ended, as far as runs of it must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The version that runs.
    pub running: Option<String>,
    /// The machine's state.
    pub state: &'static str,
    /// The last-good version.
    pub last_good: Option<String>,
    /// Versions known as bad.
    pub known_bad: Vec<String>,
}

/// Where the app landed.
#[must_use]
pub fn landing(app: &App) -> Landing {
    let version =
        |installed: &groundcrew_engine::plan::Installed| installed.release.version.clone();
    Landing {
        running: app.running.as_ref().map(version),
        state: app.state.name(),
        last_good: app.last_good.as_ref().map(|good| version(&good.installed)),
        known_bad: app.known_bad.iter().map(|bad| bad.version.clone()).collect(),
    }
}

/// Everything that is not as it must be, in words. Empty: all is well.
#[must_use]
pub fn violations(world: &World, app: &App, story: &Story) -> Vec<String> {
    let mut found = world.truth.violations.clone();
    found.extend(the_journal_tells_the_truth(world, app));
    if matches!(app.state, State::Stuck(_)) {
        found.push("stuck, though nothing in this story is beyond repair".to_owned());
        return found;
    }
    found.extend(one_release_runs(world, app));
    found.extend(its_data_belongs_to_it(world, app, story));
    found.extend(nothing_is_left_behind(world));
    found.extend(the_way_back_is_here(world, app));
    found.extend(people_were_told(world, app));
    found.extend(verdicts_are_right(world, app, story));
    found
}

fn the_journal_tells_the_truth(world: &World, app: &App) -> Option<String> {
    let fold = |app: App, entry| app.apply(entry).unwrap_or_default();
    let folded = world.journal.iter().fold(App::default(), fold);
    (folded != *app).then(|| format!("the journal folds to {folded:?}, the agent has {app:?}"))
}

fn one_release_runs(world: &World, app: &App) -> Vec<String> {
    let mut found = Vec::new();
    let believed = app.running.as_ref().map(|runs| runs.release.digest.clone());
    let placed = world.place.as_ref().map(|(digest, ..)| digest.clone());
    if placed != believed {
        found.push(format!("{placed:?} is in place, the agent says {believed:?}"));
    }
    let runs = world.running_digest();
    if runs != believed {
        found.push(format!("{runs:?} runs, the agent says {believed:?}"));
    }
    let alive = world.runs.iter().filter(|(_, run)| run.ended.is_none()).count();
    if alive > 1 {
        found.push(format!("{alive} copies run"));
    }
    found
}

/// Row by row: nothing is missing, nothing is there twice, nothing of a release that went back.
fn its_data_belongs_to_it(world: &World, app: &App, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    let Some(release) = running(world, app) else { return found };
    let epoch = format!("epoch {}", release.epoch);
    let stayed = |version: &str| {
        let kept = |summary: &&groundcrew_engine::ports::Summary| {
            summary.to == version && matches!(summary.ending, Ending::Proven | Ending::Unproven)
        };
        world.history.iter().any(|summary| kept(&summary))
    };
    for (name, tree) in &world.volumes {
        if tree.lines.first() != Some(&epoch) {
            found.push(format!("{name} is not of {epoch}: {:?}", tree.lines.first()));
        }
        for of in &world.releases {
            let mark = format!("migrated by {}", of.version);
            let times = tree.lines.iter().filter(|line| **line == mark).count();
            let book = &world.truth.book.migrated;
            let want = if story.goes_back() {
                book.iter().filter(|version| *version == of.version).count().min(1)
            } else {
                usize::from(of.migration.is_some() && stayed(of.version))
            };
            if times != want {
                found.push(format!("{name}: {mark} {times} times, should be {want}"));
            }
        }
        let rows: Vec<&String> =
            tree.lines.iter().filter(|line| line.starts_with("row ")).collect();
        for (version, written) in &world.truth.book.rows {
            let suffix = format!(" by {version}");
            let mine: Vec<&String> =
                rows.iter().filter(|row| row.ends_with(&suffix)).copied().collect();
            if mine != written.iter().collect::<Vec<_>>() {
                let (has, wrote) = (mine.len(), written.len());
                found.push(format!("{name} has {has} rows of {version}, which wrote {wrote}"));
            }
        }
        let known = |row: &&&String| {
            world.truth.book.rows.keys().any(|version| row.ends_with(&format!(" by {version}")))
        };
        let strangers = rows.iter().filter(|row| !known(row)).count();
        if strangers > 0 {
            found.push(format!("{name} has {strangers} rows of a release that went back"));
        }
    }
    found.extend(what_went_back_is_kept(world));
    found
}

/// Data that was taken back was set aside, not deleted.
fn what_went_back_is_kept(world: &World) -> Option<String> {
    if world.volumes.is_empty() {
        return None;
    }
    let kept = |row: &&String| world.aside.iter().any(|(_, _, tree)| tree.lines.contains(row));
    let lost = world.truth.taken_back.1.iter().filter(|row| !kept(row)).count();
    (lost > 0).then(|| format!("{lost} rows that went back are nowhere"))
}

fn nothing_is_left_behind(world: &World) -> Vec<String> {
    let partial_copies = world.copies.values().any(|copy| !copy.complete);
    let left = [
        (!world.traffic_open && world.alive().is_some(), "users are still kept out"),
        (world.updating, "the marker of an update is still set"),
        (world.excluded, "the exclusion group is still taken"),
        (world.plan.is_some() || world.ballast, "a plan or its reserved room is left"),
        (world.partial_fetch, "a partial fetch is left"),
        (partial_copies, "a partial copy is left"),
        (!world.restored.is_empty(), "a restored tree is left"),
    ];
    left.iter().filter(|(is, _)| *is).map(|(_, what)| (*what).to_owned()).collect()
}

fn the_way_back_is_here(world: &World, app: &App) -> Vec<String> {
    let needed = [app.running.as_ref(), app.last_good.as_ref().map(|good| &good.installed)];
    let missing = |digest: &&Digest| !world.fetched.contains(*digest);
    let digests = needed.into_iter().flatten().map(|installed| &installed.release.digest);
    let mut found: Vec<String> =
        digests.filter(missing).map(|digest| format!("{digest} is not here any more")).collect();
    let newest = app.retained.last().and_then(|row| row.snapshot.clone());
    if let Some(id) = newest
        && !world.copies.contains_key(&id.0)
    {
        found.push(format!("the retained snapshot {id} is gone"));
    }
    found
}

fn people_were_told(world: &World, app: &App) -> Vec<String> {
    let mut found = Vec::new();
    let told = |part: &str| world.notices.iter().any(|notice| notice.key.contains(part));
    for summary in &world.history {
        if !told(&format!("{}/closed", summary.txn)) {
            found.push(format!("nobody was told how {} ended", summary.txn));
        }
        let rolled_back = summary.ending == Ending::RolledBack;
        let by_hand = summary.via == Some(Via::Rollback)
            && matches!(summary.ending, Ending::Proven | Ending::Unproven);
        if (rolled_back || by_hand) && !world.post_mortems.contains_key(&summary.txn.0) {
            found.push(format!("{} has no post-mortem", summary.txn));
        }
    }
    if matches!(app.state, State::Held(_)) && !told("/held/") {
        found.push("nobody was told of the held candidate".to_owned());
    }
    found
}

/// What the history claims of each release is what the release really is.
fn verdicts_are_right(world: &World, app: &App, story: &Story) -> Vec<String> {
    let mut found = Vec::new();
    // A probe that lies and an app that somebody kills cannot be told from a bad release.
    let framed =
        story.triggers.iter().any(|on| {
            matches!(on.then, Do::KillTheApp | Do::StartBehindOurBack | Do::Fail("probe", ..))
        }) || story.failing.iter().any(|(effect, ..)| matches!(*effect, "start" | "probe"));
    for summary in &world.history {
        let release = world.by_version(&summary.to);
        let good = is_good(&release);
        if summary.ending == Ending::Proven && !good {
            found.push(format!("{} was called proven and is not well", summary.to));
        }
        if summary.cause == Some(Cause::Candidate) && good && !framed && app.known_bad.is_empty() {
            found.push(format!("{} was blamed", summary.to));
        }
    }
    let was_left = |version: &str| {
        world.history.iter().any(|summary| {
            let left = summary.via == Some(Via::Rollback);
            left && summary.from.as_deref() == Some(version)
                || summary.cause == Some(Cause::Operator) && summary.to == version
        })
    };
    for bad in app.known_bad.iter().filter(|bad| !framed && !was_left(&bad.version)) {
        if is_good(&world.by_version(&bad.version)) {
            found.push(format!("{} is called bad and is well", bad.version));
        }
    }
    if let Some(good) = &app.last_good {
        let version = &good.installed.release.version;
        let adopted = story.installed == Some(version.as_str());
        let proven = world
            .history
            .iter()
            .any(|summary| summary.to == *version && summary.ending == Ending::Proven);
        let approved = !app.approved.is_empty();
        if !adopted && !proven && !approved {
            found.push(format!("{version} is last-good and was never proven"));
        }
    }
    let tries = |bad: &Digest| {
        let same = |summary: &&groundcrew_engine::ports::Summary| {
            summary.digest == bad.0 && summary.cause == Some(Cause::Candidate)
        };
        world.history.iter().filter(same).count()
    };
    let limit = 1 + story.wishes.len();
    for bad in &app.known_bad {
        let times = tries(&bad.digest);
        if times > limit {
            found.push(format!("{} was tried {times} times", bad.version));
        }
    }
    found
}

/// Whether the release does what a release should.
fn is_good(release: &SimRelease) -> bool {
    use crate::release::Migrates;
    let well = matches!(release.health, Health::Well | Health::Glitch(_));
    well && release.starts == Starts::Well
        && matches!(release.migration, None | Some(Migrates::Well))
}

fn running(world: &World, app: &App) -> Option<SimRelease> {
    world.by_digest(&app.running.as_ref()?.release.digest)
}
