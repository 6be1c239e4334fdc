//! File systems of our own on loop devices, and a power cut for them.
//!
//! A cut is: every process of the host is stopped in its tracks, the file systems are shut down
//! (`xfs_io -x -c shutdown`: what was not synced is gone, what was is kept), the processes are
//! killed, the file systems are mounted anew, and the kernel's boot id reads differently. The last
//! is a file bound over `/proc/sys/kernel/random/boot_id`, which only a mount namespace of our own
//! sees; in it the mounts end with the last process, however that one ends.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::host::reached;
use crate::random::Random;
use crate::{Result, procs};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// XFS refuses less than 300 MB, and a database needs room for three copies of its data; the images
/// are sparse.
const IMAGE_BYTES: u64 = 640 << 20;

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// Its name for `mount`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// What becomes of the file system's own log in a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// It is lost where nobody synced.
    Lost,
    /// It is flushed, data is not: names without content.
    Flushed,
}

#[derive(Debug)]
struct Disk {
    kind: Kind,
    image: PathBuf,
    at: PathBuf,
}

/// The file systems of a host.
#[derive(Debug)]
pub struct Disks {
    root: PathBuf,
    disks: Vec<Disk>,
    boots: u64,
}

impl Disks {
    /// Makes and mounts them below a directory, each under a name and of a kind.
    ///
    /// # Errors
    /// A command failed; this needs root.
    pub fn make(root: &Path, disks: &[(&str, Kind)]) -> Result<Self> {
        let mut made = Self { root: root.to_owned(), disks: Vec::new(), boots: 0 };
        for (name, kind) in disks.iter().copied() {
            let (image, at) = (root.join(format!("{name}.img")), Self::at(root, name));
            fs::create_dir_all(&at).context("cannot make a mount point")?;
            fs::File::create(&image)
                .and_then(|file| file.set_len(IMAGE_BYTES))
                .with_context(|| format!("cannot make {}", image.display()))?;
            let quiet = if kind == Kind::Xfs { ["-q", "-f"] } else { ["-q", "-F"] };
            let mut make = Command::new(format!("mkfs.{}", kind.name()));
            run(make.args(quiet).arg(&image))?;
            let disk = Disk { kind, image, at };
            disk.mount()?;
            made.disks.push(disk);
        }
        made.reboot()?;
        run(Command::new("mount").arg("--bind").arg(made.boot_file()).arg(BOOT_ID))?;
        Ok(made)
    }

    /// Where the file system of this name is mounted below a directory.
    #[must_use]
    pub fn at(root: &Path, name: &str) -> PathBuf {
        root.join(format!("{name}.disk"))
    }

    fn boot_file(&self) -> PathBuf {
        self.root.join("boot_id")
    }

    /// The kernel's boot id reads differently from here on. The file keeps its identity: it is bound.
    fn reboot(&mut self) -> Result<()> {
        self.boots += 1;
        let id = format!("00000000-0000-4000-8000-{:012}\n", self.boots);
        fs::File::create(self.boot_file())
            .and_then(|mut file| file.write_all(id.as_bytes()))
            .context("cannot write a boot id")
    }

    /// Cuts the power of a host whose processes mention the root, and boots it again.
    ///
    /// # Errors
    /// A command failed, or a process does not die.
    pub fn cut(&mut self, log: Log, random: &mut Random) -> Result<()> {
        let all = procs::of(&self.root)?;
        procs::signal(&all, Signal::STOP);
        if !reached(GONE_WITHIN, || procs::are_stopped(&all)) {
            bail!("processes go on after SIGSTOP: {all:?}");
        }
        let mut order: Vec<&Disk> = self.disks.iter().collect();
        if random.chance(50) {
            order.reverse();
        }
        let downs: Result<Vec<_>> = order.iter().map(|disk| disk.shut_down(log)).collect();
        for mut down in downs? {
            if !down.wait().context("cannot wait for xfs_io")?.success() {
                bail!("xfs_io cannot shut a file system down");
            }
        }
        let gone = reached(GONE_WITHIN, || {
            procs::of(&self.root).is_ok_and(|all| {
                procs::signal(&all, Signal::KILL);
                all.is_empty()
            })
        });
        if !gone {
            bail!("processes survive SIGKILL: {:?}", procs::of(&self.root)?);
        }
        for disk in &self.disks {
            // A process that dies has no command line any more, and its files still.
            let mut last = Ok(());
            let gone = reached(GONE_WITHIN, || {
                last = run(Command::new("umount").arg(&disk.at));
                last.is_ok()
            });
            if !gone {
                last?;
            }
        }
        self.reboot()?;
        self.disks.iter().try_for_each(Disk::mount)
    }
}

impl Disk {
    fn mount(&self) -> Result<()> {
        let mut mount = Command::new("mount");
        run(mount.args(["-t", self.kind.name(), "-o", "loop"]).arg(&self.image).arg(&self.at))
    }

    fn shut_down(&self, log: Log) -> Result<std::process::Child> {
        let how = if log == Log::Flushed { "shutdown -f" } else { "shutdown" };
        let mut command = Command::new("xfs_io");
        command.args(["-x", "-c", how]).arg(&self.at).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().context("cannot start xfs_io; apt-get install xfsprogs brings it")
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for at in self.disks.iter().map(|disk| disk.at.as_path()).chain([Path::new(BOOT_ID)]) {
            // Whatever stays ends with the namespace.
            Command::new("umount").arg("--lazy").arg(at).status().ok();
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
