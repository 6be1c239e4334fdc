//! Holds an agent still in a phase of its update, however short the phase is.
//!
//! The agent is stopped, the journal is read, and the agent goes on for a moment if its last event is
//! another one. So nothing happens between the look and what is done to the agent, or to its host,
//! after it: a phase that lasts for no longer than one commit is hit.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{
    Pid, Signal, WaitOptions, getpriority_process, kill_process, setpriority_process, waitpid,
};

use crate::Result;
use crate::journal::Journal;

/// How long a phase is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long the agent may go on between two looks.
const MOMENT: Duration = Duration::from_micros(150);

/// Stops the agent, a child of this process, as soon as the journal's last event is one of these,
/// and leaves it stopped. False: the update that follows the event `since` was closed before; the
/// agent goes on.
///
/// # Errors
/// The agent ended, there is no journal, or neither comes in time.
pub fn hold(agent: Pid, state: &Path, since: i64, events: &[&str]) -> Result<bool> {
    let _first = First::be();
    let journal = Journal::open(state)?.context("there is no journal")?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        kill_process(agent, Signal::STOP).context("cannot stop the agent")?;
        let waited = waitpid(Some(agent), WaitOptions::UNTRACED);
        match waited.context("cannot wait for the agent")? {
            Some((_, status)) if status.stopped() => {}
            other => bail!("the agent ended: {other:?}"),
        }
        // A journal that cannot be read just now shows nothing.
        let seen = journal.after(since).unwrap_or_default();
        let last = seen.last().map_or("nothing", |line| line.phase.as_str());
        if events.contains(&last) {
            return Ok(true);
        }
        release(agent)?;
        if seen.iter().any(|line| line.phase == "closed") {
            return Ok(false);
        }
        if Instant::now() >= deadline {
            bail!("none of {events:?} within {DEADLINE:?}, the last event is {last}");
        }
        std::thread::sleep(MOMENT);
    }
}

/// This thread before all others, for as long as this lives: on a loaded machine whoever looks
/// every 150 µs looks every few milliseconds otherwise, and the agent gets on meanwhile.
struct First(i32);

impl First {
    const NICE: i32 = -20;

    fn be() -> Self {
        let before = getpriority_process(None).unwrap_or(0);
        // Only root may; everybody else has to be lucky.
        setpriority_process(None, Self::NICE).ok();
        Self(before)
    }
}

impl Drop for First {
    fn drop(&mut self) {
        setpriority_process(None, self.0).ok();
    }
}

/// Lets it go on.
///
/// # Errors
/// It is gone.
pub fn release(agent: Pid) -> Result<()> {
    kill_process(agent, Signal::CONT).context("cannot let the agent go on")
}
