//! The data file on the disk: opening, appending durably, migrating, checking.
//!
//! The file is `rows.ledger` in the data directory, locked by whoever may write to it.
//! It is replaced as a whole (written aside, synced, renamed, directory synced) or appended to.
//! After an append that failed nothing is written again: a restart finds out what is there.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::format::{self, DecodeError, Decoded, Row};
use crate::release::{Behavior, Format, Migration};

const FILE: &str = "rows.ledger";

/// Written aside under this name; one that was left over is overwritten.
const FILE_ASIDE: &str = "rows.ledger.new";

/// The whole file is read into memory.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Far more than a demo writes, and at most 53 bytes each below [`FILE_BYTES_MAX`].
const ROWS_MAX: usize = 1_000_000;

/// Rows that the damaging migration collects before it moves them on.
const BATCH_ROWS: usize = 2;

/// Why the data file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file or its directory could not be read or written.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another ledger uses the file.
    #[error("{path} is in use by another ledger")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than this service reads.
    #[error("{path} has {bytes} bytes, more than the {FILE_BYTES_MAX} that are read")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is no ledger.
    #[error("cannot make sense of {path}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: DecodeError,
    },
    /// The file is older than the release.
    #[error("{path} is in {found}, release {release} serves {wanted} only: migrate it first")]
    NotMigrated {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: Format,
        /// The release.
        release: &'static str,
        /// The release's format.
        wanted: Format,
    },
    /// The file is newer than the release.
    #[error("{path} is in {found}, release {release} reads nothing above {wanted}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: Format,
        /// The release.
        release: &'static str,
        /// The release's format.
        wanted: Format,
    },
    /// The rows are numbered, and a number is missing.
    #[error("row {ordinal} is missing from {path}")]
    Gap {
        /// The file.
        path: PathBuf,
        /// The first number that is missing.
        ordinal: u64,
    },
}

/// Why a row was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// There are as many rows as there may be.
    #[error("the ledger is full: {ROWS_MAX} rows")]
    Full,
    /// An earlier row could not be written, and it is unknown how much of it is there.
    #[error("an earlier write failed; a restart will tell what is there")]
    Broken,
    /// This row could not be written.
    #[error("cannot append")]
    Write(#[source] io::Error),
}

/// An open data file and what it holds.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    format: Format,
    rows: Vec<Row>,
    chain: u64,
    gap: Option<u64>,
    broken: bool,
}

impl Ledger {
    /// Appends a row; when this returns `Ok` the row is on the disk.
    pub(crate) fn append(&mut self, number: u64) -> Result<(), AppendError> {
        if self.broken {
            return Err(AppendError::Broken);
        }
        if self.rows.len() >= ROWS_MAX {
            return Err(AppendError::Full);
        }
        let ordinal = self.rows.last().map_or(0, |last| last.ordinal) + 1;
        let row = Row { ordinal, number };
        let (line, chain) = format::line(self.format, row, self.chain);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        self.broken = written.is_err();
        written.map_err(AppendError::Write)?;
        self.rows.push(row);
        self.chain = chain;
        Ok(())
    }

    /// Every row's number, one per line.
    pub(crate) fn listing(&self) -> String {
        self.rows.iter().map(|row| format!("{}\n", row.number)).collect()
    }

    /// What the ledger finds wrong with itself.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.broken {
            return Some("a write failed".into());
        }
        self.gap.map(|ordinal| format!("row {ordinal} is missing"))
    }

    /// Brings everything to the disk, the file's times included.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Opens the file for serving, or begins an empty one; a gap is left to the health check.
pub(crate) fn open(dir: &Path, behavior: &Behavior) -> Result<Ledger, FileError> {
    let path = dir.join(FILE);
    create_if_missing(dir, &path, behavior.format)?;
    let (file, decoded) = lock_and_read(&path)?;
    same_format(&path, &decoded, behavior)?;
    let whole_bytes = decoded.whole_bytes as u64;
    file.set_len(whole_bytes)
        .and_then(|()| file.sync_all())
        .map_err(io_error("drop the torn row at the end of", &path))?;
    let gap = decoded.first_gap();
    let Decoded { format, rows, chain, .. } = decoded;
    Ok(Ledger { file, format, rows, chain, gap, broken: false })
}

