//! What every runtime promises, on Docker.

use std::time::Duration;

use groundcrew_engine::ports::runtime::{Fixture, contract};

use crate::rig::{Engine, NAME, SERVES, wait_for};

#[test]
fn run_2_docker_keeps_the_promises_of_a_runtime() {
    let engine = Engine::start();
    let good = engine.release("1.0.0", SERVES);
    let other = engine.release("2.0.0", SERVES);
    let ends = engine.release("3.0.0", "echo no; exit 3");
    let create = serde_json::json!({ "HostConfig": { "RestartPolicy": { "Name": "always" } } });
    // An engine that is busy with others takes its time to say that one ended.
    let mut runtime = engine.runtime(Some(create)).settling(Duration::from_secs(3));
    let mut fixture = Fixture {
        good: &good,
        other: &other,
        ends: &ends,
        hook: vec!["true".to_owned()],
        alive: &mut || engine.alive(),
        crash: &mut || {
            engine.docker(&["kill", "--signal", "KILL", NAME]);
            wait_for("its end", || !engine.is_running(NAME));
        },
    };
    contract(&mut runtime, &mut fixture);
}
