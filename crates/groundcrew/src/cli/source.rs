//! `source`: what an app's source has, looked at without fetching anything.

use groundcrew_drivers::source::registry::{Looked, Pauses};
use groundcrew_engine::ports::{Follow, SourceError, SourceErrorKind};
use serde::Serialize;

use super::args::SourceCommand;
use super::print::{self, Printer};
use crate::config::units::show_bytes;
use crate::config::{self, AppSettings, Settings};
use crate::crew::{self, source_of};
use crate::exit::{Exit, Refusal};

/// `source check APP`, `source tags APP`.
pub(super) fn run(
    settings: &Settings,
    command: &SourceCommand,
    printer: &Printer,
) -> Result<Exit, Refusal> {
    let (SourceCommand::Check { app: name } | SourceCommand::Tags { app: name }) = command;
    let Some(app) = settings.apps.get(name) else { return Err(settings.no_such_app(name)) };
    if matches!(app.source, config::Source::Registry(_)) {
        crew::quiet::may_ask(settings, &app.policy.app)?;
    }
    match command {
        SourceCommand::Check { .. } => match &app.source {
            config::Source::Directory(_) => directory(settings, app, printer),
            config::Source::Registry(of) => {
                let looked = crew::registry(settings, app, of, &Pauses::default()).look();
                let looked = looked.map_err(|error| refusal(name, error))?;
                Ok(show(name, &looked, printer))
            }
        },
        SourceCommand::Tags { .. } => tags(settings, app, printer),
    }
}

/// What a source's error means to a person at the command line.
pub(super) fn refusal(app: &str, error: SourceError) -> Refusal {
    let code = match error.kind {
        SourceErrorKind::Retry => Exit::Unreachable,
        SourceErrorKind::Refuse | SourceErrorKind::Host => Exit::Failed,
    };
    Refusal::new(code, format!("{app}: {}", error.text))
}

#[derive(Serialize)]
struct Checked<'a> {
    app: &'a str,
    #[serde(flatten)]
    looked: &'a Looked,
}

fn show(app: &str, looked: &Looked, printer: &Printer) -> Exit {
    let exit = match (&looked.digest, &looked.refused) {
        (None, _) => Exit::Failed,
        (Some(_), Some(_)) => Exit::Waiting,
        (Some(_), None) => Exit::Done,
    };
    printer.show(&Checked { app, looked }, || text(app, looked));
    exit
}

fn text(app: &str, looked: &Looked) -> String {
    let Looked { repository, tag, image, digest, refused, signed, notes } = looked;
    let Some(digest) = digest else {
        return format!(
            "{app}: there is no tag {tag} in {repository}; `groundcrew source tags {app}` lists them\n"
        );
    };
    let version = image.as_ref().map_or("an image", |image| image.release.version.as_str());
    let mut text = format!("{app}: {version} at {repository}:{tag}\n");
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<10}{}\n", print::said(value, 12)));
    };
    line("digest", digest);
    if let Some(image) = image {
        let release = &image.release;
        line("image", &format!("{} {}", image.platform, image.manifest));
        line("size", &format!("{} to fetch at most", show_bytes(image.bytes)));
        line("revision", release.revision.as_deref().unwrap_or("unknown"));
        if let Some(ms) = release.published_ms {
            line("published", &print::when(ms));
        }
        if let Some(more) = &image.more {
            line("source", more);
        }
        match notes.as_deref() {
            Some([]) => line("notes", "none"),
            Some(versions) => line("notes", &format!("of {}", versions.join(", "))),
            None => line("notes", "they cannot be read now"),
        }
    }
    match signed {
        Some(true) => line("signed", "yes, with the app's key"),
        Some(false) => line("signed", "NO"),
        None => line("signed", "not asked for; `cosign_key` does"),
    }
    if let Some(why) = refused {
        line("refused", why);
    }
    text
}

#[derive(Serialize)]
struct Bundle<'a> {
    app: &'a str,
    version: Option<&'a str>,
    digest: Option<&'a str>,
    revision: Option<&'a str>,
}

fn directory(settings: &Settings, app: &AppSettings, printer: &Printer) -> Result<Exit, Refusal> {
    let name = app.policy.app.as_str();
    let found = source_of(settings, app).find(&Follow::Channel);
    let found = found.map_err(|error| refusal(name, error))?;
    let release = found.as_ref().map(|found| &found.release);
    let bundle = Bundle {
        app: name,
        version: release.map(|release| release.version.as_str()),
        digest: release.map(|release| release.digest.as_str()),
        revision: release.and_then(|release| release.revision.as_deref()),
    };
    printer.show(&bundle, || match release {
        Some(release) => format!("{name}: {}\n  digest    {}\n", release.version, release.digest),
        None => format!("{name}: its channel points at nothing\n"),
    });
    Ok(if release.is_some() { Exit::Done } else { Exit::Failed })
}

#[derive(Serialize)]
struct Listed<'a> {
    app: &'a str,
    tags: &'a [String],
    cut: bool,
}

fn tags(settings: &Settings, app: &AppSettings, printer: &Printer) -> Result<Exit, Refusal> {
    let name = app.policy.app.as_str();
    let (tags, cut) = match &app.source {
        config::Source::Directory(_) => (crew::versions(settings, app), false),
        config::Source::Registry(of) => {
            match crew::registry(settings, app, of, &Pauses::default()).tags() {
                Ok(tags) => (Ok(tags.names), tags.cut),
                Err(error) => (Err(error), false),
            }
        }
    };
    let tags = tags.map_err(|error| refusal(name, error))?;
    printer.show(&Listed { app: name, tags: &tags, cut }, || {
        tags.iter().map(|tag| format!("{tag}\n")).collect()
    });
    if cut {
        print::talk("groundcrew: there are more tags than are read");
    }
    Ok(Exit::Done)
}
