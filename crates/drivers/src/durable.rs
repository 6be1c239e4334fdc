//! The one place where files become durable.
//!
//! Everything that has to survive a power cut is written through here: into a temporary file
//! beside the target, fsync, rename over the target, fsync of the directory. A reader sees the old
//! content or the new content, never a part. Constraints:
//!
//! - Every sync names its [`Site`], so that a test can drop the syncs of one site at a time
//!   ([`drop_site`]) and has to turn red.
//! - Every change of the file system asks [`step`] first, so that a test can cut the power between
//!   any two ([`crash_after`]).
//! - A file that failed a write or an fsync is never written again: the temporary file is removed
//!   and the error says so. The kernel may have thrown the dirty pages away, a second fsync would
//!   lie.
//! - Temporary files are named `.groundcrew-<pid>-<n>.tmp`; [`sweep`] removes orphans, and is only
//!   for directories whose lock the caller holds.
//! - Nothing here follows a symlink in the last component of a path that it replaces or removes.
//!
//! What is durable when a function returns is in its own doc. All of them block.

mod error;
mod fault;
mod remove;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags};

pub use error::{Error, Kind};
pub use fault::{
    Fault, SYNC_FAULT_ENV, crash_after, crashed, drop_site, inject, step, trace_syncs,
};
pub(crate) use remove::{names, open_dir, os_str};
pub use remove::{remove_file, remove_tree};

/// How deep a directory tree may be that we walk: one open directory per level, and the usual
/// limit of open files is 1024.
pub const DEPTH_MAX: usize = 256;

/// How many names are tried for a temporary file before giving up; only orphans of a process with
/// our id take names away.
const TEMP_TRIES_MAX: u32 = 10_000;

const TEMP_PREFIX: &str = ".groundcrew-";
const TEMP_SUFFIX: &str = ".tmp";

macro_rules! sites {
    ($($(#[$doc:meta])* $site:ident = $name:literal,)*) => {
        /// Whose syncs these are: the closed list of places that make something durable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Site { $($(#[$doc])* $site,)* }

        impl Site {
            /// All sites, for tests that loop over them.
            pub const ALL: &[Site] = &[$(Site::$site),*];

            /// The site's name in [`SYNC_FAULT_ENV`] and in test output.
            pub const fn name(self) -> &'static str {
                match self { $(Site::$site => $name,)* }
            }
        }
    };
}

sites! {
    /// `plan.json` of an update.
    Plan = "plan",
    /// The ballast beside the journal.
    Ballast = "ballast",
    /// The journal's own directory and a journal set aside.
    Journal = "journal",
    /// A run record before a start.
    Run = "run",
    /// A keeper's `exit.json`.
    Exit = "exit",
    /// The switch of the running release: label, symlink or unit.
    Switch = "switch",
    /// An unpacked release.
    Release = "release",
    /// The directories beside a volume that snapshots and restores are made in.
    Area = "area",
    /// The files of a snapshot before its manifest is written.
    SnapshotTree = "snapshot-tree",
    /// A snapshot's manifest.
    SnapshotManifest = "snapshot-manifest",
    /// The rename that completes a snapshot.
    SnapshotComplete = "snapshot-complete",
    /// The files of a tree that was built for a restore.
    RestoreTree = "restore-tree",
    /// The rename that completes a tree built for a restore.
    RestoreComplete = "restore-complete",
    /// The exchange of the live and the built tree.
    RestoreExchange = "restore-exchange",
    /// The rename that puts a failed tree aside.
    FailedAside = "failed-aside",
    /// The removal of something that is no longer kept.
    Prune = "prune",
    /// A queued notification.
    Notification = "notification",
    /// A post-mortem.
    Postmortem = "postmortem",
    /// A configuration file or drop-in that we write.
    Config = "config",
    /// A secret that we generated.
    Secret = "secret",
    /// A flag such as `updating`.
    Flag = "flag",
}

/// Writes `bytes` to `path` with the permission bits `mode`, replacing what was there.
///
/// On return content, mode and name are durable. On an error before the rename the old content is
/// untouched; if only the last sync failed ([`Error::Path`]), the new content is in place and may
/// or may not survive a power cut: write again to be sure.
///
/// # Errors
/// See [`Error::kind`]; the directory must exist.
pub fn write(path: &Path, bytes: &[u8], mode: u32, site: Site) -> Result<(), Error> {
    let (temp, file) = create_temp(path, mode)?;
    let filled = fill(file, bytes, mode, site);
    if let Err((doing, source)) = filled {
        return Err(give_up(doing, temp, path, source));
    }
    if let Err(source) = replace(&temp, path) {
        return Err(give_up("rename", temp, path, source));
    }
    sync_dir(parent(path), site)
}

/// Writes `value` as indented JSON with a final newline; everything else is as in [`write()`].
///
/// # Errors
/// As [`write()`], and [`Error::Json`] if the value has no JSON form.
pub fn write_json<T: serde::Serialize>(
    path: &Path,
    value: &T,
    mode: u32,
    site: Site,
) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| Error::Json { path: path.to_owned(), source })?;
    bytes.push(b'\n');
    write(path, &bytes, mode, site)
}

