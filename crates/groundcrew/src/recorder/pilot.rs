//! The recorder's main thread: follows the busy flag, and says what happens.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use groundcrew_drivers::host::busy::{BusyFlag, Mode};
use groundcrew_engine::ports::Busy;
use groundcrew_recorder::body::Body;
use groundcrew_recorder::body::types::{ComponentLifecycleEvent, Severity};
use groundcrew_recorder::recorder::{Options, Recorder, Stopped, now};
use groundcrew_recorder::ring::Producer;
use groundcrew_recorder::ring::heap::Heap;
use groundcrew_recorder::writer::Moment;

use super::course::{Course, Turn};
use super::shelf::{Flown, Found, Shelf, Standing};
use super::visitors::Desk;
use super::who::{Aboard, aboard};
use super::{Ending, spawn, with};
use crate::chain;
use crate::cli::print::talk;
use crate::config::Settings;
use crate::exit::Refusal;
use crate::service::Manager;

/// Between two looks at the busy flag.
const LOOK: Duration = Duration::from_millis(100);
/// The recorder's thread gives a sign of life if it looked at its rings within so long. A disk that
/// hangs is no reason to be killed: what waits in memory for it would be lost.
const TURN_NS: u64 = 300_000_000_000;
/// What the recorder itself is called in its recordings.
pub(super) const NAME: &str = "recorder";

/// Where the recording is, and what is needed to go on.
#[derive(Debug)]
pub(super) struct Pilot {
    shelf: Shelf,
    standing: Standing,
    desk: Desk,
    flag: BusyFlag,
    course: Course,
    flown: Option<Flown>,
    own: Producer<Heap>,
    run: PathBuf,
    tell: Sender<Told>,
    heard: Receiver<Told>,
    sign_at_ns: u64,
}

/// What runs, as the agent said, and the flight for which it was asked.
#[derive(Debug)]
struct Told {
    flight: String,
    aboard: Aboard,
}

impl Pilot {
    /// Of a recorder that records into the standing recording.
    ///
    /// # Errors
    ///
    /// There is no ring for what the recorder has to say.
    pub(super) fn new(
        settings: &Settings,
        shelf: Shelf,
        standing: Standing,
        desk: Desk,
        found: Vec<Found>,
    ) -> Result<Self, Refusal> {
        let mode = if settings.busy.exists { Mode::Exists } else { Mode::NonEmpty };
        let own = with(&desk, |recorder| {
            let options = Options { bytes: 1 << 16, critical: true };
            recorder.producer(NAME, options).map_err(|error| chain(&error))
        });
        let own = own.and_then(|own| own).map_err(Refusal::failed)?;
        let (tell, heard) = channel();
        let mut pilot = Self {
            shelf,
            standing,
            desk,
            flag: BusyFlag::new(&settings.busy.path, mode),
            course: Course::default(),
            flown: None,
            own,
            run: settings.run.clone(),
            tell,
            heard,
            sign_at_ns: 0,
        };
        pilot.say(Severity::Info, "start", env!("CARGO_PKG_VERSION"));
        pilot.tell_found(found);
        Ok(pilot)
    }

    /// Says what became of the recordings before.
    fn tell_found(&mut self, found: Vec<Found>) {
        for Found { event, detail } in found {
            talk(&format!("groundcrew: {detail}"));
            self.say(Severity::Warning, event, &detail);
        }
    }

    /// Until somebody asks to end.
    pub(super) fn fly(&mut self, ending: &Ending, manager: &Manager) {
        loop {
            let now = now();
            let busy = matches!(self.flag.look().busy, Busy::Busy(_));
            match self.course.turn(busy, now.time_ns) {
                Turn::Stay => {}
                turn @ Turn::Begin => self.turned(turn, Self::begin, manager, now),
                turn @ Turn::End => self.turned(turn, Self::finish, manager, now),
            }
            self.note_who_is_aboard();
            self.give_sign(manager, now);
            // A thread that panicked: whoever started us starts us again.
            if with(&self.desk, Recorder::has_ended).unwrap_or(true) {
                return;
            }
            if ending.within(LOOK) {
                return;
            }
        }
    }

    /// Takes a turn; what cannot be done is told and tried again.
    fn turned(
        &mut self,
        turn: Turn,
        take: impl Fn(&mut Self) -> Result<String, String>,
        manager: &Manager,
        now: Moment,
    ) {
        match take(self) {
            Ok(said) => {
                self.course.done(turn);
                talk(&format!("groundcrew: {said}"));
                manager.status(&said);
            }
            Err(why) => {
                if self.course.failed(turn, now.time_ns) {
                    talk(&format!("groundcrew: {why}; it is tried again"));
                    manager.status(&why);
                    let event = if turn == Turn::Begin { "fdr_no_flight" } else { "fdr_no_end" };
                    self.say(Severity::Error, event, &why);
                }
            }
        }
    }

