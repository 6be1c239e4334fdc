//! The simulator's fakes keep the same promises as the drivers.

use std::cell::RefCell;
use std::rc::Rc;

use groundcrew_engine::ports::source;
use groundcrew_sim::ports::SimSource;
use groundcrew_sim::release::SimRelease;
use groundcrew_sim::world::{Shared, World};

fn world() -> Shared {
    let mut world = World::new(vec![SimRelease::good("1.0.0", 1)], 2);
    world.channel = Some(world.by_version("1.0.0").digest());
    Rc::new(RefCell::new(world))
}

#[test]
fn the_fake_source_keeps_the_contract() {
    source::contract(&mut SimSource(world()));
}
