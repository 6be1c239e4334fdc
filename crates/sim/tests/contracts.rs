//! The simulator's fakes keep the same promises as the drivers.

use std::cell::RefCell;
use std::rc::Rc;

use groundcrew_engine::machine::App;
use groundcrew_engine::plan::Volume;
use groundcrew_engine::ports::{journal, snapshots, source};
use groundcrew_sim::ports::{SimJournal, SimSnapshots, SimSource};
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

#[test]
fn the_fake_snapshots_keep_the_contract() {
    let world = world();
    let names: Vec<String> = world.borrow().volumes.keys().cloned().collect();
    let volume = |name: &String| (name.as_str().into(), Volume { path: format!("/{name}") });
    let volumes = names.iter().map(volume).collect();
    let mut write = |text: Option<&str>| {
        let mut world = world.borrow_mut();
        for name in &names {
            let Some(text) = text else {
                world.volumes.remove(name);
                continue;
            };
            let lines = vec![text.to_owned()];
            match world.volumes.get_mut(name) {
                Some(tree) => tree.lines = lines,
                None => {
                    let tree = world.tree(lines);
                    world.volumes.insert(name.clone(), tree);
                }
            }
        }
    };
    let mut read = || {
        let world = world.borrow();
        let text = |name: &String| world.volumes.get(name).map(|tree| tree.lines.join("\n"));
        names.iter().map(text).collect()
    };
    let mut trial = snapshots::Trial { volumes, write: &mut write, read: &mut read };
    snapshots::contract(&mut SimSnapshots(world.clone()), &mut trial);
}

#[test]
fn the_fake_journal_keeps_the_contract() {
    let world = world();
    let mut known = || {
        let fold = |app: App, entry| app.apply(entry).unwrap();
        world.borrow().journal.iter().fold(App::default(), fold)
    };
    let mut told =
        || world.borrow().notices.iter().map(|notice| notice.key.clone()).collect::<Vec<_>>();
    let mut document = |text: Option<&str>| {
        let mut world = world.borrow_mut();
        let document = world.post_mortems.values_mut().next()?;
        if let Some(text) = text {
            *document = text.to_owned();
        }
        Some(document.clone())
    };
    let mut trial = journal::Trial {
        app: "app".into(),
        known: &mut known,
        told: &mut told,
        document: &mut document,
    };
    journal::contract(&mut SimJournal(world.clone()), &mut trial);
}
