//! One host from its first installation through some rounds, each with a candidate and a blow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde_json::Value;

use super::aim::{self, Aim, Came};
use super::{Blows, Options};
use crate::client::Client;
use crate::disks::{Disks, Kind, Log};
use crate::host::{Host, Places, reached};
use crate::journal::Journal;
use crate::random::Random;
use crate::subject::{Candidate, Subject, point};
use crate::truth::{Found, Past, failed_trees, judge};
use crate::{Result, files, procs};

/// A round that has not come to rest by then never does. The longest honest one is a candidate that
/// never listens, a watch, and a restart or two.
const REST_WITHIN: Duration = Duration::from_secs(90);

/// Clean-up follows the last event; what is wrong after this long stays wrong.
const CLEAN_WITHIN: Duration = Duration::from_secs(10);

/// A candidate that waits for longer than this waits for a person or for a minute.
const WAITS_FOR_GOOD: Duration = Duration::from_secs(3);

/// Pause between two looks at a host that is not at rest.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Rows before the first candidate is offered.
const FIRST_ROWS: usize = 20;

/// How many events, and bytes of the agent's log, a violation shows.
const EVENTS_SHOWN: i64 = 60;
const LOG_SHOWN_BYTES: usize = 6_000;

/// Who works on the updates of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Agent,
    Once,
    Update,
}

const RUNNERS: [Runner; 5] =
    [Runner::Agent, Runner::Agent, Runner::Agent, Runner::Once, Runner::Update];

/// How a round went.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// Where each blow fell.
    pub(super) blows: Vec<String>,
    /// Blows that fell later, because the phase they were aimed at never came.
    pub(super) missed: u32,
    /// Whether the candidate runs in the end.
    pub(super) new: bool,
    /// What is wrong, with everything needed to understand it.
    pub(super) violation: Option<String>,
}

/// One host.
#[derive(Debug)]
pub(super) struct Life {
    // Dropped in this order: nobody may use the file systems when they go.
    client: Client,
    host: Host,
    disks: Option<Disks>,
    subject: Arc<dyn Subject>,
    past: Past,
    round: u32,
    blows: Blows,
}

