//! An agent that dies in the middle of an exchange, at each of its requests to the engine.
//!
//! Between the runtime and the engine stands somebody who counts the requests that change something and
//! breaks off at one of them: before it reaches the engine, or after the engine has done it and before its
//! answer is heard. Everything that the dead agent knew is gone; the next one looks, and does the rest.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use groundcrew_drivers::runtimes::docker::DockerRuntime;
use groundcrew_engine::noun::{Fault, TxnId};
use groundcrew_engine::plan::Installed;
use groundcrew_engine::ports::{Runtime as _, StartOrder, StopOrder, SwitchOrder};

use crate::rig::{Engine, NAME, SERVES};

/// Where the requests of one life are broken off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    BeforeItIsDone,
    AfterItIsDone,
}

/// Passes requests on, until the one at which it breaks off; nothing gets through after that.
fn gate(engine: &Path, at: PathBuf, cut: usize, blow: Blow) -> Arc<AtomicUsize> {
    let seen = Arc::new(AtomicUsize::new(0));
    let (count, engine) = (Arc::clone(&seen), engine.to_owned());
    let listener = UnixListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let request = read_request(&mut client);
            let changes = !request.starts_with(b"GET ");
            let number = if changes { count.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            let dead = count.load(Ordering::SeqCst) > cut || (number == cut && cut > 0);
            if dead && (number != cut || blow == Blow::BeforeItIsDone) {
                continue;
            }
            let mut server = UnixStream::connect(&engine).unwrap();
            server.write_all(&request).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            if !dead {
                // Who asked may have gone.
                client.write_all(&answer).ok();
                client.shutdown(Shutdown::Both).ok();
            }
        }
    });
    seen
}

/// The head, and as much body as it says.
fn read_request(client: &mut UnixStream) -> Vec<u8> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).unwrap();
    request.extend(body);
    request
}

/// What an update does to the container, each step begun anew by whoever comes after a death.
fn update(
    runtime: &mut DockerRuntime,
    from: &Installed,
    to: &Installed,
    life: usize,
) -> Result<(), Fault> {
    let txn = &TxnId::from("txn-1");
    let seen = runtime.observe()?;
    let wanted = &to.release.digest;
    if seen.running.as_ref() != Some(wanted) {
        runtime.stop(&StopOrder { installed: Some(from), txn })?;
        runtime.switch(&SwitchOrder { to: Some(to), txn, back: false })?;
    }
    for attended in [true, false] {
        let run = format!("start-{life}");
        runtime.start(&StartOrder { installed: to, txn, run: &run, attended })?;
    }
    Ok(())
}

#[test]
fn run_2_an_agent_that_dies_at_any_request_leaves_what_the_next_one_completes() {
    let engine = Engine::start();
    let old = engine.release("1.0.0", SERVES);
    let new = engine.release("2.0.0", SERVES);
    let mut cuts = 1;
    let mut number = 0;
    while number < cuts {
        number += 1;
        for blow in [Blow::BeforeItIsDone, Blow::AfterItIsDone] {
            engine.docker(&[
                "run",
                "-d",
                "--restart",
                "always",
                "-v",
                "/data",
                "--name",
                NAME,
                "app:1.0.0",
            ]);
            engine.docker(&["exec", NAME, "sh", "-c", "echo precious > /data/row"]);
            let side = ["run", "-d", "--network", "container:app", "--restart", "always"];
            engine.docker(&[&side[..], &["--name", "side", "app:1.0.0"]].concat());
            let socket = engine.path(&format!("gate-{number}-{blow:?}"));
            let seen = gate(&engine.socket(), socket.clone(), number, blow);
            let first = update(&mut engine.runtime_at(&socket, None), &old, &new, 0);
            let seen = seen.load(Ordering::SeqCst);
            if seen < number {
                // The last one was the one before: nothing was broken off.
                first.unwrap();
            } else {
                first.unwrap_err();
                cuts = number + 1;
                update(&mut engine.runtime(None), &old, &new, 1).unwrap();
            }
            let what = format!("request {number}, {blow:?}");
            assert_eq!(engine.alive(), std::slice::from_ref(&new.release.digest), "{what}");
            assert_eq!(engine.docker(&["exec", NAME, "cat", "/data/row"]), "precious", "{what}");
            let shown = engine.inspect(NAME);
            assert_eq!(shown["HostConfig"]["RestartPolicy"]["Name"], "always", "{what}");
            let side = engine.inspect("side");
            let network = format!("container:{}", shown["Id"].as_str().unwrap());
            assert_eq!(side["HostConfig"]["NetworkMode"], network, "{what}");
            assert_eq!(side["State"]["Running"], true, "{what}");
            assert_eq!(side["HostConfig"]["RestartPolicy"]["Name"], "always", "{what}");
            let all = engine.docker(&["ps", "--all", "--quiet"]);
            assert_eq!(all.lines().count(), 4, "{what}: each has one aside");
            engine.clear();
        }
    }
    assert!(number > 6, "an exchange has more requests than {number}");
}
