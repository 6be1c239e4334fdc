//! What a publisher does with a bundle that lies in a directory: seal it, check it as a host would,
//! put it into a source directory and point a channel at it.
//!
//! Sealing changes two lines of `release.toml` and leaves every other byte as its author wrote it.
//! Checking unpacks the bundle into a scratch directory, because only that is what a host does. A
//! version is published once: other content under the same name is refused, since hosts that have
//! the first one would never see the second.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;

use super::read::{app_dir, checked, read_limited};
use super::unpack::notes_digest;
use super::{
    Bundle, Channel, Error, Expected, Head, Key, Kind, Limits, ReleaseToml, Sha256, TOML_BYTES_MAX,
    Unpacked, content_digest, read_channel, unpack, verify_unpacked, write_channel,
};
use crate::durable::{self, Site, names, open_dir, os_str};

/// What may lie in a bundle.
const PARTS: [&str; 4] = ["files", "notes", "release.toml", "release.toml.minisig"];

/// A bundle that was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The release's digest.
    pub digest: Sha256,
    /// What `release.toml` says now.
    pub release: ReleaseToml,
    /// The keys that were put in, changed or taken out; empty: it was sealed already.
    pub changed: Vec<&'static str>,
    /// There is a signature that was made before the change.
    pub stale_signature: bool,
}

/// A bundle that a host would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub head: Head,
    /// The trusted comment of its signature, if a key was given.
    pub comment: Option<String>,
}

/// A bundle in a source directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What it says.
    pub head: Head,
    /// Where it lies.
    pub at: PathBuf,
    /// The same bundle lay there before.
    pub was_there: bool,
}

/// A channel that points at a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Where it pointed before; `None`: there was no such channel.
    pub from: Option<Channel>,
    /// Where it points now.
    pub to: Channel,
    /// There is a signature that was made before the change.
    pub stale_signature: bool,
}

/// Puts the digests of `files/` and `notes/` into the `release.toml` of the bundle in `dir`, and
/// leaves everything else in it as it is. Sealing twice changes nothing the second time.
///
/// # Errors
/// `Refused`, with file, line and column, for what no host would take; `Unreachable` or `Host` if
/// it cannot be read or written. Nothing is changed after an error.
pub fn seal_in_place(dir: &Path) -> Result<Sealed, Error> {
    let path = dir.join("release.toml");
    let bytes = read_limited(&path, TOML_BYTES_MAX)?;
    let draft = ReleaseToml::parse_unsealed(&path, &bytes)?;
    check_parts(dir)?;
    check_programs(dir, &draft)?;
    let release = ReleaseToml {
        content: content_digest(&dir.join("files"), &Limits::STANDARD)?,
        notes_content: notes_digest(dir, &Limits::STANDARD)?,
        ..draft.clone()
    };
    let text = std::str::from_utf8(&bytes).expect("it was parsed as text");
    let mut changed = Vec::new();
    let mut sealed = text.to_owned();
    if release.content != draft.content {
        changed.push("content");
        sealed = with_key(&sealed, "content", Some(release.content.as_str()));
    }
    if release.notes_content != draft.notes_content {
        changed.push("notes_content");
        let value = release.notes_content.as_ref().map(Sha256::as_str);
        sealed = with_key(&sealed, "notes_content", value);
    }
    // The lines were edited as text; what came out has to say what was meant.
    if ReleaseToml::parse(&path, sealed.as_bytes()).ok().as_ref() != Some(&release) {
        let why = "`content` and `notes_content` cannot be put in; give each a line of its own \
                   above the first `[table]`";
        return Err(Error::refused(&path, why));
    }
    if !changed.is_empty() {
        durable::write(&path, sealed.as_bytes(), 0o644, Site::Release)
            .map_err(Error::durable("write release.toml"))?;
    }
    let stale_signature = !changed.is_empty() && dir.join("release.toml.minisig").exists();
    Ok(Sealed { digest: Sha256::of(sealed.as_bytes()), release, changed, stale_signature })
}

/// Nothing else may lie in a bundle.
fn check_parts(dir: &Path) -> Result<(), Error> {
    let opened = open_dir(CWD, dir).map_err(|error| Error::read(dir, error))?;
    for name in names(&opened).map_err(|error| Error::read(dir, error))? {
        let name = os_str(&name);
        if !PARTS.iter().any(|part| *part == name) {
            let why = format!("a bundle holds {} and nothing else; move it away", PARTS.join(", "));
            return Err(Error::refused(&dir.join(name), why));
        }
    }
    Ok(())
}

/// A program of the release has to be in it, and executable.
fn check_programs(dir: &Path, release: &ReleaseToml) -> Result<(), Error> {
    let migrate = release.migrate.as_ref();
    let commands = [
        ("run.command", Some(&release.run.command)),
        ("migrate.up", migrate.map(|migrate| &migrate.up)),
        ("migrate.down", migrate.and_then(|migrate| migrate.down.as_ref())),
    ];
    for (key, command) in commands {
        let Some(program) = command.and_then(|words| words.first()) else { continue };
        // A bare name is looked for on the host as well, and a placeholder is known only there.
        if program.starts_with('/') || !program.contains('/') || program.contains('{') {
            continue;
        }
        let file = dir.join("files").join(program);
        let why = match file.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o100 != 0 => continue,
            Ok(_) => format!("{key} of release.toml runs it, and it is not an executable file"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                format!("{key} of release.toml runs it, and it is not there")
            }
            Err(error) => return Err(Error::read(&file, error)),
        };
        return Err(Error::refused(&file, why));
    }
    Ok(())
}

