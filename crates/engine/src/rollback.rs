//! Going back by hand (UPD-25): which release, and what becomes of the data; and running a release's
//! migration by hand (UPD-5). Pure.
//!
//! While an update is open, going back is its own way back. After it closed, going back is an
//! update of its own with an older release as its candidate: it takes a snapshot, proves, and has a
//! way back like any other.

use crate::data;
use crate::keep::is_kept;
use crate::machine::{App, DataChoice, Retained, State, Watching, WayBack};
use crate::noun::{AppName, Digest, Now, Offer, Release, SnapshotId, Via};
use crate::plan::{DataWork, Installed, Ordered};
use crate::policy::Policy;

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// A version, a digest or a revision; `None`: the release before.
    pub release: Option<&'a str>,
    /// What becomes of the data.
    pub data: DataWish,
    /// What cannot be undone, or is known as bad, is accepted.
    pub approved: bool,
    /// Who.
    pub by: &'a str,
}

/// What a person wants for the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataWish {
    /// What is usual: of an open update it comes back, later it stays.
    Usual,
    /// It stays, as the release that is left can make it.
    Keep,
    /// A copy comes back: this one, or the one that was taken when the release was left.
    Restore(Option<SnapshotId>),
}

/// How it goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The open update is taken back.
    TakeBack(DataChoice),
    /// An update to an older release.
    Order(Box<Offer>),
}

/// A choice with what a person should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is done.
    pub way: Way,
    /// The version that is left.
    pub from: String,
    /// The version that shall run.
    pub to: String,
    /// What becomes of the data, in a sentence.
    pub data: String,
    /// The other choice, if there is one.
    pub instead: Option<String>,
}

/// Why there is no way back by hand; each says the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing is installed.
    #[error("nothing of {0} is installed")]
    Nothing(AppName),
    /// An update is at work.
    #[error("an update has its hands on {app} ({state}); wait until it is accepted or over")]
    HandsOn {
        /// The app.
        app: AppName,
        /// Where it stands.
        state: &'static str,
    },
    /// An update is watched, and a migration would change what is judged.
    #[error(
        "{0} is being watched after its update; migrate it when it is proven: `groundcrew once --wait proven` waits for that"
    )]
    Watched(AppName),
    /// A person stopped it.
    #[error(
        "{0} is stopped by hand; `groundcrew start {0}` first, so that the release can be proven"
    )]
    Stopped(AppName),
    /// There is nothing to go back to.
    #[error("{app} has no release to go back to{there}")]
    NoRelease {
        /// The app.
        app: AppName,
        /// What there is.
        there: String,
    },
    /// The release is known as bad here.
    #[error("{version} is known as bad on this host: {why}\n--approve goes to it all the same")]
    KnownBad {
        /// The release.
        version: String,
        /// What was found.
        why: String,
    },
    /// The data cannot be read by the older release.
    #[error(
        "{why}\nadd --restore-data to bring back the data of then, or --approve to keep it as it is all the same"
    )]
    OneWay {
        /// Why.
        why: String,
    },
    /// The release has no such command.
    #[error("{version} has no command {}: see [migrate] of its release.toml", if *down { "that undoes its migration" } else { "that migrates" })]
    NoCommand {
        /// The release.
        version: String,
        /// The one that undoes.
        down: bool,
    },
    /// There is no copy that belongs to the release.
    #[error(
        "there is no copy of the data of {version} that could come back; `groundcrew snapshot list {app}` lists what there is"
    )]
    NoCopy {
        /// The app.
        app: AppName,
        /// The release.
        version: String,
    },
}

/// Chooses the way, or says why there is none. Who owns a copy that is named is for the caller to
/// ask.
///
/// # Errors
///
/// There is no way, or one that needs `approved`.
pub fn choose(app: &App, policy: &Policy, ask: &Ask<'_>, now: &Now) -> Result<Choice, Refused> {
    let name = &policy.app;
    let Some(running) = &app.running else { return Err(Refused::Nothing(name.clone())) };
    if !app.wanted_up {
        return Err(Refused::Stopped(name.clone()));
    }
    match &app.state {
        State::Accepted(secured) | State::Watching(Watching { secured, .. }) => {
            take_back(policy, secured, ask)
        }
        state if state.update().is_some() => {
            Err(Refused::HandsOn { app: name.clone(), state: state.name() })
        }
        _ => {
            let target = target(app, policy, running, ask, now)?;
            order(policy, running, &target, ask, now.wall_ms)
        }
    }
}

