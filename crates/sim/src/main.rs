//! `cargo xtask sim`: runs the stories, the seeded mistakes and random stories.
//!
//! Prints what it finds, and with `--report` one JSON line
//! `{"stories","points","violations","seeded_faults","caught"}`. Exit code 1 if a promise was
//! broken or a mistake went unnoticed.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use groundcrew_sim::{crash, quiet_cuts, random, seeded::Seeded, story};

/// Threads that live stories side by side.
const THREADS: usize = 2;
/// Random stories of a run that does not say otherwise.
const RANDOM: u64 = 500;

/// What was asked for.
#[derive(Debug, Default)]
struct Asked {
    report: bool,
    points: bool,
    seed: Option<u64>,
    random: Option<u64>,
    only: Option<String>,
}

fn main() -> ExitCode {
    let asked = match parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            tell(&format!(
                "{why}\nusage: sim [--report] [--points] [--seed N] [--random N] [--only TEXT]"
            ));
            return ExitCode::from(2);
        }
    };
    quiet_cuts();
    if let Some(seed) = asked.seed {
        return finish(random::run(seed).iter().map(|what| tell(what)).count() == 0);
    }
    if let Some(part) = &asked.only {
        return finish(only(part));
    }
    finish(run(&asked))
}

/// Stories whose name has this part, and nothing else.
fn only(part: &str) -> bool {
    let mut stories = story::all();
    stories.retain(|story| story.name.contains(part));
    let (points, violations, _) = all_stories(&stories);
    tell(&format!("{} stories, {points} points, {violations} violations", stories.len()));
    violations == 0 && !stories.is_empty()
}

fn finish(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--report" => asked.report = true,
            "--points" => asked.points = true,
            "--seed" => asked.seed = Some(number(args.next())?),
            "--random" => asked.random = Some(number(args.next())?),
            "--only" => {
                asked.only = Some(args.next().ok_or("a part of a story's name is missing")?)
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(asked)
}

fn number(text: Option<String>) -> Result<u64, String> {
    let text = text.ok_or("a number is missing")?;
    text.parse().map_err(|error| format!("{text} is not a number: {error}"))
}

#[expect(clippy::print_stdout, reason = "this program's output")]
fn tell(line: &str) {
    println!("{line}");
}

fn run(asked: &Asked) -> bool {
    let stories = story::all();
    let (points, violations, covered) = all_stories(&stories);
    if asked.points {
        covered.iter().for_each(|point| tell(point));
    }
    let unnoticed = Mutex::new(Vec::new());
    in_parallel(Seeded::ALL, |mistake| {
        if crash::catch(*mistake, &stories).is_none()
            && let Ok(mut unnoticed) = unnoticed.lock()
        {
            unnoticed.push(*mistake);
        }
    });
    let unnoticed = unnoticed.into_inner().unwrap_or_default();
    unnoticed.iter().for_each(|mistake| tell(&format!("nobody noticed {mistake:?}")));
    let seeds: Vec<u64> = (0..asked.random.unwrap_or(RANDOM)).collect();
    let strange = AtomicUsize::new(0);
    in_parallel(&seeds, |seed| {
        let found = random::run(*seed);
        strange.fetch_add(found.len(), Ordering::Relaxed);
        found.iter().for_each(|what| tell(what));
    });
    let violations = violations + strange.into_inner();
    if asked.report {
        let (stories, faults) = (stories.len() + seeds.len(), Seeded::ALL.len());
        let points = points + u64::try_from(seeds.len()).unwrap_or(0);
        let caught = faults - unnoticed.len();
        tell(&format!(
            "{{\"stories\":{stories},\"points\":{points},\"violations\":{violations},\
             \"seeded_faults\":{faults},\"caught\":{caught}}}"
        ));
    }
    violations == 0 && unnoticed.is_empty()
}

fn all_stories(stories: &[story::Story]) -> (u64, usize, BTreeSet<String>) {
    let total = Mutex::new((0, 0, BTreeSet::new()));
    in_parallel(stories, |story| {
        let report = crash::everywhere(story, None);
        report.violations.iter().take(3).for_each(|what| tell(what));
        if let Ok(mut total) = total.lock() {
            total.0 += report.points;
            total.1 += report.violations.len();
            total.2.extend(report.covered);
        }
    });
    total.into_inner().unwrap_or_default()
}

fn in_parallel<T: Sync>(items: &[T], each: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    each(item);
                }
            });
        }
    });
}
