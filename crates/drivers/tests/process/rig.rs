//! A state directory with releases whose apps are shell scripts, and the truth about what lives.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use groundcrew_drivers::bundle::Sha256;
use groundcrew_drivers::keeper::client::{self, Exe};
use groundcrew_drivers::keeper::spec::{KeepSpec, Stop, StopSignal};
use groundcrew_drivers::runtimes::process::ProcessRuntime;
use groundcrew_drivers::source::directory::release_dir;
use groundcrew_engine::noun::{AppName, Digest, Fault, Release, TxnId};
use groundcrew_engine::plan::{Installed, Procedure, StopSpec, Volume};
use groundcrew_engine::ports::{
    CommandOrder, Observed, Purpose, Runtime as _, StartOrder, StopOrder, SwitchOrder,
};
use rustix::process::{Pid, Signal, kill_process};

/// How long a level is waited for before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for a script that fails, short for one that does not.
const SETTLE: Duration = Duration::from_millis(300);

/// An app that runs until it is stopped.
pub(crate) const SLEEPS: &str = "echo up; exec sleep 1000";

pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) txn: TxnId,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        Self { dir, txn: TxnId::from("txn-1") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap()
    }

    pub(crate) fn runtime(&self) -> ProcessRuntime {
        ProcessRuntime::new(&self.path(), &app(), exe()).settling(SETTLE)
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.path().join("runs/app")
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path().join("data").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.data(name)).unwrap_or_default()
    }

    /// A pid that a script wrote, once it did.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        wait_for(name, || self.read(name).ends_with('\n').then(|| self.read(name)))
            .trim()
            .parse()
            .unwrap()
    }

    /// A release whose app is this script; its working directory is its content, `$DATA` its data.
    pub(crate) fn release(&self, version: &str, script: &str) -> Installed {
        self.release_with(version, script, "sh\", \"{release}/app.sh", "")
    }

    pub(crate) fn migrating(&self, script: &str) -> Installed {
        let up = format!("[migrate]\nup = [\"sh\", \"-c\", '''{script}''']\n");
        self.release_with("2.0.0", SLEEPS, "sh\", \"{release}/app.sh", &up)
    }

    pub(crate) fn release_with(
        &self,
        version: &str,
        script: &str,
        command: &str,
        more: &str,
    ) -> Installed {
        let content = Sha256::of(script.as_bytes());
        let toml = format!(
            "schema = 1\napp = \"app\"\nversion = \"{version}\"\nplatform = \"any\"\n\
             content = \"{content}\"\n[run]\ncommand = [\"{command}\"]\n{more}"
        );
        let digest = Sha256::of(toml.as_bytes()).to_string();
        let dir = release_dir(&self.path(), "app", &Digest(digest.clone()));
        fs::create_dir_all(dir.join("files")).unwrap();
        for (name, text) in [("release.toml", toml.as_str()), ("files/app.sh", script)] {
            put(&dir.join(name), text);
        }
        fs::set_permissions(dir.join("files/app.sh"), fs::Permissions::from_mode(0o644)).unwrap();
        let release = Release {
            version: version.to_owned(),
            digest: Digest(digest.clone()),
            revision: None,
            published_ms: None,
            data_epoch: None,
            data_compatible_from: None,
            migration: None,
        };
        let data = self.path().join("data").to_str().unwrap().to_owned();
        let env = serde_json::json!({"DATA": data, "TEST_RIG": self.path(), "TEST_DIGEST": digest});
        let procedure = Procedure {
            stop: StopSpec { grace_ms: 10_000, ..StopSpec::default() },
            volumes: [("data".into(), Volume { path: data })].into(),
            launch: serde_json::json!({ "env": env }),
            ..Procedure::default()
        };
        Installed { release, config: "config-1".into(), procedure }
    }

    pub(crate) fn put_in_place(&self, to: &Installed) {
        let order = SwitchOrder { to: Some(to), txn: &self.txn, back: false };
        self.runtime().switch(&order).unwrap();
    }

    pub(crate) fn start(&self, installed: &Installed, run: &str) -> Result<(), Fault> {
        let order = StartOrder { installed, txn: &self.txn, run, attended: true };
        self.runtime().start(&order)
    }

    /// Puts it in place and starts it, which has to work.
    pub(crate) fn up(&self, script: &str) -> Installed {
        let installed = self.release("1.0.0", script);
        self.put_in_place(&installed);
        self.start(&installed, "start-0").unwrap();
        installed
    }

    pub(crate) fn observe(&self) -> Observed {
        self.runtime().observe().unwrap()
    }

    pub(crate) fn output(&self) -> Vec<String> {
        self.runtime().output()
    }

    pub(crate) fn stop(&self, installed: &Installed) -> groundcrew_engine::machine::StopReport {
        let order = StopOrder { installed: Some(installed), txn: &self.txn };
        self.runtime().stop(&order).unwrap()
    }

    pub(crate) fn migrate(&self, installed: &Installed, timeout_ms: u64) -> Result<(), Fault> {
        let purpose = Purpose::Migrate;
        let order = CommandOrder { installed, txn: &self.txn, purpose, timeout_ms };
        self.runtime().run(&order)
    }

    pub(crate) fn hook(
        &self,
        installed: &Installed,
        command: &[&str],
        timeout_ms: u64,
    ) -> Result<(), Fault> {
        let purpose = Purpose::Hook(command.iter().map(|word| (*word).to_owned()).collect());
        let order = CommandOrder { installed, txn: &self.txn, purpose, timeout_ms };
        self.runtime().run(&order)
    }

    /// A spec as the runtime would write it, for an agent that is to be killed.
    pub(crate) fn spec(&self, installed: &Installed, attempt: &str, script: &str) -> KeepSpec {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let digest = installed.release.digest.as_str();
        let mut spec = KeepSpec::new("app", self.txn.as_str(), attempt, digest, argv, self.path());
        spec.seq = 1;
        for (name, value) in installed.procedure.launch.get("env").unwrap().as_object().unwrap() {
            spec.env.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        spec
    }

    /// Every process that lives with this rig's environment: release and pid.
    pub(crate) fn alive(&self) -> Vec<(Digest, i32)> {
        let mine = format!("TEST_RIG={}", self.path().display());
        let look = |entry: fs::DirEntry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environ = fs::read(entry.path().join("environ")).ok()?;
            let environ = String::from_utf8_lossy(&environ).into_owned();
            let mut entries = environ.split('\0');
            if !entries.any(|entry| entry == mine) || !is_alive(pid) {
                return None;
            }
            let digest = environ.split('\0').find_map(|e| e.strip_prefix("TEST_DIGEST="))?;
            Some((Digest(digest.to_owned()), pid))
        };
        fs::read_dir("/proc").unwrap().filter_map(|entry| look(entry.unwrap())).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let stopped = client::runs(&self.runs()).and_then(|runs| {
            let now = Stop::new(StopSignal::Term, Duration::ZERO);
            runs.iter().try_for_each(|run| client::stop(&run.dir, now).map(drop))
        });
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

pub(crate) fn app() -> AppName {
    AppName::from("app")
}

pub(crate) fn exe() -> Exe {
    Exe { program: env!("CARGO_BIN_EXE_keep-for-tests").into(), args: vec!["keep".into()] }
}

pub(crate) fn put(path: &Path, text: &str) {
    use std::io::Write as _;
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Waits for a level; how often it looks has no influence on the outcome.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process runs; one that only waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']))
}
