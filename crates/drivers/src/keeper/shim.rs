//! The second run of our binary: takes on limits, user and directory, and becomes the app.
//!
//! Between fork and exec hardly anything is safe to do, so the keeper starts its own binary, and
//! that, a fresh process with one thread, does the rest to itself. Standard input is the pipe on
//! which it says why the app could not be started; it closes by itself when the app takes over.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Rlimit, Uid, geteuid, setrlimit, umask};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::spec::{KeepSpec, User};
use super::users::{self, Identity};
use super::{Error, RUN_ENV, cgroup, error};

/// Path of the control group to join, if there is one.
pub(super) const CGROUP_ENV: &str = "GROUNDCREW_KEEP_CGROUP";

/// What was to be done when [`Command::exec`] fails.
const EXEC: &str = "start";

/// The app's file mode mask: the usual one, whatever the agent runs with.
const UMASK: u32 = 0o022;

/// Does not return if the app was started. Otherwise the reason was said to the keeper.
pub(super) fn become_app(spec_path: &Path) -> Result<(), Error> {
    let keeper = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)
        .map_err(|errno| Error::system("keep the pipe to the keeper", errno))?;
    let result = KeepSpec::read(spec_path).and_then(|spec| become_spec(spec_path, &spec));
    if let Err(error) = &result {
        // If the keeper is gone too, standard error still has it.
        fs::File::from(keeper).write_all(said(error).as_bytes()).ok();
    }
    result
}

/// Begins what is said when the program cannot be run and nothing else is to blame.
pub(super) const BY_PROGRAM: char = '!';

/// The error for the keeper, all of it at once.
fn said(error: &Error) -> String {
    let text = error::chain(error);
    if is_by_program(error) { format!("{BY_PROGRAM}{text}") } else { text }
}

/// A lack of memory, processes or open files says nothing about the program.
fn is_by_program(error: &Error) -> bool {
    let Error::File { doing: EXEC, source, .. } = error else { return false };
    let host = [
        Errno::AGAIN,
        Errno::IO,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOSPC,
        Errno::TXTBSY,
    ];
    Errno::from_io_error(source).is_none_or(|errno| !host.contains(&errno))
}

fn become_spec(spec_path: &Path, spec: &KeepSpec) -> Result<(), Error> {
    if let Some(path) = std::env::var_os(CGROUP_ENV).map(PathBuf::from) {
        cgroup::join(&path).map_err(|source| Error::file("join", path, source))?;
    }
    for limit in &spec.limits {
        let wanted = Rlimit { current: limit.soft, maximum: limit.hard };
        setrlimit(limit.resource.resource(), wanted)
            .map_err(|errno| Error::system("set a resource limit", errno))?;
    }
    let identity = spec.user.as_ref().map(identity).transpose()?;
    if let (Some(identity), Some(user)) = (&identity, &spec.user) {
        become_user(identity, user)?;
    }
    umask(Mode::from_raw_mode(UMASK));
    std::env::set_current_dir(&spec.cwd)
        .map_err(|source| Error::file("change to", &spec.cwd, source))?;
    let (program, args) = spec.argv.split_first().ok_or(Error::Spec {
        field: "argv",
        value: String::new(),
        why: "there is no program",
    })?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).env_clear();
    if let Some(identity) = identity {
        let (name, home) = (identity.name.map(Into::into), identity.home);
        for (variable, value) in [("HOME", home), ("USER", name.clone()), ("LOGNAME", name)] {
            command.envs(value.map(|value| (variable, value)));
        }
    }
    command
        .envs(&spec.env)
        .env("GROUNDCREW_APP", &spec.app)
        .env("GROUNDCREW_TXN", &spec.txn)
        .env("GROUNDCREW_ATTEMPT", &spec.attempt)
        .env(RUN_ENV, spec_path.parent().unwrap_or(spec_path));
    Err(Error::file(EXEC, program, command.exec()))
}

/// User and group to become, as the system knows them now.
pub(super) fn identity(user: &User) -> Result<Identity, Error> {
    let read = |path| fs::read_to_string(path).map_err(|source| Error::file("read", path, source));
    users::resolve(&read("/etc/passwd")?, &read("/etc/group")?, user)
}

/// Groups first: without root they can no longer be set.
fn become_user(identity: &Identity, user: &User) -> Result<(), Error> {
    if !geteuid().is_root() {
        let same = geteuid().as_raw() == identity.uid;
        let why = "only root can become somebody else";
        return if same { Ok(()) } else { Err(Error::User { name: user.name.clone(), why }) };
    }
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)
        .and_then(|()| set_thread_gid(Gid::from_raw(identity.gid)))
        .and_then(|()| set_thread_uid(Uid::from_raw(identity.uid)))
        .map_err(|errno| Error::system("become the app's user", errno))
}
