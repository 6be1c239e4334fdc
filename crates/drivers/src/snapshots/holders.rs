//! Who still holds a volume: nobody may while it is copied (SNAP-8).
//!
//! A process that has a file open for writing, or mapped shared, can write at any moment without
//! being noticed. Found by inode, so that another mount namespace or another name of the file hides
//! nothing; on file systems that show one device number in `/proc` and another in `stat`, mappings
//! are found by name. What belongs to others and cannot be looked at is passed over: groundcrew runs
//! as root where it looks after apps of others. Not found: a loop device on a file, a file served
//! to another host, a descriptor in flight on a socket.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::manifest::ENTRIES_MAX;
use crate::durable::DEPTH_MAX;

/// The regular files of a volume, by inode.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Bytes of all of them, holes included.
    pub(super) bytes: u64,
    root: PathBuf,
    inodes: HashSet<(u64, u64)>,
}

/// Looks at every file of a volume; one that does not exist has none.
pub(super) fn survey(volume: &Path) -> Result<Survey, Error> {
    let mut survey = Survey { root: volume.to_owned(), ..Survey::default() };
    let mut entries = 0_usize;
    let mut left = vec![(volume.to_owned(), 0)];
    while let Some((dir, depth)) = left.pop() {
        let list = match fs::read_dir(&dir) {
            Err(error) if depth == 0 && error.kind() == io::ErrorKind::NotFound => continue,
            list => list.map_err(|error| Error::system("list", &dir, error))?,
        };
        for entry in list {
            let entry = entry.map_err(|error| Error::system("list", &dir, error))?;
            let path = entry.path();
            let meta = fs::symlink_metadata(&path)
                .map_err(|error| Error::system("look at", &path, error))?;
            entries += 1;
            if entries > ENTRIES_MAX || depth > DEPTH_MAX {
                let why = format!("more than {ENTRIES_MAX} entries or {DEPTH_MAX} levels");
                return Err(Error::refused(volume, why));
            }
            if meta.is_dir() {
                left.push((path, depth + 1));
            } else if meta.is_file() && survey.inodes.insert((meta.dev(), meta.ino())) {
                survey.bytes = survey.bytes.saturating_add(meta.len());
            }
        }
    }
    Ok(survey)
}

/// Fails with the first process that holds a file of these volumes.
pub(super) fn refuse_holders(surveys: &[Survey]) -> Result<(), Error> {
    let mut held = Vec::new();
    let proc = Path::new("/proc");
    let list = fs::read_dir(proc).map_err(|error| Error::system("list", proc, error))?;
    for entry in list {
        let entry = entry.map_err(|error| Error::system("list", proc, error))?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(pid) = pid {
            // A process that ends while we look holds nothing any more.
            held.extend(opened(pid, surveys).into_iter().map(|path| (pid, path, OPENED)));
            held.extend(mapped(pid, surveys).into_iter().map(|path| (pid, path, MAPPED)));
        }
    }
    let others = held.len().saturating_sub(1);
    let Some((pid, path, how)) = held.into_iter().next() else { return Ok(()) };
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Err(Error::Held { path, pid, command: command.trim().to_owned(), how, others })
}

const OPENED: &str = "open for writing";
const MAPPED: &str = "mapped shared";

/// Files of the volumes that this process has open for writing.
fn opened(pid: u32, surveys: &[Survey]) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in list.flatten() {
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        let inode = (meta.dev(), meta.ino());
        if !meta.is_file() || !surveys.iter().any(|survey| survey.inodes.contains(&inode)) {
            continue;
        }
        let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
        if fs::read_to_string(info).is_ok_and(|info| is_writable(&info)) {
            found.push(fs::read_link(entry.path()).unwrap_or_default());
        }
    }
    found
}

/// Whether the flags in `/proc/<pid>/fdinfo/<fd>` allow writing.
fn is_writable(info: &str) -> bool {
    const ACCESS_MODE: u32 = 3;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & ACCESS_MODE != 0)
}

/// Files of the volumes that this process has mapped shared.
pub(super) fn mapped(pid: u32, surveys: &[Survey]) -> Vec<PathBuf> {
    let Ok(maps) = fs::read(format!("/proc/{pid}/maps")) else { return Vec::new() };
    let maps = String::from_utf8_lossy(&maps);
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(shared_mapping)
        .filter(|(inode, path)| {
            surveys.iter().any(|survey| {
                survey.inodes.contains(inode)
                    || (path.starts_with(&survey.root) && !survey.inodes.is_empty())
            })
        })
        .map(|(_, path)| path)
        .collect();
    found.dedup();
    found
}

/// Device, inode and path of a line of `/proc/<pid>/maps` that is a shared mapping of a file.
fn shared_mapping(line: &str) -> Option<((u64, u64), PathBuf)> {
    let mut fields = line.splitn(6, ' ');
    let (permissions, dev, inode) = (fields.nth(1)?, fields.nth(1)?, fields.next()?);
    if !permissions.ends_with('s') || inode == "0" {
        return None;
    }
    let (major, minor) = dev.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let dev = rustix::fs::makedev(number(major)?, number(minor)?);
    Some(((dev, inode.parse().ok()?), PathBuf::from(fields.next().unwrap_or_default().trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_mappings_of_files_are_read_and_others_are_not() {
        let line = |permissions: &str, inode: &str| {
            format!("7f00-7f01 {permissions} 00000000 fe:01 {inode}                     /srv/a b")
        };
        let found = ((rustix::fs::makedev(0xfe, 1), 42), PathBuf::from("/srv/a b"));
        assert_eq!(shared_mapping(&line("rw-s", "42")), Some(found.clone()));
        assert_eq!(shared_mapping(&line("r--s", "42")), Some(found));
        assert_eq!(shared_mapping(&line("rw-p", "42")), None);
        assert_eq!(shared_mapping(&line("rw-s", "0")), None);
        assert_eq!(shared_mapping(""), None);
    }

    #[test]
    fn write_access_is_read_from_the_flags() {
        for (flags, writable) in [("0100000", false), ("0100001", true), ("02100002", true)] {
            assert_eq!(is_writable(&format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t29\n")), writable);
        }
        assert!(!is_writable("pos:\t0\n"));
    }
}
