//! What a person does to an app outside any update: stop, start, restart, put a snapshot back.
//!
//! A stop is announced and the busy flag asked before anything that runs is stopped, and nothing is
//! done while an update has its hands on the app. A wish is recorded before it is carried out, so
//! that a crash leaves what the person wanted, not what happened to run.

use groundcrew_engine::agent::{Agent, Revive, Turn, ask_to_stop, withdraw};
use groundcrew_engine::machine::Event;
use groundcrew_engine::noun::{Fault, SnapshotId, TxnId};
use groundcrew_engine::policy::Policy;
use groundcrew_engine::ports::{Host, RestoreOrder, Silent, StopOrder};

use super::board::Board;
use super::course::Course;
use super::hand::{Hand, NO_ROOM};
use super::order::{Done, Order};
use super::record::ShownProgress;
use super::world::{self, World};
use crate::config::Settings;
use crate::exit::{Exit, Refusal};

type Answer = Result<Done, Refusal>;

/// Carries an order out.
pub(super) fn run(
    settings: &Settings,
    policy: &Policy,
    board: &Board,
    world: &mut World,
    order: &Order,
    course: &mut Course,
) -> Answer {
    if course.state.state.touches_app() && !matches!(course.state.state.name(), "watching") {
        let state = course.state.state.name();
        let text = format!("{}: an update has its hands on it ({state})", policy.app);
        return Err(Refusal::new(Exit::Waiting, text));
    }
    let done = carry_out(settings, policy, board, world, order, course);
    // What was stopped in order to start again is on its way until it runs.
    course.announced = done.is_ok() && course.wanted_now && !matches!(order, Order::Start);
    if !course.announced {
        withdraw(&mut world.ports());
    }
    done
}

impl Hand {
    /// Launchers wait for an app that was stopped by hand to run again, or until nothing starts it.
    pub(super) fn let_launchers_go(&self, host: &mut dyn Host, course: &mut Course, turn: &Turn) {
        if !course.announced {
            return;
        }
        let runs = world::is_up(&self.settings, self.name()) == Some(true);
        if runs || *turn != Turn::Progress {
            course.announced = false;
            // A marker that cannot be removed now is removed by the next agent.
            drop(host.announce(false));
        }
    }
}

fn carry_out(
    settings: &Settings,
    policy: &Policy,
    board: &Board,
    world: &mut World,
    order: &Order,
    course: &mut Course,
) -> Answer {
    let app = policy.app.as_str();
    match order {
        Order::Start => {
            record(policy, board, world, course, Event::Wanted { up: true })?;
            course.wanted_now = true;
            Ok(Done::Said(format!("{app} is to run")))
        }
        Order::Stop => {
            not_busy(app, world)?;
            record(policy, board, world, course, Event::Wanted { up: false })?;
            stop(app, world, course)?;
            Ok(Done::Said(format!("{app} is stopped, and stays so until `groundcrew start {app}`")))
        }
        Order::Restart => {
            not_busy(app, world)?;
            record(policy, board, world, course, Event::Wanted { up: true })?;
            stop(app, world, course)?;
            course.wanted_now = true;
            Ok(Done::Said(format!("{app} was stopped and is to run again")))
        }
        Order::Restore { id } => restore(settings, policy, board, world, course, id),
        _ => Err(Refusal::failed("this order is not done by hand")),
    }
}

fn record(
    policy: &Policy,
    board: &Board,
    world: &mut World,
    course: &mut Course,
    event: Event,
) -> Result<(), Refusal> {
    if course.state.running.is_none() {
        return Err(Refusal::usage(format!(
            "nothing of {0} is installed; `groundcrew update {0}` installs it",
            policy.app
        )));
    }
    let mut progress = ShownProgress::new(policy.app.as_str(), board.clone());
    let mut ports = world.ports();
    let mut agent = Agent::new(policy, course.state.clone(), &mut ports, &mut progress);
    match agent.tell(event) {
        Turn::Frozen(why) => Err(Refusal::failed(format!("cannot record it: {why}"))),
        _ if agent.has_unrecorded() => Err(Refusal::failed(NO_ROOM)),
        Turn::Progress | Turn::Rest(_) | Turn::Shutdown => {
            course.state = agent.app().clone();
            Ok(())
        }
    }
}

/// Busy forbids stopping what runs. From here on launchers are told that it is about to be stopped.
fn not_busy(app: &str, world: &mut World) -> Result<(), Refusal> {
    match ask_to_stop(&mut world.ports()) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(Refusal::new(Exit::Waiting, format!("{app} is not stopped: {why}"))),
        Err(fault) => Err(Refusal::failed(format!("{app} is not stopped: {fault}"))),
    }
}

fn stop(app: &str, world: &mut World, course: &Course) -> Result<(), Refusal> {
    let txn = course.state.running_txn.clone().unwrap_or_else(|| TxnId("adopted".to_owned()));
    let order = StopOrder { installed: course.state.running.as_ref(), txn: &txn };
    let stopped = world.ports().runtime.stop(&order);
    stopped.map_err(|fault| Refusal::failed(format!("cannot stop {app}: {fault}")))?;
    Ok(())
}

