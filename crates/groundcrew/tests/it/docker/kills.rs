//! Kills at random instants of real updates of a container with data, and the truth after each, as the
//! engine's own client and the volume show it.
//!
//! A round offers a candidate, good and bad ones in turn, and strikes at an instant that is drawn: half of
//! them by time, half shortly after the journal shows a phase that is drawn. `GROUNDCREW_DOCKER_KILLS` says
//! how many rounds there are, `GROUNDCREW_DOCKER_SEED` where chance begins.

#![expect(clippy::print_stderr, reason = "without its seed a run cannot be played again")]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use groundcrew_rig::host::reached;
use groundcrew_rig::journal::Journal;
use groundcrew_rig::random::Random;

use super::yard::Yard;

/// Phases at which a blow may fall; those of the way back come only to bad candidates.
const PHASES: [&str; 18] = [
    "intent fetch",
    "fetched",
    "intent prepare",
    "intent stop",
    "stopped",
    "intent snapshot",
    "snapshotted",
    "intent switch",
    "switched",
    "intent start",
    "started",
    "proved",
    "opened",
    "watched",
    "intent close",
    "disproved",
    "closed",
    "found",
];
const BACK: [&str; 9] = [
    "disproved",
    "intent rb-stop",
    "rb-stopped",
    "intent rb-build",
    "intent rb-exchange",
    "intent rb-switch",
    "rb-switched",
    "intent rb-start",
    "rb-started",
];

/// The latest blow by time after a candidate was offered.
const LATEST: Duration = Duration::from_secs(6);
/// A phase that does not come within this time never comes.
const PHASE_WITHIN: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Between a phase and the blow.
const LINGER_MAX: Duration = Duration::from_millis(60);
/// A round that has not come to rest by then never does: a way back that cannot be walked while the
/// engine is down is walked again after a minute.
const REST_WITHIN: Duration = Duration::from_secs(150);
/// A candidate that waits for so long after a blow waits for a minute.
const WAITS_FOR_GOOD: Duration = Duration::from_secs(3);
/// Containers aside: those that are kept, the one that somebody made, one that never came into place.
const ASIDE_MAX: usize = 4;

#[derive(Debug)]
struct Candidate {
    version: String,
    health: &'static str,
}

/// What must not be lost: the versions that were started on the data that is in place.
struct Round<'a> {
    yard: &'a mut Yard,
    candidate: Candidate,
    since: i64,
    before: Vec<String>,
    from: String,
}

/// Rounds that the environment asks for.
fn rounds(variable: &str, in_ci: u32) -> u32 {
    std::env::var(variable).map_or(in_ci, |text| text.parse().expect("a number of rounds"))
}

fn seed() -> u64 {
    let drawn = || u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let seed = std::env::var("GROUNDCREW_DOCKER_SEED");
    let seed = seed.map_or_else(|_| drawn(), |text| text.parse().expect("a seed"));
    eprintln!("GROUNDCREW_DOCKER_SEED={seed}");
    seed
}

fn strike_many(count: u32) {
    let mut random = Random::new(seed());
    let mut yard = Yard::new();
    yard.run_by_hand("1.0.0", &[]);
    yard.run(&["once"]);
    assert_eq!(yard.view()["last_good"]["version"], "1.0.0");
    for number in 1..=count {
        yard.docker(&["exec", "web", "sh", "-c", &format!("echo {number} >> /data/rows")]);
        let health = match number % 8 {
            odd if odd % 2 == 1 => "ok",
            4 => "bad",
            _ => "dies",
        };
        let candidate = Candidate { version: format!("1.{number}.0"), health };
        let journal = Journal::open(&yard.path("state")).unwrap().unwrap();
        let (since, before) = (journal.last().unwrap(), yard.starts());
        let from = before.last().unwrap().clone();
        let mut round = Round { yard: &mut yard, candidate, since, before, from };
        let told = round.play(&mut random);
        let rows = round.yard.docker(&["exec", "web", "cat", "/data/rows"]);
        let expected: Vec<String> = (1..=number).map(|row| row.to_string()).collect();
        assert_eq!(rows, expected.join("\n"), "{told}");
        eprintln!("round {number}: {told}");
    }
}

