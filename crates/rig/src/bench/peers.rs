//! Others that replace a running app: a shell script, runit, supervisord, and nobody at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::host::reached;
use crate::ledger::Ledger;
use crate::subject::Subject as _;

/// How long a peer may take to bring its app up or down.
const WITHIN: Duration = Duration::from_secs(20);

/// Copies the data, as people's update scripts do.
const SCRIPT: &str = r#"#!/bin/sh
set -e
cd "$1"
kill "$(cat pid)"
while [ -e "/proc/$(cat pid)/exe" ]; do sleep 0.01; done
rm -rf data.before
cp -a data data.before
./run > /dev/null 2>&1 &
echo $! > pid
"#;

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Signal, wait, spawn: what the app itself needs.
    Bare,
    /// [`SCRIPT`].
    Script,
    /// `sv restart`.
    Runit,
    /// `supervisorctl restart`.
    Supervisord,
}

/// One of them with the demo app running under it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) kind: Kind,
    pub(super) ledger: Ledger,
    dir: PathBuf,
    child: Option<Child>,
}

impl Peer {
    /// Its name in tables.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Bare => "stop and start alone",
            Kind::Script => "script with cp",
            Kind::Runit => "runit",
            Kind::Supervisord => "supervisord",
        }
    }

    /// Brings the app up under it; `None` where it is not installed.
    pub(super) fn start(kind: Kind, program: &Path, dir: &Path, rows: u64) -> Result<Option<Self>> {
        let wanted = match kind {
            Kind::Bare | Kind::Script => "sh",
            Kind::Runit => "runsv",
            Kind::Supervisord => "supervisord",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|dir| dir.join(wanted).is_file()) {
            return Ok(None);
        }
        fs::create_dir_all(dir).context("cannot make a directory")?;
        let ledger = Ledger::new(program, dir.join("data"))?;
        let mut peer = Self { kind, ledger, dir: dir.to_owned(), child: None };
        let (program, port) = (program.display(), peer.ledger.port());
        let run = format!(
            "#!/bin/sh\nexec {program} demo-app --release 1.1.1 --data {}/data --port {port}\n",
            dir.display()
        );
        peer.executable("run", &run)?;
        peer.executable("restart", SCRIPT)?;
        peer.bring_up()?;
        peer.until_up()?;
        if !(1..=rows).all(|row| peer.ledger.write(row).is_some()) {
            bail!("{} does not take rows", peer.name());
        }
        Ok(Some(peer))
    }

    fn executable(&self, name: &str, text: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.join(name);
        let mut file = fs::File::create(&path).context("cannot write a script")?;
        std::io::Write::write_all(&mut file, text.as_bytes()).context("cannot write a script")?;
        file.set_permissions(fs::Permissions::from_mode(0o755)).context("cannot write a script")
    }

    fn bring_up(&mut self) -> Result<()> {
        let mut command = match self.kind {
            Kind::Bare | Kind::Script => Command::new(self.dir.join("run")),
            Kind::Runit => {
                let mut command = Command::new("runsv");
                command.arg(&self.dir);
                command
            }
            Kind::Supervisord => {
                let dir = self.dir.display();
                let text = format!(
                    "[supervisord]\nnodaemon=true\nlogfile={dir}/log\npidfile={dir}/pidfile\n\
                     [unix_http_server]\nfile={dir}/sock\n\
                     [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = \
                     supervisor.rpcinterface:make_main_rpcinterface\n\
                     [supervisorctl]\nserverurl=unix://{dir}/sock\n\
                     [program:app]\ncommand={dir}/run\n"
                );
                self.executable("conf", &text)?;
                let mut command = Command::new("supervisord");
                command.arg("-c").arg(self.dir.join("conf"));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot start a peer")?;
        self.executable("pid", &child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    fn until_up(&self) -> Result<()> {
        if reached(WITHIN, || self.ledger.version().is_some()) {
            return Ok(());
        }
        bail!("{} does not bring its app up", self.name())
    }

    /// Replaces the running app.
    pub(super) fn restart(&mut self) -> Result<()> {
        let dir = self.dir.clone();
        let mut command = match self.kind {
            Kind::Bare => {
                self.stop()?;
                return self.bring_up().and_then(|()| self.until_up());
            }
            Kind::Script => {
                let mut command = Command::new(dir.join("restart"));
                command.arg(&dir);
                command
            }
            Kind::Runit => {
                let mut command = Command::new("sv");
                command.arg("restart").arg(&dir);
                command
            }
            Kind::Supervisord => {
                let mut command = Command::new("supervisorctl");
                command.arg("-c").arg(dir.join("conf")).args(["restart", "app"]);
                command
            }
        };
        // The first app of the script is our child, and somebody has to take its exit status.
        let child = if self.kind == Kind::Script { self.child.take() } else { None };
        let reaper = child.map(|mut child| std::thread::spawn(move || child.wait()));
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !status.context("cannot start a peer")?.success() {
            bail!("{} cannot replace its app", self.name());
        }
        if let Some(reaper) = reaper {
            drop(reaper.join());
        }
        self.until_up()
    }

    fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM).context("cannot stop an app")?;
        child.wait().context("cannot wait for an app").map(drop)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.kind == Kind::Script {
            let pid = fs::read_to_string(self.dir.join("pid")).unwrap_or_default();
            if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM).ok();
            }
        }
        self.stop().ok();
    }
}
