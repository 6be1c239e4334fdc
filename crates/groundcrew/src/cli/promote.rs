//! `promote` and `rollback --retag`: tags of a registry are moved, by digest (SRC-6).
//!
//! A promotion wants evidence: the release was proven on this host, or a person says why not. What
//! was moved, from what to what, by whom and why is written down before and after.

use groundcrew_drivers::source::registry::reference::{TAG_RULE, is_tag};
use groundcrew_drivers::source::registry::{Pauses, RegistrySource};
use groundcrew_engine::machine::{Ending, Merit};
use groundcrew_engine::ports::{Follow, Source as _};

use super::args::{Promote, Rollback};
use super::print::{self, Printer, short};
use super::reach::{Reach, unexpected};
use super::source::refusal;
use super::tell::who;
use crate::config::{self, Overrides, Settings};
use crate::crew;
use crate::crew::board::View;
use crate::crew::request::{HISTORY_MAX, Past, Reply, Request};
use crate::exit::{Exit, Refusal};
use crate::promotions::{self, Promotion};

/// `promote APP --from CHANNEL --to CHANNEL`.
pub(super) fn run(
    settings: Settings,
    overrides: &Overrides,
    ask: &Promote,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let Promote { app, from, to, force, why } = ask;
    if from == to {
        return Err(Refusal::usage(format!("{app}: {from} is {to} already")));
    }
    let mut source = registry(&settings, app, to)?;
    let found = source.digest_of(from).map_err(|error| refusal(app, error))?;
    let Some(digest) = found else {
        let text =
            format!("{app}: there is no tag {from}; `groundcrew source tags {app}` lists them");
        return Err(Refusal::failed(text));
    };
    let state = settings.state.clone();
    let found = Reach::open_to_read(settings, overrides)
        .and_then(|mut reach| evidence(&mut reach, app, &digest));
    let evidence = match (found, why.as_deref().map(str::trim)) {
        (Ok(evidence), _) => evidence,
        (Err(_), Some(why)) if *force && !why.is_empty() => format!("forced: {why}"),
        (Err(missing), _) => {
            let text = format!(
                "{app}: {from} is not promoted to {to}: {missing}\n  \
                 → prove it here, or: groundcrew promote {app} --from {from} --to {to} --force --why TEXT"
            );
            return Err(Refusal::new(Exit::Waiting, text));
        }
    };
    let mut promotion = Promotion::of(app, &source.repository(), to, &digest);
    (promotion.from, promotion.evidence) = (Some(from.clone()), evidence);
    moved(&state, &mut source, promotion, printer)
}

/// `rollback APP --retag CHANNEL [RELEASE]`.
pub(super) fn retag(
    settings: &Settings,
    ask: &Rollback,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let (app, to) = (&ask.app, ask.retag.clone().unwrap_or_default());
    let mut source = registry(settings, app, &to)?;
    let digest = match &ask.release {
        Some(release) => {
            let found = source.find(&Follow::Pin(release.clone()));
            let found = found.map_err(|error| refusal(app, error))?;
            let none = || Refusal::usage(format!("{app}: nobody offers {release:?}"));
            found.ok_or_else(none)?.release.digest.0
        }
        None => {
            let now = source.digest_of(&to).map_err(|error| refusal(app, error))?;
            let repository = source.repository();
            let last = promotions::all(&settings.state, app).into_iter().find(|one| {
                one.to == to && one.repository == repository && Some(&one.digest) == now.as_ref()
            });
            last.and_then(|last| last.before).ok_or_else(|| {
                Refusal::usage(format!(
                    "{app}: {to} was not moved from here to what it names now, so say where it shall \
                     go: groundcrew rollback {app} --retag {to} RELEASE"
                ))
            })?
        }
    };
    let mut promotion = Promotion::of(app, &source.repository(), &to, &digest);
    promotion.evidence = "a way back".to_owned();
    if ask.dry_run {
        print::talk(&format!("{app}: {to} would name {digest}; nothing was done"));
        printer.show(&promotion, String::new);
        return Ok(Exit::Done);
    }
    moved(&settings.state, &mut source, promotion, printer)
}

/// The registry of an app, where a tag of this name can be moved.
fn registry(settings: &Settings, app: &str, to: &str) -> Result<RegistrySource, Refusal> {
    let Some(found) = settings.apps.get(app) else { return Err(settings.no_such_app(app)) };
    let config::Source::Registry(of) = &found.source else {
        let text = format!(
            "{app}: its releases lie in a directory; `groundcrew bundle publish` moves a channel there"
        );
        return Err(Refusal::usage(text));
    };
    if !is_tag(to) {
        return Err(Refusal::usage(format!("{to:?} is no tag; {TAG_RULE}")));
    }
    crew::quiet::may_ask(settings, &found.policy.app)?;
    Ok(crew::registry(settings, found, of, &Pauses::default()))
}

