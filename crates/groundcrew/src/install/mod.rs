//! What `groundcrew install` puts on a machine, and takes away again.
//!
//! The pieces are part of the binary (`dist/`), so a binary alone is a whole installation. Each is
//! written only where it differs, so doing it twice is doing it once; the configuration is written
//! only where there is none. What lies in the place of a piece and was not written by us is never
//! overwritten. Everything is below `--root`, which is `/` unless somebody makes a package or a test.

mod manager;
mod pieces;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use groundcrew_drivers::durable::{self, Site};
use serde::Serialize;

pub(crate) use manager::{Manager, is_systemd};
pub(crate) use pieces::{CONFIGURATION, Content, Piece, Role, pieces};

use crate::chain;
use crate::exit::Refusal;

/// What becomes of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// It was not there.
    Write,
    /// It says something else.
    Replace,
    /// It is as it should be.
    Same,
    /// It is the machine's own, and stays.
    Keep,
    /// It goes.
    Remove,
    /// It is not there.
    Absent,
}

impl Fate {
    /// Something is done.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Self::Write | Self::Replace | Self::Remove)
    }
}

/// A piece and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// The piece.
    pub(crate) piece: Piece,
    /// Where it goes, with the root.
    pub(crate) path: PathBuf,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

/// What an installation would do.
///
/// # Errors
///
/// Something lies in a piece's place that is not ours, or cannot be read.
pub(crate) fn plan(root: &Path, pieces: Vec<Piece>) -> Result<Vec<Planned>, Refusal> {
    let planned = |piece: Piece| {
        let path = below(root, &piece.path);
        let fate = match present(&path, &piece)? {
            None => Fate::Write,
            Some(_) if piece.keep => Fate::Keep,
            Some(Present { same: true, .. }) => Fate::Same,
            Some(Present { ours: true, .. }) => Fate::Replace,
            Some(_) => return Err(foreign(&path)),
        };
        Ok(Planned { piece, path, fate })
    };
    pieces.into_iter().map(planned).collect()
}

/// What taking a role away would do; what is not ours stays, and so does what another role needs.
///
/// # Errors
///
/// Something cannot be read.
pub(crate) fn plan_removal(root: &Path, role: Role) -> Result<Vec<Planned>, Refusal> {
    let is_there = |other: &Role| below(root, &other.unit_path()).symlink_metadata().is_ok();
    let shared = Role::ALL.iter().any(|other| *other != role && is_there(other));
    let pieces = if shared { pieces::own_pieces(role) } else { pieces(role)? };
    let planned = |piece: Piece| {
        let path = below(root, &piece.path);
        let fate = match present(&path, &piece)? {
            None => Fate::Absent,
            Some(Present { ours: true, .. }) if !piece.keep => Fate::Remove,
            Some(_) => Fate::Keep,
        };
        Ok(Planned { piece, path, fate })
    };
    pieces.into_iter().map(planned).collect()
}

/// Does it.
///
/// # Errors
///
/// The host failed; what was done before stays, and the next try goes on.
pub(crate) fn carry_out(plan: &[Planned]) -> Result<(), Refusal> {
    for Planned { piece, path, fate } in plan {
        let done = match fate {
            Fate::Write | Fate::Replace => write(path, piece),
            Fate::Remove => durable::remove_file(path, Site::Config),
            Fate::Same | Fate::Keep | Fate::Absent => Ok(()),
        };
        done.map_err(|error| Refusal::failed(chain(&error)))?;
    }
    Ok(())
}

fn write(path: &Path, piece: &Piece) -> Result<(), durable::Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    durable::create_dir_all(dir, 0o755, Site::Config)?;
    match &piece.content {
        Content::Bytes(bytes) => durable::write(path, bytes, piece.mode, Site::Config),
        Content::Link(target) => durable::symlink(Path::new(target), path, Site::Config),
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// What lies in a piece's place.
struct Present {
    same: bool,
    ours: bool,
}

fn present(path: &Path, piece: &Piece) -> Result<Option<Present>, Refusal> {
    let cannot =
        |error: std::io::Error| Refusal::failed(format!("cannot read {}: {error}", path.display()));
    let meta = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        meta => meta.map_err(cannot)?,
    };
    if meta.is_dir() {
        return Ok(Some(Present { same: false, ours: false }));
    }
    Ok(Some(match &piece.content {
        Content::Link(target) => {
            let same = meta.is_symlink() && fs::read_link(path).map_err(cannot)? == *target;
            Present { same, ours: same }
        }
        Content::Bytes(bytes) => {
            let found = fs::read(path).map_err(cannot)?;
            let mode = meta.permissions().mode() & 0o7777;
            let same = found == *bytes && mode == piece.mode && meta.is_file();
            Present { same, ours: same || (piece.is_ours)(&found) }
        }
    }))
}

fn foreign(path: &Path) -> Refusal {
    let path = path.display();
    Refusal::usage(format!(
        "{path} is there and was not written by groundcrew\n  → move it away; what is to differ from \
         our unit goes into a drop-in: systemctl edit groundcrew"
    ))
}
