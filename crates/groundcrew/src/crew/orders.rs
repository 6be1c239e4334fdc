//! Orders that an agent carries out itself: what a person wants is recorded, gates are asked.

use groundcrew_engine::agent::{Agent, Turn};
use groundcrew_engine::machine::{Event, State};
use groundcrew_engine::noun::Digest;

use super::order::{Check, Done, Order, Place};
use crate::exit::{Exit, Refusal};

/// Carries an order out.
pub(super) fn answer(app: &str, agent: &mut Agent<'_, '_>, order: &Order) -> Result<Done, Refusal> {
    match order {
        Order::Tell(event) => tell(agent, event.clone()).map(|()| done(app, event)),
        Order::Approve { version, by } => approve(app, agent, version, by),
        Order::Check { apply_config } => check(app, agent, *apply_config),
        _ => Err(Refusal::failed("this order is not for an agent")),
    }
}

/// Records what a person wants.
fn tell(agent: &mut Agent<'_, '_>, event: Event) -> Result<(), Refusal> {
    match agent.tell(event) {
        Turn::Frozen(why) => Err(Refusal::failed(format!("cannot record it: {why}"))),
        Turn::Progress | Turn::Rest(_) | Turn::Shutdown => Ok(()),
    }
}

fn done(app: &str, event: &Event) -> Done {
    Done::Said(match event {
        Event::Pinned { to } => format!("{app} stays at {to} from now on"),
        Event::Unpinned => format!("{app} follows its channel again"),
        Event::Paused => format!("updates of {app} are paused"),
        Event::Unpaused => format!("updates of {app} go on"),
        Event::Unblocked { .. } => format!("{app} is unblocked: nothing is known as bad any more"),
        event => format!("{app}: {}", event.name()),
    })
}

/// Lets the candidate through that has this version, or calls the running release proven.
fn approve(app: &str, agent: &mut Agent<'_, '_>, version: &str, by: &str) -> Result<Done, Refusal> {
    let state = agent.app();
    let offered = state.state.offer().map(|offer| &offer.release);
    let running = state.unproven().map(|running| &running.release);
    let is_meant = |digest: &Digest, called: &str| {
        called == version || (version.starts_with("sha256:") && digest.as_str() == version)
    };
    let meant = offered
        .into_iter()
        .chain(running)
        .find(|release| is_meant(&release.digest, &release.version));
    let Some(digest) = meant.map(|release| release.digest.clone()) else {
        let there = match offered.or(running) {
            Some(release) => format!("{} is what waits", release.version),
            None => "nothing waits; `groundcrew check` shows what is offered".to_owned(),
        };
        return Err(Refusal::usage(format!("{app} has no candidate {version}: {there}")));
    };
    if let Some(update) = state.state.update()
        && !matches!(state.state, State::Unproven(_))
    {
        let text = format!("the update to {} is under way", update.plan.to.release.version);
        return Err(Refusal::new(Exit::Waiting, format!("{app}: {text}")));
    }
    tell(agent, Event::Approved { digest, by: by.to_owned() })?;
    Ok(Done::Said(format!("{version} of {app} is approved")))
}

fn check(app: &str, agent: &mut Agent<'_, '_>, apply_config: bool) -> Result<Done, Refusal> {
    let checked = agent
        .check(apply_config)
        .map_err(|error| Refusal::new(Exit::Unreachable, format!("{app}: {}", error.text)))?;
    let state = agent.app();
    let offer = checked.offer.as_ref();
    let version = offer.map_or("", |offer| offer.release.version.as_str());
    let room = checked.room.into_iter().flat_map(|room| room.places).map(|place| Place {
        path: place.path,
        free_bytes: place.free_bytes,
        need_bytes: place.need_bytes,
    });
    Ok(Done::Checked(Box::new(Check {
        app: app.to_owned(),
        running: state.running.as_ref().map(|running| running.release.version.clone()),
        candidate: offer.map(|offer| offer.release.version.clone()),
        digest: offer.map(|offer| offer.release.digest.to_string()),
        fetched: checked.fetched,
        migrates: offer.is_some_and(|offer| offer.release.migration.is_some()),
        open: state.state.update().map(|_| state.state.name().to_owned()),
        gates: checked.answers.into_iter().map(|answer| answer.spelled(app, version)).collect(),
        room: room.collect(),
    })))
}
