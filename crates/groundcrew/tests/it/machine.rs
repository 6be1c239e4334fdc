//! A machine with systemd as its init: a container in a directory, booted from this host's `/usr`.
//!
//! Nothing has to be downloaded or unpacked for it: `/usr` is this host's, read-only, `/usr/local`
//! and everything else are its own. It has a control group of its own, so that several may run at a
//! time, and shares the host's network, so that its apps can be asked from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use groundcrew_rig::host::Ran;

use crate::bench::{BINARY, Bench};

/// How long it may take to boot or to go down; it takes two seconds.
const BOOT_MAX: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(50);
/// Tells a systemd that is PID 1 to power off.
const POWER_OFF: i32 = 4;
/// Where the bench's directory and the program under test lie in the machine.
const BENCH: &str = "/srv/bench";
pub(crate) const PROGRAM: &str = "/opt/groundcrew";
/// Units of the host's `/usr` that have no work in a container.
const MASKED: [&str; 6] = [
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-logind.service",
    "systemd-udevd.service",
    "getty.target",
];

/// The machine.
pub(crate) struct Machine {
    pub(crate) bench: Bench,
    root: tempfile::TempDir,
    groups: Vec<PathBuf>,
    nspawn: Child,
    init: i32,
}

impl Machine {
    /// Boots a machine whose configuration is the bench's.
    pub(crate) fn boot(bench: Bench) -> Self {
        for program in ["systemd-nspawn", "nsenter"] {
            let there = Path::new("/usr/bin").join(program).exists();
            let install = "apt-get install -y --no-install-recommends systemd systemd-container";
            assert!(there, "{program} is missing; as root: {install}");
        }
        let root = rustix::process::geteuid().is_root();
        assert!(root, "a machine is booted by root: sudo cargo xtask test");
        let root = tree(&bench);
        let groups = groups();
        let script = r#"for group in "$@"; do
            [ "$group" = -- ] && break; echo $$ > "$group/cgroup.procs"; shift; done
            shift; exec systemd-nspawn "$@""#;
        let bind = |from: &Path, to: &str| format!("--bind={}:{to}", from.display());
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(&groups).arg("--");
        command
            .args(["--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe", "-D"])
            .arg(root.path())
            .arg(format!("--machine=gc-{}", unique()))
            .args(["--bind-ro=/usr", &bind(&root.path().join("local"), "/usr/local")])
            .args([bind(&bench.path(""), BENCH), format!("--bind-ro={BINARY}:{PROGRAM}")])
            .args(["--", "systemd.unit=multi-user.target"]);
        let log = fs::File::create(bench.path("boot.log")).unwrap();
        command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log);
        let nspawn = command.spawn().unwrap();
        let mut machine = Self { bench, root, groups, nspawn, init: 0 };
        machine.wait_for_init();
        machine.until("it is up", |machine| {
            let state = machine.run(&["systemctl", "is-system-running"]).out;
            ["running", "degraded"].contains(&state.trim())
        });
        machine
    }

    fn wait_for_init(&mut self) {
        let parent = self.nspawn.id().to_string();
        let deadline = Instant::now() + BOOT_MAX;
        while self.init == 0 {
            let ended = self.nspawn.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", self.story());
            std::thread::sleep(TICK);
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let Some((head, rest)) = stat.rsplit_once(')') else { continue };
                let is_child = rest.split_whitespace().nth(1) == Some(parent.as_str());
                if is_child && head.ends_with("(systemd") {
                    self.init = entry.file_name().to_str().unwrap().parse().unwrap();
                }
            }
        }
    }

    /// Runs a command in the machine.
    pub(crate) fn run(&self, argv: &[&str]) -> Ran {
        let init = self.init.to_string();
        let output = Command::new("nsenter")
            .args(["-t", &init, "-a", "env", "-i", "PATH=/usr/local/bin:/usr/bin:/usr/sbin"])
            .args(argv)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// One value of the agent's unit.
    pub(crate) fn unit(&self, property: &str) -> String {
        let argv = ["systemctl", "show", "groundcrew", "--value", "--property", property];
        self.run(&argv).ends(0).out.trim().to_owned()
    }

    /// A path in the machine, seen from here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + BOOT_MAX;
        while !is(self) {
            assert!(Instant::now() < deadline, "{what}: not in time\n{}", self.story());
            std::thread::sleep(TICK);
        }
    }

    pub(crate) fn story(&self) -> String {
        let journal = ["journalctl", "--no-pager", "-n", "80", "-u", "groundcrew*"];
        let log = if self.init == 0 { String::new() } else { self.run(&journal).out };
        let boot = fs::read_to_string(self.bench.path("boot.log")).unwrap_or_default();
        format!("{log}\n{boot}")
    }

    /// Has it go down, and waits until it is gone.
    pub(crate) fn power_off(&mut self) {
        if self.init == 0 || self.nspawn.try_wait().unwrap().is_some() {
            return;
        }
        let signal = format!("-{}", libc_sigrtmin() + POWER_OFF);
        Command::new("kill").args([&signal, &self.init.to_string()]).status().unwrap();
        let deadline = Instant::now() + BOOT_MAX;
        while self.nspawn.try_wait().unwrap().is_none() && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
    }
}

/// The first real-time signal that a C library leaves to programs, on Linux.
fn libc_sigrtmin() -> i32 {
    34
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        // What did not go down by itself is ended: the init takes all of its container along.
        for pid in [Pid::from_raw(self.init), Some(Pid::from_child(&self.nspawn))] {
            if let (Some(pid), Ok(None)) = (pid, self.nspawn.try_wait()) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
        self.nspawn.wait().ok();
        self.groups.iter().for_each(|group| remove_group(group));
    }
}

fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    format!("{}-{count}", std::process::id())
}

/// The machine's own files.
fn tree(bench: &Bench) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    for dir in ["etc/systemd/system", "etc/groundcrew", "proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir_all(path(dir)).unwrap();
    }
    for dir in ["var/lib", "var/log", "root", "usr", "local", "srv/bench", "opt"] {
        fs::create_dir_all(path(dir)).unwrap();
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), path(link)).unwrap();
    }
    for unit in MASKED {
        std::os::unix::fs::symlink("/dev/null", path("etc/systemd/system").join(unit)).unwrap();
    }
    let config = fs::read_to_string(bench.path("groundcrew.toml")).unwrap();
    let config = config.replace(bench.path("").to_str().unwrap().trim_end_matches('/'), BENCH);
    let config = config.replace(BINARY, PROGRAM);
    for (name, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
        ("etc/os-release", "ID=test\n"),
        ("etc/machine-id", ""),
        ("etc/groundcrew/groundcrew.toml", &config),
    ] {
        let mut file = fs::File::create(path(name)).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
    root
}

/// A control group of our own in each tree that systemd uses.
fn groups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let is_its = |line: &&str| {
        let fields: Vec<&str> = line.split(' ').collect();
        fields.get(2) == Some(&"cgroup2")
            || fields
                .get(3)
                .is_some_and(|options| options.split(',').any(|one| one == "name=systemd"))
    };
    let mut groups = Vec::new();
    // One name in all trees: nspawn takes it from one and makes it in the other.
    let name = format!("gc-test-{}", unique());
    for line in mounts.lines().filter(is_its) {
        let group = Path::new(line.split(' ').nth(1).unwrap()).join(&name);
        // A host that gives us none lets the machine share ours.
        if fs::create_dir(&group).is_ok() {
            groups.push(group);
        }
    }
    groups
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    for _ in 0..100 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(TICK)
            }
            _ => return,
        }
    }
}
