//! Many apps on one host: what is wrong with one is no other one's trouble.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fleet::Fleet;

/// The app whose hook hangs.
const HANGING: &str = "a07";

/// Four apps share a group, one comes after another one, one has a hook that never ends.
fn settings(app: &str) -> String {
    let group = if matches!(app, "a00" | "a01" | "a02" | "a03") { "shared" } else { app };
    let after = if app == "a05" { "after = [\"a06\"]\n" } else { "" };
    let hook = if app == HANGING { "stop = { before = [\"bin/hang\"] }\n" } else { "" };
    format!("group = \"{group}\"\n{after}{hook}")
}

/// Processes with this command line.
fn count(words: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let line = |path: &Path| std::fs::read(path.join("cmdline")).unwrap_or_default();
    let is = |path: &Path| String::from_utf8_lossy(&line(path)).replace('\0', " ").trim() == words;
    all.filter(|entry| is(&entry.path())).count()
}

/// UPD-14: one update at a time within a group, in the order of dependencies; a hook that hangs and
/// a webhook that never answers delay nobody else.
#[test]
fn a_hanging_hook_and_a_dead_webhook_delay_no_other_app() {
    // It accepts, as the kernel does for it, and never answers.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = dead.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    let tables = format!(
        "[notify.dead]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\n\
         [notify.ops]\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n",
        told.display()
    );
    let mut fleet = Fleet::new(20, settings, &tables);
    fleet.publish("1.0.0");
    fleet.start_agent();
    fleet.until("all are installed", |fleet| fleet.proven("1.0.0").len() == 20);

    fleet.publish_of(["a06"], "1.1.0");
    fleet.until("a06 is on its way", |fleet| fleet.views()[6]["state"] != "idle");
    fleet.publish_of(fleet.apps.iter().map(String::as_str).filter(|app| *app != "a06"), "1.1.0");
    let began = Instant::now();
    let mut together = 0;
    fleet.until("all others are updated", |fleet| {
        let touched = |view: &&Value| {
            let app = view["app"].as_str().unwrap();
            // From "watching" on it has let go of its group; "proven" is about to be closed.
            let waits = ["idle", "detected", "deferred", "held", "fetching", "staged"];
            let quiet = [&waits[..], &["watching", "proven"]].concat();
            app <= "a03" && !quiet.contains(&view["state"].as_str().unwrap())
        };
        together = together.max(fleet.views().iter().filter(touched).count());
        fleet.proven("1.1.0").len() == 19
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(55), "they waited for the hook: {took:?}");
    assert_eq!(together, 1, "one at a time within a group");
    let of = |app: &str| fleet.views().into_iter().find(|view| view["app"] == app).unwrap();
    assert_eq!(of(HANGING)["state"], "draining", "its hook still hangs");
    assert_eq!((count("sleep 200001"), count("sleep 200002")), (1, 1));
    let (a05, a06) = (of("a05")["last_update"].clone(), of("a06")["last_update"].clone());
    assert!(a05["drawn_ms"].as_i64() >= a06["closed_ms"].as_i64(), "{a05:#}, {a06:#}");
    let said = || std::fs::read_to_string(&told).unwrap_or_default();
    fleet.until("people are told of each by the channel that lives", |fleet| {
        let others = fleet.apps.iter().filter(|app| *app != HANGING);
        others.into_iter().all(|app| said().contains(&format!("{app}: 1.1.0 is proven")))
    });

    fleet.until("the hook is ended at its limit", |_| of(HANGING)["state"] == "deferred");
    assert_eq!((count("sleep 200001"), count("sleep 200002")), (0, 0), "with what it started");
    let view = of(HANGING);
    assert_eq!((&view["running"]["version"], &view["up"]), (&"1.0.0".into(), &true.into()));
    let why = view["gates"].to_string();
    assert!(why.contains("was not done after 60000 ms and was killed"), "{why}");
}

/// Looks at the source in an hour, at one every five seconds.
const LOOKS: usize = 720;

/// What an agent uses.
#[derive(Debug)]
struct Uses {
    memory_kib: u64,
    threads: u64,
    files: usize,
    journal_bytes: u64,
    state_files: usize,
}

fn uses(fleet: &Fleet) -> Uses {
    let pid = fleet.agent_pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let size =
        |name: &str| std::fs::metadata(fleet.path("state").join(name)).map_or(0, |meta| meta.len());
    Uses {
        memory_kib: number("VmRSS:"),
        threads: number("Threads:"),
        files: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        journal_bytes: size("journal.db") + size("journal.db-wal"),
        state_files: count_files(&fleet.path("state")),
    }
}

fn count_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + count_files(&entry.path()),
            _ => 1,
        })
        .sum()
}

/// Fifty apps that have nothing to do, for as many looks as an hour has: nothing grows from a fifth
/// of it on.
#[test]
fn fifty_idle_apps_grow_nothing_in_an_hour_of_looks() {
    let mut fleet = Fleet::new(50, |app| format!("group = \"{app}\""), "");
    fleet.publish("1.0.0");
    fleet.start_agent();
    fleet.until("all are installed", |fleet| fleet.proven("1.0.0").len() == 50);
    let mut looks: Vec<(Value, usize)> = vec![(Value::Null, 0); 50];
    let mut mark = None;
    let mut line = fleet.line();
    fleet.until("an hour's looks are over", |fleet| {
        for (view, (last, count)) in line.views().iter().zip(&mut looks) {
            let at = &view["last_check"]["at_ms"];
            assert_eq!(view["state"], "idle", "{view:#}");
            if at != last {
                (*last, *count) = (at.clone(), *count + 1);
            }
        }
        let least = looks.iter().map(|(_, count)| *count).min().unwrap();
        if least >= LOOKS / 5 && mark.is_none() {
            mark = Some(uses(fleet));
        }
        least >= LOOKS
    });
    let before = mark.unwrap();
    // A look has files and threads open for a moment; what is lost stays open.
    fleet.until("no more is open than before", |fleet| {
        let now = uses(fleet);
        now.files <= before.files && now.threads <= before.threads
    });
    let after = uses(&fleet);
    let both = format!("{before:?}, then {after:?}");
    assert!(after.state_files <= before.state_files, "{both}");
    assert!(after.journal_bytes <= before.journal_bytes + 64 * 1024, "{both}");
    assert!(after.memory_kib <= before.memory_kib + 1024, "{both}");
}
