//! `groundcrew demo`: the whole story on this machine, in about a minute.
//!
//! Everything is real: the binary that plays the demo is run again as agent, as command line and as
//! the service that is updated; releases are bundles in a directory; an independent client writes
//! numbered rows all along and counts what becomes of them. Only the windows are shortened.
//!
//! [`scene`] lays out the directory, [`client`] writes rows, [`hands`] runs the command line as a
//! person would, [`script`] is what people do without groundcrew, [`acts`] is the story and
//! [`say`] tells it.

mod acts;
mod client;
mod hands;
mod killing;
mod say;
mod scene;
mod script;

use std::path::PathBuf;

use crate::exit::{Exit, Refusal};
use say::Teller;
use scene::Scene;

/// What went wrong with the demo itself, not with what it shows.
type Trouble = anyhow::Error;

/// Plays the story; exit code 1 if a step did not show what it should.
///
/// # Errors
///
/// The stage could not be set: no room, no free port, the binary cannot be run.
pub(crate) fn play(keep: bool, json: bool) -> Result<Exit, Refusal> {
    let refuse = |trouble: &Trouble| Refusal::failed(format!("demo: {trouble:#}"));
    let scene = Scene::set().map_err(|trouble| refuse(&trouble))?;
    let mut teller = Teller::new(json);
    let played = acts::play(&scene, &mut teller);
    let well = teller.all_well();
    let place: PathBuf = scene.root().to_owned();
    if keep {
        teller.kept(&place);
        scene.keep();
    }
    played.map_err(|trouble| refuse(&trouble))?;
    Ok(if well { Exit::Done } else { Exit::Failed })
}