/// Orders the migration of the release that runs, or that it be undone: an update from the release
/// to itself, with a snapshot and a way back like any other.
///
/// # Errors
///
/// It has no such command, or something is in the way.
pub fn migrate(
    app: &App,
    policy: &Policy,
    down: bool,
    by: &str,
    now_ms: i64,
) -> Result<Offer, Refused> {
    let name = &policy.app;
    let Some(running) = &app.running else { return Err(Refused::Nothing(name.clone())) };
    if !app.wanted_up {
        return Err(Refused::Stopped(name.clone()));
    }
    if matches!(app.state, State::Accepted(_) | State::Watching(_)) {
        return Err(Refused::Watched(name.clone()));
    }
    if app.state.update().is_some() {
        return Err(Refused::HandsOn { app: name.clone(), state: app.state.name() });
    }
    let release = &running.release;
    if release.migration.as_ref().is_none_or(|migration| down && !migration.reversible) {
        return Err(Refused::NoCommand { version: release.version.clone(), down });
    }
    let work = if down { DataWork::Down } else { DataWork::Up };
    let ordered = Ordered { by: by.to_owned(), to: running.clone(), work };
    Ok(Offer {
        release: release.clone(),
        config: running.config.clone(),
        via: Via::Migration,
        serial: None,
        first_seen_ms: now_ms,
        ordered: Some(Box::new(ordered)),
    })
}

/// A release that can be gone back to.
struct Target<'a> {
    to: &'a Installed,
    /// Its data as it was when it was left.
    copy: Option<&'a SnapshotId>,
    /// Releases that ran since, the newest first.
    since: Vec<&'a Release>,
    /// The migration of what runs was undone by hand already.
    undone: bool,
}

fn take_back(
    policy: &Policy,
    secured: &crate::machine::Secured,
    ask: &Ask<'_>,
) -> Result<Choice, Refused> {
    let plan = &secured.update.plan;
    let app = &policy.app;
    let there = |version: &str| format!("; the open update goes back to {version}");
    let Some(from) = &plan.from else {
        let there = ": its first release is being proven".to_owned();
        return Err(Refused::NoRelease { app: app.clone(), there });
    };
    if ask.release.is_some_and(|wanted| !is_called(&from.release, wanted)) {
        let there = there(&from.release.version);
        return Err(Refused::NoRelease { app: app.clone(), there });
    }
    let copy = match &secured.way_back {
        WayBack::Snapshot(id) => Some(id),
        WayBack::Stateless => None,
    };
    let keeps = matches!(ask.data, DataWish::Keep) || copy.is_none();
    let (from, to) = (plan.to.release.version.clone(), from.release.version.clone());
    if !keeps {
        if let DataWish::Restore(Some(id)) = &ask.data
            && Some(id) != copy
        {
            return Err(Refused::NoCopy { app: app.clone(), version: to });
        }
        let data = format!("comes back as {to} left it; what {from} wrote is set aside");
        let instead = Some("--keep-data leaves it as it is".to_owned());
        return Ok(Choice { way: Way::TakeBack(DataChoice::Restore), from, to, data, instead });
    }
    // An older copy in place of the data never stays under a release that did not own it.
    let others = matches!(plan.work(), DataWork::Restore(_));
    let asks = !ask.approved && !plan.can_undo() || others;
    if let Some(why) = plan.one_way.clone().filter(|_| asks) {
        return Err(Refused::OneWay { why });
    }
    let data = match (copy, plan.can_undo()) {
        (None, _) => "groundcrew keeps none of it".to_owned(),
        (Some(_), true) => format!("stays; {from} undoes its migration"),
        (Some(_), false) => "stays as it is".to_owned(),
    };
    Ok(Choice { way: Way::TakeBack(DataChoice::Keep), from, to, data, instead: None })
}

fn is_called(release: &Release, wanted: &str) -> bool {
    let revision = release.revision.as_deref();
    release.version == wanted || release.digest.as_str() == wanted || revision == Some(wanted)
}

/// What ran since a release was left, seen from now.
struct Since<'a> {
    /// Releases whose doing is in the data, the newest first.
    ran: Vec<&'a Release>,
    /// What ran after the row that is looked at.
    later: &'a Release,
    /// A way back took the data back to this release: what ran before it, up to there, is not in it.
    back_to: Option<&'a Digest>,
}

impl<'a> Since<'a> {
    fn of(running: &'a Release) -> Self {
        Self { ran: vec![running], later: running, back_to: None }
    }

    /// Takes the next older row; true: what its release did is in the data.
    fn goes_by(&mut self, row: &Retained, from: &'a Release) -> bool {
        if row.data_went_back && self.back_to.is_none() {
            self.back_to = Some(&self.later.digest);
        }
        if self.back_to == Some(&from.digest) {
            self.back_to = None;
        }
        self.later = from;
        self.back_to.is_none()
    }
}

