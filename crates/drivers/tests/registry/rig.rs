//! A real registry for the tests: Debian's `docker-registry` on a port of its own, and what is
//! pushed into it.
//!
//! What is pushed goes through a plain instance on the same storage, so that the instances with
//! passwords and certificates need no pusher of their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use groundcrew_drivers::bundle::Sha256;
use groundcrew_drivers::source::registry::manifest::{OCI_INDEX, OCI_MANIFEST};
use serde_json::{Value, json};

/// The password of `joe` and its bcrypt hash, as `htpasswd -B` writes it.
pub(crate) const PASSWORD: &str = "hunter2";
const HTPASSWD: &str = "joe:$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm\n";

/// How a registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Password,
    Tls,
}

/// A registry that ends with the test.
pub(crate) struct Registry {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
}

impl Registry {
    /// Starts one on this storage and waits until it listens.
    pub(crate) fn start(dir: &Path, kind: Kind) -> Registry {
        let config = dir.join(format!("{kind:?}.yml"));
        let mut text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:0\n",
            dir.join("storage").display()
        );
        match kind {
            Kind::Plain => {}
            Kind::Password => {
                let path = dir.join("htpasswd");
                put(&path, HTPASSWD);
                text.push_str(&format!(
                    "auth:\n  htpasswd: {{realm: rig, path: {}}}\n",
                    path.display()
                ));
            }
            Kind::Tls => {
                certificates(dir);
                text.push_str(&format!(
                    "  tls: {{certificate: {0}/host.pem, key: {0}/host.key}}\n",
                    dir.display()
                ));
            }
        }
        put(&config, &text);
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts: apt-get install -y docker-registry");
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).unwrap();
            assert!(read > 0, "docker-registry ended before it listened");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split([',', '"', ' ']).next().unwrap().to_owned();
            }
        };
        // It is never stopped by a full pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Registry { child, address }
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/{rest}", self.address)
    }

    /// Uploads a blob.
    pub(crate) fn blob(&self, name: &str, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        let begun = ureq::post(self.url(&format!("{name}/blobs/uploads/"))).send_empty().unwrap();
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let put = ureq::put(format!("{place}&digest={digest}"));
        put.header("content-type", "application/octet-stream").send(bytes).unwrap();
        digest
    }

    /// Uploads a manifest under a tag or its digest.
    pub(crate) fn manifest(
        &self,
        name: &str,
        reference: &str,
        kind: &str,
        content: &Value,
    ) -> Sha256 {
        let bytes = serde_json::to_vec(content).unwrap();
        let digest = Sha256::of(&bytes);
        let reference = if reference.is_empty() { digest.as_str() } else { reference };
        let url = self.url(&format!("{name}/manifests/{reference}"));
        ureq::put(url).header("content-type", kind).send(&bytes[..]).unwrap();
        digest
    }

    /// Uploads an image for one platform and returns its manifest's digest and size.
    pub(crate) fn image(&self, name: &str, tag: &str, image: &Image) -> (Sha256, usize) {
        let (os, arch) = image.platform.split_once('/').unwrap();
        let config = json!({
            "os": os, "architecture": arch, "created": "2026-01-02T03:04:05Z",
            "config": { "Labels": image.labels, "Env": image.env },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let layer = format!("layer of {:?}", image.labels).into_bytes();
        let content = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
            "annotations": image.annotations,
        });
        self.blob(name, &config);
        self.blob(name, &layer);
        let size = serde_json::to_vec(&content).unwrap().len();
        (self.manifest(name, tag, OCI_MANIFEST, &content), size)
    }

    /// Uploads an index of images.
    pub(crate) fn index(&self, name: &str, tag: &str, images: &[Image]) -> Sha256 {
        let entries: Vec<Value> = images
            .iter()
            .map(|image| {
                let (digest, size) = self.image(name, "", image);
                let (os, arch) = image.platform.split_once('/').unwrap();
                json!({ "mediaType": OCI_MANIFEST, "digest": digest.as_str(), "size": size,
                        "platform": { "os": os, "architecture": arch } })
            })
            .collect();
        let content = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        self.manifest(name, tag, OCI_INDEX, &content)
    }

    /// Uploads a thing that is no image: each part has a media type, bytes and annotations.
    pub(crate) fn artifact(
        &self,
        name: &str,
        tag: &str,
        kind: &str,
        parts: &[(&str, &[u8], BTreeMap<String, String>)],
    ) -> (Sha256, usize) {
        self.blob(name, b"{}");
        let layers: Vec<Value> = parts
            .iter()
            .map(|(media_type, bytes, annotations)| {
                self.blob(name, bytes);
                let mut one = descriptor(media_type, bytes);
                one["annotations"] = json!(annotations);
                one
            })
            .collect();
        let content = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": kind,
            "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": layers,
        });
        let size = serde_json::to_vec(&content).unwrap().len();
        (self.manifest(name, tag, OCI_MANIFEST, &content), size)
    }

    /// Says under the tag of old that artifacts refer to a manifest.
    pub(crate) fn refer(&self, name: &str, to: &Sha256, kind: &str, artifacts: &[(Sha256, usize)]) {
        let entries: Vec<Value> = artifacts
            .iter()
            .map(|(digest, size)| {
                json!({ "mediaType": OCI_MANIFEST, "digest": digest.as_str(), "size": size,
                        "artifactType": kind })
            })
            .collect();
        let content = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        self.manifest(name, &to.as_str().replace(':', "-"), OCI_INDEX, &content);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An image that says nothing of itself, for this host.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) platform: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) env: Vec<String>,
}

pub(crate) fn pairs(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl Image {
    /// An image of this version and commit.
    pub(crate) fn of(version: &str, revision: &str) -> Image {
        let labels = pairs(&[
            ("org.opencontainers.image.version", version),
            ("org.opencontainers.image.revision", revision),
            ("org.opencontainers.image.source", "https://git.lan/tiles"),
        ]);
        let host = groundcrew_drivers::source::registry::platform::Host::here();
        let platform = format!("{}/{}", host.os, host.architecture);
        Image { platform, labels, annotations: BTreeMap::new(), env: Vec::new() }
    }

    /// The same for another platform.
    pub(crate) fn on(mut self, platform: &str) -> Image {
        self.platform = platform.to_owned();
        self
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    let digest = Sha256::of(bytes);
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
}

pub(crate) fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Runs openssl in a directory.
pub(crate) fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(dir).output();
    let output = output.expect("openssl starts: apt-get install -y openssl");
    assert!(output.status.success(), "openssl {args:?}: {output:?}");
}

/// A CA (`ca.pem`), a certificate of it for this host (`host.pem`), and a CA of somebody else
/// (`other.pem`).
fn certificates(dir: &Path) {
    if dir.join("host.pem").exists() {
        return;
    }
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    for name in ["ca", "other"] {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let own = ["req", "-x509", "-subj", "/CN=rig", "-keyout", &key, "-out", &pem];
        openssl(dir, &[own.as_slice(), &curve].concat());
    }
    let wish = ["req", "-subj", "/CN=registry", "-keyout", "host.key", "-out", "host.csr"];
    openssl(dir, &[wish.as_slice(), &curve[..5]].concat());
    put(&dir.join("host.ext"), "subjectAltName=IP:127.0.0.1\n");
    let sign = ["x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let to = ["-CAcreateserial", "-days", "2", "-extfile", "host.ext", "-out", "host.pem"];
    openssl(dir, &[sign.as_slice(), &to].concat());
}

/// A directory that goes with the test.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Dir {
        Dir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
