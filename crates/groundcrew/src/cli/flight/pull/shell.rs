//! A script that runs on another host, through the `ssh` program of this one.
//!
//! The other host is always asked for the same: `sh`. What it shall do comes on its standard
//! input, so that no login shell, of whatever kind, sees a word of a person's. The script says one
//! line before all others, and what comes before it (a greeting of a login script) is passed over.
//!
//! Nobody is asked for a password, nothing is forwarded, and a host that says nothing for too long
//! is given up.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::origin::Trouble;
use super::target::Remote;

/// What the other host runs.
const COMMAND: &str = "sh";
/// The script's first line.
const HELLO: &[u8] = b"groundcrew-pull 1\n";
/// What may stand before it, bytes.
const GREETING_MAX: usize = 64 << 10;
/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// What is kept of what the other host says in words, bytes.
const WORDS_MAX: u64 = 16 << 10;
/// How many of its last lines a person is shown.
const LINES_MAX: usize = 4;
/// How long those words are waited for behind the end; somebody else may hold the pipe.
const WORDS_WAIT: Duration = Duration::from_secs(1);
/// `ssh` itself failed.
const SSH_FAILED: i32 = 255;

/// Options that hold for every connection: no questions, no forwarding, no shared connection of
/// ours that outlives us, and a dead line is noticed.
const OPTIONS: [&str; 10] = [
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ControlMaster=no",
    "LogLevel=ERROR",
];

/// A word of a script: whatever it is, the shell takes it as it is.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `ssh` at work; it is ended when this is dropped.
struct Ssh(Child);

impl Drop for Ssh {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs commands of a shell on the other host, and gives what they print behind the first line.
///
/// # Errors
///
/// The host cannot be reached, says nothing for `patience`, a command failed, or whoever takes what
/// is printed has enough.
pub(super) fn run(
    remote: &Remote,
    patience: Duration,
    commands: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let host = || remote.host.clone();
    let failed = |what: String| Trouble::Host { host: host(), what, code: None };
    let cannot = |error: io::Error| failed(format!("cannot be asked: cannot run `ssh`: {error}"));
    // All of it is read before any of it runs; what it runs does not read the rest of it.
    let script =
        format!("main() {{\nprintf 'groundcrew-pull 1\\n'\n{commands}}}\nmain </dev/null\n");
    let mut ssh = Ssh(command(remote).spawn().map_err(cannot)?);
    if let Some(stdin) = ssh.0.stdin.take() {
        std::thread::spawn(move || feed(stdin, &script));
    }
    let words = words(&mut ssh.0);
    let mut out = ssh.0.stdout.take().expect("its output was asked for");
    let (mut piece, mut greeting) = (vec![0; PIECE], Some(Vec::new()));
    let silent = || failed(format!("said nothing for {} s", patience.as_secs_f32()));
    loop {
        if !is_ready(&out, PollFlags::IN, patience).map_err(cannot)? {
            return Err(silent());
        }
        let arrived = match out.read(&mut piece) {
            Ok(0) => break,
            Ok(arrived) => piece.get(..arrived).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cannot(error)),
        };
        let Some(before) = &mut greeting else {
            take(arrived)?;
            continue;
        };
        before.extend_from_slice(arrived);
        if let Some(at) = before.windows(HELLO.len()).position(|bytes| bytes == HELLO) {
            let rest = before.split_off(at + HELLO.len());
            greeting = None;
            take(&rest)?;
        } else if before.len() > GREETING_MAX {
            return Err(failed("answers otherwise than a shell does".to_owned()));
        }
    }
    let pid = Pid::from_child(&ssh.0);
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| cannot(error.into()))?;
    if !is_ready(&ended, PollFlags::IN, patience).map_err(cannot)? {
        return Err(silent());
    }
    let status = ssh.0.wait().map_err(cannot)?;
    if status.success() && greeting.is_none() {
        return Ok(());
    }
    let words = words.recv_timeout(WORDS_WAIT).unwrap_or_default();
    let what = why(status, greeting.is_none(), &words);
    Err(Trouble::Host { host: host(), what, code: status.code() })
}

fn command(remote: &Remote) -> Command {
    let mut command = Command::new("ssh");
    command.arg("-T");
    OPTIONS.iter().for_each(|option| {
        command.args(["-o", option]);
    });
    if let Some(port) = remote.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = &remote.user {
        command.args(["-l", user]);
    }
    command.args(["--", &remote.host, COMMAND]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Writes the script; a host that goes away is noticed by who reads.
fn feed(mut stdin: ChildStdin, script: &str) {
    drop(stdin.write_all(script.as_bytes()));
}

/// What comes on standard error, when that ends.
fn words(child: &mut Child) -> Receiver<String> {
    let (send, words) = channel();
    if let Some(mut err) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut first = (&mut err).take(WORDS_MAX);
            drop(first.read_to_end(&mut kept));
            // What is more is read as well, so that nobody waits for us.
            drop(io::copy(&mut err, &mut io::sink()));
            // Nobody may wait any more.
            drop(send.send(String::from_utf8_lossy(&kept).into_owned()));
        });
    }
    words
}

fn is_ready(fd: &impl std::os::fd::AsFd, flags: PollFlags, wait: Duration) -> io::Result<bool> {
    let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
    loop {
        match poll(&mut [PollFd::new(fd, flags)], Some(&wait)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is wrong, for people.
fn why(status: ExitStatus, began: bool, words: &str) -> String {
    let what = match (status.code(), began) {
        // `ssh` may drop what it has not written yet, and the first line with it.
        (Some(SSH_FAILED), false) => "cannot be asked".to_owned(),
        (Some(SSH_FAILED), true) => "went away".to_owned(),
        (Some(0), false) => "answers otherwise than a shell does".to_owned(),
        (Some(code), _) => format!("failed with {code}"),
        (None, _) => "went away: `ssh` was killed".to_owned(),
    };
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(LINES_MAX);
    match lines.get(first..).unwrap_or_default() {
        [] => what,
        said => format!("{what}: {}", said.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_every_word_as_it_is() {
        for word in ["a", "", "it's", "$(id) `id` \\ \"x\" ; & | > *", "-n", "a\nb", "'''"] {
            let script = format!("printf %s {}", quoted(word));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
    }
}
