//! Where on this host the data of a container lies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groundcrew_engine::noun::{AppName, Fault};

use super::Settings;
use super::api::{self, Api, quoted};
use super::error::Error;
use super::look;
use super::template::{array, text};
use crate::durable::{self, Site};

/// Directories on this host by their paths in the container: bind mounts, and volumes that the engine
/// keeps on this host.
///
/// What was seen is remembered below the state directory, so that the app's data is known while the engine
/// is down, as it is when a host boots.
///
/// # Errors
///
/// The engine does not answer and nothing is remembered, or there is no such container.
pub fn mounts(
    state: &Path,
    app: &AppName,
    settings: &Settings,
) -> Result<BTreeMap<String, PathBuf>, Fault> {
    let dir = look::records(state, app.as_str());
    let file = dir.join("mounts.json");
    let path = format!("/containers/{}/json", quoted(&settings.container));
    let known = || serde_json::from_slice(&fs::read(&file).ok()?).ok();
    let shown = match Api::new(&settings.socket).get(&path) {
        Ok(shown) => shown,
        Err(error @ api::Error::Silent { .. }) => {
            return known().ok_or_else(|| Error::from(error).into());
        }
        Err(error) => return Err(Error::from(error).into()),
    };
    let Some(shown) = shown else {
        // It may just be between two names.
        let missing = || Error::NoContainer { name: settings.container.clone() }.into();
        return known().ok_or_else(missing);
    };
    let all: BTreeMap<String, PathBuf> = array(&shown, "/Mounts")
        .filter(|mount| text(mount, "/Type") == "bind" || text(mount, "/Driver") == "local")
        .map(|mount| (text(mount, "/Destination"), PathBuf::from(text(mount, "/Source"))))
        .collect();
    if known().as_ref() != Some(&all) {
        // Whoever may only look cannot remember; whoever keeps the app can.
        drop(
            durable::create_dir_all(&dir, 0o700, Site::Run)
                .and_then(|()| durable::write_json(&file, &all, 0o600, Site::Run)),
        );
    }
    Ok(all)
}
