//! Release bundles: what a release is made of, how it is named, checked, signed and unpacked.
//!
//! **A source directory** holds, per app, releases and channels:
//!
//! ```text
//! <root>/<app>/<version>/            a bundle as a directory, or
//! <root>/<app>/<version>.tar.zst     the same tree as an archive
//! <root>/<app>/channels/<name>.toml  where the channel points: version, digest, serial
//! ```
//!
//! **A bundle** holds, and holds nothing else:
//!
//! ```text
//! release.toml           what it is; in an archive the first entry
//! release.toml.minisig   its signature, if any; in an archive the second entry
//! files/                 the content that runs
//! notes/<version>.md     release notes, of this release and of those before
//! ```
//!
//! **Names.** The release's digest is SHA-256 over the bytes of `release.toml`, spelled `sha256:`
//! and 64 lower-case hexadecimal digits. `release.toml` names the content by the digest of its
//! canonical list ([`digest`]), and a signature covers `release.toml`; so one digest or one
//! signature stands for every byte that runs. The notes decide whether a person is asked (GATE-3),
//! so they are named the same way, by `notes_content`: it is checked wherever it is there, and where
//! a signature is asked for, notes without it are refused, since anybody could have changed them.
//!
//! **Order.** Digest and signature of `release.toml` are checked before anything is written; then
//! all is copied into `<destination>.partial`, a directory as well as an archive; then the copy is
//! checked, made durable and renamed. What was swapped in between is found in the copy. Nothing is
//! ever written outside of the copy, whatever names an archive holds.
//!
//! Every number that a bundle could make large has a limit in [`Limits`].

mod archive;
mod digest;
mod error;
mod publish;
mod read;
mod release;
mod sign;
mod sink;
mod unpack;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub use digest::content_digest;
pub use error::{Error, Kind};
pub use publish::{
    Moved, Published, Sealed, Verified, move_channel, publish, seal_in_place, verify,
};
pub use read::{Bundle, Channel, Head, read_channel, versions};
pub use release::{Migrate, ReleaseToml, Run, SCHEMA, Sha256};
pub(crate) use release::{default_timeout, parse_duration};
pub use sign::Key;
pub use unpack::{Expected, Unpacked, notes, unpack, unpack_counting, verify_unpacked};
pub use write::{Content, FileToWrite, seal, write, write_channel};

/// How large things in a bundle may be. What is larger is refused before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files, directories and symlinks.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of one path.
    pub path_bytes: usize,
}

impl Limits {
    /// What we take unless a test wants less: a JavaScript app has a hundred thousand files, a
    /// model a few gigabytes, and the kernel takes paths of 4096 bytes with ours before them.
    pub const STANDARD: Limits = Limits { entries: 200_000, bytes: 16 << 30, path_bytes: 1024 };
}

/// How long `release.toml` and a channel may be, in bytes.
const TOML_BYTES_MAX: u64 = 64 * 1024;

/// How long a signature or a public key may be, in bytes.
const SIGNATURE_BYTES_MAX: u64 = 4 * 1024;

/// How long one file of notes may be, in bytes.
const NOTE_BYTES_MAX: u64 = 1024 * 1024;

/// How large an archive may be whose notes are read before it is fetched, in bytes: all of it has
/// to be unpacked for that.
const PEEKED_ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// How many files of notes are read.
const NOTES_MAX: usize = 10_000;
