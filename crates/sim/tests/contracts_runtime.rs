//! The simulated runtime, probes and host keep the promises of the real ones.

use std::cell::RefCell;
use std::rc::Rc;

use groundcrew_engine::noun::Digest;
use groundcrew_engine::plan::{Installed, Procedure};
use groundcrew_engine::plan::{Probe, ProbeKind};
use groundcrew_engine::ports::{host, probes, runtime};
use groundcrew_sim::ports::{SimClock, SimHost, SimNeighbors, SimProbes, SimRuntime};
use groundcrew_sim::release::{Health, SimRelease, Starts};
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
    // The runtime is asked here, not those who must ask the flag before a stop.
    world.borrow_mut().asked = true;
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
        // One that lets users in asks the app, which is not up for long enough here.
        hook: vec!["close".to_owned()],
        alive: &mut { alive },
        crash: &mut { crash },
    };
    runtime::contract(&mut SimRuntime(world.clone()), &mut fixture);
    assert_eq!(world.borrow().truth.violations, Vec::<String>::new());
}

#[test]
fn the_simulated_probes_keep_their_contract() {
    let world = world();
    let [of, other, _] = RELEASES.map(|release| installed(&release));
    world.borrow_mut().begin_run("by-hand/start".to_owned(), of.release.digest.clone());
    let kind = ProbeKind::Tcp { address: "app:80".to_owned() };
    let probe = Probe { name: "health".into(), kind, timeout_ms: 1_000 };
    let mut set_well = |well| {
        let health = if well { Health::Well } else { Health::Ill };
        world.borrow_mut().releases[0].health = health;
    };
    let set_well = &mut set_well;
    let mut fixture = probes::Fixture { probe: &probe, of: &of, other: &other, set_well };
    probes::contract(&mut SimProbes(world.clone()), &mut fixture);
}

#[test]
fn the_simulated_host_keeps_its_contract() {
    let world = world();
    let mut fixture = host::Fixture {
        set_busy: &mut |busy| world.borrow_mut().busy = busy.then(|| "flight".to_owned()),
        marked: &mut || world.borrow().updating,
        release: &RELEASES[0].release(),
    };
    host::contract(&mut SimHost(world.clone()), &mut fixture);
    host::contract_clock(&mut SimClock(world.clone()));
    host::contract_neighbors(&mut SimNeighbors(world.clone()), None);
}
