//! Tab completion: the shell asks this program, which knows the names of apps and their versions.
//!
//! `groundcrew completions SHELL` prints a few lines that tie the shell to it; from then on the
//! shell calls it with [`VARIABLE`] set and the words so far. A configuration that cannot be read
//! only means that nothing is offered: whoever presses a key wants no error.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::args::Args;
use crate::config::{self, Overrides};
use crate::crew;
use crate::exit::Refusal;
use crate::post_mortems;

/// Set by the shell's lines, to its name.
const VARIABLE: &str = "GROUNDCREW_COMPLETE";

/// Answers a shell; true when it was one that asked.
pub(super) fn answer() -> bool {
    let env = CompleteEnv::with_factory(Args::command).var(VARIABLE).bin("groundcrew");
    let dir = std::env::current_dir().ok();
    // A shell that we do not know is told nothing.
    env.try_complete(std::env::args_os(), dir.as_deref()).unwrap_or(true)
}

/// The lines that tie a shell to this program.
///
/// # Errors
///
/// There is no such shell.
pub(crate) fn script(shell: &str) -> Result<Vec<u8>, Refusal> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(known) = shells.completer(shell) else {
        let names: Vec<&str> = shells.names().collect();
        let text = format!("there is no shell {shell:?} here; there are: {}", names.join(", "));
        return Err(Refusal::usage(text));
    };
    known
        .write_registration(VARIABLE, "groundcrew", "groundcrew", "groundcrew", &mut script)
        .map_err(|error| Refusal::failed(format!("cannot write the script: {error}")))?;
    Ok(script)
}

/// Offers the names of the configured apps.
pub(super) fn apps() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let inputs = config::read(&overrides(&words()).main_file());
        let apps = inputs.map(|inputs| inputs.merged.apps);
        apps.unwrap_or_default().into_keys().map(CompletionCandidate::new).collect()
    })
}

/// Offers the versions of the app that was named before.
pub(super) fn versions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let words = words();
        let Ok(settings) = config::load(&overrides(&words)) else { return Vec::new() };
        let app = words.iter().find_map(|word| settings.apps.get(word.as_str()));
        let versions = app.map(|app| crew::versions(&settings, app).unwrap_or_default());
        versions.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Offers the snapshots of the app that was named before.
pub(super) fn snapshots() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let words = words();
        let Ok(settings) = config::load(&overrides(&words)) else { return Vec::new() };
        let app = words.iter().find(|word| settings.apps.contains_key(word.as_str()));
        let copies = app.map(|app| crew::copies::list(&settings, app).unwrap_or_default());
        let all = copies.unwrap_or_default().into_iter();
        all.map(|copy| CompletionCandidate::new(copy.id)).collect()
    })
}

/// Offers the names of post-mortems.
pub(super) fn post_mortems() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Ok(settings) = config::load(&overrides(&words())) else { return Vec::new() };
        let all = post_mortems::all(&settings.state, 0).unwrap_or_default();
        all.into_iter().map(|one| CompletionCandidate::new(one.name)).collect()
    })
}

/// The words that the person has written so far.
fn words() -> Vec<String> {
    let after = |args: Vec<OsString>| args.into_iter().skip_while(|arg| arg != "--").skip(1);
    after(std::env::args_os().collect()).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The places among them, or in the environment.
fn overrides(words: &[String]) -> Overrides {
    let place = |option: &str, variable: &str| {
        // Bash cuts `--config=PATH` into three words.
        let mut after =
            words.iter().skip_while(|word| *word != option).skip(1).filter(|word| *word != "=");
        let inline = format!("{option}=");
        let written = words.iter().find_map(|word| word.strip_prefix(&inline));
        let written = written.map(OsString::from).or_else(|| after.next().map(OsString::from));
        written.or_else(|| std::env::var_os(variable)).map(PathBuf::from)
    };
    Overrides {
        config: place("--config", "GROUNDCREW_CONFIG"),
        state: place("--state", "GROUNDCREW_STATE"),
    }
}
