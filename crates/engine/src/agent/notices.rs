//! What people are told, and the history line of an update that closed. Pure: from the app before
//! and after one entry.

use crate::gate::{Answer, Verdict};
use crate::machine::{App, DataChoice, Ending, Entry, Event, State, Waiting};
use crate::noun::{AppName, Via};
use crate::ports::{Notice, Severity, Summary};

/// The notices that follow from one entry.
#[must_use]
pub fn notices(app: &AppName, before: &App, after: &App, entry: &Entry) -> Vec<Notice> {
    let mut told = Vec::new();
    match &after.state {
        State::Held(wait) if !matches!(&before.state, State::Held(was) if same(was, wait)) => {
            told.push(held(app, wait));
        }
        State::Draining(draining) if matches!(before.state, State::Precopying(_)) => {
            let plan = &draining.update.plan;
            let from = plan.from.as_ref().map_or("nothing", |from| &from.release.version);
            told.push(Notice {
                key: format!("{app}/{}/begins", plan.txn),
                severity: Severity::Info,
                title: format!("{app}: updating {from} to {}", plan.to.release.version),
                body: String::new(),
            });
        }
        State::Stuck(back) if !matches!(before.state, State::Stuck(_)) => told.push(Notice {
            // One page for as long as the same cause keeps it from being walked again.
            key: format!(
                "{app}/{}/stuck/{}",
                back.update.plan.txn,
                back.round.saturating_sub(back.again)
            ),
            severity: Severity::Page,
            title: format!("{app}: stuck, a person is needed"),
            body: format!(
                "The update to {} went back because: {}\nThe way back stopped at: {}\n\
                 Remove the cause, then `groundcrew unblock {app}` walks it again.",
                back.update.plan.to.release.version,
                back.why,
                back.stuck_at.as_deref().unwrap_or("unknown"),
            ),
        }),
        _ => {}
    }
    if let (Event::Closed { ending }, Some(summary)) = (&entry.event, summary(before, entry)) {
        told.push(closed(app, *ending, &summary));
    }
    if let Event::LeftUnwell { finding } = &entry.event {
        told.push(Notice {
            key: format!("{app}/unwell/{}", after.revivals),
            severity: Severity::Page,
            title: format!("{app}: is not well, and restarting does not help"),
            body: format!(
                "{finding}\nIt is left running. `groundcrew logs {app}` shows what it says; \
                 `groundcrew restart {app}` or `groundcrew rollback {app}` is for you to decide."
            ),
        });
    }
    if let Event::Revived { ended, unwell, failure } = &entry.event {
        told.push(revived(app, after, *unwell, ended.as_deref(), failure.as_deref()));
    }
    told
}

fn same(was: &Waiting, now: &Waiting) -> bool {
    was.offer.is_same_candidate(&now.offer) && reasons(&was.answers) == reasons(&now.answers)
}

fn reasons(answers: &[Answer]) -> Vec<String> {
    let say = |answer: &Answer| match &answer.verdict {
        Verdict::Hold { reason, remedy, .. } => Some(format!("{reason}\n  → {remedy}")),
        Verdict::Pass { .. } | Verdict::Defer { .. } => None,
    };
    answers.iter().filter_map(say).collect()
}

fn held(app: &AppName, wait: &Waiting) -> Notice {
    let release = &wait.offer.release;
    let spelled = |answer: &Answer| answer.clone().spelled(app.as_str(), &release.version);
    let answers: Vec<Answer> = wait.answers.iter().map(spelled).collect();
    Notice {
        key: format!("{app}/held/{}/{}/{}", release.digest, wait.offer.config, wait.since_ms),
        severity: Severity::Alert,
        title: format!("{app}: {} is held", release.version),
        body: reasons(&answers).join("\n"),
    }
}

fn closed(app: &AppName, ending: Ending, summary: &Summary) -> Notice {
    let to = &summary.to;
    let why = summary.why.as_deref().unwrap_or("no reason recorded");
    let (severity, title, body) = match ending {
        Ending::Proven => (Severity::Info, format!("{app}: {to} is proven"), by_hand(summary)),
        Ending::Unproven => (
            Severity::Alert,
            format!("{app}: {to} runs and is not proven"),
            format!("{why}\n`groundcrew approve {app} {to}` calls it good."),
        ),
        Ending::RolledBack => (
            Severity::Alert,
            format!("{app}: {to} was rolled back"),
            match &summary.set_aside {
                Some(place) => format!("{why}\nThe data it wrote is kept at {place}."),
                None => why.to_owned(),
            },
        ),
        Ending::Aborted => {
            (Severity::Warning, format!("{app}: the update to {to} was aborted"), why.to_owned())
        }
    };
    Notice { key: format!("{app}/{}/closed", summary.txn), severity, title, body }
}

/// What a person should find again who ordered it, or who did not.
fn by_hand(summary: &Summary) -> String {
    let Some(by) = &summary.by else { return String::new() };
    let what = match (&summary.via, &summary.from) {
        (Some(Via::Rollback), Some(from)) => format!("{from} was left by {by}"),
        _ => format!("ordered by {by}"),
    };
    match &summary.set_aside {
        Some(place) => format!("{what}; the data of before is kept at {place}"),
        None => what,
    }
}

fn revived(
    app: &AppName,
    after: &App,
    unwell: bool,
    ended: Option<&str>,
    failure: Option<&str>,
) -> Notice {
    let how = ended.unwrap_or("it did not run");
    let (severity, title) = match failure {
        None if unwell => (Severity::Warning, format!("{app}: was not well and was restarted")),
        None => (Severity::Warning, format!("{app}: was down and was started again")),
        Some(_) => (Severity::Alert, format!("{app}: is down and does not start")),
    };
    let body = failure.map_or_else(|| how.to_owned(), |why| format!("{how}\n{why}"));
    Notice { key: format!("{app}/again/{}", after.revivals), severity, title, body }
}

/// The history line of the update that this entry closed.
#[must_use]
pub fn summary(before: &App, entry: &Entry) -> Option<Summary> {
    let Event::Closed { ending } = &entry.event else { return None };
    let update = before.state.update()?;
    let plan = &update.plan;
    let downtime_ms = match (update.down_ms, update.up_ms) {
        (Some(down), Some(up)) => u64::try_from(up.saturating_sub(down)).ok(),
        _ => None,
    };
    let (cause, why, set_aside) = match &before.state {
        State::RolledBack(back) | State::Aborted(back) => (
            Some(back.cause),
            Some(back.why.clone()),
            back.set_aside.clone().filter(|_| back.data == DataChoice::Restore),
        ),
        State::Unproven(unproven) => (None, Some(unproven.why.clone()), update.set_aside.clone()),
        _ => (None, None, update.set_aside.clone()),
    };
    let stop = update.stop.as_ref().filter(|stop| stop.ran);
    Some(Summary {
        txn: plan.txn.clone(),
        from: plan.from.as_ref().map(|from| from.release.version.clone()),
        to: plan.to.release.version.clone(),
        digest: plan.to.release.digest.to_string(),
        ending: *ending,
        cause,
        why,
        drawn_ms: plan.drawn_ms,
        closed_ms: entry.at.wall_ms,
        downtime_ms,
        set_aside,
        clean_stop: stop.map(|stop| stop.clean),
        stop_ms: stop.map(|stop| stop.took_ms),
        stop_exit_code: stop.and_then(|stop| stop.exit_code),
        via: Some(plan.offer.via.clone()),
        by: plan.offer.ordered.as_ref().map(|ordered| ordered.by.clone()),
        work: Some(plan.work()),
    })
}