/// Brings the file into the release's format and returns its number of rows; one that is there
/// already stays untouched.
pub(crate) fn migrate(dir: &Path, behavior: &Behavior) -> Result<usize, FileError> {
    let path = dir.join(FILE);
    create_if_missing(dir, &path, behavior.format)?;
    let (_locked, decoded) = lock_and_read(&path)?;
    if decoded.format == behavior.format {
        return Ok(decoded.rows.len());
    }
    not_too_new(&path, &decoded, behavior)?;
    no_gap(&path, &decoded)?;
    let rows = match behavior.migration {
        Migration::Faithful => decoded.rows,
        Migration::LosesTheRowThatFillsABatch => in_batches(&decoded.rows),
    };
    replace(dir, &path, &format::encode(behavior.format, &rows))?;
    Ok(rows.len())
}

/// Brings the file back into the format before the release's; one that is there stays untouched.
pub(crate) fn undo(dir: &Path, behavior: &Behavior) -> Result<usize, FileError> {
    let path = dir.join(FILE);
    let before = behavior.before();
    let (_locked, decoded) = lock_and_read(&path)?;
    if decoded.format != before.format {
        same_format(&path, &decoded, behavior)?;
        no_gap(&path, &decoded)?;
        replace(dir, &path, &format::encode(before.format, &decoded.rows))?;
    }
    Ok(decoded.rows.len())
}

/// Says whether the release could serve the file and find nothing wrong, and how many rows it has.
pub(crate) fn check(dir: &Path, behavior: &Behavior) -> Result<usize, FileError> {
    let path = dir.join(FILE);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let decoded = read(&file, &path)?;
    same_format(&path, &decoded, behavior)?;
    no_gap(&path, &decoded)?;
    Ok(decoded.rows.len())
}

/// Moves rows on in batches, to keep little in memory.
///
/// This is release 1.2.0's defect, kept as it was found: the row that meets a full batch makes the
/// batch move on, and is itself forgotten. With two rows to a batch that is every third row.
fn in_batches(rows: &[Row]) -> Vec<Row> {
    let mut moved = Vec::with_capacity(rows.len());
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    for row in rows {
        if batch.len() == BATCH_ROWS {
            moved.append(&mut batch);
        } else {
            batch.push(*row);
        }
    }
    moved.append(&mut batch);
    moved
}

fn create_if_missing(dir: &Path, path: &Path, format: Format) -> Result<(), FileError> {
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    if path.try_exists().map_err(io_error("look for", path))? {
        return Ok(());
    }
    replace(dir, path, &format::encode(format, &[]))
}

/// A writer that waited for the lock may hold a file that was replaced meanwhile: that is in use.
fn lock_and_read(path: &Path) -> Result<(File, Decoded), FileError> {
    let mut options = File::options();
    let file = options.read(true).append(true).open(path).map_err(io_error("open", path))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => FileError::InUse { path: path.into() },
        TryLockError::Error(source) => FileError::Io { doing: "lock", path: path.into(), source },
    })?;
    let held = file.metadata().map_err(io_error("look at", path))?;
    let named = fs::metadata(path).map_err(io_error("look at", path))?;
    if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
        return Err(FileError::InUse { path: path.into() });
    }
    let decoded = read(&file, path)?;
    Ok((file, decoded))
}

fn read(file: &File, path: &Path) -> Result<Decoded, FileError> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let length = bytes.len() as u64;
    if length > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.into(), bytes: length });
    }
    format::decode(&bytes).map_err(|source| FileError::Damaged { path: path.into(), source })
}

fn same_format(path: &Path, decoded: &Decoded, behavior: &Behavior) -> Result<(), FileError> {
    not_too_new(path, decoded, behavior)?;
    let Behavior { version: release, format: wanted, .. } = *behavior;
    if decoded.format < wanted {
        let found = decoded.format;
        return Err(FileError::NotMigrated { path: path.into(), found, release, wanted });
    }
    Ok(())
}

fn not_too_new(path: &Path, decoded: &Decoded, behavior: &Behavior) -> Result<(), FileError> {
    let Behavior { version: release, format: wanted, .. } = *behavior;
    if decoded.format > wanted {
        let found = decoded.format;
        return Err(FileError::TooNew { path: path.into(), found, release, wanted });
    }
    Ok(())
}

