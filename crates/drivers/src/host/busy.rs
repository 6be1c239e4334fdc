//! The busy flag (GATE-1): a file by which others say that this machine must not be disturbed.
//!
//! | what is there | `non-empty` | `exists` |
//! |---|---|---|
//! | no file | clear | clear |
//! | an empty file | clear | busy |
//! | any content | busy | busy |
//! | no directory for it | clear; airborne: busy | the same |
//! | anything else that goes wrong | busy, with the reason | the same |
//!
//! The content may have lines `pid=`, `boot_id=`, `pid_ns=` and `expires=`; all others are for
//! people. A process id means something only in its boot and in its name space, so it counts only
//! if the flag names ours; if that process is gone then, nobody is left to clear the flag, and it
//! counts as clear. That a flag has expired is worth a remark and clears nothing.
//!
//! **Airborne** a dead owner clears nothing either, because the flight goes on, and what was seen
//! last is remembered on disk: after a power cut in flight `/run` is empty, and an empty `/run`
//! must not look like the ground. Such a boot stays busy until the flag was set and cleared in it,
//! or a person says that it is on the ground ([`BusyFlag::ground`]).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use groundcrew_engine::ports::Busy;
use rustix::fs::OFlags;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::causes::causes;
use crate::durable::{self, Site};
use crate::keeper;

#[cfg(test)]
mod tests;

/// So much of a flag is read.
const FLAG_MAX_BYTES: u64 = 4 * 1024;

/// How much of its first line is shown, in characters.
const SHOWN_MAX_CHARS: usize = 120;

/// Version of [`Memory`].
const SCHEMA: u32 = 1;

/// What makes a flag a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Content does.
    #[default]
    NonEmpty,
    /// The file's existence does.
    Exists,
}

/// The host's flag.
#[derive(Clone, Debug)]
pub struct BusyFlag {
    path: PathBuf,
    mode: Mode,
    /// Airborne: where it is remembered what was seen last.
    memory: Option<PathBuf>,
    boot: Option<String>,
}

/// What a look at the flag gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The answer.
    pub busy: Busy,
    /// Something odd that does not change it.
    pub remark: Option<String>,
}

/// `busy.json`: what was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    schema: u32,
    boot_id: String,
    busy: bool,
    /// Who said that it is on the ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grounded_by: Option<String>,
}

impl BusyFlag {
    /// The flag at this path. A host that does not know its boot believes no process id.
    #[must_use]
    pub fn new(path: &Path, mode: Mode) -> Self {
        let boot = keeper::this_boot().ok();
        Self { path: path.into(), mode, memory: None, boot }
    }

    /// The same on an aircraft, with the state directory to remember in.
    #[must_use]
    pub fn airborne(mut self, state: &Path) -> Self {
        self.memory = Some(state.join("busy.json"));
        self
    }

    /// Looks; airborne, remembers what was seen.
    pub fn look(&mut self) -> Look {
        let look = self.read();
        let Some(memory) = self.memory.clone() else { return look };
        match self.remember(&memory, look.busy != Busy::Clear) {
            Ok(None) => look,
            Ok(Some(unconfirmed)) => Look { busy: Busy::Busy(unconfirmed), ..look },
            Err(why) if look.busy == Busy::Clear => Look { busy: Busy::Busy(why), ..look },
            Err(why) => Look { remark: Some(why), ..look },
        }
    }

