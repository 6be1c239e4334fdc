//! `agent.lock`: one agent per state directory, held by the kernel and gone with its holder.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::exit::{Exit, Refusal};

/// The lock's name in the state directory.
const NAME: &str = "agent.lock";
/// Longest note that is read from it.
const NOTE_MAX_BYTES: u64 = 256;

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock; `role` is what another one is told about the holder.
///
/// # Errors
///
/// `Locked` with the holder's role and process id, or the host failed.
pub(crate) fn take(state: &Path, role: &str) -> Result<Lock, Refusal> {
    let path = state.join(NAME);
    let cannot = |error: std::io::Error| {
        Refusal::failed(format!("cannot take the lock {}: {error}", path.display()))
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(cannot)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut note = String::new();
            (&mut file).take(NOTE_MAX_BYTES).read_to_string(&mut note).map_err(cannot)?;
            let who = if note.is_empty() { "somebody" } else { note.trim() };
            let text = format!("{who} has the lock {}; try later", path.display());
            return Err(Refusal::new(Exit::Locked, text));
        }
        Err(error) => return Err(cannot(error.into())),
    }
    // Only a note for people; the lock itself is the kernel's.
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{role} (pid {})", std::process::id()))
        .map_err(cannot)?;
    Ok(Lock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it_and_the_lock_ends_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), "the agent").unwrap();
        let refusal = take(dir.path(), "an update").unwrap_err();
        assert_eq!(refusal.code, Exit::Locked);
        let wanted = format!("the agent (pid {}) has the lock", std::process::id());
        assert!(refusal.text.starts_with(&wanted), "{}", refusal.text);
        drop(first);
        take(dir.path(), "an update").unwrap();
    }
}