impl Round<'_> {
    fn play(&mut self, random: &mut Random) -> String {
        if self.yard.host.agent_pid().is_none() {
            self.yard.host.start_agent().unwrap();
        }
        self.yard.offer(&self.candidate.version, self.candidate.health, &[]);
        let struck = self.wait(random);
        self.yard.host.end_agent(Signal::KILL).unwrap();
        self.yard.host.start_agent().unwrap();
        let begun = Instant::now();
        let mut waits_since = None;
        let resting = reached(REST_WITHIN, || self.is_at_rest(&mut waits_since));
        let mut problems = if resting { Vec::new() } else { vec!["it never rests".to_owned()] };
        // What is cleaned up follows the last event.
        reached(Duration::from_secs(if resting { 5 } else { 0 }), || self.problems().is_empty());
        problems.extend(self.problems());
        let ended = self.yard.starts().last().cloned().unwrap_or_default();
        let seconds = begun.elapsed().as_secs_f64();
        let told = format!("{:?} struck {struck}: {ended} {seconds:.1} s later", self.candidate);
        assert!(problems.is_empty(), "{told}\n{}\n{}", problems.join("\n"), self.story());
        told
    }

    fn phases(&self) -> Vec<String> {
        let journal = Journal::open(&self.yard.path("state")).unwrap().unwrap();
        let lines = journal.after(self.since).unwrap_or_default();
        lines.into_iter().map(|line| line.phase).collect()
    }

    /// Waits for the instant, and says which it is.
    fn wait(&self, random: &mut Random) -> String {
        if random.chance(50) {
            let span = random.span(Duration::from_millis(100), LATEST);
            std::thread::sleep(span);
        } else {
            let good = self.candidate.health == "ok";
            let all = if good || random.chance(30) { &PHASES[..] } else { &BACK[..] };
            let phase = *random.one_of::<&str>(all);
            let linger = random.span(Duration::from_micros(100), LINGER_MAX);
            let begun = Instant::now();
            loop {
                let seen = self.phases();
                let over = seen.iter().any(|one| one == "closed");
                if seen.iter().any(|one| one == phase) || over || begun.elapsed() > PHASE_WITHIN {
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            std::thread::sleep(linger);
        }
        format!("after {:?}", self.phases().last().map_or("nothing", String::as_str))
    }

    /// Nothing is under way, and the candidate was dealt with.
    fn is_at_rest(&self, waits_since: &mut Option<Instant>) -> bool {
        let Ok(view) = self.yard.host.view("web") else { return false };
        let text = |pointer: &str| view.pointer(pointer).and_then(Value::as_str);
        let version = Some(self.candidate.version.as_str());
        let open = view.get("update").is_some_and(|update| !update.is_null());
        let up = view.get("up") == Some(&Value::Bool(true));
        if open || !up {
            return false;
        }
        let bad = self.is_known_bad(&view);
        let proven = text("/running/version") == version && text("/last_good/version") == version;
        if !matches!(text("/state"), Some("held" | "deferred")) {
            *waits_since = None;
            return text("/state") == Some("idle") && (bad || proven);
        }
        // A gate that an app on its way up keeps shut opens by itself.
        bad || waits_since.get_or_insert_with(Instant::now).elapsed() > WAITS_FOR_GOOD
    }

    fn is_known_bad(&self, view: &Value) -> bool {
        let list = view.get("known_bad").and_then(Value::as_array);
        let mut all = list.into_iter().flatten();
        all.any(|bad| bad.get("version").and_then(Value::as_str) == Some(&self.candidate.version))
    }

    /// What is not as it must be, seen from outside.
    fn problems(&self) -> Vec<String> {
        let (yard, mut problems) = (&*self.yard, Vec::new());
        let mut wrong = |is: bool, what: String| {
            if is {
                problems.push(what);
            }
        };
        let all = yard.containers();
        let aside = |name: &str| name.starts_with("web.groundcrew-");
        let alive = all.iter().filter(|(_, state)| state != "exited" && state != "created");
        let running: Vec<&str> = alive.map(|(name, _)| name.as_str()).collect();
        wrong(running != ["web"], format!("{all:?} should have one that runs, called web"));
        let strange = all.iter().any(|(name, _)| name != "web" && !aside(name));
        wrong(strange || all.len() > ASIDE_MAX + 1, format!("{all:?}: what are they?"));
        let of_commands = |name: &str| name.contains("-migrate-") || name.contains("-hook-");
        wrong(all.iter().any(|(name, _)| of_commands(name)), format!("{all:?}: commands are left"));
        let files = yard.files("state/runs/web");
        let known = |name: &str| ["docker.json", "images.json", "mounts.json"].contains(&name);
        let of_container = |name: &str| name.len() == "containers/.json".len() + 64;
        let strange = files.iter().find(|name| !known(name) && !of_container(name));
        wrong(strange.is_some(), format!("{strange:?} is left"));
        if !all.iter().any(|(name, _)| name == "web") {
            return problems;
        }

        let shown = yard.inspect("web");
        let policy = &shown["HostConfig"]["RestartPolicy"]["Name"];
        wrong(policy != "unless-stopped", format!("the restart policy is {policy}"));
        let health = yard.get("/health").unwrap_or_default();
        wrong(health != r#"{"status":"ok"}"#, format!("it is not well: {health:?}"));
        let (version, starts) = (yard.get("/version").unwrap_or_default(), yard.starts());
        let (to, good) = (&self.candidate.version, self.candidate.health == "ok");
        let new = version == *to;
        wrong(!new && version != self.from, format!("{version:?} serves"));
        wrong(new && !good, format!("{version} is bad, and was kept"));
        let known_bad = yard.host.view("web").is_ok_and(|view| self.is_known_bad(&view));
        wrong(good && known_bad, format!("{to} is good, and was made known-bad"));
        // The old data first; then starts of the old release, then those of the new one.
        let since = starts.strip_prefix(self.before.as_slice());
        wrong(since.is_none(), format!("{starts:?} does not begin with {:?}", self.before));
        let since = since.unwrap_or_default();
        let olds = since.iter().take_while(|start| **start == self.from).count();
        let news = since.iter().skip(olds).filter(|start| *start == to).count();
        let mixed = olds + news != since.len() || (news > 0) != new;
        wrong(mixed, format!("{version} serves on data that was started by {starts:?}"));
        problems
    }

    fn story(&self) -> String {
        let journal = Journal::open(&self.yard.path("state")).unwrap().unwrap();
        let lines = journal.after(self.since).unwrap_or_default();
        let events: Vec<String> = lines
            .iter()
            .map(|line| format!("  {} {} {}", line.seq, line.wall_ms, line.body))
            .collect();
        let record = self.yard.path("state/runs/web/docker.json");
        let record = std::fs::read_to_string(record).unwrap_or_default();
        format!("events:\n{}\nrecord: {record}\n{}", events.join("\n"), self.yard.host.story())
    }
}

/// RUN-2: the agent is killed; the next one finishes the job.
#[test]
fn an_agent_killed_at_any_instant_leaves_one_container_with_its_data() {
    strike_many(rounds("GROUNDCREW_DOCKER_KILLS", 10));
}