    /// A person says that this aircraft is on the ground, whatever was seen last.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn ground(&mut self, by: &str) -> Result<(), String> {
        let Some(path) = &self.memory else { return Ok(()) };
        let boot_id = self.boot.clone().ok_or("this boot has no name")?;
        let grounded_by = Some(by.to_owned());
        let memory = Memory { schema: SCHEMA, boot_id, busy: false, grounded_by };
        durable::write_json(path, &memory, 0o600, Site::Flag).map_err(|error| causes(&error))
    }

    fn read(&self) -> Look {
        match self.content() {
            Ok(None) => self.absent(),
            Ok(Some(text)) => self.judge(&text),
            Err(error) => {
                let why = format!("{} cannot be read: {error}", self.path.display());
                Look { busy: Busy::Busy(why), remark: None }
            }
        }
    }

    /// The flag's content; `None`: there is no flag.
    fn content(&self) -> io::Result<Option<String>> {
        // A pipe without a writer would block us for ever.
        let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
        let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if !file.metadata()?.is_file() {
            let is_there = self.mode == Mode::Exists;
            return if is_there { Ok(Some(String::new())) } else { Err(no_file()) };
        }
        let mut bytes = Vec::new();
        file.take(FLAG_MAX_BYTES).read_to_end(&mut bytes)?;
        let absent = bytes.is_empty() && self.mode == Mode::NonEmpty;
        Ok((!absent).then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn absent(&self) -> Look {
        let dir = durable::parent(&self.path);
        let why = match std::fs::metadata(dir) {
            Ok(_) => None,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Some(format!("{} cannot be looked at: {error}", dir.display()))
            }
            Err(_) if self.memory.is_some() => {
                Some(format!("{} is missing, so nobody could set the flag", dir.display()))
            }
            Err(_) => None,
        };
        Look { busy: why.map_or(Busy::Clear, Busy::Busy), remark: None }
    }

    fn judge(&self, text: &str) -> Look {
        let value = |name: &str| {
            text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let said: String =
            text.lines().next().unwrap_or_default().chars().take(SHOWN_MAX_CHARS).collect();
        let busy = Busy::Busy(format!("{} says {said:?}", self.path.display()));
        let expired = value("expires").map(|at| format!("the flag was to expire at {at}"));
        let boot = value("boot_id").filter(|boot| Some(*boot) == self.boot.as_deref());
        let here = value("pid_ns").filter(|space| Some(*space) == pid_space().as_deref());
        let pid = value("pid").filter(|_| boot.is_some() && here.is_some());
        let gone =
            pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw).is_some_and(is_gone);
        if !gone {
            return Look { busy, remark: expired };
        }
        let remark = format!(
            "{} was set by process {}, which is gone",
            self.path.display(),
            pid.unwrap_or_default()
        );
        let busy = if self.memory.is_some() { busy } else { Busy::Clear };
        Look { busy, remark: Some(remark) }
    }

    /// Remembers what is seen; `Some`: why it is busy all the same.
    fn remember(&self, path: &Path, busy: bool) -> Result<Option<String>, String> {
        let boot_id = self.boot.clone().ok_or("this boot has no name")?;
        let last = Memory::read(path)?;
        let other_boot = last.as_ref().is_some_and(|last| last.boot_id != boot_id);
        if !busy && other_boot && last.as_ref().is_some_and(|last| last.busy) {
            return Ok(Some(
                "unconfirmed: it was busy when this machine went down; set and clear the flag, or \
                 run `groundcrew ground --by NAME`"
                    .to_owned(),
            ));
        }
        let now = Memory { schema: SCHEMA, boot_id, busy, grounded_by: None };
        let known =
            last.is_some_and(|last| (last.boot_id, last.busy) == (now.boot_id.clone(), busy));
        if known {
            return Ok(None);
        }
        let written = durable::write_json(path, &now, 0o600, Site::Flag);
        written.map(|()| None).map_err(|error| causes(&error))
    }
}

impl Memory {
    fn read(path: &Path) -> Result<Option<Self>, String> {
        let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let mut bytes = Vec::new();
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file
                .and_then(|file| file.take(FLAG_MAX_BYTES).read_to_end(&mut bytes))
                .map_err(cannot)?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{} is not understood: {error}", path.display()))
    }
}

/// A pipe or a device reads as empty, and says nothing by that.
fn no_file() -> io::Error {
    io::Error::other("it is not a file")
}

/// Names our process id name space: the inode behind `/proc/self/ns/pid`.
fn pid_space() -> Option<String> {
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino().to_string())
}

/// A process that we may not signal is there.
fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}
