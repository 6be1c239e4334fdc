//! `pulled.json` beside a flight at its source: that all of it is somewhere else, and where.
//!
//! Written after the copy is verified and durable, and never replaced by another of the same
//! contents, so that it tells of the first pull. Its digest is the SHA-256 of what `sha256sum` says
//! of the flight's files in the order of their paths:
//!
//! ```text
//! find manifest.json segments thumbnails -type f | LC_ALL=C sort | xargs sha256sum | sha256sum
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Its name in the flight's directory.
pub(super) const RECEIPT: &str = "pulled.json";
/// The longest that is read, bytes; it has some 300.
pub(super) const RECEIPT_MAX: u64 = 4096;
/// The version of its shape.
const SCHEMA: u32 = 1;

/// That a flight was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    schema: u32,
    /// When, milliseconds since 1970 by the clock of whoever pulled it.
    pulled_ms: u64,
    /// To which host.
    host: String,
    /// To which directory there.
    path: String,
    /// Files.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// The digest of all of them.
    pub(super) sha256: String,
}

/// A file as it is, for the digest of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Where it lies in the flight's directory.
    pub(super) path: String,
    /// Its length, bytes.
    pub(super) len: u64,
    /// Its SHA-256 as hexadecimal digits.
    pub(super) sha256: String,
}

impl Receipt {
    /// One for these files.
    pub(super) fn new(files: &[Known], pulled_ms: u64, host: String, path: String) -> Self {
        Self {
            schema: SCHEMA,
            pulled_ms,
            host,
            path,
            files: u64::try_from(files.len()).unwrap_or(u64::MAX),
            bytes: files.iter().map(|file| file.len).sum(),
            sha256: digest(files),
        }
    }

    /// What a file says; `None`: it is no receipt that we know.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|receipt: &Self| receipt.schema == SCHEMA)
    }

    /// It in one line.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The digest of these files.
pub(super) fn digest(files: &[Known]) -> String {
    let mut lines: Vec<&Known> = files.iter().collect();
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    let mut all = Sha256::new();
    lines.iter().for_each(|file| all.update(format!("{}  {}\n", file.sha256, file.path)));
    hex(all)
}

/// A hash as hexadecimal digits.
pub(super) fn hex(hash: Sha256) -> String {
    use std::fmt::Write as _;
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string can be written to");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn one_command_computes_the_digest_of_a_receipt() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("segments")).unwrap();
        std::fs::create_dir_all(dir.path().join("thumbnails")).unwrap();
        let mut files = Vec::new();
        for path in ["segments/seg_00001.bin", "manifest.json", "segments/seg_00000.bin"] {
            let mut file = std::fs::File::create(dir.path().join(path)).unwrap();
            std::io::Write::write_all(&mut file, path.as_bytes()).unwrap();
            let sha256 = hex(Sha256::new_with_prefix(path));
            let len = u64::try_from(path.len()).unwrap();
            files.push(Known { path: path.to_owned(), len, sha256 });
        }
        let script = "find manifest.json segments thumbnails -type f | LC_ALL=C sort \
                      | xargs sha256sum | sha256sum";
        let said = Command::new("sh").args(["-c", script]).current_dir(&dir).output().unwrap();
        let receipt = Receipt::new(&files, 1, "bench".into(), "/r".into());
        assert_eq!(String::from_utf8(said.stdout).unwrap(), format!("{}  -\n", receipt.sha256));
        assert_eq!(Receipt::read(receipt.line().as_bytes()), Some(receipt));
        for strange in ["", "{}", "{\"schema\":2}"] {
            assert_eq!(Receipt::read(strange.as_bytes()), None);
        }
    }
}
