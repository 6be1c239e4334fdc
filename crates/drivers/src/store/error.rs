//! How the store fails.

use std::io;
use std::path::{Path, PathBuf};

use groundcrew_engine::ports::JournalError;

use crate::causes::causes;
use crate::durable;

/// A store that cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library that we are linked with has known defects.
    #[error(
        "SQLite {found} is linked in, at least {needed} is needed: build groundcrew with the bundled one"
    )]
    Library {
        /// The version linked in.
        found: String,
        /// The oldest that is good.
        needed: &'static str,
    },
    /// A newer groundcrew wrote the store in a way that this one cannot read.
    #[error("{} has schema {schema} and needs a groundcrew that reads schema {min_reader}, this one ({}) \
        reads schema {ours}: run the newer groundcrew again, or move the file away and let this one \
        find out anew what runs", path.display(), env!("CARGO_PKG_VERSION"))]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        schema: i64,
        /// The oldest reader of it.
        min_reader: i64,
        /// What we read.
        ours: i64,
    },
    /// Another process has it for too long.
    #[error("{} was held by another process for {waited_ms} ms", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long we waited.
        waited_ms: u64,
    },
    /// SQLite failed.
    #[error("cannot {doing} {}", path.display())]
    Sqlite {
        /// What failed.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is not one of ours, or is damaged.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A write failed before, and the store was not reopened since.
    #[error("{} is not written to any more since this failed: {why}", path.display())]
    Poisoned {
        /// The database.
        path: PathBuf,
        /// The first failure.
        why: String,
    },
    /// A file beside the database failed.
    #[error("cannot {doing} {}", path.display())]
    System {
        /// What failed.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A durable write beside the database failed.
    #[error("cannot {doing}")]
    Durable {
        /// What it was for.
        doing: &'static str,
        /// Why.
        #[source]
        source: durable::Error,
    },
    /// Something has no JSON form, or is not the JSON that it should be.
    #[error("cannot {doing} as JSON")]
    Json {
        /// What failed.
        doing: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    pub(super) fn system(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::System { doing, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn durable(doing: &'static str) -> impl Fn(durable::Error) -> Error {
        move |source| Error::Durable { doing, source }
    }

    pub(super) fn json(doing: &'static str) -> impl Fn(serde_json::Error) -> Error {
        move |source| Error::Json { doing, source }
    }

    pub(super) fn sqlite(
        doing: &'static str,
        path: &Path,
    ) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Sqlite { doing, path: path.clone(), source }
    }

    /// Whether the database itself is to blame for a failed opening, and not the disk's room or its
    /// rights.
    pub(super) fn is_damage(&self) -> bool {
        /// `SQLITE_IOERR_READ`, `SQLITE_IOERR_SHORT_READ`, `SQLITE_IOERR_CORRUPTFS`.
        const UNREADABLE: [i32; 3] = [266, 522, 8458];
        /// `SQLITE_ERROR`: a format or a table that nobody made so.
        const UNSUPPORTED: i32 = 1;
        match self {
            Error::Damaged { .. } => true,
            Error::Sqlite { source, .. } => match source {
                rusqlite::Error::SqliteFailure(error, _) => {
                    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
                    matches!(error.code, DatabaseCorrupt | NotADatabase)
                        || error.extended_code == UNSUPPORTED
                        || UNREADABLE.contains(&error.extended_code)
                }
                // A value of another type than the schema says, or no row where one has to be.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::QueryReturnedNoRows => true,
                _ => false,
            },
            _ => false,
        }
    }
}

impl From<Error> for JournalError {
    fn from(error: Error) -> JournalError {
        JournalError { text: causes(&error) }
    }
}