/// The release that is meant, among those whose way back is kept.
fn target<'a>(
    app: &'a App,
    policy: &Policy,
    running: &'a Installed,
    ask: &Ask<'_>,
    now: &Now,
) -> Result<Target<'a>, Refused> {
    let mut since = Since::of(&running.release);
    let mut names: Vec<&str> = Vec::new();
    let mut bad = None;
    for (index, row) in app.retained.iter().enumerate().rev() {
        let Some(from) = &row.from else { continue };
        let counts = since.goes_by(row, &from.release);
        if from.release.digest == running.release.digest && from.config == running.config {
            continue;
        }
        // What clean-up has removed, or may remove at any moment, is no way back.
        if !is_kept(app, policy, (index, row), now) {
            since.ran.extend(counts.then_some(&from.release));
            continue;
        }
        let known = app
            .known_bad
            .iter()
            .find(|bad| bad.digest == from.release.digest && bad.config == from.config);
        let meant = match ask.release {
            Some(wanted) => is_called(&from.release, wanted),
            None => known.is_none(),
        };
        if meant && (known.is_none() || ask.approved) {
            let undone = app.undone.as_ref() == Some(&running.release.digest);
            return Ok(Target { to: from, copy: row.snapshot.as_ref(), since: since.ran, undone });
        }
        if meant {
            bad = bad.or(known);
        }
        names.push(&from.release.version);
        since.ran.extend(counts.then_some(&from.release));
    }
    match bad {
        Some(bad) => Err(Refused::KnownBad { version: bad.version.clone(), why: bad.why.clone() }),
        None if names.is_empty() => {
            let there = ": no update of it is kept (`retain`, `keep`)".to_owned();
            Err(Refused::NoRelease { app: policy.app.clone(), there })
        }
        None => {
            let there = format!(" of that name; kept are {}", names.join(", "));
            Err(Refused::NoRelease { app: policy.app.clone(), there })
        }
    }
}

fn order(
    policy: &Policy,
    running: &Installed,
    target: &Target<'_>,
    ask: &Ask<'_>,
    now_ms: i64,
) -> Result<Choice, Refused> {
    let to = &target.to.release;
    let (left, back) = (running.release.version.clone(), to.version.clone());
    let has_data = !target.to.procedure.volumes.is_empty();
    let (work, data) = match &ask.data {
        DataWish::Restore(id) => {
            let Some(id) = id.as_ref().or(target.copy) else {
                return Err(Refused::NoCopy { app: policy.app.clone(), version: back });
            };
            let data =
                format!("comes back from snapshot {id}; what was written since is set aside");
            (DataWork::Restore(id.clone()), data)
        }
        DataWish::Usual | DataWish::Keep => keep(policy, target, ask)?,
    };
    let instead = match (&work, target.copy) {
        (DataWork::Nothing | DataWork::Down, Some(id)) if has_data => {
            Some(format!("--restore-data brings back snapshot {id}, as {back} left it"))
        }
        _ => None,
    };
    let ordered = Ordered { by: ask.by.to_owned(), to: target.to.clone(), work };
    let offer = Offer {
        release: to.clone(),
        config: policy.config.clone(),
        via: Via::Rollback,
        serial: None,
        first_seen_ms: now_ms,
        ordered: Some(Box::new(ordered)),
    };
    Ok(Choice { way: Way::Order(Box::new(offer)), from: left, to: back, data, instead })
}

/// What is done to data that stays. Only the release that runs can undo its migration; what those
/// before it did to the data nobody undoes.
fn keep(
    policy: &Policy,
    target: &Target<'_>,
    ask: &Ask<'_>,
) -> Result<(DataWork, String), Refused> {
    let to = &target.to.release;
    let form = policy.version_form;
    let (running, before) = match target.since.as_slice() {
        [running, before @ ..] => (running, before),
        [] => return Ok((DataWork::Nothing, "stays as it is".to_owned())),
    };
    if running.digest == to.digest {
        return Ok((DataWork::Nothing, "stays as it is".to_owned()));
    }
    if !data::is_back(form, running, to) {
        let work = data::passage(form, Some(running), to).work;
        let data = if work == DataWork::Up { "is migrated again" } else { "stays as it is" };
        return Ok((work, data.to_owned()));
    }
    let undo =
        !target.undone && running.migration.as_ref().is_some_and(|migration| migration.reversible);
    let mut hurdles =
        before.iter().filter(|release| release.digest != to.digest).filter_map(|release| {
            match &release.migration {
                Some(_) => Some(format!("{} migrated the data and does not run", release.version)),
                None => data::one_way(form, to, release),
            }
        });
    let hurdle = hurdles.next().or_else(|| data::one_way(form, to, running));
    match hurdle {
        Some(why) if !ask.approved => Err(Refused::OneWay { why }),
        Some(why) => Ok((DataWork::Nothing, format!("stays as it is, although {why}"))),
        None if undo => {
            let data = format!("stays; {} undoes its migration", running.version);
            Ok((DataWork::Down, data))
        }
        None => Ok((DataWork::Nothing, "stays as it is".to_owned())),
    }
}

#[cfg(test)]
mod tests;