/// Makes `path` a symlink to `target`, replacing what was there; durable on return.
///
/// # Errors
/// As [`write()`].
pub fn symlink(target: &Path, path: &Path, site: Site) -> Result<(), Error> {
    let (temp, ()) = temp_name(path, |temp| std::os::unix::fs::symlink(target, temp))?;
    if let Err(source) = replace(&temp, path) {
        return Err(give_up("rename", temp, path, source));
    }
    sync_dir(parent(path), site)
}

/// Renames `from` to `to`, replacing a file there; the names in both directories are durable on
/// return. What is *in* `from` is durable only if the caller synced it before.
///
/// # Errors
/// See [`Error::kind`]; `Missing` if there is no `from`.
pub fn rename(from: &Path, to: &Path, site: Site) -> Result<(), Error> {
    replace(from, to).map_err(|source| Error::pair("rename", from, to, source))?;
    sync_parents(from, to, site)
}

/// As [`rename`], but fails if something is at `to` already.
///
/// # Errors
/// As [`rename`].
pub fn rename_new(from: &Path, to: &Path, site: Site) -> Result<(), Error> {
    rename_with(from, to, RenameFlags::NOREPLACE)
        .map_err(|source| Error::pair("rename", from, to, source))?;
    sync_parents(from, to, site)
}

/// Exchanges the names `a` and `b` in one step; both must exist in one file system. The names in
/// both directories are durable on return.
///
/// Asking twice exchanges twice: a caller that may be repeating itself compares identities first.
///
/// # Errors
/// See [`Error::kind`].
pub fn exchange(a: &Path, b: &Path, site: Site) -> Result<(), Error> {
    rename_with(a, b, RenameFlags::EXCHANGE)
        .map_err(|source| Error::pair("exchange", a, b, source))?;
    sync_parents(a, b, site)
}

/// Makes the content and metadata of an open file durable, not its name.
///
/// # Errors
/// The file must not be written again: what the kernel dropped is lost, and a second sync lies.
pub fn sync_file(file: &File, path: &Path, site: Site) -> Result<(), Error> {
    sync(site, || rustix::fs::fsync(file)).map_err(|source| Error::path("sync", path, source))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// See [`Error::kind`].
pub fn sync_dir(path: &Path, site: Site) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| sync(site, || rustix::fs::fsync(&dir)))
        .map_err(|source| Error::path("sync directory", path, source))
}

/// Makes everything durable that was written to the file system of `path` before.
///
/// A write error that somebody else's sync has already been told about is not reported here;
/// whoever has to know that *all* of a long copy arrived uses [`syncfs_since`].
///
/// # Errors
/// See [`Error::kind`].
pub fn syncfs(path: &Path, site: Site) -> Result<(), Error> {
    let any = File::open(path).map_err(|source| Error::path("open", path, source))?;
    syncfs_since(&any, path, site)
}

/// As [`syncfs`], on the file system of `any`, a file or directory that was opened before the
/// first of the writes in question: the kernel reports every write error that it met since then.
///
/// # Errors
/// See [`Error::kind`].
pub fn syncfs_since(any: &File, path: &Path, site: Site) -> Result<(), Error> {
    sync(site, || rustix::fs::syncfs(any))
        .map_err(|source| Error::path("sync the file system of", path, source))
}