    /// Begins a flight.
    fn begin(&mut self) -> Result<String, String> {
        let cannot = |why: String| format!("cannot begin a flight: {why}");
        let (writer, flown) = self.shelf.begin().map_err(|error| cannot(chain(&error)))?;
        let id = flown.id().to_owned();
        let reason = format!("flight {id} begins");
        let changed = with(&self.desk, |recorder| recorder.change_flights(writer, &reason));
        let stopped = match changed.and_then(|changed| changed.map_err(|error| chain(&error))) {
            Ok(stopped) => stopped,
            Err(why) => {
                flown.discard();
                return Err(cannot(why));
            }
        };
        self.flown = Some(flown);
        self.say(Severity::Info, "fdr_flight_begins", &id);
        self.ask_who_is_aboard(&id);
        Ok(told(format!("flight {id} has begun"), "the standing recording", &stopped))
    }

    /// Ends the flight.
    fn finish(&mut self) -> Result<String, String> {
        let Some(flown) = self.flown.take() else { return Ok("there was no flight".to_owned()) };
        let id = flown.id().to_owned();
        let stopped = match self.go_back() {
            Ok(stopped) => stopped,
            Err(why) => {
                self.flown = Some(flown);
                return Err(format!("cannot end flight {id}: {why}"));
            }
        };
        let said = told(format!("flight {id} has ended"), "the flight", &stopped);
        self.say(Severity::Info, "fdr_flight_ended", &said);
        if let Err(error) = flown.end(&stopped, now()) {
            // The flight says the same; the next start writes it.
            self.say(Severity::Warning, "fdr_manifest", &chain(&error));
        }
        Ok(said)
    }

    /// Goes on with the standing recording; how the flight ended.
    fn go_back(&mut self) -> Result<Stopped, String> {
        if !self.standing.is_there() {
            let detail = "the standing recording was removed; it is made anew".to_owned();
            let mut found = vec![Found { event: "fdr_standing_removed", detail }];
            self.standing = self.shelf.standing(&mut found).map_err(|error| chain(&error))?;
            self.tell_found(found);
        }
        let writer = self.shelf.go_on(&self.standing).map_err(|error| chain(&error))?;
        let changed = with(&self.desk, |recorder| recorder.change_flights(writer, "it is over"));
        changed.and_then(|changed| changed.map_err(|error| chain(&error)))
    }

    /// Ends the recording, and the flight with it.
    ///
    /// # Errors
    ///
    /// The recorder's thread had panicked.
    pub(super) fn end(mut self) -> Result<Stopped, Refusal> {
        self.say(Severity::Info, "stop", "the recorder was asked to end");
        let recorder = self.desk.lock().unwrap_or_else(PoisonError::into_inner).take();
        let recorder = recorder.ok_or_else(|| Refusal::failed("the recorder has ended"))?;
        let stopped = recorder.stop("the recorder was asked to end");
        let stopped = stopped.map_err(|error| Refusal::failed(chain(&error)))?;
        if let Some(Err(error)) = self.flown.map(|flown| flown.end(&stopped, now())) {
            talk(&format!("groundcrew: {}", chain(&error)));
        }
        Ok(stopped)
    }

    /// Asks the agent what runs, without waiting for it.
    fn ask_who_is_aboard(&self, flight: &str) {
        let (run, tell, flight) = (self.run.clone(), self.tell.clone(), flight.to_owned());
        let asked = spawn("aboard", move || {
            if let Some(aboard) = aboard(&run) {
                // The recorder may have ended meanwhile.
                tell.send(Told { flight, aboard }).ok();
            }
        });
        if let Err(refusal) = asked {
            talk(&format!("groundcrew: {refusal}"));
        }
    }

    /// Writes down what the agent said of the flight that is flown.
    fn note_who_is_aboard(&mut self) {
        let Ok(Told { flight, aboard }) = self.heard.try_recv() else { return };
        let Some(flown) = self.flown.as_mut().filter(|flown| flown.id() == flight) else { return };
        (flown.manifest.apps, flown.manifest.revision) = (aboard.apps, aboard.revision);
        if let Err(error) = flown.write() {
            self.say(Severity::Warning, "fdr_manifest", &chain(&error));
        }
    }

    /// A sign of life while the recorder's thread turns.
    fn give_sign(&mut self, manager: &Manager, now: Moment) {
        let Some(every) = manager.sign_every() else { return };
        if now.time_ns < self.sign_at_ns {
            return;
        }
        let turned_ns = with(&self.desk, Recorder::turned_ns).unwrap_or_default();
        if now.time_ns.saturating_sub(turned_ns) < TURN_NS {
            manager.alive();
        } else {
            manager.status("the disk holds up the recorder");
        }
        let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
        self.sign_at_ns = now.time_ns.saturating_add(every_ns);
    }

    fn say(&mut self, severity: Severity, event: &str, detail: &str) {
        self.push(&ComponentLifecycleEvent {
            severity,
            component: NAME.to_owned(),
            event: event.to_owned(),
            detail: detail.to_owned(),
            ..Default::default()
        });
    }

    fn push<B: Body>(&mut self, body: &B) {
        // A full ring is told by the recorder itself.
        self.own.push(B::SCHEMA.kind, now().time_ns, &body.to_bytes());
    }
}

/// What happened, and what was lost with the end of `what`.
fn told(said: String, what: &str, stopped: &Stopped) -> String {
    let Stopped { footer, durable, .. } = stopped;
    let mut said = said;
    if footer.records_dropped_overrun > 0 {
        said.push_str(&format!("; {} records did not fit", footer.records_dropped_overrun));
    }
    if !durable {
        said.push_str(&format!("; the end of {what} could not be made durable"));
    }
    said
}
