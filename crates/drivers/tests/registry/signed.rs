//! Images signed with a key as cosign does it (SRC-4); openssl signs.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groundcrew_drivers::bundle::Sha256;
use groundcrew_engine::ports::{Follow, Silent, Source as _, SourceErrorKind};

use groundcrew_drivers::source::registry::{Notes, Pauses, RegistrySource};
use groundcrew_engine::noun::Digest;

use crate::asking::Small;
use crate::rig::{Dir, Image, Kind, Registry, openssl, pairs, put};
use crate::server::{Reply, Server};
use crate::source::{Fake, REVISION, open, release, settings};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A fresh key: `NAME.key` and `NAME.pub`.
fn key(dir: &Path, name: &str) {
    let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
    openssl(dir, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
    openssl(dir, &["ec", "-in", &key, "-pubout", "-out", &public]);
}

/// The signature of these bytes, as base64.
fn sign(dir: &Dir, key: &str, bytes: &str) -> String {
    put(&dir.at("bytes"), bytes);
    let key = format!("{key}.key");
    openssl(dir.path(), &["dgst", "-sha256", "-sign", &key, "-out", "signature", "bytes"]);
    STANDARD.encode(std::fs::read(dir.at("signature")).unwrap())
}

fn payload(digest: &Sha256) -> String {
    format!(
        "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"team/tiles\"}},\"image\":\
         {{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"cosign container image signature\"}},\
         \"optional\":null}}"
    )
}

/// A layer with a signature by this key over this payload.
fn layer(dir: &Dir, key: &str, payload: &str) -> BTreeMap<String, String> {
    pairs(&[("dev.cosignproject.cosign/signature", &sign(dir, key, payload))])
}

fn tag_of(digest: &Sha256) -> String {
    format!("{}.sig", digest.as_str().replace(':', "-"))
}

struct Rig {
    dir: Dir,
    registry: Registry,
    digest: Sha256,
}

impl Rig {
    fn new() -> Rig {
        let dir = Dir::new();
        let registry = Registry::start(dir.path(), Kind::Plain);
        let digest = registry.index("team/tiles", "stable", &[Image::of("1.0.0", REVISION)]);
        key(dir.path(), "ours");
        key(dir.path(), "theirs");
        Rig { dir, registry, digest }
    }

    /// Signs with these keys over these payloads, all under the image's tag.
    fn signed(&self, by: &[(&str, &str)]) {
        let layers: Vec<_> = by
            .iter()
            .map(|(key, payload)| {
                (SIMPLE_SIGNING, payload.as_bytes(), layer(&self.dir, key, payload))
            })
            .collect();
        self.registry.artifact("team/tiles", &tag_of(&self.digest), "", &layers);
    }

    fn fetch(&self) -> Result<(), String> {
        let mut settings = settings(&self.registry.address, "stable");
        settings.cosign_key = Some(self.dir.at("ours.pub"));
        let mut source = open(settings);
        let offered = source.find(&Follow::Channel);
        let serial = offered.as_ref().ok().and_then(|found| found.as_ref()?.serial);
        assert_eq!(serial, Some(0), "a tag that nobody signed moves nobody back");
        let found = release(offered);
        let looked = source.look().unwrap();
        let fetched = source.fetch(&found, &mut Silent);
        assert_eq!(looked.signed, Some(fetched.is_ok()), "a look says what a fetch does");
        assert_eq!(source.verify(&found.digest).is_ok(), fetched.is_ok(), "nothing unsigned comes");
        fetched.map(drop).map_err(|error| {
            assert_eq!(error.kind, SourceErrorKind::Refuse);
            error.text
        })
    }
}

#[test]
fn only_what_the_key_signed_for_this_image_is_fetched() {
    let rig = Rig::new();
    let error = rig.fetch().unwrap_err();
    let sign = format!(
        "sign it: cosign sign --key KEY {}/team/tiles@{}",
        rig.registry.address, rig.digest
    );
    assert!(error.contains("there is no signature of it"), "{error}");
    assert!(error.contains(&sign) && error.contains("groundcrew unblock tiles"), "{error}");

    let good = payload(&rig.digest);
    rig.signed(&[("theirs", &good)]);
    let error = rig.fetch().unwrap_err();
    assert!(
        error.contains("none of 1 signatures of it is of") && error.contains("ours.pub"),
        "{error}"
    );

    // A true signature, moved here from another image.
    let other = payload(&Sha256::of(b"another image"));
    rig.signed(&[("ours", &other)]);
    let error = rig.fetch().unwrap_err();
    assert!(error.contains("1 of that key are for another image"), "{error}");

    // The payload says this image and the signature is over another payload.
    let moved = layer(&rig.dir, "ours", &other);
    let parts = [(SIMPLE_SIGNING, good.as_bytes(), moved)];
    rig.registry.artifact("team/tiles", &tag_of(&rig.digest), "", &parts);
    assert!(rig.fetch().is_err());

    rig.signed(&[("theirs", &good), ("ours", &other), ("ours", &good)]);
    assert_eq!(rig.fetch(), Ok(()), "one good signature is enough");
}

/// How cosign 3 signs: an envelope around a statement, as a thing that refers to the image.
#[test]
fn a_signature_may_come_in_a_bundle_that_refers_to_the_image() {
    let rig = Rig::new();
    let bundle = |key: &str, digest: &Sha256, kind: &str| {
        let hex = digest.as_str().strip_prefix("sha256:").unwrap();
        let statement = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{{\"digest\":\
             {{\"sha256\":\"{hex}\"}}}}],\"predicateType\":\"{kind}\",\"predicate\":{{}}}}"
        );
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        format!(
            "{{\"mediaType\":\"{BUNDLE}\",\"verificationMaterial\":{{}},\"dsseEnvelope\":\
             {{\"payload\":\"{}\",\"payloadType\":\"{kind}\",\"signatures\":[{{\"sig\":\"{}\"}}]}}}}",
            STANDARD.encode(&statement),
            sign(&rig.dir, key, &signed)
        )
    };
    let unlisted = {
        // A thing of another kind with a good bundle in it is none.
        let text = bundle("ours", &rig.digest, "https://sigstore.dev/cosign/sign/v1");
        let parts = [(BUNDLE, text.as_bytes(), BTreeMap::new())];
        rig.registry.artifact("team/tiles", "", "application/spdx+json", &parts)
    };
    rig.registry.refer("team/tiles", &rig.digest, BUNDLE, &[unlisted]);
    assert!(rig.fetch().is_err());
    let attach = |text: &str| {
        let parts = [(BUNDLE, text.as_bytes(), BTreeMap::new())];
        let artifact = rig.registry.artifact("team/tiles", "", BUNDLE, &parts);
        // What a pusher keeps as the list names the kind of the configuration.
        let listed = "application/vnd.oci.empty.v1+json";
        rig.registry.refer("team/tiles", &rig.digest, listed, &[artifact]);
        rig.fetch()
    };
    let signing = "https://sigstore.dev/cosign/sign/v1";
    assert!(attach(&bundle("theirs", &rig.digest, signing)).is_err());
    let another = Sha256::of(b"another image");
    assert!(attach(&bundle("ours", &another, signing)).is_err());
    let provenance = "https://slsa.dev/provenance/v1";
    assert!(
        attach(&bundle("ours", &rig.digest, provenance)).is_err(),
        "that says how it was built"
    );
    assert!(attach("{}").is_err());
    assert_eq!(attach(&bundle("ours", &rig.digest, signing)), Ok(()));
}

/// Somebody may have pulled it by hand.
#[test]
fn an_image_that_is_here_already_has_to_be_signed_too() {
    let rig = Rig::new();
    let mut settings = settings(&rig.registry.address, "stable");
    settings.cosign_key = Some(rig.dir.at("ours.pub"));
    let here = Fake(vec![Digest(rig.digest.to_string())]);
    let mut source = RegistrySource::new(settings, Box::new(here), Pauses::default());
    let found = release(source.find(&Follow::Channel));
    assert_eq!(source.verify(&found.digest), Ok(()));
    let error = source.fetch(&found, &mut Silent).unwrap_err();
    assert!(error.text.contains("there is no signature of it"), "{error}");
    rig.signed(&[("ours", &payload(&rig.digest))]);
    assert_eq!(source.fetch(&found, &mut Silent), Ok(found));
}

#[test]
fn a_key_that_cannot_be_read_is_never_left_out() {
    let rig = Rig::new();
    rig.signed(&[("ours", &payload(&rig.digest))]);
    let mut settings = settings(&rig.registry.address, "stable");
    for (path, why) in [("nothing.pub", "cannot read"), ("ours.key", "BEGIN PUBLIC KEY")] {
        settings.cosign_key = Some(rig.dir.at(path));
        let mut source = open(settings.clone());
        let found = release(source.find(&Follow::Channel));
        let error = source.fetch(&found, &mut Silent).unwrap_err();
        assert_eq!(error.kind, SourceErrorKind::Host);
        assert!(error.text.contains(why), "{error}");
    }
}

/// Registries that know the question are asked it, with the kind that is wanted.
#[test]
fn what_refers_to_an_image_is_asked_of_the_registry_itself() {
    let note = b"# 1.0.0\n".to_vec();
    let kind = groundcrew_drivers::source::registry::notes::ARTIFACT;
    let mut layer = crate::rig::descriptor("text/markdown", &note);
    layer["annotations"] = serde_json::json!({ "org.opencontainers.image.title": "1.0.0.md" });
    let artifact = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "artifactType": kind, "layers": [layer],
        "config": crate::rig::descriptor("application/vnd.oci.empty.v1+json", b"{}"),
    }))
    .unwrap();
    let mut entry = crate::rig::descriptor("application/vnd.oci.image.manifest.v1+json", &artifact);
    entry["artifactType"] = serde_json::json!(kind);
    let list = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let (of_artifact, of_note) = (Sha256::of(&artifact), Sha256::of(&note));
    let server = Server::new(move |asked| {
        let kind = ("content-type", "application/vnd.oci.image.manifest.v1+json".to_owned());
        if asked.path.contains("/referrers/") {
            Reply::With(200, Vec::new(), list.clone().into_bytes())
        } else if asked.path.ends_with(of_artifact.as_str()) {
            Reply::With(200, vec![kind], artifact.clone())
        } else if asked.path.ends_with(of_note.as_str()) {
            Reply::With(200, Vec::new(), note.clone())
        } else {
            Small::new().answer(asked)
        }
    });
    let mut settings = settings(&server.address, "stable");
    settings.notes = Some(Notes::Referrer);
    let found = open(settings).find(&Follow::Channel).unwrap().unwrap();
    assert_eq!(found.notes.unwrap()[0].bytes, b"# 1.0.0\n");
    let asked = server.asked();
    let question =
        format!("GET /v2/team/tiles/referrers/{}?artifactType={kind}", Small::new().digest());
    assert!(asked.contains(&question), "{asked:?}");
    assert!(!asked.iter().any(|one| one.contains("manifests/sha256-")), "{asked:?}");
}
