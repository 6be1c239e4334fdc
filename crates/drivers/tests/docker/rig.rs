//! A Docker Engine of the test's own, in namespaces of its own, and images for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use groundcrew_drivers::runtimes::docker::api::Api;
use groundcrew_drivers::runtimes::docker::{DockerRuntime, Settings};
use groundcrew_engine::noun::{AppName, Digest, Release, TxnId};
use groundcrew_engine::plan::{Installed, Procedure, StopSpec};
use groundcrew_engine::ports::{Runtime as _, StartOrder, StopOrder, SwitchOrder};
use serde_json::Value;

/// How long a level is waited for before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for a program that fails, short for one that does not.
const SETTLE: Duration = Duration::from_millis(300);

/// The app's container.
pub(crate) const NAME: &str = "app";

/// Runs until it is stopped, and says which image it is.
pub(crate) const SERVES: &str =
    "trap 'exit 0' TERM; echo up $VERSION; while true; do sleep 0.05; done";

/// An engine. Whatever it started goes with it: it is the first process of a namespace.
pub(crate) struct Engine {
    dir: tempfile::TempDir,
    process: Child,
}

impl Engine {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = spawn(dir.path());
        let mut engine = Self { dir, process };
        engine.wait_until_it_answers();
        engine
    }

    /// The power goes, and comes back.
    pub(crate) fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        fs::remove_file(self.path("pid")).ok();
        // As `/run` after a boot: what is noted there of processes is no longer so.
        fs::remove_dir_all(self.path("exec")).unwrap();
        self.process = spawn(self.dir.path());
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&mut self) {
        let begun = Instant::now();
        while self.api().get("/info").is_err() {
            let ended = self.process.try_wait().unwrap();
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{ended:?}: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("d.sock")
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(&self.socket())
    }

    /// What the engine's own client prints; it looks independently of ours.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let mut client = Command::new("/usr/bin/docker");
        let host = format!("unix://{}", self.socket().display());
        let output = client.args(words).env("DOCKER_HOST", host).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What the engine shows of a container.
    pub(crate) fn inspect(&self, name: &str) -> Value {
        self.api().get(&format!("/containers/{name}/json")).unwrap().unwrap()
    }

    /// Makes an image with busybox in it; `changes` as in a Dockerfile. Its id.
    pub(crate) fn image(&self, tag: &str, changes: &[&str]) -> Digest {
        let files = self.path("image");
        if !files.exists() {
            fs::create_dir_all(files.join("bin")).unwrap();
            fs::copy("/bin/busybox", files.join("bin/busybox")).unwrap();
            for applet in ["sh", "sleep", "cat", "echo", "true", "false", "env", "hostname", "ip"] {
                symlink("busybox", files.join("bin").join(applet)).unwrap();
            }
            let tar = ["-C", files.to_str().unwrap(), "-cf", "image.tar", "."];
            let made = Command::new("tar").args(tar).current_dir(self.dir.path()).status();
            assert!(made.unwrap().success());
        }
        let mut words = vec!["import"];
        words.extend(changes.iter().flat_map(|change| ["--change", change]));
        let tar = self.path("image.tar");
        words.extend([tar.to_str().unwrap(), tag]);
        Digest(self.docker(&words))
    }

    /// An image whose program is this script.
    pub(crate) fn app_image(&self, version: &str, script: &str) -> Digest {
        let command = serde_json::json!(["sh", "-c", script]);
        let (env, command) = (format!("ENV VERSION={version}"), format!("CMD {command}"));
        self.image(&format!("app:{version}"), &[&env, &command])
    }

    pub(crate) fn release(&self, version: &str, script: &str) -> Installed {
        installed(version, self.app_image(version, script))
    }

    /// The runtime of the app; `create`: what a first container is made with.
    pub(crate) fn runtime(&self, create: Option<Value>) -> DockerRuntime {
        self.runtime_at(&self.socket(), create)
    }

    /// The same, asking the engine through another socket.
    pub(crate) fn runtime_at(&self, socket: &Path, create: Option<Value>) -> DockerRuntime {
        let (socket, container) = (socket.to_owned(), NAME.to_owned());
        let settings = Settings { socket, container, image: None, create };
        DockerRuntime::new(&self.path("state"), &AppName::from(NAME), settings).settling(SETTLE)
    }

    /// Releases of which a container of the app runs, one entry per container.
    pub(crate) fn alive(&self) -> Vec<Digest> {
        let format = r#"{{.Names}} {{.ID}}"#;
        let listed = self.docker(&["ps", "--no-trunc", "--format", format]);
        let ids = listed.lines().filter_map(|line| {
            let (name, id) = line.split_once(' ')?;
            (name == NAME || name.starts_with("app.groundcrew-")).then_some(id)
        });
        ids.map(|id| Digest(self.docker(&["inspect", "--format", "{{.Image}}", id]))).collect()
    }

    /// Forgets all containers, and what groundcrew knows of them.
    pub(crate) fn clear(&self) {
        for id in self.docker(&["ps", "--all", "--quiet"]).lines() {
            self.docker(&["rm", "--force", "--volumes", id]);
        }
        fs::remove_dir_all(self.path("state")).unwrap();
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.inspect(name).pointer("/State/Running") == Some(&Value::Bool(true))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without containers nothing of it is left outside of its namespaces.
        let all = self.api().get("/containers/json?all=1").ok().flatten().unwrap_or_default();
        for one in all.as_array().into_iter().flatten() {
            let id = one.get("Id").and_then(Value::as_str).unwrap_or_default();
            self.api().delete(&format!("/containers/{id}?force=1&v=1")).ok();
        }
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn spawn(dir: &Path) -> Child {
    // First in its namespaces: what it starts ends with it, its mounts go and its ports are its own.
    let script = "ip link set lo up && exec dockerd --data-root $0/root --exec-root $0/exec \
                  -H unix://$0/d.sock -p $0/pid >$0/log 2>&1";
    let spaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    // A test that is killed takes it along.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(spaces)
        .args(["sh", "-c", script])
        .arg(dir)
        .stdin(Stdio::null())
        .spawn()
        .expect("apt-get install docker.io iproute2 util-linux")
}

pub(crate) fn installed(version: &str, digest: Digest) -> Installed {
    let release = Release {
        version: version.to_owned(),
        digest,
        revision: None,
        published_ms: None,
        data_epoch: None,
        data_compatible_from: None,
        migration: None,
    };
    let stop = StopSpec { grace_ms: 10_000, ..StopSpec::default() };
    Installed {
        release,
        config: "config-1".into(),
        procedure: Procedure { stop, ..Procedure::default() },
    }
}

pub(crate) fn wait_for(what: &str, mut level: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !level() {
        assert!(begun.elapsed() < PATIENCE, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stop, switch, start: what an update does to a container.
pub(crate) fn exchange(
    runtime: &mut DockerRuntime,
    from: &Installed,
    to: &Installed,
    txn: &str,
    back: bool,
) {
    let txn = &TxnId::from(txn);
    runtime.stop(&StopOrder { installed: Some(from), txn }).unwrap();
    runtime.switch(&SwitchOrder { to: Some(to), txn, back }).unwrap();
    let run = if back { "back-0" } else { "start-0" };
    for attended in [true, false] {
        runtime.start(&StartOrder { installed: to, txn, run, attended }).unwrap();
    }
}
