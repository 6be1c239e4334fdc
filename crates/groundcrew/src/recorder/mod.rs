//! The recorder role: one process that records, agent alive or not.
//!
//! ```text
//! <run>/recorder.sock          producers ask for a ring here, or send records: `visitors`
//! <run>/rings/<name>.ring      shared rings; they outlive this process and its producers
//! <run>/rings/agent.ring       what groundcrew itself has to say
//! <recordings>/standing/       everything outside flights, a ring of 256 MiB: `shelf`
//! <recordings>/<flight id>/    from the busy flag on until it is cleared: `course`
//! ```
//!
//! A disk that is full, read-only or broken ends nothing: the recorder waits in front of it, rings
//! fill and count what they refuse, and apps never notice.

pub(crate) mod clock;
mod course;
mod health;
mod pilot;
pub(crate) mod recovery;
mod shelf;
mod visitors;
mod who;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use groundcrew_recorder::recorder::{Options, Recorder, Stopped};

use crate::chain;
use crate::cli::print::talk;
use crate::config::Settings;
use crate::crew::make_places;
use crate::exit::{Exit, Refusal};
use crate::service::Manager;
use pilot::Pilot;
use shelf::{Found, NotNow, Shelf, Standing};
use visitors::Desk;

/// The directory of the rings in the run directory.
pub(crate) const RINGS: &str = "rings";
/// The ring of groundcrew itself.
pub(crate) const AGENT_RING: &str = "agent";
/// How it is made: what happens to an app is rare and must not be lost.
const AGENT_OPTIONS: Options = Options { bytes: 1 << 20, critical: true };
/// A recorder that is ending has so long until a second one gives up.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to get at the disk.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two lines about the same trouble.
const REPEAT: Duration = Duration::from_secs(60);
/// A graceful end takes at most so long, whatever hangs.
const END_WITHIN: Duration = Duration::from_secs(25);

/// Records until SIGTERM or SIGINT.
///
/// # Errors
///
/// `Locked`: another recorder is at work. Else the host failed.
pub(crate) fn run(settings: &Settings) -> Result<Exit, Refusal> {
    let manager = Manager::from_env(|name| std::env::var_os(name), std::process::id());
    make_places(settings)?;
    let ending = Ending::listen()?;
    let group = settings.recorder.group.as_deref().map(who::group).transpose()?;
    let rings = make_rings(&settings.run)?;
    let digest = who::config_digest(&settings.files);
    let shelf = Shelf::new(&settings.recordings, settings.recorder.clone(), digest);
    let mut found = Vec::new();
    let Some((standing, recorder)) = start(&shelf, &rings, &ending, &manager, &mut found)? else {
        return Ok(Exit::Done);
    };
    shelf.end_all(&mut found);
    let agent = recorder.shared(AGENT_RING, AGENT_OPTIONS);
    let agent = agent.map_err(|error| Refusal::failed(chain(&error)))?;
    let_in(&rings, &agent, group)?;
    let desk: Desk = Arc::new(Mutex::new(Some(recorder)));
    let socket = visitors::open(&settings.run, if group.is_some() { 0o660 } else { 0o600 }, group);
    let socket = socket.map_err(|error| {
        let path = settings.run.join(visitors::NAME);
        Refusal::failed(format!("cannot listen on {}: {error}", path.display()))
    })?;
    let counter = Arc::clone(&desk);
    let place = visitors::Rings { dir: rings, group };
    spawn("visitors", move || visitors::serve(&socket, &counter, &place))?;
    health::watch(&desk, settings.recordings.clone())?;
    let mut pilot = Pilot::new(settings, shelf, standing, Arc::clone(&desk), found)?;
    talk(&format!("groundcrew: recorder ready, recordings in {}", settings.recordings.display()));
    manager.ready("recording");
    pilot.fly(&ending, &manager);
    manager.stopping("ending; what was recorded is durable");
    let exit = land(pilot.end(), settings);
    talk("groundcrew: recorder ended");
    exit
}

/// What the end was like.
fn land(stopped: Result<Stopped, Refusal>, settings: &Settings) -> Result<Exit, Refusal> {
    // What a dead socket would say is "connection refused"; none at all says it sooner.
    drop(std::fs::remove_file(settings.run.join(visitors::NAME)));
    let Stopped { durable, drained, .. } = stopped?;
    if !durable {
        return Err(Refusal::new(Exit::Lost, "the end of the recording could not be made durable"));
    }
    if !drained {
        talk("groundcrew: not all was drained in time; the next recorder takes it over");
    }
    Ok(Exit::Done)
}