/// Why a release may be promoted from here.
fn evidence(reach: &mut Reach, app: &str, digest: &str) -> Result<String, Refusal> {
    let view = reach.view(app)?;
    let request = Request::History { app: Some(app.to_owned()), limit: HISTORY_MAX };
    let updates = match reach.ask(request)? {
        Reply::History { updates } => updates,
        other => return Err(unexpected(&other)),
    };
    weighed(&view, &updates, digest).map_err(|missing| Refusal::new(Exit::Waiting, missing))
}

/// What an app's view and its past say for a release, or against it.
fn weighed(view: &View, updates: &[Past], digest: &str) -> Result<String, String> {
    if let Some(bad) = view.known_bad.iter().find(|bad| bad.digest.as_str() == digest) {
        return Err(format!("{} was rolled back here: {}", short(digest), bad.why));
    }
    if let Some(good) = view.last_good.as_ref().filter(|good| good.release.digest == digest) {
        let since = print::when(good.since_ms);
        match good.merit {
            Merit::Proven => return Ok(format!("proven on this host, {since}")),
            Merit::Approved => return Ok(format!("called proven by a person, {since}")),
            Merit::Adopted => {}
        }
    }
    let proven = updates
        .iter()
        .find(|past| past.update.digest == digest && past.update.ending == Ending::Proven);
    match proven {
        Some(past) => Ok(format!("proven on this host, {}", print::when(past.update.closed_ms))),
        None => Err(format!("{} was not proven on this host", short(digest))),
    }
}

/// Moves the tag, written down before and after.
fn moved(
    state: &std::path::Path,
    source: &mut RegistrySource,
    mut promotion: Promotion,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let app = promotion.app.clone();
    let before = source.digest_of(&promotion.to).map_err(|error| refusal(&app, error))?;
    (promotion.before, promotion.by) = (before, who());
    promotion.write(state)?;
    let tagged = source.retag(&promotion.digest, &promotion.to);
    tagged.map_err(|error| refusal(&app, error))?;
    promotion.done = true;
    promotion.write(state)?;
    let Promotion { repository, to, digest, before, evidence, .. } = &promotion;
    printer.show(&promotion, || {
        let was = match before {
            Some(before) if before == digest => "it did before".to_owned(),
            Some(before) => format!("before: {}", short(before)),
            None => "the tag is new".to_owned(),
        };
        format!("{app}: {repository}:{to} names {} now; {was}; {evidence}\n", short(digest))
    });
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(merit: Option<&str>, bad: &str) -> View {
        let mut view = serde_json::to_value(View::new("tiles")).unwrap();
        if let Some(merit) = merit {
            view["last_good"] = json!({
                "version": "1", "digest": "sha256:good", "revision": null, "config": "c",
                "merit": merit, "since_ms": 0,
            });
        }
        view["known_bad"] = json!([{
            "digest": bad, "config": "c", "version": "1", "why": "it died", "since_ms": 0,
        }]);
        serde_json::from_value(view).unwrap()
    }

    fn past(ending: &str) -> Past {
        serde_json::from_value(json!({
            "app": "tiles", "txn": "t", "from": null, "to": "1", "digest": "sha256:good",
            "ending": ending, "cause": null, "why": null, "drawn_ms": 0, "closed_ms": 0,
            "downtime_ms": null, "set_aside": null,
        }))
        .unwrap()
    }

    /// SRC-6: what was proven here may go further; what was found, or failed, may not.
    #[test]
    fn only_what_was_proven_on_this_host_is_evidence() {
        let all = [
            (view(Some("proven"), "x"), vec![], Ok("proven on this host, 1970-01-01T00:00:00Z")),
            (
                view(Some("approved"), "x"),
                vec![],
                Ok("called proven by a person, 1970-01-01T00:00:00Z"),
            ),
            (view(Some("adopted"), "x"), vec![], Err("good was not proven on this host")),
            (
                view(None, "x"),
                vec![past("proven")],
                Ok("proven on this host, 1970-01-01T00:00:00Z"),
            ),
            (
                view(None, "x"),
                vec![past("unproven"), past("aborted")],
                Err("good was not proven on this host"),
            ),
            (
                view(Some("proven"), "sha256:good"),
                vec![past("proven")],
                Err("good was rolled back here: it died"),
            ),
        ];
        for (view, updates, wanted) in all {
            let found = weighed(&view, &updates, "sha256:good");
            assert_eq!(found.as_deref().map_err(String::as_str), wanted, "{view:?}");
        }
    }
}
