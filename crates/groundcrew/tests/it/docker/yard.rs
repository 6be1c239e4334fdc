//! A Docker Engine, a registry and a host that looks after the container `web`, in one network of the
//! test's own.
//!
//! The network is that of a process which does nothing else, so that it stays while the engine dies and
//! comes back. The engine is the first process of a namespace: whatever it started goes with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use groundcrew_rig::host::{DEADLINE, Host, Places, Ran, reached};

use crate::bench::BINARY;

/// The image that the app follows, and its tag.
const IMAGE: &str = "127.0.0.1:5000/team/web";
const TAG: &str = "127.0.0.1:5000/team/web:stable";

/// What the container runs: it notes its start in its data, and says how it is.
const SERVE: &str = r#"#!/bin/sh
echo "up as $VERSION"
echo "$VERSION" >> /data/starts
[ "$HEALTH" = dies ] && exit 3
mkdir -p /www
echo "{\"status\":\"${HEALTH:-ok}\"}" > /www/health
echo "$VERSION" > /www/version
httpd -f -p 8080 -h /www &
trap 'kill $!; exit 0' TERM
wait
"#;

/// Lines of the engine's log that are shown.
const LOG_LINES: usize = 20;

const APPLETS: [&str; 8] = ["sh", "echo", "cat", "mkdir", "httpd", "grep", "kill", "sleep"];

/// How the app is asked in most tests.
const BY_HTTP: &str = r#"{ http = "http://127.0.0.1:8080/health", json = { status = "ok" }, version_at = "/version", interval = "100ms", startup_interval = "100ms", start_within = "3s", passes = 2, failures = 2 }"#;

pub(crate) struct Yard {
    pub(crate) host: Host,
    engine: Child,
    registry: Child,
    network: Child,
    dir: tempfile::TempDir,
}

