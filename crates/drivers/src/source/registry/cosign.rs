//! Signatures of images as cosign makes them with a key (SRC-4).
//!
//! ```text
//! <repository>:sha256-<hex>.sig     a manifest; each layer is a payload that names the digest,
//!                                   its signature stands in an annotation
//! referrers of <digest>             a bundle: an envelope (DSSE) with a statement that names it
//! ```
//!
//! Both are read. One good signature is enough; what was made for another image or with another key
//! counts as none. The key is an ECDSA key on P-256, as `cosign generate-key-pair` makes it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;

use super::client::{Client, tag_of};
use super::error::Error;
use super::read_file;
use crate::bundle::Sha256;

/// A public key file, in bytes.
const KEY_MAX_BYTES: u64 = 16 * 1024;

/// What is signed, or a bundle, in bytes.
const PAYLOAD_MAX_BYTES: usize = 256 * 1024;

/// Signatures that are tried.
const SIGNATURES_MAX: usize = 50;

/// Bytes before the point in the usual encoding of a P-256 public key (RFC 5480): a sequence, the
/// two identifiers, and a bit string of 66 bytes.
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of an uncompressed point.
const POINT_BYTES: usize = 65;

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const PAYLOAD_TYPE: &str = "cosign container image signature";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A public key, and the file that it came from.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
    point: Vec<u8>,
}

impl Key {
    /// Reads the public key that `cosign generate-key-pair` wrote.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no such key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = read_file(path, KEY_MAX_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        let point = point(&text).map_err(|why| Error::Here {
            path: path.to_owned(),
            why: format!("{why}; `cosign public-key` prints a fitting one"),
        })?;
        Ok(Self { path: path.to_owned(), point })
    }

    fn fits(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(signed, signature)
            .is_ok()
    }
}

fn point(text: &str) -> Result<Vec<u8>, &'static str> {
    let inner = text.split_once(PEM_BEGIN).and_then(|(_, rest)| rest.split_once(PEM_END));
    let (inner, _) = inner.ok_or("there is no -----BEGIN PUBLIC KEY----- in it")?;
    let inner: String = inner.split_whitespace().collect();
    let der = STANDARD.decode(inner).map_err(|_| "its key is not base64")?;
    let point = der.strip_prefix(&P256_HEAD).filter(|point| point.len() == POINT_BYTES);
    Ok(point.ok_or("its key is not an ECDSA key on P-256")?.to_vec())
}

/// Checks that the image of this digest was signed with the key.
///
/// # Errors
///
/// `Refuse`: it was not, and what was found instead.
pub fn check(client: &mut Client, digest: &Sha256, key: &Key) -> Result<(), Error> {
    let mut tried = Tried::default();
    if by_tag(client, digest, key, &mut tried)? || by_bundle(client, digest, key, &mut tried)? {
        return Ok(());
    }
    let Tried { signatures, others, .. } = tried;
    let found = match (signatures, others) {
        (0, _) => "there is no signature of it".to_owned(),
        (count, 0) => format!("none of {count} signatures of it is of {}", key.path.display()),
        (count, others) => format!(
            "none of {count} signatures of it is of {}; {others} of that key are for another image",
            key.path.display()
        ),
    };
    let image = format!("{}@{digest}", client.repository());
    let why = format!("{found}; sign it: cosign sign --key KEY {image}");
    Err(Error::Refused { image, why })
}

/// What was found of signatures that did not help.
#[derive(Debug, Default)]
struct Tried {
    /// All.
    signatures: usize,
    /// With the key, and for something else.
    others: usize,
}

impl Tried {
    /// Whether another one is tried.
    fn one_more(&mut self) -> bool {
        self.signatures += 1;
        self.signatures <= SIGNATURES_MAX
    }
}

