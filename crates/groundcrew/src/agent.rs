//! The agent role: a crew that serves until SIGTERM, with its control socket and its notices.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::print::talk;
use crate::config::{Overrides, Settings};
use crate::crew::{Crew, socket};
use crate::exit::{Exit, Refusal};

/// How often the main thread looks whether it is to end by other ways than a signal.
const TICK: Duration = Duration::from_secs(3_600);

/// Looks after all apps until SIGTERM or SIGINT. Apps keep running; one that an update
/// has taken down is brought up first, unless a second signal comes.
///
/// # Errors
///
/// `Locked`: another agent is there. Else the host failed.
pub(crate) fn run(settings: Settings, overrides: Overrides) -> Result<Exit, Refusal> {
    let run = settings.run.clone();
    let crew = Crew::open(settings, overrides, "the agent", true)?;
    let listener = socket::listen(&run)?;
    let ending = crew.ending().clone();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGHUP,
    ])
    .map_err(|error| Refusal::failed(format!("cannot watch for signals: {error}")))?;
    let control = Arc::clone(&crew);
    spawn("control", move || socket::serve(&listener, &control))?;
    let asked = Arc::clone(&crew);
    spawn("signals", move || {
        for signal in signals.forever() {
            if signal != signal_hook::consts::SIGHUP {
                if asked.ending().is_ending() {
                    // As after a crash: the next agent goes on.
                    std::process::exit(u8::from(Exit::Failed).into());
                }
                asked.ending().end();
                continue;
            }
            if let Err(refusal) = asked.ask(crate::crew::request::Request::Reload) {
                talk(&format!("groundcrew: the configuration is not read again: {refusal}"));
            }
        }
    })?;
    let teller = crew.tell()?;
    talk(&format!("groundcrew: agent ready, {} apps", crew.settings().apps.len()));
    while ending.wait(TICK) != groundcrew_engine::ports::Woken::Shutdown {}
    talk("groundcrew: agent is asked to end");
    crew.end();
    teller.end();
    // What a dead socket would say is "connection refused"; none at all says it sooner.
    drop(std::fs::remove_file(socket::path(&run)));
    talk("groundcrew: agent ended");
    Ok(Exit::Done)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Refusal> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    // The thread ends with the process.
    started.map(drop).map_err(|error| Refusal::failed(format!("cannot start a thread: {error}")))
}
