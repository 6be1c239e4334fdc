//! Signatures of `release.toml` and of channels, in the format of minisign.
//!
//! Only signatures over the hash are taken (the default of minisign since 0.8), not the legacy
//! kind.

use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

use super::read::read_limited;
use super::{Error, SIGNATURE_BYTES_MAX};

/// A public key, and the file that it came from.
#[derive(Debug, Clone)]
pub struct Key {
    path: PathBuf,
    key: PublicKey,
}

impl Key {
    /// Reads the public key that `minisign -G` wrote.
    ///
    /// # Errors
    /// `Unreachable` if the file cannot be read, `Refused` if it holds no key.
    pub fn read(path: &Path) -> Result<Key, Error> {
        let text = text(&read_limited(path, SIGNATURE_BYTES_MAX)?);
        let key = PublicKey::decode(&text)
            .map_err(|error| Error::refused(path, format!("it holds no public key: {error}")))?;
        Ok(Key { path: path.to_owned(), key })
    }

    /// Checks that `signature`, the text of a `.minisig` file, was made for `bytes` with this key.
    /// `path` is what was signed, for the error. Returns the trusted comment.
    ///
    /// # Errors
    /// `Refused`.
    pub fn check(
        &self,
        path: &Path,
        bytes: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<String, Error> {
        let fail =
            |why: String| Error::Signature { path: path.to_owned(), key: self.path.clone(), why };
        let signature = signature.ok_or_else(|| fail("there is none".to_owned()))?;
        let signature =
            Signature::decode(&text(signature)).map_err(|error| fail(error.to_string()))?;
        self.key.verify(bytes, &signature, false).map_err(|error| fail(error.to_string()))?;
        Ok(signature.trusted_comment().to_owned())
    }
}

/// What is not UTF-8 becomes something that no decoder takes.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
