//! The agent role: a crew that serves until SIGTERM, with its control socket and its notices.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::print::talk;
use crate::config::{Overrides, Settings};
use crate::crew::{Crew, socket};
use crate::exit::{Exit, Refusal};
use crate::service::Manager;
use groundcrew_engine::ports::Woken;

/// How often the main thread looks around when nobody waits for a sign of life.
const TICK: Duration = Duration::from_secs(3_600);
/// How long the agent's own socket may take to answer it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a lock that another one holds is waited for: a `once` may be ending.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Looks after all apps until SIGTERM or SIGINT. Apps keep running; one that an update
/// has taken down is brought up first, unless a second signal comes.
///
/// # Errors
///
/// `Locked`: another agent is there. Else the host failed.
pub(crate) fn run(settings: Settings, overrides: Overrides) -> Result<Exit, Refusal> {
    let run = settings.run.clone();
    let manager = Manager::from_env(|name| std::env::var_os(name), std::process::id());
    let crew = open(&settings, &overrides)?;
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
    let count = crew.settings().apps.len();
    let apps = format!("{count} {}", if count == 1 { "app" } else { "apps" });
    talk(&format!("groundcrew: agent ready, {apps}"));
    manager.ready(&format!("looking after {apps}"));
    let manager = Arc::new(manager);
    watch(&crew, &run, &manager)?;
    while ending.wait(TICK) != Woken::Shutdown {}
    talk("groundcrew: agent is asked to end");
    manager.stopping("ending; apps keep running");
    crew.end();
    teller.end();
    // What a dead socket would say is "connection refused"; none at all says it sooner.
    drop(std::fs::remove_file(socket::path(&run)));
    talk("groundcrew: agent ended");
    Ok(Exit::Done)
}

/// Takes the lock, and waits a while for one who is ending.
fn open(settings: &Settings, overrides: &Overrides) -> Result<Arc<Crew>, Refusal> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match Crew::open(settings.clone(), overrides.clone(), "the agent", true) {
            // An agent that answers is not ending.
            Err(refusal)
                if refusal.code == Exit::Locked
                    && Instant::now() < deadline
                    && !socket::answers(&settings.run, ANSWER_WITHIN) =>
            {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Gives a sign of life for as long as everything turns: what all apps share, and the socket. A check
/// that hangs gives none, and neither does one that fails.
fn watch(crew: &Arc<Crew>, run: &Path, manager: &Arc<Manager>) -> Result<(), Refusal> {
    let Some(every) = manager.sign_every() else { return Ok(()) };
    let (crew, manager, run) = (Arc::clone(crew), Arc::clone(manager), run.to_owned());
    spawn("watchdog", move || {
        loop {
            let answers = || socket::answers(&run, ANSWER_WITHIN).then_some(());
            let turns = crew.pulse();
            match turns.and_then(|()| answers().ok_or("the control socket is dead".to_owned())) {
                Ok(()) => manager.alive(),
                // The socket goes before the process does.
                Err(_) if crew.ending().is_ending() => manager.alive(),
                Err(why) => {
                    manager.status(&format!("not alive: {why}"));
                    talk(&format!("groundcrew: no sign of life is given: {why}"));
                }
            }
            std::thread::sleep(every);
        }
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Refusal> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    // The thread ends with the process.
    started.map(drop).map_err(|error| Refusal::failed(format!("cannot start a thread: {error}")))
}