fn by_tag(
    client: &mut Client,
    digest: &Sha256,
    key: &Key,
    tried: &mut Tried,
) -> Result<bool, Error> {
    let Some(manifest) = client.manifest(&format!("{}.sig", tag_of(digest)))? else {
        return Ok(false);
    };
    let layers = manifest.image.map(|image| image.layers).unwrap_or_default();
    for layer in layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING) {
        let signature = layer.annotations.as_ref().and_then(|all| all.get(SIGNATURE));
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        let (Some(signature), Some(of)) = (signature, Sha256::parse(&layer.digest)) else {
            continue;
        };
        if !tried.one_more() {
            return Ok(false);
        }
        let payload = client.blob(&of, PAYLOAD_MAX_BYTES)?;
        if key.fits(&payload, &signature) {
            if names(&payload, digest) {
                return Ok(true);
            }
            tried.others += 1;
        }
    }
    Ok(false)
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SignedImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether the payload of a signature is about this image.
fn names(payload: &[u8], digest: &Sha256) -> bool {
    let read: Result<Payload, _> = serde_json::from_slice(payload);
    read.is_ok_and(|Payload { critical }| {
        critical.kind == PAYLOAD_TYPE && critical.image.digest == digest.as_str()
    })
}

fn by_bundle(
    client: &mut Client,
    digest: &Sha256,
    key: &Key,
    tried: &mut Tried,
) -> Result<bool, Error> {
    for referrer in client.referrers(digest, BUNDLE)? {
        for layer in referrer.layers.iter().filter(|layer| layer.media_type == BUNDLE) {
            let Some(of) = Sha256::parse(&layer.digest) else { continue };
            if !tried.one_more() {
                return Ok(false);
            }
            let bundle = client.blob(&of, PAYLOAD_MAX_BYTES)?;
            match statement(&bundle, key) {
                Some(statement) if is_about(&statement, digest) => return Ok(true),
                Some(_) => tried.others += 1,
                None => {}
            }
        }
    }
    Ok(false)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// What a bundle says, if the key signed it.
fn statement(bundle: &[u8], key: &Key) -> Option<Vec<u8>> {
    let bundle: Bundle = serde_json::from_slice(bundle).ok()?;
    let Envelope { payload, payload_type, signatures } = bundle.dsse_envelope;
    if payload_type != IN_TOTO {
        return None;
    }
    let payload = STANDARD.decode(payload).ok()?;
    // What is signed is the payload with its type and both lengths before it (DSSE).
    let (kind_bytes, payload_bytes) = (payload_type.len(), payload.len());
    let mut signed = format!("DSSEv1 {kind_bytes} {payload_type} {payload_bytes} ").into_bytes();
    signed.extend_from_slice(&payload);
    let good = signatures
        .iter()
        .take(SIGNATURES_MAX)
        .any(|one| STANDARD.decode(&one.sig).is_ok_and(|signature| key.fits(&signed, &signature)));
    good.then_some(payload)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: std::collections::BTreeMap<String, String>,
}

/// Whether a statement says that this image was signed; others say other things, such as how it was
/// built.
fn is_about(statement: &[u8], digest: &Sha256) -> bool {
    let read: Result<Statement, _> = serde_json::from_slice(statement);
    let wanted = digest.as_str().strip_prefix("sha256:");
    read.is_ok_and(|Statement { subject, predicate_type }| {
        predicate_type == PREDICATE
            && subject.iter().any(|one| one.digest.get("sha256").map(String::as_str) == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_does_not_fit_is_said() {
        let all = [
            ("", "there is no -----BEGIN PUBLIC KEY-----"),
            ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "not base64"),
            ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "not an ECDSA key"),
        ];
        for (text, why) in all {
            assert!(point(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_payload_is_about_one_image_and_about_its_signature() {
        let digest = Sha256::of(b"image");
        let payload = |kind: &str, digest: &str| {
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"\"}},\
                 \"image\":{{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"{kind}\"}}}}"
            )
        };
        assert!(names(payload(PAYLOAD_TYPE, digest.as_str()).as_bytes(), &digest));
        assert!(!names(payload("another kind", digest.as_str()).as_bytes(), &digest));
        assert!(!names(payload(PAYLOAD_TYPE, Sha256::of(b"").as_str()).as_bytes(), &digest));
        assert!(!names(b"{}", &digest));
    }
}