/// Runs one sync of `site`. The only caller of fsync and syncfs, here or elsewhere.
///
/// # Errors
/// Those of `run`; EIO if a test asked for it.
pub fn sync(site: Site, run: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
    if crashed() {
        return step();
    }
    match fault::of(site) {
        None => Ok(rustix::io::retry_on_intr(run)?),
        Some(Fault::Drop) => Ok(()),
        Some(Fault::Fail) => Err(rustix::io::Errno::IO.into()),
    }
}

/// Creates a directory and its missing parents with the permission bits `mode`; those that exist
/// keep theirs. Durable on return, also when an earlier call was killed half-way.
///
/// # Errors
/// See [`Error::kind`]; a file in the way is `Missing` (not a directory).
pub fn create_dir_all(path: &Path, mode: u32, site: Site) -> Result<(), Error> {
    let mut missing: Vec<&Path> = Vec::new();
    let mut known = path;
    while !known.is_dir() {
        missing.push(known);
        let above = parent(known);
        if above == known {
            break;
        }
        known = above;
    }
    // An earlier call may have been killed between the last mkdir and its sync.
    match sync_dir(parent(known), site) {
        Err(error) if error.kind() != Kind::Denied => return Err(error),
        _ => {}
    }
    for new in missing.into_iter().rev() {
        create_dir(new, mode).map_err(|source| Error::path("create directory", new, source))?;
        sync_dir(parent(new), site)?;
    }
    Ok(())
}

/// Removes the temporary files that killed processes left in `dir`, and returns how many. Only for
/// a directory whose lock the caller holds: it does not ask whether the writer still lives.
///
/// # Errors
/// See [`Error::kind`]; a missing directory has no orphans.
pub fn sweep(dir: &Path) -> Result<usize, Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::path("list", dir, error)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(|source| Error::path("list", dir, source))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(is_temp) {
            let path = entry.path();
            step()
                .and_then(|()| std::fs::remove_file(&path))
                .map_err(|source| Error::path("remove", &path, source))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// The directory that `path` is in: `.` for a bare name, `/` for the root.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    }
}

fn is_temp(name: &str) -> bool {
    name.strip_prefix(TEMP_PREFIX).and_then(|name| name.strip_suffix(TEMP_SUFFIX)).is_some_and(
        |middle| !middle.is_empty() && middle.bytes().all(|b| b.is_ascii_digit() || b == b'-'),
    )
}

fn create_temp(path: &Path, mode: u32) -> Result<(PathBuf, File), Error> {
    // Never wider than asked, not even before the mode is set.
    temp_name(path, |temp| {
        OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(temp)
    })
}

/// Makes something under a temporary name beside `path` that nobody has.
fn temp_name<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(PathBuf, T), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMP_PREFIX}{}-{count}{TEMP_SUFFIX}", std::process::id());
        let temp = parent(path).join(name);
        match step().and_then(|()| make(&temp)) {
            Ok(made) => return Ok((temp, made)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && tries < TEMP_TRIES_MAX =>
            {
                tries += 1;
            }
            Err(source) => {
                let (doing, path) = ("create", path.to_owned());
                return Err(Error::Temp { doing, temp, path, removed: true, source });
            }
        }
    }
}

fn fill(
    mut file: File,
    bytes: &[u8],
    mode: u32,
    site: Site,
) -> Result<(), (&'static str, io::Error)> {
    step().and_then(|()| file.write_all(bytes)).map_err(|error| ("write", error))?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(|error| ("set the mode of", error))?;
    sync(site, || rustix::fs::fsync(&file)).map_err(|error| ("sync", error))
}

fn give_up(doing: &'static str, temp: PathBuf, path: &Path, source: io::Error) -> Error {
    let removed = step().and_then(|()| std::fs::remove_file(&temp)).is_ok();
    Error::Temp { doing, temp, path: path.to_owned(), removed, source }
}

fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    step()?;
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        // The umask may have taken bits away.
        Ok(()) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the durable rename that others are to use")]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    std::fs::rename(from, to)
}

fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    step()?;
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
}

/// The target's directory first: until it is durable, the old name is all there is.
fn sync_parents(from: &Path, to: &Path, site: Site) -> Result<(), Error> {
    sync_dir(parent(to), site)?;
    if parent(from) == parent(to) { Ok(()) } else { sync_dir(parent(from), site) }
}