impl Life {
    /// Installs the subject's first release in a directory and waits until it is proven.
    pub(super) fn begin(options: &Options, dir: &Path, random: &mut Random) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (disks, places) = match options.blows {
            Blows::Kills => (None, Places::below(dir)),
            Blows::PowerCuts => {
                let kinds = [Kind::Ext4, Kind::Xfs];
                let kinds = [*random.one_of(&kinds), *random.one_of(&kinds)];
                let (disks, places) = Disks::make(dir, kinds)?;
                (Some(disks), places)
            }
        };
        let host = Host::new(&options.program, places)?;
        let subject = options.subject(host.places())?;
        let tables = subject.tables(host.places());
        host.configure(&format!("[clock]\nsynchronized = \"always\"\n{tables}"))?;
        let first = subject.candidate(0);
        let digest = subject.publish(host.places(), &first)?;
        point(host.places(), subject.name(), &first.version, &digest)?;
        let ran = host.run(&["update", subject.name(), "--wait", "proven"])?;
        if ran.code != 0 {
            bail!("the first installation failed: {ran:#?}");
        }
        let client = Client::start(Arc::clone(&subject));
        // A candidate that damages data needs some to damage.
        if !reached(REST_WITHIN, || client.pause().acknowledged.len() >= FIRST_ROWS) {
            bail!("the app takes no rows");
        }
        let past = Past { from: first.version, set_aside: BTreeSet::new() };
        Ok(Self { client, host, disks, subject, past, round: 0, blows: options.blows })
    }

    /// Offers the next candidate, strikes, lets it come to rest, and judges.
    pub(super) fn round(&mut self, random: &mut Random) -> Result<Round> {
        self.round += 1;
        let candidate = self.subject.candidate(self.round);
        let runner = *random.one_of(&RUNNERS);
        self.prepare(runner)?;
        let since = self.last_event()?;
        let digest = self.subject.publish(self.host.places(), &candidate)?;
        point(self.host.places(), self.subject.name(), &candidate.version, &digest)?;
        if runner != Runner::Agent {
            self.start(runner)?;
        }
        let mut blows = Vec::new();
        let aim = Aim::draw(random, candidate.good);
        let came = self.strike(&aim, since, random)?;
        let missed = u32::from(came == Came::Missed);
        if let Came::Now(phase) = came {
            blows.push(phase);
            if random.chance(30) {
                self.start(runner)?;
                if let Came::Now(phase) = self.strike(&Aim::soon(random), since, random)? {
                    blows.push(phase);
                }
            }
        }
        let recovery = if random.chance(60) { Runner::Agent } else { Runner::Once };
        if recovery == Runner::Agent {
            self.prepare(Runner::Agent)?;
        }
        let begun = Instant::now();
        let (problems, new) = self.judge(&candidate, recovery)?;
        let told = || format!("{candidate:?} by {runner:?}, {aim:?}, recovery {recovery:?}");
        let violation = (!problems.is_empty()).then(|| {
            let shown = [told(), format!("{:.1} s to rest", begun.elapsed().as_secs_f64())];
            self.story(&problems, &shown.join("; "), since, &blows)
        });
        Ok(Round { blows, missed, new, violation })
    }

    /// An agent that runs for the rounds that want one, none for the others.
    fn prepare(&mut self, runner: Runner) -> Result<()> {
        let runs = self.host.agent_ended()?.is_none() && self.host.agent_pid().is_some();
        match (runner, runs) {
            (Runner::Agent, false) => self.host.start_agent(),
            (Runner::Once | Runner::Update, true) => self.host.end_agent(Signal::TERM).map(drop),
            (Runner::Agent, true) | (Runner::Once | Runner::Update, false) => Ok(()),
        }
    }

    fn start(&mut self, runner: Runner) -> Result<()> {
        match runner {
            Runner::Agent => self.host.spawn_agent(),
            Runner::Once => self.host.spawn_kept(&["once", "--wait", "proven"]),
            Runner::Update => {
                let name = self.subject.name().to_owned();
                self.host.spawn_kept(&["update", &name, "--wait", "proven"])
            }
        }
    }

    fn last_event(&self) -> Result<i64> {
        let journal = Journal::open(&self.host.places().state)?;
        journal.context("there is no journal after an installation")?.last()
    }

    fn strike(&mut self, aim: &Aim, since: i64, random: &mut Random) -> Result<Came> {
        let came = aim::wait(&mut self.host, aim, since)?;
        // Where the phase never came the blow falls all the same, so that whoever recovers finds
        // nobody at work; it counts as missed.
        if came == Came::Ended {
            return Ok(came);
        }
        match (&mut self.disks, self.blows) {
            (Some(disks), Blows::PowerCuts) => {
                let log = if random.chance(50) { Log::Lost } else { Log::Flushed };
                disks.cut(log, random)?;
                // It was killed with everybody else.
                let gone = reached(REST_WITHIN, || {
                    self.host.agent_ended().is_ok() && self.host.agent_pid().is_none()
                });
                if !gone {
                    bail!("the agent survives a power cut");
                }
            }
            _ => drop(self.host.end_agent(Signal::KILL)?),
        }
        Ok(came)
    }

    /// Waits until nothing is under way and this candidate was dealt with; `None`: it never was.
    fn rest(&mut self, candidate: &Candidate, recovery: Runner) -> Result<Option<Value>> {
        let deadline = Instant::now() + REST_WITHIN;
        let mut waits_since = None;
        while Instant::now() < deadline {
            if recovery != Runner::Agent && self.host.agent_ended()?.is_none() {
                if self.host.agent_pid().is_none() {
                    self.start(Runner::Once)?;
                }
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            let view = self.host.view(self.subject.name());
            match view.as_ref().map_or(Rest::No, |view| is_at_rest(view, candidate)) {
                Rest::Yes => return view.map(Some),
                Rest::Waits => {
                    // A gate that an app on its way up keeps shut opens by itself.
                    let since = *waits_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= WAITS_FOR_GOOD {
                        return view.map(Some);
                    }
                }
                Rest::No => waits_since = None,
            }
            if recovery != Runner::Agent {
                self.start(Runner::Once)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }

    /// What is wrong at rest, for longer than clean-up takes, and whether the candidate runs.
    fn judge(&mut self, candidate: &Candidate, recovery: Runner) -> Result<(Vec<String>, bool)> {
        let deadline = Instant::now() + REST_WITHIN + CLEAN_WITHIN;
        let mut at_rest = None;
        loop {
            let Some(view) = self.rest(candidate, recovery)? else {
                return Ok((
                    vec![format!("it did not come to rest within {REST_WITHIN:?}")],
                    false,
                ));
            };
            let deadline = deadline.min(*at_rest.get_or_insert(Instant::now()) + CLEAN_WITHIN);
            let (problems, set_aside) = self.look(candidate, &view)?;
            if problems.is_empty() || Instant::now() >= deadline {
                let version = self.subject.version();
                let new = version.as_ref() == Some(&candidate.version);
                self.past.from = version.unwrap_or_default();
                self.past.set_aside.extend(set_aside);
                return Ok((problems, new));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn look(&self, candidate: &Candidate, view: &Value) -> Result<(Vec<String>, BTreeSet<u64>)> {
        let subject = &*self.subject;
        let book = self.client.pause();
        let trees: Vec<PathBuf> = failed_trees(subject);
        let found = Found {
            version: subject.version(),
            rows: subject.rows(),
            view: view.clone(),
            failed: trees
                .iter()
                .flat_map(|tree| subject.rows_in(tree).unwrap_or_default())
                .collect(),
        };
        let (mut problems, set_aside) = judge(&self.past, &candidate.version, &book, &found);
        drop(book);
        let is_new = found.version.as_ref() == Some(&candidate.version);
        if is_new && !candidate.good {
            problems.push(format!("{} is bad, and was kept", candidate.version));
        }
        if candidate.good && is_known_bad(view, candidate) {
            problems.push(format!("{} is good, and was made known-bad", candidate.version));
        }
        let all = procs::of(&self.host.places().root)?;
        problems.extend(procs::problems(&all, subject, self.host.agent_pid()));
        problems.extend(files::problems(self.host.places(), subject));
        Ok((problems, set_aside))
    }

    fn story(&self, problems: &[String], told: &str, since: i64, blows: &[String]) -> String {
        let places = self.host.places();
        let events = Journal::open(&places.state).ok().flatten().and_then(|journal| {
            let last = journal.last().ok()?;
            journal.after(since.min(last - EVENTS_SHOWN)).ok()
        });
        let events: Vec<String> = events
            .unwrap_or_default()
            .iter()
            .map(|line| format!("  {} {} {}", line.seq, line.wall_ms, line.body))
            .collect();
        let log = std::fs::read_to_string(places.agent_log()).unwrap_or_default();
        let log: String =
            log.chars().skip(log.chars().count().saturating_sub(LOG_SHOWN_BYTES)).collect();
        let processes = procs::of(&places.root).unwrap_or_default();
        format!(
            "round {}: {told}\nblows after: {blows:?}\n{}\n\nstatus: {:#}\n\nevents:\n{}\n\n\
             processes: {processes:#?}\n\nfiles:\n{}\nagent:\n{log}",
            self.round,
            problems.join("\n"),
            self.host.view(self.subject.name()).unwrap_or_default(),
            events.join("\n"),
            files::listing(&places.root),
        )
    }
}

fn text<'a>(view: &'a Value, pointer: &str) -> Option<&'a str> {
    view.pointer(pointer).and_then(Value::as_str)
}

fn is_known_bad(view: &Value, candidate: &Candidate) -> bool {
    let list = view.get("known_bad").and_then(Value::as_array);
    list.into_iter().flatten().any(|bad| text(bad, "/version") == Some(&candidate.version))
}

/// Whether a host is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Something is under way, or is about to be.
    No,
    /// Nothing is, but the candidate waits, perhaps not for long.
    Waits,
    /// Nothing is, and the candidate is proven or known-bad.
    Yes,
}

fn is_at_rest(view: &Value, candidate: &Candidate) -> Rest {
    let is = |pointer: &str| text(view, pointer) == Some(&candidate.version);
    let state = text(view, "/state");
    let is_open = view.get("update").is_some_and(|update| !update.is_null());
    // One that is not well yet, or any more, gets well or is started again.
    let is_well = view.get("unwell").is_none_or(Value::is_null);
    let is_up = view.get("up").and_then(Value::as_bool) == Some(true) && is_well;
    let waits = matches!(state, Some("held" | "deferred"));
    if is_open || !is_up || !(waits || state == Some("idle")) {
        return Rest::No;
    }
    if is_known_bad(view, candidate) || is("/running/version") && is("/last_good/version") {
        return Rest::Yes;
    }
    if waits && is("/candidate/version") { Rest::Waits } else { Rest::No }
}
