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
use super::hand::Hand;
use super::order::{DataAsk, Done, GoBack, Order, WayBack};
use crate::exit::{Exit, Refusal};

/// Of an order that is carried out from memory.
const LATER: &str = "the journal cannot be written; it is done all the same, and recorded later";

impl Hand {
    /// Carries such an order out.
    pub(super) fn order(
        &self,
        agent: &mut Agent<'_, '_>,
        course: &mut Course,
        order: &Order,
    ) -> Result<Done, Refusal> {
        match order {
            Order::GoBack(back) => self.go_back(agent, course, back),
            Order::Migrate { down, by } => self.migrate(agent, course, *down, by),
            _ => Err(Refusal::failed("this order does not go through the machine")),
        }
    }

    /// Goes back, or says how it would.
    fn go_back(
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
        let now = super::world::now(&self.settings).map_err(Refusal::failed)?;
        let (release, by) = (back.release.as_deref(), back.by.as_str());
        let ask = Ask { release, data, approved: back.approve, by };
        let chosen = choose(agent.app(), &self.app.policy, &ask, &now);
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
        let mut said = WayBack { from, to, data, instead, remark: None, pass: None };
        if !back.only_say {
            said.remark = recorded(agent.tell(event), agent.has_unrecorded())?;
            said.pass = Some(self.number(course));
        }
        Ok(Done::GoesBack(said))
    }

    /// Runs the migration of the release that runs, or undoes it. Where the host is busy it is
    /// recorded that it was not done, and that is all: a launcher may ask at every start.
    fn migrate(
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
            recorded(agent.tell(Event::NotNow { by, what, reason }), agent.has_unrecorded())?;
            return Ok(Done::Said(said));
        }
        self.can_be_done(agent, &offer)?;
        let said = format!("the migration of {} is run by hand", offer.release.version);
        let remark = recorded(agent.tell(Event::Ordered { offer }), agent.has_unrecorded())?;
        let said = remark.map_or(said.clone(), |remark| format!("{said}; {remark}"));
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
}

/// What a person hears of an order that was told to the machine, beside that it is done. One that the
/// journal could not take is refused, unless it is carried out all the same.
fn recorded(turn: Turn, unrecorded: bool) -> Result<Option<String>, Refusal> {
    match turn {
        Turn::Frozen(why) => Err(Refusal::failed(format!("cannot record it: {why}"))),
        Turn::Progress | Turn::Rest(_) | Turn::Shutdown => Ok(unrecorded.then(|| LATER.to_owned())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_done_from_memory_is_not_called_failed() {
        assert_eq!(recorded(Turn::Progress, false), Ok(None));
        let later = recorded(Turn::Progress, true).unwrap().unwrap();
        assert!(later.contains("done all the same"), "{later}");
        let refused = recorded(Turn::Frozen("no space left".to_owned()), false).unwrap_err();
        assert!(refused.text.contains("no space left"), "{refused}");
    }
}
