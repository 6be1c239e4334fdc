//! Whatever stops what runs outside an update announces it first and asks the busy flag after that
//! (GATE-1), and leaves no marker behind.

use std::cell::RefCell;
use std::rc::Rc;

use groundcrew_engine::agent::{Agent, Revive, Turn, ask_to_stop};
use groundcrew_engine::machine::{App, Event};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::Silent;
use groundcrew_sim::live::{begin, policy};
use groundcrew_sim::ports::SimPorts;
use groundcrew_sim::story::{Do, Story, Trigger, all};
use groundcrew_sim::world::Shared;

fn story() -> Story {
    let good = |story: &Story| story.name == "a good patch, 1 volumes";
    let mut story = all().into_iter().find(good).expect("it is one of the stories");
    story.channel = "1.0.0";
    story
}

fn machine(story: &Story) -> Shared {
    Rc::new(RefCell::new(begin(story)))
}

/// Lets an agent adopt the app, says that it is not well, and turns once.
fn restart(world: &Shared, story: &Story) -> Turn {
    let policy = policy(story);
    let mut ports = SimPorts::new(world);
    let mut ports = ports.compose();
    let mut silent = Silent;
    let mut agent = Agent::new(&policy, App::default(), &mut ports, &mut silent);
    let release = world.borrow().by_version("1.0.0").release();
    let (config, procedure) = (policy.config.clone(), policy.procedure.clone());
    let installed = Box::new(Installed { release, config, procedure });
    assert_eq!(agent.tell(Event::Adopted { installed }), Turn::Progress);
    agent.restart_because(Some("it answers nobody".to_owned()));
    agent.turn(false, Revive::Yes)
}

#[test]
fn gate_1_an_unwell_app_is_announced_before_it_is_stopped() {
    let story = story();
    let world = machine(&story);
    assert_eq!(restart(&world, &story), Turn::Progress);
    let world = world.borrow();
    assert_eq!(world.truth.violations, Vec::<String>::new());
    assert_eq!(world.runs.len(), 2, "it was stopped and started");
    assert!(!world.updating, "the marker is left");
}

#[test]
fn gate_1_a_launcher_that_sets_its_flag_while_a_restart_is_announced_is_seen() {
    let mut story = story();
    let then = Do::Busy(Some("a flight is in progress"));
    story.triggers.push(Trigger { on: "announced", skip: 0, then, fired: false });
    let world = machine(&story);
    restart(&world, &story);
    let world = world.borrow();
    assert_eq!(world.truth.violations, Vec::<String>::new());
    assert_eq!(world.runs.len(), 1, "it was stopped");
    assert!(!world.updating, "the launcher waits for ever");
}

#[test]
fn gate_1_a_stop_by_hand_asks_the_flag_after_the_marker_is_set_and_takes_it_away_when_busy() {
    let mut story = story();
    let then = Do::Busy(Some("a flight is in progress"));
    story.triggers.push(Trigger { on: "announced", skip: 1, then, fired: false });
    let world = machine(&story);
    let mut ports = SimPorts::new(&world);
    let mut ports = ports.compose();
    assert_eq!(ask_to_stop(&mut ports), Ok(None));
    assert!(world.borrow().updating);
    let against = ask_to_stop(&mut ports).unwrap();
    assert_eq!(against.as_deref(), Some("a flight is in progress"));
    assert!(!world.borrow().updating, "the launcher waits for ever");
    world.borrow_mut().end_run("killed");
    assert_eq!(ask_to_stop(&mut ports), Ok(None), "what is down is not stopped");
}

#[test]
fn a_marker_that_a_killed_agent_left_is_removed_by_the_next_one() {
    let story = story();
    let world = machine(&story);
    world.borrow_mut().updating = true;
    let policy = policy(&story);
    let mut ports = SimPorts::new(&world);
    let mut ports = ports.compose();
    let mut silent = Silent;
    let mut resume = |on_its_way| {
        Agent::new(&policy, App::default(), &mut ports, &mut silent).resume(on_its_way);
        world.borrow().updating
    };
    assert!(resume(true), "it is down, and a launcher would rely on it");
    assert!(!resume(false));
}