impl Yard {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = network();
        let registry = registry(dir.path(), &network);
        let engine = engine(dir.path(), &network);
        let program = dir.path().join("groundcrew");
        let script = format!("#!/bin/sh\nexec {} {BINARY} \"$@\"\n", joined(&network).join(" "));
        write_program(&program, &script);
        let host = Host::new(&program, Places::below(dir.path())).unwrap();
        let mut yard = Self { host, engine, registry, network, dir };
        yard.wait_for_engine();
        yard.make_files();
        yard.configure(BY_HTTP);
        yard
    }

    /// The engine and all containers are killed, and the engine is started again.
    pub(crate) fn kill_engine(&mut self) {
        self.engine.kill().unwrap();
        self.engine.wait().unwrap();
        fs::remove_file(self.path("pid")).ok();
        // As `/run` after a boot: what is noted there of processes is no longer so.
        fs::remove_dir_all(self.path("exec")).unwrap();
    }

    fn wait_for_engine(&mut self) {
        let up = reached(DEADLINE, || {
            assert!(self.engine.try_wait().unwrap().is_none(), "{}", self.engine_log());
            self.client(&["info"]).output().unwrap().status.success()
        });
        assert!(up, "{}", self.engine_log());
    }

    pub(crate) fn engine_log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration of `web`, with how it is asked.
    pub(crate) fn configure(&self, health: &str) {
        let socket = self.path("d.sock");
        self.configure_as(&format!(
            "poll = \"100ms\"\n\
             source = {{ kind = \"oci\", image = \"{IMAGE}\", channel = \"stable\", plain_http = true }}\n\
             runtime = {{ kind = \"docker\", container = \"web\", socket = \"{}\" }}\n\
             health = {health}\n\
             volumes = {{ data = {{ mount = \"/data\" }} }}\n\
             watch = {{ window = \"3500ms\", interval = \"100ms\", failures = 4 }}",
            socket.display()
        ));
    }

    /// The table of `web` as it is.
    pub(crate) fn configure_as(&self, table: &str) {
        let tables = format!("[clock]\nsynchronized = \"always\"\n[apps.web]\n{table}\n");
        self.host.configure(&tables).unwrap();
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut client = Command::new("/usr/bin/docker");
        let host = format!("unix://{}", self.path("d.sock").display());
        client.args(words).env("DOCKER_HOST", host).stdin(Stdio::null());
        client
    }

    /// What the engine's own client prints.
    #[track_caller]
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let output = self.client(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {words:?}: {said}\n{}", self.engine_log());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn inspect(&self, name: &str) -> Value {
        let shown: Value = serde_json::from_str(&self.docker(&["inspect", name])).unwrap();
        shown[0].clone()
    }

    /// Name and state of each container.
    pub(crate) fn containers(&self) -> Vec<(String, String)> {
        let listed = self.docker(&["ps", "--all", "--format", "{{.Names}} {{.State}}"]);
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut all: Vec<_> = listed.lines().filter_map(pair).collect();
        all.sort();
        all
    }

    /// Makes an image and has the channel name it; `health`: `ok`, `bad` or `dies`, `changes` as in a
    /// Dockerfile.
    pub(crate) fn offer(&self, version: &str, health: &str, changes: &[&str]) {
        self.push(version, health, changes);
        // It is fetched from the registry, as everywhere else.
        self.docker(&["rmi", TAG]);
    }

    fn push(&self, version: &str, health: &str, changes: &[&str]) {
        let (env, health) = (format!("ENV VERSION={version}"), format!("ENV HEALTH={health}"));
        let label = format!("LABEL org.opencontainers.image.version={version}");
        let tar = self.path("image.tar");
        let mut words = vec!["import"];
        let all = [env.as_str(), &health, &label, "CMD [\"/serve\"]"];
        words.extend(all.iter().chain(changes).flat_map(|change| ["--change", change]));
        words.extend([tar.to_str().unwrap(), TAG]);
        self.docker(&words);
        self.docker(&["push", "--quiet", TAG]);
    }

    /// Somebody runs a release by hand, as people do.
    pub(crate) fn run_by_hand(&self, version: &str, changes: &[&str]) {
        self.push(version, "ok", changes);
        let how =
            "run -d --name web --restart unless-stopped -v webdata:/data -p 8080:8080 -e OWNER=me";
        let mut words: Vec<&str> = how.split(' ').collect();
        words.push(TAG);
        self.docker(&words);
    }

    fn make_files(&self) {
        let files = self.path("image");
        fs::create_dir_all(files.join("bin")).unwrap();
        fs::copy("/bin/busybox", files.join("bin/busybox"))
            .expect("apt-get install -y busybox-static");
        for applet in APPLETS {
            symlink("busybox", files.join("bin").join(applet)).unwrap();
        }
        write_program(&files.join("serve"), SERVE);
        let tar = ["-C", files.to_str().unwrap(), "-cf", "image.tar", "."];
        let made = Command::new("tar").args(tar).current_dir(self.dir.path()).status();
        assert!(made.unwrap().success());
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.host.run(args).unwrap()
    }

    pub(crate) fn view(&self) -> Value {
        self.host.view("web").unwrap()
    }

    /// What is asked from outside, at the port that its owner published.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.network.id())).unwrap();
        let path = path.to_owned();
        // A thread of its own, because it stays in that network.
        let asking = std::thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).unwrap();
            groundcrew_rig::http::get(8080, &path)
        });
        Some(asking.join().unwrap()?.body.trim().to_owned())
    }

    /// The files below a directory and one below that.
    pub(crate) fn files(&self, dir: &str) -> Vec<String> {
        let list = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
        let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut all = Vec::new();
        for entry in list(self.path(dir)) {
            let within = list(entry.path()).map(|one| format!("{}/{}", name(&entry), name(&one)));
            let before = all.len();
            all.extend(within);
            if all.len() == before {
                all.push(name(&entry));
            }
        }
        all
    }

    /// The versions that were started on this data, oldest first: what lies in the volume.
    pub(crate) fn starts(&self) -> Vec<String> {
        let path = self.path("root/volumes/webdata/_data/starts");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.host.give_up();
        // Without containers nothing of it is left outside of its namespaces.
        let listed = self.client(&["ps", "--all", "--quiet"]).output();
        for id in listed.map(|all| all.stdout).unwrap_or_default().split(|byte| *byte == b'\n') {
            let id = String::from_utf8_lossy(id);
            if !id.is_empty() {
                self.client(&["rm", "--force", "--volumes", &id]).output().ok();
            }
        }
        for child in [&mut self.engine, &mut self.registry, &mut self.network] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn write_program(path: &Path, text: &str) {
    // Written by a process that ends: a program that any thread's child holds open cannot be run.
    let script = "cat >\"$0\" && chmod 755 \"$0\"";
    let mut shell = Command::new("sh");
    let mut child = shell.args(["-c", script]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o755);
}

/// A network with nothing but itself; it goes with whoever reads from this test.
fn network() -> Child {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("apt-get install -y iproute2 util-linux");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    child
}

/// Words before a command that is to be in the network.
fn joined(network: &Child) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", network.id())]
}

fn in_network(network: &Child) -> Command {
    let words = joined(network);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

fn engine(dir: &Path, network: &Child) -> Child {
    let script = "exec dockerd --data-root $0/root --exec-root $0/exec -H unix://$0/d.sock -p $0/pid \
                  >>$0/log 2>&1";
    // A test that is killed takes it along.
    in_network(network)
        .args(["setpriv", "--pdeathsig", "KILL"])
        .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", script])
        .arg(dir)
        .spawn()
        .expect("apt-get install -y docker.io iproute2 util-linux")
}

fn registry(dir: &Path, network: &Child) -> Child {
    let config = dir.join("registry.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
         http:\n  addr: 127.0.0.1:5000\n",
        dir.join("registry").display()
    );
    fs::File::create(&config)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .unwrap();
    let log = fs::File::create(dir.join("registry.log")).unwrap();
    in_network(network)
        .args(["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve"])
        .arg(&config)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("apt-get install -y docker-registry")
}