/// The text with a top-level key set to a text, or without the key.
fn with_key(text: &str, key: &str, value: Option<&str>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let top = lines.iter().position(|line| line.trim_start().starts_with('['));
    let top = top.unwrap_or(lines.len());
    let is_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let found = lines.iter().take(top).position(|line| is_key(line));
    let is_set = |line: &String| !line.trim_start().starts_with('#') && line.contains('=');
    let after = lines.iter().take(top).rposition(is_set).map_or(0, |last| last + 1);
    let line = |value: &str, comment: &str| format!("{key} = \"{value}\"{comment}");
    match (found, value) {
        (Some(at), Some(value)) => {
            if let Some(old) = lines.get_mut(at) {
                let comment = old.split_once('#').map(|(_, comment)| format!("  #{comment}"));
                *old = line(value, &comment.unwrap_or_default());
            }
        }
        (Some(at), None) => drop(lines.remove(at)),
        (None, Some(value)) => lines.insert(after, line(value, "")),
        (None, None) => {}
    }
    lines.join("\n") + "\n"
}

/// Checks a bundle as a host does that fetches it, in the directory `scratch`, which must not be
/// there and is gone on return.
///
/// # Errors
/// See [`Error::kind`].
pub fn verify(bundle: &Bundle, key: Option<&Key>, scratch: &Path) -> Result<Verified, Error> {
    let head = bundle.head()?;
    let comment = key.map(|key| head.check_signature(bundle.path(), key)).transpose()?;
    let expected = Expected { app: &head.release.app, digest: &head.digest, key };
    let found = unpack(bundle, scratch, &expected, &Limits::STANDARD);
    let removed = durable::remove_tree(scratch, Site::Prune);
    found?;
    removed.map_err(Error::durable("remove the copy that was checked"))?;
    Ok(Verified { head, comment })
}

/// Brings a bundle to `<root>/<app>/<version>`, checked and durable; the same one that lies there,
/// as a directory or as an archive, is left as it is.
///
/// # Errors
/// `Refused` if it is not whole or if other content has its name; see [`Error::kind`].
pub fn publish(bundle: &Bundle, root: &Path) -> Result<Published, Error> {
    root.read_dir().map_err(|error| Error::read(root, error))?;
    let head = bundle.head()?;
    let (app, version) = (&head.release.app, &head.release.version);
    let at = app_dir(root, app)?.join(checked(version)?);
    let expected = Expected { app, digest: &head.digest, key: None };
    match Bundle::find(root, app, version) {
        Ok(there) => {
            let found = there.head()?.digest;
            if found != head.digest {
                let why = format!(
                    "it is {found} and was published before; {} is {} and needs a version of its \
                     own",
                    bundle.path().display(),
                    head.digest
                );
                return Err(Error::refused(there.path(), why));
            }
            if let Bundle::Directory(dir) = &there {
                verify_unpacked(dir, &expected, &Limits::STANDARD)?;
            }
            // Whoever forgot to seal a change must not hear that it is published.
            match bundle {
                Bundle::Directory(dir) => {
                    verify_unpacked(dir, &expected, &Limits::STANDARD)?;
                }
                Bundle::Archive(_) => {
                    verify(bundle, None, &durable::parent(&at).join(format!(".{version}")))?;
                }
            }
            Ok(Published { head, at: there.path().to_owned(), was_there: true })
        }
        Err(error) if error.kind() == Kind::Unreachable => {
            let Unpacked { dir, head } = unpack(bundle, &at, &expected, &Limits::STANDARD)?;
            Ok(Published { head, at: dir, was_there: false })
        }
        Err(error) => Err(error),
    }
}

/// Points a channel at a release that was published. Without a serial a channel that has one gets
/// the next one.
///
/// # Errors
/// `Refused` for a serial that does not grow; see [`Error::kind`].
pub fn move_channel(
    root: &Path,
    release: &Published,
    name: &str,
    serial: Option<u64>,
) -> Result<Moved, Error> {
    let Head { digest, release, .. } = &release.head;
    let from = read_channel(root, &release.app, name, None)?;
    let seen = from.as_ref().and_then(|from| from.serial);
    let stays = from.as_ref().is_some_and(|from| {
        from.version == release.version
            && from.digest == *digest
            && serial.is_none_or(|serial| Some(serial) == seen)
    });
    if let (Some(from), true) = (&from, stays) {
        let to = from.clone();
        return Ok(Moved { from: Some(to.clone()), to, stale_signature: false });
    }
    let path = app_dir(root, &release.app)?.join("channels").join(format!("{name}.toml"));
    if let (Some(serial), Some(seen)) = (serial, seen)
        && serial <= seen
    {
        let why =
            format!("its serial is {seen}, and the next one has to be above it, not {serial}");
        return Err(Error::refused(&path, why));
    }
    let next = seen.map(|seen| seen.saturating_add(1));
    let (version, digest) = (release.version.clone(), digest.clone());
    let to = Channel { version, digest, serial: serial.or(next), signed: false };
    write_channel(root, &release.app, name, &to)?;
    let stale_signature = path.with_extension("toml.minisig").exists();
    Ok(Moved { from, to, stale_signature })
}
