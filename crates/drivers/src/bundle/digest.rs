//! The canonical list of a tree, whose digest names the content of a release.
//!
//! The same tree has the same list whether it lies in a directory or in an archive, whoever owns
//! it, whatever umask it was unpacked with. **The list, byte by byte:** one line per entry below
//! the root (the root has none), sorted by the bytes of the path, each line
//!
//! ```text
//! <type> SP <mode> SP <size> SP <sha256> SP <path> LF
//! ```
//!
//! | field | directory | regular file | symlink |
//! |---|---|---|---|
//! | type | `d` | `f` | `l` |
//! | mode | `0755` | `0755` if its owner may execute it, else `0644` | `0777` |
//! | size | `0` | its length in bytes, decimal | the target's length |
//! | sha256 | `-` | of the content, 64 lower-case hexadecimal digits | of the target's bytes |
//!
//! *path* is relative to the root, names joined by `/`, no `.` and no `/` at either end; a byte
//! below 0x20, 0x7f and the backslash stand as `\xNN` with lower-case digits, every other byte for
//! itself. Sorting is by the bytes before escaping. A hard link is a file like any other; holes are
//! zeros. Owner, times, extended attributes and all mode bits but the owner's `x` do not count and
//! are not kept. Any other type, and a file with suid or sgid, is refused.
//!
//! The digest is SHA-256 over the list, spelled `sha256:` and hexadecimal digits. The empty tree has
//! the digest of the empty text. Test vectors: `the_list_is_byte_exact`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use sha2::Digest as _;

use super::release::hex;
use super::{Error, Limits, Sha256};
use crate::durable::{names, open_dir};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The digest of the canonical list of the tree at `root`, read byte by byte.
///
/// # Errors
/// `Unreachable` if it cannot be read, `Refused` for what has no place in a list.
pub fn content_digest(root: &Path, limits: &Limits) -> Result<Sha256, Error> {
    let mut lines = lines(root, limits)?;
    lines.sort();
    let mut hasher = sha2::Sha256::new();
    for (_, line) in lines {
        hasher.update(line);
    }
    Ok(Sha256::from_hasher(hasher))
}

/// An entry's path and its line.
type Line = (Vec<u8>, Vec<u8>);

/// One line per entry, in no order.
fn lines(root: &Path, limits: &Limits) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    let dir = open_dir(CWD, root).map_err(|error| Error::read(root, error))?;
    let mut levels = vec![(Vec::new(), entries(&dir, root)?, dir)];
    let (mut bytes, mut count) = (0, 0);
    while let Some((above, left, dir)) = levels.last_mut() {
        let Some(name) = left.next() else {
            levels.pop();
            continue;
        };
        let mut path = above.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let full = root.join(std::ffi::OsStr::from_bytes(&path));
        count += 1;
        check_limit(root, "entries", count, limits.entries)?;
        let listed = list_entry(dir, &name, &full)?;
        if listed.kind == 'f' {
            bytes += listed.size;
            check_limit(root, "bytes of content", bytes, limits.bytes)?;
        }
        lines.push((path.clone(), line(&listed, &path)));
        if let Some(below) = listed.below {
            levels.push((path, entries(&below, &full)?, below));
        }
    }
    Ok(lines)
}

struct Listed {
    kind: char,
    mode: &'static str,
    size: u64,
    sha256: String,
    below: Option<OwnedFd>,
}

fn list_entry(dir: &OwnedFd, name: &std::ffi::CStr, full: &Path) -> Result<Listed, Error> {
    let read = |error| Error::read(full, error);
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(read)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let below = Some(open_dir(dir, name).map_err(read)?);
            Ok(Listed { kind: 'd', mode: "0755", size: 0, sha256: "-".to_owned(), below })
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new()).map_err(read)?;
            let target = target.as_bytes();
            let sha256 = hex(&sha2::Sha256::digest(target));
            let size = u64::try_from(target.len()).expect("a length in memory fits");
            Ok(Listed { kind: 'l', mode: "0777", size, sha256, below: None })
        }
        FileType::RegularFile => {
            let file = open_file(dir, name, full)?;
            let mode = if is_executable(stat.st_mode) { "0755" } else { "0644" };
            let (size, sha256) = hash(file).map_err(|error| Error::read(full, error))?;
            Ok(Listed { kind: 'f', mode, size, sha256, below: None })
        }
        _ => Err(Error::refused(full, "a bundle holds files, directories and symlinks only")),
    }
}