/// Puts a snapshot back under the release that owned it. The app is recorded as unwanted meanwhile:
/// after a crash half-way it stays down instead of running on a mixture.
fn restore(
    settings: &Settings,
    policy: &Policy,
    board: &Board,
    world: &mut World,
    course: &mut Course,
    id: &str,
) -> Answer {
    let app = policy.app.as_str();
    if course.state.state.update().is_some() {
        let text = format!("{app}: an update is open, and goes back by itself if it must");
        return Err(Refusal::new(Exit::Waiting, text));
    }
    let Some(running) = course.state.running.clone() else {
        return Err(Refusal::usage(format!(
            "nothing of {app} is installed; `groundcrew update {app}` installs it"
        )));
    };
    let owner = super::copies::owner(settings, app, id)?;
    if owner.as_deref() != Some(running.release.digest.as_str()) {
        let whose = owner.unwrap_or_else(|| "no release".to_owned());
        let text = format!(
            "snapshot {id} belongs to {whose}, and {} runs: data is never put under another release",
            running.release.digest
        );
        return Err(Refusal::usage(text));
    }
    not_busy(app, world)?;
    // Building may take long, and launchers need not wait for it.
    withdraw(&mut world.ports());
    let id = SnapshotId(id.to_owned());
    let txn = TxnId::at(&world.ports().clock.now());
    let volumes = running.procedure.volumes.clone();
    let order = RestoreOrder { id: &id, txn: &txn, round: 0, volumes: &volumes };
    // Built and verified while the app still runs: what cannot be restored stops nothing.
    let built = world.ports().snapshots.build(&order, &mut Silent);
    let pairs = built.map_err(|fault| unbuilt(settings, app, &id, &fault))?;
    not_busy(app, world)?;
    let was_wanted = course.state.wanted_up;
    // On record before anything moves, so that clean-up keeps what is replaced.
    let restored = Event::RestoredByHand { txn: txn.clone(), snapshot: id.clone() };
    record(policy, board, world, course, restored)?;
    record(policy, board, world, course, Event::Wanted { up: false })?;
    let exchanged = stop(app, world, course).and_then(|()| {
        let exchanged = world.ports().snapshots.exchange(&order, &pairs);
        exchanged.map_err(|fault| Refusal::failed(fault.text))
    });
    let aside = match exchanged {
        Ok(aside) => aside,
        Err(refusal) => {
            let after = match world.ports().snapshots.was_exchanged(&txn) {
                Ok(false) if was_wanted => up_again(policy, board, world, course),
                _ => format!("{app} is down; `groundcrew start {app}` starts it"),
            };
            return Err(Refusal::new(refusal.code, format!("{refusal}\n{after}")));
        }
    };
    let aside = aside.map_or(String::new(), |place| format!("; what was there is kept at {place}"));
    record(policy, board, world, course, Event::Wanted { up: was_wanted }).map_err(|why| {
        let text = format!(
            "{app} has the data of snapshot {id}{aside}, and stays down ({why}); `groundcrew start {app}` starts it"
        );
        Refusal::new(why.code, text)
    })?;
    course.wanted_now = was_wanted;
    Ok(Done::Said(format!("{app} has the data of snapshot {id}{aside}")))
}

/// Why a snapshot cannot be put back; one that is damaged is a loss.
fn unbuilt(settings: &Settings, app: &str, id: &SnapshotId, fault: &Fault) -> Refusal {
    let verified = super::copies::verify(settings, app, Some(id.as_str()));
    let damaged = verified.is_ok_and(|all| all.iter().any(|one| !one.differences.is_empty()));
    let code = if damaged { Exit::Lost } else { Exit::Failed };
    Refusal::new(code, format!("nothing was changed, {app} was not stopped: {}", fault.text))
}

/// Starts an app again whose data is as it was; says what came of it.
fn up_again(policy: &Policy, board: &Board, world: &mut World, course: &mut Course) -> String {
    let app = &policy.app;
    let started = record(policy, board, world, course, Event::Wanted { up: true }).and_then(|()| {
        let mut progress = ShownProgress::new(app.as_str(), board.clone());
        let mut ports = world.ports();
        let mut agent = Agent::new(policy, course.state.clone(), &mut ports, &mut progress);
        let turned = agent.turn(false, Revive::Yes);
        course.state = agent.app().clone();
        drop(agent);
        match (turned, ports.runtime.observe().map(|seen| seen.running.is_some())) {
            (Turn::Frozen(why), _) => Err(Refusal::failed(why)),
            (_, Ok(true)) => Ok(()),
            _ => Err(Refusal::failed("no process of it runs")),
        }
    });
    match started {
        Ok(()) => format!("its data is as it was, and {app} runs again"),
        Err(why) => {
            format!(
                "its data is as it was, and {app} is down ({why}); `groundcrew start {app}` starts it"
            )
        }
    }
}
