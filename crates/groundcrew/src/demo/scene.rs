//! The stage: one temporary directory with releases, data, state and a configuration.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use groundcrew_drivers::bundle::{
    self, Channel, Content, FileToWrite, Migrate, ReleaseToml, Sha256,
};
use groundcrew_drivers::durable::{self, Site};
use groundcrew_engine::notes::NoteFile;

use super::Trouble;

/// The demo's app.
pub(super) const APP: &str = "ledger";
/// The releases that the demo publishes.
const VERSIONS: &[&str] = &["1.0.0", "1.1.0", "1.1.1", "1.2.0", "2.0.0"];

/// The stage.
#[derive(Debug)]
pub(super) struct Scene {
    root: PathBuf,
    port: u16,
    exe: PathBuf,
    kept: std::cell::Cell<bool>,
}

impl Scene {
    /// Sets it.
    pub(super) fn set() -> Result<Self, Trouble> {
        let name = format!("groundcrew-demo-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let exe = std::env::current_exe().context("cannot find this binary")?;
        // The port is free now; should somebody take it meanwhile, the first step says so.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .context("no free port on the loopback interface")?
            .port();
        let scene = Self { root, port, exe, kept: std::cell::Cell::new(false) };
        for dir in ["releases", "data", "script-data", "run"] {
            durable::create_dir_all(&scene.root.join(dir), 0o755, Site::Release)?;
        }
        for version in VERSIONS {
            scene.publish(version)?;
        }
        let config = scene.configuration();
        durable::write(&scene.config(), config.as_bytes(), 0o644, Site::Release)?;
        Ok(scene)
    }

    /// Where everything lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// This binary.
    pub(super) fn exe(&self) -> &Path {
        &self.exe
    }

    /// The app's port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The configuration.
    pub(super) fn config(&self) -> PathBuf {
        self.root.join("groundcrew.toml")
    }

    /// The busy flag.
    pub(super) fn busy_flag(&self) -> PathBuf {
        self.root.join("run/in-flight")
    }

    /// The file with the app's rows.
    pub(super) fn rows(&self) -> PathBuf {
        self.root.join("data/rows.ledger")
    }

    /// Leaves everything where it is.
    pub(super) fn keep(&self) {
        self.kept.set(true);
    }

    /// Points the channel at a version.
    pub(super) fn offer(&self, version: &str) -> Result<(), Trouble> {
        let releases = self.root.join("releases");
        let path = releases.join(APP).join(version).join("release.toml");
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let channel = Channel {
            version: version.to_owned(),
            digest: Sha256::of(&bytes),
            serial: None,
            signed: false,
        };
        Ok(bundle::write_channel(&releases, APP, "stable", &channel)?)
    }

    /// A release is a script of one line that runs this binary as the service.
    fn publish(&self, version: &str) -> Result<(), Trouble> {
        let exe = self.exe.display();
        let serve = format!("#!/bin/sh\nexec '{exe}' demo-app --release {version} \"$@\"\n");
        let migrate =
            format!("#!/bin/sh\nexec '{exe}' demo-app migrate --release {version} \"$@\"\n");
        let port = self.port.to_string();
        let words = ["bin/ledger", "--data", "{volume.data}", "--port", &port];
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        let mut release = ReleaseToml::draft(APP, version, command);
        let migrates = !matches!(version, "1.0.0" | "1.1.1");
        if migrates {
            let up = ["bin/migrate", "--data", "{volume.data}"];
            release.migrate = Some(Migrate {
                up: up.iter().map(|word| (*word).to_owned()).collect(),
                down: None,
                timeout: std::time::Duration::from_secs(60),
            });
        }
        let file = |path, text: &'_ str| (path, text.as_bytes().to_vec());
        let mut scripts = vec![file("bin/ledger", &serve)];
        if migrates {
            scripts.push(file("bin/migrate", &migrate));
        }
        let files: Vec<FileToWrite<'_>> = scripts
            .iter()
            .map(|(path, bytes)| FileToWrite {
                path,
                content: Content::Bytes(bytes),
                executable: true,
            })
            .collect();
        let dir = self.root.join("releases").join(APP).join(version);
        bundle::write(&dir, &release, &files, &notes(version))?;
        Ok(())
    }

    fn configuration(&self) -> String {
        let root = self.root.display();
        let port = self.port;
        format!(
            r#"# Written by `groundcrew demo`. Windows are far shorter than anybody should have them.
schema  = 1
profile = "server"

[paths]
state = "{root}/state"
run   = "{root}/run"

[busy]
path = "{root}/run/in-flight"

[defaults]
poll  = "1s"
watch = {{ window = "4s", interval = "250ms", failures = 8, on_degraded = "version+data" }}

[apps.{APP}]
source  = {{ kind = "directory", path = "{root}/releases", channel = "stable" }}
runtime = {{ kind = "process", restart = "on-failure" }}
stop    = {{ signal = "SIGTERM", grace = "5s" }}
volumes = {{ data = {{ path = "{root}/data" }} }}

[apps.{APP}.health]
http = "http://127.0.0.1:{port}/health"
json = {{ status = "ok" }}
version_at = "/version"
timeout = "1s"
start_within = "2s"
startup_interval = "100ms"
interval = "200ms"
passes = 2
failures = 2
"#
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.kept.get() {
            // A leftover in the temporary directory harms nobody.
            durable::remove_tree(&self.root, Site::Prune).ok();
        }
    }
}

fn notes(version: &str) -> Vec<NoteFile> {
    let text = match version {
        "1.1.0" => "Rows carry a checksum. The data is migrated by itself.\n",
        "1.2.0" => "A smaller data format. The data is migrated by itself.\n",
        "2.0.0" => "# Breaking changes\n\nBefore upgrading, tell the people who read the file.\n",
        _ => "Small corrections.\n",
    };
    vec![NoteFile { version: version.to_owned(), bytes: text.as_bytes().to_vec() }]
}
