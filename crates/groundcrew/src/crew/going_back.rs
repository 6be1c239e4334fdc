//! What a person orders that goes through the machine like an update: going back to a release that ran
//! here, and running a release's migration.
//!
//! The order is judged before it is recorded: where it cannot be done now the person is told, and
//! nothing waits.

use groundcrew_engine::agent::{Agent, Turn};
use groundcrew_engine::gate::{Answer, Verdict};
use groundcrew_engine::machine::Event;
use groundcrew_engine::noun::{Offer, SnapshotId};
use groundcrew_engine::plan::DataWork;
use groundcrew_engine::rollback::{Ask, Choice, DataWish, Refused, Way, choose, migrate};

use super::copies;
use super::course::Course;
use super::hand::{Hand, NO_ROOM};
use super::order::{DataAsk, Done, GoBack, WayBack};
use crate::exit::{Exit, Refusal};

impl Hand {
    /// Goes back, or says how it would.
    pub(super) fn go_back(
        &self,
        agent: &mut Agent<'_, '_>,
        course: &mut Course,
        back: &GoBack,
    ) -> Result<Done, Refusal> {
        if let DataAsk::Snapshot(id) = &back.data {
            // A wrong name is told as such, before anything is made of it.
            copies::owner(&self.settings, self.name(), id)?;
        }
        let data = match &back.data {
            DataAsk::Usual => DataWish::Usual,
            DataAsk::Keep => DataWish::Keep,
            DataAsk::Restore => DataWish::Restore(None),
            DataAsk::Snapshot(id) => DataWish::Restore(Some(SnapshotId(id.clone()))),
        };
        let (release, by) = (back.release.as_deref(), back.by.as_str());
        let ask = Ask { release, data, approved: back.approve, by };
        let chosen = choose(agent.app(), &self.app.policy, &ask, now_ms());
        let Choice { way, from, to, data, instead } = chosen.map_err(refusal)?;
        let event = match way {
            Way::TakeBack(data) => {
                self.not_busy(agent)?;
                Event::GoBack { by: back.by.clone(), data }
            }
            Way::Order(offer) => {
                self.owns_its_data(&offer)?;
                self.can_be_done(agent, &offer)?;
                Event::Ordered { offer: *offer }
            }
        };
        let mut said = WayBack { from, to, data, instead, pass: None };
        if !back.only_say {
            self.record(agent, event)?;
            said.pass = Some(self.number(course));
        }
        Ok(Done::GoesBack(said))
    }

    /// Runs the migration of the release that runs, or undoes it. Where the host is busy it is
    /// recorded that it was not done, and that is all: a launcher may ask at every start.
    pub(super) fn migrate(
        &self,
        agent: &mut Agent<'_, '_>,
        course: &mut Course,
        down: bool,
        by: &str,
    ) -> Result<Done, Refusal> {
        let offer = migrate(agent.app(), &self.app.policy, down, by, now_ms()).map_err(refusal)?;
        if let Some(reason) = agent.busy() {
            let what = if down { "migrate --down" } else { "migrate" };
            let said = format!("{}: {what} was not run, the host is busy: {reason}", self.name());
            let (by, what) = (by.to_owned(), what.to_owned());
            self.record(agent, Event::NotNow { by, what, reason })?;
            return Ok(Done::Said(said));
        }
        self.can_be_done(agent, &offer)?;
        let said = format!("the migration of {} is run by hand", offer.release.version);
        self.record(agent, Event::Ordered { offer })?;
        Ok(Done::Starts(self.number(course), said))
    }

    fn not_busy(&self, agent: &mut Agent<'_, '_>) -> Result<(), Refusal> {
        match agent.busy() {
            Some(reason) => {
                let text = format!("{} is not stopped, the host is busy: {reason}", self.name());
                Err(Refusal::new(Exit::Waiting, text))
            }
            None => Ok(()),
        }
    }

    /// Data is never put under a release that did not own it.
    fn owns_its_data(&self, offer: &Offer) -> Result<(), Refusal> {
        let ordered = offer.ordered.as_ref();
        let Some(DataWork::Restore(id)) = ordered.map(|ordered| &ordered.work) else {
            return Ok(());
        };
        let owner = copies::owner(&self.settings, self.name(), id.as_str())?;
        if owner.as_deref() == Some(offer.release.digest.as_str()) {
            return Ok(());
        }
        let (app, version) = (self.name(), &offer.release.version);
        Err(Refusal::usage(format!(
            "snapshot {id} does not belong to {version}; `groundcrew snapshot list {app}` says whose data each one is"
        )))
    }

    fn can_be_done(&self, agent: &mut Agent<'_, '_>, offer: &Offer) -> Result<(), Refusal> {
        let answers = agent.check_order(offer);
        let say = |answer: &Answer| match &answer.verdict {
            Verdict::Pass { .. } => None,
            Verdict::Defer { reason, .. } => Some(reason.clone()),
            Verdict::Hold { reason, remedy, .. } => Some(format!("{reason}\n  → {remedy}")),
        };
        let against: Vec<String> = answers.iter().filter_map(say).collect();
        if against.is_empty() {
            return Ok(());
        }
        let text = format!("{}: not now: {}", self.name(), against.join("; "));
        Err(Refusal::new(Exit::Waiting, text))
    }

    fn record(&self, agent: &mut Agent<'_, '_>, event: Event) -> Result<(), Refusal> {
        match agent.tell(event) {
            Turn::Frozen(why) => Err(Refusal::failed(format!("cannot record it: {why}"))),
            _ if agent.has_unrecorded() => Err(Refusal::failed(NO_ROOM)),
            Turn::Progress | Turn::Rest(_) | Turn::Shutdown => Ok(()),
        }
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn refusal(refused: Refused) -> Refusal {
    let code = match &refused {
        Refused::HandsOn { .. }
        | Refused::Watched(_)
        | Refused::KnownBad { .. }
        | Refused::OneWay { .. } => Exit::Waiting,
        _ => Exit::Usage,
    };
    Refusal::new(code, refused.to_string())
}
