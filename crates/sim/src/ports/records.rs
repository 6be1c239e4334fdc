//! The journal of the simulated machine.

use groundcrew_engine::machine::{Entry, Event, State};
use groundcrew_engine::noun::AppName;
use groundcrew_engine::plan::Plan;
use groundcrew_engine::ports::{Append, Journal, JournalError, PostMortem};

use crate::seeded::Seeded;
use crate::world::Shared;

/// The journal.
#[derive(Debug)]
pub struct SimJournal(pub Shared);

fn full() -> JournalError {
    JournalError { text: "no space left on device".to_owned() }
}

impl Journal for SimJournal {
    fn append(&mut self, append: &Append<'_>) -> Result<(), JournalError> {
        let mut world = self.0.borrow_mut();
        let name = append.entry.event.name();
        world.point(&format!("before {name} is recorded"));
        let decides = matches!(append.after.state, State::RollbackDecided(_));
        if decides && matches!(world.latest.state, State::Watching(_)) {
            world.trigger("verdict");
        }
        if world.journal_full.is_some() {
            return Err(full());
        }
        let is_intent = matches!(append.entry.event, Event::Intent { .. });
        if is_intent && world.is_seeded(Seeded::IntentIsNotRecorded) {
            world.latest = append.after.clone();
            return Ok(());
        }
        world.undurable_entries = usize::from(world.is_seeded(Seeded::AppendIsNotDurable));
        world.journal.push(append.entry.clone());
        if !world.is_seeded(Seeded::NoticeIsLost) {
            for notice in append.notices {
                if world.notices.iter().all(|told| told.key != notice.key) {
                    world.notices.push(notice.clone());
                }
            }
        }
        world.history.extend(append.closed.cloned());
        world.latest = append.after.clone();
        world.trigger(&name);
        if let Some(summary) = append.closed {
            world.trigger(&format!("closed {:?}", summary.ending));
        }
        world.point(&format!("after {name} is recorded"));
        Ok(())
    }

    fn reserve(&mut self, _app: &AppName, plan: Option<&Plan>) -> Result<(), JournalError> {
        let mut world = self.0.borrow_mut();
        world.point("plan begins");
        if let Some(fault) = world.failure("reserve") {
            return Err(JournalError { text: fault.text });
        }
        if plan.is_none() && world.is_seeded(Seeded::PlanStays) {
            return Ok(());
        }
        world.plan = plan.cloned();
        world.point("plan, half way");
        world.ballast = plan.is_some();
        world.point("plan is done");
        Ok(())
    }

    fn relieve(&mut self) -> Result<(), JournalError> {
        let mut world = self.0.borrow_mut();
        match world.journal_full {
            Some(true) if world.ballast => {
                world.ballast = false;
                world.journal_full = None;
                Ok(())
            }
            Some(_) => Err(full()),
            None => Ok(()),
        }
    }

    fn file(&mut self, post_mortem: &PostMortem<'_>) -> Result<(), JournalError> {
        let mut world = self.0.borrow_mut();
        if let Some(fault) = world.failure("file") {
            return Err(JournalError { text: fault.text });
        }
        let document = world.post_mortems.entry(post_mortem.txn.0.clone());
        document.or_insert_with(|| post_mortem.text.to_owned());
        Ok(())
    }

    fn timeline(&mut self, _app: &AppName) -> Result<Vec<Entry>, JournalError> {
        Ok(self.0.borrow().journal.clone())
    }
}