/// Opens a regular file for reading; anything else that took its name is refused.
pub(super) fn open_file(dir: &OwnedFd, name: &std::ffi::CStr, full: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty());
    let file = File::from(file.map_err(|error| Error::read(full, error))?);
    let meta = file.metadata().map_err(|error| Error::read(full, error))?;
    let mode = std::os::unix::fs::MetadataExt::mode(&meta);
    if !meta.is_file() || mode & 0o6000 != 0 {
        return Err(Error::refused(full, "it is not a plain file without suid and sgid"));
    }
    Ok(file)
}

pub(super) fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

pub(super) fn check_limit(
    path: &Path,
    what: &'static str,
    found: u64,
    limit: u64,
) -> Result<(), Error> {
    if found > limit {
        return Err(Error::Limit { path: path.to_owned(), what, limit });
    }
    Ok(())
}

fn entries(dir: &OwnedFd, path: &Path) -> Result<std::vec::IntoIter<std::ffi::CString>, Error> {
    Ok(names(dir).map_err(|error| Error::read(path, error))?.into_iter())
}

fn hash(mut file: File) -> io::Result<(u64, String)> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        hasher.update(buffer.get(..count).expect("a read fills at most the buffer"));
        size += u64::try_from(count).expect("a chunk length fits");
    }
}

fn line(listed: &Listed, path: &[u8]) -> Vec<u8> {
    let Listed { kind, mode, size, sha256, below: _ } = listed;
    let mut line = format!("{kind} {mode} {size} {sha256} ").into_bytes();
    for byte in path {
        match byte {
            0..0x20 | 0x7f | b'\\' => line.extend(format!("\\x{byte:02x}").bytes()),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_byte_exact() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = |root: &Path| content_digest(root, &Limits::STANDARD).unwrap();
        assert_eq!(digest(dir.path()).as_str(), empty);
        std::fs::create_dir_all(at("bin/x")).unwrap();
        for (name, mode) in [("bin/tool", 0o4510), ("bin-a", 0o664), ("new\nline\\", 0o600)] {
            io::Write::write_all(&mut File::create(at(name)).unwrap(), b"hi").unwrap();
            let permissions = std::fs::Permissions::from_mode(mode & 0o777);
            std::fs::set_permissions(at(name), permissions).unwrap();
        }
        std::os::unix::fs::symlink("bin/tool", at("link")).unwrap();
        let hi = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
        let target = hex(&sha2::Sha256::digest("bin/tool"));
        let expected = format!(
            "d 0755 0 - bin\nf 0644 2 {hi} bin-a\nf 0755 2 {hi} bin/tool\nd 0755 0 - bin/x\n\
             l 0777 8 {target} link\nf 0644 2 {hi} new\\x0aline\\x5c\n"
        );
        let mut found = lines(dir.path(), &Limits::STANDARD).unwrap();
        found.sort();
        let found: Vec<u8> = found.into_iter().flat_map(|(_, line)| line).collect();
        assert_eq!(String::from_utf8(found).unwrap(), expected);
        assert_eq!(digest(dir.path()), Sha256::of(expected.as_bytes()));
    }

    #[test]
    fn what_has_no_place_in_a_list_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(
            content_digest(dir.path(), &Limits::STANDARD).unwrap_err().kind(),
            crate::bundle::Kind::Refused
        );
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(
            content_digest(dir.path(), &Limits::STANDARD).unwrap_err().kind(),
            crate::bundle::Kind::Refused
        );
    }
}
