//! Silently not updating is a failure (UPD-19): what is told when a source stays silent, and when a
//! candidate waits for too long. Pure; the caller queues what is new, and a notice with the same key
//! is told once.

use crate::gate::{Answer, GateId, Verdict};
use crate::machine::{State, Waiting};
use crate::noun::AppName;
use crate::ports::{Notice, Severity};

/// A gate that waits for room is told of after a day (GATE-6).
pub const ROOM_MS: u64 = 86_400_000;

/// When it is too long, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A source that did not answer.
    pub silent_ms: u64,
    /// A candidate that waits.
    pub waiting_ms: u64,
}

/// What is known of an app's freshness.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Where it stands.
    pub state: &'a State,
    /// Wall clock since when something newer than what runs has waited, whatever it was: a source that
    /// releases every day must not begin the count anew every day.
    pub behind_since_ms: Option<i64>,
    /// Wall clock of the last look that the source answered, or since when it is asked.
    pub answered_ms: i64,
    /// What the latest look said, if it failed.
    pub failure: Option<&'a str>,
}

/// What people should know by now.
#[must_use]
pub fn notices(app: &AppName, known: &Known<'_>, limits: &Limits, now_ms: i64) -> Vec<Notice> {
    let passed = |since_ms: i64| u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0);
    let mut told = Vec::new();
    if let Some(failure) = known.failure
        && passed(known.answered_ms) >= limits.silent_ms
    {
        let since = moment(known.answered_ms);
        told.push(Notice {
            key: format!("{app}/silent/{}", known.answered_ms),
            severity: Severity::Alert,
            title: format!("{app}: its source has not answered since {since}"),
            body: format!("Nothing is updated meanwhile. The latest try: {failure}"),
        });
    }
    if let State::Held(wait) | State::Deferred(wait) = known.state {
        let behind_ms = known.behind_since_ms.unwrap_or(wait.since_ms).min(wait.since_ms);
        if passed(behind_ms) >= limits.waiting_ms {
            let key = format!("{app}/waiting/{behind_ms}");
            let version = &wait.offer.release.version;
            let since = moment(behind_ms);
            let title = if behind_ms < wait.since_ms {
                format!("{app}: nothing newer was taken since {since}; {version} waits now")
            } else {
                format!("{app}: {version} has been waiting since {since}")
            };
            told.push(waits(app, wait, key, title));
        } else if passed(wait.since_ms) >= ROOM_MS && wants_room(wait) {
            let release = &wait.offer.release;
            let key = format!("{app}/room/{}/{}", release.digest, wait.since_ms);
            let since = moment(wait.since_ms);
            let title = format!("{app}: {} has been waiting since {since}", release.version);
            told.push(waits(app, wait, key, title));
        }
    }
    told
}

fn wants_room(wait: &Waiting) -> bool {
    wait.answers.iter().any(|answer| answer.gate == GateId::Room && !answer.passes())
}

fn waits(app: &AppName, wait: &Waiting, key: String, title: String) -> Notice {
    let release = &wait.offer.release;
    let spelled = |answer: &Answer| answer.clone().spelled(app.as_str(), &release.version);
    let reason = |answer: Answer| match answer.verdict {
        Verdict::Pass { .. } => None,
        Verdict::Defer { reason, .. } | Verdict::Hold { reason, .. } => Some(reason),
    };
    let reasons: Vec<String> = wait.answers.iter().map(spelled).filter_map(reason).collect();
    Notice {
        key,
        severity: Severity::Alert,
        title,
        body: format!("{}\n`groundcrew check {app}` says what would help.", reasons.join("\n")),
    }
}

fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| format!("{ms} ms"), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::gate::Round;
    use crate::machine::{App, Entry, Event};
    use crate::noun::{ConfigHash, Now, Offer, Release, Via};

    const DAY_MS: i64 = 86_400_000;
    const LIMITS: Limits = Limits { silent_ms: 86_400_000, waiting_ms: 14 * 86_400_000 };

    fn waiting(answer: Answer) -> State {
        let release = Release {
            version: "2.0.0".to_owned(),
            digest: "sha256:2".into(),
            revision: None,
            published_ms: None,
            data_epoch: None,
            data_compatible_from: None,
            migration: None,
        };
        let offer = Offer {
            release,
            config: ConfigHash::from("c"),
            via: Via::Channel,
            serial: None,
            first_seen_ms: 0,
            ordered: None,
        };
        let answers = vec![answer];
        State::Deferred(Waiting { offer, staged: true, answers, since_ms: 0, not_before_ms: None })
    }

    fn keys(state: &State, failure: Option<&str>, now_ms: i64) -> Vec<String> {
        let known = Known { state, behind_since_ms: None, answered_ms: 0, failure };
        let told = notices(&"tiles".into(), &known, &LIMITS, now_ms);
        told.into_iter().map(|notice| notice.key).collect()
    }

    #[test]
    fn upd_19_a_source_that_stays_silent_is_told_of() {
        let idle = State::Idle;
        assert!(keys(&idle, Some("timeout"), DAY_MS - 1).is_empty());
        assert_eq!(keys(&idle, Some("timeout"), DAY_MS), ["tiles/silent/0"]);
        assert!(keys(&idle, None, 100 * DAY_MS).is_empty(), "it answers now");
    }

    #[test]
    fn upd_19_a_candidate_that_waits_too_long_is_told_of_and_one_without_room_after_a_day() {
        let window = waiting(Answer::defer(GateId::Window, "closed", None));
        assert!(keys(&window, None, 14 * DAY_MS - 1).is_empty());
        assert_eq!(keys(&window, None, 14 * DAY_MS), ["tiles/waiting/0"]);
        let full = waiting(Answer::defer(GateId::Room, "full", None));
        assert_eq!(keys(&full, None, DAY_MS), ["tiles/room/sha256:2/0"]);
    }

    #[test]
    fn upd_19_a_new_candidate_every_day_does_not_begin_the_count_anew() {
        let at = |day: i64| Now {
            wall_ms: day * DAY_MS,
            uptime_ms: 0,
            boot: "b".into(),
            synchronized: true,
        };
        let State::Deferred(wait) = waiting(Answer::defer(GateId::Window, "closed", None)) else {
            panic!("it waits");
        };
        let mut app = App::default();
        let mut told = Vec::new();
        for day in 0..30 {
            let mut offer = wait.offer.clone();
            offer.release.digest = format!("sha256:{day}").as_str().into();
            let (round, answers) = (Round::Candidate, wait.answers.clone());
            for event in [Event::Found { offer }, Event::Judged { round, answers }] {
                app = app.apply(&Entry { at: at(day), event }).unwrap();
            }
            let behind_since_ms = app.behind_since_ms;
            let known = Known { state: &app.state, behind_since_ms, answered_ms: 0, failure: None };
            let notices = notices(&"tiles".into(), &known, &LIMITS, day * DAY_MS);
            told.extend(notices.into_iter().map(|notice| (day, notice.key)));
        }
        assert_eq!(told.first(), Some(&(14, "tiles/waiting/0".to_owned())));
        assert!(told.iter().all(|(_, key)| key == "tiles/waiting/0"), "told once: {told:?}");
        app = app.apply(&Entry { at: at(30), event: Event::Withdrawn }).unwrap();
        assert_eq!(app.behind_since_ms, None);
    }
}
