//! The first thing a new agent does with an app that another one left.

use super::{Agent, Turn, withdraw};
use crate::machine::{Event, State, Takeover};

impl Agent<'_, '_> {
    /// The first thing a new agent does with an app: says so, if an update is open. A marker that
    /// nobody needs any more goes, or launchers would wait for it for ever. `on_its_way`: a person's
    /// order has just stopped the app, and its marker is for the caller to [withdraw] when it runs.
    pub fn resume(&mut self, on_its_way: bool) -> Turn {
        let untouched = !self.app.state.touches_app();
        if !on_its_way && (untouched || matches!(self.app.state, State::Watching(_))) {
            withdraw(self.stage.ports);
        }
        if self.app.state.update().is_none() {
            return Turn::Progress;
        }
        let found = match self.stage.ports.runtime.observe() {
            Ok(seen) => {
                let txn = self.app.state.update().map(|update| &update.plan.txn);
                let back = seen.placed_by.as_ref();
                let switched_back = back.is_some_and(|(by, back)| *back && Some(by) == txn);
                let exchanged = match txn {
                    Some(txn) => self.stage.ports.snapshots.was_exchanged(txn),
                    None => Ok(false),
                };
                match exchanged {
                    Ok(exchanged) => {
                        let down = seen.running.is_none();
                        let stopped = down && seen.ended.is_some_and(|ended| !ended.by_itself);
                        let in_place = seen.in_place;
                        Takeover { in_place, switched_back, exchanged, stopped, down }
                    }
                    Err(fault) => return Turn::Frozen(fault.text),
                }
            }
            Err(fault) => return Turn::Frozen(fault.text),
        };
        self.record(Event::Resumed { found })
    }
}
