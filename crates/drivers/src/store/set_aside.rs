//! A store that cannot be read is put aside, whole, and a fresh one begins that only observes.
//!
//! The three files of a database belong together: a log of another database would be played into the
//! fresh one. So the new name is written down first, the log goes first and the database last, and
//! whoever opens the store next finishes what was begun:
//!
//! ```text
//! journal.db.setting-aside         the ending that the old files get, while it is being done
//! journal.db<ending>               such as .corrupt-20261121T100000Z, with <ending>-wal and -shm
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use groundcrew_engine::ports::{Notice, Severity};

use super::queue::FirstNotice;
use super::{Error, schema};
use crate::durable::{self, Site};

/// How long the name of an ending may be, in bytes.
const ENDING_BYTES_MAX: usize = 64;

/// The files of a database after its name, in the order in which they go.
const PARTS: [&str; 3] = ["-wal", "-shm", ""];

pub(super) fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn marker(path: &Path) -> PathBuf {
    with(path, ".setting-aside")
}

/// Finishes what an earlier open began; returns where the old database is.
pub(super) fn finish(path: &Path) -> Result<Option<PathBuf>, Error> {
    let marker = marker(path);
    let ending = match std::fs::read_to_string(&marker) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ending => ending.map_err(|error| Error::system("read", &marker, error))?,
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    if ending.len() > ENDING_BYTES_MAX || !ending.bytes().all(good) || !ending.starts_with('.') {
        let why = format!("it says {ending:?}, which is no ending of ours; remove it by hand");
        return Err(Error::Damaged { path: marker, why });
    }
    let aside = with(path, &ending);
    if aside.symlink_metadata().is_ok() {
        // The database went last, so all of it went; what is there now is the fresh one.
        return Ok(Some(aside));
    }
    for part in PARTS {
        let (from, to) = (with(path, part), with(&aside, part));
        if from.symlink_metadata().is_ok() {
            durable::rename_new(&from, &to, Site::Journal)
                .map_err(Error::durable("put the damaged journal aside"))?;
        }
    }
    Ok(Some(aside))
}

/// Puts the database aside, with a name that nobody has.
pub(super) fn begin(path: &Path, now: jiff::Timestamp) -> Result<PathBuf, Error> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut ending = format!(".corrupt-{time}");
    let mut count = 1;
    while with(path, &ending).symlink_metadata().is_ok() {
        count += 1;
        ending = format!(".corrupt-{time}-{count}");
    }
    if path.symlink_metadata().is_err() {
        // Only its log is left; a stand-in takes the database's place as the last that goes.
        schema::create_private(path)?;
    }
    durable::write(&marker(path), ending.as_bytes(), 0o600, Site::Journal)
        .map_err(Error::durable("begin to put the damaged journal aside"))?;
    let aside = finish(path)?;
    Ok(aside.unwrap_or_else(|| with(path, &ending)))
}

/// The fresh store is complete, flag and notice included.
pub(super) fn end(path: &Path) -> Result<(), Error> {
    durable::remove_file(&marker(path), Site::Journal)
        .map_err(Error::durable("finish putting the damaged journal aside"))
}

/// What the fresh store says from its first moment on.
pub(super) fn notice(reason: String, now: jiff::Timestamp) -> FirstNotice {
    let queued_ms = now.as_millisecond();
    let notice = Notice {
        key: format!("groundcrew/store/{queued_ms}"),
        severity: Severity::Page,
        title: "groundcrew lost its journal and only observes".to_owned(),
        body: format!(
            "{reason}\nThe apps are left as they were found: no update is made and nothing is \
             cleaned up. Look at what runs and at `groundcrew status`, then `groundcrew unblock` \
             lets updates go on."
        ),
    };
    FirstNotice { reason, notice, queued_ms }
}
