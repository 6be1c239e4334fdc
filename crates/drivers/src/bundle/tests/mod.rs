//! Tests of bundles: the same release as a directory and as an archive, honest and hostile.

mod head;
mod hostile;
mod unpacking;
mod writing;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bundle, Error, Expected, Key, Kind, Limits, Sha256, Unpacked, content_digest, unpack};
use crate::durable::{self, Site};

/// A directory for one test; removes read-only directories too.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        durable::crash_after(None);
        durable::drop_site(None);
        durable::remove_tree(self.0.path(), Site::Prune).unwrap();
    }
}

pub(crate) fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn release_toml(content: &Sha256) -> String {
    format!(
        r#"schema = 1
app = "tiles"
version = "1.1.0"
revision = "0123456789abcdef0123456789abcdef01234567"
published = 2026-11-21T10:00:00Z
platform = "x86_64-linux"
data_epoch = 3
data_compatible_from = "1.0.0"
content = "{content}"
notes = "notes/"

[run]
command = ["bin/tiles", "--data", "{{volume.data}}", "--port", "8080"]

[migrate]
up = ["bin/tiles", "migrate"]
timeout = "10m"
"#
    )
}

/// A bundle as a directory, in a source directory.
fn make_bundle(root: &Path) -> PathBuf {
    let dir = root.join("tiles/1.1.0");
    put(&dir.join("files/bin/tiles"), b"#!/bin/sh\n");
    set_mode(&dir.join("files/bin/tiles"), 0o755);
    put(&dir.join("files/share/data"), &vec![7; 300_000]);
    put(&dir.join("files").join("n".repeat(200)).join("m".repeat(200)), b"long");
    fs::create_dir_all(dir.join("files/empty")).unwrap();
    std::os::unix::fs::symlink("../share/data", dir.join("files/bin/data")).unwrap();
    fs::hard_link(dir.join("files/bin/tiles"), dir.join("files/bin/again")).unwrap();
    put(&dir.join("notes/1.1.0.md"), b"# 1.1.0\n");
    put(&dir.join("notes/1.0.0.md"), b"# 1.0.0\n");
    seal(&dir);
    dir
}

/// Writes the `release.toml` that fits the content.
fn seal(dir: &Path) {
    let content = content_digest(&dir.join("files"), &Limits::STANDARD).unwrap();
    let notes = content_digest(&dir.join("notes"), &Limits::STANDARD).unwrap();
    let text = release_toml(&content)
        .replace("notes = \"notes/\"", &format!("notes = \"notes/\"\nnotes_content = \"{notes}\""));
    put(&dir.join("release.toml"), text.as_bytes());
}

fn digest_of(dir: &Path) -> Sha256 {
    Sha256::of(&fs::read(dir.join("release.toml")).unwrap())
}

/// Packs a bundle as its publisher would.
pub(crate) fn pack(dir: &Path) -> PathBuf {
    let path = PathBuf::from(format!("{}.tar.zst", dir.display()));
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    for name in ["release.toml", "release.toml.minisig"] {
        if dir.join(name).exists() {
            builder.append_path_with_name(dir.join(name), name).unwrap();
        }
    }
    for name in ["files", "notes"] {
        builder.append_dir_all(name, dir.join(name)).unwrap();
    }
    put(&path, &zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap());
    path
}

fn unpack_to(
    bundle: &Path,
    destination: &Path,
    digest: &Sha256,
    key: Option<&Key>,
) -> Result<Unpacked, Error> {
    let expected = Expected { app: "tiles", digest, key };
    unpack(&Bundle::at(bundle), destination, &expected, &Limits::STANDARD)
}

/// A key pair of minisign, made for one test.
pub(crate) struct Signer {
    pub(crate) dir: PathBuf,
    key: Key,
}

impl Signer {
    pub(crate) fn new(dir: PathBuf) -> Signer {
        fs::create_dir_all(&dir).unwrap();
        let (public, secret) = (dir.join("key.pub"), dir.join("key"));
        minisign(&["-G", "-W", "-p", text(&public), "-s", text(&secret)]);
        Signer { key: Key::read(&public).unwrap(), dir }
    }

    /// Writes `<path>.minisig`.
    pub(crate) fn sign(&self, path: &Path) {
        let secret = self.dir.join("key");
        minisign(&["-S", "-W", "-s", text(&secret), "-m", text(path), "-t", "for a test"]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn minisign(arguments: &[&str]) {
    let output = Command::new("minisign").args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot run minisign ({error}); install it: apt-get install minisign")
    });
    assert!(output.status.success(), "minisign {arguments:?}: {output:?}");
}
