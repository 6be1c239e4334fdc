//! A control group of the app's own, where we may have one: version 2, as root.
//!
//! It finds and kills descendants that no longer show whose they are. It is a help, never a need:
//! without it the keeper walks its descendants, and nothing here is an error.

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::TICK;
use super::spec::KeepSpec;

const MEMBERS_FILE: &str = "cgroup.procs";
const KILL_FILE: &str = "cgroup.kill";

/// How often the removal of a busy group is tried again.
const REMOVE_TRIES: u32 = 100;

/// A control group without children of its own.
#[derive(Debug)]
pub(super) struct Leaf {
    path: PathBuf,
}

impl Leaf {
    /// Where a leaf below our own group would be; `None` where there cannot be one. The path goes
    /// into a record before the leaf is made, so that none is forgotten.
    pub(super) fn plan(spec: &KeepSpec) -> Option<PathBuf> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let name = format!("groundcrew-{}-{}", spec.app, std::process::id());
        Some(own_group(&mounts, &own)?.join(name))
    }

    /// Makes the leaf; `None` if that does not work or would not help to kill.
    pub(super) fn create(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).ok()?;
        let leaf = Self { path };
        if leaf.path.join(KILL_FILE).exists() {
            return Some(leaf);
        }
        leaf.remove();
        None
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Kills every member at once. The caller walks descendants as well, so a failure loses nothing.
    pub(super) fn kill(&self) {
        kill(&self.path);
    }

    /// Whether the kernel killed a member for want of memory, if it counts that here.
    pub(super) fn oom(&self) -> Option<bool> {
        let events = fs::read_to_string(self.path.join("memory.events")).ok()?;
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        Some(count.trim() != "0")
    }

    /// Removes the group; only an empty one can be removed, and a left-over costs nothing.
    pub(super) fn remove(self) {
        remove(&self.path);
    }
}

/// Moves the calling process into the group.
pub(super) fn join(path: &Path) -> std::io::Result<()> {
    set(&path.join(MEMBERS_FILE), "0")
}

/// Ids of the group's members; none if the group is gone.
pub(super) fn members(path: &Path) -> Vec<i32> {
    let text = fs::read_to_string(path.join(MEMBERS_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Kills every member of the group, if there still is one.
pub(super) fn kill(path: &Path) {
    set(&path.join(KILL_FILE), "1").ok();
}

/// Removes the group once it is empty; members that were just reaped may take a moment.
pub(super) fn remove(path: &Path) {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(TICK);
            }
            // Gone, or never there.
            Ok(()) | Err(_) => return,
        }
    }
}

/// Control files are not files: nothing is to be synced or replaced, only written.
fn set(path: &Path, value: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// The directory of our own version 2 group.
fn own_group(mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group outside our view of the tree cannot have children of ours.
    (!path.split('/').any(|part| part == "..")).then(|| mount.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_is_found_in_pure_and_hybrid_trees() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let table = [
            (hybrid, "2:cpu:/\n0::/\n", Some("/sys/fs/cgroup/unified/")),
            (
                "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
                "0::/system.slice/groundcrew.service\n",
                Some("/sys/fs/cgroup/system.slice/groundcrew.service"),
            ),
            (hybrid, "0::/../other\n", None),
            (hybrid, "2:cpu:/\n", None),
            ("proc /proc proc rw 0 0\n", "0::/\n", None),
        ];
        for (mounts, own, expected) in table {
            assert_eq!(own_group(mounts, own), expected.map(PathBuf::from), "{own}");
        }
    }
}
