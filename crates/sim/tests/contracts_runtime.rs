//! The simulated runtime, probes and host keep the promises of the real ones.

use std::cell::RefCell;
use std::rc::Rc;

use groundcrew_engine::noun::Digest;
use groundcrew_engine::plan::{Installed, Procedure};
use groundcrew_engine::ports::runtime;
use groundcrew_sim::ports::SimRuntime;
use groundcrew_sim::release::{SimRelease, Starts};
use groundcrew_sim::world::{Shared, World};

const RELEASES: [SimRelease; 3] = [
    SimRelease::good("1.0.0", 1),
    SimRelease::good("1.1.0", 1),
    SimRelease::good("1.2.0", 1).starting(Starts::Exits),
];

fn world() -> Shared {
    let mut world = World::new(RELEASES.to_vec(), 1);
    world.fetched = RELEASES.iter().map(SimRelease::digest).collect();
    Rc::new(RefCell::new(world))
}

fn installed(release: &SimRelease) -> Installed {
    let procedure = Procedure::default();
    Installed { release: release.release(), config: "c".into(), procedure }
}

#[test]
fn the_simulated_runtime_keeps_its_contract() {
    let world = world();
    let [good, other, ends] = RELEASES.map(|release| installed(&release));
    let alive = || -> Vec<Digest> {
        let world = world.borrow();
        let living = world.runs.iter().filter(|(_, run)| run.ended.is_none());
        living.map(|(_, run)| run.digest.clone()).collect()
    };
    let crash = || {
        let mut world = world.borrow_mut();
        world.alive().expect("something runs");
        world.end_run("exit code 1");
    };
    let mut fixture = runtime::Fixture {
        good: &good,
        other: &other,
        ends: &ends,
        hook: vec!["open".to_owned()],
        alive: &mut { alive },
        crash: &mut { crash },
    };
    runtime::contract(&mut SimRuntime(world.clone()), &mut fixture);
    assert_eq!(world.borrow().truth.violations, Vec::<String>::new());
}
