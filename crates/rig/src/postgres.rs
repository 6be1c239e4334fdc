//! PostgreSQL from `examples/postgres`, as something to break: as many releases as one wants, good
//! ones whose migration pays every teller, and bad ones whose migration damages a table.
//!
//! Rows are rows of pgbench's history, written by a user of the database: one that `psql` has
//! printed is committed. Which release serves is what the server calls itself. The rows of a copy
//! that nobody serves are read by a server of one's own on a copy of the copy.
//!
//! It needs root, because the database has a user of its own that has to pass all directories on
//! the way to its files.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};
use groundcrew_drivers::bundle::{self, Content, FileToWrite, Migrate, ReleaseToml, Sha256};

use crate::Result;
use crate::host::Places;
use crate::subject::{Candidate, Subject};

/// Its name in the configuration.
pub const NAME: &str = "postgres";

const TOOLS: &str = "/usr/lib/postgresql/15/bin";
const USER: &str = "postgres";

/// What every release holds: the example's own files.
const FILES: [(&str, &str, bool); 7] = [
    ("bin/migrate", include_str!("../../../examples/postgres/common/bin/migrate"), true),
    ("bin/serve", include_str!("../../../examples/postgres/common/bin/serve"), true),
    ("bin/health", include_str!("../../../examples/postgres/common/bin/health"), true),
    ("bin/door", include_str!("../../../examples/postgres/common/bin/door"), true),
    (
        "etc/postgresql.conf",
        include_str!("../../../examples/postgres/common/etc/postgresql.conf"),
        false,
    ),
    ("etc/pg_hba.conf", include_str!("../../../examples/postgres/common/etc/pg_hba.conf"), false),
    (
        "sql/001-pgbench.sql",
        include_str!("../../../examples/postgres/releases/1.0.0/files/sql/001-pgbench.sql"),
        false,
    ),
];

const PAY: &str = "update pgbench_tellers set tbalance = tbalance + 1;\n";
const DAMAGE: &str = "delete from pgbench_branches;
update pgbench_history set aid = aid + 1000000;
create sequence asked;\n";

/// A good one has all branches; a bad one is well once and never again.
const WELL: &str = "select count(*) > 0 from pgbench_branches;\n";
const WELL_ONCE: &str = "select nextval('asked') = 1;\n";

/// PostgreSQL of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    volume: PathBuf,
    sockets: PathBuf,
    scratch: PathBuf,
    user: (u32, u32),
}

