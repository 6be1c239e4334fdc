//! What a bare Debian machine lacks for the tests, and how it gets it.
//!
//! As root with apt the packages are installed; otherwise the command that would do it is printed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::steps::{self, Step, cargo, say};

const EXIT_MISSING: u8 = 3;

/// A program that the tests need, the Debian packages that bring it, and what for.
const NEEDED: [(&str, &[&str], &str); 23] = [
    ("cc", &["gcc", "libc6-dev"], "compiles the bundled SQLite"),
    ("setfattr", &["attr"], "snapshots keep extended attributes"),
    ("setfacl", &["acl"], "snapshots keep access lists"),
    ("python3", &["python3"], "makes and reads recordings as people do"),
    ("minisign", &["minisign"], "signs bundles as people do"),
    (
        "systemd-nspawn",
        &["systemd", "systemd-container"],
        "boots a machine for the agent's service",
    ),
    ("mkfs.ext4", &["e2fsprogs"], "file systems for power cuts"),
    ("mkfs.xfs", &["xfsprogs"], "file systems for power cuts"),
    ("mount", &["mount"], "mounts what is to be cut or filled"),
    ("strace", &["strace"], "makes syncs fail"),
    ("faketime", &["faketime", "libfaketime"], "a clock in 1970"),
    ("unshare", &["util-linux"], "namespaces, so that nothing stays mounted"),
    ("zstd", &["zstd"], "packs bundles as people do"),
    (VENV, &["python3-venv"], "fetches the library that reads MCAP"),
    ("pgrep", &["procps"], "looks for processes that were left"),
    ("dockerd", &["docker.io"], "an engine whose containers are updated"),
    ("iptables", &["iptables"], "the engine's networks"),
    ("ip", &["iproute2"], "a network of its own for the engine"),
    ("busybox", &["busybox-static"], "what is in the images, and on small hosts"),
    ("docker-registry", &["docker-registry"], "images are looked for in a real registry"),
    ("openssl", &["openssl"], "certificates of a registry, signatures of images"),
    (POSTGRES, &["postgresql-15"], "a database that is updated and brought back"),
    (SSHD, &["openssh-server"], "another host that flights are pulled from"),
];

/// Debian keeps what makes a place for Python's packages in a package of its own.
const VENV: &str = "/usr/lib/python3.11/ensurepip/__init__.py";
/// Debian keeps the server outside of `PATH`.
const POSTGRES: &str = "/usr/lib/postgresql/15/bin/postgres";

/// Debian keeps that one outside of `PATH` of most.
const SSHD: &str = "/usr/sbin/sshd";

/// Packages of Debian's that start something of their own unless a file says no: which program, the
/// file, what it says. The tests start theirs. What is there already stays.
const QUIET: [(&str, &str, &str); 2] = [
    (POSTGRES, "/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n"),
    (SSHD, "/etc/ssh/sshd_not_to_be_run", ""),
];

/// Brings what is missing; `Some` with the exit code when a person has to.
pub(crate) fn provide() -> Result<Option<ExitCode>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| is_on(&path, program);
    for (program, _, why) in NEEDED.iter().filter(|(program, ..)| !is_there(program)) {
        say(&format!("missing: {program} ({why})"));
    }
    let packages = missing_packages(is_there);
    let mut steps = Vec::new();
    let mut commands = Vec::new();
    if !packages.is_empty() {
        commands.push(format!("apt-get install -y --no-install-recommends {}", packages.join(" ")));
        if is_root()? && is_on(&path, "apt-get") {
            steps.push(Step::new("package lists", apt(&["update", "--quiet=2"])));
            for (_, path, text) in QUIET.iter().filter(|(program, ..)| !is_there(program)) {
                forbid(path, text)?;
            }
            let install = ["install", "--yes", "--quiet=2", "--no-install-recommends"];
            steps.push(Step::new("packages", apt(&[install.as_slice(), &packages].concat())));
        }
    }
    if !tools_are_there() {
        commands.push("rustup component add rustfmt clippy".into());
        if is_on(&path, "rustup") {
            let mut add = Command::new("rustup");
            add.args(["component", "add", "rustfmt", "clippy"]);
            steps.push(Step::new("rustfmt and clippy", add));
        }
    }
    if !steps.is_empty() {
        steps::run(steps)?;
    }
    if missing_packages(is_there).is_empty() && tools_are_there() {
        return Ok(None);
    }
    say("This machine lacks what the tests need. As root, or as rustup's owner, run:");
    commands.iter().for_each(|command| say(&format!("  {command}")));
    Ok(Some(ExitCode::from(EXIT_MISSING)))
}

fn forbid(path: &str, text: &str) -> Result<()> {
    if fs::exists(path).with_context(|| format!("cannot look for {path}"))? {
        return Ok(());
    }
    let dir = Path::new(path).parent().context("a file has a directory")?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::File::create_new(path))
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {path}"))
}

fn missing_packages(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let missing = NEEDED.iter().filter(|(program, ..)| !is_there(program));
    missing.flat_map(|(_, packages, _)| packages.iter().copied()).collect()
}

fn tools_are_there() -> bool {
    ["fmt", "clippy"].iter().all(|tool| steps::works(&mut cargo(&[tool, "--version"])))
}

fn is_on(path: &OsStr, program: &str) -> bool {
    env::split_paths(path).any(|dir| dir.join(program).is_file())
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self").context("cannot read whose process this is")?.uid() == 0)
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_brought_by_its_packages() {
        assert_eq!(missing_packages(|_| true), Vec::<&str>::new());
        assert_eq!(missing_packages(|program| program != "cc"), ["gcc", "libc6-dev"]);
        assert_eq!(missing_packages(|_| false).len(), NEEDED.len() + 3);
    }

    #[test]
    fn a_program_is_looked_for_in_every_directory_of_the_path() {
        let path = OsStr::new("/nonexistent:/bin");
        assert!(is_on(path, "sh") && is_on(path, "/bin/sh"), "a path is looked for as it is");
        assert!(!is_on(path, "no-such-program"));
    }
}
