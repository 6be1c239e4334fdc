//! A real `sshd` on a port of its own, with keys of its own, and a line to it that can be cut.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const SSHD: &str = "/usr/sbin/sshd";
/// Where it separates its rights; Debian makes it at boot.
const PRIVSEP: &str = "/run/sshd";

/// What happens to the line behind so many bytes from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It is cut.
    Cut,
    /// Nothing comes any more.
    Silence,
}

/// The host, its keys, and a place for a client.
pub(crate) struct Sshd {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    line: Arc<Line>,
}

/// The line to it.
#[derive(Debug, Default)]
struct Line {
    /// Bytes from the host that get through each connection; 0: all.
    limit: AtomicU64,
    silence: AtomicBool,
    connections: AtomicU64,
}

impl Sshd {
    /// One that runs what it is asked for, or what `options` says.
    pub(crate) fn new(options: &str) -> Self {
        let install = "apt-get install -y --no-install-recommends openssh-server";
        assert!(Path::new(SSHD).exists(), "sshd is missing; as root: {install}");
        fs::create_dir_all(PRIVSEP).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["host", "user", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name));
            assert!(keygen.status().unwrap().success());
        }
        fs::copy(path("user.pub"), path("authorized")).unwrap();
        let shown = dir.path().display();
        put(
            &path("sshd_config"),
            &format!(
                "HostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\nStrictModes no\n\
                 UsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
                 PidFile none\nLogLevel QUIET\n{options}"
            ),
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line::default());
        let (config, cut) = (path("sshd_config"), Arc::clone(&line));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                cut.connections.fetch_add(1, Ordering::SeqCst);
                connect(stream, &config, &cut);
            }
        });
        let key = fs::read_to_string(path("host.pub")).unwrap();
        put(&path("known"), &format!("[127.0.0.1]:{port} {key}"));
        let sshd = Self { dir, port, line };
        sshd.client("user");
        sshd
    }

    /// Has the client of that key.
    pub(crate) fn client(&self, key: &str) {
        let shown = self.dir.path().display();
        put(
            &self.dir.path().join("ssh_config"),
            &format!(
                "Host plane\nHostName 127.0.0.1\nPort {}\nUser {}\nHost *\n\
                 IdentityFile {shown}/{key}\nIdentitiesOnly yes\nUserKnownHostsFile {shown}/known\n\
                 StrictHostKeyChecking yes\n",
                self.port,
                user()
            ),
        );
        let bin = self.dir.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let ssh = bin.join("ssh");
        put(&ssh, &format!("#!/bin/sh\nexec /usr/bin/ssh -F {shown}/ssh_config \"$@\"\n"));
        fs::set_permissions(ssh, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A path on it.
    pub(crate) fn at(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", user(), self.port, path.display())
    }

    /// Has a command use this client.
    pub(crate) fn used_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.dir.path().join("bin").display()))
    }

    /// What happens to each connection behind so many bytes.
    pub(crate) fn limit(&self, bytes: u64, behind: Behind) {
        self.line.silence.store(behind == Behind::Silence, Ordering::SeqCst);
        self.line.limit.store(bytes, Ordering::SeqCst);
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.line.connections.load(Ordering::SeqCst)
    }
}

fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn put(path: &PathBuf, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// One connection, with an `sshd` of its own.
fn connect(client: TcpStream, config: &Path, line: &Arc<Line>) {
    let (host, far) = UnixStream::pair().unwrap();
    let mut sshd = Command::new(SSHD);
    sshd.args(["-i", "-f"]).arg(config).stderr(Stdio::null());
    sshd.stdin(OwnedFd::from(far.try_clone().unwrap())).stdout(OwnedFd::from(far));
    let mut sshd = sshd.spawn().unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), host.try_clone().unwrap());
    thread::spawn(move || {
        // The end of one side is that of the other.
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    let line = Arc::clone(line);
    thread::spawn(move || {
        pass(host, client, &line);
        sshd.wait().ok();
    });
}

/// Passes what comes from the host, as far as that goes.
fn pass(mut host: UnixStream, mut client: TcpStream, line: &Line) {
    let limit = match line.limit.load(Ordering::SeqCst) {
        0 => u64::MAX,
        limit => limit,
    };
    let mut through = (&mut host).take(limit);
    std::io::copy(&mut through, &mut client).ok();
    if through.limit() == 0 && line.silence.load(Ordering::SeqCst) {
        // Until the client gives up.
        std::io::copy(&mut host, &mut std::io::sink()).ok();
    }
    client.shutdown(Shutdown::Both).ok();
    host.shutdown(Shutdown::Both).ok();
}