fn no_gap(path: &Path, decoded: &Decoded) -> Result<(), FileError> {
    match decoded.first_gap() {
        Some(ordinal) => Err(FileError::Gap { path: path.into(), ordinal }),
        None => Ok(()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo app is somebody else's program: it makes its own file durable, here only"
)]
fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let aside = dir.join(FILE_ASIDE);
    let mut file = File::create(&aside).map_err(io_error("create", &aside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", &aside))?;
    fs::rename(&aside, path).map_err(io_error("replace", path))?;
    let directory = File::open(dir).map_err(io_error("open", dir))?;
    directory.sync_all().map_err(io_error("sync", dir))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::behavior;

    fn release(version: &str) -> Behavior {
        behavior(version).unwrap()
    }

    fn with_rows(version: &str, numbers: &[u64]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = open(dir.path(), &release(version)).unwrap();
        for number in numbers {
            ledger.append(*number).unwrap();
        }
        dir
    }

    #[test]
    fn rows_are_there_after_opening_again() {
        for version in ["1.0.0", "1.1.0", "1.2.0", "2.0.0"] {
            let dir = with_rows(version, &[4, 5]);
            let mut again = open(dir.path(), &release(version)).unwrap();
            again.append(6).unwrap();
            assert_eq!(again.listing(), "4\n5\n6\n");
            assert_eq!(check(dir.path(), &release(version)).unwrap(), 3, "{version}");
        }
    }

    #[test]
    fn a_torn_row_is_cut_off_before_the_next_is_written() {
        let dir = with_rows("1.1.0", &[4]);
        let path = dir.path().join(FILE);
        let mut torn = File::options().append(true).open(&path).unwrap();
        torn.write_all(b"row 55").unwrap();
        drop(torn);
        let mut ledger = open(dir.path(), &release("1.1.0")).unwrap();
        ledger.append(6).unwrap();
        drop(ledger);
        assert_eq!(open(dir.path(), &release("1.1.0")).unwrap().listing(), "4\n6\n");
    }

    #[test]
    fn two_ledgers_never_share_a_file() {
        let dir = with_rows("1.0.0", &[]);
        let _first = open(dir.path(), &release("1.0.0")).unwrap();
        let second = open(dir.path(), &release("1.0.0")).unwrap_err();
        assert!(matches!(second, FileError::InUse { .. }), "{second}");
        let migration = migrate(dir.path(), &release("1.1.0")).unwrap_err();
        assert!(matches!(migration, FileError::InUse { .. }), "{migration}");
    }

    #[test]
    fn nothing_is_written_after_a_write_that_failed() {
        let dir = with_rows("1.0.0", &[1]);
        let mut ledger = open(dir.path(), &release("1.0.0")).unwrap();
        ledger.file = File::options().write(true).open("/dev/full").unwrap();
        assert!(matches!(ledger.append(2), Err(AppendError::Write(_))));
        ledger.file = File::options().append(true).open(dir.path().join(FILE)).unwrap();
        assert!(matches!(ledger.append(3), Err(AppendError::Broken)));
        assert_eq!(ledger.trouble().as_deref(), Some("a write failed"));
        assert_eq!(open(dir.path(), &release("1.0.0")).unwrap().listing(), "1\n");
    }

    #[test]
    fn a_migration_interrupted_before_its_rename_is_done_again() {
        let dir = with_rows("1.0.0", &[1, 2]);
        File::create(dir.path().join(FILE_ASIDE)).unwrap().write_all(b"ledger 2\nrow").unwrap();
        assert_eq!(migrate(dir.path(), &release("1.1.0")).unwrap(), 2);
        assert_eq!(check(dir.path(), &release("1.1.0")).unwrap(), 2);
    }

    #[test]
    fn the_damaging_migration_loses_every_third_row_and_nobody_migrates_on() {
        let dir = with_rows("1.1.0", &[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(migrate(dir.path(), &release("1.2.0")).unwrap(), 5);
        let served = open(dir.path(), &release("1.2.0")).unwrap();
        assert_eq!(served.listing(), "1\n2\n4\n5\n7\n");
        assert_eq!(served.trouble().as_deref(), Some("row 3 is missing"));
        drop(served);
        let checked = check(dir.path(), &release("1.2.0")).unwrap_err();
        assert!(matches!(checked, FileError::Gap { ordinal: 3, .. }), "{checked}");
        assert!(migrate(dir.path(), &release("2.0.0")).is_err());
    }

    #[test]
    fn a_migration_that_is_undone_keeps_every_row() {
        let dir = with_rows("1.0.0", &[1, 2, 3]);
        let new = release("1.1.0");
        assert_eq!(migrate(dir.path(), &new).unwrap(), 3);
        assert_eq!(undo(dir.path(), &new).unwrap(), 3);
        assert_eq!(undo(dir.path(), &new).unwrap(), 3, "twice is once");
        assert_eq!(open(dir.path(), &release("1.0.0")).unwrap().listing(), "1\n2\n3\n");
        let later = with_rows("2.0.0", &[1]);
        assert!(undo(later.path(), &new).is_err(), "data of another release is not touched");
    }
}