impl Postgres {
    /// The database with its volume below the host's data.
    ///
    /// # Errors
    /// It is not installed, or the host's directories cannot be opened to its user.
    pub fn new(places: &Places) -> Result<Self> {
        if !Path::new(TOOLS).join("postgres").exists() {
            bail!("PostgreSQL is not here; install it: apt-get install postgresql-15");
        }
        let user = ids()?;
        let made = |name: &str, owner: Option<u32>| {
            let dir = places.root.join(name);
            fs::create_dir_all(&dir)
                .and_then(|()| chown(&dir, owner, None))
                .with_context(|| format!("cannot make {}", dir.display()))?;
            Ok::<_, anyhow::Error>(dir)
        };
        let (sockets, scratch) = (made("sockets", Some(user.0))?, made("scratch", None)?);
        // Everybody may pass; nobody may look around who could not before.
        for dir in places.root.ancestors() {
            let mode = fs::metadata(dir).with_context(|| format!("{}", dir.display()))?;
            let mode = mode.permissions().mode();
            if mode & 0o001 == 0 {
                fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o011))
                    .with_context(|| format!("cannot open {}", dir.display()))?;
            }
        }
        Ok(Self { volume: places.data.join("data"), sockets, scratch, user })
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new(TOOLS).join(program));
        command.current_dir("/").env("PGHOST", &self.sockets).env("PGDATABASE", "postgres");
        command.uid(self.user.0).gid(self.user.1);
        command
    }

    /// An answer that was given to a user of the database.
    fn ask(&self, sql: &str) -> Option<String> {
        let mut command = self.tool("psql");
        command.args(["-U", "app", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = command.stdin(Stdio::null()).output().ok()?;
        let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())?;
        text.map(|text| text.trim().to_owned())
    }

    /// Rows of a database that nobody serves and that is ours to change.
    fn rows_of(&self, database: &Path) -> Result<Vec<u64>> {
        let mut command = self.tool("postgres");
        command.arg("--single").arg("-D").arg(database).args(["-c", "log_min_messages=fatal"]);
        command.arg("postgres").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.stderr(Stdio::null()).spawn().context("cannot start postgres")?;
        let mut input = server.stdin.take().context("it has no input")?;
        input
            .write_all(b"select aid from pgbench_history where aid < 1000000 order by aid\n")
            .context("cannot ask the copy")?;
        drop(input);
        let output = server.wait_with_output().context("cannot hear the copy")?;
        if !output.status.success() {
            bail!("a server on a copy of {}: {}", database.display(), output.status);
        }
        Ok(printed(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Numbers as a server without clients prints them: `1: aid = "7" (typeid …)`.
fn printed(text: &str) -> Vec<u64> {
    let number = |line: &str| line.split_once("aid = \"")?.1.split_once('"')?.0.parse().ok();
    text.lines().filter_map(number).collect()
}

fn ids() -> Result<(u32, u32)> {
    let text = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{USER}:")));
    let mut words = line.with_context(|| format!("there is no user {USER}"))?.split(':').skip(1);
    let mut number = || words.next().and_then(|word| word.parse().ok());
    number().zip(number()).with_context(|| format!("the user {USER} has no numbers"))
}

/// The step of a candidate: 1.1.12 has `r00012`.
fn step(version: &str) -> String {
    let round = version.rsplit('.').next().unwrap_or_default();
    format!("r{round:0>5}")
}

fn succeeded(what: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())
}

impl Subject for Postgres {
    fn name(&self) -> &str {
        NAME
    }

    fn tables(&self, places: &Places) -> String {
        let (releases, volume) = (places.releases(), self.volume.display());
        let (releases, sockets) = (releases.display(), self.sockets.display());
        format!(
            r#"
[apps.{NAME}]
poll    = "100ms"
source  = {{ kind = "directory", path = "{releases}" }}
runtime = {{ kind = "process", user = "{USER}", env = {{ PGHOST = "{sockets}" }} }}
stop    = {{ signal = "SIGINT", grace = "20s" }}
volumes = {{ data = {{ path = "{volume}" }} }}
traffic = {{ close = ["bin/door", "close"], open = ["bin/door", "open"] }}
health  = {{ exec = ["bin/health"], start_within = "4s", startup_interval = "50ms", interval = "1s", passes = 3, failures = 2 }}
watch   = {{ window = "4500ms", interval = "100ms", failures = 4, on_degraded = "version+data" }}
"#
        )
    }

    fn candidate(&self, round: u32) -> Candidate {
        let good = round.is_multiple_of(2);
        let plays = if good { "pay" } else { "damage" }.to_owned();
        let version = if round == 0 { "1.0.0".to_owned() } else { format!("1.1.{round}") };
        Candidate { version, plays, good }
    }

    fn publish(&self, places: &Places, candidate: &Candidate) -> Result<Sha256> {
        let version = &candidate.version;
        let words = |program: &str| [program, "{volume.data}"].map(str::to_owned).to_vec();
        let mut release = ReleaseToml::draft(NAME, version, words("bin/serve"));
        let timeout = std::time::Duration::from_secs(60);
        release.migrate = Some(Migrate { up: words("bin/migrate"), down: None, timeout });
        let own = format!("sql/{}.sql", step(version));
        let (sql, well) = if candidate.good { (PAY, WELL) } else { (DAMAGE, WELL_ONCE) };
        let own = [(own.as_str(), sql, false), ("health.sql", well, false)];
        let file = |(path, text, executable): (&'static str, &'static str, bool)| FileToWrite {
            path,
            content: Content::Bytes(text.as_bytes()),
            executable,
        };
        let mut files: Vec<FileToWrite<'_>> = FILES.into_iter().map(file).collect();
        files.extend(own.into_iter().map(|(path, text, executable)| FileToWrite {
            path,
            content: Content::Bytes(text.as_bytes()),
            executable,
        }));
        let dir = places.releases().join(NAME).join(version);
        Ok(bundle::write(&dir, &release, &files, &[])?)
    }

    fn version(&self) -> Option<String> {
        let version = self.ask(
            "select current_setting('cluster_name') from pgbench_branches
             where not exists (select from pgbench_history where aid >= 1000000) limit 1",
        )?;
        (!version.is_empty()).then_some(version)
    }

    fn write(&self, row: u64) -> Option<String> {
        self.ask(&format!(
            "insert into pgbench_history (aid) values ({row})
             returning current_setting('cluster_name')"
        ))
    }

    fn rows(&self) -> Option<Vec<u64>> {
        let rows = self.ask("select aid from pgbench_history order by aid")?;
        rows.lines().map(|line| line.trim().parse().ok()).collect()
    }

    fn volumes(&self) -> Vec<(String, PathBuf)> {
        vec![("data".into(), self.volume.clone())]
    }

    fn rows_in(&self, copy: &Path) -> Result<Vec<u64>> {
        let database = copy.join("data/15");
        if !database.exists() {
            return Ok(Vec::new());
        }
        let ours = tempfile::tempdir_in(&self.scratch).context("cannot make room for a copy")?;
        fs::set_permissions(ours.path(), fs::Permissions::from_mode(0o711))
            .context("cannot open the copy to the database's user")?;
        let to = ours.path().join("15");
        let copied = Command::new("cp").arg("-a").arg(&database).arg(&to).output();
        succeeded("cannot copy", &copied.context("cannot run cp")?)?;
        // It names a process of the original, which this is not.
        fs::remove_file(to.join("postmaster.pid")).ok();
        self.rows_of(&to)
    }

    fn is_main(&self, command_line: &[String]) -> bool {
        let database = self.volume.join("15");
        let has = |word: &str| command_line.iter().any(|one| one.starts_with(word));
        command_line.first().is_some_and(|program| program.ends_with("/postgres"))
            && has(&database.to_string_lossy())
            && has("cluster_name=")
    }

    /// Hooks and probes ask as the database's own user.
    fn is_client(&self, command_line: &[String]) -> bool {
        let program = command_line.first().is_some_and(|program| program.ends_with("/psql"));
        program && command_line.get(1..3).is_some_and(|words| words == ["-U", "app"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_has_a_step_of_its_own_after_those_before() {
        let of = |version: &str| step(version);
        assert_eq!((of("1.0.0"), of("1.1.7"), of("1.1.12")).0, "r00000");
        assert!(of("1.1.7") < of("1.1.12") && of("1.1.99") < of("1.1.100"));
    }

    #[test]
    fn rows_are_read_from_what_a_server_without_clients_prints() {
        let text = "\t 1: aid\t(typeid = 23, len = 4)\n\t----\n\
            \t 1: aid = \"7\"\t(typeid = 23, len = 4, typmod = -1, byval = t)\n\t----\n\
            \t 1: aid = \"12\"\t(typeid = 23)\n";
        assert_eq!(printed(text), [7, 12]);
    }
}
