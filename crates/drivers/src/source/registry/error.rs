//! What can go wrong between this host and a registry, and whose fault it is.

use std::io;
use std::path::PathBuf;

use groundcrew_engine::ports::{SourceError, SourceErrorKind};

use crate::causes::causes;

/// A registry, or a file that says how to ask it, did not give what was asked for.
///
/// No text here holds a query of a URL, a header or a body that may carry a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be asked, or broke off.
    #[error("{url}: no answer{hint}")]
    Unreachable {
        /// Who was asked for what.
        url: String,
        /// What a person can do about it, where that is known.
        hint: &'static str,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer did not come to its end in time.
    #[error("{url}: no answer within {limit_ms} ms")]
    Timeout {
        /// Who was asked for what.
        url: String,
        /// The limit.
        limit_ms: u128,
    },
    /// It wants to be left alone.
    #[error("{registry} wants not to be asked for another {left_secs} s")]
    Wait {
        /// The registry.
        registry: String,
        /// So long.
        left_secs: u64,
    },
    /// It does not let us.
    #[error("{registry} does not let us {doing}: {why}")]
    Denied {
        /// The registry.
        registry: String,
        /// What was tried.
        doing: &'static str,
        /// Why, and what a person can do.
        why: String,
    },
    /// It does not have the repository.
    #[error("{registry} has no repository {path}; correct `image`, or push there first")]
    NoRepository {
        /// The registry.
        registry: String,
        /// The name.
        path: String,
    },
    /// It answers something else.
    #[error("{url} answers {status}{said}")]
    Status {
        /// Who was asked for what.
        url: String,
        /// The status.
        status: u16,
        /// What it says about it, with `: ` before it.
        said: String,
    },
    /// The answer has no end that we wait for.
    #[error("{url} answers with more than {limit} bytes")]
    TooLarge {
        /// Who was asked for what.
        url: String,
        /// So much is read.
        limit: usize,
    },
    /// The answer is none.
    #[error("{url}: {why}; is a registry there?")]
    Garbage {
        /// Who was asked for what.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer is somewhere we do not go.
    #[error("{url} sends us to {to}: {why}")]
    Redirect {
        /// Who was asked for what.
        url: String,
        /// Where to, without its query.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error(
        "{url} answers with {found}, asked for was {expected}; push the image again, or ask the registry directly if something stands between"
    )]
    Digest {
        /// Who was asked for what.
        url: String,
        /// The digest of what came.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// The image is not one for this host, this app or this key.
    #[error("{image}: {why}")]
    Refused {
        /// Repository and digest or tag.
        image: String,
        /// Why, and what a person can do.
        why: String,
    },
    /// A file of this host cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or a program of this host does not say what it should.
    #[error("{path}: {why}")]
    Here {
        /// The file or program.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Error {
    /// What the engine does about it.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Wait { .. }
            | Self::Denied { .. }
            | Self::NoRepository { .. }
            | Self::Status { .. }
            | Self::TooLarge { .. }
            | Self::Garbage { .. }
            | Self::Redirect { .. } => SourceErrorKind::Retry,
            Self::Digest { .. } | Self::Refused { .. } => SourceErrorKind::Refuse,
            Self::Read { .. } | Self::Here { .. } => SourceErrorKind::Host,
        }
    }
}

impl From<Error> for SourceError {
    fn from(error: Error) -> Self {
        Self { kind: error.kind(), text: causes(&error) }
    }
}
