//! The demo app, as something to break: as many releases as one wants, each a row of its table.
//!
//! A release is a few scripts that run the demo app which is linked into the program under test.
//! Scripts beside the volume may run from inside its steps: `on-start` before each start and
//! `on-migrate` before each migration, with the version as `$1` and the volume as `$2`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use groundcrew_drivers::bundle::{self, Content, FileToWrite, Migrate, ReleaseToml, Sha256};
use groundcrew_engine::notes::NoteFile;

use crate::host::Places;
use crate::subject::{Candidate, Subject, point};
use crate::{Result, http};

/// Its name in the configuration.
pub const NAME: &str = "ledger";

const SERVE: &str = r#"#!/bin/sh
[ ! -e "$2/../on-start" ] || . "$2/../on-start"
exec "$LEDGER" demo-app --release "$3" --as "$1" --data "$2" --port "$PORT"
"#;
const MIGRATE: &str = r#"#!/bin/sh
[ ! -e "$2/../on-migrate" ] || . "$2/../on-migrate"
exec "$LEDGER" demo-app migrate --release "$3" --as "$1" --data "$2"
"#;

const UNDO: &str = r#"#!/bin/sh
exec "$LEDGER" demo-app undo --release "$3" --as "$1" --data "$2"
"#;

/// The release that can undo its migration.
pub const REVERSIBLE: &str = "1.1.0";

/// Notes that ask nothing of a person.
pub const CALM_NOTES: &str = "## Changes\n\nNothing for a person to do.\n";

/// What the rounds play, after the installation of 1.0.0. Later rounds repeat the last ones.
const ROUNDS: [(&str, bool); 10] = [
    ("1.2.0", false),
    ("1.1.0", true),
    ("1.2.0", false),
    ("1.1.1", true),
    ("1.1.2", false),
    ("1.1.1", true),
    ("1.1.3", false),
    ("1.1.1", true),
    ("1.1.5", false),
    ("1.1.1", true),
];

/// So many of them repeat.
const ROUNDS_AGAIN: usize = 8;

/// The demo app of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    program: PathBuf,
    volume: PathBuf,
    port: u16,
}

impl Ledger {
    /// The app with its volume `data` at this path, linked into this program, on a free port.
    ///
    /// # Errors
    /// The loopback interface has no free port.
    pub fn new(program: &Path, volume: PathBuf) -> Result<Self> {
        // The port is free now and was given to nobody else by the kernel a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.context("no free port on the loopback interface")?.port();
        Ok(Self { program: program.to_owned(), volume, port })
    }

    /// Its port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Publishes a row of the demo app's table under its own version, and points the channel at it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn offer(&self, places: &Places, version: &str, notes: &str) -> Result<Sha256> {
        let digest = self.write_bundle(places, version, version, notes)?;
        point(places, NAME, version, &digest)?;
        Ok(digest)
    }

    fn write_bundle(
        &self,
        places: &Places,
        version: &str,
        plays: &str,
        notes: &str,
    ) -> Result<Sha256> {
        let dir = places.releases().join(NAME).join(version);
        let words =
            |program| [program, version, "{volume.data}", plays].map(str::to_owned).to_vec();
        let mut release = ReleaseToml::draft(NAME, version, words("bin/serve"));
        release.revision = Some(format!("{version}0123456789abcdef"));
        release.migrate = Some(Migrate {
            up: words("bin/migrate"),
            down: (version == REVERSIBLE).then(|| words("bin/undo")),
            timeout: Duration::from_secs(30),
        });
        let program = |path, text: &'static str| FileToWrite {
            path,
            content: Content::Bytes(text.as_bytes()),
            executable: true,
        };
        let files = [
            program("bin/serve", SERVE),
            program("bin/migrate", MIGRATE),
            program("bin/undo", UNDO),
        ];
        let notes = [NoteFile { version: version.to_owned(), bytes: notes.as_bytes().to_vec() }];
        Ok(bundle::write(&dir, &release, &files, &notes)?)
    }
}

impl Subject for Ledger {
    fn name(&self) -> &str {
        NAME
    }

    fn tables(&self, places: &Places) -> String {
        let (releases, program) = (places.releases(), self.program.display());
        let (releases, volume, port) = (releases.display(), self.volume.display(), self.port);
        format!(
            r#"
[apps.{NAME}]
poll    = "100ms"
source  = {{ kind = "directory", path = "{releases}" }}
volumes = {{ data = {{ path = "{volume}" }} }}
watch   = {{ window = "2500ms", interval = "100ms", failures = 4, on_degraded = "version+data" }}
[apps.{NAME}.runtime]
kind = "process"
env  = {{ LEDGER = "{program}", PORT = "{port}", LEDGER_FAULT_AFTER_MS = "700" }}
[apps.{NAME}.health]
http = "http://127.0.0.1:{port}/health"
json = {{ status = "ok" }}
version_at = "/version"
start_within = "2s"
startup_interval = "50ms"
interval = "50ms"
passes = 3
failures = 2
"#
        )
    }

