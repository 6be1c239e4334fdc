//! Post-mortems as commands and the agent see them: files of people, read with what is odd.

use groundcrew_drivers::post_mortems::{self, Found, Listed};
use groundcrew_engine::ports::{Notice, Severity};
use groundcrew_engine::post_mortem::{self, Document};
use serde::Serialize;
use std::path::Path;

use crate::chain;
use crate::exit::Refusal;

/// One of them, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PostMortem {
    /// Its name: the file's without the ending.
    pub(crate) name: String,
    /// The file.
    pub(crate) path: String,
    /// The app.
    pub(crate) app: Option<String>,
    /// The version that was rolled back.
    pub(crate) version: Option<String>,
    /// Nobody has closed it.
    pub(crate) open: bool,
    /// It is open and its time is over.
    pub(crate) overdue: bool,
    /// Wall clock when it was opened, milliseconds since 1970.
    pub(crate) opened_ms: i64,
    /// Wall clock when it is to be closed.
    pub(crate) due_ms: i64,
    /// Who closed it.
    pub(crate) closed_by: Option<String>,
    /// Sections that are to be written.
    pub(crate) missing: Vec<String>,
    /// What is odd about the file.
    pub(crate) odd: Vec<String>,
    /// What it says; absent where it cannot be read.
    #[serde(skip)]
    pub(crate) text: Option<String>,
}

/// All of them: open ones first, and of those the one that is due first; then the closed ones,
/// newest first.
///
/// # Errors
///
/// Their directory cannot be listed.
pub(crate) fn all(state: &Path, now_ms: i64) -> Result<Vec<PostMortem>, Refusal> {
    let mut all: Vec<PostMortem> =
        listed(state)?.found.into_iter().map(|one| read(one, now_ms)).collect();
    all.sort_by_key(|one| (!one.open, if one.open { one.due_ms } else { -one.opened_ms }));
    Ok(all)
}

/// How many older ones are not among [`all`], because there are too many.
///
/// # Errors
///
/// As [`all`].
pub(crate) fn left_out(state: &Path) -> Result<usize, Refusal> {
    Ok(listed(state)?.left_out)
}

fn listed(state: &Path) -> Result<Listed, Refusal> {
    post_mortems::list(state).map_err(|error| Refusal::failed(chain(&error)))
}

/// Those that are open.
///
/// # Errors
///
/// As [`all`].
pub(crate) fn open(state: &Path, now_ms: i64) -> Result<Vec<PostMortem>, Refusal> {
    Ok(all(state, now_ms)?.into_iter().filter(|one| one.open).collect())
}

/// The notice about one that is overdue; its key is told once.
pub(crate) fn overdue(one: &PostMortem) -> Notice {
    let version = one.version.as_deref().unwrap_or("a release");
    let app = one.app.as_deref().unwrap_or("an app");
    Notice {
        key: format!("postmortem/{}/overdue", one.name),
        severity: Severity::Alert,
        title: format!("{app}: the post-mortem of {version} is overdue"),
        body: format!(
            "Write what is missing in {}, then `groundcrew postmortem close {}`.",
            one.path, one.name
        ),
    }
}

fn read(found: Found, now_ms: i64) -> PostMortem {
    let Found { name, path, text, opened_ms } = found;
    let mut document: Document = post_mortem::read(text.as_deref().unwrap_or(""), opened_ms);
    if let Err(why) = &text {
        document.odd = vec![why.clone()];
    }
    // `<date>_<app>_<version>_<update>`; no app has an underscore at its ends.
    let named = name.split('_').nth(1).map(str::to_owned);
    PostMortem {
        path: path.display().to_string(),
        app: document.app.clone().or(named),
        version: document.version.clone(),
        open: document.open,
        overdue: document.is_overdue(now_ms),
        opened_ms: document.opened_ms,
        due_ms: document.due_ms,
        closed_by: document.closed_by.clone(),
        missing: document.missing.iter().map(ToString::to_string).collect(),
        odd: document.odd,
        text: text.ok(),
        name,
    }
}