/// Waits until the disk lets a recorder begin; `None`: it was asked to end meanwhile.
fn start(
    shelf: &Shelf,
    rings: &Path,
    ending: &Ending,
    manager: &Manager,
    found: &mut Vec<Found>,
) -> Result<Option<(Standing, Recorder)>, Refusal> {
    let begun = Instant::now();
    let mut told: Option<(String, Instant)> = None;
    loop {
        let why = match shelf.standing(found) {
            Ok(standing) => match record(shelf, &standing, rings)? {
                Ok(recorder) => return Ok(Some((standing, recorder))),
                Err(why) => why,
            },
            Err(error @ NotNow::Taken(_)) if begun.elapsed() >= LOCK_PATIENCE => {
                return Err(Refusal::new(Exit::Locked, format!("{error}; try later")));
            }
            Err(error) => chain(&error),
        };
        let again = told.as_ref().is_some_and(|(last, at)| *last == why && at.elapsed() < REPEAT);
        if !again && begun.elapsed() >= PAUSE {
            talk(&format!("groundcrew: nothing is recorded yet, it is tried again: {why}"));
            manager.status(&format!("nothing is recorded yet: {why}"));
            told = Some((why, Instant::now()));
        }
        if ending.within(PAUSE) {
            return Ok(None);
        }
    }
}

/// Begins to record into the standing recording; the inner error is the disk's and may pass.
fn record(
    shelf: &Shelf,
    standing: &Standing,
    rings: &Path,
) -> Result<Result<Recorder, String>, Refusal> {
    let mut writer = match shelf.go_on(standing) {
        Ok(writer) => writer,
        Err(error) => return Ok(Err(chain(&error))),
    };
    // A recorder that died in a flight knew what its producers had said of their types.
    shelf.described().into_iter().for_each(|schema| writer.remember(schema));
    let recorder = Recorder::start(writer, Some(rings));
    recorder.map(Ok).map_err(|error| Refusal::failed(chain(&error)))
}

/// Makes the directory of the rings, where only we are let in so far.
fn make_rings(run: &Path) -> Result<PathBuf, Refusal> {
    let dir = run.join(RINGS);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    let made = made.and_then(|()| set_mode(&dir, 0o700));
    made.map_err(|error| Refusal::failed(format!("cannot make {}: {error}", dir.display())))?;
    Ok(dir)
}

/// Lets the group attach to rings, all but the agent's: whoever may truncate that one could kill it.
///
/// Each ring is given to the group by itself: that new files take the group of their directory is
/// up to a bit that a service without `CAP_FSETID` cannot set, and the kernel does not say so.
fn let_in(rings: &Path, agent: &Path, group: Option<u32>) -> Result<(), Refusal> {
    let let_in = || {
        set_mode(agent, 0o600)?;
        for entry in std::fs::read_dir(rings)? {
            let path = entry?.path();
            if path != agent {
                lchown(&path, None, group)?;
            }
        }
        lchown(rings, None, group)?;
        set_mode(rings, if group.is_some() { 0o750 } else { 0o700 })
    };
    let done: std::io::Result<()> = let_in();
    done.map_err(|error| {
        Refusal::failed(format!("cannot set who uses {}: {error}", rings.display()))
    })
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Does something with the recorder.
fn with<T>(desk: &Desk, what: impl FnOnce(&Recorder) -> T) -> Result<T, String> {
    let desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
    desk.as_ref().map(what).ok_or_else(|| "the recorder has ended".to_owned())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Refusal> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    // The thread ends with the process.
    started.map(drop).map_err(|error| Refusal::failed(format!("cannot start a thread: {error}")))
}

/// Ends the process some time after it was asked to, whatever its threads wait for.
fn end_without() {
    std::thread::sleep(END_WITHIN);
    // As after a crash: what was written is there, and the next recorder ends it.
    talk("groundcrew: the disk holds up the recorder's end; it ends without");
    std::process::exit(u8::from(Exit::Failed).into());
}

/// Whether somebody asked to end.
#[derive(Debug)]
struct Ending {
    asked: std::sync::mpsc::Receiver<()>,
}

impl Ending {
    fn listen() -> Result<Self, Refusal> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
            .map_err(|error| Refusal::failed(format!("cannot watch for signals: {error}")))?;
        let (tell, asked) = std::sync::mpsc::channel();
        spawn("signals", move || {
            let mut is_asked = false;
            for signal in signals.forever() {
                if signal == SIGHUP {
                    talk("groundcrew: the recorder reads its configuration when it is restarted");
                } else {
                    // Nobody listens any more at the very end.
                    tell.send(()).ok();
                    if !std::mem::replace(&mut is_asked, true)
                        && let Err(refusal) = spawn("last resort", end_without)
                    {
                        talk(&format!("groundcrew: {refusal}"));
                    }
                }
            }
        })?;
        Ok(Self { asked })
    }

    /// Waits; whether it was asked for meanwhile.
    fn within(&self, time: Duration) -> bool {
        self.asked.recv_timeout(time).is_ok()
    }
}