    fn candidate(&self, round: u32) -> Candidate {
        let Some(past) = usize::try_from(round).unwrap_or(usize::MAX).checked_sub(1) else {
            return Candidate { version: "1.0.0".into(), plays: "1.0.0".into(), good: true };
        };
        let again = ROUNDS.len() - ROUNDS_AGAIN;
        let place = if past < again { past } else { again + (past - again) % ROUNDS_AGAIN };
        let (plays, good) = *ROUNDS.get(place).expect("the place is in the table");
        Candidate { version: format!("1.1.{round}"), plays: plays.to_owned(), good }
    }

    fn publish(&self, places: &Places, candidate: &Candidate) -> Result<Sha256> {
        self.write_bundle(places, &candidate.version, &candidate.plays, CALM_NOTES)
    }

    fn version(&self) -> Option<String> {
        http::get(self.port, "/health")?;
        http::get(self.port, "/version").map(|answer| answer.body.trim().to_owned())
    }

    fn write(&self, row: u64) -> Option<String> {
        http::post(self.port, "/rows", &row.to_string())?.server
    }

    fn rows(&self) -> Option<Vec<u64>> {
        http::get(self.port, "/rows")?.body.lines().map(|line| line.trim().parse().ok()).collect()
    }

    fn volumes(&self) -> Vec<(String, PathBuf)> {
        vec![("data".into(), self.volume.clone())]
    }

    /// A torn last line was never acknowledged.
    fn rows_in(&self, copy: &Path) -> Result<Vec<u64>> {
        let path = copy.join("data/rows.ledger");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let (first, lines) = whole.split_once('\n').unwrap_or((whole, ""));
        let place = match first {
            "ledger 1" | "ledger 2" => 1,
            "ledger 3" | "ledger 4" => 2,
            _ => anyhow::bail!("{} begins with {first:?}", path.display()),
        };
        let number = |line: &str| line.split(' ').nth(place).and_then(|word| word.parse().ok());
        let rows: Option<Vec<u64>> = lines.lines().map(number).collect();
        rows.with_context(|| format!("{} has a line that is no row", path.display()))
    }

    fn is_main(&self, command_line: &[String]) -> bool {
        let words: BTreeSet<&str> = command_line.iter().map(String::as_str).collect();
        let volume = self.volume.to_string_lossy();
        command_line.get(1).is_some_and(|word| word == "demo-app")
            && words.contains("--port")
            && words.contains(&*volume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger { program: "/gc".into(), volume: "/srv/data".into(), port: 1 }
    }

    #[test]
    fn good_and_bad_candidates_alternate_for_ever_and_all_differ() {
        let all: Vec<Candidate> = (0..40).map(|round| ledger().candidate(round)).collect();
        assert!(all.iter().skip(1).step_by(2).all(|bad| !bad.good));
        assert!(all.iter().step_by(2).all(|good| good.good));
        let versions: BTreeSet<&str> = all.iter().map(|one| one.version.as_str()).collect();
        assert_eq!(versions.len(), 40);
        let bad: BTreeSet<&str> =
            all.iter().skip(20).filter(|one| !one.good).map(|one| one.plays.as_str()).collect();
        assert_eq!(bad, ["1.1.2", "1.1.3", "1.1.5", "1.2.0"].into());
    }

    #[test]
    fn a_copy_is_read_up_to_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let read = |text: &str| {
            use std::io::Write as _;
            let mut file = fs::File::create(dir.path().join("data/rows.ledger")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            ledger().rows_in(dir.path())
        };
        assert_eq!(read("ledger 1\nrow 7\nrow 9\nrow 1").unwrap(), [7, 9]);
        assert_eq!(read("ledger 4\nrow 1 7 aa\nrow 2 9 bb\n").unwrap(), [7, 9]);
        assert_eq!(read("ledger 2\n").unwrap(), Vec::<u64>::new());
        assert!(read("ledger 2\nrow\n").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn a_migration_is_no_copy_of_the_app() {
        let is_main =
            |line: &str| ledger().is_main(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(is_main("/gc demo-app --release 1 --data /srv/data --port 1"));
        assert!(!is_main("/gc demo-app migrate --release 1 --data /srv/data"));
        assert!(!is_main("/gc demo-app --release 1 --data /srv/other --port 1"));
    }
}
