//! The last act: the agent is killed with SIGKILL at random points, and finishes its job.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Trouble;
use super::acts::Play;
use super::hands::{is_proven, text};
use super::say::Teller;
use super::scene::APP;

/// Kills.
const KILLS: u32 = 10;
/// The agent lives at most so long between two of them.
const LIFE_MAX_MS: u32 = 900;

/// Kills the agent and looks whether its job is done all the same.
pub(super) fn play(play: &mut Play<'_>, teller: &mut Teller) -> Result<(), Trouble> {
    teller.act("The agent is killed with SIGKILL at 10 random points of real updates");
    let mut to = "1.1.0";
    let mut states = Vec::new();
    play.hands.run(&["pin", APP, to])?;
    for number in 1..=KILLS {
        std::thread::sleep(Duration::from_millis(u64::from(chance() % LIFE_MAX_MS)));
        play.hands.kill_agent()?;
        let status = play.hands.status()?;
        let state = text(&status, "/state").to_owned();
        let runs = text(&status, "/running/version").to_owned();
        teller
            .talk(&format!("    kill {number}: in {state} (on the way to {to}; {runs} in place)"));
        let watched = state == "watching";
        states.push(state);
        play.hands.start_agent()?;
        // Most of an update is its watch; the next kill is to fall on another part of one.
        if watched && number < KILLS {
            play.hands.wait("the update is proven", |status| is_proven(status, to))?;
        }
        if is_proven(&play.hands.status()?, to) && number < KILLS {
            to = if to == "1.1.0" { "1.1.1" } else { "1.1.0" };
            play.hands.run(&["pin", APP, to])?;
        }
    }
    let proven = play.hands.wait("the update is done", |status| is_proven(status, to));
    let ok = proven.is_ok();
    let found = match &proven {
        Ok(_) => format!("{to} runs and is proven"),
        Err(trouble) => format!("{trouble:#}"),
    };
    let observed = format!("killed in: {}; then {found}", states.join(", "));
    teller.step("kills", "the update is finished after all kills", &observed, ok);
    let copies = copies(play.scene.port());
    let observed = format!("{copies} process listens for the app");
    teller.step("one copy", "exactly one copy of the app runs", &observed, copies == 1);
    play.count("kills", teller, 0);
    Ok(())
}

/// A number that differs from run to run; nothing depends on its quality.
fn chance() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(7, |now| now.subsec_micros())
}

/// Processes that run the app on this port, counted from outside.
fn copies(port: u16) -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let runs = |entry: &std::fs::DirEntry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        words.contains(&b"demo-app".as_slice()) && words.contains(&port.to_string().as_bytes())
    };
    entries.filter(runs).count()
}
